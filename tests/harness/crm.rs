//! A tool of one's own, for an upstream of one's own.

use serde_json::{Value, json};

use super::Client;

/// A tool for the upstream at `port` with one field `apiKey`, placed as a bearer token.
pub fn crm(port: u16) -> Value {
    crm_named("custom-crm", port)
}

/// The same under another slug.
pub fn crm_named(slug: &str, port: u16) -> Value {
    json!({
        "slug": slug, "name": "CRM",
        "credentialsJson": {"required": ["apiKey"], "schema": {"apiKey": {"type": "string", "description": "key"}}},
        "bindings": [{
            "scheme": "http", "hosts": ["127.0.0.1"], "port": port, "private": ["127.0.0.1/32"],
            "methods": ["GET"], "paths": ["/customers"],
            "slots": {"apiKey": [{"header": "authorization", "format": "Bearer {apiKey}"}]}
        }],
        "actionsJson": {"lookup_customer": {
            "description": "look up",
            "parameters": {"type": "object", "properties": {"email": {"type": "string"}}, "required": ["email"]},
            "http": {"method": "GET", "url": format!("http://127.0.0.1:{port}/customers"), "query": {"email": "{email}"}}
        }}
    })
}

/// The same as a person would write it down.
pub fn crm_file(port: u16) -> String {
    const FILE: &str = r#"
slug = "custom-crm"
name = "Custom CRM"

[credentials.apiKey]
description = "Key from the CRM's settings page"

[[bindings]]
scheme = "http"
hosts = ["127.0.0.1"]
port = PORT
private = ["127.0.0.1/32"]
methods = ["GET"]
paths = ["/customers"]
slots.apiKey = [{ header = "authorization", format = "Bearer {apiKey}" }]

[actions.lookup_customer]
description = "A customer by e-mail address"
parameters.required = ["email"]
parameters.properties.email = { type = "string" }
http.method = "GET"
http.url = "http://127.0.0.1:PORT/customers"
http.query = { email = "{email}" }
"#;
    FILE.replace("PORT", &port.to_string())
}

/// A call of it with the organisation's secret `secret`.
pub fn crm_call(email: &str, secret: &str) -> Value {
    json!({
        "action": "lookup_customer", "params": {"email": email},
        "credentialOverrides": {"apiKey": secret}
    })
}

/// Makes and installs it, with the organisation's secret `CRM_KEY` of this value.
pub fn install_crm(operator: &Client, port: u16, value: &str) {
    let secret = json!({"name": "CRM_KEY", "value": value, "category": "tool", "orgWide": true});
    operator.post("/v1/secrets", &secret).expect(201);
    operator.post("/v1/tools/custom", &crm(port)).expect(201);
    operator
        .send("POST", "/v1/tools/custom-crm/install", None)
        .expect(200);
}
