//! A store that was set back: refused with the reason, and gone on with only when its operator says why.

mod harness;

use std::fs;
use std::path::Path;
use std::time::Duration;

use harness::disk::copy;
use harness::{Broker, Client, Setup};
use serde_json::json;

const VALUE: &str = "the value that must not be lost";
const REASON: &str = "Ann decided: the disk of Monday is lost";

fn set(operator: &Client, name: &str) {
    let secret = json!({"name": name, "value": VALUE, "orgWide": true});
    operator.post("/v1/secrets", &secret).expect(201);
}

fn get(operator: &Client, name: &str) -> u16 {
    operator
        .get(&format!("/v1/secrets/{name}?orgWide=true"))
        .status
}

/// Replaces parts of the data directory by those of another one.
fn put(parts: &[&str], from: &Path, data: &Path) {
    for part in parts {
        let place = data.join(part);
        drop(fs::remove_dir_all(&place));
        drop(fs::remove_file(&place));
        copy(&from.join(part), &place);
    }
}

/// A stopped broker that has EARLY and LATER, and beside its data copies of it: `early` has not LATER yet.
fn used(setup: Setup) -> Broker {
    let mut broker = Broker::with(setup);
    set(&broker.operator(), "EARLY");
    assert_eq!(broker.stop(), Some(0));
    copy(&broker.data(), &broker.path("early"));
    broker.restart();
    set(&broker.operator(), "LATER");
    // The journal hears of a commit by the record that follows it.
    set(&broker.operator(), "LATER_TOO");
    assert_eq!(broker.stop(), Some(0));
    copy(&broker.data(), &broker.path("late"));
    broker
}

/// Starts it, which must be refused: what it says.
fn refused(broker: &mut Broker) -> String {
    let before = broker.log_bytes().len();
    broker.restart_with(Setup {
        unready: true,
        ..broker.setup()
    });
    assert_eq!(broker.wait(Duration::from_secs(30)), Some(1));
    std::thread::sleep(Duration::from_millis(50));
    String::from_utf8_lossy(&broker.log_bytes()[before..]).into_owned()
}

fn accept(broker: &Broker) -> harness::program::Ran {
    let words = ["store", "accept-rollback", "--yes", "--reason", REASON];
    broker.runs(&words, None)
}

fn serves(broker: &mut Broker) {
    broker.restart_with(Setup {
        unready: false,
        ..broker.setup()
    });
}

/// It serves, without LATER, and the journal says why.
fn goes_on(broker: &mut Broker) {
    serves(broker);
    let operator = broker.operator();
    assert_eq!(get(&operator, "EARLY"), 200);
    assert_eq!(get(&operator, "LATER"), 404);
    let log = operator
        .get("/v1/audit?action=store.accept_rollback&all=true")
        .expect(200);
    let records = log["data"].as_array().unwrap();
    let told = records.iter().any(|record| {
        let record = record.to_string();
        record.contains(REASON) && record.contains("operator")
    });
    assert!(told, "{log}");
    let found = operator.send("POST", "/v1/audit/verify", None).expect(200);
    assert_eq!(found["data"]["state"], "intact", "{found}");
    set(&operator, "AFTER");
    assert_eq!(broker.stop(), Some(0));
    broker.restart();
    assert_eq!(get(&broker.operator(), "AFTER"), 200);
    assert_eq!(broker.stop(), Some(0));
}

