//! Which records stand for others that said the same under another key.
//!
//! Somebody who read a record and changes it expects to find what was read. A rotation of keys replaces the
//! record meanwhile by one that says the same: it is no change that anybody made, and must not refuse theirs.
//! So the writer remembers what each rewrapped record was before, until it is changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLock};

use super::StoreKey;
use crate::crypto::{Digest, Record, sha256};

/// The first half of a SHA-256: as many records as there may be do not share one.
type Half = [u8; 16];

/// Rewrapped records, by the digests of their keys: the digests of what they were before.
#[derive(Debug, Default)]
pub(super) struct Rewraps(RwLock<HashMap<Half, Vec<Half>>>);

impl Rewraps {
    /// Whether what stands under `key` was, before it was rewrapped, the record of this digest.
    pub(super) fn stands_for(&self, key: &StoreKey, digest: &Digest) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some(half) = half(digest).filter(|_| !known.is_empty()) else {
            return false;
        };
        let was = place(key).and_then(|place| known.get(&place));
        was.is_some_and(|was| was.contains(&half))
    }

    /// Takes note of what was written: what was `rewrapped`, and what was changed otherwise.
    pub(super) fn written(
        &self,
        changes: &BTreeMap<StoreKey, Option<Record>>,
        rewrapped: &BTreeMap<StoreKey, Vec<Digest>>,
    ) {
        let nothing = |known: &HashMap<_, _>| known.is_empty() && rewrapped.is_empty();
        if nothing(&self.0.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for key in changes.keys() {
            let Some(place) = place(key) else { continue };
            match rewrapped.get(key) {
                Some(was) => known
                    .entry(place)
                    .or_default()
                    .extend(was.iter().filter_map(half)),
                None => drop(known.remove(&place)),
            }
        }
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
