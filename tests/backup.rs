//! Backups of brokers that serve, and what comes of them: on another machine, in other hands, after a kill.

mod harness;

#[path = "backup/bounded.rs"]
mod bounded;
#[path = "backup/drill.rs"]
mod drill;
#[path = "backup/kills.rs"]
mod kills;
#[path = "backup/rotated.rs"]
mod rotated;
#[path = "backup/scheduled.rs"]
mod scheduled;
#[path = "backup/strangers.rs"]
mod strangers;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use harness::program::{Ran, run};
use harness::shared::{set, value};
use harness::{Broker, Client, Setup, eventually};
use serde_json::Value;

const WRITERS: usize = 8;

/// A key that `age-keygen` made: its file, and its recipient.
fn key(folder: &Path) -> (PathBuf, String) {
    let file = folder.join("backup.key");
    let made = Command::new("age-keygen").arg("-o").arg(&file).output();
    assert!(made.unwrap().status.success());
    let shown = Command::new("age-keygen").arg("-y").arg(&file).output();
    let recipient = String::from_utf8(shown.unwrap().stdout).unwrap();
    (file, recipient.trim().to_owned())
}

/// Makes a backup by the operator's own command.
#[track_caller]
fn create(broker: &Broker, file: &Path, recipient: &str) -> Value {
    let file = file.display().to_string();
    let words = ["--json", "backup", "create", "--to", &file, "-r", recipient];
    let ran = broker.runs(&words, None);
    let made = ran.expect(0)["data"].clone();
    assert!(made["generation"].as_u64().unwrap() > 0, "{made}");
    made
}

/// Restores by the operator's own command, far from any broker.
fn restore(file: &Path, into: &Path, identity: &Path, key_file: &Path) -> Ran {
    let words = [
        "restore".to_owned(),
        file.display().to_string(),
        format!("--into={}", into.display()),
        format!("--identity={}", identity.display()),
        format!("--key-file={}", key_file.display()),
    ];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let nowhere = tempfile::tempdir().unwrap();
    run(nowhere.path(), &words, None)
}

/// A broker over what was restored.
fn started(folder: tempfile::TempDir, engine: &str) -> Broker {
    Broker::over(Arc::new(folder), setup(engine))
}

fn setup(engine: &str) -> Setup {
    Setup {
        config: format!("[store]\nengine = \"{engine}\""),
        ..Setup::default()
    }
}

fn intact(operator: &Client) {
    let found = operator.send("POST", "/v1/audit/verify", None).expect(200);
    assert_eq!(found["data"]["state"], "intact", "{found}");
}

/// Stopped, it is as a doctor wishes: store, anchor and journal are compared as by a start.
fn is_well(broker: &mut Broker) {
    assert_eq!(broker.stop(), Some(0));
    let doctor = broker.runs(&["doctor"], None);
    assert_eq!(doctor.exit, 0, "{}", doctor.stdout);
}

#[test]
fn under_eight_writers_what_is_restored_is_the_store_of_one_moment() {
    for engine in ["sled", "redb"] {
        let broker = Broker::with(setup(engine));
        let (identity, recipient) = key(broker.folder().path());
        let operator = broker.operator();
        let name = |writer: usize, n: usize| format!("W{writer}_{n}");
        let acknowledged: Vec<_> = (0..WRITERS).map(|_| AtomicUsize::new(0)).collect();
        let over = AtomicBool::new(false);
        let file = broker.path("backup.age");
        let (before, made, after) = std::thread::scope(|scope| {
            for (writer, count) in acknowledged.iter().enumerate() {
                let (operator, over) = (&operator, &over);
                scope.spawn(move || {
                    while !over.load(Ordering::SeqCst) {
                        let n = count.load(Ordering::SeqCst);
                        set(operator, &name(writer, n), &format!("value {writer} {n}"));
                        count.store(n + 1, Ordering::SeqCst);
                    }
                });
            }
            let counts = || -> Vec<usize> {
                let all = acknowledged.iter();
                all.map(|count| count.load(Ordering::SeqCst)).collect()
            };
            eventually(|| counts().iter().all(|n| *n >= 5).then_some(()));
            let before = counts();
            let made = create(&broker, &file, &recipient);
            let after = counts();
            over.store(true, Ordering::SeqCst);
            (before, made, after)
        });
        let folder = tempfile::tempdir().unwrap();
        let key_file = broker.keys().join("root.key");
        let ran = restore(&file, folder.path(), &identity, &key_file);
        assert_eq!(ran.exit, 0, "{}", ran.stderr);
        let mut restored = started(folder, engine);
        let operator = restored.operator();
        for writer in 0..WRITERS {
            // What was acknowledged before it began is there; of what came while it was made, no one is
            // there without those that the same writer had written before.
            let there: Vec<bool> = (0..after[writer] + 2)
                .map(|n| value(&operator, &name(writer, n)) == Some(format!("value {writer} {n}")))
                .collect();
            let count = there.iter().filter(|there| **there).count();
            assert!(there[..count].iter().all(|there| *there), "{there:?}");
            assert!(count >= before[writer], "{count} of {}", before[writer]);
            assert!(count <= after[writer] + 1);
        }
        intact(&operator);
        let log = operator
            .get("/v1/audit?action=backup.restore&all=true")
            .expect(200);
        assert_eq!(log["data"].as_array().unwrap().len(), 1, "{log}");
        let told = log["data"][0].to_string();
        assert!(told.contains(&made["generation"].to_string()), "{told}");
        set(&operator, "AFTER", "and it goes on");
        is_well(&mut restored);
        println!(
            "{engine}: {before:?} before, {after:?} after, {} bytes",
            made["bytes"]
        );
    }
}

