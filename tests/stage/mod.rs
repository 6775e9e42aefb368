//! A broker under attack, and the oracle over everything that it lets out.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each journey uses a part of the stage"
)]

pub mod certificates;
pub mod encoded;
pub mod memory;
pub mod raw;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use crate::harness::{Broker, Canaries, Client, Reply, Setup};
use serde_json::{Value, json};

pub use raw::Raw;

/// A broker, the planted values, and every byte that callers were given.
pub struct Stage {
    pub broker: Broker,
    pub canaries: Canaries,
    kept: RefCell<Vec<(String, Vec<u8>)>>,
}

impl Stage {
    pub fn new() -> Self {
        Self::with(Setup::default())
    }

    /// A broker with these settings.
    pub fn within(settings: &str) -> Self {
        Self::with(Setup {
            config: settings.to_owned(),
            ..Setup::default()
        })
    }

    pub fn with(setup: Setup) -> Self {
        let broker = Broker::with(setup);
        let (canaries, kept) = (Canaries::new(), RefCell::default());
        Self {
            broker,
            canaries,
            kept,
        }
    }

    /// A broker that trusts `root` besides the public authorities.
    pub fn trusting(root: &str) -> Self {
        Self::trusting_within(root, "")
    }

    /// The same with more lines of settings, each with its whole key.
    pub fn trusting_within(root: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("root.pem");
        std::fs::write(&file, root).unwrap();
        let file = file.display().to_string();
        let config = format!("egress.extra_roots = [{file:?}]\n{more}");
        Self::with(Setup {
            config,
            ..Setup::default()
        })
    }

    pub fn operator(&self) -> Client {
        self.broker.operator()
    }

    /// The ports where the broker itself listens: for its API, and for the proxy.
    #[track_caller]
    pub fn own_ports(&self) -> [u16; 2] {
        let lanes = self.operator().get("/v1/status").expect(200)["lanes"].clone();
        let proxy = lanes["proxy"]["address"].as_str().unwrap().to_owned();
        let port = |place: &str| place.rsplit(':').next().unwrap().parse().unwrap();
        [port(self.broker.origin()), port(&proxy)]
    }

    /// Sends a request and keeps the answer for the oracle.
    pub fn send(&self, client: &Client, method: &str, path: &str, body: &Value) -> Reply {
        let reply = client.json(method, path, body);
        self.keep(&format!("{method} {path}"), &reply);
        reply
    }

    pub fn keep(&self, what: &str, reply: &Reply) {
        let mut bytes = reply.body.clone();
        for (name, value) in &reply.headers {
            bytes.extend_from_slice(format!("\n{name}: ").as_bytes());
            bytes.extend_from_slice(value.as_bytes());
        }
        self.kept.borrow_mut().push((what.to_owned(), bytes));
    }

    /// Keeps bytes that a caller was given otherwise.
    pub fn keep_bytes(&self, what: &str, bytes: &[u8]) {
        let kept = (what.to_owned(), bytes.to_vec());
        self.kept.borrow_mut().push(kept);
    }

    /// Plants a new value as a secret. `more` goes into the request.
    #[track_caller]
    pub fn secret(&mut self, client: &Client, name: &str, more: &Value) -> String {
        let value = self.canaries.value();
        self.secret_of(client, name, &value, more);
        value
    }

    #[track_caller]
    pub fn secret_of(&self, client: &Client, name: &str, value: &str, more: &Value) {
        let mut body = json!({"name": name, "value": value});
        merge(&mut body, more);
        let reply = self.send(client, "POST", "/v1/secrets", &body);
        assert_eq!(reply.status / 100, 2, "{}", text(&reply));
    }

    /// Writes and installs a custom tool.
    #[track_caller]
    pub fn install(&self, client: &Client, spec: &Value) {
        self.send(client, "POST", "/v1/tools/custom", spec)
            .expect(201);
        let slug = spec["slug"].as_str().unwrap();
        let path = format!("/v1/tools/{slug}/install");
        self.send(client, "POST", &path, &json!({})).expect(200);
    }

