//! The operator's verbs, with the real program: slots, sealing, members, documents.

mod harness;

use harness::{Broker, Canaries, eventually};
use serde_json::Value;

const WORDS: &str = "correct horse battery staple lantern";

fn slots(broker: &Broker) -> Vec<Value> {
    let listed = broker.runs(&["key", "slot", "list", "--json"], None);
    listed.expect(0)["data"].as_array().unwrap().clone()
}

#[test]
fn a_passphrase_takes_the_place_of_the_key_file_and_opens_a_sealed_start() {
    let mut canaries = Canaries::new();
    let value = canaries.value();
    let mut broker = Broker::start();
    let secret = serde_json::json!({"name": "KEPT", "value": value, "category": "tool"});
    broker.operator().post("/v1/secrets", &secret).expect(201);

    let first = slots(&broker)[0]["id"].as_str().unwrap().to_owned();
    let last = broker.runs(&["key", "slot", "remove", &first, "--yes"], None);
    assert_ne!(last.exit, 0, "the last way in stays");
    let add = [
        "key",
        "slot",
        "add",
        "passphrase",
        "--label",
        "safe",
        "--json",
    ];
    let added = broker.runs(&add, Some(WORDS)).expect(0);
    let id = added["data"]["id"].as_str().unwrap();
    let test = ["key", "slot", "test", id];
    assert_ne!(broker.runs(&test, Some("not these words at all")).exit, 0);
    broker.runs(&test, Some(WORDS)).expect(0);
    broker
        .runs(&["key", "slot", "remove", &first, "--yes"], None)
        .expect(0);
    let left = slots(&broker);
    assert_eq!(
        (left.len(), &left[0]["id"], &left[0]["label"]),
        (1, &added["data"]["id"], &"safe".into())
    );

    broker.restart();
    let told = format!(
        "runtools-broker unseal --socket {}",
        broker.socket().display()
    );
    eventually(|| broker.log_text().contains(&told).then_some(()));
    let sealed = broker.operator().get("/v1/secrets").refused(503);
    assert_eq!(sealed, "sealed");
    let wrong = broker.runs(&["unseal", "--json"], Some("not these words at all"));
    assert_ne!(wrong.exit, 0);
    assert!(wrong.stdout.contains("\"error\""), "{}", wrong.stdout);
    let opened = broker.runs(&["unseal"], Some(&format!("{WORDS}\n")));
    assert_eq!(opened.exit, 0, "{}", opened.stderr);
    assert!(opened.stderr.contains("the vault is unsealed"));
    broker.operator().get("/v1/secrets/KEPT").expect(200);
    assert!(broker.runs(&["unseal"], None).stderr.contains("already"));

    broker.runs(&["seal", "--yes", "--json"], None).expect(0);
    assert_eq!(broker.operator().get("/v1/secrets").refused(503), "sealed");
    let doctor = broker.runs(&["doctor"], None);
    assert_eq!(doctor.exit, 0, "{}", doctor.stdout);
    assert!(
        doctor.stdout.contains("WARN broker: it is sealed"),
        "{}",
        doctor.stdout
    );
    broker.runs(&["unseal"], Some(WORDS)).expect(0);
    nothing_stands_in_clear(&broker, &canaries);
}

fn nothing_stands_in_clear(broker: &Broker, canaries: &Canaries) {
    for (path, bytes) in broker.files() {
        canaries.absent_from(&path.display().to_string(), &bytes);
        let words = bytes
            .windows(WORDS.len())
            .any(|part| part == WORDS.as_bytes());
        assert!(!words, "{}", path.display());
    }
    assert!(!broker.log_text().contains(WORDS));
}

#[test]
fn sealing_and_removing_want_a_yes_where_nobody_can_be_asked() {
    let broker = Broker::start();
    assert_eq!(broker.runs(&["seal", "--no-input"], None).exit, 2);
    assert_eq!(broker.operator().get("/readyz").status, 200);
}

