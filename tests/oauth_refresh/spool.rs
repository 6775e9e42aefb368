//! A disk that is full at the moment when a provider answers (step 7).

use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;

use crate::harness::disk::Disk;
use crate::harness::oidc::{Fault, Rotate, Then};
use crate::harness::{Setup, eventually};
use crate::{SHORT, Stage};

/// The files in the spool.
fn spooled(stage: &Stage) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(stage.broker.data().join("spool")) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let whole = paths.filter(|path| path.extension().is_some_and(|end| end == "spool"));
    whole.collect()
}

/// Writes until the store says that it cannot.
fn fill(stage: &Stage, disk: &Disk) {
    let operator = stage.broker.operator();
    disk.fill();
    let value = "x".repeat(60_000);
    let mut names =
        (0..400).map(|number| json!({"name": format!("FULL_{number}"), "value": value}));
    let refused = names.find_map(|secret| {
        let reply = operator.post("/v1/secrets", &secret);
        (reply.status != 201).then_some(reply)
    });
    let refused = refused.expect("the disk is full and nothing was refused");
    assert_eq!(refused.refused(507), "disk_full");
}

/// A stage whose data folder is a small disk, to be killed at `place`.
fn on_a_small_disk(place: Option<&'static str>) -> (Stage, Disk) {
    let mut stage = Stage::new(Rotate::Always, &[], SHORT);
    let room = stage.broker.data().join("spool/room");
    eventually(|| room.exists().then_some(()));
    assert_eq!(stage.broker.stop(), Some(0));
    // Everything is on it, the spool as well.
    let disk = Disk::over(&stage.broker.data(), "64m");
    let setup = stage.broker.setup();
    stage.broker.restart_with(Setup {
        failpoint: place,
        ..setup
    });
    (stage, disk)
}

/// Begins a refresh whose answer comes when the disk is full.
fn answered_when_full(stage: &Stage, disk: &Disk) -> JoinHandle<()> {
    let hold = Fault::after("/token", Then::Hold).grant("refresh_token");
    stage.peer.fault(&hold);
    let ann = stage.ann();
    let asking = std::thread::spawn(move || {
        let body = ("application/json", br#"{"action":"run"}"#.as_slice());
        drop(ann.try_send("POST", "/v1/tools/custom-me/execute", Some(body)));
    });
    stage.peer.wait_held_for(1, Duration::from_secs(40));
    fill(stage, disk);
    stage.peer.release();
    asking
}

/// Starts a killed one where there is room again.
fn started_again(stage: &mut Stage, disk: &Disk, place: Option<&'static str>) {
    disk.free();
    let setup = stage.broker.setup();
    stage.broker.restart_with(Setup {
        failpoint: place,
        unready: place.is_some(),
        ..setup
    });
}

#[test]
fn r5_tokens_that_come_when_the_disk_is_full_survive_a_kill() {
    let (mut stage, disk) = on_a_small_disk(None);
    let before = stage.peer.secrets();
    let asking = answered_when_full(&stage, &disk);
    let files = eventually(|| Some(spooled(&stage)).filter(|files| !files.is_empty()));
    assert_eq!(files.len(), 1);
    let bytes = std::fs::read(&files[0]).unwrap();
    let fresh: Vec<_> = stage.peer.secrets();
    let fresh = fresh.iter().filter(|secret| !before.contains(secret));
    let mut looked = 0;
    for secret in fresh {
        looked += 1;
        let found = bytes
            .windows(secret.len())
            .any(|at| at == secret.as_bytes());
        assert!(!found, "a token is in the file in the clear");
    }
    assert!(looked > 0, "the peer made tokens");
    stage.broker.kill();
    asking.join().unwrap();
    started_again(&mut stage, &disk, None);
    stage.used();
    assert_eq!(stage.refreshes(), 1, "what came is used");
    assert_eq!(stage.now()["status"], "active");
    assert_eq!(stage.counted("runtools_oauth_rotation_lost_total"), 0);
    assert!(spooled(&stage).is_empty());
}

#[test]
fn r5_a_kill_in_the_middle_of_the_spool_loses_nothing_that_has_its_name() {
    for (place, kept) in [("spool.written", false), ("spool.named", true)] {
        let (mut stage, disk) = on_a_small_disk(Some(place));
        let asking = answered_when_full(&stage, &disk);
        assert_eq!(eventually(|| stage.broker.died_of()), 9, "{place}");
        asking.join().unwrap();
        started_again(&mut stage, &disk, None);
        if kept {
            stage.used();
            assert_eq!(stage.refreshes(), 1, "what came is used");
            assert_eq!(stage.now()["status"], "active");
        } else {
            // As any answer that nobody has seen, of a provider that spends the old token.
            assert_eq!(stage.refused(409), "needs_reauth");
            assert_eq!(stage.now()["reason"], "rotation_lost");
        }
        let left = std::fs::read_dir(stage.broker.data().join("spool")).unwrap();
        let left = left.filter(|entry| entry.as_ref().unwrap().file_name() != "room");
        assert_eq!(left.count(), 0, "{place}");
    }
}

#[test]
fn r5_what_is_in_the_store_and_still_in_the_spool_is_taken_up_once() {
    let (mut stage, disk) = on_a_small_disk(None);
    let asking = answered_when_full(&stage, &disk);
    eventually(|| (!spooled(&stage).is_empty()).then_some(()));
    stage.broker.kill();
    asking.join().unwrap();
    started_again(&mut stage, &disk, Some("spool.removed"));
    assert_eq!(eventually(|| stage.broker.died_of()), 9);
    let setup = stage.broker.setup();
    stage.broker.restart_with(Setup {
        failpoint: None,
        unready: false,
        ..setup
    });
    stage.used();
    assert_eq!(stage.refreshes(), 1, "what came is used");
    assert_eq!(stage.now()["status"], "active");
    assert!(spooled(&stage).is_empty());
}
