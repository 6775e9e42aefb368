//! A disk that is full at the moment when a provider answers (step 7).

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::harness::disk::Disk;
use crate::harness::eventually;
use crate::harness::oidc::{Fault, Rotate, Then};
use crate::harness::tools::run;
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

#[test]
fn r5_tokens_that_come_when_the_disk_is_full_survive_a_kill() {
    let mut stage = Stage::new(Rotate::Always, &[], SHORT);
    eventually(|| {
        stage
            .broker
            .data()
            .join("spool/room")
            .exists()
            .then_some(())
    });
    assert_eq!(stage.broker.stop(), Some(0));
    // Everything is on it, the spool as well.
    let disk = Disk::over(&stage.broker.data(), "64m");
    stage.broker.restart();
    let hold = Fault::after("/token", Then::Hold).grant("refresh_token");
    stage.peer.fault(&hold);
    let before = stage.peer.secrets();
    let ann = stage.ann();
    let asking = std::thread::spawn(move || run(&ann, "custom-me", None));
    stage.peer.wait_held_for(1, Duration::from_secs(40));
    fill(&stage, &disk);
    stage.peer.release();
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
    drop(asking.join().unwrap());
    disk.free();
    stage.broker.restart();
    stage.used();
    assert_eq!(stage.refreshes(), 1, "what came is used");
    assert_eq!(stage.now()["status"], "active");
    assert_eq!(stage.counted("runtools_oauth_rotation_lost_total"), 0);
    assert!(spooled(&stage).is_empty());
}
