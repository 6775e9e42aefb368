//! Backups of before, of while, and of after keys are replaced.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Broker, Client, Setup, eventually};
use crate::{create, intact, key, restore, set, setup, started, value};

const SECRETS: usize = 120;

fn rotation(operator: &Client) -> Value {
    operator.get("/v1/key-rotation").expect(200)["data"]["rotation"].clone()
}

/// Replaces the keys of this level, and waits until it is over.
fn replaced(operator: &Client, level: &str) {
    let begun = operator.post("/v1/key-rotation", &json!({"level": level}));
    assert!(
        begun.status < 300,
        "{}",
        String::from_utf8_lossy(&begun.body)
    );
    over(operator);
}

fn over(operator: &Client) {
    eventually(|| (rotation(operator)["phase"] == "finished").then_some(()));
}

#[test]
fn each_of_them_is_restored_with_every_secret_and_goes_on() {
    let broker = Broker::with(setup("sled"));
    let (identity, recipient) = key(broker.folder().path());
    let operator = broker.operator();
    for n in 0..SECRETS {
        set(&operator, &format!("KEPT_{n}"), &format!("value {n}"));
    }
    let key_file = broker.keys().join("root.key");
    let file = |name: &str| broker.path(&format!("{name}.age"));
    create(&broker, &file("before"), &recipient);
    replaced(&operator, "owner");
    create(&broker, &file("between"), &recipient);
    // While the next goes on: its own record, and whatever it has done by then, are in it.
    let begun = operator.post("/v1/key-rotation", &json!({"level": "org"}));
    assert!(
        begun.status < 300,
        "{}",
        String::from_utf8_lossy(&begun.body)
    );
    create(&broker, &file("while"), &recipient);
    over(&operator);
    create(&broker, &file("after"), &recipient);
    for name in ["before", "between", "while", "after"] {
        let folder = tempfile::tempdir().unwrap();
        let ran = restore(&file(name), folder.path(), &identity, &key_file);
        assert_eq!(ran.exit, 0, "{name}: {}", ran.stderr);
        let there = started(folder, "sled");
        let operator = there.operator();
        let all_there = || {
            for n in 0..SECRETS {
                let kept = value(&operator, &format!("KEPT_{n}"));
                assert_eq!(kept, Some(format!("value {n}")), "{name}");
            }
        };
        all_there();
        if name == "while" {
            over(&operator);
        }
        replaced(&operator, "owner");
        all_there();
        intact(&operator);
    }
}

const WORDS: &str = "correct horse battery staple";
/// How many secrets there are where each of many backups is restored.
const FEW: usize = 12;

fn few_are_there(operator: &Client, what: &str) {
    for n in 0..FEW {
        let kept = value(operator, &format!("KEPT_{n}"));
        assert_eq!(kept, Some(format!("value {n}")), "{what}");
    }
}

/// With a slot of a person, so that a replacement of the root key that was cut short waits for them.
fn attended(engine: &str) -> Broker {
    let broker = Broker::with(setup(engine));
    for n in 0..FEW {
        set(
            &broker.operator(),
            &format!("KEPT_{n}"),
            &format!("value {n}"),
        );
    }
    let added = broker.runs(&["key", "slot", "add", "passphrase"], Some(WORDS));
    assert_eq!(added.exit, 0, "{}", added.stderr);
    broker
}

fn replaces_root(broker: &Broker, what: &str) {
    let ran = broker.runs(&["key", "rotate", "root"], Some(WORDS));
    assert_eq!(ran.exit, 0, "{what}: {}", ran.stderr);
}

/// It is restored with every secret, and goes on: each of the installation's keys is replaced there.
fn comes_back(file: &Path, engine: &str, identity: &Path, key_file: &Path) {
    let what = file.display().to_string();
    let folder = tempfile::tempdir().unwrap();
    let ran = restore(file, folder.path(), identity, key_file);
    assert_eq!(ran.exit, 0, "{what}: {}", ran.stderr);
    let mut there = started(folder, engine);
    few_are_there(&there.operator(), &what);
    replaces_root(&there, &what);
    for level in ["state", "index", "audit"] {
        let path = format!("/v1/operator/{level}-rotation");
        let operator = there.operator();
        eventually(|| (operator.send("POST", &path, None).status == 200).then_some(()));
    }
    few_are_there(&there.operator(), &what);
    intact(&there.operator());
    there.restart();
    few_are_there(&there.operator(), &what);
    assert_eq!(there.runs(&["seal", "--yes"], None).exit, 0, "{what}");
    assert_eq!(there.runs(&["unseal"], Some(WORDS)).exit, 0, "{what}");
    few_are_there(&there.operator(), &what);
}

fn across_the_root(engine: &str) {
    let mut broker = attended(engine);
    let (identity, recipient) = key(broker.folder().path());
    let key_file = broker.keys().join("root.key");
    let mut made = Vec::new();
    let mut backs_up = |broker: &Broker, name: &str| {
        let file = broker.path(&format!("{name}.age"));
        create(broker, &file, &recipient);
        made.push(file);
    };
    backs_up(&broker, "before");
    for place in ["key.root.drawn", "key.root.sealed", "key.root.places"] {
        broker.restart_with(Setup {
            failpoint: Some(place),
            ..setup(engine)
        });
        let cut_short = broker.runs(&["key", "rotate", "root"], Some(WORDS));
        assert_ne!(cut_short.exit, 0, "{place}");
        assert_eq!(eventually(|| broker.died_of()), 9, "{place}");
        broker.restart_with(setup(engine));
        // The next root key waits: in the ring is the one before.
        backs_up(&broker, place);
        replaces_root(&broker, place);
    }
    backs_up(&broker, "after");
    assert_eq!(broker.stop(), Some(0));
    for file in made {
        comes_back(&file, engine, &identity, &key_file);
    }
}

#[expect(clippy::disallowed_methods, reason = "who runs it says how long")]
fn is_slow() -> bool {
    std::env::var_os("RUNTOOLS_SLOW").is_some()
}

#[test]
fn backups_of_before_amid_and_after_another_root_key_are_restored() {
    across_the_root("redb");
    // What is of an engine in a backup is tried by others.
    if is_slow() {
        across_the_root("sled");
    }
}

#[test]
fn backups_that_are_made_while_the_installations_keys_are_replaced_are_restored() {
    let broker = attended("sled");
    let (identity, recipient) = key(broker.folder().path());
    let key_file = broker.keys().join("root.key");
    let mut made = Vec::new();
    for level in ["state", "index", "audit"] {
        let path = format!("/v1/operator/{level}-rotation");
        let operator = broker.operator();
        std::thread::scope(|scope| {
            let replacing = scope.spawn(|| {
                for _ in 0..4 {
                    // A copy of the store and a backup wait for each other.
                    eventually(|| (operator.send("POST", &path, None).status == 200).then_some(()));
                }
            });
            for n in 0..if is_slow() { 3 } else { 1 } {
                let file = broker.path(&format!("{level}_{n}.age"));
                let shown = file.display().to_string();
                let words = ["backup", "create", "--to", &shown, "-r", &recipient];
                eventually(|| (broker.runs(&words, None).exit == 0).then_some(()));
                made.push(file);
            }
            replacing.join().unwrap();
        });
    }
    let file = broker.path("after.age");
    create(&broker, &file, &recipient);
    made.push(file);
    for file in made {
        comes_back(&file, "sled", &identity, &key_file);
    }
}
