//! Older, emptier and altered stores: refused with a reason, or exactly right. Never wrong.
//!
//! A few bytes of each file are flipped; with `RUNTOOLS_SLOW=1` in the environment, every one.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use super::tests_support::{
    Dice, Place, contents, create, key, mark, open, put, record, record_of, shared,
};
use super::{Batch, EngineKind, MemoryEngine, Store, StoreError, StoreKey};
use crate::crypto::Record;

type Contents = Vec<(StoreKey, Record)>;

async fn fill(store: &Store, from: usize, to: usize) {
    for n in from..to {
        let mut batch = put(&format!("key{n:04}"), record_of(1, 50 + n % 300));
        if n % 5 == 0 {
            batch.put(key("often"), record(2));
            batch.delete(key(&format!("key{:04}", n / 2)));
        }
        store.commit(batch, mark(1)).await.unwrap();
    }
}

/// Opens a store aside, with a limit, and compares what it serves.
fn outcome(place: Place, expected: Arc<Contents>) -> Result<(), StoreError> {
    let (done, outcome) = mpsc::channel();
    thread::spawn(move || {
        let opened = place.open().map(|store| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            let found = runtime.block_on(contents(&store));
            assert!(found == *expected, "a damaged store served something else");
        });
        done.send(opened).unwrap();
    });
    outcome
        .recv_timeout(Duration::from_mins(1))
        .expect("opening neither hangs nor panics, and never serves something else")
}

fn engine_files(place: &Place) -> Vec<PathBuf> {
    let mut names: Vec<_> = fs::read_dir(place.files())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| PathBuf::from(entry.file_name()))
        .collect();
    names.sort();
    names
}

fn flip(path: &Path, at: u64, mask: u8) {
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ mask], at).unwrap();
}

/// sled's files without and with a snapshot, and redb's as a kill and as a close leaves them; with what
/// each place holds.
async fn samples(kind: EngineKind) -> [(Place, Arc<Contents>); 2] {
    let used = Place::of(kind);
    let store = used.create();
    fill(&store, 0, 120).await;
    let expected = Arc::new(contents(&store).await);
    if kind == EngineKind::Redb {
        let killed = used.copy();
        store.close();
        drop(store);
        return [(killed, Arc::clone(&expected)), (used, expected)];
    }
    store.close();
    drop(store);
    let with_snapshot = used.copy();
    drop(with_snapshot.open().unwrap());
    assert!(
        engine_files(&with_snapshot)
            .iter()
            .any(|name| name.to_string_lossy().starts_with("snap."))
    );
    [(used, Arc::clone(&expected)), (with_snapshot, expected)]
}

#[expect(clippy::disallowed_methods, reason = "who runs it says how long")]
fn is_slow() -> bool {
    std::env::var_os("RUNTOOLS_SLOW").is_some()
}

/// Some places where a byte is flipped. In the slow run all of them, and of a sector of zeros its first.
fn spots(bytes: &[u8], samples: usize, dice: &mut Dice) -> Vec<usize> {
    if is_slow() {
        let sectors = bytes.chunks(512).zip((0..bytes.len()).step_by(512));
        let all = sectors.flat_map(|(sector, at)| {
            let empty = sector.iter().all(|byte| *byte == 0);
            at..at + if empty { 1 } else { sector.len() }
        });
        return all.collect();
    }
    // Most of a database file may be empty: look where the records are.
    let within = bytes.len().min(100_000);
    (0..samples).map(|_| dice.below(within)).collect()
}

#[tokio::test]
async fn one_flipped_byte_is_refused_or_harmless() {
    for kind in EngineKind::ALL {
        let mut dice = Dice(7);
        let (mut refused, mut harmless) = (0, 0);
        for (place, expected) in samples(kind).await {
            for name in engine_files(&place) {
                // Three quarters of redb's file are pages that newer ones have replaced.
                let samples = match (kind, name == Path::new("db")) {
                    (EngineKind::Redb, _) => 60,
                    (EngineKind::Sled, true) => 20,
                    (EngineKind::Sled, false) => 5,
                };
                let bytes = fs::read(place.files().join(&name)).unwrap();
                for at in spots(&bytes, samples, &mut dice) {
                    let copy = place.copy();
                    let mask = 1 << dice.below(8);
                    flip(&copy.files().join(&name), u64::try_from(at).unwrap(), mask);
                    match outcome(copy, Arc::clone(&expected)) {
                        Ok(()) => harmless += 1,
                        Err(_) => refused += 1,
                    }
                }
            }
        }
        println!("{kind}, flipped bytes: {refused} refused, {harmless} harmless");
        assert!(refused > 10, "{kind}: {refused}");
    }
}

