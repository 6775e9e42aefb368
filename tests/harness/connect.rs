//! A broker with providers on this machine, and the ways through a connect flow.

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use url::Url;

use super::jar::Jar;
use super::oidc::{Peer, PeerClient};
use super::{Broker, Client, Reply, Setup, Upstream, eventually};

/// A terminal that nobody listens for: where a jar is sent and does not go.
pub const TERMINAL: &str = "http://127.0.0.1:19999/back";

/// A broker with these provider files, by id, which may be on this machine; and `more` lines of
/// `[oauth]`.
pub fn broker(files: &[(&str, String)], more: &str) -> Broker {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let oauth = format!("private = [\"127.0.0.1/32\"]\n{more}");
    let setup = Setup {
        config: write_files(folder.path(), files, &oauth),
        ..Setup::default()
    };
    Broker::over(folder, setup)
}

/// Writes provider files below `folder`: the lines of `broker.toml` that name them, and `oauth`.
pub fn write_files(folder: &Path, files: &[(&str, String)], oauth: &str) -> String {
    let providers = folder.join("providers");
    std::fs::create_dir_all(&providers).unwrap();
    for (id, text) in files {
        std::fs::write(providers.join(format!("{id}.toml")), text).unwrap();
    }
    format!("[oauth]\nproviders_dir = {providers:?}\n{oauth}\n")
}

/// The file of the peer's Basic client under the id `peer`, with these words changed.
pub fn peer_file(peer: &Peer, changes: &[(&str, &str)]) -> (&'static str, String) {
    ("peer", edited(peer.provider_file("peer", "peer"), changes))
}

/// A text with these words changed, each of which is there.
pub fn edited(mut text: String, changes: &[(&str, &str)]) -> String {
    for (from, to) in changes {
        assert!(text.contains(from), "{from} is not in {text}");
        text = text.replace(from, to);
    }
    text
}

/// A broker, a peer, and a provider `peer` between them, for which the organisation has a client.
#[derive(Debug)]
pub struct Stage {
    pub broker: Broker,
    pub peer: Peer,
    /// The first admin, who also is the operator.
    pub admin: Client,
}

impl Stage {
    pub fn open() -> Self {
        Self::with("peer", "")
    }

    /// Made from another template, and with `more` lines of `[oauth]`.
    pub fn with(template: &str, more: &str) -> Self {
        let peer = Peer::start();
        let file = peer.provider_file(template, "peer");
        Self::of(peer, &[("peer", file)], more)
    }

    /// With these files, each for the peer's confidential client.
    pub fn of(peer: Peer, files: &[(&str, String)], more: &str) -> Self {
        let broker = broker(files, more);
        let backs: Vec<_> = files.iter().map(|(id, _)| back(&broker, id)).collect();
        peer.call_back(&backs.iter().map(String::as_str).collect::<Vec<_>>());
        let admin = broker.operator();
        for (id, _) in files {
            set_client(&admin, id, &peer.basic()).expect(200);
        }
        Self {
            broker,
            peer,
            admin,
        }
    }

    /// Where the peer sends browsers back to.
    pub fn back(&self) -> String {
        back(&self.broker, "peer")
    }

    /// Begins a flow whose browser comes back to [`TERMINAL`]; its page is never the provider's.
    #[track_caller]
    pub fn start(&self, client: &Client) -> Flow {
        let flow = start(client, "peer", &format!("redirect_uri={TERMINAL}"));
        let theirs = flow.page.starts_with(&self.peer.origin());
        assert!(!theirs, "{flow:?}");
        flow
    }

    /// Agrees in a browser to a flow and at the peer, as `login`: the peer's answer, not delivered.
    pub fn answer(&self, jar: &mut Jar, flow: &Flow, login: &str) -> String {
        jar.agree(&flow.page, login, &self.back())
    }

    /// The whole way with a browser of its own: how the flow ended.
    pub fn through(&self, client: &Client, flow: &Flow, login: &str) -> Value {
        let mut jar = Jar::new();
        let answer = self.answer(&mut jar, flow, login);
        let ticket = ticket_of(&jar.get(&answer).location().unwrap());
        flow.finish(client, &ticket).expect(200)["data"].clone()
    }

