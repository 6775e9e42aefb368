//! The anchor, the database and its format marker.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::golden::{
    GOLDEN, assert_no_panic, check_all, content, copy, cut, flip, installation, put_back, refuses,
    small_segments, unready,
};
use crate::harness::{Broker, Setup};

/// Harms the file at a path.
type Damage = dyn Fn(&Path);

#[test]
fn a_damaged_anchor_is_refused_with_its_own_words() {
    let anchor = |folder: &Path| folder.join("data/anchor");
    let both = |f: &Path| {
        flip(&anchor(f), 30);
        flip(&anchor(f), 512 + 30);
    };
    refuses(
        "anchor flipped",
        both,
        "the anchor file is damaged",
        "Put back data/ and keys/ of one copy",
    );
    refuses(
        "anchor cut",
        |f| cut(&anchor(f), 100),
        "the anchor file is damaged",
        "Put back data/ and keys/ of one copy",
    );
    refuses(
        "anchor emptied",
        |f| cut(&anchor(f), 0),
        "the anchor file is damaged",
        "Put back data/ and keys/ of one copy",
    );
    refuses(
        "anchor deleted",
        |f| fs::remove_file(anchor(f)).unwrap(),
        "the anchor file of the store is missing",
        "Put back data/ and keys/ of one copy",
    );
}

#[test]
fn one_torn_slot_of_the_anchor_is_no_harm() {
    for at in [30, 512 + 30] {
        let folder = installation();
        flip(&folder.path().join("data/anchor"), at);
        check_all(&Broker::over(folder, small_segments()).operator());
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a journey is told in one piece")]
fn an_older_or_emptied_store_is_refused_with_its_own_words() {
    let older = |f: &Path| {
        fs::remove_dir_all(f.join("data/store")).unwrap();
        copy(
            &GOLDEN.early.path().join("data/store"),
            &f.join("data/store"),
        );
    };
    refuses(
        "store rolled back",
        older,
        "the store is an older copy",
        "Put back the newest copy",
    );
    let older_with_anchor = |f: &Path| {
        older(f);
        copy(
            &GOLDEN.early.path().join("data/anchor"),
            &f.join("data/anchor"),
        );
    };
    refuses(
        "store and anchor rolled back",
        older_with_anchor,
        "later state of the store",
        "store and audit belong together",
    );
    let no_data = |f: &Path| fs::remove_dir_all(f.join("data")).unwrap();
    refuses(
        "data gone",
        no_data,
        "the data directory is empty",
        "the right data directory is mounted",
    );
    let emptied = |f: &Path| {
        fs::remove_dir_all(f.join("data/store/sled")).unwrap();
    };
    refuses(
        "engine gone",
        emptied,
        "the data directory is empty",
        "the right data directory is mounted",
    );
    let format = |f: &Path| f.join("data/store/format");
    for (what, damage) in [
        (
            "format flipped",
            Box::new(|f: &Path| flip(&format(f), 3)) as Box<dyn Fn(&Path)>,
        ),
        ("format emptied", Box::new(|f: &Path| cut(&format(f), 0))),
        (
            "format deleted",
            Box::new(|f: &Path| fs::remove_file(format(f)).unwrap()),
        ),
    ] {
        refuses(
            what,
            damage,
            "no store of a format known to this version",
            "Check the data directory's path",
        );
    }
}

#[test]
fn a_store_of_the_other_engine_is_refused_and_the_way_over_is_named() {
    let folder = installation();
    let setup = Setup {
        config: "[store]\nengine = \"redb\"\n[audit]\nsegment_mb = 1".into(),
        unready: true,
        ..Setup::default()
    };
    let before = content(folder.path());
    let mut broker = Broker::over(Arc::clone(&folder), setup);
    let code = broker.wait(Duration::from_secs(30));
    let log = broker.log_text();
    assert_eq!(code, Some(1), "{log}");
    let error = "error: the store is sled's, and the settings name another engine\n";
    assert!(log.contains(error), "{log}");
    assert!(
        log.contains("runtools-broker store migrate --to redb"),
        "{log}"
    );
    assert_eq!(content(folder.path()), before);
    check_all(&Broker::over(folder, small_segments()).operator());
}

#[test]
fn a_damaged_database_is_never_served() {
    let sled = GOLDEN.folder.path().join("data/store/sled");
    let mut files: Vec<_> = fs::read_dir(&sled)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_file())
        .collect();
    files.sort();
    let (mut refusals, mut harmless) = (0, 0);
    for file in files {
        let bytes = fs::read(&file).unwrap();
        let used: Vec<_> = (0..bytes.len()).filter(|&at| bytes[at] != 0).collect();
        let name = file.file_name().unwrap().to_owned();
        let mut damages: Vec<(String, Box<Damage>)> = vec![
            (
                "cut in half".into(),
                Box::new(|path| cut(path, fs::metadata(path).unwrap().len() / 2)),
            ),
            ("emptied".into(), Box::new(|path| cut(path, 0))),
            (
                "deleted".into(),
                Box::new(|path| fs::remove_file(path).unwrap()),
            ),
        ];
        for part in 0..5 {
            if let Some(&at) = used.get(used.len() * part / 5 + 3) {
                damages.push((
                    format!("byte {at} flipped"),
                    Box::new(move |path| flip(path, at)),
                ));
            }
        }
        for (how, damage) in damages {
            let what = format!("{} {how}", name.display());
            let folder = installation();
            damage(&folder.path().join("data/store/sled").join(&name));
            let mut broker = Broker::over(Arc::clone(&folder), unready());
            // Either it does not start, and says why; or the byte did not matter, and nothing is lost.
            if let Some(code) = broker.wait(Duration::from_secs(4)) {
                std::thread::sleep(Duration::from_millis(30));
                let log = broker.log_text();
                assert_eq!(code, 1, "{what}: {log}");
                assert_no_panic(&log);
                assert!(
                    log.contains("\nerror: ") || log.starts_with("error: "),
                    "{what}: {log}"
                );
                assert!(log.contains("\nhint: "), "{what}: {log}");
                refusals += 1;
                put_back(folder.path());
            } else {
                broker.kill();
                harmless += 1;
            }
            check_all(&Broker::over(folder, small_segments()).operator());
        }
    }
    println!("{refusals} refused, {harmless} harmless");
    assert!(refusals > 4, "hardly any damage was noticed");
}
