//! The doctor: silent about what is well, exact about what is not.

mod harness;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use harness::disk::copy;
use harness::{Broker, Canaries};
use serde_json::{Value, json};

/// The finding of `check` somewhere below `found`.
fn find<'a>(found: &'a Value, check: &str) -> Option<&'a Value> {
    if found["check"] == check {
        return Some(found);
    }
    let mut parts = found["parts"].as_array()?.iter();
    parts.find_map(|part| find(part, check))
}

fn level<'a>(document: &'a Value, check: &str) -> &'a str {
    let found = find(&document["data"], check);
    found
        .and_then(|found| found["level"].as_str())
        .unwrap_or("none")
}

/// Examines, and expects that nothing fails.
fn examined(broker: &Broker) -> Value {
    broker.runs(&["doctor", "--json"], None).expect(0)
}

/// Examines, and expects that exactly these checks fail.
#[track_caller]
fn fails(broker: &Broker, checks: &[&str]) {
    let document = broker.runs(&["doctor", "--json"], None).expect(1);
    let mut failed = Vec::new();
    collect(&document["data"], &mut failed);
    assert_eq!(failed, checks, "{document:#}");
}

fn collect(found: &Value, failed: &mut Vec<String>) {
    match found["parts"].as_array() {
        Some(parts) => parts.iter().for_each(|part| collect(part, failed)),
        None if found["level"] == "fail" => {
            assert!(!found["fix"].as_str().unwrap().is_empty());
            failed.push(found["check"].as_str().unwrap().to_owned());
        }
        None => {}
    }
}

#[test]
fn nothing_fails_on_a_clean_installation_before_its_start_while_it_runs_and_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let any = "127.0.0.1:0";
    let fresh = ["doctor", "--json", "--listen", any, "--proxy-listen", any];
    let document = harness::program::run(folder.path(), &fresh, None).expect(0);
    assert_eq!(level(&document, "ring"), "ok");
    assert!(
        fs::read_dir(folder.path()).unwrap().next().is_none(),
        "it made something"
    );

    let mut broker = Broker::start();
    let document = examined(&broker);
    assert_eq!(level(&document, "broker"), "ok", "{document:#}");
    assert_eq!(level(&document, "lock"), "ok");
    assert_eq!(level(&document, "proxy"), "ok", "{document:#}");
    let text = document.to_string();
    assert!(text.contains("the running broker's, 0 tunnels"), "{text}");
    assert_eq!(level(&document, "proxy_socket"), "ok", "{document:#}");
    assert_eq!(level(&document, "slots"), "warn", "one slot is one too few");
    assert_eq!(broker.stop(), Some(0));
    let document = examined(&broker);
    for check in ["broker", "store", "anchor", "audit", "key_file", "socket"] {
        assert_eq!(level(&document, check), "ok", "{check}: {document:#}");
    }
    broker.restart();
    assert_eq!(
        broker.operator().get("/readyz").status,
        200,
        "it did no harm"
    );
}

#[test]
fn faults_of_files_are_found_by_the_program_too_and_nothing_else() {
    let mut broker = Broker::start();
    assert_eq!(broker.stop(), Some(0));
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let key = broker.keys().join("root.key");
    mode(&key, 0o644);
    fails(&broker, &["key_file"]);
    mode(&key, 0o600);

    mode(&broker.keys(), 0o750);
    fails(&broker, &["keys_dir"]);
    mode(&broker.keys(), 0o700);

    let (anchor, aside) = (broker.data().join("anchor"), broker.path("aside"));
    fs::rename(&anchor, &aside).unwrap();
    fails(&broker, &["anchor"]);
    fs::rename(&aside, &anchor).unwrap();

    let (ring, aside) = (broker.keys().join("root.ring"), broker.path("aside"));
    fs::rename(&ring, &aside).unwrap();
    fails(&broker, &["ring"]);
    fs::rename(&aside, &ring).unwrap();

    fs::rename(broker.data().join("audit"), broker.path("audit")).unwrap();
    fails(&broker, &["audit"]);
    fs::rename(broker.path("audit"), broker.data().join("audit")).unwrap();

    fs::write(broker.socket(), "x").unwrap();
    fails(&broker, &["socket"]);
    fs::remove_file(broker.socket()).unwrap();
    examined(&broker);
}

