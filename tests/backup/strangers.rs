//! A backup in other hands.

use std::process::Command;

use crate::harness::program::run;
use crate::harness::{Broker, Canaries, Setup};
use crate::{create, key, restore, set};

/// What `backup verify` says.
fn verify(words: &[&str]) -> crate::harness::program::Ran {
    let nowhere = tempfile::tempdir().unwrap();
    let all: Vec<&str> = ["--json", "backup", "verify"]
        .into_iter()
        .chain(words.iter().copied())
        .collect();
    run(nowhere.path(), &all, None)
}

#[test]
fn the_age_tool_opens_it_and_finds_no_value_no_name_and_no_key() {
    let broker = Broker::start();
    let (identity, recipient) = key(broker.folder().path());
    let mut canaries = Canaries::new();
    let operator = broker.operator();
    for _ in 0..5 {
        let (name, value) = (canaries.name(), canaries.value());
        set(&operator, &name, &value);
    }
    let member = canaries.value();
    let body = serde_json::json!({ "name": member, "createKey": true });
    let added = operator.post("/v1/organizations/current/members", &body);
    let added = added.expect(201);
    canaries.also(added["data"]["key"].as_str().unwrap());
    let file = broker.path("backup.age");
    create(&broker, &file, &recipient);
    let opened = Command::new("age")
        .arg("--decrypt")
        .arg("--identity")
        .arg(&identity)
        .arg(&file)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&opened.stderr);
    assert!(opened.status.success(), "{stderr}");
    assert!(opened.stdout.starts_with(b"RTBACKUP\x01"));
    canaries.absent_from("the file", &std::fs::read(&file).unwrap());
    canaries.absent_from("what age finds in it", &opened.stdout);
    let root = std::fs::read(broker.keys().join("root.key")).unwrap();
    let has_root = |bytes: &[u8]| bytes.windows(root.len()).any(|window| window == root);
    assert!(!has_root(&opened.stdout));
    for (path, bytes) in broker.files() {
        canaries.absent_from(&path.display().to_string(), &bytes);
    }
    // Without the identity it opens for nobody, and the tool says so.
    let elsewhere = tempfile::tempdir().unwrap();
    let (other, _) = key(elsewhere.path());
    let mut shut = Command::new("age");
    shut.arg("-d").arg("-i").arg(&other).arg(&file);
    assert!(!shut.output().unwrap().status.success());
}

