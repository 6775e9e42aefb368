//! One log of random operations, run over every engine: all must agree with each other and a map.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::tests_support::{Dice, Place, contents, create, mark, open, record_of};
use super::{Batch, Class, Engine, EngineKind, Expect, MemoryEngine, Store, StoreError, StoreKey};
use crate::crypto::{Record, sha256};

const STEPS: usize = 700;
const CLASSES: [Class; 4] = [
    Class::Secret,
    Class::SecretVersion,
    Class::User,
    Class::State,
];

/// One store over each engine, and what they should hold.
struct Siblings {
    places: Vec<Place>,
    memory: Arc<dyn Engine>,
    memory_anchor: std::path::PathBuf,
    stores: Vec<Store>,
    model: BTreeMap<StoreKey, Record>,
}

impl Siblings {
    async fn new() -> Self {
        let places: Vec<_> = EngineKind::ALL.into_iter().map(Place::of).collect();
        let memory: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
        let memory_anchor = places[0].root.path().join("memory-anchor");
        let mut stores = vec![create(Arc::clone(&memory), &memory_anchor).unwrap()];
        stores.extend(places.iter().map(Place::create));
        let model = contents(&stores[0]).await.into_iter().map(|(key, _)| key);
        // The first records were sealed apart, so each store is given the same ones.
        let mut batch = Batch::new();
        let mut same = BTreeMap::new();
        for key in model {
            same.insert(key, record_of(0, 10));
        }
        let mut siblings = Self {
            places,
            memory,
            memory_anchor,
            stores,
            model: BTreeMap::new(),
        };
        for (key, record) in &same {
            batch.put(key.clone(), record.clone());
        }
        for store in &siblings.stores {
            store.commit(copy(&batch), mark(0)).await.unwrap();
        }
        siblings.model = same;
        siblings
    }

    async fn commit(&mut self, batch: &Batch, seq: u64) {
        let holds = batch.expected.iter().all(|(key, expect)| {
            let current = self.model.get(key);
            match expect {
                Expect::Absent => current.is_none(),
                Expect::Present => current.is_some(),
                Expect::Exactly(digest) => {
                    current.is_some_and(|record| sha256(record.as_bytes()) == *digest)
                }
            }
        });
        let mut outcomes = vec![];
        for store in &self.stores {
            outcomes.push(store.commit(copy(batch), mark(seq)).await);
        }
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]));
        if !holds {
            assert_eq!(outcomes[0], Err(StoreError::Precondition));
            return;
        }
        outcomes[0].clone().unwrap();
        for (key, record) in &batch.changes {
            match record {
                Some(record) => self.model.insert(key.clone(), record.clone()),
                None => self.model.remove(key),
            };
        }
    }

    async fn check(&self) {
        let expected: Vec<_> = self.model.clone().into_iter().collect();
        for store in &self.stores {
            assert!(contents(store).await == expected);
            assert_eq!(store.records(), u64::try_from(expected.len()).unwrap());
        }
    }

    /// Opens everything again, after closing it or, as a kill does, from what lies on disk.
    fn reopen(&mut self, killed: bool) {
        if killed {
            self.places = self.places.iter().map(Place::copy).collect();
            self.memory_anchor = self.places[0].root.path().join("memory-anchor");
        }
        let before = (self.stores[0].generation(), self.stores[0].journal_mark());
        self.stores.clear();
        self.stores = vec![open(Arc::clone(&self.memory), &self.memory_anchor).unwrap()];
        let on_disk = self.places.iter().map(|place| place.open().unwrap());
        self.stores.extend(on_disk);
        for store in &self.stores {
            assert_eq!((store.generation(), store.journal_mark()), before);
        }
    }
}

fn copy(batch: &Batch) -> Batch {
    Batch {
        changes: batch.changes.clone(),
        expected: batch.expected.clone(),
        rewraps: batch.rewraps.clone(),
    }
}

fn some_key(dice: &mut Dice) -> StoreKey {
    let class = CLASSES[dice.below(CLASSES.len())];
    // Few keys, so that changes meet.
    let first = [u8::try_from(dice.below(4) * 80).unwrap(); 8];
    let second = [u8::try_from(dice.below(12)).unwrap()];
    StoreKey::new(class, &[&first, &second])
}

fn some_batch(dice: &mut Dice, model: &BTreeMap<StoreKey, Record>) -> Batch {
    let mut batch = Batch::new();
    for _ in 0..dice.below(4) {
        let key = some_key(dice);
        if dice.below(3) == 0 {
            batch.delete(key);
        } else {
            let length = [10, 200, 3000, 40_000][dice.below(4)];
            batch.put(
                key,
                record_of(u8::try_from(dice.below(256)).unwrap(), length),
            );
        }
    }
    if dice.below(3) == 0 {
        let key = some_key(dice);
        let expect = match (dice.below(3), model.get(&key)) {
            (0, _) => Expect::Absent,
            (1, _) | (_, None) => Expect::Present,
            (_, Some(record)) => Expect::Exactly(sha256(record.as_bytes())),
        };
        batch.expect(key, expect);
    }
    batch
}

#[tokio::test]
async fn memory_sled_and_redb_agree_over_a_random_log_with_reopening_and_kills() {
    let mut dice = Dice(20_261_123);
    let mut siblings = Siblings::new().await;
    let mut refused = 0;
    for step in 0..STEPS {
        match dice.below(20) {
            0 if step % 3 == 0 => siblings.reopen(step % 2 == 0),
            1 => siblings.check().await,
            2..6 => {
                let key = some_key(&mut dice);
                let expected = siblings.model.get(&key);
                for store in &siblings.stores {
                    assert_eq!(store.get(&key).await.unwrap().as_ref(), expected);
                    // Twice: as it is read, and as it is kept.
                    for _ in 0..2 {
                        let read = store.read(&key).await.unwrap();
                        assert_eq!(read.as_deref().map(|read| &**read), expected);
                        let digest = expected.map(|record| sha256(record.as_bytes()));
                        assert_eq!(read.map(|read| *read.digest()), digest);
                    }
                }
            }
            6..8 => {
                let after = some_key(&mut dice);
                let prefix = StoreKey::new(after.class(), &[&after.as_bytes()[1..9]]);
                let limit = dice.below(5);
                let expected: Vec<_> = siblings
                    .model
                    .range(after.clone()..)
                    .filter(|(key, _)| **key > after)
                    .filter(|(key, _)| key.as_bytes().starts_with(prefix.as_bytes()))
                    .take(limit)
                    .map(|(key, record)| (key.clone(), record.clone()))
                    .collect();
                for store in &siblings.stores {
                    let page = store.scan(&prefix, Some(&after), limit).await.unwrap();
                    assert!(page == expected);
                }
            }
            _ => {
                let batch = some_batch(&mut dice, &siblings.model);
                let generation = siblings.stores[0].generation();
                siblings.commit(&batch, u64::try_from(step).unwrap()).await;
                refused += usize::from(siblings.stores[0].generation() == generation);
            }
        }
    }
    siblings.check().await;
    siblings.reopen(true);
    siblings.check().await;
    assert!(refused > 10, "the log met {refused} failed preconditions");
}
