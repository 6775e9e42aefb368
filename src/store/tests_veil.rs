//! A store whose names go from one veil to the next.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::tests_support::{CACHE, Dice, Place, STORE, contents, keys, mark, record};
use super::{Batch, Class, DiskEngine, Engine, EngineKind, Progress, Store, StoreError, StoreKey};
use crate::crypto::{Key, KeyRef, SystemRandom, sha256};
use crate::id::ObjectId;

fn veil(version: u32, byte: u8) -> Key {
    let id = ObjectId::from_bytes([8; 16]);
    Key::from_bytes(KeyRef { id, version }, &mut [byte; 32]).unwrap()
}

/// A list, and what is called so in it: as all names are, halves and wholes of hashes.
fn name(list: u8, one: usize) -> StoreKey {
    let one = sha256(&one.to_be_bytes());
    StoreKey::new(Class::Secret, &[&[list; 16], &one])
}

async fn fill(store: &Store, count: usize) {
    for one in 0..count {
        let list = u8::try_from(one % 3).unwrap();
        let mut batch = Batch::new();
        batch.put(name(list, one), record(list));
        store.commit(batch, mark(1)).await.unwrap();
    }
}

/// The names that stand on disk in a store that nobody has open.
fn on_disk(place: &Place) -> BTreeSet<Vec<u8>> {
    let engine = DiskEngine::open(&place.data(), place.kind, CACHE).unwrap();
    let mut names = BTreeSet::new();
    let mut look = |name: &[u8], _: &[u8]| {
        names.insert(name.to_vec());
        Ok(())
    };
    engine.visit(&[], None, &mut look).unwrap();
    names
}

/// The store, opened as a vault does: the keys of the installation first, then the veil.
fn reopened(place: &Place, key: &Key) -> Result<Store, StoreError> {
    let engine = DiskEngine::open(&place.data(), place.kind, CACHE)?;
    let one = StoreKey::new(Class::SystemKey, &[b"one"]);
    assert!(
        engine.get(one.as_bytes())?.is_some(),
        "found before any key"
    );
    assert!(!engine.is_empty()?);
    engine.lift(key)?;
    let random = Arc::new(SystemRandom);
    Store::open(Arc::new(engine), STORE, keys(), &place.anchor(), random)
}

fn sorted(mut all: Vec<(StoreKey, crate::crypto::Record)>) -> Vec<(StoreKey, Vec<u8>)> {
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    let bytes =
        |(key, record): (StoreKey, crate::crypto::Record)| (key, record.as_bytes().to_vec());
    all.into_iter().map(bytes).collect()
}

#[tokio::test]
async fn a_scan_that_was_begun_in_another_order_is_refused_and_not_cut_short() {
    for kind in EngineKind::ALL {
        let place = Place::of(kind);
        let store = place.create();
        fill(&store, 60).await;
        let list = StoreKey::new(Class::Secret, &[&[1; 16]]);
        let scan = async |after: Option<&StoreKey>| store.scan(&list, after, 7).await;
        let before = scan(None).await.unwrap();
        let (last, _) = before.last().unwrap();
        let more = scan(Some(last)).await.unwrap();
        // The same files, copied under the same names: the order stays.
        store.rewrite(kind, &Progress::default()).unwrap();
        assert_eq!(scan(Some(last)).await.unwrap().len(), more.len());
        for version in [1, 2] {
            let key = veil(version, u8::try_from(version).unwrap());
            store.rewrite_under(&key, &Progress::default()).unwrap();
            assert_eq!(store.order(), version);
            assert_eq!(scan(Some(last)).await, Err(StoreError::Moved));
        }
        // Begun again, it finds all.
        let (mut all, mut after): (usize, Option<StoreKey>) = (0, None);
        loop {
            let page = scan(after.as_ref()).await.unwrap();
            all += page.len();
            let Some((last, _)) = page.into_iter().last() else {
                break;
            };
            after = Some(last);
        }
        assert_eq!(all, 20);
    }
}

