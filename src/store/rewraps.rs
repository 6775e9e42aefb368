//! Which records stand for others that said the same under another key.
//!
//! Somebody who read a record and changes it expects to find what was read. A rotation of keys replaces the
//! record meanwhile by one that says the same: it is no change that anybody made, and must not refuse theirs.
//! So the writer remembers what each rewrapped record was before, until it is changed, or for a minute or two: whoever
//! has not changed it by then is refused, and reads it again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLock};

use super::{Store, StoreKey};
use crate::crypto::{Digest, Record, sha256};

/// The first half of a SHA-256: as many records as there may be do not share one.
type Half = [u8; 16];

/// How many of the records before are remembered of each.
const MOST: usize = 4;

/// Rewrapped records, by the digests of their keys: the digests of what they were before.
#[derive(Debug, Default)]
pub(super) struct Rewraps(RwLock<Known>);

/// What was rewrapped since it was last forgotten, and in the time before.
#[derive(Debug, Default)]
struct Known {
    recent: HashMap<Half, Vec<Half>>,
    before: HashMap<Half, Vec<Half>>,
}

impl Known {
    fn is_empty(&self) -> bool {
        self.recent.is_empty() && self.before.is_empty()
    }
}

impl Rewraps {
    /// Whether what stands under `key` was, before it was rewrapped, the record of this digest.
    pub(super) fn stands_for(&self, key: &StoreKey, digest: &Digest) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some(half) = half(digest).filter(|_| !known.is_empty()) else {
            return false;
        };
        let Some(place) = place(key) else {
            return false;
        };
        let was = [&known.recent, &known.before].map(|known| known.get(&place));
        was.into_iter().flatten().any(|was| was.contains(&half))
    }

    /// Forgets what was rewrapped before the last call.
    pub(super) fn forget(&self) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.before = std::mem::take(&mut known.recent);
    }

    /// Takes note of what was written: what was `rewrapped`, and what was changed otherwise.
    pub(super) fn written(
        &self,
        changes: &BTreeMap<StoreKey, Option<Record>>,
        rewrapped: &BTreeMap<StoreKey, Vec<Digest>>,
    ) {
        let nothing = |known: &Known| known.is_empty() && rewrapped.is_empty();
        if nothing(&self.0.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for key in changes.keys() {
            let Some(place) = place(key) else { continue };
            if let Some(was) = rewrapped.get(key) {
                let all = known.recent.entry(place).or_default();
                all.extend(was.iter().filter_map(half));
                all.drain(..all.len().saturating_sub(MOST));
            } else {
                known.recent.remove(&place);
                known.before.remove(&place);
            }
        }
    }
}

impl Store {
    /// Forgets which records stand for others that were replaced before the last call. To be called every minute.
    pub fn forget_rewraps(&self) {
        self.shared().rewraps.forget();
    }
}

fn half(digest: &Digest) -> Option<Half> {
    digest.first_chunk().copied()
}

fn place(key: &StoreKey) -> Option<Half> {
    half(&sha256(key.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::super::tests_support::{Place, key, mark, put, record};
    use super::super::{Batch, Expect, Store, StoreError};
    use crate::crypto::{Digest, Record, sha256};

    fn digest(record: &Record) -> Digest {
        sha256(record.as_bytes())
    }

    async fn rewrap(store: &Store, was: &Record, new: &Record) {
        let mut batch = Batch::new();
        batch.rewrap(key("it"), was.clone(), new.clone());
        store.commit(batch, mark(1)).await.unwrap();
    }

    async fn change(store: &Store, was: &Record, new: &Record) -> Result<(), StoreError> {
        let mut batch = put("it", new.clone());
        batch.expect(key("it"), Expect::Exactly(digest(was)));
        store.commit(batch, mark(1)).await.map(drop)
    }

    #[tokio::test]
    async fn what_was_rewrapped_is_to_others_what_they_read_until_it_is_changed() {
        let place = Place::new();
        let store = place.create();
        let [first, again, third, mine, theirs] = [1, 2, 3, 4, 5].map(record);
        store
            .commit(put("it", first.clone()), mark(1))
            .await
            .unwrap();
        rewrap(&store, &first, &again).await;
        rewrap(&store, &again, &third).await;
        assert_eq!(store.get(&key("it")).await.unwrap(), Some(third.clone()));
        // Read before, between and after: the first to change it wins, and is the only one.
        change(&store, &first, &mine).await.unwrap();
        for was in [&first, &again, &third] {
            assert_eq!(
                change(&store, was, &theirs).await,
                Err(StoreError::Precondition)
            );
        }
        change(&store, &mine, &theirs).await.unwrap();
        // And what somebody changed meanwhile stays.
        rewrap(&store, &mine, &first).await;
        assert_eq!(store.get(&key("it")).await.unwrap(), Some(theirs));
        store.close();
        // The digest of all records has followed.
        drop(store);
        place.open().unwrap();
    }

    #[tokio::test]
    async fn what_was_rewrapped_is_forgotten_in_the_second_minute_and_takes_little_room() {
        let place = Place::new();
        let store = place.create();
        let records: Vec<_> = (0..20).map(record).collect();
        let (first, last) = (&records[0], &records[19]);
        let one = put("it", first.clone());
        store.commit(one, mark(1)).await.unwrap();
        for pair in records.windows(2) {
            rewrap(&store, &pair[0], &pair[1]).await;
        }
        let refused = change(&store, first, last).await;
        assert_eq!(refused, Err(StoreError::Precondition));
        store.forget_rewraps();
        change(&store, &records[17], last).await.unwrap();
        rewrap(&store, last, first).await;
        store.forget_rewraps();
        store.forget_rewraps();
        let refused = change(&store, last, &records[1]).await;
        assert_eq!(refused, Err(StoreError::Precondition));
        change(&store, first, &records[1]).await.unwrap();
    }

    #[tokio::test]
    async fn nothing_is_made_of_what_is_gone() {
        let place = Place::new();
        let store = place.create();
        let (old, new) = (record(1), record(2));
        store.commit(put("it", old.clone()), mark(1)).await.unwrap();
        let mut batch = Batch::new();
        batch.delete(key("it"));
        store.commit(batch, mark(1)).await.unwrap();
        rewrap(&store, &old, &new).await;
        assert_eq!(store.get(&key("it")).await.unwrap(), None);
    }
}