    /// Runs the action `run`, with `more` in the request.
    pub fn run(&self, client: &Client, slug: &str, more: &Value) -> Reply {
        let mut body = json!({"action": "run"});
        merge(&mut body, more);
        self.send(client, "POST", &format!("/v1/tools/{slug}/execute"), &body)
    }

    /// The last entry of an action, once its outcome is in the journal too.
    #[track_caller]
    pub fn ended(&self, action: &str) -> Value {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let entry = self.journal(action).swap_remove(0);
            if !entry["outcome"].is_null() {
                return entry;
            }
            assert!(Instant::now() < end, "no outcome: {entry}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The entries of an action, the latest first.
    #[track_caller]
    pub fn journal(&self, action: &str) -> Vec<Value> {
        let path = format!("/v1/audit?action={action}");
        let reply = self.operator().get(&path);
        self.keep(&path, &reply);
        reply.expect(200)["data"].as_array().unwrap().clone()
    }

    /// Reads `path`, also where a journey has spent the rate of its only admin.
    fn patiently(&self, path: &str) -> Reply {
        loop {
            let reply = self.operator().get(path);
            if reply.status != 429 {
                return reply;
            }
            let wait = reply.headers["retry-after"].to_str().unwrap();
            std::thread::sleep(Duration::from_secs(wait.parse().unwrap()));
        }
    }

    /// The oracle: nothing that came out, and nothing on disk, holds a planted value.
    #[track_caller]
    pub fn finish(mut self) {
        for path in ["/v1/audit/export", "/metrics"] {
            let reply = self.patiently(path);
            assert_eq!(reply.status, 200, "{path}");
            assert!(!reply.body.is_empty());
            self.keep(path, &reply);
        }
        self.broker.kill();
        std::thread::sleep(Duration::from_millis(50));
        for (what, bytes) in self.kept.borrow().iter() {
            self.canaries.absent_from(what, bytes);
        }
        let log = self.broker.log_bytes();
        assert!(!log.is_empty());
        self.canaries.absent_from("the log", &log);
        for (path, bytes) in self.broker.files() {
            self.canaries
                .absent_from(&path.display().to_string(), &bytes);
        }
    }
}

/// A cleartext tool for one local upstream: field `apiKey` as a bearer token, action `run` = `GET /run`.
pub fn tool(slug: &str, port: u16) -> Value {
    json!({
        "slug": slug, "name": "Under attack",
        "credentialsJson": {"required": ["apiKey"], "schema": {"apiKey": {"type": "string", "description": "key"}}},
        "bindings": [{
            "scheme": "http", "hosts": ["127.0.0.1"], "port": port, "private": ["127.0.0.1/32"],
            "methods": ["GET", "POST"], "paths": ["/**"],
            "slots": {"apiKey": [{"header": "authorization", "format": "Bearer {apiKey}"}]}
        }],
        "actionsJson": {"run": {
            "description": "run",
            "http": {"method": "GET", "url": format!("http://127.0.0.1:{port}/run")}
        }}
    })
}

/// The same over TLS to `localhost`.
pub fn tls_tool(slug: &str, port: u16) -> Value {
    let mut spec = tool(slug, port);
    spec["bindings"][0]["scheme"] = json!("https");
    spec["bindings"][0]["hosts"] = json!(["localhost"]);
    spec["bindings"][0]["private"] = json!(["127.0.0.1/32", "::1/128"]);
    spec["actionsJson"]["run"]["http"]["url"] = json!(format!("https://localhost:{port}/run"));
    spec
}

/// Puts the members of `more` into `body`.
pub fn merge(body: &mut Value, more: &Value) {
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
}

/// What names the secret for the field `apiKey`.
pub fn with(name: &str) -> Value {
    json!({"credentialOverrides": {"apiKey": name}})
}

pub fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(&reply.body).into_owned()
}

/// The execution inside an answer.
#[track_caller]
pub fn execution(reply: &Reply) -> Value {
    reply.expect(200)["data"].clone()
}
