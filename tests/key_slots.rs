//! A ring that moves from its key file to something else, under a broker that serves: add, test, remove.
#![expect(clippy::too_many_lines, reason = "a journey is told in one piece")]

mod harness;
#[path = "key_slots/kills.rs"]
mod kills;
#[path = "custody/sample.rs"]
mod sample;
#[path = "custody/softhsm.rs"]
#[expect(dead_code, reason = "the suite of custodians breaks it in more ways")]
mod softhsm;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use harness::memory::occurrences;
use harness::{Broker, Setup, eventually};
use sample::{sample, spoil, spoilt};
use serde_json::{Value, json};
use softhsm::Token;

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
/// somebody reads without a pause and is never refused. `test` says what to type for the test. Answers what
/// was said of the new slot.
fn move_to(
    broker: &Broker,
    kind: &str,
    add: &[&str],
    test: Option<&dyn Fn(&Value) -> String>,
) -> Value {
    let done = AtomicBool::new(false);
    let added = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let operator = broker.operator();
            let mut reads = 0;
            while reads < 20 || !done.load(Ordering::Relaxed) {
                operator.get("/v1/secrets/KEPT").expect(200);
                reads += 1;
            }
        });
        let words = ["key", "slot", "add", kind, "--json"];
        let added = broker.runs(&[&words[..], add].concat(), None).expect(0);
        let added = added["data"].clone();
        let id = added["id"].as_str().unwrap();
        let input = test.map(|test| test(&added));
        let test = || {
            let tested = broker.runs(&["key", "slot", "test", id], input.as_deref());
            tested.expect(0);
            assert!(tested.stderr.contains("opens"), "{}", tested.stderr);
        };
        test();
        let old = slot_of_kind(broker, "key-file");
        let remove = ["key", "slot", "remove", &old, "--yes"];
        broker.runs(&remove, None).expect(0);
        fs::remove_file(broker.keys().join("root.key")).unwrap();
        test();
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
        added
    });
    opens(broker);
    let all = slots(broker);
    assert_eq!((all.len(), &all[0]["kind"]), (1, &json!(kind)));
    added
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
    move_to(&broker, "systemd-credential", &[], None);
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

/// The shares of an answer.
fn dealt(added: &Value) -> Vec<String> {
    let all = added["dealt"].as_array().unwrap().iter();
    all.map(|share| share.as_str().unwrap().to_owned())
        .collect()
}

const THREE_OF_FIVE: [&str; 4] = ["--shares", "5", "--threshold", "3"];

#[test]
fn from_a_key_file_to_the_shares_of_five_people_of_whom_three_come_one_after_the_other() {
    let mut broker = broker(Setup::default());
    let three = |added: &Value| dealt(added)[2..].join("\n");
    let added = move_to(&broker, "shares", &THREE_OF_FIVE, Some(&three));
    let shares = dealt(&added);
    assert_eq!(
        (&added["shares"], &added["threshold"]),
        (&json!(5), &json!(3))
    );
    broker.restart();
    assert_eq!(broker.operator().get("/v1/secrets").refused(503), "sealed");

    let gives = |share: &str| broker.runs(&["unseal"], Some(share));
    let refused = |share: &str, words: &str| {
        let ran = gives(share);
        assert_ne!(ran.exit, 0, "{}", ran.stderr);
        let said = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(words), "{said}");
        assert!(!said.contains(&share[9..]), "{said}");
    };
    let first = gives(&shares[4]);
    first.expect(0);
    assert!(
        first.stderr.contains("1 of 3 shares are there; 2 to go"),
        "{}",
        first.stderr
    );
    refused(&shares[4].to_uppercase(), "Share 5 was given already");
    let other = if &shares[0][20..21] == "7" { "6" } else { "7" };
    let mut slip = shares[0].clone();
    slip.replace_range(20..21, other);
    refused(&slip, "has a wrong letter");
    refused("rtshare1-short", "is no share");
    let foreign = Broker::start();
    let words = [&["key", "slot", "add", "--json"][..], &THREE_OF_FIVE].concat();
    let theirs = dealt(&foreign.runs(&words, None).expect(0)["data"]);
    refused(&theirs[0], "of no set that opens this ring");
    assert!(
        gives(&shares[1]).stderr.contains("2 of 3 shares"),
        "the others are kept"
    );

    // Begun anew, two are not enough.
    broker.runs(&["unseal", "--forget"], None).expect(0);
    gives(&shares[0]).expect(0);
    assert!(
        gives(&shares[1]).stderr.contains("2 of 3 shares"),
        "as before"
    );
    assert_eq!(broker.operator().get("/v1/secrets").refused(503), "sealed");
    let last = gives(&shares[2]);
    last.expect(0);
    assert!(
        last.stderr.contains("the vault is unsealed"),
        "{}",
        last.stderr
    );
    opens(&broker);
    for share in &shares {
        assert!(!broker.log_text().contains(share));
        assert_eq!(
            occurrences(broker.pid(), share.as_bytes()),
            0,
            "a share is in memory"
        );
    }
}