#[tokio::test]
async fn a_truncated_or_missing_file_is_refused_or_harmless() {
    for kind in EngineKind::ALL {
        let mut dice = Dice(11);
        let (mut refused, mut harmless) = (0, 0);
        for (place, expected) in samples(kind).await {
            for name in engine_files(&place) {
                let length = fs::metadata(place.files().join(&name)).unwrap().len();
                let inside = usize::try_from(length.min(100_000)).unwrap();
                let cuts = [0, dice.below(inside), dice.below(inside), inside - 1];
                for cut in cuts.into_iter().map(Some).chain([None]) {
                    let copy = place.copy();
                    let path = copy.files().join(&name);
                    match cut {
                        Some(cut) => {
                            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
                            file.set_len(u64::try_from(cut).unwrap()).unwrap();
                        }
                        None => fs::remove_file(path).unwrap(),
                    }
                    match outcome(copy, Arc::clone(&expected)) {
                        Ok(()) => harmless += 1,
                        Err(_) => refused += 1,
                    }
                }
            }
        }
        println!("{kind}, cut files: {refused} refused, {harmless} harmless");
        assert!(refused > 5, "{kind}: {refused}");
    }
}

#[tokio::test]
async fn an_older_copy_is_refused_and_names_both_generations() {
    for kind in EngineKind::ALL {
        older_copy_is_refused(Place::of(kind)).await;
    }
}

async fn older_copy_is_refused(place: Place) {
    let store = place.create();
    fill(&store, 0, 5).await;
    store.close();
    drop(store);
    let older = place.copy();
    let store = place.open().unwrap();
    fill(&store, 5, 9).await;
    store.close();
    drop(store);

    fs::remove_dir_all(place.data()).unwrap();
    super::tests_support::copy_dir(&older.data(), &place.data());
    let refused = place.open().unwrap_err();
    let (store, anchor) = (6, 10);
    assert_eq!(refused, StoreError::RolledBack { store, anchor });
    assert!(refused.to_string().contains("generation 6"));

    // The other way round the anchor lags, as it may after a power cut.
    fs::copy(older.anchor(), place.anchor()).unwrap();
    drop(place.open().unwrap());
}

#[tokio::test]
async fn an_emptied_directory_or_a_lost_anchor_is_refused() {
    let place = Place::new();
    assert_eq!(place.open().unwrap_err(), StoreError::NotCreated);
    drop(place.create());
    let whole = place.copy();

    fs::remove_dir_all(place.data()).unwrap();
    assert_eq!(place.open().unwrap_err(), StoreError::Emptied);
    let made_anew = create(place.engine().unwrap(), &place.anchor());
    assert_eq!(made_anew.unwrap_err(), StoreError::Emptied);

    let again = create(whole.engine().unwrap(), &whole.anchor());
    assert_eq!(again.unwrap_err(), StoreError::NotEmpty);
    fs::remove_file(whole.anchor()).unwrap();
    assert_eq!(whole.open().unwrap_err(), StoreError::AnchorMissing);
    fs::write(whole.anchor(), [0; 1024]).unwrap();
    assert_eq!(whole.open().unwrap_err(), StoreError::AnchorDamaged);
}

