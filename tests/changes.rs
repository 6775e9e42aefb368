//! The journal says what changed, and whose it is.

mod harness;

use runtools_broker::clock::{Clock, SystemClock};

use harness::{Broker, Client};
use serde_json::{Value, json};

const ORG: &str = "/v1/organizations/current";
const MEMBERS: &str = "/v1/organizations/current/members";

/// The newest record of this action.
#[track_caller]
fn newest(client: &Client, action: &str) -> Value {
    let path = format!("/v1/audit?all=true&action={action}&limit=1");
    client.get(&path).expect(200)["data"][0].clone()
}

#[track_caller]
fn names(record: &Value, id: &Value) {
    let mut targets = record["targets"].as_array().unwrap().iter();
    assert!(targets.any(|target| target["id"] == *id), "{id}: {record}");
}

#[test]
fn a_change_of_a_secret_an_organisation_or_a_member_is_told_apart() {
    let broker = Broker::start();
    let operator = broker.operator();
    let secret = json!({"name": "KEY", "value": "v"});
    operator.post("/v1/secrets", &secret).expect(201);
    for (change, code) in [
        (
            json!({"hosts": ["api.example.com"], "expires": "1d"}),
            "hosts_changed",
        ),
        (
            json!({"expires": "2d", "description": "d"}),
            "expiry_changed",
        ),
        (json!({"description": "e"}), "description_changed"),
    ] {
        operator
            .json("PATCH", "/v1/secrets/KEY", &change)
            .expect(200);
        assert_eq!(newest(&operator, "secret.update")["code"], code);
    }
    for (change, code) in [
        (json!({"settings": {"revealEnabled": false}}), "reveal_off"),
        (json!({"settings": {"revealEnabled": true}}), "reveal_on"),
        (json!({"name": "Acme"}), "name_changed"),
    ] {
        operator.json("PATCH", ORG, &change).expect(200);
        assert_eq!(newest(&operator, "org.update")["code"], code);
    }
    let added = operator.post(MEMBERS, &json!({"name": "Ann", "createKey": true}));
    let added = added.expect(201)["data"].clone();
    let record = newest(&operator, "member.add");
    assert_eq!(record["code"], "member");
    names(&record, &added["id"]);
    names(&record, &added["userId"]);
    let first = newest(&operator, "api_key.create");
    assert_eq!(first["code"], "first_key");
    names(&first, &added["userId"]);
    let path = format!("{MEMBERS}/{}", added["id"].as_str().unwrap());
    operator
        .json("PATCH", &path, &json!({"role": "admin"}))
        .expect(200);
    let record = newest(&operator, "member.role");
    assert_eq!(record["code"], "admin");
    names(&record, &added["id"]);
}

#[test]
fn a_key_is_named_when_it_is_made_and_when_its_scopes_change() {
    let broker = Broker::start();
    let operator = broker.operator();
    let made = operator
        .post("/v1/api-keys", &json!({"name": "ci"}))
        .expect(201);
    let id = made["data"]["id"].clone();
    names(&newest(&operator, "api_key.create"), &id);
    let path = format!("/v1/api-keys/{}", id.as_str().unwrap());
    let change = json!({"scopes": ["secret:read"], "name": "narrow"});
    operator.json("PATCH", &path, &change).expect(200);
    let record = newest(&operator, "api_key.update");
    assert_eq!(record["code"], "scopes_changed");
    names(&record, &id);
    let new = operator
        .send("POST", &format!("{path}/rotate"), None)
        .expect(201);
    names(&newest(&operator, "api_key.rotate"), &new["data"]["id"]);
}

#[test]
fn the_operators_own_member_keeps_their_place_unless_the_operator_says_otherwise() {
    let broker = Broker::start();
    let operator = broker.operator();
    let own = operator.get(MEMBERS).expect(200)["data"][0]["id"].clone();
    let path = format!("{MEMBERS}/{}", own.as_str().unwrap());
    let body = json!({"name": "Ann", "role": "admin", "createKey": true});
    let added = operator.post(MEMBERS, &body).expect(201);
    let ann = broker
        .anonymous()
        .key(added["data"]["key"].as_str().unwrap());
    assert_eq!(ann.delete(&path).refused(403), "operator_only");
    let demoted = ann.json("PATCH", &path, &json!({"role": "member"}));
    assert_eq!(demoted.refused(403), "operator_only");
    operator.get("/v1/audit?all=true").expect(200);
    operator
        .json("PATCH", &path, &json!({"role": "member"}))
        .expect(200);
}

#[test]
fn a_slot_is_tried_with_a_trace_and_ever_more_slowly() {
    let broker = Broker::start();
    let operator = broker.operator();
    let words = "correct horse battery staple seven";
    let slot = json!({"kind": "passphrase", "label": "spare", "passphrase": words});
    let slot = operator.post("/v1/operator/slots", &slot).expect(201)["data"].clone();
    let path = format!("/v1/operator/slots/{}/test", slot["id"].as_str().unwrap());
    for _ in 0..4 {
        let wrong = json!({"passphrase": "quite another passphrase"});
        assert_eq!(
            operator.post(&path, &wrong).refused(403),
            "wrong_passphrase"
        );
    }
    let record = newest(&operator, "key.slot_test");
    assert_eq!(record["decision"]["denied"], "wrong_passphrase");
    names(&record, &slot["id"]);
    let begun = std::time::Instant::now();
    operator
        .post(&path, &json!({ "passphrase": words }))
        .expect(200);
    assert!(begun.elapsed().as_millis() >= 500, "{:?}", begun.elapsed());
    assert_eq!(newest(&operator, "key.slot_test")["decision"], "allowed");
}

#[test]
fn an_expired_secret_is_not_revealed() {
    let broker = Broker::start();
    let operator = broker.operator();
    let soon = SystemClock.now().plus_seconds(2);
    let secret = json!({"name": "KEY", "value": "v", "expires": soon.to_string()});
    operator.post("/v1/secrets", &secret).expect(201);
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    let reply = operator.post("/v1/secrets/KEY/reveal", &json!({}));
    assert_eq!(reply.refused(409), "secret_expired");
}