#[test]
fn a_backup_is_recorded_shown_and_counted() {
    let broker = Broker::start();
    let operator = broker.operator();
    let folder = broker.folder();
    let (_, recipient) = key(folder.path());
    let status = broker.runs(&["backup", "status"], None);
    assert!(
        status.stdout.contains("None was made yet"),
        "{}",
        status.stdout
    );
    let made = create(&broker, &broker.path("a.age"), &recipient);
    let info = operator.get("/v1/operator/backup").expect(200);
    assert_eq!(info["data"]["last"]["generation"], made["generation"]);
    assert_eq!(info["data"]["keys"][0]["backups"], 1);
    assert!(info["data"]["keys"][0]["until"].is_string(), "{info}");
    // An outcome is written after its answer.
    eventually(|| {
        let log = operator
            .get("/v1/audit?action=backup.create&all=true")
            .expect(200);
        (log["data"][0]["outcome"]["status"] == "success").then_some(())
    });
    let page = String::from_utf8(operator.get("/metrics").body).unwrap();
    assert!(page.contains("runtools_backup_failing 0"), "{page}");
    assert!(!page.contains("runtools_backup_last_timestamp_seconds 0\n"));
    let shown = operator.get("/v1/status").expect(200);
    assert!(shown["backup"]["lastAt"].is_string(), "{shown}");
    // Elsewhere it is nobody's business.
    let elsewhere = broker.anonymous().get("/v1/status").expect(200);
    assert!(elsewhere["backup"].is_null(), "{elsewhere}");

    // Nothing is replaced, and nobody is forgotten.
    let again = broker.path("a.age").display().to_string();
    let words = [
        "--json", "backup", "create", "--to", &again, "-r", &recipient,
    ];
    assert_eq!(
        broker.runs(&words, None).expect(1)["error"]["code"],
        "exists"
    );
    let b = broker.path("b.age").display().to_string();
    let nobody = broker.runs(&["--json", "backup", "create", "--to", &b], None);
    assert_eq!(nobody.expect(1)["error"]["code"], "bad_recipient");
    let wrong = broker.runs(
        &["--json", "backup", "create", "--to", &b, "-r", "age1x"],
        None,
    );
    assert_eq!(wrong.expect(1)["error"]["code"], "bad_recipient");
    assert!(!broker.path("b.age").exists() && !broker.path("b.age.part").exists());
}

#[test]
fn a_backup_is_restored_before_and_after_its_ways_in_are_changed_and_into_either_engine() {
    let mut broker = Broker::with(setup("redb"));
    let (identity, recipient) = key(broker.folder().path());
    set(&broker.operator(), "KEPT", "the value that is kept");
    let (first, second) = (broker.path("first.age"), broker.path("second.age"));
    create(&broker, &first, &recipient);
    let words = "correct horse battery staple";
    let slot = broker.runs(&["key", "slot", "add", "passphrase"], Some(words));
    assert_eq!(slot.exit, 0, "{}", slot.stderr);
    let old = broker.keys().join("root.key");
    let kept = broker.path("old.key");
    std::fs::copy(&old, &kept).unwrap();
    let gone = broker.runs(&["key", "slot", "remove", "key-file", "--yes"], None);
    assert_eq!(gone.exit, 0, "{}", gone.stderr);
    create(&broker, &second, &recipient);
    assert_eq!(broker.stop(), Some(0));

    let (backward, forward) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ran = restore(&first, backward.path(), &identity, &kept);
    assert_eq!(ran.exit, 0, "{}", ran.stderr);
    let refused = restore(&second, forward.path(), &identity, &kept);
    assert_ne!(refused.exit, 0, "{}", refused.stdout);
    let [file, into] = [&second, &forward.path().to_owned()].map(|it| it.display().to_string());
    let identity = identity.display().to_string();
    let nowhere = tempfile::tempdir().unwrap();
    let all = ["restore", &file, "--into", &into, "-i", &identity];
    let ran = run(nowhere.path(), &all, Some(words));
    assert_eq!(ran.exit, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("engine = \"redb\""), "{}", ran.stderr);

    let value_of = |broker: &Broker| value(&broker.operator(), "KEPT");
    let there = started(backward, "redb");
    assert_eq!(value_of(&there).as_deref(), Some("the value that is kept"));
    let there = started(forward, "redb");
    assert_eq!(there.runs(&["unseal"], Some(words)).exit, 0);
    assert_eq!(value_of(&there).as_deref(), Some("the value that is kept"));
}
