//! The first brokered call: the upstream sees the value, the caller does not, the journal knows.

mod harness;

use harness::{Broker, Canaries, Upstream, eventually};
use serde_json::json;

/// A tool for `upstream` with one field `apiKey`, placed by `slot`.
fn crm(port: u16) -> serde_json::Value {
    json!({
        "slug": "custom-crm", "name": "CRM",
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

#[test]
fn a_secret_reaches_the_upstream_and_nobody_else() {
    let mut canaries = Canaries::new();
    let value = canaries.value();
    let upstream = Upstream::echo();
    let broker = Broker::start();
    let operator = broker.operator();
    let secret =
        json!({"name": "SHARED_CRM_KEY", "value": value, "category": "tool", "orgWide": true});
    operator.post("/v1/secrets", &secret).expect(201);
    operator
        .post("/v1/tools/custom", &crm(upstream.port()))
        .expect(201);
    operator
        .send("POST", "/v1/tools/custom-crm/install", None)
        .expect(200);
    let call = json!({
        "action": "lookup_customer", "params": {"email": "person@example.com"},
        "credentialOverrides": {"apiKey": "SHARED_CRM_KEY"}
    });
    let reply = operator.post("/v1/tools/custom-crm/execute", &call);

    assert_eq!(
        upstream.last().header("authorization"),
        format!("Bearer {value}")
    );
    assert_eq!(
        upstream.last().target,
        "/customers?email=person%40example.com"
    );
    let answer = reply.expect(200);
    assert_eq!(answer["data"]["success"], true);
    let echoed = answer["data"]["result"]["headers"]["authorization"]
        .as_str()
        .unwrap();
    assert_eq!(echoed, format!("Bearer {}", "*".repeat(40)));
    canaries.absent_from("the answer", &reply.body);

    // No answer waits for its outcome's record.
    let entry = eventually(|| {
        let found = operator
            .get("/v1/audit?secret=SHARED_CRM_KEY&action=tool.execute")
            .expect(200);
        let entry = found["data"][0].clone();
        (!entry["outcome"].is_null()).then_some(entry)
    });
    assert_eq!(entry["host"], "127.0.0.1");
    assert_eq!(entry["sources"]["apiKey"], "override");
    assert_eq!(entry["outcome"]["status"], "success");
    assert!(entry["outcome"]["scrub_hits"].as_u64().unwrap() > 0);
    canaries.absent_from("the log", &broker.log_bytes());
}
