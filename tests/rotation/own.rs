//! The installation's own keys, and the key file, killed at every place of their replacement under writers.

use std::collections::BTreeSet;

use runtools_broker::audit::{Verdict, verify_export};
use runtools_broker::crypto::PublicKey;
use runtools_broker::failpoint::Failpoint;
use serde_json::Value;

use crate::files::{only_one_of_each, own_keys};
use crate::harness::{Client, Setup, eventually};
use crate::opens_nothing;
use crate::stage::{KILL, Stage, setup};

/// What is replaced, by which route, and in how many places it may be killed.
pub(crate) const LEVELS: [(&str, &str, usize); 3] = [
    ("audit", "/v1/operator/audit-rotation", 5),
    ("state", "/v1/operator/state-rotation", 3),
    ("index", "/v1/operator/index-rotation", 3),
];

/// What a copy into fresh files comes by.
const COPYING: [&str; 4] = [
    "store.rewrite.page",
    "store.rewrite.caught_up",
    "store.rewrite.naming",
    "store.rewrite.placed",
];

fn places(level: &str) -> Vec<&'static str> {
    let prefix = format!("key.{level}.");
    let names = Failpoint::ALL.iter().map(|place| place.name());
    let mut all: Vec<_> = names.filter(|name| name.starts_with(&prefix)).collect();
    if level == "index" {
        all.extend(COPYING);
    }
    all
}

fn version(client: &Client, path: &str) -> u64 {
    let rotated = client.send("POST", path, None).expect(200);
    rotated["data"]["version"].as_u64().unwrap()
}

/// Whether what was cut short was gone on with, and has ended well.
fn is_over(stage: &Stage) -> bool {
    let path = "/v1/audit?all=true&action=key.rotate_resume";
    let found = stage.broker.operator().get(path).expect(200);
    let entries = found["data"].as_array().unwrap();
    let ended = |entry: &Value| entry["outcome"]["status"] == "success";
    !entries.is_empty() && entries.iter().all(ended)
}

/// What was cut short goes on by itself, and the next one begins as if nothing had been.
pub(crate) fn ended(stage: &Stage, path: &str) {
    let operator = stage.broker.operator();
    eventually(|| (operator.send("POST", path, None).status == 200).then_some(()));
    eventually(|| {
        let store = operator.get("/v1/operator/store").expect(200);
        (store["data"]["compaction"]["state"] != "running").then_some(())
    });
}

fn kill_own_keys(engine: &str) {
    let mut stage = Stage::new(setup(engine));
    let mut signers = vec![signer(&stage)];
    for (level, path, count) in LEVELS {
        let places = places(level);
        assert_eq!(
            places
                .iter()
                .filter(|place| place.starts_with("key."))
                .count(),
            count
        );
        for place in places {
            stage.broker.restart_with(Setup {
                failpoint: Some(place),
                ..setup(engine)
            });
            stage.until_it_is_gone(|operator| {
                drop(operator.try_send("POST", path, None));
            });
            assert_eq!(stage.died_of(), KILL, "{level}: {place}");
            stage.broker.restart_with(setup(engine));
            stage.check();
            ended(&stage, path);
            stage.check();
            signers.push(signer(&stage));
            assert_eq!(stage.broker.stop(), Some(0), "{level}: {place}");
            only_one_of_each(&stage.broker.data(), place);
        }
    }
    stage.broker.restart();
    stage.check();
    intact_by_each(&stage, &signers);
    let log = stage.broker.log_text();
    assert!(!log.contains("panicked"), "{log}");
}

fn signer(stage: &Stage) -> String {
    let head = stage.broker.operator().get("/v1/audit/head").expect(200);
    head["data"]["publicKey"].as_str().unwrap().to_owned()
}

/// The journal from its beginning on, by every key that ever signed it.
fn intact_by_each(stage: &Stage, signers: &[String]) {
    let export = stage.broker.operator().get("/v1/audit/export");
    assert_eq!(export.status, 200);
    let all: BTreeSet<_> = signers.iter().collect();
    assert!(all.len() > 5, "{all:?}");
    for key in all {
        let bytes = data_encoding::HEXLOWER.decode(key.as_bytes()).unwrap();
        let key = PublicKey(bytes.try_into().unwrap());
        let report = verify_export(export.body.as_slice(), &key).unwrap();
        assert_eq!(report.verdict, Verdict::Intact);
    }
}