#[tokio::test]
async fn every_name_is_another_after_it_and_every_record_is_found_by_the_one_it_always_had() {
    for kind in EngineKind::ALL {
        let place = Place::of(kind);
        let store = place.create();
        fill(&store, 300).await;
        let expected = sorted(contents(&store).await);
        let state = (store.generation(), store.records());
        store.close();
        drop(store);
        let mut before = on_disk(&place);
        let store = place.open().unwrap();
        let key = veil(1, 1);
        store.rewrite_under(&key, &Progress::default()).unwrap();
        assert_eq!(store.veils(), Ok((Some(1), None)));
        assert!(sorted(contents(&store).await) == expected);
        assert_eq!((store.generation(), store.records()), state);
        let of_list = StoreKey::new(Class::Secret, &[&[1; 16]]);
        let page = store.scan(&of_list, None, 1000).await.unwrap();
        assert_eq!(
            page.len(),
            100,
            "a list is found by what its names begin with"
        );
        drop(store);
        // Nothing is found without the key, and nothing with another.
        assert!(place.open().is_err());
        assert!(reopened(&place, &veil(1, 2)).is_err());
        assert!(reopened(&place, &veil(2, 1)).is_err());
        let store = reopened(&place, &key).unwrap();
        assert!(sorted(contents(&store).await) == expected);
        // A compaction leaves it as it is; a migration too.
        store.rewrite(kind, &Progress::default()).unwrap();
        let next = veil(2, 2);
        drop(store);
        let between = on_disk(&place);
        let store = reopened(&place, &key).unwrap();
        store.rewrite_under(&next, &Progress::default()).unwrap();
        drop(store);
        let after = on_disk(&place);
        before.retain(|name| name.first() == Some(&Class::Secret.byte()));
        assert_eq!((before.len(), between.len()), (300, 302));
        assert!(before.is_disjoint(&between) && before.is_disjoint(&after));
        let kept: Vec<_> = between.intersection(&after).collect();
        assert_eq!(
            kept.len(),
            2,
            "the state, and the keys of the installation: {kept:?}"
        );
        let store = reopened(&place, &next).unwrap();
        assert!(sorted(contents(&store).await) == expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_lose_nothing_while_names_change_again_and_again() {
    let place = Place::new();
    let store = place.create();
    fill(&store, 400).await;
    let (over, serial) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(2)),
    );
    let writers: Vec<_> = (0..8_u64)
        .map(|at| {
            let (store, over) = (store.clone(), Arc::clone(&over));
            let serial = Arc::clone(&serial);
            tokio::spawn(async move {
                let mut dice = Dice(at);
                while !over.load(Ordering::SeqCst) {
                    let one = dice.below(600);
                    let mut batch = Batch::new();
                    if dice.below(4) == 0 {
                        batch.delete(name(9, one));
                    } else {
                        batch.put(name(9, one), record(7));
                    }
                    let serial = serial.fetch_add(1, Ordering::SeqCst);
                    store.commit(batch, mark(serial)).await.unwrap();
                }
            })
        })
        .collect();
    for version in 1..4 {
        let (shared, key) = (store.clone(), veil(version, 1));
        let turned =
            tokio::task::spawn_blocking(move || shared.rewrite_under(&key, &Progress::default()));
        turned.await.unwrap().unwrap();
    }
    over.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
    let expected = sorted(contents(&store).await);
    drop(store);
    // Count and digest of everything are compared as it opens.
    let store = reopened(&place, &veil(3, 1)).unwrap();
    assert!(sorted(contents(&store).await) == expected);
}

#[tokio::test]
async fn once_the_veil_is_lowered_nothing_is_found_until_it_is_lifted_again() {
    let place = Place::new();
    let store = place.create();
    fill(&store, 100).await;
    let key = veil(1, 1);
    store.rewrite_under(&key, &Progress::default()).unwrap();
    let expected = sorted(contents(&store).await);
    let (engine, ..) = store.parts();
    let disk = engine.disk().unwrap();
    // Whoever is in the middle of a visit ends it as they began it.
    let (mut seen, list) = (0, name(1, 1).as_bytes()[..17].to_vec());
    let mut look = |name: &[u8], _: &[u8]| {
        disk.lower();
        seen += usize::from(name.starts_with(&list));
        Ok(())
    };
    engine.visit(&[], None, &mut look).unwrap();
    assert_eq!(seen, 33);
    let locked = |found: Option<StoreError>| matches!(found, Some(StoreError::Damaged { .. }));
    assert!(locked(store.get(&name(1, 1)).await.err()));
    let list = StoreKey::new(Class::Secret, &[&[1; 16]]);
    assert!(locked(store.scan(&list, None, 10).await.err()));
    assert!(disk.lift(&veil(2, 1)).is_err());
    disk.lift(&key).unwrap();
    assert!(sorted(contents(&store).await) == expected);
    // What a copy fails of when the store was closed is that.
    store.close();
    disk.lower();
    let refused = store.rewrite(EngineKind::Sled, &Progress::default());
    assert_eq!(refused, Err(StoreError::Closed));
}

#[tokio::test]
async fn a_copy_under_another_key_is_gone_on_with_and_one_under_any_other_is_not() {
    let place = Place::new();
    let store = place.create();
    fill(&store, 200).await;
    let stopped = Progress::default();
    stopped.stop();
    let key = veil(1, 1);
    let refused = store.rewrite_under(&key, &stopped);
    assert_eq!(refused, Err(StoreError::Stopped));
    assert_eq!(store.veils(), Ok((None, Some(1))));
    // What was changed and removed meanwhile is not in it.
    let mut batch = Batch::new();
    batch.delete(name(0, 0));
    batch.put(name(1, 1), record(9));
    store.commit(batch, mark(2)).await.unwrap();
    let expected = sorted(contents(&store).await);
    store.rewrite_under(&key, &Progress::default()).unwrap();
    assert!(sorted(contents(&store).await) == expected);
    assert_eq!(
        store.rewrite_under(&veil(2, 5), &stopped),
        Err(StoreError::Stopped)
    );
    // Of the same number, and another key: nothing of the copy is taken for a record.
    store
        .rewrite_under(&veil(2, 6), &Progress::default())
        .unwrap();
    assert!(sorted(contents(&store).await) == expected);
    drop(store);
    drop(reopened(&place, &veil(2, 6)).unwrap());
}
