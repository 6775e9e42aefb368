//! Copies that take the store's place: under writers, after kills, over damage.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::tests_support::{CACHE, Dice, Place, contents, create, key, mark, open, put, record};
use super::tests_support::{record_of, shared};
use super::{
    Batch, DiskEngine, EngineKind, MemoryEngine, Progress, Store, StoreError, StoreKey, Write,
};
use crate::crypto::Record;

const PAIRS: [(EngineKind, EngineKind); 4] = [
    (EngineKind::Sled, EngineKind::Sled),
    (EngineKind::Sled, EngineKind::Redb),
    (EngineKind::Redb, EngineKind::Sled),
    (EngineKind::Redb, EngineKind::Redb),
];

async fn fill(store: &Store, records: usize) {
    for first in (0..records).step_by(100) {
        let mut batch = Batch::new();
        for n in first..records.min(first + 100) {
            batch.put(key(&format!("{n:05}")), record_of(1, 100 + n % 400));
        }
        store.commit(batch, mark(1)).await.unwrap();
    }
}

/// Writes and deletes under names of its own until told to end: what is there then.
async fn write_on(
    store: Store,
    writer: usize,
    over: Arc<AtomicBool>,
) -> BTreeMap<StoreKey, Record> {
    let mut dice = Dice(u64::try_from(writer).unwrap());
    let mut model = BTreeMap::new();
    while !over.load(Ordering::SeqCst) {
        let mut batch = Batch::new();
        for _ in 0..=dice.below(3) {
            let key = key(&format!("{writer} {:03}", dice.below(200)));
            if dice.below(4) == 0 {
                model.remove(&key);
                batch.delete(key);
            } else {
                let record = record_of(2, [60, 900, 20_000][dice.below(3)]);
                model.insert(key.clone(), record.clone());
                batch.put(key, record);
            }
        }
        store.commit(batch, mark(1)).await.unwrap();
    }
    model
}

/// The folders of engines in a data directory.
fn folders(place: &Place) -> Vec<String> {
    let names = fs::read_dir(place.data()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut found: Vec<_> = names
        .filter(|name| name.starts_with("sled") || name.starts_with("redb"))
        .collect();
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_written_to_moves_and_keeps_every_commit() {
    for (from, to) in PAIRS {
        let mut place = Place::of(from);
        let store = place.create();
        fill(&store, 1500).await;
        let over = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..4)
            .map(|writer| tokio::spawn(write_on(store.clone(), writer, Arc::clone(&over))))
            .collect();
        let (reader, stop, reads) = (
            store.clone(),
            Arc::clone(&over),
            Arc::new(AtomicUsize::new(0)),
        );
        let counted = Arc::clone(&reads);
        let reading = tokio::spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                assert!(reader.get(&key("00007")).await.unwrap().is_some());
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
        });
        let (moving, progress) = (store.clone(), Arc::new(Progress::default()));
        let watched = Arc::clone(&progress);
        let moved = tokio::task::spawn_blocking(move || moving.rewrite(to, &watched)).await;
        let moved = moved.unwrap().unwrap();
        assert_eq!(moved.engine, to);
        assert!(moved.records > 1500 && progress.records().0 > 1500);
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        over.store(true, Ordering::SeqCst);
        reading.await.unwrap();
        assert!(reads.load(Ordering::SeqCst) > 0);
        let mut expected = BTreeMap::new();
        for writer in writers {
            expected.extend(writer.await.unwrap());
        }
        let found = contents(&store).await;
        let written: BTreeMap<_, _> = found
            .iter()
            .filter(|(key, _)| expected.contains_key(key))
            .cloned()
            .collect();
        assert!(written == expected, "{from} to {to}");
        assert_eq!(found.len(), 1501 + expected.len(), "{from} to {to}");
        assert_eq!(store.engine_kind(), Some(to));
        assert_eq!(folders(&place), [format!("{to}-2")]);
        let generation = store.generation();
        store.close();
        drop(store);
        place.kind = to;
        let store = place.open().unwrap();
        assert_eq!(store.generation(), generation);
        assert!(contents(&store).await == found);
    }
}

