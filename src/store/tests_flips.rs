//! Everything that can become of the store's own forms on disk: its format marker, its records, the record
//! of its state, a spool file.

use std::fs;
use std::sync::Arc;

use super::tests_support::{
    CACHE, Place, contents, copy_dir, create, key, mark, open, put, record, record_of, shared,
};
use super::{
    DiskEngine, Engine, EngineKind, MemoryEngine, Progress, Spool, StoreError, StoreKey, Write,
};
use crate::crypto::Record;
use crate::damage::Harm;

/// A store in the second folder of `kind`, and beside it a copy that never became the store.
async fn compacted(kind: EngineKind) -> (Place, Record) {
    let place = Place::of(kind);
    let store = place.create();
    let kept = record(1);
    store.commit(put("a", kept.clone()), mark(1)).await.unwrap();
    store.rewrite(kind, &Progress::default()).unwrap();
    drop(store);
    let other = Place::of(kind);
    drop(other.create());
    copy_dir(&other.files(), &place.data().join(format!("{kind}-3")));
    (place, kept)
}

#[tokio::test]
async fn whatever_becomes_of_the_format_marker_the_store_is_not_touched() {
    for kind in EngineKind::ALL {
        let (place, kept) = compacted(kind).await;
        let marker = place.data().join("format");
        let sound = fs::read(&marker).unwrap();
        assert_eq!(
            sound,
            format!("runtools-broker store 2 {kind} 2\n").as_bytes()
        );
        let folders = || {
            let entries = fs::read_dir(place.data()).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let before = folders();
        for harm in Harm::every(sound.len()) {
            fs::write(&marker, harm.of(&sound)).unwrap();
            let refused = place.open().unwrap_err();
            let told = matches!(
                refused,
                StoreError::Format | StoreError::Damaged { .. } | StoreError::RolledBack { .. }
            );
            assert!(told, "{kind} {harm:?}: {refused:?}");
            assert_eq!(folders(), before, "{kind} {harm:?}");
        }
        fs::write(&marker, sound).unwrap();
        let store = place.open().unwrap();
        assert_eq!(store.get(&key("a")).await.unwrap(), Some(kept));
    }
}

#[tokio::test]
async fn whatever_becomes_of_a_record_or_of_the_state_the_store_does_not_open() {
    let place = Place::new();
    let engine = Arc::new(MemoryEngine::new());
    let store = create(shared(&engine), &place.anchor()).unwrap();
    store
        .commit(put("a", record_of(1, 20)), mark(1))
        .await
        .unwrap();
    let expected = contents(&store).await;
    drop(store);
    for place_of in [key("a").as_bytes(), StoreKey::STATE] {
        let sound = engine.get(place_of).unwrap().unwrap();
        for harm in Harm::every(sound.len()) {
            engine
                .apply(&[Write::Put(place_of, &harm.of(&sound))])
                .unwrap();
            let refused = open(shared(&engine), &place.anchor()).unwrap_err();
            assert!(
                matches!(refused, StoreError::Damaged { .. }),
                "{harm:?}: {refused:?}"
            );
        }
        engine.apply(&[Write::Put(place_of, &sound)]).unwrap();
    }
    let store = open(shared(&engine), &place.anchor()).unwrap();
    assert!(contents(&store).await == expected);
}

#[test]
fn whatever_becomes_of_a_spool_file_its_records_are_no_others_of_the_same_form() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::new(folder.path().join("spool"));
    let records = vec![record_of(1, 10), record_of(2, 30)];
    spool.put([7; 16], &records).unwrap();
    let file = folder
        .path()
        .join(format!("spool/{}.spool", "07".repeat(16)));
    let sound = fs::read(&file).unwrap();
    let first = 8 + 4 + records[0].as_bytes().len();
    for harm in Harm::every(sound.len()) {
        fs::write(&file, harm.of(&sound)).unwrap();
        let read = spool.all().unwrap();
        let [(name, read)] = &read[..] else {
            panic!("{harm:?}: {read:?}")
        };
        assert_eq!(*name, [7; 16]);
        let Some(read) = read else { continue };
        match harm {
            // Between two records it ends well: who reads it wants two.
            Harm::Cut(at) => assert!(at == 8 || at == first, "{at}"),
            // A box of the same length with another byte in it, which does not open.
            Harm::Flipped { .. } => {
                let lengths = |all: &[Record]| -> Vec<_> {
                    all.iter().map(|it| it.as_bytes().len()).collect()
                };
                assert_eq!(lengths(read), lengths(&records), "{harm:?}");
                assert_ne!(*read, records, "{harm:?}");
            }
            Harm::Longer(_) | Harm::Twice => panic!("{harm:?}: {read:?}"),
        }
    }
}

#[test]
fn looking_at_the_files_removes_none() {
    let place = Place::of(EngineKind::Redb);
    drop(place.create());
    let left = place.data().join("sled");
    fs::create_dir(&left).unwrap();
    let marker = "runtools-broker store 2 redb 2\n";
    fs::rename(place.files(), place.data().join("redb-2")).unwrap();
    fs::write(place.data().join("format"), marker).unwrap();
    drop(DiskEngine::open(&place.data(), EngineKind::Redb, CACHE).unwrap());
    assert!(left.exists(), "nobody has said yet whose files these are");
    drop(place.open().unwrap());
    assert!(!left.exists());
}