#[test]
fn shares_given_for_a_test_are_forgotten_when_the_vault_is_sealed_and_sets_do_not_mix() {
    let broker = broker(Setup::default());
    let add = || {
        let words = [&["key", "slot", "add", "--json"][..], &THREE_OF_FIVE].concat();
        broker.runs(&words, None).expect(0)["data"].clone()
    };
    let (one, other) = (add(), add());
    let test = |slot: &Value, shares: &[String]| {
        let id = slot["id"].as_str().unwrap();
        broker.runs(&["key", "slot", "test", id], Some(&shares.join("\n")))
    };
    let (ours, theirs) = (dealt(&one), dealt(&other));
    assert!(
        test(&one, &ours[..2]).stderr.contains("2 of 3 shares"),
        "as many as were given"
    );
    let foreign = test(&one, &theirs[..1]);
    assert!(foreign.stderr.contains("of no set"), "{}", foreign.stderr);
    let mixed = test(&other, &theirs[..1]);
    assert!(
        mixed.stderr.contains("another set than those given before"),
        "{}",
        mixed.stderr
    );
    broker.runs(&["seal", "--yes"], None).expect(0);
    broker
        .runs(&["unseal"], Some(&theirs[1..4].join("\n")))
        .expect(0);
    let again = test(&one, &ours[2..4]);
    assert!(again.stderr.contains("2 of 3 shares"), "{}", again.stderr);
    let third = test(&one, &ours[..1]);
    assert!(third.stderr.contains(" opens"), "{}", third.stderr);
}

/// A broker with the sample program in its settings, spoilt by what `spoil` says, and started with a file
/// open that is no business of anybody's.
fn with_program(dir: &Path) -> Setup {
    let (program, words) = spoilt(dir, sample(dir));
    Setup {
        config: format!(
            "[custody.exec.sample]\nprogram = \"{}\"\narguments = {words:?}\n",
            program.display()
        ),
        wrapper: ["sh", "-c", "exec 7</etc/passwd; exec \"$0\" \"$@\""]
            .map(str::to_owned)
            .to_vec(),
        ..Setup::default()
    }
}

#[test]
fn from_a_key_file_to_a_program_that_holds_the_key() {
    let place = tempfile::tempdir().unwrap();
    let mut broker = broker(with_program(place.path()));
    let unknown = broker.runs(&["key", "slot", "add", "exec", "--name", "other"], None);
    assert!(
        unknown.stderr.contains("is not in the settings"),
        "{}",
        unknown.stderr
    );
    move_to(&broker, "exec", &["--name", "sample"], None);
    assert_eq!(slots(&broker)[0]["name"], "sample");
    spoil(place.path(), "look");
    broker.restart();
    opens(&broker);
    let seen = |name: &str| fs::read_to_string(place.path().join(name)).unwrap();
    assert_eq!(seen("environment"), "", "it has an environment");
    let files = seen("files");
    assert!(files.contains("pipe:"), "{files}");
    assert!(
        !files.contains("passwd") && !files.contains("/store/"),
        "{files}"
    );
}

#[test]
fn a_program_that_is_away_is_asked_again_until_it_is_back_and_never_after() {
    let place = tempfile::tempdir().unwrap();
    let mut broker = broker(with_program(place.path()));
    move_to(&broker, "exec", &["--name", "sample"], None);
    spoil(place.path(), "rude");
    broker.restart();
    let told = "the exec custodian sample refused: it may not use the key";
    eventually(|| broker.log_text().contains(told).then_some(()));
    assert_eq!(broker.operator().get("/v1/secrets").refused(503), "sealed");
    let said = "It is asked for again and again.";
    eventually(|| broker.log_text().contains(said).then_some(()));
    spoil(place.path(), "well");
    eventually(|| (broker.operator().get("/readyz").status == 200).then_some(()));
    opens(&broker);
    let log = broker.log_text();
    assert!(!log.contains("hunter2"), "what it said is in the log");
    // Of the whole installation, so it stands in the export.
    let export = broker.operator().get("/v1/audit/export");
    let export = String::from_utf8(export.body).unwrap();
    let unsealed = |line: &&str| line.contains("\"action\":\"vault.unseal\"");
    let by = export.lines().find(unsealed).unwrap();
    assert!(by.contains("\"system\""), "{by}");

    // What a person seals stays sealed.
    broker.runs(&["seal", "--yes"], None).expect(0);
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert_eq!(broker.operator().get("/v1/secrets").refused(503), "sealed");
    broker.runs(&["unseal"], None).expect(0);
    opens(&broker);
}

#[test]
fn from_a_key_file_to_a_key_that_never_leaves_its_device() {
    let token = Token::new();
    let Token {
        library, pin_file, ..
    } = &token;
    let mut broker = broker(Setup {
        config: format!(
            "[custody.pkcs11.hsm]\nlibrary = {library:?}\ntoken = \"broker\"\nkey = \"root\"\n\
             pin_file = {pin_file:?}\nenvironment = {{ SOFTHSM2_CONF = {:?} }}\n",
            token.settings()
        ),
        ..Setup::default()
    });
    move_to(&broker, "pkcs11", &["--name", "hsm"], None);
    broker.restart();
    opens(&broker);

    // A library that brings its process down brings down nothing else.
    token.crash();
    broker.restart();
    let told = "the pkcs11 custodian hsm ended without an answer";
    eventually(|| broker.log_text().contains(told).then_some(()));
    assert_eq!(broker.operator().get("/v1/secrets").refused(503), "sealed");
    token.mend();
    eventually(|| (broker.operator().get("/readyz").status == 200).then_some(()));
    opens(&broker);
}
