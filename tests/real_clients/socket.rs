//! WebSocket clients of the usual kind, behind a proxy as their manuals say: they write a placeholder into
//! the opening, and see masks in what comes back.

use serde_json::json;

use crate::harness::Upstream;
use crate::lanes::node::Server;
use crate::{World, front, python};

const TOOL: &str = r#"
slug = "custom-live"
name = "Live prices"

[credentials.apiKey]
description = "Key of the account"
env = ["LIVE_API_KEY"]

[[bindings]]
hosts = ["localhost"]
port = PORT
private = ["127.0.0.1/32", "::1/128"]
methods = ["GET"]
paths = ["/prices"]
slots.apiKey = [{ header = "authorization", format = "Bearer {apiKey}" }]
"#;

/// Runs a client of `clients.mjs` or `clients.py`.
fn prices(program: &[&str], goodbye: u16) {
    let server = Server::start();
    let (port, root) = front::before(server.port);
    let mut world = World::trusting(&root, Upstream::echo());
    let value = world.secret("CUSTOM_LIVE_API_KEY");
    let slug = world.install(&TOOL.replace("PORT", &port.to_string()));
    let url = format!("wss://localhost:{port}/prices");
    let ran = world.works(&slug, &[program, &[&url]].concat());
    // The vendor was sent the value in its place, and nothing of the broker's.
    let opened = server.says();
    assert_eq!(opened["opened"], "/prices", "{opened}");
    assert_eq!(opened["authorization"], format!("Bearer {value}"));
    assert_eq!(opened["extensions"], "", "{opened}");
    let text = opened.to_string();
    assert!(!text.contains("rtPlaceh0lder"), "{text}");
    assert!(!text.contains("proxy-"), "{text}");
    // The client's world has the placeholder, and where the vendor repeats the value, a mask of its length.
    let placeholder = ran.told["env"]["LIVE_API_KEY"].as_str().unwrap();
    assert!(placeholder.starts_with("rtPlaceh0lder"), "{}", ran.told);
    let came = ran.told["came"].as_array().unwrap();
    assert_eq!(came[0]["x-runtools-answer"], "upstream", "{}", ran.told);
    let masked = format!("Bearer {}", "*".repeat(value.len()));
    let shown = format!("you are {masked}");
    let end = format!("4001 {masked}");
    assert_eq!(
        came[1..],
        [
            json!("hello"),
            json!(shown),
            json!(shown),
            json!(masked),
            json!(end)
        ]
    );
    // It is answered as each library does.
    assert_eq!(server.says()["closed"], goodbye);
    let entry = world.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["status"], "success", "{entry}");
    world.stage.finish();
}

#[test]
fn ws_for_node_works_and_never_has_the_key() {
    prices(&["node", "clients.mjs", "ws"], 4001);
}

#[test]
fn websocket_client_for_python_works_and_never_has_the_key() {
    prices(&[&python(), "clients.py", "websocket"], 1000);
}
