//! Open exchanges end when what they were opened by ends.
//!
//! One task looks after all of them, and only while there are any. As long as nothing was committed to
//! the store nothing can have changed but the time, so that a look costs one comparison; after a commit
//! each handle with an open exchange is asked for again, and what died is cut: within half a second of
//! the change.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::directory::Recognised;
use crate::id::{OrgId, ResolutionId, UserId};
use crate::vault::Unsealed;

use super::BrokerError;
use super::handle::{Ended, Handle};
use super::judge::Judge;

/// How often the watch looks whether anything changed.
const LOOK: Duration = Duration::from_millis(250);
/// How often it looks at everything all the same: keys and secrets expire without a commit.
const ALL_THE_SAME: Duration = Duration::from_secs(10);

/// The exchanges that are open.
pub(super) struct Watch {
    judge: Arc<Judge>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    exchanges: HashMap<u64, (Arc<Handle>, Recognised)>,
    running: bool,
}

/// An exchange that is looked after until this is dropped.
pub(super) struct Watching {
    watch: Arc<Watch>,
    number: u64,
}

impl Watch {
    pub(super) fn new(judge: Arc<Judge>) -> Self {
        Self {
            judge,
            open: Mutex::default(),
        }
    }

    /// Looks after an exchange.
    pub(super) fn over(self: &Arc<Self>, handle: Arc<Handle>, seen: Recognised) -> Watching {
        let mut open = self.lock();
        let number = open.next;
        open.next += 1;
        open.exchanges.insert(number, (handle, seen));
        if !std::mem::replace(&mut open.running, true) {
            tokio::spawn(run(Arc::downgrade(self)));
        }
        drop(open);
        Watching {
            watch: Arc::clone(self),
            number,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The exchanges that are open, each handle once; `None` when there are none, and the watch ends.
    fn all(&self) -> Option<Vec<(Arc<Handle>, Recognised)>> {
        let mut open = self.lock();
        if open.exchanges.is_empty() {
            open.running = false;
            return None;
        }
        let mut seen = HashMap::new();
        for (handle, by) in open.exchanges.values() {
            seen.entry(handle.id)
                .or_insert_with(|| (Arc::clone(handle), by.clone()));
        }
        Some(seen.into_values().collect())
    }

    /// The handle of this id that has an exchange open and is the user's: the table may have forgotten it.
    pub(super) fn of_user(
        &self,
        id: ResolutionId,
        org: OrgId,
        user: UserId,
    ) -> Option<Arc<Handle>> {
        let open = self.lock();
        let mut handles = open.exchanges.values().map(|(handle, _)| handle);
        let found = handles.find(|handle| {
            let owner = &handle.purpose.owner;
            handle.id == id && owner.org == org && owner.user == user
        });
        found.cloned()
    }

    /// Ends what is open: nobody would. What is opened from now on has a watch of its own.
    fn failed(&self) {
        let mut open = self.lock();
        open.running = false;
        end_all(open.exchanges.values().map(|(handle, _)| handle));
        tracing::error!("the watch over open exchanges failed; they were cut");
    }

    /// Looks at each; whether all could be judged. A handle that died is cut by that alone.
    async fn look(&self, vault: &Unsealed, exchanges: Vec<(Arc<Handle>, Recognised)>) -> bool {
        let mut judged = true;
        for (handle, seen) in exchanges {
            let found = self.judge.again(vault, &handle, &seen).await;
            judged &= matches!(found, Ok(_) | Err(BrokerError::Handle(_)));
        }
        judged
    }
}

/// Does something when its task panics.
struct OnPanic<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnPanic<F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)();
        }
    }
}

async fn run(watch: Weak<Watch>) {
    let gone = watch.clone();
    let _gone = OnPanic(move || {
        if let Some(watch) = gone.upgrade() {
            watch.failed();
        }
    });
    let (mut known, mut last) = (None, Instant::now());
    loop {
        let Some(watch) = watch.upgrade() else {
            return;
        };
        let Some(exchanges) = watch.all() else {
            return;
        };
        // A sealed vault has ended every exchange by itself.
        if let Ok(vault) = watch.judge.lifecycle.gate().unsealed() {
            let generation = Some(vault.store().generation());
            if generation != known || last.elapsed() >= ALL_THE_SAME {
                last = Instant::now();
                // Where the store failed, the next look asks again.
                let judged = watch.look(&vault, exchanges).await;
                known = generation.filter(|_| judged);
            }
        }
        drop(watch);
        tokio::time::sleep(LOOK).await;
    }
}

fn end_all<'a>(handles: impl Iterator<Item = &'a Arc<Handle>>) {
    handles.for_each(|handle| handle.end(Ended::Unwatched));
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.watch.lock().exchanges.remove(&self.number);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::OnPanic;

    #[tokio::test]
    async fn a_task_that_panics_does_its_last_duty_and_one_that_ends_has_none() {
        let duties = Arc::new(AtomicUsize::new(0));
        for (panics, done) in [(false, 0), (true, 1)] {
            let count = Arc::clone(&duties);
            let task = tokio::spawn(async move {
                let _duty = OnPanic(move || {
                    count.fetch_add(1, Ordering::SeqCst);
                });
                tokio::task::yield_now().await;
                assert!(!panics, "as it should");
            });
            assert_eq!(task.await.is_err(), panics);
            assert_eq!(duties.load(Ordering::SeqCst), done);
        }
    }
}
