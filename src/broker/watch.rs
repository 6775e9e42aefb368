//! Open exchanges end when what they were opened by ends.
//!
//! One task looks after all of them, and only while there are any. As long as nothing was committed to
//! the store nothing can have changed but the time, and when that is up is known of each handle from the last
//! look: until then a look costs one comparison each. After a commit every handle with an open exchange is
//! asked for again; when its time is up, that one is. What died is cut: within half a second of the change,
//! or of the end of a key, of a delegation, of a secret.
//!
//! What a look costs is a member's to say, who may write large tools. So each organisation is looked at by
//! itself, one of its handles after another, in turn with the others: none waits for all of another's.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::clock::Timestamp;
use crate::directory::Recognised;
use crate::id::{OrgId, ResolutionId, UserId};
use crate::vault::Unsealed;

use super::BrokerError;
use super::handle::{Ended, Handle, Owner};
use super::judge::Judge;

/// How often the watch looks whether anything changed, and so does a declared action that has no handle.
pub(super) const LOOK: Duration = Duration::from_millis(250);
/// How often it looks at everything all the same, whatever the reason would be.
const ALL_THE_SAME: Duration = Duration::from_secs(10);
/// How many handles are looked at at a time.
const AT_A_TIME: usize = 4;

/// The exchanges that are open.
pub(super) struct Watch {
    judge: Arc<Judge>,
    open: Mutex<Open>,
    /// To look at one handle. Of each organisation one waits at most, in the order in which they came.
    turns: Semaphore,
}

#[derive(Default)]
struct Open {
    handles: HashMap<ResolutionId, Watched>,
    orgs: HashMap<OrgId, Seen>,
    running: bool,
}

/// How an organisation's handles were looked at.
#[derive(Default)]
struct Seen {
    /// Whether somebody is at it.
    busy: bool,
    /// After which commit all of them were judged, and when.
    last: Option<(u64, Instant)>,
}

impl Seen {
    fn is_fresh(&self, generation: u64) -> bool {
        self.last
            .is_some_and(|(seen, at)| seen == generation && at.elapsed() < ALL_THE_SAME)
    }
}

/// One organisation's handles that are to be looked at.
struct Round {
    org: OrgId,
    /// The newest commit, where these are all that there are.
    all_at: Option<u64>,
    handles: Vec<(Arc<Handle>, Recognised)>,
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
            turns: Semaphore::new(AT_A_TIME),
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

    /// Whether there is no exchange: then the watch ends.
    fn is_idle(&self) -> bool {
        let mut open = self.lock();
        open.running = !open.handles.is_empty();
        !open.running
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

    /// Ends what is open, or what is open of one organisation: nobody would. What is opened from now on is
    /// watched again.
    fn failed(&self, org: Option<OrgId>) {
        let mut open = self.lock();
        let hit = |owner: &Owner| org.is_none_or(|org| owner.org == org);
        for watched in open.handles.values() {
            if hit(&watched.handle.purpose.owner) {
                watched.handle.end(Ended::Unwatched);
            }
        }
        match org {
            Some(org) => drop(open.orgs.remove(&org)),
            None => open.running = false,
        }
        tracing::error!("the watch over open exchanges failed; they were cut");
    }

    /// Looks at each; whether all could be judged. A handle that died is cut by that alone.
    async fn look(&self, vault: &Unsealed, handles: Vec<(Arc<Handle>, Recognised)>) -> bool {
        let mut judged = true;
        for (handle, seen) in handles {
            // For each handle anew, so that the others come in between. Never closed.
            let _turn = self.turns.acquire().await.ok();
            match self.judge.again(vault, &handle, &seen).await {
                Ok(standing) => self.judged(handle.id, standing.until),
                // It is over, and nothing about it changes any more.
                Err(BrokerError::Handle(_)) => self.judged(handle.id, None),
                Err(_) => judged = false,
            }
        }
        judged
    }

    /// Looks at one organisation's handles.
    async fn round(&self, round: Round) {
        // A sealed vault has ended every exchange by itself, and sealing waits for no look.
        let judged = match self.judge.lifecycle.gate().unsealed() {
            Ok(vault) => {
                let look = vault.while_open(self.look(&vault, round.handles));
                look.await.unwrap_or_default()
            }
            Err(_) => false,
        };
        if let Some(seen) = self.lock().orgs.get_mut(&round.org) {
            seen.busy = false;
            // Where the store failed, the next look asks again.
            if let (true, Some(generation)) = (judged, round.all_at) {
                seen.last = Some((generation, Instant::now()));
            }
        }
    }
}

impl Open {
    /// What is to be looked at: of each organisation that nobody is at, every handle after a commit, or those
    /// whose time is up.
    fn rounds(&mut self, generation: u64, now: Timestamp) -> Vec<Round> {
        let Self { handles, orgs, .. } = self;
        let mut rounds: HashMap<OrgId, Round> = HashMap::new();
        let mut there = HashSet::new();
        for watched in handles.values() {
            let org = watched.handle.purpose.owner.org;
            there.insert(org);
            let seen = orgs.entry(org).or_default();
            let all = !seen.is_fresh(generation);
            if seen.busy || !(all || watched.due.is_up(now)) {
                continue;
            }
            let round = rounds.entry(org).or_insert_with(|| Round {
                org,
                all_at: all.then_some(generation),
                handles: Vec::new(),
            });
            let one = (Arc::clone(&watched.handle), watched.seen.clone());
            round.handles.push(one);
        }
        orgs.retain(|org, seen| seen.busy || there.contains(org));
        for org in rounds.keys() {
            orgs.entry(*org).or_default().busy = true;
        }
        rounds.into_values().collect()
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

/// Ends what is open when this task panics.
fn unwatched(watch: Weak<Watch>, org: Option<OrgId>) -> impl Drop {
    OnPanic(move || {
        if let Some(watch) = watch.upgrade() {
            watch.failed(org);
        }
    })
}

async fn run(watch: Weak<Watch>) {
    let _gone = unwatched(watch.clone(), None);
    loop {
        let Some(watch) = watch.upgrade() else {
            return;
        };
        if watch.is_idle() {
            return;
        }
        if let Ok(vault) = watch.judge.lifecycle.gate().unsealed() {
            let (generation, now) = (vault.store().generation(), vault.now());
            // Each round has its own.
            drop(vault);
            let rounds = watch.lock().rounds(generation, now);
            for round in rounds {
                let watch = Arc::clone(&watch);
                tokio::spawn(async move {
                    let _gone = unwatched(Arc::downgrade(&watch), Some(round.org));
                    watch.round(round).await;
                });
            }
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
#[path = "tests_watch.rs"]
mod tests;
