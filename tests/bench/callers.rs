//! Many callers of a Tool Hub: each may hold no more than so many handles, and so may each organisation.

use std::sync::Arc;

use crate::load::{self, Maker};
use crate::requests::VALUE;
use crate::servers::Broker;

const ORGANISATIONS: usize = 4;
const MEMBERS: usize = 16;

/// A request for a handle that lasts a second, by one member after the other. `tool` is the body that makes
/// the tool `bench-tool`.
pub(crate) fn resolving(broker: &Broker, tool: &str) -> Maker {
    let keys: Vec<_> = (0..ORGANISATIONS)
        .flat_map(|n| members(broker, n, tool))
        .collect();
    let body =
        r#"{"tool":"bench-tool","credentialOverrides":{"apiKey":"SHARED_KEY"},"ttlSeconds":1}"#;
    Arc::new(move |n, out| {
        let key = &keys[usize::try_from(n).unwrap() % keys.len()];
        load::request("POST", "/v1/resolve", Some(key), body, out);
    })
}

/// The keys of the members of a new organisation that shares a secret and a tool.
fn members(broker: &Broker, n: usize, tool: &str) -> Vec<String> {
    let body = format!(r#"{{"name":"Bench {n}","createKey":true}}"#);
    let admin = key_of(&broker.operator("POST", "/v1/organizations", &body));
    let secret = format!(r#"{{"name":"SHARED_KEY","value":"{VALUE}","orgWide":true}}"#);
    let shown = "/v1/tools/custom/bench-tool/visibility";
    for (method, path, body) in [
        ("POST", "/v1/secrets", &*secret),
        ("POST", "/v1/tools/custom", tool),
        ("PATCH", shown, r#"{"visibility":"org"}"#),
        ("POST", "/v1/tools/bench-tool/install", ""),
    ] {
        broker.with_key(&admin, (method, path), body);
    }
    let member = |m| {
        let body = format!(r#"{{"name":"Member {m}","createKey":true}}"#);
        key_of(&broker.with_key(&admin, ("POST", "/v1/organizations/current/members"), &body))
    };
    (0..MEMBERS).map(member).collect()
}

fn key_of(made: &serde_json::Value) -> String {
    made["data"]["key"].as_str().unwrap().to_owned()
}
