//! Disks that are full or gone while the broker runs. They are small ones, mounted by the test: as root.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::golden::{assert_no_panic, check_all, installation, segments, small_segments};
use crate::harness::disk::Disk;
use crate::harness::{Broker, Client, Reply};

fn set(operator: &Client, name: &str) -> Reply {
    operator.post(
        "/v1/secrets",
        &json!({"name": name, "value": "a new value", "orgWide": true}),
    )
}

fn healthy_soon(operator: &Client) {
    for _ in 0..100 {
        if operator.get("/readyz").status == 200 {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("not ready: {}", operator.get("/readyz").value());
}

#[test]
fn a_full_disk_under_the_journal_refuses_and_recovers_by_itself() {
    let folder = installation();
    let disk = Disk::over(&folder.path().join("data/audit"), "8m");
    let mut broker = Broker::over(folder, small_segments());
    let operator = broker.operator();
    disk.fill();
    // The segment has room that was written ahead, at most a megabyte: more than a hundred bytes are
    // a record.
    let refused = (0..10_000)
        .map(|n| (n, set(&operator, &format!("FULL_{n}"))))
        .find(|(_, reply)| reply.status != 201)
        .expect("the disk is full and nothing was refused");
    let (n, reply) = refused;
    assert_eq!(reply.refused(503), "audit_unavailable");
    assert!(
        reply.value()["error"]["hint"]
            .as_str()
            .unwrap()
            .contains("free space")
    );
    assert!(reply.headers.contains_key("retry-after"));
    assert_eq!(
        operator.get("/readyz").expect(503)["reasons"],
        json!(["audit_unavailable"])
    );
    // Nothing is used unseen: revealing needs a record as well.
    let revealed = operator.post("/v1/secrets/KEPT_1/reveal", &json!({"orgWide": true}));
    assert_eq!(revealed.refused(503), "audit_unavailable");
    disk.free();
    healthy_soon(&operator);
    let name = format!("FULL_{n}");
    operator
        .get(&format!("/v1/secrets/{name}?orgWide=true"))
        .expect(404);
    set(&operator, &name).expect(201);
    check_all(&operator);
    assert_no_panic(&broker.log_text());
    broker.restart();
    check_all(&broker.operator());
}

#[test]
fn a_full_disk_under_the_store_refuses_and_loses_nothing() {
    let folder = installation();
    let disk = Disk::over(&folder.path().join("data/store"), "64m");
    let mut broker = Broker::over(folder, small_segments());
    let operator = broker.operator();
    disk.fill();
    let mut stored = Vec::new();
    let reply = loop {
        let name = format!("FULL_{}", stored.len());
        let value = "x".repeat(60_000);
        let reply = operator.post(
            "/v1/secrets",
            &json!({"name": name, "value": value, "orgWide": true}),
        );
        if reply.status != 201 {
            break reply;
        }
        stored.push(name);
        assert!(
            stored.len() < 400,
            "the disk is full and nothing was refused"
        );
    };
    assert_eq!(reply.refused(507), "disk_full");
    assert!(
        reply.value()["error"]["hint"]
            .as_str()
            .unwrap()
            .contains("Make room")
    );
    // What is in memory may not be what is on disk: nothing is served until a restart.
    assert_eq!(set(&operator, "LATER").refused(503), "store_unavailable");
    assert_eq!(
        operator.get("/readyz").expect(503)["reasons"],
        json!(["store_failed"])
    );
    disk.free();
    broker.restart();
    let operator = broker.operator();
    check_all(&operator);
    for name in &stored {
        operator
            .get(&format!("/v1/secrets/{name}?orgWide=true"))
            .expect(200);
    }
    set(&operator, "LATER").expect(201);
    assert_no_panic(&broker.log_text());
}

#[test]
fn a_journal_that_was_moved_away_refuses_and_is_put_back() {
    let folder = installation();
    let broker = Broker::over(Arc::clone(&folder), small_segments());
    let operator = broker.operator();
    let audit = folder.path().join("data/audit");
    fs::rename(&audit, folder.path().join("data/elsewhere")).unwrap();
    let reply = set(&operator, "MOVED");
    assert_eq!(reply.refused(503), "audit_unavailable");
    fs::rename(folder.path().join("data/elsewhere"), &audit).unwrap();
    healthy_soon(&operator);
    operator.get("/v1/secrets/MOVED?orgWide=true").expect(404);
    set(&operator, "MOVED").expect(201);
    // The outcome of that write comes in a moment, and would notice what comes next by itself.
    std::thread::sleep(Duration::from_millis(300));
    // A single segment that was moved away is written anew from what is open.
    let last = segments(&folder.path().join("data")).pop().unwrap();
    fs::rename(&last, folder.path().join("segment")).unwrap();
    assert_eq!(set(&operator, "MOVED_2").refused(503), "audit_unavailable");
    healthy_soon(&operator);
    set(&operator, "MOVED_2").expect(201);
    check_all(&operator);
    assert_no_panic(&broker.log_text());
}