#[test]
fn a_killed_broker_leaves_a_socket_that_is_only_mentioned() {
    let mut broker = Broker::start();
    broker.kill();
    let document = examined(&broker);
    assert_eq!(level(&document, "socket"), "warn");
    assert_eq!(level(&document, "broker"), "ok");
}

#[test]
fn settings_that_cannot_be_read_fail_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("broker.toml"), "listn = []").unwrap();
    let ran = harness::program::run(
        folder.path(),
        &["doctor", "--config", "broker.toml", "--json"],
        None,
    );
    let document = ran.expect(1);
    assert_eq!(level(&document, "settings"), "fail");
}

#[test]
fn a_person_reads_a_tree_with_fixes_and_no_secret() {
    let mut canaries = Canaries::new();
    let broker = Broker::start();
    let secret = json!({"name": "A_KEY", "value": canaries.value(), "category": "tool"});
    broker.operator().post("/v1/secrets", &secret).expect(201);
    let ran = broker.runs(&["doctor"], None);
    assert_eq!(ran.exit, 0, "{}", ran.stdout);
    assert!(
        ran.stdout.contains("WARN slots: only one"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout
            .contains("→ Add a second: runtools-broker key slot add passphrase")
    );
    assert!(
        ran.stdout.lines().all(|line| line.chars().count() <= 80),
        "{}",
        ran.stdout
    );
    assert!(!ran.stdout.contains('\u{1b}') && ran.stderr.is_empty());
    canaries.absent_from("the doctor's words", ran.stdout.as_bytes());
    let key = fs::read(broker.keys().join("root.key")).unwrap();
    let key = data_encoding::HEXLOWER.encode(&key);
    assert!(!ran.stdout.contains(&key));
}

#[test]
fn a_port_that_is_taken_is_found_before_and_explained_at_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let ran = |verb| harness::program::run(folder.path(), &[verb, "--listen", &addr], None);
    let doctor = ran("doctor");
    assert_eq!(doctor.exit, 1);
    assert!(
        doctor.stdout.contains("another program has it"),
        "{}",
        doctor.stdout
    );
    let serve = ran("serve");
    assert_eq!(serve.exit, 1);
    let port = addr.rsplit(':').next().unwrap();
    assert!(
        serve
            .stderr
            .contains(&format!("Another program has port {port}")),
        "{}",
        serve.stderr
    );
    assert!(
        serve.stderr.contains("--listen 127.0.0.1:0"),
        "{}",
        serve.stderr
    );
}

/// What is done to a file of a data folder.
type Damage = fn(Vec<u8>) -> Vec<u8>;

/// Flips a bit of every 64th byte: no page of it is whole.
fn flipped(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.iter_mut().step_by(64).for_each(|byte| *byte ^= 1);
    bytes
}

/// Flips one bit in the middle of what was written; zeros stand behind it.
fn flipped_once(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end / 2] ^= 1;
    bytes
}

/// As a journal that somebody cut: what is left of it is sound.
fn halved(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes.truncate(end / 2);
    bytes
}

fn emptied(_: Vec<u8>) -> Vec<u8> {
    Vec::new()
}

fn overwritten(bytes: Vec<u8>) -> Vec<u8> {
    bytes.into_iter().map(|_| b'x').collect()
}

