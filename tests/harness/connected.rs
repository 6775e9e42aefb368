//! Connected accounts: a broker that knows providers on this machine, and a person who connects one.

use std::sync::Arc;

use serde_json::{Value, json};

use super::fault_provider::{Answer, FaultProvider};
use super::jar::Jar;
use super::oidc::{Peer, PeerClient, provider_file};
use super::{Broker, Canaries, Client, Reply, Setup};

/// Where a terminal would wait for its browser. Nothing listens there: the jar does not go.
const TERMINAL: &str = "http://127.0.0.1:49999/done";

/// A broker that knows the providers of these files besides the shipped ones; they may be on this
/// machine.
pub fn broker(files: &[(&str, String)]) -> Broker {
    broker_with(files, "private = [\"127.0.0.1/32\"]")
}

/// The same with these lines in its `[oauth]`.
pub fn broker_with(files: &[(&str, String)], oauth: &str) -> Broker {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let setup = Setup {
        config: write_files(folder.path(), files, oauth),
        ..Setup::default()
    };
    Broker::over(folder, setup)
}

/// Writes provider files below `folder`: the lines of `broker.toml` that name them.
pub fn write_files(folder: &std::path::Path, files: &[(&str, String)], oauth: &str) -> String {
    let providers = folder.join("providers");
    std::fs::create_dir_all(&providers).unwrap();
    for (id, text) in files {
        std::fs::write(providers.join(format!("{id}.toml")), text).unwrap();
    }
    format!("[oauth]\nproviders_dir = {providers:?}\n{oauth}\n")
}

/// The file of the peer's Basic client under the id `peer`, with these words changed.
pub fn peer_file(peer: &Peer, changes: &[(&str, &str)]) -> (&'static str, String) {
    ("peer", changed(peer.provider_file("peer", "peer"), changes))
}

/// The file of a provider that answers anything, under the id `fault`, with these words changed.
pub fn fault_file(fault: &FaultProvider, changes: &[(&str, &str)]) -> (&'static str, String) {
    let text = provider_file("fault", "fault", fault.port());
    ("fault", changed(text, changes))
}

fn changed(mut text: String, changes: &[(&str, &str)]) -> String {
    for (from, to) in changes {
        assert!(text.contains(from), "{from} is not in {text}");
        text = text.replace(from, to);
    }
    text
}

/// Sets the organisation's own client of a provider.
#[track_caller]
pub fn set_client(admin: &Client, provider: &str, client: &PeerClient) {
    let config = json!({
        "provider": provider, "clientId": client.id, "clientSecret": client.secret,
    });
    admin.post("/v1/oauth/configs", &config).expect(200);
}

/// Somebody who connects an account.
pub struct Person<'a> {
    pub broker: &'a Broker,
    pub client: &'a Client,
    pub provider: &'a str,
}

impl Person<'_> {
    /// Begins a flow, with `more` in the query: its answer.
    pub fn start(&self, more: &str) -> Reply {
        let provider = self.provider;
        let path = format!("/v1/oauth/start/{provider}?redirect_uri={TERMINAL}{more}");
        self.client.get(&path)
    }

    /// Goes through a whole flow as `login`: how it ended.
    #[track_caller]
    pub fn goes(&self, login: &str, more: &str) -> Value {
        let started = self.start(more).expect(200)["data"].clone();
        let url = started["authUrl"].as_str().unwrap();
        let back = Jar::new().agree(url, login, TERMINAL);
        let back = url::Url::parse(&back).unwrap();
        let mut members = back.query_pairs();
        let path = format!("/v1/oauth/flows/{}", started["flow"].as_str().unwrap());
        let Some((_, ticket)) = members.find(|(name, _)| name == "ticket") else {
            return self.client.get(&path).expect(200)["data"].clone();
        };
        let finish = json!({ "ticket": ticket });
        let ended = self.client.post(&format!("{path}/finish"), &finish);
        ended.expect(200)["data"].clone()
    }

    /// Connects an account: the connection.
    #[track_caller]
    pub fn connects(&self, login: &str) -> Value {
        let ended = self.goes(login, "");
        assert_eq!(ended["status"], "connected", "{ended}");
        connection(self.client, ended["connectionId"].as_str().unwrap())
    }
}

