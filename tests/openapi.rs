//! The OpenAPI document: committed, served, and complete enough to make clients from.

mod harness;

use std::collections::BTreeSet;

use harness::{Broker, api};
use serde_json::Value;

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/openapi.json");

#[test]
fn the_committed_document_is_what_the_code_says() {
    let printed = std::process::Command::new(Broker::binary())
        .arg("openapi")
        .output()
        .unwrap();
    assert!(printed.status.success());
    let committed = std::fs::read(COMMITTED).unwrap_or_default();
    assert!(
        committed == printed.stdout,
        "config/openapi.json is not what the code says. Make it again, and look at the difference:\n    \
         cargo run --bin runtools-broker -- openapi > config/openapi.json"
    );
}

#[test]
fn the_document_is_served_to_anybody() {
    let broker = Broker::start();
    let served = broker.anonymous().get("/v1/openapi.json");
    assert_eq!(served.headers["content-type"], "application/json");
    let committed: Value = serde_json::from_slice(&std::fs::read(COMMITTED).unwrap()).unwrap();
    assert_eq!(served.expect(200), committed);
}

#[test]
fn each_operation_has_an_id_of_its_own_and_says_how_it_fails() {
    let document: Value = serde_json::from_str(&runtools_broker::http::document()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let failure = &document["components"]["responses"]["Failure"];
    let schema = failure["content"]["application/json"]["schema"]["$ref"]
        .as_str()
        .unwrap();
    assert!(
        document
            .pointer(schema.strip_prefix('#').unwrap())
            .is_some()
    );
    let mut ids = BTreeSet::new();
    for route in api::routes() {
        let (method, path) = route.split_once(' ').unwrap();
        let operation = &document["paths"][path][method.to_lowercase()];
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{route}: {id} is there twice");
        assert!(operation["summary"].is_string(), "{route}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(
            responses.keys().any(|status| status.starts_with('2')),
            "{route}"
        );
        for class in ["4XX", "5XX"] {
            assert_eq!(
                responses[class]["$ref"], "#/components/responses/Failure",
                "{route}"
            );
        }
    }
}

#[test]
fn routes_for_services_tell_each_way_to_name_service_and_subject() {
    let document: Value = serde_json::from_str(&runtools_broker::http::document()).unwrap();
    let schemes = &document["components"]["securitySchemes"];
    assert_eq!(schemes["clientCertificate"]["type"], "mutualTLS");
    for (path, method) in [
        ("/v1/me", "get"),
        ("/v1/resolve", "post"),
        ("/v1/tools/{slug}/execute", "post"),
    ] {
        let ways = document["paths"][path][method]["security"].as_array();
        let ways: BTreeSet<Vec<&str>> = ways
            .unwrap()
            .iter()
            .map(|way| way.as_object().unwrap().keys().map(|k| &**k).collect())
            .collect();
        for service in ["apiKey", "bearer", "clientCertificate"] {
            for subject in ["subject", "subjectToken"] {
                assert!(ways.contains(&vec![service, subject]), "{path}: {ways:?}");
            }
        }
        assert!(!ways.contains(&vec!["clientCertificate"]), "{path}");
    }
    let secrets = document["paths"]["/v1/secrets"]["get"]["security"].to_string();
    assert!(!secrets.contains("clientCertificate"), "not for services");
}

#[test]
fn every_reference_leads_somewhere() {
    let document: Value = serde_json::from_str(&runtools_broker::http::document()).unwrap();
    let (mut todo, mut checked) = (vec![&document], 0);
    while let Some(value) = todo.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(target)) = fields.get("$ref") {
                    let pointer = target.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{target}");
                    checked += 1;
                }
                todo.extend(fields.values());
            }
            Value::Array(items) => todo.extend(items),
            _ => {}
        }
    }
    assert!(checked > 50);
}

#[test]
fn what_stands_in_a_path_and_what_in_a_query_is_told_apart() {
    let document: Value = serde_json::from_str(&runtools_broker::http::document()).unwrap();
    let mut asked = 0;
    for route in api::routes() {
        let (method, path) = route.split_once(' ').unwrap();
        let operation = &document["paths"][path][method.to_lowercase()];
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let (name, place) = (&parameter["name"], parameter["in"].as_str().unwrap());
            let in_path = path.contains(&format!("{{{}}}", name.as_str().unwrap()));
            assert_eq!(place == "path", in_path, "{route}: {name} in the {place}");
            asked += usize::from(place == "query");
        }
    }
    assert!(asked > 20, "{asked}");
}

#[test]
fn changes_that_heed_an_idempotency_key_say_so() {
    let document: Value = serde_json::from_str(&runtools_broker::http::document()).unwrap();
    for route in api::routes() {
        let (method, path) = route.split_once(' ').unwrap();
        let operation = &document["paths"][path][method.to_lowercase()];
        let mut parameters = operation["parameters"].as_array().into_iter().flatten();
        let said = parameters.any(|parameter| parameter["name"] == "Idempotency-Key");
        let exempt = ["/v1/operator/", "/v1/egress/"];
        let exempt = exempt.iter().any(|begins| path.starts_with(begins));
        let heeds = !exempt && !path.ends_with("/reveal");
        let changes = ["POST", "PUT", "PATCH", "DELETE"].contains(&method);
        assert_eq!(said, changes && heeds, "{route}");
    }
}
