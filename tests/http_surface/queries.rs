//! Query strings: what nobody reads is refused, and does not look as if it had been heard.

use serde_json::json;

use crate::harness::{Broker, api};
use crate::refusal;

/// A route's path with something in each of its places.
fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| match part {
        "{version}" => "7",
        "{provider}" => "github",
        part if part.starts_with('{') => "current",
        part => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

#[test]
fn every_route_refuses_a_query_field_that_it_does_not_know_by_its_name() {
    let broker = Broker::start();
    let operator = broker.operator();
    let mut asked = 0;
    for route in api::routes() {
        let (method, path) = route.split_once(' ').unwrap();
        // That query is the upstream's; and whoever only asks how the broker is may append what they like.
        if path.starts_with("/v1/egress/") || !path.starts_with("/v1/") {
            continue;
        }
        let path = format!("{}?unheardOf=canary-1", filled(path));
        let reply = operator.send(method, &path, None);
        refusal(&reply, 400, "bad_request");
        let text = String::from_utf8_lossy(&reply.body);
        assert!(text.contains("not known here: unheardOf."), "{text}");
        assert!(!text.contains("canary"), "{text}");
        asked += 1;
    }
    assert!(asked > 90, "{asked}");
    assert_eq!(operator.get("/readyz").status, 200, "something was done");

    let document = operator.get("/v1/openapi.json?x=1");
    refusal(&document, 400, "bad_request");
    assert_eq!(operator.send("HEAD", "/v1/me?x=1", None).status, 400);
    for nothing in ["?", "?&"] {
        operator.get(&format!("/v1/me{nothing}")).expect(200);
    }
    refusal(&operator.get("/v1/nothing?x=1"), 404, "no_such_route");
    let wrong = operator.send("PUT", "/v1/secrets?x=1", None);
    refusal(&wrong, 405, "method_not_allowed");
    assert_eq!(operator.get("/livez?now=1").status, 200);
    // A provider may append what it likes.
    let back = operator.get("/v1/oauth/callback/github?x=1");
    assert_eq!(back.status, 303);
}

#[test]
fn what_belongs_in_a_body_is_not_taken_for_said_in_a_query() {
    let broker = Broker::start();
    let operator = broker.operator();
    let body = json!({"name": "KEY", "value": "v"});
    let asked = operator.post("/v1/secrets?orgWide=true", &body);
    refusal(&asked, 400, "bad_request");
    let error = &asked.value()["error"];
    assert!(error["message"].to_string().contains("orgWide"), "{error}");
    assert!(error["hint"].to_string().contains("JSON body"), "{error}");
    operator.get("/v1/secrets/KEY").refused(404);
}

#[test]
fn destroying_is_said_to_a_deletion_only() {
    let broker = Broker::start();
    let operator = broker.operator();
    let body = json!({"name": "KEY", "value": "v"});
    operator.post("/v1/secrets", &body).expect(201);
    for (method, path, body) in [
        ("GET", "", json!(null)),
        ("GET", "/versions", json!(null)),
        ("PATCH", "", json!({"description": "d"})),
        ("POST", "/reveal", json!({})),
        ("POST", "/reveal", json!({"destroy": true})),
        ("POST", "/rotate", json!({"value": "w"})),
        ("POST", "/restore", json!(null)),
        ("POST", "/versions/1/restore", json!(null)),
    ] {
        let in_body = body.get("destroy").is_some();
        let query = if in_body { "" } else { "?destroy=true" };
        let path = format!("/v1/secrets/KEY{path}{query}");
        let reply = operator.json(method, &path, &body);
        refusal(&reply, 400, "bad_request");
        let text = String::from_utf8_lossy(&reply.body);
        assert!(text.contains("not known here: destroy."), "{text}");
    }
    let gone = operator.delete("/v1/secrets/KEY?destroy=true").expect(200);
    assert_eq!(gone["data"]["level"], "logical");
}