#[test]
fn own_keys_whose_replacement_is_killed_at_any_place_are_replaced_after_it_in_sled() {
    kill_own_keys("sled");
}

#[test]
fn own_keys_whose_replacement_is_killed_at_any_place_are_replaced_after_it_in_redb() {
    kill_own_keys("redb");
}

#[test]
fn a_replacement_that_was_cut_short_ends_by_itself() {
    for (place, path, number, version) in [
        ("key.audit.drawn", LEVELS[0].1, 3, 2),
        ("key.state.drawn", LEVELS[1].1, 2, 2),
        ("store.rewrite.copied", LEVELS[2].1, 8, 1),
    ] {
        let mut stage = Stage::new(Setup {
            failpoint: Some(place),
            ..setup("sled")
        });
        stage.until_it_is_gone(|operator| drop(operator.try_send("POST", path, None)));
        assert_eq!(stage.died_of(), KILL, "{place}");
        stage.broker.restart_with(setup("sled"));
        eventually(|| is_over(&stage).then_some(()));
        stage.check();
        assert_eq!(stage.broker.stop(), Some(0), "{place}");
        let data = stage.broker.data();
        let (keys, _) = own_keys(&data);
        assert!(keys.contains(&(number, version)), "{place}: {keys:?}");
        only_one_of_each(&data, place);
    }
}

#[test]
fn the_ring_of_before_opens_nothing_once_a_broker_that_was_killed_at_the_end_has_started_again() {
    let mut stage = Stage::new(Setup {
        failpoint: Some("key.root.placed"),
        ..setup("sled")
    });
    let ring = stage.broker.keys().join("root.ring");
    let before = std::fs::read(&ring).unwrap();
    let path = "/v1/operator/root-rotation";
    stage.until_it_is_gone(|operator| drop(operator.try_send("POST", path, None)));
    assert_eq!(stage.died_of(), KILL);
    let (keys, _) = own_keys(&stage.broker.data());
    assert!(keys.contains(&(7, 1)), "{keys:?}");
    stage.broker.restart_with(setup("sled"));
    eventually(|| is_over(&stage).then_some(()));
    stage.check();
    assert_eq!(stage.broker.stop(), Some(0));
    only_one_of_each(&stage.broker.data(), "key.root.placed");
    opens_nothing(&mut stage, &ring, &before);
}

#[test]
fn the_verbs_say_what_was_replaced_and_nobody_else_may() {
    let stage = Stage::new(setup("sled"));
    let broker = &stage.broker;
    assert_eq!(version(&broker.operator(), LEVELS[1].1), 2);
    let ran = broker.runs(&["key", "rotate", "state"], None);
    assert!(ran.stderr.contains("key 3"), "{}", ran.stderr);
    let before = signer(&stage);
    let ran = broker.runs(&["key", "rotate", "audit", "--json"], None);
    let told: Value = ran.expect(0);
    assert_eq!(told["data"]["publicKey"], signer(&stage));
    assert_ne!(before, signer(&stage));
    let ran = broker.runs(&["key", "rotate", "index"], None);
    assert_eq!(ran.exit, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("other names"), "{}", ran.stderr);
    // An export across the change, by the key from before it.
    let file = broker.path("export.jsonl");
    let text = broker.operator().get("/v1/audit/export");
    std::fs::write(&file, text.body).unwrap();
    let file = file.to_str().unwrap();
    let check = ["audit", "verify", "--file", file, "--public-key", &before];
    let ran = crate::stage::runtools(broker, &check);
    assert_eq!(ran.exit, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains(&signer(&stage)), "{}", ran.stderr);
    let admin = broker.admin(&[]);
    for (_, path, _) in LEVELS {
        assert_eq!(admin.send("POST", path, None).refused(403), "operator_only");
    }
    stage.check();
}
