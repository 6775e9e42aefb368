//! If-Match and If-None-Match: a condition that does not hold changes nothing.

use std::sync::Barrier;

use serde_json::{Value, json};

use crate::harness::{Broker, Reply};
use crate::{set, value_of};

#[test]
fn a_condition_that_does_not_hold_changes_nothing() {
    let broker = Broker::start();
    let admin = broker.admin(&[]);
    let first = set(&admin, "KEY", "first");
    let etag = first["etag"].as_str().unwrap();
    let got = admin.get("/v1/secrets/KEY");
    assert_eq!(got.headers["etag"].to_str().unwrap(), etag);
    let holds = admin.header("if-match", etag);
    let changed = holds.json("PATCH", "/v1/secrets/KEY", &json!({"description": "new"}));
    let fresh = changed.expect(200)["data"]["etag"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_ne!(fresh, etag);
    for (method, path, body) in [
        ("PATCH", "/v1/secrets/KEY", json!({"description": "stale"})),
        (
            "POST",
            "/v1/secrets",
            json!({"name": "KEY", "value": "stale"}),
        ),
        ("POST", "/v1/secrets/KEY/rotate", json!({"value": "stale"})),
        ("POST", "/v1/secrets/KEY/versions/1/restore", Value::Null),
        ("DELETE", "/v1/secrets/KEY", Value::Null),
        ("DELETE", "/v1/secrets/KEY?destroy=true", Value::Null),
    ] {
        for stale in [etag, "\"x\"", "W/\"1\"", "", "\"", "é"] {
            if stale == "é" {
                continue;
            }
            let refused = admin.header("if-match", stale).json(method, path, &body);
            assert_eq!(refused.refused(412), "stale", "{method} {path} {stale}");
        }
    }
    assert_eq!(
        admin.get("/v1/secrets/KEY").expect(200)["data"]["etag"],
        fresh.as_str()
    );
    assert_eq!(value_of(&admin, "KEY"), "first");
    let list = format!("\"other\", {fresh}");
    admin
        .header("if-match", &list)
        .post("/v1/secrets/KEY/rotate", &json!({"value": "second"}))
        .expect(200);
    admin
        .header("if-match", "*")
        .post("/v1/secrets/KEY/rotate", &json!({"value": "third"}))
        .expect(200);
    let absent = json!({"name": "ABSENT", "value": "v"});
    assert_eq!(
        admin
            .header("if-match", "*")
            .post("/v1/secrets", &absent)
            .refused(412),
        "stale"
    );

    let new = admin.header("if-none-match", "*");
    new.post("/v1/secrets", &absent).expect(201);
    assert_eq!(new.post("/v1/secrets", &absent).refused(412), "exists");
    assert_eq!(value_of(&admin, "ABSENT"), "v");
    let odd = admin.header("if-none-match", "\"x\"");
    assert_eq!(odd.post("/v1/secrets", &absent).refused(400), "bad_request");
    let both = new.header("if-match", "*");
    assert_eq!(
        both.post("/v1/secrets", &absent).refused(400),
        "bad_request"
    );
}

#[test]
fn a_deleted_secret_is_restored_only_as_the_condition_has_it() {
    let broker = Broker::start();
    let admin = broker.admin(&[]);
    let before = set(&admin, "KEY", "first");
    let before = before["etag"].as_str().unwrap();
    admin.delete("/v1/secrets/KEY").expect(200);
    let deleted = admin.get("/v1/secrets?deleted=true").expect(200);
    let etag = deleted["data"][0]["etag"].as_str().unwrap();
    assert_ne!(before, etag);
    let path = "/v1/secrets/KEY/restore";
    for stale in [before, "\"x\"", ""] {
        let refused = admin.header("if-match", stale).send("POST", path, None);
        assert_eq!(refused.refused(412), "stale", "{stale}");
    }
    assert_eq!(admin.get("/v1/secrets/KEY").refused(404), "not_found");
    let restored = admin.header("if-match", etag).send("POST", path, None);
    assert_ne!(restored.expect(200)["data"]["etag"], etag);
    assert_eq!(value_of(&admin, "KEY"), "first");
}

#[test]
fn of_fifty_that_race_with_one_etag_exactly_one_wins() {
    let broker = Broker::start();
    let admin = broker.operator();
    let etag = set(&admin, "KEY", "start")["etag"]
        .as_str()
        .unwrap()
        .to_owned();
    let barrier = Barrier::new(50);
    let race = |send: &(dyn Fn(usize) -> Reply + Sync)| -> Vec<(usize, u16)> {
        std::thread::scope(|scope| {
            let racers: Vec<_> = (0..50)
                .map(|n| {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        barrier.wait();
                        (n, send(n).status)
                    })
                })
                .collect();
            racers
                .into_iter()
                .map(|racer| racer.join().unwrap())
                .collect()
        })
    };
    let holds = admin.header("if-match", &etag);
    let ends = race(&|n| {
        holds.post(
            "/v1/secrets/KEY/rotate",
            &json!({"value": format!("by-{n}")}),
        )
    });
    let winners: Vec<_> = ends.iter().filter(|(_, status)| *status == 200).collect();
    assert_eq!(winners.len(), 1, "{ends:?}");
    assert!(
        ends.iter().all(|(_, status)| [200, 412].contains(status)),
        "{ends:?}"
    );
    assert_eq!(value_of(&admin, "KEY"), format!("by-{}", winners[0].0));
    assert_eq!(
        admin.get("/v1/secrets/KEY").expect(200)["data"]["version"],
        2
    );

    let new = admin.header("if-none-match", "*");
    let ends = race(&|n| {
        new.post(
            "/v1/secrets",
            &json!({"name": "FRESH", "value": format!("by-{n}")}),
        )
    });
    let winners: Vec<_> = ends.iter().filter(|(_, status)| *status == 201).collect();
    assert_eq!(winners.len(), 1, "{ends:?}");
    assert!(
        ends.iter().all(|(_, status)| [201, 412].contains(status)),
        "{ends:?}"
    );
    assert_eq!(value_of(&admin, "FRESH"), format!("by-{}", winners[0].0));
}
