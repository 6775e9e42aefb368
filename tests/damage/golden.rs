//! An installation to damage copies of, and what a refusal must be like.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

pub(super) use crate::harness::disk::copy;
use crate::harness::program::{self, Ran};
use crate::harness::{Broker, Client, Setup};

pub(super) const KEPT: &str = "the value that must not be lost";

/// An installation that was used and stopped; `early` is a copy of its data from before its last changes.
pub(super) struct Golden {
    pub(super) folder: Arc<TempDir>,
    pub(super) early: TempDir,
}

pub(super) static GOLDEN: LazyLock<Golden> = LazyLock::new(|| {
    // Segments of 1 MiB, and more than one of them.
    let mut broker = Broker::with(small_segments());
    let operator = broker.operator();
    let secret = json!({"name": "EARLY", "value": KEPT, "orgWide": true});
    operator.post("/v1/secrets", &secret).expect(201);
    assert_eq!(broker.stop(), Some(0));
    let early = tempfile::tempdir().unwrap();
    copy(&broker.data(), &early.path().join("data"));
    broker.restart();
    let operator = broker.operator();
    for n in 0..20 {
        let secret = json!({"name": format!("KEPT_{n}"), "value": KEPT, "orgWide": true});
        operator.post("/v1/secrets", &secret).expect(201);
    }
    while segments(&broker.data()).len() < 2 {
        fill_journal(&broker);
    }
    fill_journal(&broker);
    // The store remembers a record of the last segment.
    let secret = json!({"name": "LATE", "value": KEPT, "orgWide": true});
    operator.post("/v1/secrets", &secret).expect(201);
    assert_eq!(broker.stop(), Some(0));
    let folder = broker.folder();
    fs::remove_file(folder.path().join("broker.toml")).unwrap();
    Golden { folder, early }
});

pub(super) fn small_segments() -> Setup {
    Setup {
        config: "[audit]\nsegment_mb = 1".into(),
        ..Setup::default()
    }
}

pub(super) fn unready() -> Setup {
    Setup {
        unready: true,
        ..small_segments()
    }
}

/// Some hundred records, from callers that come with no valid key.
pub(super) fn fill_journal(broker: &Broker) {
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let reply = broker.operator().get("/v1/secrets/KEPT_0?orgWide=maybe");
                    assert!(reply.status >= 200);
                    drop(
                        broker
                            .operator()
                            .post("/v1/secrets/EARLY/reveal", &json!({"orgWide": true})),
                    );
                }
            });
        }
    });
}

pub(super) fn segments(data: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(data.join("audit"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .collect();
    found.sort();
    found
}

/// A copy of the golden installation in a folder of its own.
pub(super) fn installation() -> Arc<TempDir> {
    let folder = tempfile::tempdir().unwrap();
    for part in ["data", "keys"] {
        copy(&GOLDEN.folder.path().join(part), &folder.path().join(part));
    }
    Arc::new(folder)
}

/// Every file and link below `keys` and `data`, but for sled's own, which it may rewrite when it
/// opens: content and mode.
pub(super) fn content(folder: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![folder.join("data"), folder.join("keys")];
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = fs::read_dir(&dir) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            if path.ends_with("store/sled") {
                continue;
            }
            if meta.is_dir() {
                dirs.push(path);
            } else if meta.is_symlink() {
                let to = fs::read_link(&path).unwrap();
                found.insert(path, (0, to.into_os_string().into_encoded_bytes()));
            } else {
                let bytes = fs::read(&path).unwrap();
                found.insert(path, (meta.mode(), bytes));
            }
        }
    }
    found
}

pub(super) fn check_all(operator: &Client) {
    for n in 0..20 {
        let path = format!("/v1/secrets/KEPT_{n}/reveal");
        let revealed = operator.post(&path, &json!({"orgWide": true})).expect(200);
        assert_eq!(revealed["data"]["value"], KEPT);
    }
    let found = operator.send("POST", "/v1/audit/verify", None).expect(200);
    assert_eq!(found["data"]["state"], "intact", "{found}");
}

/// Panics of our own sources. What sled does with files it cannot read ends in an error of ours.
pub(super) fn assert_no_panic(log: &str) {
    let ours = log
        .lines()
        .find(|line| line.contains("panicked") && !line.contains("sled-0.34"));
    assert_eq!(ours, None);
}

/// Starts over `folder`, which must be refused: what was said on stderr.
pub(super) fn refused(folder: &Arc<TempDir>, what: &str) -> String {
    let mut broker = Broker::over(Arc::clone(folder), unready());
    let code = broker.wait(Duration::from_secs(30));
    // What it said last may still be on its way from the pipe.
    for _ in 0..200 {
        if broker.log_text().contains("hint: ") {
            break;
        }
        std::thread::sleep(Duration::from_millis(30));
    }
    let log = broker.log_text();
    assert_eq!(code, Some(1), "{what}: {log}");
    assert_no_panic(&log);
    log
}

/// Damages a copy, and expects that the doctor finds it and the start is refused, with these words and
/// this advice; then puts the files back and finds everything there.
pub(super) fn refuses(what: &str, damage: impl FnOnce(&Path), words: &str, hint: &str) {
    let folder = installation();
    damage(folder.path());
    let before = content(folder.path());
    let doctor = doctor(folder.path());
    assert_eq!(doctor.exit, 1, "{what}: {}", doctor.stdout);
    let log = refused(&folder, what);
    let said = |start: &str| log.lines().find_map(|line| line.strip_prefix(start));
    let error = said("error: ").unwrap_or_else(|| panic!("{what}: {log}"));
    assert!(error.contains(words), "{what}: {error}");
    let advice = said("hint: ").unwrap_or_else(|| panic!("{what}: no hint: {log}"));
    assert!(advice.contains(hint), "{what}: {advice}");
    let after = content(folder.path());
    for (path, found) in &before {
        assert!(
            after.get(path) == Some(found),
            "{what}: {} was changed",
            path.display()
        );
    }
    let made: Vec<_> = after
        .keys()
        .filter(|path| !before.contains_key(*path))
        .collect();
    assert!(made.is_empty(), "{what}: made {made:?}");
    put_back(folder.path());
    check_all(&Broker::over(folder, small_segments()).operator());
}

/// What the doctor says of an installation that nobody runs.
pub(super) fn doctor(folder: &Path) -> Ran {
    let places = ["--data-dir", "data", "--keys-dir", "keys"];
    let any = "127.0.0.1:0";
    let mut arguments = vec!["doctor", "--listen", any, "--proxy-listen", any];
    arguments.extend(places);
    program::run(folder, &arguments, None)
}

pub(super) fn put_back(folder: &Path) {
    for part in ["data", "keys"] {
        let place = folder.join(part);
        drop(fs::remove_file(&place));
        drop(fs::remove_dir_all(&place));
        copy(&GOLDEN.folder.path().join(part), &place);
    }
}

pub(super) fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

pub(super) fn cut(path: &Path, length: u64) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(length).unwrap();
}

pub(super) fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub(super) fn link_away(path: &Path) {
    let elsewhere = path.with_extension("elsewhere");
    fs::rename(path, &elsewhere).unwrap();
    symlink(&elsewhere, path).unwrap();
}
