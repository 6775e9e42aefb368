//! What is written down of a rotation: enough to go on with it after a kill at any instruction.

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::crypto::Owner;
use crate::id::{ObjectId, OrgId, UserId};
use crate::store::{Class, StoreKey};
use crate::vault::{Vault, VaultError};

/// Which keys are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Turned {
    /// The organisation's.
    Org,
    /// Those of all its owners.
    Owners,
    /// That of what its members share.
    Shared,
    /// One member's.
    User(UserId),
}

impl Turned {
    /// The owner, if it is one owner's key.
    #[must_use]
    pub const fn owner(self) -> Option<Owner> {
        match self {
            Self::Org | Self::Owners => None,
            Self::Shared => Some(Owner::ORG_SHARED),
            Self::User(user) => Some(Owner::user(user)),
        }
    }

    /// What journals and metrics call it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Org => "org",
            Self::Owners => "owners",
            Self::Shared => "shared",
            Self::User(_) => "owner",
        }
    }
}

/// How far a rotation has come. Each phase is over, durably, before the next begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// New generations are drawn and made the active ones; the old ones still open.
    Prepare,
    /// What the old ones sealed is sealed anew.
    Rewrap,
    /// It is looked whether anything is left.
    Verify,
    /// The old ones are destroyed.
    Retire,
    /// There is one generation of each key.
    Finished,
}

/// A rotation, as it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Job {
    pub(super) id: ObjectId,
    pub(super) what: Turned,
    pub(super) phase: Phase,
    pub(super) paused: bool,
    /// The last record that was rewrapped, in hex.
    cursor: Option<String>,
    /// The order of names that it was found in.
    #[serde(default)]
    order: Option<u32>,
    /// How many records were looked at.
    pub(super) done: u64,
    /// How often something was left.
    pub(super) rounds: u32,
    pub(super) started: Timestamp,
    pub(super) finished: Option<Timestamp>,
}

impl Job {
    pub(super) const fn new(id: ObjectId, what: Turned, now: Timestamp) -> Self {
        Self {
            id,
            what,
            phase: Phase::Prepare,
            paused: false,
            cursor: None,
            order: None,
            done: 0,
            rounds: 0,
            started: now,
            finished: None,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Finished
    }

    /// Where the walk has come to, in the order that it was found in.
    pub(super) fn cursor(&self) -> Result<Option<StoreKey>, VaultError> {
        // A place whose order is not known says nothing of what comes after it.
        let (Some(text), Some(order)) = (&self.cursor, self.order) else {
            return Ok(None);
        };
        let bytes = HEXLOWER.decode(text.as_bytes());
        let bytes = bytes.map_err(|_| VaultError::Form)?;
        let (class, rest) = bytes.split_first().ok_or(VaultError::Form)?;
        let class = Class::of(*class).ok_or(VaultError::Form)?;
        Ok(Some(StoreKey::new(class, &[rest]).found_in(order)))
    }

    /// The walk has come to `last`, over `visited` more records.
    pub(super) fn walked(&mut self, last: &StoreKey, visited: u64) {
        self.cursor = Some(HEXLOWER.encode(last.as_bytes()));
        self.order = last.order();
        self.done = self.done.saturating_add(visited);
    }

    /// Begins a phase.
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.begin_again();
    }

    /// The walk of this phase begins at the beginning.
    pub(super) fn begin_again(&mut self) {
        (self.cursor, self.order) = (None, None);
        self.done = 0;
    }

    /// Every new generation is active.
    pub(super) fn prepared(&mut self) {
        self.enter(Phase::Rewrap);
    }

    /// The walk is at its end.
    pub(super) fn rewrapped(&mut self) {
        self.enter(Phase::Verify);
    }

    /// So many were found that an old generation sealed: with any, the walk begins again.
    pub(super) fn verified(&mut self, left: u64) {
        if left == 0 {
            self.enter(Phase::Retire);
        } else {
            self.rounds = self.rounds.saturating_add(1);
            self.enter(Phase::Rewrap);
        }
    }