#[test]
fn what_a_start_refuses_is_found_from_outside() {
    let mut broker = Broker::start();
    for n in 0..20 {
        let secret = json!({"name": format!("KEY_{n}"), "value": "a value", "category": "tool"});
        broker.operator().post("/v1/secrets", &secret).expect(201);
    }
    assert_eq!(broker.stop(), Some(0));
    let sound = broker.path("sound");
    copy(&broker.data(), &sound);
    let document = examined(&broker);
    for check in ["contents", "chain"] {
        assert_eq!(level(&document, check), "ok", "{document:#}");
    }
    let journal = "audit/00000000000000000001.log";
    let rows: [(&str, Damage, &str); 9] = [
        (journal, flipped_once, "chain"),
        (journal, flipped, "chain"),
        (journal, halved, "chain"),
        (journal, overwritten, "chain"),
        (journal, emptied, "audit"),
        ("store/sled/db", flipped, "contents"),
        ("store/sled/db", emptied, "contents"),
        ("anchor", overwritten, "contents"),
        ("anchor", emptied, "contents"),
    ];
    for (file, damage, check) in rows {
        let path = broker.data().join(file);
        fs::write(&path, damage(fs::read(&path).unwrap())).unwrap();
        let before = broker.files();
        fails(&broker, &[check]);
        assert_eq!(broker.files(), before, "the doctor changed something");
        let shown = broker.runs(&["doctor"], None).stdout;
        assert!(
            shown
                .trim_end()
                .lines()
                .last()
                .unwrap()
                .contains("1 to mend"),
            "{shown}"
        );
        let started = broker.runs(&["serve"], None);
        assert_eq!(
            started.exit, 1,
            "{file}: a start takes it, and the doctor does not"
        );
        assert!(started.stderr.contains("hint: "), "{}", started.stderr);
        fs::remove_dir_all(broker.data()).unwrap();
        copy(&sound, &broker.data());
        examined(&broker);
    }
    broker.restart();
    broker.operator().get("/v1/secrets/KEY_7").expect(200);
}

#[test]
fn what_was_not_looked_into_is_not_said_to_work() {
    let mut broker = Broker::start();
    let words = "correct horse battery staple lantern";
    let add = ["key", "slot", "add", "passphrase"];
    broker.runs(&add, Some(words)).expect(0);
    assert_eq!(broker.stop(), Some(0));
    fs::rename(broker.keys().join("root.key"), broker.path("root.key")).unwrap();
    let shown = broker.runs(&["doctor"], None);
    assert_eq!(shown.exit, 0, "{}", shown.stdout);
    let text = &shown.stdout;
    assert!(
        text.contains("SKIP contents: not examined: no key file"),
        "{text}"
    );
    let last = text.trim_end().lines().last().unwrap();
    assert!(last.starts_with("Nothing to mend was found;"), "{text}");
    assert!(last.ends_with("1 not examined."), "{text}");
    fs::rename(broker.path("root.key"), broker.keys().join("root.key")).unwrap();
    let shown = broker.runs(&["doctor"], None).stdout;
    assert!(!shown.contains("not examined"), "{shown}");
}

#[test]
fn what_it_may_mend_by_itself_it_mends_only_where_it_is_asked_to() {
    let mut broker = Broker::start();
    assert_eq!(broker.stop(), Some(0));
    let (key, keys) = (broker.keys().join("root.key"), broker.keys());
    let widen = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    widen(&key, 0o644);
    fails(&broker, &["key_file"]);
    assert_eq!(mode(&key), 0o644, "nobody asked");
    let mended = broker.runs(&["doctor", "--fix"], None);
    assert_eq!(mended.exit, 0, "{}{}", mended.stdout, mended.stderr);
    assert_eq!(mode(&key), 0o600);
    let told = &mended.stderr;
    assert!(told.contains("did: chmod 600 '"), "{told}");
    assert!(told.contains("key rotate root"), "{told}");

    // What takes more than a mode is left to people, and what is well is left alone.
    widen(&keys, 0o755);
    fs::write(broker.socket(), "x").unwrap();
    let document = broker.runs(&["doctor", "--fix", "--json"], None).expect(1);
    assert_eq!(level(&document, "keys_dir"), "ok");
    assert_eq!(level(&document, "socket"), "fail");
    assert_eq!(fs::read(broker.socket()).unwrap(), b"x");
    assert_eq!(mode(&keys), 0o700);
    fs::remove_file(broker.socket()).unwrap();
    let quiet = broker.runs(&["doctor", "--fix"], None);
    assert!(!quiet.stderr.contains("chmod"), "{}", quiet.stderr);
}
