//! A tool for an origin that the test drives, its credential, and a handle for it.

use serde_json::{Value, json};

use super::origin::Origin;
use super::wire::Wire;
use super::{Handle, egress, resolve};
use crate::harness::Client;
use crate::stage::{Stage, tool};

/// What the tool may send.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// A broker with the tool `custom-x`, an admin whose secret `KEY` fills it, and a handle of theirs.
pub struct Set {
    pub stage: Stage,
    pub origin: Origin,
    pub admin: Client,
    pub key: String,
    pub value: String,
    pub handle: Handle,
}

impl Set {
    pub fn new() -> Self {
        Self::on(Stage::new())
    }

    pub fn on(stage: Stage) -> Self {
        Self::made(stage, |_| ())
    }

    /// A tool whose one credential goes into `slot`.
    pub fn with(slot: &Value) -> Self {
        Self::made(Stage::new(), |spec| {
            spec["bindings"][0]["slots"]["apiKey"] = json!([slot]);
        })
    }

    /// With a tool that is changed before it is installed.
    pub fn made(mut stage: Stage, change: impl FnOnce(&mut Value)) -> Self {
        let origin = Origin::start();
        let key = stage.operator().make_key(&[]);
        let admin = stage.broker.anonymous().key(&key);
        let value = stage.secret(&admin, "KEY", &json!({}));
        let mut spec = tool("custom-x", origin.port());
        spec["bindings"][0]["methods"] = json!(METHODS);
        change(&mut spec);
        stage.install(&admin, &spec);
        let handle = resolve(&stage, &admin, "custom-x", &json!({}));
        Self {
            stage,
            origin,
            admin,
            key,
            value,
            handle,
        }
    }

    /// Sends the head of a request by right of the handle, to `path` of the origin.
    pub fn request(&self, method: &str, path: &str, more: &[String]) -> Wire {
        let url = format!("http://127.0.0.1:{}{path}", self.origin.port());
        let mut lines = vec![format!("X-RunTools-Handle: {}", self.handle.text)];
        lines.extend_from_slice(more);
        let first = format!("{method} {}", egress(&url));
        Wire::open(&self.stage.broker, &self.key, &first, &lines)
    }
}
