//! What stays in the broker's memory of the credentials that each lane has carried (reference: LK-5): nothing,
//! once the searchers are gone by which answers were searched. They are kept for a minute at most; so that the
//! lanes are waited for together.

mod harness;
mod lanes;
mod stage;

mod lane_proxy {
    #[allow(dead_code, reason = "the journeys through the proxy use the rest")]
    pub(crate) mod curl;
}

use std::collections::BTreeMap;
use std::time::Duration;

use harness::{Client, Upstream};
use lane_proxy::curl::Way;
use lanes::origin::{EVENTS, Origin};
use lanes::socket::{Socket, TEXT, opening};
use lanes::wire::Wire;
use lanes::{Handle, LANES, Lane, Wish, egress, resolve};
use serde_json::{Value, json};
use stage::{Stage, memory, tls_tool, tool, with};

/// Searchers are kept for a minute at most, and connections to upstreams for half of one.
const SETTLED: Duration = Duration::from_secs(65);

/// Every lane has a credential of its own, so that what is found says whose it is.
struct Lanes {
    stage: Stage,
    tls: Upstream,
    plain: Upstream,
    origin: Origin,
    key: String,
    admin: Client,
    /// Values, and which lane carried each.
    whose: Vec<(String, &'static str)>,
}

impl Lanes {
    fn new() -> Self {
        let tls = Upstream::tls(&["localhost"], |seen| {
            harness::upstream::json(200, &seen.echo())
        });
        let plain = Upstream::echo();
        let origin = Origin::start();
        let stage = Stage::trusting(tls.root_pem());
        let key = stage.operator().make_key(&[]);
        let admin = stage.broker.anonymous().key(&key);
        let signed = |spec: &mut Value| {
            spec["bindings"][0]["slots"]["apiKey"] = json!([{"hmac": {
                "message": "{timestamp}\n{method}\n{target}\n{body_sha256}",
                "header": "x-signature", "timestampHeader": "x-timestamp",
            }}]);
        };
        let written = |spec: &mut Value| {
            spec["bindings"][0]["slots"]["apiKey"] = json!([{"json": "/key"}]);
        };
        stage.install(&admin, &tls_tool("custom-tls", tls.port()));
        stage.install(&admin, &tool("custom-plain", plain.port()));
        stage.install(&admin, &tool("custom-bytes", origin.port()));
        let mut spec = tool("custom-signed", plain.port());
        signed(&mut spec);
        stage.install(&admin, &spec);
        let mut spec = tool("custom-written", plain.port());
        written(&mut spec);
        stage.install(&admin, &spec);
        Self {
            stage,
            tls,
            plain,
            origin,
            key,
            admin,
            whose: Vec::new(),
        }
    }

    /// A new credential for a lane: the name of its secret.
    fn plant(&mut self, lane: &'static str) -> String {
        let name = format!("KEY_{}", self.whose.len());
        let admin = self.admin.clone();
        let value = self.stage.secret(&admin, &name, &json!({}));
        self.whose.push((value, lane));
        name
    }

    /// A handle for a tool with a new credential.
    fn handle(&mut self, lane: &'static str, slug: &str, more: &Value) -> Handle {
        let mut wish = json!({"credentialOverrides": {"apiKey": self.plant(lane)}});
        stage::merge(&mut wish, more);
        resolve(&self.stage, &self.admin, slug, &wish)
    }

    fn action(&mut self) {
        let name = self.plant("a declared action");
        let done = self.stage.run(&self.admin, "custom-tls", &with(&name));
        assert_eq!(done.status, 200);
    }

    /// In one piece and streaming, over either scheme, with long bodies, signed, and in a document.
    fn by_handle(&mut self) {
        let tls = format!("https://localhost:{}/run", self.tls.port());
        let plain = format!("http://127.0.0.1:{}/run", self.plain.port());
        let long = "a long body ".repeat(40_000);
        for lane in LANES {
            let (which, many) = match lane {
                Lane::Execute => ("execute", [("execute, signed"), ("execute, in a document")]),
                Lane::Egress => ("egress", [("egress, signed"), ("egress, in a document")]),
            };
            let document = |handle: &Handle| json!({"key": handle.placeholder}).to_string();
            for (slug, url) in [("custom-tls", &tls), ("custom-plain", &plain)] {
                let handle = self.handle(which, slug, &json!({}));
                self.sends(lane, &handle, &Wish::get(url));
                self.sends(lane, &handle, &Wish::get(url).post("text/plain", &long));
            }
            let handle = self.handle(many[0], "custom-signed", &json!({}));
            self.sends(lane, &handle, &Wish::get(&plain));
            let handle = self.handle(many[1], "custom-written", &json!({}));
            let body = document(&handle);
            self.sends(
                lane,
                &handle,
                &Wish::get(&plain).post("application/json", &body),
            );
        }
    }