#[test]
fn members_are_added_listed_promoted_and_removed() {
    let broker = Broker::start();
    let add = [
        "member",
        "add",
        "Ada",
        "--email",
        "ada@example.com",
        "--create-key",
        "--json",
    ];
    let added = broker.runs(&add, None).expect(0);
    let key = added["data"]["key"].as_str().unwrap().to_owned();
    let ada = broker.anonymous().key(&key);
    assert_eq!(ada.get("/v1/me").expect(200)["data"]["role"], "member");
    let listed = broker.runs(&["member", "list"], None);
    assert!(
        listed.stdout.contains("ada@example.com"),
        "{}",
        listed.stdout
    );
    broker
        .runs(&["member", "role", "ada@example.com", "admin"], None)
        .expect(0);
    assert_eq!(ada.get("/v1/me").expect(200)["data"]["role"], "admin");
    broker
        .runs(&["member", "remove", "ada@example.com", "--yes"], None)
        .expect(0);
    assert_eq!(ada.get("/v1/me").status, 401);
    let listed = broker.runs(&["member", "list", "--json"], None).expect(0);
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
}

#[test]
fn completions_and_pages_name_every_verb() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| harness::program::run(folder.path(), arguments, None);
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]);
        assert_eq!(script.exit, 0);
        for verb in ["doctor", "demo", "unseal", "member"] {
            assert!(script.stdout.contains(verb), "{shell} {verb}");
        }
    }
    assert_eq!(run(&["man", "pages"]).exit, 0);
    for page in ["", "-serve", "-doctor", "-demo", "-key-slot-add", "-unseal"] {
        let path = folder.path().join(format!("pages/runtools-broker{page}.1"));
        let page = std::fs::read_to_string(&path).unwrap();
        assert!(page.contains(".SH NAME"), "{}", path.display());
    }
    assert!(run(&["version"]).stdout.starts_with("runtools-broker "));
}

#[test]
fn a_passphrase_is_the_way_in_when_the_key_file_is_lost() {
    let mut broker = Broker::start();
    let secret = serde_json::json!({"name": "KEPT", "value": "kept through the loss"});
    broker.operator().post("/v1/secrets", &secret).expect(201);
    let lost = slots(&broker)[0]["id"].as_str().unwrap().to_owned();
    let add = ["key", "slot", "add", "passphrase"];
    broker.runs(&add, Some(WORDS)).expect(0);
    assert_eq!(broker.stop(), Some(0));

    let file = broker.keys().join("root.key");
    let key = std::fs::read(&file).unwrap();
    for (bytes, reason) in [
        (Some(&[7; 32][..]), "the key file does not open the ring"),
        (Some(&key[..31]), "has a wrong length"),
        (None, "not found"),
    ] {
        match bytes {
            Some(bytes) => std::fs::write(&file, bytes).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        let doctor = broker.runs(&["doctor", "--json"], None);
        assert_eq!(doctor.exit, 0, "{}", doctor.stdout);
        assert!(doctor.stdout.contains(reason), "{}", doctor.stdout);
        broker.restart();
        let told = "The key file does not unseal the vault: ";
        let of = |line: &str| line.starts_with(told) && line.contains(reason);
        eventually(|| broker.log_text().lines().any(of).then_some(()));
        assert_eq!(broker.operator().get("/v1/secrets").refused(503), "sealed");
        assert_eq!(slots(&broker).len(), 2, "listed without any key");
    }
    let remove = ["key", "slot", "remove", &lost, "--yes"];
    let refused = broker.runs(&remove, None);
    assert_ne!(refused.exit, 0, "who removes a slot has shown another");
    assert!(refused.stderr.contains("sealed"), "{}", refused.stderr);
    assert_eq!(slots(&broker).len(), 2);

    broker.runs(&["unseal"], Some(WORDS)).expect(0);
    let revealed = broker
        .operator()
        .post("/v1/secrets/KEPT/reveal", &serde_json::json!({}))
        .expect(200);
    assert_eq!(revealed["data"]["value"], "kept through the loss");
    broker.runs(&remove, None).expect(0);
    broker
        .runs(&["key", "slot", "add", "key-file"], None)
        .expect(0);
    broker.restart();
    broker.operator().get("/v1/secrets/KEPT").expect(200);
}

#[test]
fn a_key_file_that_others_may_read_stops_the_start_whatever_else_opens() {
    let mut broker = Broker::start();
    let add = ["key", "slot", "add", "passphrase"];
    broker.runs(&add, Some(WORDS)).expect(0);
    assert_eq!(broker.stop(), Some(0));
    let file = broker.keys().join("root.key");
    let wide = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&file, wide).unwrap();
    let started = broker.runs(&["serve"], None);
    assert_eq!(started.exit, 1, "{}", started.stderr);
    assert!(started.stderr.contains("chmod 600"), "{}", started.stderr);
}