#[tokio::test]
async fn a_copy_that_was_begun_is_gone_on_with_and_one_that_is_damaged_is_begun_anew() {
    for (from, to) in PAIRS {
        for damaged in [false, true] {
            let place = Place::of(from);
            let store = place.create();
            fill(&store, 400).await;
            let expected = contents(&store).await;
            let (engine, ..) = store.parts();
            let copy = engine
                .disk()
                .unwrap()
                .begin_copy(to, super::disk::Names::Same)
                .unwrap();
            // Two that are right, one that was changed since, and two that are gone: before and after all.
            let right = |n: usize| (expected[n].0.as_bytes(), expected[n].1.as_bytes());
            let last = [0xff_u8; 40];
            let begun = [
                Write::Put(right(5).0, right(5).1),
                Write::Put(right(300).0, right(300).1),
                Write::Put(right(200).0, right(201).1),
                Write::Put(&[0], right(7).1),
                Write::Put(&last, right(7).1),
            ];
            copy.engine.apply(&begun).unwrap();
            drop(copy);
            let folder = place.data().join(format!("{to}-2"));
            if damaged {
                fs::write(folder.join("db"), vec![0xa5; 100_000]).unwrap();
            }
            store.rewrite(to, &Progress::default()).unwrap();
            assert_eq!(folders(&place), [format!("{to}-2")]);
            assert!(contents(&store).await == expected);
            drop((store, engine));
            let place = Place { kind: to, ..place };
            assert!(contents(&place.open().unwrap()).await == expected);
        }
    }
}

