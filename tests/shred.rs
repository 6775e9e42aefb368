//! What was destroyed is taken out of reach of old bytes, as far as the answer says, and no further.
#![expect(clippy::too_many_lines, reason = "a journey is told in one piece")]

mod harness;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use harness::disk::copy;
use harness::program::run;
use harness::shared::{set, value};
use harness::{Broker, Setup, eventually};
use serde_json::{Value, json};

const SHRED: &str = "/v1/operator/shred";

/// A moment of a stopped broker: its data, its ring, and its key file.
struct Kept(tempfile::TempDir);

impl Kept {
    fn of(broker: &Broker) -> Self {
        let kept = tempfile::tempdir().unwrap();
        copy(&broker.data(), &kept.path().join("data"));
        copy(&broker.keys(), &kept.path().join("keys"));
        Self(kept)
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn ring(&self) -> PathBuf {
        self.0.path().join("keys/root.ring")
    }

    fn key(&self) -> PathBuf {
        self.0.path().join("keys/root.key")
    }
}

/// What a broker makes of this data, with that ring and that key file: the value of `GONE`, if it serves at all.
fn opened(data: &Path, ring: &Path, key: &Path) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    copy(data, &folder.path().join("data"));
    let keys = folder.path().join("keys");
    std::fs::create_dir(&keys).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&keys, private).unwrap();
    std::fs::copy(ring, keys.join("root.ring")).unwrap();
    std::fs::copy(key, keys.join("root.key")).unwrap();
    let setup = Setup {
        unready: true,
        ..Setup::default()
    };
    let mut broker = Broker::over(Arc::new(folder), setup);
    let serves = eventually(|| {
        if broker.log_text().contains("runtools-broker listens on") {
            return Some(true);
        }
        broker.wait(Duration::from_millis(50)).map(|_| false)
    });
    // A start that only the ring refuses may go on sealed.
    let client = broker.operator();
    let sealed = || client.get("/v1/status").value()["sealed"] != json!(false);
    if !serves || sealed() {
        return None;
    }
    value(&client, "GONE")
}

/// A key that `age-keygen` made: its file, and its recipient.
fn identity(folder: &Path) -> (PathBuf, String) {
    let file = folder.join("backup.key");
    let made = Command::new("age-keygen").arg("-o").arg(&file).output();
    assert!(made.unwrap().status.success());
    let shown = Command::new("age-keygen").arg("-y").arg(&file).output();
    let recipient = String::from_utf8(shown.unwrap().stdout).unwrap();
    (file, recipient.trim().to_owned())
}

fn restores(file: &Path, identity: &Path, key: &Path) -> bool {
    let nowhere = tempfile::tempdir().unwrap();
    let words = [
        "restore".to_owned(),
        file.display().to_string(),
        format!("--into={}", nowhere.path().join("back").display()),
        format!("--identity={}", identity.display()),
        format!("--key-file={}", key.display()),
    ];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    run(nowhere.path(), &words, None).exit == 0
}

fn shred(broker: &Broker, words: Option<&str>) -> Value {
    let ran = broker.runs(&["shred", "--json"], words);
    ran.expect(0)["data"].clone()
}

#[test]
fn old_data_ring_and_backup_open_with_the_keys_of_their_time_all_together_or_not_at_all() {
    let mut broker = Broker::start();
    let operator = broker.operator();
    set(&operator, "GONE", "what was destroyed");
    set(&operator, "KEPT", "what was not");
    let folder = tempfile::tempdir().unwrap();
    let (identity, recipient) = identity(folder.path());
    let backup = folder.path().join("before.age");
    let to = backup.display().to_string();
    let words = ["backup", "create", "--to", &to, "-r", &recipient];
    assert_eq!(broker.runs(&words, None).exit, 0);
    assert_eq!(broker.stop(), Some(0));
    let before = Kept::of(&broker);
    broker.restart();
    let destroyed = broker
        .operator()
        .delete("/v1/secrets/GONE?orgWide=true&destroy=true")
        .expect(200);
    assert_eq!(destroyed["data"]["level"], "logical");
    // Until then, today's keys open what old bytes hold.
    let key = broker.keys().join("root.key");
    let ring = broker.keys().join("root.ring");
    assert_eq!(
        opened(&before.data(), &ring, &key).as_deref(),
        Some("what was destroyed")
    );
    let done = shred(&broker, None);
    assert_eq!(
        (&done["state"], &done["level"]),
        (&json!("done"), &json!("provider"))
    );
    assert_eq!(done["slots"][0]["renewed"], true, "{done}");
    assert_eq!(
        value(&broker.operator(), "KEPT").as_deref(),
        Some("what was not")
    );
    let verified = broker
        .operator()
        .send("POST", "/v1/audit/verify", None)
        .expect(200);
    assert_eq!(verified["data"]["state"], "intact", "{verified}");
    assert_eq!(broker.stop(), Some(0));
    // Whoever holds two of the three of that time, and the third of today, opens nothing.
    for (ring, key) in [
        (&ring, &key),
        (&ring, &before.key()),
        (&before.ring(), &key),
    ] {
        assert_eq!(opened(&before.data(), ring, key), None);
    }
    assert_eq!(
        opened(&before.data(), &before.ring(), &before.key()).as_deref(),
        Some("what was destroyed"),
        "all three of that time open as they did: that is what the answer does not promise"
    );
    assert!(!restores(&backup, &identity, &key));
    assert!(restores(&backup, &identity, &before.key()));
    // No file of today holds a sealed byte of before, and no name.
    let old = records(&before.data());
    let now = broker.files();
    assert!(old.len() > 10);
    for (name, value) in old.iter().filter(|(name, _)| name.len() > 8) {
        for (path, bytes) in &now {
            if !path.starts_with(broker.data().join("store")) {
                continue;
            }
            let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
            assert!(!holds(&name[1..]), "{}: a name", path.display());
            assert!(
                !holds(&value[value.len() - 32..]) || value.len() < 64,
                "{}",
                path.display()
            );
        }
    }
    broker.restart();
    assert_eq!(
        value(&broker.operator(), "KEPT").as_deref(),
        Some("what was not")
    );
    assert_eq!(value(&broker.operator(), "GONE"), None);
}

