//! One refresh at a time for each token set (R2), in a task of its own, so that a caller who goes away
//! stops nothing (R6).
//!
//! The entry goes with the task, whatever becomes of it: a guard removes it. A stuck entry would
//! otherwise lock its connection until the next start.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::oauth::connection::SetKey;

type Table = HashMap<SetKey, watch::Receiver<()>>;

/// The refreshes that are under way.
#[derive(Clone, Debug, Default)]
pub(in crate::oauth) struct Flights(Arc<Mutex<Table>>, Arc<AtomicBool>);

/// A refresh under way, for those who wait for its end.
#[derive(Debug)]
pub(in crate::oauth) struct Waiting(watch::Receiver<()>);

impl Waiting {
    /// Waits for the end, for `patience` at most. What came of it, the state says.
    pub(in crate::oauth) async fn ended(mut self, patience: Duration) {
        // An error is the end, too: the task that held the other side is gone.
        let end = async { while self.0.changed().await.is_ok() {} };
        tokio::time::timeout(patience, end).await.unwrap_or(());
    }
}

/// Takes the entry away when the task ends, however it does.
struct Landing {
    table: Arc<Mutex<Table>>,
    key: SetKey,
    _others: watch::Sender<()>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        lock(&self.table).remove(&self.key);
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Flights {
    /// Lets none start any more.
    pub(in crate::oauth) fn close(&self) {
        self.1.store(true, Ordering::Release);
    }

    /// Lets them start again.
    pub(in crate::oauth) fn open(&self) {
        self.1.store(false, Ordering::Release);
    }

    /// Whether none may start any more.
    #[must_use]
    pub(in crate::oauth) fn is_closed(&self) -> bool {
        self.1.load(Ordering::Acquire)
    }

    /// Joins the refresh of a set that is under way, or starts `work` as one.
    pub(in crate::oauth) fn join_or<F>(&self, key: &SetKey, work: impl FnOnce() -> F) -> Waiting
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut table = lock(&self.0);
        if let Some(others) = table.get(key) {
            return Waiting(others.clone());
        }
        let (sender, receiver) = watch::channel(());
        if self.is_closed() {
            return Waiting(receiver);
        }
        table.insert(key.clone(), receiver.clone());
        drop(table);
        let landing = Landing {
            table: Arc::clone(&self.0),
            key: key.clone(),
            _others: sender,
        };
        let work = work();
        tokio::spawn(async move {
            let _landing = landing;
            work.await;
        });
        Waiting(receiver)
    }

    /// Joins the refresh of a set that is under way, if one is.
    pub(in crate::oauth) fn join(&self, key: &SetKey) -> Option<Waiting> {
        lock(&self.0).get(key).cloned().map(Waiting)
    }

    /// Waits until none is under way, for `patience` at most.
    pub(in crate::oauth) async fn landed(&self, patience: Duration) {
        let all = async {
            loop {
                let next = lock(&self.0).values().next().cloned();
                let Some(mut other) = next else {
                    return;
                };
                while other.changed().await.is_ok() {}
            }
        };
        tokio::time::timeout(patience, all).await.unwrap_or(());
    }

    /// How many are under way.
    #[cfg(test)]
    pub(in crate::oauth) fn count(&self) -> usize {
        lock(&self.0).len()
    }

    /// Whether one of this set is.
    #[must_use]
    pub(in crate::oauth) fn has(&self, key: &SetKey) -> bool {
        lock(&self.0).contains_key(key)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::Flights;
    use crate::id::ConnectionId;
    use crate::oauth::connection::SetKey;

    fn key() -> SetKey {
        (ConnectionId::from_bytes([1; 16]), "main".to_owned())
    }

    #[tokio::test]
    async fn r2_many_callers_share_one_refresh() {
        let (flights, count) = (Flights::default(), Arc::new(AtomicU32::new(0)));
        let mut waiting = Vec::new();
        for _ in 0..200 {
            let count = Arc::clone(&count);
            waiting.push(flights.join_or(&key(), || async move {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }));
        }
        for one in waiting {
            one.ended(Duration::from_secs(5)).await;
        }
        assert_eq!(count.load(Ordering::Relaxed), 1);
        assert_eq!(flights.count(), 0);
    }

    #[tokio::test]
    async fn r6_a_caller_that_goes_away_stops_nothing() {
        let (flights, count) = (Flights::default(), Arc::new(AtomicU32::new(0)));
        let done = Arc::clone(&count);
        let waiting = flights.join_or(&key(), || async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            done.fetch_add(1, Ordering::Relaxed);
        });
        drop(waiting);
        let joined = flights.join_or(&key(), || async {});
        joined.ended(Duration::from_secs(5)).await;
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_refresh_that_panics_leaves_no_entry() {
        let flights = Flights::default();
        let waiting = flights.join_or(&key(), || async { panic!("on purpose") });
        waiting.ended(Duration::from_secs(5)).await;
        assert!(!flights.has(&key()));
    }
}
