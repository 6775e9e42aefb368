//! The table of handles: in memory only, so that none outlives the process.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::audit::{Actor, Event, Target, TargetKind};
use crate::crypto::Digest;
use crate::id::{OrgId, ResolutionId, UserId};

use super::handle::{Ended, Handle, HandleFault, Owner, digest_of};
use super::limits::LaneLimits;
use super::pinned::Pinned;

/// How long one that is over is remembered, so that its owner hears why it is refused.
const REMEMBERED: Duration = Duration::from_mins(2);
/// How often a full table is searched for those that are over before their time.
const SEARCH: Duration = Duration::from_secs(1);

/// There is no room for another handle, or for the spec of its tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Why a handle was not found.
#[derive(Debug)]
pub(crate) enum Missing {
    /// There is none.
    Unknown,
    /// There is one, and it is somebody else's.
    Foreign(Arc<Handle>),
    /// There is one, and it is for another lane.
    Elsewhere(Arc<Handle>),
}

impl Missing {
    fn found(&self) -> Option<(&'static str, &Arc<Handle>)> {
        match self {
            Self::Unknown => None,
            Self::Foreign(handle) => Some(("foreign_handle", handle)),
            Self::Elsewhere(handle) => Some(("other_lane", handle)),
        }
    }

    /// Whose it is, where there is one.
    pub(crate) fn owner(&self) -> Option<Owner> {
        self.found().map(|(_, handle)| handle.purpose.owner)
    }

    /// States which it is, and whose, where there is one: for the journal alone. The admins of an
    /// organisation read there of their own, so that of another one's handle an event of theirs says nothing.
    pub(crate) fn state(&self, event: Event) -> Event {
        let own = |handle: &Handle| event.org == Some(handle.purpose.owner.org);
        let Some((code, handle)) = self.found().filter(|(_, handle)| own(handle)) else {
            return event;
        };
        let resolution = Target::new(TargetKind::Resolution).id(handle.id.bytes());
        let owner = Target::new(TargetKind::User).id(handle.purpose.owner.user.bytes());
        event.code(code).target(resolution).target(owner)
    }

    /// The same event for the other organisation whose handle it is, if it is one's: a stranger came with it,
    /// in the same request.
    pub(crate) fn elsewhere(&self, event: &Event) -> Option<Event> {
        let org = self.owner()?.org;
        if event.org == Some(org) {
            return None;
        }
        let mut theirs = Event::new(event.action, Actor::Unknown).org(org);
        (theirs.request, theirs.peer) = (event.request, event.peer);
        theirs.method.clone_from(&event.method);
        Some(self.state(theirs))
    }
}

/// All handles.
pub(crate) struct Handles {
    table: Mutex<Table>,
    most: usize,
    share: usize,
    own: usize,
    pinned: Pinned,
}

#[derive(Default)]
struct Table {
    by_digest: HashMap<Digest, Arc<Handle>>,
    by_id: HashMap<ResolutionId, Digest>,
    shares: HashMap<OrgId, usize>,
    owns: HashMap<(OrgId, UserId), usize>,
    /// The next to end first.
    ends: BTreeSet<(Instant, Digest)>,
    searched: Option<Instant>,
}

impl Handles {
    pub(crate) fn within(limits: &LaneLimits) -> Self {
        Self {
            table: Mutex::default(),
            most: limits.handles,
            share: limits.handles_per_org,
            own: limits.handles_per_user,
            pinned: Pinned::default(),
        }
    }

    /// Puts `handle` where its text will find it.
    pub(crate) fn keep(
        &self,
        digest: Digest,
        handle: Arc<Handle>,
        now: Instant,
    ) -> Result<(), Full> {
        self.pin(&handle, now)?;
        // Declared before the guard, so that they are dropped after it: a handle may bring much with it.
        let mut forgotten;
        let mut table = self.lock();
        forgotten = table.forget_ended(now, REMEMBERED);
        let owner = handle.purpose.owner;
        let bounds = (self.most, self.share, self.own);
        if table.is_full(&owner, bounds) {
            forgotten.extend(table.make_room(now));
        }
        if table.is_full(&owner, bounds) {
            return Err(Full);
        }
        *table.shares.entry(owner.org).or_default() += 1;
        *table.owns.entry((owner.org, owner.user)).or_default() += 1;
        table.by_id.insert(handle.id, digest);
        table.ends.insert((handle.ends(), digest));
        table.by_digest.insert(digest, handle);
        Ok(())
    }

    /// Counts the spec of the handle's tool; it counts for as long as the handle is anywhere.
    fn pin(&self, handle: &Handle, now: Instant) -> Result<(), Full> {
        let purpose = &handle.purpose;
        let pin = || self.pinned.pin(&purpose.owner, &purpose.tool);
        let pinned = pin().or_else(|| {
            let forgotten = self.lock().make_room(now);
            // Without the lock, and before it is tried again.
            drop(forgotten);
            pin()
        });
        let pinned = pinned.ok_or(Full)?;
        handle.pin.get_or_init(|| pinned);
        Ok(())
    }

