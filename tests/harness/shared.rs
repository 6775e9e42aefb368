//! What an organisation shares: set and looked up by its name.

use serde_json::json;

use super::Client;

/// Sets a secret of the organisation.
#[track_caller]
pub fn set(client: &Client, name: &str, value: &str) {
    let secret = json!({"name": name, "value": value, "orgWide": true});
    client.post("/v1/secrets", &secret).expect(201);
}

/// What it is, if it is there.
#[track_caller]
pub fn value(client: &Client, name: &str) -> Option<String> {
    let path = format!("/v1/secrets/{name}/reveal");
    let reply = client.post(&path, &json!({"orgWide": true}));
    match reply.status {
        404 => None,
        _ => Some(reply.expect(200)["data"]["value"].as_str()?.to_owned()),
    }
}