#[test]
fn a_store_that_was_set_back_under_its_anchor_goes_on_when_somebody_says_why() {
    let mut broker = used(Setup::default());
    let (early, late) = (broker.path("early"), broker.path("late"));
    put(&["store"], &early, &broker.data());
    let log = refused(&mut broker);
    assert!(log.contains("the store is an older copy"), "{log}");
    assert!(
        log.contains("runtools-broker store accept-rollback"),
        "{log}"
    );

    // Nobody is asked, so nothing is done.
    let unasked = broker.runs(&["store", "accept-rollback", "--reason", REASON], None);
    assert_ne!(unasked.exit, 0, "{}", unasked.stderr);
    let unsaid = ["store", "accept-rollback", "--yes", "--reason", "  "];
    assert_ne!(broker.runs(&unsaid, None).exit, 0);
    assert!(refused(&mut broker).contains("the store is an older copy"));

    let accepted = accept(&broker);
    assert_eq!(accepted.exit, 0, "{}", accepted.stderr);
    assert!(
        accepted.stderr.contains("has seen generation"),
        "{}",
        accepted.stderr
    );
    goes_on(&mut broker);

    // What was the newest is an older one now.
    put(&["store"], &late, &broker.data());
    let log = refused(&mut broker);
    assert!(log.contains("the store is an older copy"), "{log}");
}

#[test]
fn a_store_that_was_set_back_with_its_anchor_is_told_by_the_journal() {
    let mut broker = used(Setup::default());
    put(&["store", "anchor"], &broker.path("early"), &broker.data());
    let log = refused(&mut broker);
    assert!(log.contains("later state of the store"), "{log}");
    assert!(
        log.contains("runtools-broker store accept-rollback"),
        "{log}"
    );
    assert_eq!(accept(&broker).exit, 0);
    goes_on(&mut broker);
    let again = accept(&broker);
    assert_eq!(again.exit, 1, "{}", again.stderr);
    assert!(
        again.stderr.contains("nothing to accept"),
        "{}",
        again.stderr
    );
}

#[test]
fn a_lost_anchor_is_made_anew_and_a_cut_journal_is_not_accepted() {
    let mut broker = used(Setup::default());
    fs::remove_file(broker.data().join("anchor")).unwrap();
    let log = refused(&mut broker);
    assert!(
        log.contains("the anchor file of the store is missing"),
        "{log}"
    );
    let accepted = accept(&broker);
    assert_eq!(accepted.exit, 0, "{}", accepted.stderr);
    assert!(
        accepted.stderr.contains("is missing"),
        "{}",
        accepted.stderr
    );
    serves(&mut broker);
    assert_eq!(get(&broker.operator(), "LATER"), 200);
    assert_eq!(broker.stop(), Some(0));

    let data = broker.data();
    put(&["audit"], &broker.path("early"), &data);
    fs::remove_file(data.join("anchor")).unwrap();
    let cut = accept(&broker);
    assert_eq!(cut.exit, 1, "{}", cut.stderr);
    assert!(
        cut.stderr.contains("the store remembers audit record"),
        "{}",
        cut.stderr
    );
    assert!(!data.join("anchor").exists());
}

#[test]
fn everything_set_back_at_once_is_refused_by_the_anchor_elsewhere() {
    let elsewhere = tempfile::tempdir().unwrap();
    let external = elsewhere.path().join("anchor");
    let setup = Setup {
        config: format!("[store]\nexternal_anchor = {external:?}"),
        ..Setup::default()
    };
    let mut broker = used(setup);
    let data = broker.data();
    fs::remove_dir_all(&data).unwrap();
    copy(&broker.path("early"), &data);
    let log = refused(&mut broker);
    assert!(
        log.contains("error: the external anchor file has seen generation"),
        "{log}"
    );
    let doctor = broker.runs(&["doctor"], None);
    assert_eq!(doctor.exit, 1, "{}", doctor.stdout);
    assert!(
        doctor.stdout.contains("external anchor"),
        "{}",
        doctor.stdout
    );
    let accepted = accept(&broker);
    assert_eq!(accepted.exit, 0, "{}", accepted.stderr);
    goes_on(&mut broker);
    fs::remove_file(&external).unwrap();
    let log = refused(&mut broker);
    assert!(
        log.contains("error: the external anchor file is missing"),
        "{log}"
    );
    assert!(log.contains("store.external_anchor"), "{log}");
}