    #[track_caller]
    fn sends(&self, lane: Lane, handle: &Handle, wish: &Wish<'_>) {
        let came = lane.send(&self.stage, &self.admin, &handle.text, wish);
        assert_eq!((came.status, &*came.code), (200, ""), "{lane:?}");
    }

    /// Asks for `path` of the origin that the test drives, through the streaming lane.
    fn request(&self, handle: &Handle, path: &str, more: &[String]) -> Wire {
        let url = format!("http://127.0.0.1:{}{path}", self.origin.port());
        let mut lines = vec![format!("X-RunTools-Handle: {}", handle.text)];
        lines.extend_from_slice(more);
        let first = format!("GET {}", egress(&url));
        Wire::open(&self.stage.broker, &self.key, &first, &lines)
    }

    fn socket(&mut self) {
        let handle = self.handle("a WebSocket", "custom-bytes", &json!({}));
        let value = self.last();
        let client = self.request(&handle, "/talk", &opening());
        let mut upstream = Socket::agree(self.origin.next(), &format!("x-echo: {value}\r\n"));
        let (mut caller, _) = Socket::opened(client);
        for message in 0..20 {
            upstream.send(true, TEXT, format!("{message}: you are {value}").as_bytes());
            assert!(caller.next().unwrap().text().ends_with("****"));
            caller.send(true, TEXT, b"go on");
            assert_eq!(upstream.next().unwrap().payload, b"go on");
        }
    }

    /// Streams that do not end as they should.
    fn broken(&mut self) {
        for lane in [
            "a caller who goes",
            "an upstream that goes",
            "a handle that dies",
        ] {
            let handle = self.handle(lane, "custom-bytes", &json!({}));
            let value = self.last();
            let mut client = self.request(&handle, "/events", &[]);
            let mut served = self.origin.next();
            served.write(EVENTS).unwrap();
            // The end of it is held back: more could come that makes it whole.
            served
                .chunk(&format!("data: {value} {}", &value[..30]))
                .unwrap();
            client.until("****");
            match lane {
                "a caller who goes" => drop(client),
                "an upstream that goes" => {
                    drop(served);
                    client.end();
                }
                _ => {
                    let path = format!("/v1/resolutions/{}", handle.id);
                    self.stage
                        .send(&self.admin, "DELETE", &path, &Value::Null)
                        .expect(200);
                    client.end();
                }
            }
        }
    }

    /// The value of the last credential.
    fn last(&self) -> String {
        self.whose.last().unwrap().0.clone()
    }

    fn proxy(&mut self) {
        let tls = format!("https://localhost:{}/run", self.tls.port());
        let plain = format!("http://127.0.0.1:{}/run", self.plain.port());
        for (lane, slug, words) in [
            ("the proxy, HTTP/1.1", "custom-tls", ["--http1.1", &*tls]),
            ("the proxy, HTTP/2", "custom-tls", ["--http2", &*tls]),
            (
                "the proxy, in absolute form",
                "custom-plain",
                ["--http1.1", &*plain],
            ),
        ] {
            let handle = self.handle(lane, slug, &json!({"lane": "proxy"}));
            let bearer = format!("Authorization: Bearer {}", handle.placeholder);
            let ran = Way::of(&handle).curl(&["-H", &bearer, words[0], words[1]]);
            assert_eq!(ran.status, 200, "{lane}: {ran:?}");
            assert!(ran.text.contains("****"), "{lane}: {ran:?}");
        }
    }

    /// Which lanes' values are found in the broker's memory, and how often.
    fn found(&self) -> BTreeMap<&'static str, usize> {
        let mut found = BTreeMap::new();
        for place in memory::search(self.stage.broker.pid(), &self.stage.canaries) {
            let mut whose = self
                .whose
                .iter()
                .filter(|(value, _)| *value == place.canary);
            let (_, lane) = whose.next().unwrap();
            *found.entry(*lane).or_default() += 1;
        }
        found
    }
}

#[test]
fn lk_5_what_any_lane_has_carried_leaves_the_memory() {
    let mut lanes = Lanes::new();
    lanes.action();
    lanes.by_handle();
    lanes.socket();
    lanes.broken();
    lanes.proxy();
    assert_eq!(lanes.whose.len(), 16);
    if !memory::may_search(lanes.stage.broker.pid()) {
        return;
    }
    let first = lanes.found();
    eprintln!("right after the last of them: {first:#?}");
    assert!(
        first.contains_key("the proxy, HTTP/2"),
        "a searcher holds what it looks for"
    );
    let (broker, canaries) = (&lanes.stage.broker, &lanes.stage.canaries);
    memory::is_rid_of(broker.pid(), canaries, SETTLED);
    lanes.stage.finish();
}
