//! An organisation with a tool, a member who has a secret, and a service.

use runtools_broker::clock::{Clock, SystemClock, Timestamp};
use serde_json::{Value, json};

use crate::harness::program::Ran;
use crate::harness::{Client, Upstream};
use crate::stage::{Stage, tool};

const MEMBERS: &str = "/v1/organizations/current/members";

/// A service and its key.
pub(crate) struct Hub {
    pub(crate) id: String,
    pub(crate) key: String,
}

impl Hub {
    #[track_caller]
    pub(crate) fn new(stage: &Stage, name: &str, org: Option<&str>) -> Self {
        let mut body = json!({"name": name});
        if let Some(org) = org {
            body["organization"] = json!(org);
        }
        let made = stage.operator().post("/v1/operator/services", &body);
        let made = made.expect(201)["data"].clone();
        Self {
            id: made["id"].as_str().unwrap().to_owned(),
            key: made["key"].as_str().unwrap().to_owned(),
        }
    }

    /// With its key and nothing else.
    pub(crate) fn alone(&self, stage: &Stage) -> Client {
        stage.broker.anonymous().key(&self.key)
    }

    /// With a user's key besides.
    pub(crate) fn with_token(&self, stage: &Stage, token: &str) -> Client {
        self.alone(stage).header("x-runtools-subject-token", token)
    }

    /// With a user's name and no key of theirs.
    pub(crate) fn for_user(&self, stage: &Stage, user: &str) -> Client {
        self.alone(stage).header("x-runtools-subject", user)
    }
}

/// A member with a key.
pub(crate) struct Person {
    pub(crate) member: String,
    pub(crate) user: String,
    pub(crate) key: String,
}

impl Person {
    pub(crate) fn path(&self) -> String {
        format!("{MEMBERS}/{}", self.member)
    }
}

/// The tool `custom-x` for an echoing upstream, Bob with his secret `KEY`, and the service `tool-hub`.
pub(crate) struct Set {
    pub(crate) stage: Stage,
    pub(crate) upstream: Upstream,
    pub(crate) admin: Client,
    pub(crate) admin_key: String,
    pub(crate) bob: Person,
    pub(crate) value: String,
    pub(crate) hub: Hub,
}

impl Set {
    pub(crate) fn new() -> Self {
        Self::over(Stage::new(), Upstream::echo())
    }

    pub(crate) fn over(stage: Stage, upstream: Upstream) -> Self {
        let port = upstream.port();
        Self::to(stage, upstream, port)
    }

    /// With a tool for another port than the upstream's.
    pub(crate) fn to(mut stage: Stage, upstream: Upstream, port: u16) -> Self {
        let admin_key = stage.operator().make_key(&[]);
        let admin = stage.broker.anonymous().key(&admin_key);
        stage.install(&admin, &tool("custom-x", port));
        let shown = json!({"visibility": "org"});
        let path = "/v1/tools/custom/custom-x/visibility";
        stage.send(&admin, "PATCH", path, &shown).expect(200);
        let bob = member(&stage, "Bob");
        let client = stage.broker.anonymous().key(&bob.key);
        let value = stage.secret(&client, "KEY", &json!({}));
        let hub = Hub::new(&stage, "tool-hub", None);
        for shown_once in [&hub.key, &bob.key, &admin_key] {
            stage.canaries.also(shown_once);
        }
        Self {
            stage,
            upstream,
            admin,
            admin_key,
            bob,
            value,
            hub,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/run", self.upstream.port())
    }

    pub(crate) fn member(&self, name: &str) -> Person {
        member(&self.stage, name)
    }

    /// A key of Bob's of these scopes.
    pub(crate) fn bob_key(&self, scopes: &[&str]) -> String {
        self.key_of_bob(&json!({"name": "narrow", "scopes": scopes}))
            .0
    }

    /// A key of Bob's that was revoked.
    pub(crate) fn revoked_key(&self) -> String {
        let (key, id) = self.key_of_bob(&json!({"name": "old"}));
        let client = self.stage.broker.anonymous().key(&self.bob.key);
        client.delete(&format!("/v1/api-keys/{id}")).expect(200);
        key
    }

    /// A key of Bob's that is over in a second.
    pub(crate) fn expired_key(&self) -> String {
        self.key_of_bob(&json!({"name": "short", "expiresIn": soon().to_string()}))
            .0
    }

    fn key_of_bob(&self, body: &Value) -> (String, String) {
        let client = self.stage.broker.anonymous().key(&self.bob.key);
        let made = client.post("/v1/api-keys", body).expect(201)["data"].clone();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        (text("key"), text("id"))
    }

    /// Lets the service act for a member without their key.
    #[track_caller]
    pub(crate) fn delegate(&self, user: &str) -> Value {
        let path = format!("/v1/services/{}/delegations", self.hub.id);
        let made = self.admin.post(&path, &json!({"userId": user}));
        made.expect(201)["data"].clone()
    }

    /// Ends that.
    #[track_caller]
    pub(crate) fn undelegate(&self, user: &str) {
        let path = format!("/v1/services/{}/delegations/{user}", self.hub.id);
        self.admin.delete(&path).expect(200);
    }

    /// Runs `runtools` over the broker's socket.
    pub(crate) fn cli(&self, words: &[&str]) -> Ran {
        let folder = self.stage.broker.folder();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_runtools"))
            .args(words)
            .current_dir(folder.path())
            .env_clear()
            .env("HOME", folder.path())
            .env("RUNTOOLS_SOCKET", self.stage.broker.socket())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran {
            exit: output.status.code().unwrap(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    pub(crate) fn finish(self) {
        self.stage.finish();
    }
}

/// In a moment.
pub(crate) fn soon() -> Timestamp {
    SystemClock.now().plus_millis(1_500)
}

fn member(stage: &Stage, name: &str) -> Person {
    let body = json!({"name": name, "createKey": true});
    let made = stage.operator().post(MEMBERS, &body).expect(201)["data"].clone();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    Person {
        member: text("id"),
        user: text("userId"),
        key: text("key"),
    }
}
