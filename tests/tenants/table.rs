//! Every route that takes an id or a name, with what is sent to it.

use serde_json::{Value, json};

use super::NO_ID;

/// What is sent to each route that takes an id or a name; null for no body.
pub(crate) fn bodies() -> Vec<(&'static str, Value)> {
    let none = Value::Null;
    vec![
        ("GET /v1/organizations/{id}", none.clone()),
        (
            "PATCH /v1/organizations/{id}",
            json!({"name": "Taken over"}),
        ),
        ("GET /v1/organizations/{id}/members", none.clone()),
        (
            "POST /v1/organizations/{id}/members",
            json!({"name": "Mallory"}),
        ),
        (
            "PATCH /v1/organizations/{id}/members/{member}",
            json!({"role": "member"}),
        ),
        (
            "DELETE /v1/organizations/{id}/members/{member}",
            none.clone(),
        ),
        ("GET /v1/api-keys/{id}", none.clone()),
        ("PATCH /v1/api-keys/{id}", json!({"name": "x"})),
        ("DELETE /v1/api-keys/{id}", none.clone()),
        ("POST /v1/api-keys/{id}/rotate", json!({})),
        ("DELETE /v1/services/{id}", none.clone()),
        ("GET /v1/services/{id}/delegations", none.clone()),
        (
            "POST /v1/services/{id}/delegations",
            json!({"userId": NO_ID}),
        ),
        ("DELETE /v1/services/{id}/delegations/{user}", none.clone()),
        ("GET /v1/secrets/{name}", none.clone()),
        ("PATCH /v1/secrets/{name}", json!({"description": "x"})),
        ("DELETE /v1/secrets/{name}", none.clone()),
        ("POST /v1/secrets/{name}/reveal", none.clone()),
        ("POST /v1/secrets/{name}/rotate", json!({"value": "x"})),
        ("POST /v1/secrets/{name}/restore", none.clone()),
        ("GET /v1/secrets/{name}/versions", none.clone()),
        (
            "POST /v1/secrets/{name}/versions/{version}/restore",
            none.clone(),
        ),
        ("GET /v1/oauth/flows/{id}", none.clone()),
        ("POST /v1/oauth/flows/{id}/finish", json!({"ticket": "x"})),
        ("DELETE /v1/oauth/flows/{id}", none.clone()),
        ("GET /v1/tools/{slug}", none.clone()),
        ("POST /v1/tools/{slug}/install", none.clone()),
        ("DELETE /v1/tools/{slug}/install", none.clone()),
        ("PUT /v1/tools/{slug}/credentials", json!({"apiKey": "x"})),
        ("GET /v1/tools/{slug}/credentials", none.clone()),
        ("DELETE /v1/tools/{slug}/credentials", none.clone()),
        ("POST /v1/tools/{slug}/explain", json!({})),
        ("POST /v1/tools/{slug}/execute", json!({"action": "look"})),
        ("DELETE /v1/resolutions/{id}", none.clone()),
        ("DELETE /v1/tools/custom/{slug}", none.clone()),
        (
            "PATCH /v1/tools/custom/{slug}/visibility",
            json!({"visibility": "private"}),
        ),
    ]
}

/// Of the installation, or of the caller's own organisation by a provider's name, which is the same for all.
pub(crate) const INSTALLATION: [&str; 14] = [
    "GET /v1/oauth/start/{provider}",
    "GET /v1/oauth/status/{provider}",
    "POST /v1/oauth/device/start/{provider}",
    "POST /v1/oauth/device/status/{provider}",
    "POST /v1/oauth/device/cancel/{provider}",
    "DELETE /v1/oauth/configs/{provider}",
    "DELETE /v1/operator/oauth-clients/{provider}",
    "DELETE /v1/operator/services/{id}",
    "POST /v1/operator/services/{id}/rotate",
    "POST /v1/operator/slots/{id}/test",
    "POST /v1/operator/slots/{id}/lend",
    "DELETE /v1/operator/slots/{id}",
    "DELETE /v1/operator/organizations/{id}",
    "DELETE /v1/operator/users/{id}",
];

/// A connection takes a provider to make: `tests/tenants/connected.rs`.
pub(crate) const CONNECTIONS: [&str; 2] = [
    "DELETE /v1/oauth/connections/{id}",
    "POST /v1/oauth/connections/{id}/default",
];
