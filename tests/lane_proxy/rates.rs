//! What counts against the rate of who asked for a handle: each request, once.

use serde_json::json;

use super::tunnel::{basic, knock, open};
use crate::harness::Setup;
use crate::lanes::Handle;
use crate::proxied;
use crate::stage::{Stage, tls_tool, tool};

/// How many requests one caller has at once.
const BURST: u32 = 200;

fn stage(spec: &serde_json::Value) -> (Stage, Handle) {
    let mut stage = Stage::with(Setup {
        burst: Some(BURST),
        ..Setup::default()
    });
    let admin = stage.broker.admin(&[]);
    stage.secret(&admin, "KEY", &json!({}));
    stage.install(&admin, spec);
    let handle = proxied(&stage, &admin, &json!({}));
    (stage, handle)
}

#[test]
fn a_plain_request_counts_once() {
    let (stage, handle) = stage(&tool("custom-x", 1));
    let shown = basic(&handle.text);
    // Refused only once everything was looked at; nothing listens there.
    let head = format!("PATCH http://127.0.0.1:1/run HTTP/1.1\r\nHost: x\r\n{shown}\r\n");
    let mut spoken = knock(&handle, b"");
    let mut counted = 0;
    loop {
        spoken.write(&head);
        let answer = spoken.until("}}");
        if answer.starts_with("HTTP/1.1 429") {
            assert!(answer.contains("rate_limited"), "{answer}");
            break;
        }
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        counted += 1;
    }
    assert!(counted > BURST * 3 / 4, "{counted}");
    stage.finish();
}

#[test]
fn a_request_that_is_refused_inside_a_tunnel_counts() {
    let (stage, handle) = stage(&tls_tool("custom-x", 1));
    let mut tunnel = open(&handle, 1);
    let mut slowed = false;
    for _ in 0..BURST * 2 {
        tunnel.write("OPTIONS * HTTP/1.1\r\nHost: localhost:1\r\n\r\n");
        slowed |= tunnel.until("}}").contains("rate_limited");
    }
    assert!(slowed);
    stage.finish();
}