    /// The old generations are destroyed.
    pub(super) fn retired(&mut self, now: Timestamp) {
        self.enter(Phase::Finished);
        self.finished = Some(now);
    }
}

impl Vault {
    /// Where an organisation's rotation stands: the one that is under way, or the last.
    pub(in crate::vault) fn job_place(&self, org: OrgId) -> StoreKey {
        let hash = self.system_index().hash(&[b"rotation", org.bytes()]);
        StoreKey::new(Class::Rotation, &[&hash])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Job, Phase, Turned};
    use crate::clock::Timestamp;
    use crate::id::ObjectId;
    use crate::store::{Class, StoreKey};

    fn job() -> Job {
        let now = Timestamp::from_millis(1);
        Job::new(ObjectId::from_bytes([1; 16]), Turned::Owners, now)
    }

    /// A model of what is rotated: which records the old generation still seals, and whether it is there.
    struct World {
        old: Vec<bool>,
        exists: bool,
        saved: Job,
    }

    impl World {
        /// One step of the work, from what is saved; a kill leaves only what the step saved.
        fn step(&mut self, skips: usize) {
            let mut job = self.saved.clone();
            match job.phase {
                Phase::Prepare => job.prepared(),
                Phase::Rewrap => {
                    let at = usize::try_from(job.done).unwrap();
                    if let Some(record) = self.old.get_mut(at) {
                        // A walk that passes one by, as a fault might.
                        *record &= at == skips && job.rounds == 0;
                        let place = [u8::try_from(at).unwrap()];
                        job.walked(&StoreKey::new(Class::Secret, &[&place]), 1);
                    } else {
                        job.rewrapped();
                    }
                }
                Phase::Verify => {
                    let left = self.old.iter().filter(|old| **old).count();
                    job.verified(u64::try_from(left).unwrap());
                }
                Phase::Retire => {
                    assert!(self.old.iter().all(|old| !old), "it would be lost");
                    self.exists = false;
                    job.retired(Timestamp::from_millis(2));
                }
                Phase::Finished => {}
            }
            let text = serde_json::to_vec(&job).unwrap();
            self.saved = serde_json::from_slice(&text).unwrap();
            assert_eq!(self.saved, job);
        }
    }

    proptest! {
        #[test]
        fn no_generation_goes_before_nothing_needs_it(
            records in 0..20_usize,
            skips in 0..30_usize,
            kills in proptest::collection::vec(any::<bool>(), 0..200),
        ) {
            let old = vec![true; records];
            let mut world = World { old, exists: true, saved: job() };
            for killed in kills {
                let before = world.saved.clone();
                world.step(skips);
                // Killed after the records were written and before the job was, where they are apart.
                if killed && matches!(before.phase, Phase::Prepare | Phase::Verify | Phase::Retire) {
                    world.saved = before;
                }
            }
            for _ in 0..100 {
                world.step(skips);
            }
            prop_assert!(world.saved.is_over() && !world.exists);
            prop_assert!(world.old.iter().all(|old| !old));
            prop_assert_eq!(world.saved.rounds, u32::from(skips < records));
        }
    }

    #[test]
    fn a_cursor_is_read_back() {
        let mut job = job();
        assert_eq!(job.cursor().unwrap(), None);
        let place = StoreKey::new(Class::TokenValue, &[&[0, 255, 7]]);
        job.walked(&place, 3);
        assert_eq!(job.cursor().unwrap(), None, "found in no order");
        job.walked(&place.clone().found_in(4), 0);
        let cursor = job.cursor().unwrap().unwrap();
        assert_eq!((cursor.order(), cursor), (Some(4), place));
        job.rewrapped();
        assert_eq!((job.cursor().unwrap(), job.done), (None, 0));
        for bad in ["", "zz", "ff", "1"] {
            (job.cursor, job.order) = (Some(bad.to_owned()), Some(4));
            assert!(job.cursor().is_err(), "{bad}");
        }
    }
}