/// The records of a store: names and values, but for the installation's own.
fn records(data: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    use runtools_broker::store::{DEFAULT_CACHE_BYTES, DiskEngine, Engine, EngineKind};
    let copied = tempfile::tempdir().unwrap();
    copy(&data.join("store/."), copied.path());
    let engine = DiskEngine::open(copied.path(), EngineKind::Sled, DEFAULT_CACHE_BYTES).unwrap();
    let mut found = Vec::new();
    let mut look = |name: &[u8], value: &[u8]| {
        // Values stay sealed as they are, only the keys around them change: what was destroyed is looked for
        // by its pointer and its data key.
        if matches!(name.first(), Some(0x10 | 0x04)) {
            found.push((name.to_vec(), value.to_vec()));
        }
        Ok(())
    };
    engine.visit(&[], None, &mut look).unwrap();
    for n in 0..12_u8 {
        found.push((vec![n], vec![n; 8]));
    }
    found
}

#[test]
fn a_slot_that_takes_a_person_is_named_and_the_answer_says_database() {
    let broker = Broker::start();
    let operator = broker.operator();
    set(&operator, "KEPT", "what was not");
    let words = "correct horse battery staple";
    let slot = json!({"kind": "passphrase", "label": "safe", "passphrase": words});
    operator.post("/v1/operator/slots", &slot).expect(201);
    let wrong = broker.runs(&["shred"], Some("not those words at all\n"));
    assert_ne!(wrong.exit, 0);
    assert!(wrong.stderr.contains("does not open"), "{}", wrong.stderr);
    // Nothing is begun where somebody is away.
    let wrong = json!({"passphrase": "not those words at all"});
    operator.post(SHRED, &wrong).expect(200);
    let failed = eventually(|| {
        let shown = operator.get(SHRED).expect(200)["data"].clone();
        (shown["state"] != "running").then_some(shown)
    });
    assert_eq!(failed["error"], "slot_away", "{failed}");
    let rotation = operator.get("/v1/key-rotation").expect(200);
    assert_eq!(rotation["data"]["rotation"], Value::Null);
    assert_eq!(
        (&failed["state"], &failed["level"]),
        (&json!("failed"), &json!("logical"))
    );
    let done = shred(&broker, Some("correct horse battery staple\n"));
    assert_eq!(done["level"], "database", "{done}");
    let slots = done["slots"].as_array().unwrap();
    let of = |kind: &str| slots.iter().find(|slot| slot["kind"] == kind).unwrap();
    assert_eq!(of("key-file")["renewed"], true);
    assert_eq!(of("passphrase")["renewed"], false);
    assert!(
        of("passphrase")["todo"]
            .as_str()
            .unwrap()
            .contains("another passphrase")
    );
    let told = broker.runs(&["shred", "--status"], None);
    assert!(told.stderr.contains("safe"), "{}", told.stderr);
    assert_eq!(value(&operator, "KEPT").as_deref(), Some("what was not"));
    let member = broker.member("Ann");
    assert_eq!(
        member.send("POST", SHRED, None).refused(403),
        "operator_only"
    );
    assert_eq!(member.get(SHRED).refused(403), "operator_only");
}

#[test]
fn a_key_file_that_is_killed_at_any_place_of_its_renewal_opens_the_ring_after_it() {
    for place in ["key.file.added", "key.file.placed", "key.file.removed"] {
        let mut broker = Broker::with(Setup {
            failpoint: Some(place),
            ..Setup::default()
        });
        set(&broker.operator(), "KEPT", "what was not");
        let old = std::fs::read(broker.keys().join("root.key")).unwrap();
        drop(broker.operator().try_send("POST", SHRED, None));
        assert_eq!(eventually(|| broker.died_of()), 9, "{place}");
        broker.restart_with(Setup::default());
        assert_eq!(
            value(&broker.operator(), "KEPT").as_deref(),
            Some("what was not")
        );
        // It is ended by itself: one slot, another key, and no file beside it.
        eventually(|| {
            let files = std::fs::read_dir(broker.keys()).unwrap().count();
            let slots = broker.operator().get("/v1/operator/slots").expect(200);
            let one = slots["data"].as_array().unwrap().len() == 1;
            (files == 2 && one).then_some(())
        });
        assert_ne!(
            std::fs::read(broker.keys().join("root.key")).unwrap(),
            old,
            "{place}"
        );
        assert_eq!(shred(&broker, None)["level"], "provider", "{place}");
        assert_eq!(broker.stop(), Some(0));
        broker.restart();
        assert_eq!(
            value(&broker.operator(), "KEPT").as_deref(),
            Some("what was not")
        );
    }
}
