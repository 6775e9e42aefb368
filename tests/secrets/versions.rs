//! Going back: versions, deletion, expiry, what may be revealed.

use serde_json::json;

use crate::harness::{Broker, Upstream};
use crate::{names, reveal, set, value_of};
use std::collections::BTreeSet;

#[test]
fn an_expired_secret_cannot_be_used_until_it_is_rotated() {
    let broker = Broker::start();
    let operator = broker.operator();
    let upstream = Upstream::echo();
    let tool = json!({
        "slug": "custom-crm", "name": "CRM",
        "credentialsJson": {"required": ["apiKey"], "schema": {"apiKey": {"type": "string", "description": "key"}}},
        "bindings": [{"scheme": "http", "hosts": ["127.0.0.1"], "port": upstream.port(), "private": ["127.0.0.1/32"],
            "methods": ["GET"], "paths": ["/x"], "slots": {"apiKey": [{"header": "x-key"}]}}],
        "actionsJson": {"look": {"description": "look", "parameters": {"type": "object", "properties": {}},
            "http": {"method": "GET", "url": format!("http://127.0.0.1:{}/x", upstream.port())}}}
    });
    operator.post("/v1/tools/custom", &tool).expect(201);
    operator
        .send("POST", "/v1/tools/custom-crm/install", None)
        .expect(200);
    let soon = runtools_broker::clock::Clock::now(&runtools_broker::clock::SystemClock);
    let soon = soon.plus_millis(1_500).to_string();
    let secret =
        json!({"name": "CRM", "value": "crm-value-1", "expires": soon, "category": "tool"});
    operator.post("/v1/secrets", &secret).expect(201);
    let call = json!({"action": "look", "credentialOverrides": {"apiKey": "CRM"}});
    let run = || operator.post("/v1/tools/custom-crm/execute", &call);
    assert_eq!(run().expect(200)["data"]["success"], true);
    std::thread::sleep(std::time::Duration::from_millis(1_700));
    assert!((400..500).contains(&run().status), "{:?}", run());
    assert_eq!(upstream.seen().len(), 1, "nothing was sent");
    // What is over can be given a new value, and then lives on.
    let rotated = operator.post("/v1/secrets/CRM/rotate", &json!({"value": "crm-value-2"}));
    assert!(rotated.expect(200)["data"]["expiresAt"].is_null());
    assert_eq!(run().expect(200)["data"]["success"], true);
    assert_eq!(upstream.last().header("x-key"), "crm-value-2");
}

#[test]
fn what_is_not_revealable_stays_so_until_it_has_a_new_value() {
    let broker = Broker::start();
    let admin = broker.admin(&[]);
    let body = json!({"name": "KEY", "value": "hidden", "revealable": false});
    admin.post("/v1/secrets", &body).expect(201);
    assert_eq!(reveal(&admin, "KEY").refused(403), "not_revealable");
    let open = json!({"revealable": true});
    assert_eq!(
        admin.json("PATCH", "/v1/secrets/KEY", &open).refused(400),
        "bad_request"
    );
    let body = json!({"name": "KEY", "value": "second", "revealable": true});
    admin.post("/v1/secrets", &body).expect(200);
    assert_eq!(value_of(&admin, "KEY"), "second");
    // Going back to the hidden value hides it again.
    let back = admin
        .send("POST", "/v1/secrets/KEY/versions/1/restore", None)
        .expect(200);
    assert_eq!(back["data"]["revealable"], false);
    assert_eq!(reveal(&admin, "KEY").refused(403), "not_revealable");
}

