//! A store that was set back: refused with the reason, and gone on with only when its operator says why.

mod harness;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::disk::copy;
use harness::terminal::at_terminal;
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

/// The same, by one who is killed at `place`.
fn accept_and_die(broker: &Broker, place: &str) {
    let status = Command::new(Broker::binary())
        .args(["--config", "broker.toml", "store", "accept-rollback"])
        .args(["--yes", "--reason", REASON])
        .current_dir(broker.folder().path())
        .env_clear()
        .env("RUNTOOLS_FAILPOINT", place)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert_eq!(status.unwrap().signal(), Some(9), "{place}");
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

/// Leaves a ring that takes three of five people, and the shares of all of them.
fn only_shares(broker: &Broker) -> Vec<String> {
    let add = "key slot add shares --json --shares 5 --threshold 3";
    let add: Vec<&str> = add.split(' ').collect();
    let added = broker.runs(&add, None).expect(0);
    let slots = broker.operator().get("/v1/operator/slots").expect(200);
    let mut slots = slots["data"].as_array().unwrap().iter();
    let file = slots.find(|slot| slot["kind"] == "key-file").unwrap();
    let remove = ["key", "slot", "remove", file["id"].as_str().unwrap()];
    let remove = [&remove[..], &["--yes"]].concat();
    broker.runs(&remove, None).expect(0);
    fs::remove_file(broker.keys().join("root.key")).unwrap();
    let dealt = added["data"]["dealt"].as_array().unwrap().iter();
    dealt.map(|it| it.as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_is_stopped_opens_by_the_shares_of_three_people_of_five() {
    let mut broker = used(Setup::default());
    broker.restart();
    let shares = only_shares(&broker);
    assert_eq!(broker.stop(), Some(0));
    put(&["store"], &broker.path("early"), &broker.data());
    let accept = ["store", "accept-rollback", "--yes", "--reason", REASON];
    let refused = |input: &[String], words: &str| {
        let ran = broker.runs(&accept, Some(&input.join("\n")));
        assert_ne!(ran.exit, 0, "{}", ran.stderr);
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    };
    refused(&shares[..2], "only 2 of 3 shares were given");
    let twice = [&shares[..2], &shares[..1]].concat();
    refused(&twice, "share 1 was given already");
    let mut slip = shares[..3].to_vec();
    let other = if &slip[2][20..21] == "7" { "6" } else { "7" };
    slip[2].replace_range(20..21, other);
    refused(&slip, "has a wrong letter");
    // At a terminal a slip is told, and what was given before stays.
    let config = broker.path("broker.toml").display().to_string();
    let command = [&[Broker::binary(), "--config", &config][..], &accept].concat();
    let steps = [&shares[4], &slip[2], &shares[4], &shares[1], &shares[2]];
    let steps: Vec<_> = steps
        .iter()
        .map(|share| ("share: ", share.as_str()))
        .collect();
    let (said, exit) = at_terminal(broker.folder().path(), &command, &steps);
    assert_eq!(exit, 0, "{said}");
    for words in [
        "1 of 3 shares are there",
        "has a wrong letter",
        "share 5 was given already",
        "2 of 3 shares are there",
        "has seen generation",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(shares.iter().all(|share| !said.contains(&share[9..])));

    let migrate = ["store", "migrate", "--to", "redb"];
    let two = broker.runs(&migrate, Some(&shares[..2].join("\n")));
    assert_ne!(two.exit, 0, "{}", two.stderr);
    let moved = broker.runs(&migrate, Some(&shares[1..4].join("\n")));
    assert_eq!(moved.exit, 0, "{}", moved.stderr);
    let said = format!("{}{}", moved.stdout, moved.stderr);
    assert!(said.contains("from sled to redb, and verified"), "{said}");
    broker.restart_with(Setup {
        config: "[store]\nengine = \"redb\"".to_owned(),
        ..Setup::default()
    });
    assert_eq!(broker.operator().get("/v1/secrets").refused(503), "sealed");
    let three = shares[2..].join("\n");
    broker.runs(&["unseal"], Some(&three)).expect(0);
    assert_eq!(get(&broker.operator(), "EARLY"), 200);
    assert_eq!(get(&broker.operator(), "LATER"), 404);
}

#[test]
fn one_who_is_killed_while_it_accepts_can_accept_again_or_has_done_so() {
    // Whether it is still refused afterwards: once the store is beyond what its anchors have seen, it is not.
    for (place, is_refused) in [
        ("store.accept.recorded", true),
        ("store.accept.applied", false),
        ("store.accept.anchored@1", false),
        ("store.accept.anchored@2", false),
        ("store.accept.ends", false),
    ] {
        let elsewhere = tempfile::tempdir().unwrap();
        let external = elsewhere.path().join("anchor");
        let mut broker = used(Setup {
            config: format!("[store]\nexternal_anchor = {external:?}"),
            ..Setup::default()
        });
        put(&["store", "anchor"], &broker.path("early"), &broker.data());
        accept_and_die(&broker, place);
        if is_refused {
            let log = refused(&mut broker);
            assert!(log.contains("has seen generation"), "{place}: {log}");
        }
        let again = accept(&broker);
        let expected = i32::from(!is_refused);
        assert_eq!(again.exit, expected, "{place}: {}", again.stderr);
        goes_on(&mut broker);
        put(&["store"], &broker.path("late"), &broker.data());
        let log = refused(&mut broker);
        assert!(log.contains("the store is an older copy"), "{place}: {log}");
    }
}