#[test]
fn it_is_verified_by_what_its_broker_has_and_a_forged_one_is_refused() {
    let (mine, theirs) = (Broker::start(), Broker::start());
    let (identity, recipient) = key(mine.folder().path());
    set(&mine.operator(), "MINE", "a value of mine");
    let (file, forged) = (mine.path("mine.age"), theirs.path("theirs.age"));
    let made = create(&mine, &file, &recipient);
    // They know the recipient, which is public, and have a broker of their own.
    create(&theirs, &forged, &recipient);
    let head = mine.operator().get("/v1/audit/head").expect(200);
    let signer = head["data"]["publicKey"].as_str().unwrap();
    let key_file = mine.keys().join("root.key").display().to_string();
    let [file, forged, identity] = [&file, &forged, &identity].map(|it| it.display().to_string());
    for by in [["--signer", signer], ["--key-file", &key_file]] {
        let found = verify(&[&file, "-i", &identity, by[0], by[1]]).expect(0);
        assert_eq!(found["data"]["signer"], signer);
        assert_eq!(found["data"]["generation"], made["generation"]);
    }
    let refused = verify(&[&forged, "-i", &identity, "--signer", signer]).expect(1);
    assert_eq!(refused["error"]["code"], "backup_forged", "{refused}");
    let refused = verify(&[&forged, "-i", &identity, "--key-file", &key_file]).expect(1);
    assert_eq!(refused["error"]["code"], "wrong_key_file", "{refused}");
    let unknown = verify(&[&file, "-i", &identity]).expect(1);
    assert_eq!(unknown["error"]["code"], "signer_unknown", "{unknown}");
    let hint = unknown["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("--signer"), "{hint}");

    // On the broker's own machine its own key says whose it should be.
    let here = mine.runs(&["backup", "verify", &file, "-i", &identity], None);
    assert_eq!(here.exit, 0, "{}", here.stderr);
    let there = mine.runs(&["backup", "verify", &forged, "-i", &identity], None);
    assert_eq!(there.exit, 1, "{}", there.stdout);

    let into = tempfile::tempdir().unwrap();
    let place = into.path().join("restored");
    let mine_key = mine.keys().join("root.key");
    let ran = restore(forged.as_ref(), &place, identity.as_ref(), &mine_key);
    assert_ne!(ran.exit, 0, "{}", ran.stdout);
    assert!(std::fs::read_dir(into.path()).unwrap().next().is_none());
}

/// Makes one whose time is over then.
fn create_until(broker: &Broker, file: &str, recipient: &str, expires: &str) {
    let to = ["backup", "create", "--to", file, "-r", recipient];
    let made = broker.runs(&[&to[..], &["--expires", expires]].concat(), None);
    assert_eq!(made.exit, 0, "{}", made.stderr);
}

#[test]
fn what_it_says_to_everybody_and_what_to_whoever_opens_it() {
    let broker = Broker::with(Setup::default());
    let (identity, recipient) = key(broker.folder().path());
    let file = broker.path("a.age").display().to_string();
    create_until(&broker, &file, &recipient, "30d");
    let nowhere = tempfile::tempdir().unwrap();
    let outside = run(
        nowhere.path(),
        &["--json", "backup", "inspect", &file],
        None,
    );
    let outside = outside.expect(0)["data"].clone();
    assert!(outside["expiresAt"].is_string() && outside["generation"].is_null());
    let identity = identity.display().to_string();
    let words = ["--json", "backup", "inspect", &file, "-i", &identity];
    let inside = run(nowhere.path(), &words, None).expect(0)["data"].clone();
    assert_eq!(inside["key"], outside["key"]);
    assert!(inside["generation"].as_u64().unwrap() > 0, "{inside}");
    // A byte more, a byte less, another byte: told, and in words.
    let whole = std::fs::read(&file).unwrap();
    let damaged = broker.path("damaged.age");
    let longer = [&whole[..], &[1]].concat();
    let mut altered = whole.clone();
    let middle = whole.len() / 2;
    altered[middle] ^= 1;
    for bytes in [&longer[..], &whole[..whole.len() - 1], &altered] {
        std::fs::write(&damaged, bytes).unwrap();
        let damaged = damaged.display().to_string();
        let words = ["--json", "backup", "inspect", &damaged, "-i", &identity];
        let refused = run(nowhere.path(), &words, None).expect(1);
        assert_eq!(refused["error"]["code"], "backup_damaged", "{refused}");
        assert!(refused["error"]["hint"].is_string());
    }
    std::fs::write(&damaged, "holiday.jpg").unwrap();
    let words = [
        "--json",
        "backup",
        "inspect",
        &damaged.display().to_string(),
    ];
    let refused = run(nowhere.path(), &words, None).expect(1);
    assert_eq!(refused["error"]["code"], "not_a_backup", "{refused}");
}

#[test]
fn one_whose_time_is_over_is_restored_only_by_who_says_so() {
    let broker = Broker::start();
    let (identity, recipient) = key(broker.folder().path());
    let file = broker.path("a.age").display().to_string();
    let soon = runtools_broker::clock::Clock::now(&runtools_broker::clock::SystemClock);
    let soon = soon.plus_seconds(2).to_string();
    create_until(&broker, &file, &recipient, &soon);
    std::thread::sleep(std::time::Duration::from_secs(3));
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("restored");
    let key_file = broker.keys().join("root.key");
    let ran = restore(file.as_ref(), &into, &identity, &key_file);
    assert_eq!(ran.exit, 1, "{}", ran.stdout);
    assert!(ran.stderr.contains("--expired"), "{}", ran.stderr);
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none());
    let [into, key_file, identity] =
        [&into, &key_file, &identity].map(|it| it.display().to_string());
    let words = [
        "restore",
        &file,
        "--into",
        &into,
        "-i",
        &identity,
        "--key-file",
        &key_file,
        "--expired",
    ];
    let ran = run(dir.path(), &words, None);
    assert_eq!(ran.exit, 0, "{}", ran.stderr);
    // Whoever destroys the identity has destroyed every backup that was made for it.
    std::fs::remove_file(&identity).unwrap();
    let (other, _) = key(dir.path());
    let after = dir.path().join("after");
    let ran = restore(file.as_ref(), &after, &other, key_file.as_ref());
    assert_eq!(ran.exit, 1, "{}", ran.stdout);
    assert!(
        ran.stderr.contains("none of the identities"),
        "{}",
        ran.stderr
    );
}
