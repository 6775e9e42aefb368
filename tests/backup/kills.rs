//! SIGKILL while a backup is made, and while one is restored.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{Broker, Setup, eventually};
use crate::{create, intact, key, restore, set, started, value};

/// Runs the program in `folder`, to be killed at `place`: whether it was.
fn killed_at(place: &str, folder: &Path, words: &[String]) -> bool {
    let status = Command::new(Broker::binary())
        .args(words)
        .current_dir(folder)
        .env_clear()
        .env("TMPDIR", folder)
        .env("RUNTOOLS_FAILPOINT", place)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    status.signal() == Some(9)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_broker_that_is_killed_meanwhile_leaves_no_file_and_serves_again() {
    let mut broker = Broker::start();
    let folder = broker.folder();
    let (identity, recipient) = key(folder.path());
    set(&broker.operator(), "KEPT", "the value that is kept");
    broker.restart_with(Setup {
        failpoint: Some("backup.frame@3"),
        ..Setup::default()
    });
    let file = broker.path("a.age");
    let shown = file.display().to_string();
    let words = ["backup", "create", "--to", &shown, "-r", &recipient];
    let ran = broker.runs(&words, None);
    assert_ne!(ran.exit, 0, "{}", ran.stdout);
    assert_eq!(eventually(|| broker.died_of()), 9);
    let left: Vec<_> = names(folder.path())
        .into_iter()
        .filter(|name| name.contains(".age"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
    broker.restart_with(Setup::default());
    intact(&broker.operator());
    create(&broker, &file, &recipient);
    can_be_restored(&broker, &file, &identity);
}

/// The file is whole: it is restored by the broker's own key.
fn can_be_restored(broker: &Broker, file: &Path, identity: &Path) {
    let into = tempfile::tempdir().unwrap();
    let key_file = broker.keys().join("root.key");
    let ran = restore(file, into.path(), identity, &key_file);
    assert_eq!(ran.exit, 0, "{}: {}", file.display(), ran.stderr);
}

#[test]
fn a_command_that_is_killed_meanwhile_leaves_a_whole_file_or_none() {
    let broker = Broker::start();
    let (identity, recipient) = key(broker.folder().path());
    set(&broker.operator(), "KEPT", "the value that is kept");
    for (place, is_there) in [("backup.synced", false), ("backup.placed", true)] {
        let file = broker.path(&format!("{place}.age"));
        let words = [
            format!("--socket={}", broker.socket().display()),
            "backup".to_owned(),
            "create".to_owned(),
            format!("--to={}", file.display()),
            format!("--recipient={recipient}"),
        ];
        assert!(killed_at(place, broker.folder().path(), &words), "{place}");
        assert_eq!(file.exists(), is_there, "{place}");
        if !is_there {
            create(&broker, &file, &recipient);
        }
        can_be_restored(&broker, &file, &identity);
    }
}

#[test]
fn a_restore_that_is_killed_anywhere_is_done_or_can_be_done_again() {
    let broker = Broker::start();
    let (identity, recipient) = key(broker.folder().path());
    let operator = broker.operator();
    for n in 0..20 {
        set(&operator, &format!("KEPT_{n}"), &"long-".repeat(12_000));
    }
    let file = broker.path("a.age");
    create(&broker, &file, &recipient);
    let key_file = broker.keys().join("root.key");
    for (place, is_there) in [
        ("restore.records", false),
        ("restore.unpacked", false),
        ("restore.checked", false),
        ("restore.placed", true),
    ] {
        let root = tempfile::tempdir().unwrap();
        let into = root.path().join("restored");
        let words = [
            "restore".to_owned(),
            file.display().to_string(),
            format!("--into={}", into.display()),
            format!("--identity={}", identity.display()),
            format!("--key-file={}", key_file.display()),
        ];
        assert!(killed_at(place, root.path(), &words), "{place}");
        assert_eq!(into.exists(), is_there, "{place}: {:?}", names(root.path()));
        if !is_there {
            assert_eq!(names(root.path()), ["restored.restoring"], "{place}");
            let ran = restore(&file, &into, &identity, &key_file);
            assert_eq!(ran.exit, 0, "{place}: {}", ran.stderr);
        }
        assert_eq!(names(root.path()), ["restored"], "{place}");
        let folder = tempfile::tempdir().unwrap();
        for part in ["data", "keys"] {
            std::fs::rename(into.join(part), folder.path().join(part)).unwrap();
        }
        let there = started(folder, "sled");
        let kept = value(&there.operator(), "KEPT_19");
        assert_eq!(kept.map(|kept| kept.len()), Some(60_000), "{place}");
        intact(&there.operator());
    }
}
