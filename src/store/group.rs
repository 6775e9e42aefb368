//! Commits that become one batch: each joins if what it expects is so after those before it, of which the last
//! ones may be on their way to the engine still.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::rewraps::{MOST, Rewraps};
use super::state::State;
use super::{Batch, Engine, Expect, JournalMark, StoreError, StoreKey};
use crate::crypto::{Digest, MacKey, Record, digests_match, sha256};

/// What is to stand under each key that is changed.
pub(super) type Changes = BTreeMap<StoreKey, Option<Record>>;

/// What a group changes: in the engine once the group is durable, and on its way there until then.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    pub(super) changes: Changes,
    /// Of the changes, those that only rewrap what stood there, with its digest.
    pub(super) rewrapped: BTreeMap<StoreKey, Vec<Digest>>,
    /// What was changed by somebody, be it rewrapped afterwards: nothing from before it stands for that.
    pub(super) plain: BTreeSet<StoreKey>,
}

/// The state after a group, and what it changes.
pub(super) type Finished = (State, UnderWay);

/// Commits that are about to become one batch.
pub(super) struct Group<'a> {
    engine: &'a dyn Engine,
    mac: &'a MacKey,
    state: State,
    rewraps: &'a Rewraps,
    /// The group before, which may be on its way still.
    before: Option<Arc<UnderWay>>,
    own: UnderWay,
}

impl<'a> Group<'a> {
    pub(super) fn new(
        (engine, before): (&'a dyn Engine, Option<Arc<UnderWay>>),
        mac: &'a MacKey,
        state: State,
        rewraps: &'a Rewraps,
    ) -> Self {
        Self {
            engine,
            mac,
            state,
            rewraps,
            before,
            own: UnderWay::default(),
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
            self.rewrap(&key, was);
            self.put(key, Some(record));
        }
        for (key, record) in batch.changes {
            self.own.rewrapped.remove(&key);
            self.own.plain.insert(key.clone());
            self.put(key, record);
        }
        Ok(())
    }

    /// What is put under `key` stands for the record of this digest, and for what that one stood for.
    fn rewrap(&mut self, key: &StoreKey, was: Digest) {
        let known = self.own.rewrapped.entry(key.clone());
        let known = known.or_insert_with(|| {
            let before = self.before.as_ref();
            let known = before.and_then(|before| before.rewrapped.get(key));
            known.cloned().unwrap_or_default()
        });
        known.push(was);
        known.drain(..known.len().saturating_sub(MOST));
    }

    fn put(&mut self, key: StoreKey, record: Option<Record>) {
        match self.own.changes.entry(key) {
            Entry::Vacant(entry) => drop(entry.insert(record)),
            Entry::Occupied(mut entry) => drop(entry.insert(record)),
        }
    }

    /// Whether `bytes`, which stand under `key`, are what somebody read whose SHA-256 is `digest`.
    fn is(&self, key: &StoreKey, digest: &Digest, bytes: &[u8]) -> bool {
        if digests_match(&sha256(bytes), digest) {
            return true;
        }
        match self.changed(key) {
            // Changed since the engine was: only a rewrapping says the same.
            Some((by, _)) => by.rewrapped.get(key).is_some_and(|was| {
                let only = || !self.is_changed_plainly(key);
                was.contains(digest) || (only() && self.rewraps.stands_for(key, digest))
            }),
            None => self.rewraps.stands_for(key, digest),
        }
    }

    /// The state after the group, and its changes.
    pub(super) fn finish(self) -> Finished {
        let state = State {
            generation: self.state.generation.saturating_add(1),
            ..self.state
        };
        (state, self.own)
    }

    /// What a record is in the digest of all of them.
    fn member(&self, key: &StoreKey, record: Option<&[u8]>) -> Option<Digest> {
        record.map(|record| self.mac.hash(&[key.as_bytes(), record]))
    }

    /// Whether somebody has changed what stands under `key` since the engine was.
    fn is_changed_plainly(&self, key: &StoreKey) -> bool {
        let mut groups = [Some(&self.own), self.before.as_deref()]
            .into_iter()
            .flatten();
        groups.any(|group| group.plain.contains(key))
    }

    /// The last of the groups that are not in the engine yet which changes what stands under `key`, and to what.
    fn changed(&self, key: &StoreKey) -> Option<(&UnderWay, Option<&Record>)> {
        let groups = [Some(&self.own), self.before.as_deref()];
        groups.into_iter().flatten().find_map(|group| {
            let changed = group.changes.get(key)?;
            Some((group, changed.as_ref()))
        })
    }

    /// Shows what stands under `key` after the commits that have joined.
    fn with_current<R>(
        &self,
        key: &StoreKey,
        read: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R, StoreError> {
        if let Some((_, changed)) = self.changed(key) {
            return Ok(read(changed.map(Record::as_bytes)));
        }
        Ok(read(self.engine.get(key.as_bytes())?.as_deref()))
    }
}
