//! The peers of the journeys about connected apps, tried on their own: whoever fails there is the
//! broker.

mod harness;

#[path = "peers_work/browser.rs"]
mod browser;
#[path = "peers_work/faults.rs"]
mod faults;
#[path = "peers_work/files.rs"]
mod files;
#[path = "peers_work/jar.rs"]
mod jar;
#[path = "peers_work/server.rs"]
mod server;

use harness::jar::Jar;
use harness::oidc::{Peer, PeerClient, PeerSetup};
use serde_json::Value;
use url::Url;

const CALLBACK: &str = "http://127.0.0.1:9/callback";
const VERIFIER: &str = "a-verifier-of-forty-three-letters-or-even-more";
const SCOPE: &str = "openid profile email offline_access read";

/// A peer's answer to a login: what stands in the callback's query.
fn query(callback: &str, name: &str) -> Option<String> {
    let url = Url::parse(callback).unwrap();
    let mut pairs = url.query_pairs().into_owned();
    pairs.find(|(key, _)| key == name).map(|(_, value)| value)
}

/// Logs in and agrees in a browser of one's own: the code.
fn code(peer: &Peer, client: &PeerClient, login: &str) -> String {
    let url = peer.authorize_url(client, CALLBACK, SCOPE, "state-1", VERIFIER);
    let callback = Jar::new().agree(&url, login, CALLBACK);
    assert_eq!(query(&callback, "state").as_deref(), Some("state-1"));
    assert_eq!(query(&callback, "iss"), Some(peer.origin()));
    query(&callback, "code").unwrap_or_else(|| panic!("no code: {callback}"))
}

fn redeem(peer: &Peer, client: &PeerClient, code: &str, verifier: &str) -> harness::Reply {
    let params = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", verifier),
    ];
    peer.call(client, "/token", &params).unwrap()
}

/// The tokens that a login gives.
fn tokens(peer: &Peer, client: &PeerClient, login: &str) -> Value {
    redeem(peer, client, &code(peer, client, login), VERIFIER).expect(200)
}

fn refresh(peer: &Peer, client: &PeerClient, token: &str) -> Result<harness::Reply, String> {
    let params = [("grant_type", "refresh_token"), ("refresh_token", token)];
    peer.call(client, "/token", &params)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

#[track_caller]
fn refused(reply: &harness::Reply, status: u16, error: &str) {
    assert_eq!(reply.expect(status)["error"], error);
}
