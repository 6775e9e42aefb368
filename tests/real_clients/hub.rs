//! A Tool Hub that runs tool code, written for `defineTool`, with placeholders for credentials.

use std::process::Command;

use serde_json::{Value, json};

use crate::{World, path, peers};

const TOOL: &str = r#"
slug = "custom-crm"
name = "Custom CRM"

[credentials.apiKey]
description = "Key from the CRM's settings page"

[[bindings]]
hosts = ["localhost"]
port = PORT
private = ["127.0.0.1/32", "::1/128"]
methods = ["GET"]
paths = ["/customers"]
slots.apiKey = [{ header = "authorization", format = "Bearer {apiKey}" }]
"#;

/// The key by which the broker knows the hub, and the value of the one that its tool is lent.
struct Hub {
    world: World,
    service: String,
    value: String,
}

fn hub() -> Hub {
    let mut world = World::new();
    let made = world
        .stage
        .operator()
        .post("/v1/operator/services", &json!({"name": "tool-hub"}));
    let service = made.expect(201)["data"]["key"].as_str().unwrap().to_owned();
    world.stage.canaries.also(&service);
    let value = world.secret("CUSTOM_CRM_API_KEY");
    world.install(&TOOL.replace("PORT", &world.origin.port().to_string()));
    Hub {
        world,
        service,
        value,
    }
}

impl Hub {
    /// Runs an action of the tool's code; what the hub says of it.
    #[track_caller]
    fn runs(&self, action: &str, params: &Value) -> Value {
        let output = Command::new("node")
            .args(["hub.mjs", "tools/crm.mjs", action, &params.to_string()])
            .current_dir(peers("tool-hub"))
            .env_clear()
            .env("PATH", path())
            .env("TMPDIR", self.world.home.path())
            .env("BROKER", self.world.stage.broker.origin())
            .env("BROKER_KEY", &self.service)
            .env("BROKER_SUBJECT", &self.world.key)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        self.world
            .stage
            .canaries
            .absent_from("what the hub says", &output.stdout);
        self.world
            .stage
            .canaries
            .absent_from("what the hub complains of", &output.stderr);
        assert!(output.status.success(), "{out}\n{err}");
        serde_json::from_str(&out).unwrap()
    }
}

#[test]
fn unmodified_tool_code_works_and_never_has_the_key() {
    let hub = hub();
    for action in ["lookup_customer", "lookup_the_old_way"] {
        let said = hub.runs(
            action,
            &json!({"base": hub.world.url(), "email": "ann@example.com"}),
        );
        let result = &said["result"];
        assert_eq!(result["status"], 200, "{said}");
        let body = result["body"].as_str().unwrap();
        assert!(
            body.contains("Ann") && body.contains("Bearer ****"),
            "{said}"
        );
        assert!(
            result["headers"]["x-echo"]
                .as_str()
                .unwrap()
                .starts_with("Bearer ****")
        );
    }
    for request in hub.world.arrived(2) {
        assert_eq!(
            request.header("authorization"),
            format!("Bearer {}", hub.value)
        );
    }
    hub.world.stage.finish();
}

#[test]
fn code_that_gives_everything_away_gives_a_placeholder_away() {
    let hub = hub();
    let said = hub.runs("tell_everything", &json!({}));
    let placeholder = said["result"]["credentials"]["apiKey"].as_str().unwrap();
    assert!(placeholder.starts_with("rtPlaceh0lder"), "{said}");
    assert!(said["stdout"].as_str().unwrap().contains(placeholder));
    let env = said["result"]["env"].as_object().unwrap();
    assert!(env.keys().all(|name| !name.starts_with("BROKER")), "{said}");
    assert_eq!(hub.world.origin.accepted(), 0);
    hub.world.stage.finish();
}

#[test]
fn code_that_sends_its_key_elsewhere_sends_nothing() {
    let hub = hub();
    // The vendor's own host, at a path that the key is not bound to, and a host that nothing is bound to.
    for url in [
        format!("{}/elsewhere", hub.world.url()),
        "https://evil.test/".to_owned(),
    ] {
        let said = hub.runs("send_elsewhere", &json!({"url": url}));
        let refused = said["error"].is_object() || said["result"]["status"] == 403;
        assert!(refused, "{said}");
    }
    assert!(hub.world.origin.seen().is_empty());
    // The handle was ended with the run: nothing is left to be used.
    let ended = hub.world.stage.journal("broker.release");
    assert_eq!(ended.len(), 2);
    hub.world.stage.finish();
}