#[test]
fn ten_versions_are_kept_and_going_back_widens_nothing() {
    let broker = Broker::start();
    let admin = broker.admin(&[]);
    set(&admin, "KEY", "value-1");
    for n in 2..=12 {
        let body = json!({"value": format!("value-{n}")});
        let rotated = admin.post("/v1/secrets/KEY/rotate", &body).expect(200);
        assert_eq!(rotated["data"]["version"], n);
    }
    let list = admin.get("/v1/secrets/KEY/versions").expect(200);
    let versions: Vec<u64> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| version["version"].as_u64().unwrap())
        .collect();
    assert_eq!(versions, (3..=12).rev().collect::<Vec<_>>());
    assert_eq!(list["data"][0]["current"], true);
    assert_eq!(list["data"][1]["current"], false);
    let narrow = json!({"hosts": ["api.example.com"], "scope": "tools", "expires": "30d", "revealable": true});
    let narrowed = admin.json("PATCH", "/v1/secrets/KEY", &narrow).expect(200);
    let back = admin
        .send("POST", "/v1/secrets/KEY/versions/4/restore", None)
        .expect(200);
    assert_eq!(back["data"]["version"], 13);
    for field in ["hosts", "scope", "expiresAt"] {
        assert_eq!(back["data"][field], narrowed["data"][field], "{field}");
    }
    assert_eq!(value_of(&admin, "KEY"), "value-4");
    for gone in ["2", "99", "0", "18446744073709551615"] {
        let path = format!("/v1/secrets/KEY/versions/{gone}/restore");
        assert_eq!(
            admin.send("POST", &path, None).refused(404),
            "not_found",
            "{gone}"
        );
    }
    for bad in ["-1", "x", "1.0", "18446744073709551616"] {
        let path = format!("/v1/secrets/KEY/versions/{bad}/restore");
        assert_eq!(
            admin.send("POST", &path, None).refused(400),
            "bad_request",
            "{bad}"
        );
    }
    assert_eq!(value_of(&admin, "KEY"), "value-4");
}

#[test]
fn what_is_deleted_can_be_restored_and_what_is_destroyed_cannot() {
    let broker = Broker::start();
    let admin = broker.admin(&[]);
    set(&admin, "KEY", "first");
    let deleted = admin.delete("/v1/secrets/KEY").expect(200);
    assert_eq!(deleted["data"]["level"], "recoverable");
    assert!(deleted["data"]["purgeAt"].is_string());
    assert_eq!(admin.get("/v1/secrets/KEY").refused(404), "not_found");
    assert_eq!(reveal(&admin, "KEY").refused(404), "not_found");
    assert_eq!(admin.delete("/v1/secrets/KEY").refused(404), "not_found");
    let rotate = json!({"value": "x"});
    assert_eq!(
        admin.post("/v1/secrets/KEY/rotate", &rotate).refused(404),
        "not_found"
    );
    assert!(names(&admin.get("/v1/secrets").expect(200)).is_empty());
    let list = admin.get("/v1/secrets?deleted=true").expect(200);
    assert_eq!(names(&list), BTreeSet::from(["KEY".to_owned()]));
    assert!(list["data"][0]["deletedAt"].is_string() && list["data"][0]["purgeAt"].is_string());
    let restored = admin
        .send("POST", "/v1/secrets/KEY/restore", None)
        .expect(200);
    assert!(restored["data"].get("deletedAt").is_none());
    assert_eq!(value_of(&admin, "KEY"), "first");
    assert_eq!(
        admin
            .send("POST", "/v1/secrets/KEY/restore", None)
            .refused(404),
        "not_found"
    );

    // A new secret of a deleted one's name inherits no metadata.
    admin
        .json(
            "PATCH",
            "/v1/secrets/KEY",
            &json!({"hosts": ["a.example.com"], "expires": "1d"}),
        )
        .expect(200);
    admin.delete("/v1/secrets/KEY").expect(200);
    let anew = set(&admin, "KEY", "second");
    assert_eq!(anew["created"], true);
    assert_eq!(anew["hosts"], json!([]));
    assert!(anew["expiresAt"].is_null() && anew.get("deletedAt").is_none());
    assert_eq!(value_of(&admin, "KEY"), "second");

    let destroyed = admin.delete("/v1/secrets/KEY?destroy=true").expect(200);
    assert_eq!(destroyed["data"]["level"], "logical");
    assert_eq!(
        admin
            .send("POST", "/v1/secrets/KEY/restore", None)
            .refused(404),
        "not_found"
    );
    assert!(names(&admin.get("/v1/secrets?deleted=true").expect(200)).is_empty());
    assert_eq!(
        set(&admin, "KEY", "third")["version"],
        1,
        "nothing of it is left"
    );
    // What is deleted already can still be destroyed.
    admin.delete("/v1/secrets/KEY").expect(200);
    admin.delete("/v1/secrets/KEY?destroy=true").expect(200);
    assert!(names(&admin.get("/v1/secrets?deleted=true").expect(200)).is_empty());
}