#[tokio::test]
async fn a_store_that_has_lost_or_gained_a_record_is_not_moved() {
    for (from, to) in PAIRS {
        let place = Place::of(from);
        let store = place.create();
        fill(&store, 300).await;
        let (engine, ..) = store.parts();
        let victim = key("00017");
        let bytes = engine.get(victim.as_bytes()).unwrap().unwrap();
        let damage = [
            Write::Delete(victim.as_bytes()),
            Write::Put(b"\x10 foreign", &bytes),
        ];
        for write in damage {
            engine.apply(&[write]).unwrap();
            let refused = store.rewrite(to, &Progress::default()).unwrap_err();
            assert!(matches!(refused, StoreError::Damaged { .. }), "{refused:?}");
            assert_eq!(store.engine_kind(), Some(from));
            assert!(place.files().exists());
            engine
                .apply(&[Write::Put(victim.as_bytes(), &bytes)])
                .unwrap();
        }
        engine.apply(&[Write::Delete(b"\x10 foreign")]).unwrap();
        assert!(store.healthy());
        store.rewrite(to, &Progress::default()).unwrap();
        assert!(store.get(&victim).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn one_that_is_stopped_leaves_the_store_where_it_was_and_its_copy_for_the_next() {
    let place = Place::new();
    let store = place.create();
    fill(&store, 300).await;
    let progress = Progress::default();
    progress.stop();
    let stopped = store.rewrite(EngineKind::Redb, &progress).unwrap_err();
    assert_eq!(stopped, StoreError::Stopped);
    assert_eq!(folders(&place), ["redb-2", "sled"]);
    store
        .commit(put("after", record(9)), mark(1))
        .await
        .unwrap();
    drop(store);
    // A start leaves it, too.
    let store = place.open().unwrap();
    assert_eq!(folders(&place), ["redb-2", "sled"]);
    store.discard_unfinished().unwrap();
    assert_eq!(folders(&place), ["sled"]);
    let (engine, ..) = store.parts();
    let turn = engine.disk().unwrap().turn().unwrap();
    let refused = store.rewrite(EngineKind::Sled, &Progress::default());
    assert_eq!(refused, Err(StoreError::Rewriting));
    assert_eq!(store.discard_unfinished(), Err(StoreError::Rewriting));
    drop(turn);
    store.close();
    let refused = store.rewrite(EngineKind::Sled, &Progress::default());
    assert_eq!(refused, Err(StoreError::Closed));
}

#[tokio::test]
async fn nothing_is_removed_once_it_cannot_be_told_which_files_are_the_stores() {
    for (kind, other) in [
        (EngineKind::Sled, EngineKind::Redb),
        (EngineKind::Redb, EngineKind::Sled),
    ] {
        let place = Place::of(kind);
        let store = place.create();
        fill(&store, 300).await;
        let stopped = Progress::default();
        stopped.stop();
        let begun = store.rewrite(kind, &stopped);
        assert_eq!(begun, Err(StoreError::Stopped));
        let before = folders(&place);
        assert_eq!(before.len(), 2);
        // As a switch leaves it whose marker was written, and is not known to be durable.
        store.shared().end(super::writer::Health::Failed);
        assert_eq!(store.discard_unfinished(), Err(StoreError::Failed));
        for kind in [kind, other] {
            let refused = store.rewrite(kind, &Progress::default());
            assert_eq!(refused, Err(StoreError::Failed));
        }
        assert_eq!(folders(&place), before);
    }
}

#[tokio::test]
async fn nothing_is_written_any_more_once_the_marker_may_name_other_files() {
    for kind in EngineKind::ALL {
        let place = Place::of(kind);
        let engine = place.engine().unwrap();
        let store = create(Arc::clone(&engine), &place.anchor()).unwrap();
        fill(&store, 60).await;
        // The marker's next text has no place to stand.
        fs::create_dir(place.data().join("format.new")).unwrap();
        store.rewrite(kind, &Progress::default()).unwrap_err();
        drop(store);
        // Sealed and unsealed: another store over the same files.
        let again = open(engine, &place.anchor()).unwrap();
        let late = again.commit(put("late", record(1)), mark(2)).await;
        assert!(late.is_err());
        assert_eq!(again.discard_unfinished(), Err(StoreError::Failed));
        drop(again);
        fs::remove_dir(place.data().join("format.new")).unwrap();
        place.open().unwrap();
    }
}

#[tokio::test]
async fn files_that_were_replaced_before_a_kill_go_at_the_next_start() {
    let place = Place::new();
    let store = place.create();
    fill(&store, 200).await;
    let before = place.copy();
    store
        .rewrite(EngineKind::Sled, &Progress::default())
        .unwrap();
    let expected = contents(&store).await;
    drop(store);
    // Part of the old ones is gone already.
    super::tests_support::copy_dir(&before.files(), &place.files());
    fs::remove_file(place.files().join("conf")).unwrap();
    assert_eq!(folders(&place), ["sled", "sled-2"]);
    let store = place.open().unwrap();
    assert_eq!(folders(&place), ["sled-2"]);
    assert!(contents(&store).await == expected);
}

#[tokio::test]
async fn compacting_gives_back_what_changes_and_deletions_have_left() {
    for kind in EngineKind::ALL {
        let place = Place::of(kind);
        let store = place.create();
        // sled's smallest file is a segment of 8 MiB: four times that is written, and little is left.
        for round in 0..10 {
            for first in (0..400).step_by(100) {
                let mut batch = Batch::new();
                for n in first..first + 100 {
                    batch.put(key(&format!("{n:03}")), record_of(round, 8_000));
                }
                store.commit(batch, mark(1)).await.unwrap();
            }
        }
        for first in (0..300).step_by(100) {
            let mut batch = Batch::new();
            for n in first..first + 100 {
                batch.delete(key(&format!("{n:03}")));
            }
            store.commit(batch, mark(1)).await.unwrap();
        }
        let expected = contents(&store).await;
        let done = store.rewrite(kind, &Progress::default()).unwrap();
        println!(
            "{kind}: {} bytes before, {} after",
            done.bytes_before, done.bytes_after
        );
        assert_eq!(done.records, 101);
        assert!(done.bytes_after * 2 < done.bytes_before, "{kind}: {done:?}");
        assert_eq!(store.occupied_bytes(), Ok(done.bytes_after));
        assert!(contents(&store).await == expected);
    }
}

#[tokio::test]
async fn a_store_is_measured_while_a_copy_takes_its_place() {
    for kind in EngineKind::ALL {
        let place = Place::of(kind);
        let store = place.create();
        fill(&store, 200).await;
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let measuring = scope.spawn(|| {
                let mut times = 0;
                while !over.load(Ordering::SeqCst) {
                    assert!(store.occupied_bytes().unwrap() > 0, "{kind}");
                    times += 1;
                }
                times
            });
            for _ in 0..12 {
                store.rewrite(kind, &Progress::default()).unwrap();
            }
            over.store(true, Ordering::SeqCst);
            assert!(measuring.join().unwrap() > 0);
        });
    }
}

#[tokio::test]
async fn a_store_in_memory_has_no_files_to_replace() {
    let place = Place::new();
    let engine = Arc::new(MemoryEngine::new());
    let store = create(shared(&engine), &place.anchor()).unwrap();
    let refused = store.rewrite(EngineKind::Sled, &Progress::default());
    assert_eq!(refused, Err(StoreError::NotOnDisk));
    assert_eq!(store.discard_unfinished(), Err(StoreError::NotOnDisk));
    assert_eq!(store.engine_kind(), None);
    drop(store);
    drop(open(shared(&engine), &place.anchor()).unwrap());
    drop(DiskEngine::open(&place.data(), EngineKind::Sled, CACHE).unwrap());
}
