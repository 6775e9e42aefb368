//! Changes that happen together, and what must be so for them to happen.

use std::collections::BTreeMap;

use super::{MAX_BATCH_BYTES, MAX_BATCH_CHANGES, MAX_RECORD_BYTES, StoreError, StoreKey};
use crate::crypto::{Digest, MacKey, Record, sha256};

/// What a commit expects of a record before any of its own changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// There is none.
    Absent,
    /// There is one.
    Present,
    /// It is, byte for byte, the one whose SHA-256 this is; or that one, [rewrapped](Batch::rewrap).
    Exactly(Digest),
}

/// Changes that happen together or not at all. Of two changes of one key the later counts.
#[derive(Debug, Default)]
pub struct Batch {
    pub(super) changes: BTreeMap<StoreKey, Option<Record>>,
    pub(super) expected: Vec<(StoreKey, Expect)>,
    pub(super) rewraps: BTreeMap<StoreKey, Rewrapping>,
}

/// A record that is to take the place of one that says the same.
#[derive(Clone, Debug)]
pub(super) struct Rewrapping {
    pub(super) old: Record,
    /// Of the old one.
    pub(super) was: Digest,
    pub(super) new: Record,
    /// What the old one and the new one are in the digest of all records, once that is reckoned.
    members: Option<[Digest; 2]>,
}

impl Rewrapping {
    pub(super) fn members(&self, mac: &MacKey, key: &StoreKey) -> [Digest; 2] {
        let member = |record: &Record| mac.hash(&[key.as_bytes(), record.as_bytes()]);
        self.members
            .unwrap_or_else(|| [member(&self.old), member(&self.new)])
    }
}

impl Batch {
    /// No change yet. Committing it as it is changes nothing: it is answered when the writer comes round.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores `record` under `key`, in place of any other.
    pub fn put(&mut self, key: StoreKey, record: Record) {
        self.changes.insert(key, Some(record));
    }

    /// Removes the record under `key`; none being there is no failure.
    pub fn delete(&mut self, key: StoreKey) {
        self.changes.insert(key, None);
    }

    /// Stores `new` in place of `old`, of which it says the same under another key. Where something else stands
    /// by then, it stays: that is newer. To whoever [expects](Expect::Exactly) what was read before, the new
    /// record is the old one.
    pub fn rewrap(&mut self, key: StoreKey, old: Record, new: Record) {
        let rewrapping = Rewrapping {
            was: sha256(old.as_bytes()),
            old,
            new,
            members: None,
        };
        self.rewraps.insert(key, rewrapping);
    }

    /// Reckons what can be reckoned by the caller, whose thread it is, and not by the one writer of all.
    pub(super) fn reckon(&mut self, mac: &MacKey) {
        for (key, rewrapping) in &mut self.rewraps {
            rewrapping.members = Some(rewrapping.members(mac, key));
        }
    }

    /// Makes the commit depend on what stands under `key`.
    pub fn expect(&mut self, key: StoreKey, expect: Expect) {
        self.expected.push((key, expect));
    }

    /// Whether there is neither a change nor an expectation.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.expected.is_empty() && self.rewraps.is_empty()
    }

    /// How many bytes of records it holds.
    pub(super) fn weight(&self) -> usize {
        let rewrapped = self.rewraps.values().map(|it| &it.new);
        let records = self.changes.values().flatten().chain(rewrapped);
        records.map(|record| record.as_bytes().len()).sum()
    }

    /// How many changes it holds.
    fn count(&self) -> usize {
        self.changes.len().saturating_add(self.rewraps.len())
    }

    /// Checks that it can be made durable at once. The first batch of a store may be larger: before
    /// it, nothing was acknowledged that a power cut could harm.
    pub(super) fn check_size(&self) -> Result<(), StoreError> {
        if self.weight() > MAX_BATCH_BYTES || self.count() > MAX_BATCH_CHANGES {
            return Err(StoreError::BatchTooLarge {
                bytes: MAX_BATCH_BYTES,
                changes: MAX_BATCH_CHANGES,
            });
        }
        Ok(())
    }

    /// Checks what can be checked without looking at the store.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let rewraps = self.rewraps.iter();
        let rewraps = rewraps.map(|(key, it)| (key, Some(&it.new)));
        let changes = self.changes.iter();
        let changes = changes.map(|(key, record)| (key, record.as_ref()));
        for (key, record) in changes.chain(rewraps) {
            if key.as_bytes() == StoreKey::STATE {
                return Err(StoreError::Reserved);
            }
            let length = record.map_or(0, |record| record.as_bytes().len());
            if length > MAX_RECORD_BYTES {
                return Err(StoreError::TooLarge {
                    limit: MAX_RECORD_BYTES,
                });
            }
        }
        Ok(())
    }
}