    /// Connects an account: its connection's id.
    pub fn connect(&self, client: &Client, login: &str) -> String {
        let ended = self.through(client, &self.start(client), login);
        assert_eq!(ended["status"], "connected", "{ended}");
        text(&ended["connectionId"]).to_owned()
    }

    /// Nobody asked the peer for tokens.
    #[track_caller]
    pub fn no_call(&self) {
        let asked = self.peer.asked("/token");
        assert!(asked.is_empty(), "{asked:?}");
    }

    /// So many token requests for a code reached the peer.
    #[track_caller]
    pub fn calls(&self, count: usize) {
        let asked = self.peer.granted("authorization_code");
        assert_eq!(asked.len(), count, "{asked:?}");
    }
}

/// A flow that was begun.
#[derive(Clone, Debug)]
pub struct Flow {
    pub id: String,
    /// What is to be opened in a browser.
    pub page: String,
    /// What the page asks for, where it does.
    pub code: Option<String>,
}

impl Flow {
    /// How it stands, for whoever began it.
    #[track_caller]
    pub fn seen(&self, client: &Client) -> Value {
        let path = format!("/v1/oauth/flows/{}", self.id);
        client.get(&path).expect(200)["data"].clone()
    }

    /// Finishes it.
    pub fn finish(&self, client: &Client, ticket: &str) -> Reply {
        let path = format!("/v1/oauth/flows/{}/finish", self.id);
        client.post(&path, &json!({ "ticket": ticket }))
    }
}

/// Where a provider sends browsers back to.
pub fn back(broker: &Broker, provider: &str) -> String {
    format!("{}/v1/oauth/callback/{provider}", broker.origin())
}

/// Sets the organisation's client of a provider.
pub fn set_client(admin: &Client, provider: &str, client: &PeerClient) -> Reply {
    let body = json!({
        "provider": provider, "clientId": client.id, "clientSecret": client.secret,
    });
    admin.post("/v1/oauth/configs", &body)
}

/// Asks to begin a flow; the query is written as it is sent.
pub fn begin(client: &Client, provider: &str, query: &str) -> Reply {
    client.get(&format!("/v1/oauth/start/{provider}?{query}"))
}

/// Begins a flow.
#[track_caller]
pub fn start(client: &Client, provider: &str, query: &str) -> Flow {
    let begun = begin(client, provider, query).expect(200)["data"].clone();
    assert_eq!(begun["provider"], provider);
    Flow {
        id: text(&begun["flow"]).to_owned(),
        page: text(&begun["authUrl"]).to_owned(),
        code: begun["code"].as_str().map(str::to_owned),
    }
}

/// Goes through a whole flow as `login`, with a browser of its own and `more` in the query: how it ended.
#[track_caller]
pub fn goes(client: &Client, provider: &str, login: &str, more: &str) -> Value {
    let flow = start(client, provider, &format!("redirect_uri={TERMINAL}{more}"));
    let back = Jar::new().agree(&flow.page, login, TERMINAL);
    match member(&back, "ticket") {
        Some(ticket) => flow.finish(client, &ticket).expect(200)["data"].clone(),
        None => flow.seen(client),
    }
}

/// Goes the way that a refusal names in its `connectUrl`, as `login`: how it ended.
#[track_caller]
pub fn goes_by(client: &Client, path: &str, login: &str) -> Value {
    let named = path.strip_prefix("/v1/oauth/start/").unwrap();
    let (provider, query) = named.split_once('?').unwrap_or((named, ""));
    goes(client, provider, login, &format!("&{query}"))
}

/// Connects an account: the connection.
#[track_caller]
pub fn connects(client: &Client, provider: &str, login: &str) -> Value {
    let ended = goes(client, provider, login, "");
    assert_eq!(ended["status"], "connected", "{ended}");
    connection(client, text(&ended["connectionId"]))
}

