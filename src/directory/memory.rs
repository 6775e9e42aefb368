//! What recognition found, for as long as it is known to hold.
//!
//! Changes of the directory are counted, all in one row, and each organisation keeps the number of the last
//! one that was its own. What was read when there were so many changes holds until the next of its
//! organisation: another's makes nobody read again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::clock::Timestamp;
use crate::crypto::Digest;
use crate::id::{OrgId, UserId};
use crate::policy::{Principal, Via};
use crate::wire::OrgSettings;

use super::standing::Recognised;

/// The most callers that are kept, by what they show and by who they are; above it all are forgotten and
/// read again.
const KEPT: usize = 10_000;

/// How many changes there had been when something was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Epoch(u64);

/// A key as its records describe it: who bears it, and when that ends.
pub(super) type Bearer = (Principal, Option<Timestamp>);

/// Somebody who was recognised by a credential, whatever they showed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Known {
    org: OrgId,
    user: UserId,
    via: Via,
    operator: bool,
}

impl From<&Principal> for Known {
    fn from(principal: &Principal) -> Self {
        Self {
            org: principal.org(),
            user: principal.user(),
            via: principal.via(),
            operator: principal.is_operator(),
        }
    }
}

/// What recognition found, with what must still be looked at on each use.
struct Seen {
    bearer: Bearer,
    /// Of each credential that it took.
    used: Vec<Arc<AtomicI64>>,
}

impl Seen {
    fn note_use(&self, now: Timestamp) {
        for used in &self.used {
            used.store(now.millis(), Ordering::Relaxed);
        }
    }
}

/// What is known of one organisation.
#[derive(Default)]
struct Org {
    /// Its last change.
    changed: Epoch,
    /// How many of its changes are being committed: meanwhile only the store is asked.
    changing: usize,
    policy: Option<OrgSettings>,
}

/// The memory.
#[derive(Default)]
pub(super) struct Memory(RwLock<Inner>);

#[derive(Default)]
struct Inner {
    epoch: Epoch,
    /// What was read before this is not kept, whosever it is.
    since: Epoch,
    orgs: HashMap<OrgId, Org>,
    /// By a keyed hash of what was shown.
    seen: HashMap<Digest, Seen>,
    /// Those who were looked at again.
    again: HashMap<Known, Bearer>,
}

/// A change that is being committed. When it is gone, everybody of its organisation is forgotten.
pub(super) struct Changing<'a>(&'a Memory, OrgId);

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        let Self(memory, org) = *self;
        let mut inner = memory.write();
        inner.forget_org(org);
        let org = inner.orgs.entry(org).or_default();
        org.changing = org.changing.saturating_sub(1);
    }
}

