//! The usual client and the usual server, at both ends.

use serde_json::{Value, json};

use crate::MASK;
use crate::harness::Client;
use crate::lanes::node::{Server, client};
use crate::lanes::{Handle, egress, resolve};
use crate::stage::{Stage, tool};

struct Pair {
    stage: Stage,
    server: Server,
    _admin: Client,
    key: String,
    value: String,
    handle: Handle,
}

impl Pair {
    fn new() -> Self {
        let server = Server::start();
        let mut stage = Stage::new();
        let key = stage.operator().make_key(&[]);
        let admin = stage.broker.anonymous().key(&key);
        let value = stage.secret(&admin, "KEY", &json!({}));
        stage.install(&admin, &tool("custom-x", server.port));
        let handle = resolve(&stage, &admin, "custom-x", &json!({}));
        Self {
            stage,
            server,
            _admin: admin,
            key,
            value,
            handle,
        }
    }

    /// Has the client do something; what it saw, and how the server was opened.
    fn run(&self, wish: &Value) -> (Value, Value) {
        let url = format!("http://127.0.0.1:{}/talk", self.server.port);
        let url = format!("{}{}", self.stage.broker.origin(), egress(&url));
        let mut whole = json!({
            "url": url.replacen("http://", "ws://", 1),
            "headers": {
                "x-api-key": self.key,
                "x-runtools-handle": self.handle.text,
            },
        });
        crate::stage::merge(&mut whole, wish);
        let (seen, line) = client(&whole);
        self.stage.keep_bytes("the client", &line);
        (seen, self.server.says())
    }
}

#[test]
fn ex_8_a_usual_server_shows_its_caller_in_every_way_and_the_client_sees_a_mask() {
    let pair = Pair::new();
    let ways = [
        "text",
        "binary",
        "base64",
        "json",
        "fragments",
        "halves",
        "large",
    ];
    let send: Vec<_> = ways.iter().map(|way| format!("show as {way}")).collect();
    // With the question in the middle of the halves.
    let (seen, opened) = pair.run(&json!({"send": send, "until": ways.len() + 1}));
    assert_eq!(opened["authorization"], format!("Bearer {}", pair.value));
    assert_eq!(opened["extensions"], "", "{opened}");
    assert_eq!(seen["extensions"], "", "{seen}");
    let texts: Vec<&str> = seen["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["text"].as_str().unwrap())
        .collect();
    assert_eq!(texts.len(), ways.len(), "{seen}");
    for (way, text) in ways.iter().zip(&texts) {
        assert!(text.contains(MASK), "{way}: {text}");
    }
    assert_eq!(texts[0], format!("you are Bearer {MASK}"));
    assert_eq!(texts[6].len(), 600_047);
    assert_eq!(seen["messages"][1]["isBinary"], true);
    assert_eq!(seen["pings"], json!(["between"]));
    assert_eq!(
        (&seen["closed"], &seen["reason"]),
        (&json!(1000), &json!("enough"))
    );
    assert_eq!(
        pair.server.says(),
        json!({"closed": 1000, "reason": "enough"})
    );
    let entry = pair.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["status"], "success", "{entry}");
    for way in ["ping", "pong"] {
        let wish = json!({"send": [format!("show as {way}")], "until": 1});
        let (seen, _) = pair.run(&wish);
        let shown = &seen[format!("{way}s")][0];
        assert_eq!(*shown, format!("Bearer {MASK}"), "{seen}");
        pair.server.says();
    }
    let (seen, _) = pair.run(&json!({"send": ["show as close"]}));
    assert_eq!(seen["closed"], 4001, "{seen}");
    assert_eq!(seen["reason"], format!("Bearer {MASK}"), "{seen}");
    pair.stage.finish();
}

#[test]
fn a_thousand_messages_come_back_in_order() {
    let pair = Pair::new();
    let (seen, _) = pair.run(&json!({"count": 1000}));
    assert_eq!(seen["echoed"], 1000, "{seen}");
    let entry = pair.stage.ended("broker.exchange");
    // "message 0" to "message 999", and the code and the reason of the end.
    let bytes = 10 * 9 + 90 * 10 + 900 * 11 + 2 + "enough".len();
    for way in ["bytes_in", "bytes_out"] {
        assert_eq!(entry["outcome"][way], bytes, "{way}: {entry}");
    }
    pair.stage.finish();
}

#[test]
fn a_server_that_is_gone_at_once_is_gone_for_the_client_too() {
    let pair = Pair::new();
    let (seen, _) = pair.run(&json!({"send": ["show as terminate"]}));
    assert_eq!(seen["closed"], 1006, "{seen}");
    let entry = pair.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["code"], "upstream_closed", "{entry}");
    pair.stage.finish();
}

#[test]
fn a_usual_client_hears_why_it_is_refused() {
    let pair = Pair::new();
    let mut wish = json!({"headers": {"x-api-key": pair.key, "x-runtools-handle": "rt_hdl_none"}});
    let url = format!("http://127.0.0.1:{}/talk", pair.server.port);
    let url = format!("{}{}", pair.stage.broker.origin(), egress(&url));
    wish["url"] = url.replacen("http://", "ws://", 1).into();
    let (seen, _) = client(&wish);
    assert_eq!(seen["status"], 404, "{seen}");
    assert!(seen["body"].as_str().unwrap().contains("handle_unknown"));
    pair.stage.finish();
}
