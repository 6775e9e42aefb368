//! Connected accounts, with marks in all that passes: names of accounts and providers, client secrets,
//! and every code, state, verifier, cookie, ticket and token that comes of them.

use serde_json::{Value, json};

use super::journey::Planted;
use crate::harness::agreeable::agree;
use crate::harness::connect::{TERMINAL, set_client};
use crate::harness::fault_provider::{Answer, FaultProvider};
use crate::harness::jar::Jar;
use crate::harness::oidc::{Peer, PeerClient};
use crate::harness::oidc_client::provider_file;
use crate::harness::tools::{install, tool};
use crate::harness::{Broker, Client, Upstream};
use crate::stage;

/// A key whose client proves itself with it: RFC 7515, A.3.
const KEY: &str = include_str!("../fixtures/jws/rfc7515-a3.jwk.json");

/// Providers whose ids are marks: one that does as it should, the same for clients with a key, and one that does
/// not do as it should.
pub(crate) struct Providers {
    pub(crate) peer: Peer,
    pub(crate) fault: FaultProvider,
    peer_id: String,
    keyed_id: String,
    fault_id: String,
}

impl Providers {
    pub(crate) fn new(planted: &mut Planted) -> Self {
        let fault = FaultProvider::start();
        agree(&fault);
        let mut id = || {
            planted
                .providers
                .name()
                .to_ascii_lowercase()
                .replace('_', "-")
        };
        let (peer_id, keyed_id, fault_id) = (id(), id(), id());
        for id in [&peer_id, &keyed_id, &fault_id] {
            planted.providers.also(id);
        }
        Self {
            peer: Peer::start(),
            fault,
            peer_id,
            keyed_id,
            fault_id,
        }
    }

    /// Their files by id.
    pub(crate) fn files(&self) -> [(&str, String); 3] {
        let peer = self.peer.provider_file("peer", &self.peer_id);
        let keyed = self.peer.provider_file("peer-key", &self.keyed_id);
        let parent = format!("extends = \"{}\"", self.peer_id);
        let keyed = keyed.replace("extends = \"peer\"", &parent);
        let fault = provider_file("fault", &self.fault_id, self.fault.port());
        [
            (&self.peer_id, peer),
            (&self.keyed_id, keyed),
            (&self.fault_id, fault),
        ]
    }
}

/// Connects accounts, uses and refreshes their tokens, and forgets them.
pub(crate) fn connect_it(
    planted: &mut Planted,
    providers: &Providers,
    broker: &Broker,
    upstream: &Upstream,
) {
    let operator = broker.operator();
    let (peer, id) = (&providers.peer, providers.peer_id.clone());
    let backs =
        [&id, &providers.keyed_id].map(|id| format!("{}/v1/oauth/callback/{id}", broker.origin()));
    peer.call_back(&[&backs[0], &backs[1]]);
    // The peer knows its clients by ids of its own; the secret is a mark.
    let client = peer.basic();
    let secret = planted.values.value();
    peer.change_secret(&client.id, &secret);
    let config = json!({"provider": id, "clientId": client.id, "clientSecret": secret});
    planted
        .send(&operator, "POST", "/v1/oauth/configs", &config)
        .expect(200);
    let slug = format!("custom-{}", planted.word());
    install(&operator, &tool(&slug, upstream.port(), &id, &["read"]));
    let member = broker.member("connected");
    // With an access token that ends at once, so that it is refreshed when it is used.
    peer.lifetimes(2, 86_400);
    let login = planted.word();
    let connection = connects(planted, broker, &member, &id, &login);
    std::thread::sleep(std::time::Duration::from_millis(2_200));
    peer.lifetimes(3600, 86_400);
    let second = planted.word();
    let other = connects(planted, broker, &member, &id, &second);
    for account in [&login, &second, &format!("{login}@peer.example")] {
        let body = json!({"action": "run", "account": account});
        let path = format!("/v1/tools/{slug}");
        planted.send(&member, "POST", &format!("{path}/execute"), &body);
        let body = json!({ "account": account });
        planted.send(&member, "POST", &format!("{path}/explain"), &body);
    }
    for path in [
        "/v1/oauth/connections",
        "/v1/oauth/configs",
        "/v1/oauth/providers?all=true&details=true",
        &format!("/v1/oauth/status/{id}"),
        &format!("/v1/oauth/connections?provider={id}"),
    ] {
        let reply = member.get(path);
        planted.keep(path, &reply);
        planted.keep(path, &operator.get(path));
    }
    let path = format!("/v1/oauth/connections/{other}");
    planted.send(&member, "POST", &format!("{path}/default"), &json!({}));
    planted.keep("disconnect", &member.delete(&path));
    with_a_key(planted, providers, broker, &member);
    assert!(
        !peer.granted("refresh_token").is_empty(),
        "it was refreshed"
    );
    assert!(!peer.asked("/token/revocation").is_empty());
    assert!(!connection.is_empty());
    for secret in peer.secrets() {
        planted.values.also(&secret);
    }
}

