//! Commits that become one batch: each joins if what it expects is so after those before it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::rewraps::Rewraps;
use super::state::State;
use super::{Batch, Engine, Expect, JournalMark, StoreError, StoreKey};
use crate::crypto::{Digest, MacKey, Record, digests_match, sha256};

/// A group's state, changes, and rewrappings.
pub(super) type Finished = (
    State,
    BTreeMap<StoreKey, Option<Record>>,
    BTreeMap<StoreKey, Vec<Digest>>,
);

/// Commits that are about to become one batch.
pub(super) struct Group<'a> {
    engine: &'a dyn Engine,
    mac: &'a MacKey,
    state: State,
    rewraps: &'a Rewraps,
    changes: BTreeMap<StoreKey, Option<Record>>,
    /// Of the changes, those that only rewrap what stood there, with its digest.
    rewrapped: BTreeMap<StoreKey, Vec<Digest>>,
}

impl<'a> Group<'a> {
    pub(super) fn new(
        engine: &'a dyn Engine,
        mac: &'a MacKey,
        state: State,
        rewraps: &'a Rewraps,
    ) -> Self {
        Self {
            engine,
            mac,
            state,
            rewraps,
            changes: BTreeMap::new(),
            rewrapped: BTreeMap::new(),
        }
    }

    /// Takes one commit in, if what it expects is so after the commits before it.
    ///
    /// # Errors
    /// [`StoreError::Precondition`], or what reading reports; the group is then as it was.
    pub(super) fn join(&mut self, batch: Batch, mark: JournalMark) -> Result<(), StoreError> {
        batch.check()?;
        // What is expected is nearly always what is changed: it is read once for both.
        let mut members = BTreeMap::new();
        for (key, expect) in &batch.expected {
            let (holds, member) = self.with_current(key, |current| {
                let holds = match (expect, current) {
                    (Expect::Absent, None) | (Expect::Present, Some(_)) => true,
                    (Expect::Exactly(digest), Some(bytes)) => self.is(key, digest, bytes),
                    _ => false,
                };
                let counts = holds && batch.changes.contains_key(key);
                (holds, counts.then(|| self.member(key, current)))
            })?;
            if !holds {
                return Err(StoreError::Precondition);
            }
            members.extend(member.map(|member| (key, member)));
        }
        let mut census = self.state.census;
        let mut rewraps = Vec::with_capacity(batch.rewraps.len());
        for (key, rewrapping) in batch.rewraps {
            let old = rewrapping.old.as_bytes();
            // Whatever else stands there is newer.
            if !self.with_current(&key, |current| current == Some(old))? {
                continue;
            }
            let [old, new] = rewrapping.members(self.mac, &key);
            census.take_out(&old);
            census.take_in(&new);
            rewraps.push((key, rewrapping.was, rewrapping.new));
        }
        for (key, record) in &batch.changes {
            let old = match members.get(key) {
                Some(old) => *old,
                None => self.with_current(key, |old| self.member(key, old))?,
            };
            if let Some(old) = old {
                census.take_out(&old);
            }
            let new = record.as_ref().map(Record::as_bytes);
            if let Some(new) = self.member(key, new) {
                census.take_in(&new);
            }
        }
        self.state.census = census;
        // Callers may come in another order than their journal records: the mark never goes back.
        if mark.seq > self.state.mark.seq {
            self.state.mark = mark;
        }
        for (key, was, record) in rewraps {
            self.rewrapped.entry(key.clone()).or_default().push(was);
            self.put(key, Some(record));
        }
        for (key, record) in batch.changes {
            self.rewrapped.remove(&key);
            self.put(key, record);
        }
        Ok(())
    }

    fn put(&mut self, key: StoreKey, record: Option<Record>) {
        match self.changes.entry(key) {
            Entry::Vacant(entry) => drop(entry.insert(record)),
            Entry::Occupied(mut entry) => drop(entry.insert(record)),
        }
    }

    /// Whether `bytes`, which stand under `key`, are what somebody read whose SHA-256 is `digest`.
    fn is(&self, key: &StoreKey, digest: &Digest, bytes: &[u8]) -> bool {
        if digests_match(&sha256(bytes), digest) {
            return true;
        }
        match self.changes.get(key) {
            // Changed within the group: only a rewrapping says the same.
            Some(_) => self
                .rewrapped
                .get(key)
                .is_some_and(|was| was.contains(digest) || self.rewraps.stands_for(key, digest)),
            None => self.rewraps.stands_for(key, digest),
        }
    }

    /// The state after the group, its changes, and which of them rewrap what.
    pub(super) fn finish(self) -> Finished {
        let state = State {
            generation: self.state.generation.saturating_add(1),
            ..self.state
        };
        (state, self.changes, self.rewrapped)
    }

    /// What a record is in the digest of all of them.
    fn member(&self, key: &StoreKey, record: Option<&[u8]>) -> Option<Digest> {
        record.map(|record| self.mac.hash(&[key.as_bytes(), record]))
    }

    /// Shows what stands under `key` after the commits that have joined.
    fn with_current<R>(
        &self,
        key: &StoreKey,
        read: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R, StoreError> {
        if let Some(changed) = self.changes.get(key) {
            return Ok(read(changed.as_ref().map(Record::as_bytes)));
        }
        Ok(read(self.engine.get(key.as_bytes())?.as_deref()))
    }
}
