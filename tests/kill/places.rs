//! SIGKILL at the places between two durable steps of what every broker does: commits, the journal, a first start.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::check::verify;
use crate::harness::shared::{set, value};
use crate::harness::{Broker, Client, Setup, eventually};
use crate::setup;

/// SIGKILL.
const KILL: i32 = 9;

/// The same setup, to be killed at `place`.
fn dies_at(setup: &Setup, place: &str) -> Setup {
    Setup {
        failpoint: Some(place.to_owned().leak()),
        ..setup.clone()
    }
}

/// Sets values until it is gone: how many were acknowledged.
fn until_it_is_gone(operator: &Client, round: &str) -> usize {
    for n in 0..1000 {
        let body =
            json!({"name": format!("{round}_{n}"), "value": format!("{n}"), "orgWide": true});
        let body = body.to_string();
        let sent = Some(("application/json", body.as_bytes()));
        match operator.try_send("POST", "/v1/secrets", sent) {
            Ok(reply) => assert_eq!(reply.status, 201, "{}", reply.value()),
            Err(_) => return n,
        }
    }
    panic!("it never came by");
}

/// Whether it comes to serve; else it has killed itself before.
fn serves(broker: &mut Broker) -> bool {
    let operator = broker.operator();
    eventually(|| {
        if broker.died_of().is_some() {
            return Some(false);
        }
        let ready = operator.try_send("GET", "/readyz", None);
        ready.is_ok_and(|reply| reply.status == 200).then_some(true)
    })
}

#[test]
fn a_commit_that_the_anchor_files_have_not_seen_is_kept() {
    for engine in ["sled", "redb"] {
        let elsewhere = tempfile::tempdir().unwrap();
        let external = elsewhere.path().join("anchor");
        let mut setup = setup(engine);
        setup.config += &format!("\nexternal_anchor = \"{}\"", external.display());
        let mut broker = Broker::with(setup.clone());
        for time in [1, 2, 9] {
            let place = format!("store.commit.applied@{time}");
            // It may come by before anybody is served.
            broker.restart_with(Setup {
                unready: true,
                ..dies_at(&setup, &place)
            });
            let round = format!("R{time}");
            let acknowledged = if serves(&mut broker) {
                let acknowledged = until_it_is_gone(&broker.operator(), &round);
                assert_eq!(eventually(|| broker.died_of()), KILL, "{place}");
                acknowledged
            } else {
                0
            };
            broker.restart_with(setup.clone());
            let operator = broker.operator();
            for n in 0..acknowledged {
                let kept = value(&operator, &format!("{round}_{n}"));
                assert_eq!(kept, Some(n.to_string()), "{engine}, {place}");
            }
            // The one under way had reached the engine.
            let last = value(&operator, &format!("{round}_{acknowledged}"));
            assert!(last.is_none_or(|last| last == acknowledged.to_string()));
            verify(&operator);
            assert_eq!(broker.stop(), Some(0));
            let doctor = broker.runs(&["doctor"], None);
            assert_eq!(doctor.exit, 0, "{engine}, {place}: {}", doctor.stdout);
        }
    }
}

#[test]
fn a_segment_of_the_journal_that_is_cut_short_is_made_again() {
    let setup = setup("sled");
    let mut broker = Broker::with(setup.clone());
    set(&broker.operator(), "KEPT", "kept");
    for place in [
        "audit.segment.written",
        "audit.segment.named",
        "audit.segment.made",
    ] {
        broker.restart_with(dies_at(&setup, place));
        let path = "/v1/operator/audit-rotation";
        let answered = broker.operator().try_send("POST", path, None);
        assert!(answered.is_err(), "{place}");
        assert_eq!(eventually(|| broker.died_of()), KILL, "{place}");
        broker.restart_with(setup.clone());
        let operator = broker.operator();
        assert_eq!(value(&operator, "KEPT").as_deref(), Some("kept"), "{place}");
        verify(&operator);
        eventually(|| (operator.send("POST", path, None).status == 200).then_some(()));
        verify(&operator);
        assert_eq!(broker.stop(), Some(0), "{place}");
        let left = segments(&broker).into_iter();
        let tmp = left.filter(|path| path.extension().is_some_and(|it| it == "tmp"));
        assert_eq!(tmp.count(), 0, "{place}");
    }
}

fn segments(broker: &Broker) -> Vec<PathBuf> {
    let entries = fs::read_dir(broker.data().join("audit")).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Cuts the last write of a killed broker's journal short, as a power cut does.
fn tear(broker: &Broker) {
    let all = segments(broker).into_iter();
    let mut logs = all.filter(|path| path.extension().is_some_and(|it| it == "log"));
    let last = logs.next_back().unwrap();
    let bytes = fs::read(&last).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    fs::write(last, &bytes[..end - 8]).unwrap();
}

#[test]
fn a_torn_write_of_the_journal_is_cut_off_once_however_often_that_is_cut_short() {
    let setup = setup("sled");
    let mut broker = Broker::with(setup.clone());
    set(&broker.operator(), "KEPT", "kept");
    for place in ["audit.repair.cut", "audit.repair.done"] {
        // What was read is in the journal, and the store remembers nothing of it.
        assert_eq!(value(&broker.operator(), "KEPT").as_deref(), Some("kept"));
        broker.kill();
        tear(&broker);
        broker.restart_with(Setup {
            unready: true,
            ..dies_at(&setup, place)
        });
        assert_eq!(eventually(|| broker.died_of()), KILL, "{place}");
        broker.restart_with(setup.clone());
        let operator = broker.operator();
        assert_eq!(value(&operator, "KEPT").as_deref(), Some("kept"), "{place}");
        verify(&operator);
    }
}

/// Where a first start may be killed: between any two of its durable steps.
const FIRST: [&str; 14] = [
    "start.marked",
    "keys.make.written@1",
    "keys.make.named@1",
    "keys.make.written@2",
    "keys.make.named@2",
    "start.ring",
    "audit.segment.written",
    "audit.segment.named",
    "audit.segment.made",
    "start.journal",
    "store.commit.applied@1",
    "start.store",
    "start.ends",
    "store.commit.applied@2",
];

#[test]
fn a_first_start_that_is_killed_at_any_place_is_gone_on_with() {
    for (n, place) in FIRST.into_iter().enumerate() {
        let engine = if n % 2 == 0 { "sled" } else { "redb" };
        let mut broker = Broker::with(Setup {
            unready: true,
            ..dies_at(&setup(engine), place)
        });
        assert_eq!(eventually(|| broker.died_of()), KILL, "{place}");
        broker.restart_with(setup(engine));
        set(&broker.operator(), "AFTER", "after the kill");
        verify(&broker.operator());
        assert_eq!(broker.stop(), Some(0), "{place}");
        assert!(!broker.data().join("first-start").exists(), "{place}");
        broker.restart();
        let found = value(&broker.operator(), "AFTER");
        assert_eq!(found.as_deref(), Some("after the kill"), "{place}");
    }
}
