//! The segments of the audit journal.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::golden::{
    GOLDEN, assert_no_panic, check_all, copy, cut, doctor, flip, installation, refuses, segments,
    small_segments,
};
use crate::harness::Broker;

/// Harms the file at a path.
type Damage = fn(&Path);

#[test]
fn the_doctor_finds_nothing_to_mend_where_nothing_is_damaged() {
    let well = doctor(installation().path());
    assert_eq!(well.exit, 0, "{}", well.stdout);
}

#[test]
fn a_damaged_journal_is_refused_with_its_own_words() {
    let all = segments(&GOLDEN.folder.path().join("data")).len();
    assert!(all >= 2);
    let last = |f: &Path| segments(&f.join("data")).pop().unwrap();
    let length = fs::metadata(last(GOLDEN.folder.path())).unwrap().len();
    let middle = usize::try_from(length / 2).unwrap();
    refuses(
        "last segment flipped",
        |f| flip(&last(f), middle),
        "the audit journal is damaged",
        "keep a copy of data/ and keys/",
    );
    refuses(
        "last segment's head flipped",
        |f| flip(&last(f), 20),
        "audit",
        "data/audit",
    );
    refuses(
        "last segment emptied",
        |f| cut(&last(f), 0),
        "audit",
        "backups of one moment",
    );
    refuses(
        "journal cut",
        |f| cut(&last(f), length / 2),
        "the store remembers audit record",
        "store and audit belong together",
    );
    refuses(
        "journal gone",
        |f| fs::remove_dir_all(f.join("data/audit")).unwrap(),
        "the store remembers audit record",
        "store and audit belong together",
    );
    let segments_gone = |f: &Path| {
        for segment in segments(&f.join("data")) {
            fs::remove_file(segment).unwrap();
        }
    };
    refuses(
        "segments gone",
        segments_gone,
        "the store remembers audit record",
        "store and audit belong together",
    );
    let older = |f: &Path| {
        fs::remove_dir_all(f.join("data/audit")).unwrap();
        copy(
            &GOLDEN.early.path().join("data/audit"),
            &f.join("data/audit"),
        );
    };
    refuses(
        "journal rolled back",
        older,
        "the store remembers audit record",
        "store and audit belong together",
    );
}

/// Earlier segments are not read at the start, which would take for ever: verification finds them.
#[test]
fn a_damaged_earlier_segment_is_found_by_verification() {
    let names: Vec<_> = segments(&GOLDEN.folder.path().join("data"))
        .iter()
        .map(|path| path.file_name().unwrap().to_owned())
        .collect();
    for name in &names[..names.len() - 1] {
        let damages: [(&str, Damage); 4] = [
            ("flipped", |path| {
                flip(
                    path,
                    usize::try_from(fs::metadata(path).unwrap().len()).unwrap() / 2,
                );
            }),
            ("cut", |path| {
                cut(path, fs::metadata(path).unwrap().len() / 2);
            }),
            ("emptied", |path| cut(path, 0)),
            ("deleted", |path| fs::remove_file(path).unwrap()),
        ];
        for (how, damage) in damages {
            let folder = installation();
            let path = folder.path().join("data/audit").join(name);
            damage(&path);
            let found = doctor(folder.path());
            assert_eq!(found.exit, 1, "{how}: {}", found.stdout);
            let broker = Broker::over(Arc::clone(&folder), small_segments());
            let reply = broker.operator().send("POST", "/v1/audit/verify", None);
            let found = reply.expect(200);
            assert_eq!(found["data"]["state"], "tampered", "{how}: {found}");
            assert!(
                found["data"]["finding"].is_string() && found["data"]["firstBad"].is_u64(),
                "{how}: {found}"
            );
            fs::copy(GOLDEN.folder.path().join("data/audit").join(name), &path).unwrap();
            check_all(&broker.operator());
            assert_no_panic(&broker.log_text());
        }
    }
}
