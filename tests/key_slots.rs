//! A ring that moves from its key file to something else, under a broker that serves: add, test, remove.

mod harness;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use harness::{Broker, Setup, eventually};
use serde_json::{Value, json};

const WORDS: &str = "correct horse battery staple lantern";
const KEPT: &str = "kept through every move";

/// A broker with a secret to lose.
fn broker(setup: Setup) -> Broker {
    let broker = Broker::with(setup);
    let secret = json!({"name": "KEPT", "value": KEPT});
    broker.operator().post("/v1/secrets", &secret).expect(201);
    broker
}

fn slots(broker: &Broker) -> Vec<Value> {
    let listed = broker.runs(&["key", "slot", "list", "--json"], None);
    listed.expect(0)["data"].as_array().unwrap().clone()
}

fn slot_of_kind(broker: &Broker, kind: &str) -> String {
    let all = slots(broker);
    let slot = all.iter().find(|slot| slot["kind"] == kind).unwrap();
    slot["id"].as_str().unwrap().to_owned()
}

#[track_caller]
fn opens(broker: &Broker) {
    let revealed = broker
        .operator()
        .post("/v1/secrets/KEPT/reveal", &json!({}))
        .expect(200);
    assert_eq!(revealed["data"]["value"], KEPT);
}

/// Adds a slot of `kind` by the words of `add`, tests it, and takes the key file and its slot away, while
/// somebody reads without a pause and is never refused.
fn move_to(broker: &Broker, kind: &str, add: &[&str]) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let operator = broker.operator();
            let mut reads = 0;
            while reads < 20 || !done.load(Ordering::Relaxed) {
                operator.get("/v1/secrets/KEPT").expect(200);
                reads += 1;
            }
        });
        let words = ["key", "slot", "add", kind];
        broker.runs(&[&words[..], add].concat(), None).expect(0);
        let added = slot_of_kind(broker, kind);
        broker
            .runs(&["key", "slot", "test", &added], None)
            .expect(0);
        let old = slot_of_kind(broker, "key-file");
        let remove = ["key", "slot", "remove", &old, "--yes"];
        broker.runs(&remove, None).expect(0);
        fs::remove_file(broker.keys().join("root.key")).unwrap();
        broker
            .runs(&["key", "slot", "test", &added], None)
            .expect(0);
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    opens(broker);
    let all = slots(broker);
    assert_eq!((all.len(), &all[0]["kind"]), (1, &json!(kind)));
}

/// The words that start a broker as a service to which systemd gives the credentials of `dir`.
fn service(dir: &Path) -> Setup {
    let credentials = format!("CREDENTIALS_DIRECTORY={}", dir.display());
    Setup {
        wrapper: vec!["env".into(), credentials],
        ..Setup::default()
    }
}

fn put_credential(path: &Path, bytes: &[u8]) {
    drop(fs::remove_file(path));
    fs::write(path, bytes).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o400);
    fs::set_permissions(path, mode).unwrap();
}

#[test]
fn from_a_key_file_to_a_systemd_credential() {
    let place = tempfile::tempdir().unwrap();
    let credential = place.path().join("runtools-root-key");
    let mut broker = broker(service(place.path()));
    let add = ["key", "slot", "add", "systemd-credential"];
    let missing = broker.runs(&add, None);
    assert_ne!(missing.exit, 0);
    for words in ["runtools-root-key", "LoadCredentialEncrypted="] {
        assert!(missing.stderr.contains(words), "{}", missing.stderr);
    }
    put_credential(&credential, &[0x5A; 32]);
    move_to(&broker, "systemd-credential", &[]);
    assert_eq!(slots(&broker)[0]["name"], "runtools-root-key");
    let again = broker.runs(&add, None);
    assert!(again.stderr.contains("one way in"), "{}", again.stderr);

    broker.restart();
    opens(&broker);

    // It is lost, and nothing else opens the ring: a start ends, and says why.
    fs::remove_file(&credential).unwrap();
    assert_eq!(broker.stop(), Some(0));
    broker.restart_with(Setup {
        unready: true,
        ..broker.setup()
    });
    assert_eq!(broker.wait(std::time::Duration::from_secs(30)), Some(1));
    let said = "systemd gave this process no credential called runtools-root-key";
    assert!(broker.log_text().contains(said), "{}", broker.log_text());

    // Where a person has a slot it waits for them, and says the same.
    put_credential(&credential, &[0x5A; 32]);
    broker.restart_with(service(place.path()));
    let words = ["key", "slot", "add", "passphrase"];
    broker.runs(&words, Some(WORDS)).expect(0);
    put_credential(&credential, &[0x5B; 32]);
    broker.restart();
    let told = "The vault does not unseal itself: the systemd credential runtools-root-key does not open the ring.";
    eventually(|| broker.log_text().contains(told).then_some(()));
    let sealed = broker.operator().get("/v1/secrets").refused(503);
    assert_eq!(sealed, "sealed");
    broker.runs(&["unseal"], Some(WORDS)).expect(0);
    opens(&broker);
}