/// Connects an account by a client that proves itself with a key, and forgets it. What it signs is marked with all
/// else that the peer was told.
fn with_a_key(planted: &mut Planted, providers: &Providers, broker: &Broker, member: &Client) {
    let (peer, id) = (&providers.peer, &providers.keyed_id);
    let client = peer.add_client("client-with-a-key", KEY, "key");
    let jwk: Value = serde_json::from_str(KEY).unwrap();
    planted.values.also(jwk["d"].as_str().unwrap());
    let config = json!({"provider": id, "clientId": client.id, "clientSecret": KEY});
    let operator = broker.operator();
    planted
        .send(&operator, "POST", "/v1/oauth/configs", &config)
        .expect(200);
    let login = planted.word();
    let made = connects(planted, broker, member, id, &login);
    let path = format!("/v1/oauth/connections/{made}");
    planted.keep("disconnect", &member.delete(&path));
    let asked = peer.asked("/token/revocation");
    assert!(asked.iter().any(|asked| asked.auth == "assertion"));
}

/// Connects an account in a browser: the connection's id. Every mark on the way is planted.
fn connects(planted: &mut Planted, broker: &Broker, who: &Client, id: &str, login: &str) -> String {
    planted.names.also(&format!("{login}@peer.example"));
    let path = format!("/v1/oauth/start/{id}?redirect_uri={TERMINAL}&login_hint={login}");
    let started = who.get(&path);
    planted.keep("start", &started);
    let started = started.expect(200)["data"].clone();
    let flow = started["flow"].as_str().unwrap();
    planted.unwritten.also(flow);
    let mut jar = Jar::new();
    let url = started["authUrl"].as_str().unwrap();
    // Step by step at the broker, since marks stand in addresses.
    let page = jar.get(url);
    let sent = jar.submit(&page, &[]);
    let to = sent.location().expect("on to the provider");
    mark(planted, &to, &["state", "nonce", "code_challenge"]);
    let callback = format!("{}/v1/oauth/callback/", broker.origin());
    let back = jar.agree(to.as_str(), login, &callback);
    mark(planted, &url::Url::parse(&back).unwrap(), &["code"]);
    let done = jar.get(&back).location().expect("on to the terminal");
    mark(planted, &done, &["ticket"]);
    for cookie in jar.cookies() {
        if broker.origin().contains(&cookie.host) && cookie.line.contains("HttpOnly") {
            planted.values.also(&cookie.value);
        }
    }
    let members: Vec<_> = done.query_pairs().into_owned().collect();
    let ticket = members.iter().find(|(name, _)| name == "ticket").unwrap();
    let path = format!("/v1/oauth/flows/{flow}");
    planted.keep("flow", &who.get(&path));
    let finish = json!({ "ticket": ticket.1 });
    let ended = planted.send(who, "POST", &format!("{path}/finish"), &finish);
    let ended = ended.expect(200)["data"].clone();
    planted.keep("flow", &who.get(&path));
    assert_eq!(ended["status"], "connected", "{ended}");
    ended["connectionId"].as_str().unwrap().to_owned()
}

/// Begins a flow and leaves its browser at the provider.
pub(crate) fn leave(planted: &mut Planted, providers: &Providers, broker: &Broker) {
    let path = format!("/v1/oauth/start/{}", providers.peer_id);
    let started = broker.operator().get(&path).expect(200)["data"].clone();
    planted.values.also(started["code"].as_str().unwrap());
    let mut jar = Jar::new();
    let page = jar.get(started["authUrl"].as_str().unwrap());
    let code = started["code"].as_str().unwrap();
    let sent = jar.submit(&page, &[("code", code)]);
    let to = sent.location().expect("on to the provider");
    mark(planted, &to, &["state", "nonce"]);
}

fn mark(planted: &mut Planted, url: &url::Url, names: &[&str]) {
    for (name, value) in url.query_pairs() {
        if names.contains(&&*name) {
            planted.values.also(&value);
        }
    }
}