/// Connects an account at the peer under the provider id `peer`, setting the client first.
#[track_caller]
pub fn connect_peer(broker: &Broker, client: &Client, peer: &Peer, login: &str) -> Value {
    peer.call_back(&[&back(broker, "peer")]);
    set_client(&broker.operator(), "peer", &peer.basic()).expect(200);
    connects(client, "peer", login)
}

/// A connection as its owner's list shows it; null when it is not there.
#[track_caller]
pub fn connection(client: &Client, id: &str) -> Value {
    let mut all = connections(client).into_iter();
    all.find(|connection| connection["id"] == id)
        .unwrap_or_default()
}

/// The connections that a caller sees.
#[track_caller]
pub fn connections(client: &Client) -> Vec<Value> {
    let list = client.get("/v1/oauth/connections").expect(200);
    list["data"].as_array().unwrap().clone()
}

/// A member of a query.
pub fn member(url: &str, name: &str) -> Option<String> {
    let url = Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
    let mut pairs = url.query_pairs().into_owned();
    pairs.find(|(key, _)| key == name).map(|(_, value)| value)
}

/// The same address with a member of its query changed or, without a value, left out.
pub fn changed(url: &str, name: &str, value: Option<&str>) -> String {
    let mut url = Url::parse(url).unwrap();
    let pairs = url.query_pairs().into_owned();
    let mut pairs: Vec<_> = pairs.filter(|(key, _)| key != name).collect();
    pairs.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    url.query_pairs_mut().clear().extend_pairs(pairs);
    url.into()
}

/// What the browser brings to the terminal.
#[track_caller]
pub fn ticket_of(url: &Url) -> String {
    member(url.as_str(), "ticket").unwrap_or_else(|| panic!("no ticket: {url}"))
}

#[track_caller]
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// What `runtools oauth connect` listens with: it takes what the browser brings, and sends it on to
/// the page that says how it ended.
pub struct Terminal(Upstream);

impl Terminal {
    pub fn listen(broker: &Broker) -> Self {
        let origin = broker.origin().to_owned();
        Self(Upstream::plain(move |seen| {
            let brought = members(&seen.target);
            let flow = brought.get("flow").cloned().unwrap_or_default();
            Response::builder()
                .status(303)
                .header("location", format!("{origin}/connect/{flow}/result"))
                .body(Bytes::new())
                .unwrap()
        }))
    }

    /// Its address, for `redirect_uri`.
    pub fn uri(&self) -> String {
        format!("http://127.0.0.1:{}/back", self.0.port())
    }

    /// Waits for a browser: the members that it brought, which are of this path and no other.
    pub fn wait(&self) -> BTreeMap<String, String> {
        let seen = eventually(|| {
            let seen = self.0.seen().into_iter();
            seen.rev().find(|seen| seen.target.starts_with("/back?"))
        });
        assert_eq!(seen.method, "GET");
        members(&seen.target)
    }
}

fn members(target: &str) -> BTreeMap<String, String> {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.into_owned().collect()
}

/// What stands before a broker, so that browsers reach it by another name: `http://localhost` and a port
/// that is known before the broker starts.
#[derive(Debug)]
pub struct Front {
    port: u16,
    broker: Arc<OnceLock<String>>,
}

impl Front {
    pub fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let broker: Arc<OnceLock<String>> = Arc::default();
        let to = Arc::clone(&broker);
        std::thread::spawn(move || {
            for browser in listener.incoming().flatten() {
                let Some(broker) = to.get().and_then(|to| TcpStream::connect(to).ok()) else {
                    continue;
                };
                carry(&browser, &broker);
                carry(&broker, &browser);
            }
        });
        Self { port, broker }
    }

    /// For `oauth.public_url`.
    pub fn origin(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    pub fn lead_to(&self, broker: &Broker) {
        let to = broker.origin().strip_prefix("http://").unwrap();
        self.broker.set(to.to_owned()).unwrap();
    }
}

/// Carries bytes one way until they end.
fn carry(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    std::thread::spawn(move || {
        drop(std::io::copy(&mut from, &mut to));
        drop(to.shutdown(Shutdown::Write));
    });
}
