//! Values that are put where names belong: by a slip of the hand, or by a model that mixes them up.

mod harness;
mod stage;

use harness::Upstream;
use serde_json::{Value, json};
use stage::{Stage, text, tool, with};

/// A value that could be a name, planted as it is and as names are kept.
fn misplaced(stage: &mut Stage) -> String {
    let value = stage.canaries.value();
    stage.canaries.also(&value.to_ascii_uppercase());
    value
}

#[test]
fn a_value_in_the_place_of_a_secrets_name_is_neither_recorded_nor_repeated() {
    let mut stage = Stage::new();
    let operator = stage.operator();
    let value = misplaced(&mut stage);
    for (method, rest, body) in [
        ("GET", "", Value::Null),
        ("PATCH", "", json!({"description": "d"})),
        ("DELETE", "", Value::Null),
        ("DELETE", "?destroy=true", Value::Null),
        ("POST", "/reveal", json!({})),
        ("POST", "/rotate", json!({"value": "another value"})),
        ("POST", "/restore", json!({})),
        ("GET", "/versions", Value::Null),
        ("POST", "/versions/1/restore", json!({})),
    ] {
        let path = format!("/v1/secrets/{value}{rest}");
        let reply = stage.operator().json(method, &path, &body);
        stage.keep(rest, &reply);
        assert_eq!(reply.refused(404), "not_found", "{method} {rest}");
    }
    let dashed = format!("/v1/secrets/sk-{value}");
    let reply = operator.get(&dashed);
    stage.keep("a path", &reply);
    assert_eq!(reply.refused(400), "bad_name");
    for body in [
        json!({"name": format!("sk-{value}"), "value": "x"}),
        json!({"name": format!("{} {}", &value[..20], &value[20..]), "value": "x"}),
        // The value is refused, so that no secret of that name comes to be.
        json!({"name": value, "value": "line\nbreak"}),
        json!({"name": "KEY", "value": "x", &value[..32]: true}),
    ] {
        let reply = stage.send(&operator, "POST", "/v1/secrets", &body);
        assert_eq!(reply.status, 400, "{}", text(&reply));
        assert!(!text(&reply).contains(&value[..20]), "{}", text(&reply));
    }
    // What plainly is a name is repeated, and recorded once there is such a secret.
    let reply = operator.post(
        "/v1/secrets",
        &json!({"name": "stripe live-key", "value": "x"}),
    );
    assert!(text(&reply).contains("STRIPE_LIVE_KEY"), "{}", text(&reply));
    stage.secret(&operator, "STRIPE_LIVE_KEY", &json!({}));
    operator.delete("/v1/secrets/STRIPE_LIVE_KEY").expect(200);
    operator
        .post("/v1/secrets/STRIPE_LIVE_KEY/restore", &json!({}))
        .expect(200);
    let found = operator.get("/v1/audit?secret=STRIPE_LIVE_KEY").expect(200);
    assert_eq!(found["data"].as_array().unwrap().len(), 3, "{found}");
    let failed = operator.get("/v1/audit?action=secret.reveal").expect(200);
    assert_eq!(
        failed["data"][0]["outcome"]["code"], "not_found",
        "{failed}"
    );
    assert!(failed["data"][0]["targets"][0].get("name").is_none());
    stage.finish();
}

#[test]
fn a_value_in_the_place_of_an_override_or_a_host_is_neither_recorded_nor_repeated() {
    let upstream = Upstream::echo();
    let mut stage = Stage::new();
    let operator = stage.operator();
    let value = misplaced(&mut stage);
    stage.install(&operator, &tool("custom-echo", upstream.port()));
    let reply = stage.run(&operator, "custom-echo", &with(&value));
    assert_eq!(reply.refused(404), "not_available");
    let body = with(&value);
    let reply = stage.send(&operator, "POST", "/v1/tools/custom-echo/explain", &body);
    let looked = &reply.expect(200)["data"]["fields"][0]["lookedFor"];
    assert_eq!(looked[1]["outcome"], "absent", "{looked}");
    assert!(looked[1].get("name").is_none_or(Value::is_null), "{looked}");

    let hosts = json!({"hosts": ["api.example.com"]});
    stage.secret(&operator, "GENERIC_HTTP_TOKEN", &hosts);
    let ask = |host: &str| {
        let params = json!({"method": "GET", "host": host, "path": "/"});
        let body = json!({"action": "request", "params": params});
        stage.send(&operator, "POST", "/v1/tools/generic-http/execute", &body)
    };
    for host in [value.clone(), format!("{value}.example.com")] {
        assert_eq!(ask(&host).refused(403), "binding_refused");
        let entry = stage.journal("tool.execute").swap_remove(0);
        assert_eq!(entry["code"], "another_host", "{entry}");
        assert!(entry.get("host").is_none_or(Value::is_null), "{entry}");
    }
    // Where the secret may go is known, and recorded, also when it cannot be reached.
    assert_eq!(ask("api.example.com").expect(200)["data"]["success"], false);
    let entry = stage.journal("tool.execute").swap_remove(0);
    assert_eq!(entry["host"], "api.example.com", "{entry}");
    stage.finish();
}