impl Memory {
    /// From now until what comes of this is dropped, the organisation's callers are recognised by what the
    /// store says: a list never knows more than recognition does.
    pub(super) fn changing(&self, org: OrgId) -> Changing<'_> {
        self.write().orgs.entry(org).or_default().changing += 1;
        Changing(self, org)
    }

    /// Forgets everybody.
    pub(super) fn forget(&self) {
        let mut inner = self.write();
        inner.epoch.0 += 1;
        inner.since = inner.epoch;
        inner.seen.clear();
        inner.again.clear();
        // What is in the middle of a change stays so.
        inner.orgs.retain(|_, org| org.changing > 0);
        inner.orgs.values_mut().for_each(|org| org.policy = None);
    }

    /// In which epoch is read what is read from now on.
    pub(super) fn epoch(&self) -> Epoch {
        self.read().epoch
    }

    /// An organisation's policy, if it was read since its last change; else the epoch to read it in.
    pub(super) fn policy(&self, org: OrgId) -> Result<OrgSettings, Epoch> {
        let inner = self.read();
        let known = inner.orgs.get(&org).filter(|org| org.changing == 0);
        let policy = known.and_then(|org| org.policy.clone());
        policy.ok_or(inner.epoch)
    }

    /// Keeps a policy that was read in `epoch`, unless that is over.
    pub(super) fn keep_policy(&self, org: OrgId, epoch: Epoch, settings: OrgSettings) {
        let mut inner = self.write();
        if inner.lasts(org, epoch) {
            inner.orgs.entry(org).or_default().policy = Some(settings);
        }
    }

    /// Who was found under `mark` since the last change; else the epoch to look in.
    pub(super) fn seen(&self, mark: &Digest, now: Timestamp) -> Result<Recognised, Epoch> {
        let inner = self.read();
        let seen = inner.seen.get(mark);
        let seen = seen.filter(|seen| inner.holds(&seen.bearer, now));
        let seen = seen.ok_or(inner.epoch)?;
        seen.note_use(now);
        Ok(Recognised::at(inner.epoch, seen.bearer.clone()))
    }

    /// Keeps whom `mark` led to in `epoch`, unless that is over. `used` is where it is counted when the
    /// credentials that it took were last used.
    pub(super) fn keep_seen(
        &self,
        epoch: Epoch,
        (mark, bearer): (Digest, Bearer),
        used: Vec<Arc<AtomicI64>>,
        now: Timestamp,
    ) -> Recognised {
        let recognised = Recognised::at(epoch, bearer.clone());
        let seen = Seen { bearer, used };
        seen.note_use(now);
        let mut inner = self.write();
        if inner.lasts(seen.bearer.0.org(), epoch) {
            if inner.seen.len() >= KEPT {
                inner.seen.clear();
            }
            inner.seen.insert(mark, seen);
        }
        recognised
    }

    /// Who `seen` is, if that was read since the last change; else the epoch to look in.
    pub(super) fn again(&self, seen: &Recognised, now: Timestamp) -> Result<Recognised, Epoch> {
        let inner = self.read();
        let org = seen.principal().org();
        if inner.lasts(org, seen.epoch()) && inner.holds_for(org, seen.until(), now) {
            return Ok(seen.clone());
        }
        let bearer = inner.again.get(&Known::from(seen.principal()));
        let bearer = bearer.filter(|bearer| inner.holds(bearer, now));
        let bearer = bearer.ok_or(inner.epoch)?;
        Ok(Recognised::at(inner.epoch, bearer.clone()))
    }

    /// Keeps who somebody is who was looked at again in `epoch`, unless that is over.
    pub(super) fn keep_again(&self, epoch: Epoch, bearer: Bearer) -> Recognised {
        let mut inner = self.write();
        if inner.lasts(bearer.0.org(), epoch) {
            if inner.again.len() >= KEPT {
                inner.again.clear();
            }
            let known = Known::from(&bearer.0);
            inner.again.insert(known, bearer.clone());
        }
        Recognised::at(epoch, bearer)
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Whether nothing changed in `org` since `epoch`.
    fn lasts(&self, org: OrgId, epoch: Epoch) -> bool {
        let changed = self.orgs.get(&org).map_or(self.since, |org| org.changed);
        changed.max(self.since) <= epoch
    }

    /// Whether what is kept of somebody is still true.
    fn holds(&self, (principal, ends): &Bearer, now: Timestamp) -> bool {
        self.holds_for(principal.org(), *ends, now)
    }

    fn holds_for(&self, org: OrgId, ends: Option<Timestamp>, now: Timestamp) -> bool {
        let changing = self.orgs.get(&org).is_some_and(|org| org.changing > 0);
        !changing && ends.is_none_or(|end| end > now)
    }

    fn forget_org(&mut self, org: OrgId) {
        self.epoch.0 += 1;
        let epoch = self.epoch;
        self.seen.retain(|_, seen| seen.bearer.0.org() != org);
        self.again.retain(|known, _| known.org != org);
        let org = self.orgs.entry(org).or_default();
        org.changed = epoch;
        org.policy = None;
    }
}

#[cfg(test)]
#[path = "tests_memory.rs"]
mod tests;