#[test]
fn each_key_file_slot_has_a_file_of_its_own_and_the_hint_says_where() {
    let broker = Broker::start();
    let again = broker.runs(&["key", "slot", "add", "key-file"], None);
    assert_ne!(again.exit, 0, "a second slot on the file of the first");
    assert!(again.stderr.contains("is a file at"), "{}", again.stderr);
    assert_eq!(slots(&broker).len(), 1);

    let path = broker.path("usb stick.key");
    let add = ["key", "slot", "add", "key-file", "--path", "usb stick.key"];
    let added = broker.runs(&add, None);
    assert_eq!(added.exit, 0, "{}", added.stderr);
    let id = slots(&broker)[1]["id"].as_str().unwrap().to_owned();
    let hint = format!("key slot test {id} --path '{}'", path.display());
    assert!(added.stderr.contains(&hint), "{}", added.stderr);
    let said = added
        .stderr
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    assert!(
        said.contains("a start reads root.key in the keys directory"),
        "{said}"
    );
    let without = broker.runs(&["key", "slot", "test", &id], None);
    assert_ne!(without.exit, 0);
    let test = ["key", "slot", "test", &id, "--path", "usb stick.key"];
    broker.runs(&test, None).expect(0);
}

#[test]
fn an_organisation_is_made_with_a_key_for_its_first_admin() {
    let broker = Broker::start();
    let ran = broker.runs(&["organization", "add", "Acme Research"], None);
    assert_eq!(ran.exit, 0, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("added acme-research ("),
        "{}",
        ran.stderr
    );
    let key = ran.stdout.trim();
    assert!(key.starts_with("rt_live_"), "{}", ran.stdout);
    let admin = broker.anonymous().key(key);
    let org = admin.get("/v1/organizations/current").expect(200);
    assert_eq!(org["data"]["name"], "Acme Research");
    assert_eq!(org["data"]["role"], "admin");
    let ann = serde_json::json!({"name": "Ann"});
    admin
        .post("/v1/organizations/current/members", &ann)
        .expect(201);

    let other = ["organization", "add", "Acme", "--slug", "acme-2", "--json"];
    let made = broker.runs(&other, None).expect(0);
    assert_eq!(made["data"]["slug"], "acme-2");
    assert!(made["data"]["key"].is_string(), "{made}");
    let again = broker.runs(&other, None);
    assert_eq!(again.exit, 8, "the slug is taken: {}", again.stdout);

    let listed = |broker: &Broker| {
        let all = broker.runs(&["organization", "list", "--json"], None);
        let all = all.expect(0)["data"].as_array().unwrap().clone();
        let row = |org: &Value| {
            let slug = org["slug"].as_str().unwrap().to_owned();
            (slug, org["members"].as_u64().unwrap())
        };
        all.iter().map(row).collect::<Vec<_>>()
    };
    let (first, rest) = listed(&broker)
        .split_first()
        .map(|(one, rest)| (one.clone(), rest.to_vec()))
        .unwrap();
    assert_eq!(first.1, 1, "{first:?}");
    assert_eq!(
        rest,
        [("acme-research".to_owned(), 2), ("acme-2".to_owned(), 1)]
    );
    let table = broker.runs(&["organization", "list"], None);
    assert!(table.stdout.contains("Acme Research"), "{}", table.stdout);
    // One who runs another organisation runs no installation.
    let path = "/v1/operator/organizations";
    assert_eq!(admin.get(path).status, 403);
    let delete = ["delete", "organization", "acme-2", "--yes"];
    assert_eq!(broker.runs(&delete, None).exit, 0);
    assert_eq!(listed(&broker), [first, rest[0].clone()]);
}