/// A provider that puts what is secret where nobody expects it: into errors, descriptions and pages.
#[expect(clippy::too_many_lines, reason = "a journey, told in its order")]
pub(crate) fn connect_badly(planted: &mut Planted, providers: &Providers, broker: &Broker) {
    let operator = broker.operator();
    let (fault, id) = (&providers.fault, providers.fault_id.clone());
    let client = PeerClient {
        id: planted.word(),
        secret: planted.values.value(),
        auth: "post",
    };
    set_client(&operator, &id, &client).expect(200);
    let member = broker.member("badly connected");
    let (access, refresh) = (planted.values.value(), planted.values.value());
    let echo = json!({
        "error": access, "error_description": refresh, "error_uri": format!("https://x.test/{access}"),
        "access_token": access, "refresh_token": refresh, "message": client.secret,
    });
    let good = json!({
        "access_token": access, "refresh_token": refresh, "token_type": "bearer", "expires_in": 0,
        "scope": "read",
    });
    let page = format!("<html>{access} {refresh}</html>");
    for answer in [
        Answer::json(400, &echo),
        Answer::json(200, &echo),
        Answer::json(401, &json!({"error": {"code": access, "message": refresh}})),
        Answer::json(500, &echo),
        Answer::text(200, "text/html", &page),
        Answer::text(403, &format!("text/{access}"), &page),
        Answer::redirect(302, &format!("https://x.test/{access}")),
        Answer::json(
            200,
            &json!({"access_token": format!("{access}\r\n"), "scope": refresh}),
        ),
        Answer::json(200, &json!({"access_token": access, "token_type": refresh})),
    ] {
        fault.next("/token", answer.clone());
        assert_eq!(fails(planted, &member, &id), "failed");
        // And when a connection is there, whose token has ended.
        fault.next("/token", Answer::json(200, &good));
        assert_eq!(fails(planted, &member, &id), "connected");
        fault.next("/token", answer);
        let body = json!({"action": "run"});
        let slug = planted.word();
        let spec = tool(&format!("custom-{slug}"), 9, &id, &[]);
        install(&operator, &spec);
        let path = format!("/v1/tools/custom-{slug}/execute");
        planted.send(&member, "POST", &path, &body);
        for path in ["/v1/oauth/connections", &format!("/v1/oauth/status/{id}")] {
            let reply = member.get(path);
            planted.keep(path, &reply);
        }
    }
    // A browser that brings a mark where an error belongs: what a provider says is kept to be shown on
    // the page that the browser goes to, and nowhere else.
    let told = planted.unwritten.value();
    let said = told.clone();
    fault.script("/authorize", move |seen| {
        let mut to = url::Url::parse(&seen.query("redirect_uri").unwrap()).unwrap();
        let state = seen.query("state").unwrap();
        to.query_pairs_mut().extend_pairs([
            ("error", &said),
            ("error_description", &said),
            ("state", &state),
        ]);
        Answer::redirect(302, to.as_str())
    });
    assert_eq!(fails(planted, &member, &id), "failed");
    agree(fault);
    let guess = planted.values.value();
    let answer = planted.send(
        &member,
        "POST",
        "/v1/oauth/flows/aaaaaaaaaaaaaaaaaaaaaaaaaa/finish",
        &json!({ "ticket": guess }),
    );
    assert_eq!(answer.status, 404, "{}", stage::text(&answer));
}

/// Goes through a flow at the faulty provider: how it ended.
fn fails(planted: &mut Planted, who: &Client, id: &str) -> String {
    let path = format!("/v1/oauth/start/{id}?redirect_uri={TERMINAL}");
    let started = who.get(&path).expect(200)["data"].clone();
    let back = Jar::new().agree(started["authUrl"].as_str().unwrap(), "ann", TERMINAL);
    let back = url::Url::parse(&back).unwrap();
    mark(planted, &back, &["ticket"]);
    let path = format!("/v1/oauth/flows/{}", started["flow"].as_str().unwrap());
    let mut members = back.query_pairs();
    if let Some((_, ticket)) = members.find(|(name, _)| name == "ticket") {
        let finish = json!({ "ticket": ticket });
        planted.send(who, "POST", &format!("{path}/finish"), &finish);
    }
    let ended = who.get(&path);
    planted.keep(&path, &ended);
    let ended: Value = ended.expect(200)["data"].clone();
    ended["status"].as_str().unwrap().to_owned()
}
