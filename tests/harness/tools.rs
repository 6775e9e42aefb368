//! A tool that takes a connected account's token, and its runs.

use serde_json::{Value, json};

use super::{Client, Reply};

/// A tool for a local upstream that takes its field `token` from a connected account: action `run` =
/// `GET /run`, as a bearer token.
pub fn tool(slug: &str, port: u16, provider: &str, scopes: &[&str]) -> Value {
    json!({
        "slug": slug, "name": "Connected",
        "credentialsJson": {
            "required": ["token"], "schema": {"token": {"type": "string", "description": "token"}},
            "oauth": {"provider": provider, "scopes": scopes, "credentialMapping": {"token": "access_token"}}
        },
        "bindings": [{
            "scheme": "http", "hosts": ["127.0.0.1"], "port": port, "private": ["127.0.0.1/32"],
            "methods": ["GET"], "paths": ["/**"],
            "slots": {"token": [{"header": "authorization", "format": "Bearer {token}"}]}
        }],
        "actionsJson": {"run": {
            "description": "run",
            "http": {"method": "GET", "url": format!("http://127.0.0.1:{port}/run")}
        }}
    })
}

/// Writes, publishes and installs such a tool for the whole organisation.
#[track_caller]
pub fn install(operator: &Client, spec: &Value) {
    operator.post("/v1/tools/custom", spec).expect(201);
    let slug = spec["slug"].as_str().unwrap();
    let shared = json!({ "visibility": "org" });
    let path = format!("/v1/tools/custom/{slug}/visibility");
    operator.json("PATCH", &path, &shared).expect(200);
    let path = format!("/v1/tools/{slug}/install");
    operator.send("POST", &path, None).expect(200);
}

/// Runs a tool's `run`, with `account` when one is named.
pub fn run(client: &Client, slug: &str, account: Option<&str>) -> Reply {
    let mut body = json!({ "action": "run" });
    if let Some(account) = account {
        body["account"] = account.into();
    }
    client.post(&format!("/v1/tools/{slug}/execute"), &body)
}

/// The same, which must reach the upstream: its execution.
#[track_caller]
pub fn runs(client: &Client, slug: &str) -> Value {
    run(client, slug, None).expect(200)["data"].clone()
}
