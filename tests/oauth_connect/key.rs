//! A client that proves itself with a key of its own (RFC 7523), at a server that checks it.

use serde_json::{Value, json};

use crate::harness::connect::{
    self, Stage, TERMINAL, back, connections, edited, goes, set_client, text,
};
use crate::harness::oidc::{Peer, PeerClient};
use crate::harness::tools::{install, runs, tool};
use crate::harness::{Broker, Upstream};

/// The keys of RFC 7515, A.3 and A.2: one in PEM, one as a JWK.
const PEM: &str = include_str!("../fixtures/jws/rfc7515-a3.pkcs8.pem");
const EC: &str = include_str!("../fixtures/jws/rfc7515-a3.jwk.json");
const RSA: &str = include_str!("../fixtures/jws/rfc7515-a2.jwk.json");

/// A broker that knows the peer under `peer`, and for clients with a key under `key`.
fn open() -> (Peer, Broker) {
    let peer = Peer::start();
    let files = [
        ("key", peer.provider_file("peer-key", "key")),
        ("peer", peer.provider_file("peer", "peer")),
    ];
    let broker = connect::broker(&files, "");
    peer.call_back(&[&back(&broker, "key"), &back(&broker, "peer")]);
    (peer, broker)
}

/// What the client is set with: the peer knows the public half of `jwk`.
fn client(peer: &Peer, jwk: &str, secret: &str) -> PeerClient {
    PeerClient {
        secret: secret.to_owned(),
        ..peer.add_client("client-with-a-key", jwk, "key")
    }
}

#[test]
fn t1_a_client_with_a_key_connects_refreshes_and_revokes_and_its_key_is_sent_nowhere() {
    let mut named: Value = serde_json::from_str(RSA).unwrap();
    named["kid"] = "the-key-of-acme".into();
    let named = named.to_string();
    for (jwk, secret) in [(EC, PEM), (named.as_str(), named.as_str())] {
        let (peer, broker) = open();
        peer.lifetimes(1, 86_400);
        let (admin, mia) = (broker.operator(), broker.member("Mia"));
        set_client(&admin, "key", &client(&peer, jwk, secret)).expect(200);
        let ended = goes(&mia, "key", "mia", "");
        assert_eq!(ended["status"], "connected", "{ended}");
        // A token that has ended is refreshed for the tool that uses it.
        let upstream = Upstream::echo();
        install(
            &admin,
            &tool("custom-me", upstream.port(), "key", &["read"]),
        );
        std::thread::sleep(std::time::Duration::from_millis(1_100));
        assert_eq!(runs(&mia, "custom-me")["success"], true);
        let id = text(&ended["connectionId"]).to_owned();
        let gone = mia
            .delete(&format!("/v1/oauth/connections/{id}"))
            .expect(200);
        assert_eq!(gone["data"]["upstream"], "revoked", "{gone:?}");
        let calls = [peer.asked("/token"), peer.asked("/token/revocation")].concat();
        assert!(calls.len() >= 3, "{calls:?}");
        let mut numbers = std::collections::BTreeSet::new();
        for call in &calls {
            assert_eq!(
                (&*call.auth, call.processed),
                ("assertion", Some(200)),
                "{call:?}"
            );
            numbers.insert(call.form("client_assertion").unwrap().to_owned());
        }
        assert_eq!(
            numbers.len(),
            calls.len(),
            "each call has a token of its own"
        );
        let private: Value = serde_json::from_str(jwk).unwrap();
        let log = format!("{:?}", peer.log());
        assert!(!log.contains(text(&private["d"])) && !log.contains("PRIVATE"));
    }
}

#[test]
fn a_key_of_somebody_else_is_refused_and_is_an_admin_s_matter() {
    let (peer, broker) = open();
    let (admin, mia) = (broker.operator(), broker.member("Mia"));
    // The server knows another key under this id.
    set_client(&admin, "key", &client(&peer, RSA, PEM)).expect(200);
    let ended = goes(&mia, "key", "mia", "");
    assert_eq!(ended["error"], "client_config", "{ended}");
    assert_eq!(connections(&mia).len(), 0);
}

#[test]
fn what_is_no_key_is_refused_when_it_is_set() {
    let (peer, broker) = open();
    let admin = broker.operator();
    let set = |secret: &str| set_client(&admin, "key", &client(&peer, EC, secret));
    for secret in ["hunter2", "{}", "-----BEGIN EC PRIVATE KEY-----AAAA"] {
        let refused = set(secret);
        let told = String::from_utf8(refused.body.clone()).unwrap();
        assert_eq!(refused.refused(400), "bad_request", "{secret}");
        assert!(
            told.contains("private key") && !told.contains("hunter2"),
            "{told}"
        );
    }
    let public = json!({"provider": "key", "clientId": "client-with-a-key", "public": true});
    let refused = admin.post("/v1/oauth/configs", &public);
    assert_eq!(refused.refused(400), "bad_request");
    set(PEM).expect(200);
    // A provider that takes passwords never sees one.
    set_client(&admin, "peer", &client(&peer, EC, PEM)).expect(200);
    let mia = broker.member("Mia");
    let ended = goes(&mia, "peer", "mia", "");
    assert_eq!(ended["error"], "client_config", "{ended}");
    assert!(peer.asked("/token").is_empty());
}

#[test]
fn a_discovered_server_that_takes_keys_is_met_with_the_key() {
    let peer = Peer::start();
    let file = peer.provider_file("peer-discovery", "peer");
    let broker = connect::broker(&[("peer", edited(file, &[]))], "");
    peer.call_back(&[&back(&broker, "peer")]);
    let stage = Stage {
        admin: broker.operator(),
        broker,
        peer,
    };
    set_client(&stage.admin, "peer", &client(&stage.peer, EC, PEM)).expect(200);
    let mia = stage.broker.member("Mia");
    let ended = goes(&mia, "peer", "mia", "");
    assert_eq!(ended["status"], "connected", "{ended} {TERMINAL}");
    let asked = stage.peer.granted("authorization_code");
    assert_eq!(asked[0].auth, "assertion");
}