#[tokio::test]
async fn a_record_that_was_swapped_under_the_store_is_noticed() {
    use super::{Engine, Write};
    let place = Place::new();
    let engine = Arc::new(MemoryEngine::new());
    let store = create(shared(&engine), &place.anchor()).unwrap();
    let mut batch = Batch::new();
    batch.put(key("a"), record(1));
    batch.put(key("b"), record(2));
    store.commit(batch, mark(1)).await.unwrap();
    drop(store);
    let [a, b] = ["a", "b"].map(|name| key(name).as_bytes().to_vec());
    let [old_a, old_b] = [&a, &b].map(|key| engine.get(key).unwrap().unwrap());
    let c = key("c").as_bytes().to_vec();
    let unknown = [0xee, 1];
    let attacks = [
        vec![Write::Put(&a, &old_b), Write::Put(&b, &old_a)],
        vec![Write::Delete(&a)],
        vec![Write::Put(&c, &old_a)],
        vec![Write::Put(&unknown, &old_a)],
    ];
    let mend = [
        Write::Put(&a, &old_a),
        Write::Put(&b, &old_b),
        Write::Delete(&c),
        Write::Delete(&unknown),
    ];
    for attack in attacks {
        engine.apply(&attack).unwrap();
        let refused = open(shared(&engine), &place.anchor()).unwrap_err();
        assert!(matches!(refused, StoreError::Damaged { .. }));
        engine.apply(&mend).unwrap();
        drop(open(shared(&engine), &place.anchor()).unwrap());
    }
}

#[tokio::test]
async fn a_half_written_snapshot_does_not_keep_the_store_from_opening() {
    let [_, (place, expected)] = samples(EngineKind::Sled).await;
    let stale = place.data().join("sled/snap.FFFFFFFFFFFFFFF0.generating");
    fs::write(&stale, b"half").unwrap();
    outcome(place.copy(), expected).unwrap();
    drop(place.open().unwrap());
    assert!(!stale.exists());
}

#[tokio::test]
async fn a_directory_in_use_or_of_another_format_is_refused() {
    for kind in EngineKind::ALL {
        in_use_or_of_another_format(&Place::of(kind));
    }
}

fn in_use_or_of_another_format(place: &Place) {
    let store = place.create();
    assert_eq!(place.open().unwrap_err(), StoreError::Locked);
    drop(store);
    let format = place.data().join("format");
    for other in [
        "runtools-broker store 2\n",
        "runtools-broker store 3 redb 1\n",
        "",
        "runtools-broker store 1\n\n",
    ] {
        fs::write(&format, other).unwrap();
        assert_eq!(place.open().unwrap_err(), StoreError::Format);
    }
    fs::remove_file(&format).unwrap();
    assert_eq!(place.open().unwrap_err(), StoreError::Format);
}

#[tokio::test]
async fn nobody_else_may_read_the_files() {
    for kind in EngineKind::ALL {
        private_files(&Place::of(kind));
    }
}

fn private_files(place: &Place) {
    drop(place.create());
    drop(place.open().unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.anchor()), 0o600);
    let mut dirs = vec![place.data()];
    while let Some(dir) = dirs.pop() {
        assert_eq!(mode(&dir), 0o700);
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
            } else {
                assert_eq!(mode(&entry.path()), 0o600, "{:?}", entry.file_name());
            }
        }
    }
}

#[tokio::test]
async fn the_longest_records_side_by_side_never_become_loose_files() {
    let place = Place::new();
    let store = place.create();
    for round in 0..3 {
        for n in 0..40 {
            let name = format!("{n:02}");
            let length = if n % 2 == 0 { 70 * 1024 } else { 95 * 1024 };
            store
                .commit(put(&name, record_of(round, length)), mark(1))
                .await
                .unwrap();
        }
    }
    for n in 10..30 {
        let mut batch = Batch::new();
        batch.delete(key(&format!("{n:02}")));
        store.commit(batch, mark(1)).await.unwrap();
    }
    for n in 0..10 {
        store
            .commit(put(&format!("{n:02}"), record_of(9, 95 * 1024)), mark(1))
            .await
            .unwrap();
    }
    let loose = place.data().join("sled/blobs");
    assert_eq!(fs::read_dir(&loose).unwrap().count(), 0);
    drop(store);
    let store = place.open().unwrap();
    assert_eq!(store.records(), 21);
    assert_eq!(fs::read_dir(&loose).unwrap().count(), 0);
}

#[test]
fn a_path_that_is_a_file_is_refused() {
    let place = Place::new();
    fs::write(place.data(), b"").unwrap();
    let refused = place.engine().unwrap_err();
    assert!(matches!(refused, StoreError::Io { .. }), "{refused:?}");
    assert!(!refused.hint().is_empty());
}
