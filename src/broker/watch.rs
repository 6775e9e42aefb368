//! Open exchanges end when what they were opened by ends.
//!
//! One task looks after all of them, and only while there are any. As long as nothing was committed to
//! the store nothing can have changed but the time, and when that is up is known of each handle from the last
//! look: until then a look costs one comparison each. After a commit every handle with an open exchange is
//! asked for again; when its time is up, that one is. What died is cut: within half a second of the change,
//! or of the end of a key, of a delegation, of a secret.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::clock::Timestamp;
use crate::directory::Recognised;
use crate::id::{OrgId, ResolutionId, UserId};
use crate::vault::Unsealed;

use super::BrokerError;
use super::handle::{Ended, Handle};
use super::judge::Judge;

/// How often the watch looks whether anything changed.
const LOOK: Duration = Duration::from_millis(250);
/// How often it looks at everything all the same, whatever the reason would be.
const ALL_THE_SAME: Duration = Duration::from_secs(10);

/// The exchanges that are open.
pub(super) struct Watch {
    judge: Arc<Judge>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    handles: HashMap<ResolutionId, Watched>,
    running: bool,
}

/// A handle with exchanges that are open.
struct Watched {
    handle: Arc<Handle>,
    seen: Recognised,
    exchanges: usize,
    due: Due,
}

/// When a handle is to be looked at though nothing was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// Nobody has looked yet.
    Now,
    /// When something of it ends by itself; `None` when nothing does.
    At(Option<Timestamp>),
}

impl Due {
    fn is_up(self, now: Timestamp) -> bool {
        match self {
            Self::Now => true,
            Self::At(at) => at.is_some_and(|at| at <= now),
        }
    }

    /// With what one more look has found. Looks may end in another order than they began, so that the sooner
    /// end counts until the watch has looked after the last commit.
    fn or(self, until: Option<Timestamp>) -> Self {
        match self {
            Self::Now => Self::At(until),
            Self::At(at) => Self::At([at, until].into_iter().flatten().min()),
        }
    }
}

/// An exchange that is looked after until this is dropped.
pub(super) struct Watching {
    watch: Arc<Watch>,
    id: ResolutionId,
}

impl Watching {
    /// Notes what a look that began after this was made has found: when something ends by itself.
    pub(super) fn judged(&self, until: Option<Timestamp>) {
        if let Some(watched) = self.watch.lock().handles.get_mut(&self.id) {
            watched.due = watched.due.or(until);
        }
    }
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
        let id = handle.id;
        let mut open = self.lock();
        let watched = open.handles.entry(id).or_insert_with(|| Watched {
            handle,
            seen,
            exchanges: 0,
            due: Due::Now,
        });
        watched.exchanges += 1;
        if !std::mem::replace(&mut open.running, true) {
            tokio::spawn(run(Arc::downgrade(self)));
        }
        drop(open);
        Watching {
            watch: Arc::clone(self),
            id,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handles that are to be looked at: every one, or those whose time is up. `None` when there is no
    /// exchange, and the watch ends.
    fn due(&self, all: bool, now: Timestamp) -> Option<Vec<(Arc<Handle>, Recognised)>> {
        let mut open = self.lock();
        if open.handles.is_empty() {
            open.running = false;
            return None;
        }
        let watched = open.handles.values();
        let due = watched.filter(|watched| all || watched.due.is_up(now));
        let due = due.map(|watched| (Arc::clone(&watched.handle), watched.seen.clone()));
        Some(due.collect())
    }

    fn judged(&self, id: ResolutionId, until: Option<Timestamp>) {
        if let Some(watched) = self.lock().handles.get_mut(&id) {
            watched.due = Due::At(until);
        }
    }

    /// The handle of this id that has an exchange open and is the user's: the table may have forgotten it.
    pub(super) fn of_user(
        &self,
        id: ResolutionId,
        org: OrgId,
        user: UserId,
    ) -> Option<Arc<Handle>> {
        let open = self.lock();
        let watched = open.handles.get(&id)?;
        let owner = &watched.handle.purpose.owner;
        (owner.org == org && owner.user == user).then(|| Arc::clone(&watched.handle))
    }

    /// Ends what is open: nobody would. What is opened from now on has a watch of its own.
    fn failed(&self) {
        let mut open = self.lock();
        open.running = false;
        for watched in open.handles.values() {
            watched.handle.end(Ended::Unwatched);
        }
        tracing::error!("the watch over open exchanges failed; they were cut");
    }

    /// Looks at each; whether all could be judged. A handle that died is cut by that alone.
    async fn look(&self, vault: &Unsealed, handles: Vec<(Arc<Handle>, Recognised)>) -> bool {
        let mut judged = true;
        for (handle, seen) in handles {
            match self.judge.again(vault, &handle, &seen).await {
                Ok(standing) => self.judged(handle.id, standing.until),
                // It is over, and nothing about it changes any more.
                Err(BrokerError::Handle(_)) => self.judged(handle.id, None),
                Err(_) => judged = false,
            }
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
        // A sealed vault has ended every exchange by itself.
        let vault = watch.judge.lifecycle.gate().unsealed().ok();
        let generation = vault.as_ref().map(|vault| vault.store().generation());
        let all = generation != known || last.elapsed() >= ALL_THE_SAME;
        let now = vault
            .as_ref()
            .map_or_else(Timestamp::default, |vault| vault.now());
        let Some(due) = watch.due(all, now) else {
            return;
        };
        if let Some(vault) = vault {
            if all {
                last = Instant::now();
            }
            // Where the store failed, the next look asks again.
            let judged = watch.look(&vault, due).await;
            known = generation.filter(|_| judged);
        }
        drop(watch);
        tokio::time::sleep(LOOK).await;
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut open = self.watch.lock();
        if let Entry::Occupied(mut watched) = open.handles.entry(self.id) {
            let left = watched.get().exchanges.saturating_sub(1);
            watched.get_mut().exchanges = left;
            if left == 0 {
                watched.remove();
            }
        }
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