/// Connects an account at the peer under the provider id `peer`, setting the client first.
#[track_caller]
pub fn connect(broker: &Broker, client: &Client, peer: &Peer, login: &str) -> Value {
    peer.call_back(&[&format!("{}/v1/oauth/callback/peer", broker.origin())]);
    set_client(&broker.operator(), "peer", &peer.basic());
    let person = Person {
        broker,
        client,
        provider: "peer",
    };
    person.connects(login)
}

/// Connects an account at a provider that answers anything, under the id `fault`; what it answers is
/// set before.
#[track_caller]
pub fn connect_fault(broker: &Broker, client: &Client) -> Value {
    set_client(&broker.operator(), "fault", &fault_client());
    let person = Person {
        broker,
        client,
        provider: "fault",
    };
    person.connects("ann")
}

/// The client that such a provider takes, as any other.
pub fn fault_client() -> PeerClient {
    PeerClient {
        id: "fault-client".into(),
        secret: Canaries::new().value(),
        auth: "post",
    }
}

/// A provider that agrees to everything: the account `42`, and tokens `access-1`, `refresh-1`, and so
/// on, each time others.
pub fn agreeable() -> FaultProvider {
    let fault = FaultProvider::start();
    agree(&fault);
    let count = std::sync::atomic::AtomicU32::new(1);
    fault.script("/token", move |_| {
        let count = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Answer::tokens(&access(count), &format!("refresh-{count}-of-the-account"))
    });
    fault
}

/// The access token that [`agreeable`] gives the `count`th time.
pub fn access(count: u32) -> String {
    format!("access-{count}-of-the-account")
}

/// Lets a provider send browsers back with a code, and tell whose account it is.
pub fn agree(fault: &FaultProvider) {
    fault.script("/authorize", |seen| {
        let mut to = url::Url::parse(&seen.query("redirect_uri").unwrap()).unwrap();
        let state = seen.query("state").unwrap();
        let code = Canaries::new().value();
        to.query_pairs_mut()
            .extend_pairs([("code", code), ("state", state)]);
        Answer::redirect(302, to.as_str())
    });
    let me = json!({ "id": "42", "name": "ann", "email": "ann@fault.example" });
    fault.always("/me", Answer::json(200, &me));
}

/// A connection as its owner's list shows it; null when it is not there.
#[track_caller]
pub fn connection(client: &Client, id: &str) -> Value {
    let all = client.get("/v1/oauth/connections").expect(200);
    let mut all = all["data"].as_array().unwrap().iter();
    let found = all.find(|connection| connection["id"] == id);
    found.cloned().unwrap_or_default()
}

/// A tool for a local upstream that takes its field `token` from a connected account: action `run` =
/// `GET /run`, as a bearer token.
pub fn tool(slug: &str, port: u16, provider: &str, scopes: &[&str]) -> Value {
    json!({
        "slug": slug, "name": "Connected",
        "credentialsJson": {
            "required": ["token"], "schema": {"token": {"type": "string", "description": "token"}},
            "oauth": {"provider": provider, "scopes": scopes, "credentialMapping": {"token": "access_token"}}
        },
        "bindings": [{
            "scheme": "http", "hosts": ["127.0.0.1"], "port": port, "private": ["127.0.0.1/32"],
            "methods": ["GET"], "paths": ["/**"],
            "slots": {"token": [{"header": "authorization", "format": "Bearer {token}"}]}
        }],
        "actionsJson": {"run": {
            "description": "run",
            "http": {"method": "GET", "url": format!("http://127.0.0.1:{port}/run")}
        }}
    })
}

/// Writes, publishes and installs such a tool for the whole organisation.
#[track_caller]
pub fn install(operator: &Client, spec: &Value) {
    operator.post("/v1/tools/custom", spec).expect(201);
    let slug = spec["slug"].as_str().unwrap();
    let shared = json!({ "visibility": "org" });
    let path = format!("/v1/tools/custom/{slug}/visibility");
    operator.json("PATCH", &path, &shared).expect(200);
    let path = format!("/v1/tools/{slug}/install");
    operator.send("POST", &path, None).expect(200);
}

/// Runs a tool's `run`, with `account` when one is named.
pub fn run(client: &Client, slug: &str, account: Option<&str>) -> Reply {
    let mut body = json!({ "action": "run" });
    if let Some(account) = account {
        body["account"] = account.into();
    }
    client.post(&format!("/v1/tools/{slug}/execute"), &body)
}

/// The same, which must reach the upstream: its execution.
#[track_caller]
pub fn runs(client: &Client, slug: &str) -> Value {
    run(client, slug, None).expect(200)["data"].clone()
}