    /// The handle of this text, if it is `owner`'s. Whether it can be used is another question.
    pub(crate) fn find(&self, text: &[u8], owner: &Owner) -> Result<Arc<Handle>, Missing> {
        let digest = digest_of(text);
        let found = self.lock().by_digest.get(&digest).cloned();
        match found {
            // Whoever has a handle of the proxy may use it, but there alone.
            Some(handle) if handle.purpose.proxied.is_some() => Err(Missing::Elsewhere(handle)),
            Some(handle) if handle.purpose.owner == *owner => Ok(handle),
            Some(handle) => Err(Missing::Foreign(handle)),
            None => Err(Missing::Unknown),
        }
    }

    /// The handle of the proxy that has this text, whoever sends it.
    pub(crate) fn of_proxy(&self, text: &[u8]) -> Result<Arc<Handle>, Missing> {
        let found = self.lock().by_digest.get(&digest_of(text)).cloned();
        match found {
            Some(handle) if handle.purpose.proxied.is_some() => Ok(handle),
            Some(handle) => Err(Missing::Elsewhere(handle)),
            None => Err(Missing::Unknown),
        }
    }

    /// The handle of this id that is the user's, by whichever credential.
    pub(crate) fn of_user(
        &self,
        id: ResolutionId,
        org: OrgId,
        user: UserId,
    ) -> Option<Arc<Handle>> {
        let table = self.lock();
        let handle = table.by_digest.get(table.by_id.get(&id)?)?;
        let owner = handle.purpose.owner;
        (owner.org == org && owner.user == user).then(|| Arc::clone(handle))
    }

    /// How many there are, with those that are over and not forgotten yet.
    pub(crate) fn count(&self) -> usize {
        self.lock().by_digest.len()
    }

    /// Forgets those that were over long ago, however they came to be over, and with each what it held.
    pub(crate) fn tidy(&self, now: Instant) {
        let forgotten = self.lock().forget_over(now);
        // Without the lock.
        drop(forgotten);
    }

    /// Ends all of them.
    pub(crate) fn end_all(&self, why: Ended) {
        let table = std::mem::take(&mut *self.lock());
        for handle in table.by_digest.values() {
            handle.end(why);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn is_full(&self, owner: &Owner, (most, share, own): (usize, usize, usize)) -> bool {
        let there = self.shares.get(&owner.org).copied().unwrap_or_default();
        let theirs = self.owns.get(&(owner.org, owner.user));
        let theirs = theirs.copied().unwrap_or_default();
        self.by_digest.len() >= most || there >= share || theirs >= own
    }

    /// Forgets those whose time has been over for `after`. Answers them: dropping one may take a while.
    #[must_use]
    fn forget_ended(&mut self, now: Instant, after: Duration) -> Vec<Arc<Handle>> {
        let ended = self
            .ends
            .iter()
            .take_while(|(ends, _)| *ends + after <= now);
        let ended: Vec<Digest> = ended.map(|(_, digest)| *digest).collect();
        self.forget(&ended)
    }

    /// Forgets all that have been over for a while, also those that were used up or died before their time.
    /// Answers them.
    #[must_use]
    fn forget_over(&mut self, now: Instant) -> Vec<Arc<Handle>> {
        let since = |handle: &Handle| handle.over_since(now);
        let over: Vec<Digest> = self
            .by_digest
            .iter()
            .filter(|(_, handle)| since(handle).is_some_and(|since| since + REMEMBERED <= now))
            .map(|(digest, _)| *digest)
            .collect();
        self.forget(&over)
    }

    /// Forgets all that are over, also those that were used up or died before their time. Answers them.
    #[must_use]
    fn make_room(&mut self, now: Instant) -> Vec<Arc<Handle>> {
        let mut forgotten = self.forget_ended(now, Duration::ZERO);
        let lately = |before: Instant| now.saturating_duration_since(before) < SEARCH;
        if self.searched.is_some_and(lately) {
            return forgotten;
        }
        self.searched = Some(now);
        let over: Vec<Digest> = self
            .by_digest
            .iter()
            .filter(|(_, handle)| handle.is_over(now))
            .map(|(digest, _)| *digest)
            .collect();
        forgotten.extend(self.forget(&over));
        forgotten
    }

    fn forget(&mut self, digests: &[Digest]) -> Vec<Arc<Handle>> {
        let mut forgotten = Vec::with_capacity(digests.len());
        for digest in digests {
            let Some(handle) = self.by_digest.remove(digest) else {
                continue;
            };
            self.by_id.remove(&handle.id);
            self.ends.remove(&(handle.ends(), *digest));
            let owner = handle.purpose.owner;
            one_less(&mut self.shares, owner.org);
            one_less(&mut self.owns, (owner.org, owner.user));
            forgotten.push(handle);
        }
        forgotten
    }
}

fn one_less<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K) {
    if let Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() = count.get().saturating_sub(1);
        if *count.get() == 0 {
            count.remove();
        }
    }
}

impl From<Missing> for HandleFault {
    fn from(_: Missing) -> Self {
        Self::Unknown
    }
}

impl fmt::Debug for Handles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handles")
    }
}

#[cfg(test)]
#[path = "tests_handles.rs"]
pub(super) mod tests;
