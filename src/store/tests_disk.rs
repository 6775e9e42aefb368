//! Folders, engines, and what is refused before anything is touched.

use std::fs;

use super::super::tests_support::{Place, contents, key, mark, put, record};
use super::super::{EngineKind, StoreError, Write, engine_at};

#[tokio::test]
async fn a_store_of_the_other_engine_is_refused_untouched_and_names_the_way_over() {
    for (kind, other) in [
        (EngineKind::Sled, EngineKind::Redb),
        (EngineKind::Redb, EngineKind::Sled),
    ] {
        let mut place = Place::of(kind);
        let store = place.create();
        store.commit(put("a", record(1)), mark(1)).await.unwrap();
        let expected = contents(&store).await;
        drop(store);
        place.kind = other;
        let refused = place.engine().unwrap_err();
        assert_eq!(refused, StoreError::OtherEngine { found: kind });
        let hint = refused.hint();
        assert!(
            hint.contains(&format!("store migrate --to {other}")),
            "{hint}"
        );
        assert!(
            hint.contains(&format!("store.engine = \"{kind}\"")),
            "{hint}"
        );
        assert!(!place.files().exists());
        let found = engine_at(&place.data()).unwrap().unwrap();
        place.kind = kind;
        assert_eq!(found, (kind, place.files()));
        let store = place.open().unwrap();
        assert!(store.get(&key("a")).await.unwrap().is_some());
        assert!(contents(&store).await == expected);
    }
}

#[test]
fn a_first_file_of_redbs_that_a_kill_left_half_made_is_made_anew() {
    let place = Place::of(EngineKind::Redb);
    fs::create_dir_all(place.files()).unwrap();
    fs::write(
        place.data().join("format"),
        "runtools-broker store 2 redb 1\n",
    )
    .unwrap();
    fs::write(place.files().join("db.new"), [7; 5000]).unwrap();
    let engine = place.engine().unwrap();
    engine.apply(&[Write::Put(b"a", b"1")]).unwrap();
    assert!(!place.files().join("db.new").exists());
    // Emptied, it is no fresh one.
    drop(engine);
    fs::write(place.files().join("db"), b"").unwrap();
    let refused = place.engine().unwrap_err();
    assert!(matches!(refused, StoreError::Damaged { .. }), "{refused:?}");
    assert_eq!(fs::read(place.files().join("db")).unwrap(), b"");
}

#[test]
fn a_range_that_ends_before_it_begins_is_empty() {
    for kind in EngineKind::ALL {
        let engine = Place::of(kind);
        let engine = engine.engine().unwrap();
        engine.apply(&[Write::Put(b"b", b"1")]).unwrap();
        let visit = |from: &[u8], until: &[u8]| {
            let mut seen = 0;
            let counted = engine.visit(from, Some(until), &mut |_, _| {
                seen += 1;
                Ok(())
            });
            counted.unwrap();
            seen
        };
        assert_eq!(visit(b"c", b"a"), 0, "{kind}");
        assert_eq!(visit(b"b", b"b"), 0, "{kind}");
        assert_eq!(visit(b"a", b"c"), 1, "{kind}");
        assert_eq!(engine.len(), Ok(1));
        assert_eq!(engine.scan(b"", None, 0).unwrap(), vec![]);
    }
}
