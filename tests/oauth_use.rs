//! Tools with the token of a connected account: real accounts, a real authorization server, a real
//! upstream that says whom it was asked for.

mod harness;

mod oauth_use {
    mod lists;
    mod refusals;
    mod shipped;
    mod tokens;
    mod words;
}

use harness::connect::{self, connect_peer, goes, peer_file, set_client};
use harness::oidc::Peer;
use harness::tools::{install, run, runs, tool};
use harness::{Broker, Upstream, eventually};
use serde_json::{Value, json};

const SCOPES: &[&str] = &["openid", "read"];

/// A broker, a peer of it, an upstream that echoes, and a tool for that with the peer's token.
fn stage() -> (Peer, Broker, Upstream) {
    let (peer, upstream) = (Peer::start(), Upstream::echo());
    let broker = connect::broker(&[peer_file(&peer, &[])], "");
    let spec = tool("custom-me", upstream.port(), "peer", SCOPES);
    install(&broker.operator(), &spec);
    (peer, broker, upstream)
}

/// How explain says the one field is filled: the source, and what came of looking at connections.
fn explained(client: &harness::Client, slug: &str, body: &Value) -> (String, String) {
    let told = client.post(&format!("/v1/tools/{slug}/explain"), body);
    let field = told.expect(200)["data"]["fields"][0].clone();
    let looked = field["lookedFor"].as_array().unwrap().iter();
    let mut looked = looked.filter(|place| place["source"] == "connection");
    let outcome = looked.next().map(|place| place["outcome"].clone());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (
        text(&field["source"]),
        text(&outcome.unwrap_or(Value::Null)),
    )
}

#[test]
fn a_tool_runs_with_the_connected_accounts_token_and_its_caller_never_sees_it() {
    let (peer, broker, upstream) = stage();
    let ann = broker.member("Ann");
    let nothing = json!({});
    assert_eq!(
        explained(&ann, "custom-me", &nothing),
        ("missing".into(), "no_connection".into())
    );
    let connection = connect_peer(&broker, &ann, &peer, "ann");
    assert_eq!(connection["account"], "ann");
    assert_eq!(connection["isDefault"], true);
    assert_eq!(
        explained(&ann, "custom-me", &nothing),
        ("connection".into(), "found".into())
    );
    assert!(
        upstream.seen().is_empty(),
        "explaining and connecting use nothing"
    );

    let done = runs(&ann, "custom-me");
    assert_eq!(done["success"], true, "{done}");
    let header = upstream.last().header("authorization");
    let token = header.strip_prefix("Bearer ").expect("a bearer token");
    assert_eq!(peer.userinfo(token).expect(200)["sub"], "ann");
    let echoed = done["result"]["headers"]["authorization"].as_str().unwrap();
    assert!(
        echoed.starts_with("Bearer ") && echoed.len() == header.len(),
        "masked at the same length: {echoed}"
    );
    assert!(!done.to_string().contains(token), "the echo is masked");

    // Nobody else has it: it is Ann's own.
    let bob = broker.member("Bob");
    let refused = run(&bob, "custom-me", None);
    assert_eq!(refused.refused(409), "needs_connect");
    let stolen = run(&bob, "custom-me", connection["id"].as_str());
    assert_eq!(stolen.refused(404), "not_available");
    assert_eq!(upstream.seen().len(), 1);

    // The journal says that it was lent, of which connection, to which host.
    let log = broker.operator().get("/v1/audit?action=tool.execute");
    let log = log.expect(200)["data"].clone();
    let id = connection["id"].as_str().unwrap();
    let mut all = log.as_array().unwrap().iter();
    let entry = all.find(|entry| entry.to_string().contains(id));
    let entry = entry.unwrap_or_else(|| panic!("no entry names the connection: {log}"));
    assert_eq!(entry["host"], "127.0.0.1", "{entry}");
    assert!(entry.to_string().contains("connection"), "{entry}");
}

#[test]
fn hs_8_the_account_that_is_named_is_used_and_nothing_is_picked_among_several() {
    let (peer, broker, upstream) = stage();
    let ann = broker.member("Ann");
    let first = connect_peer(&broker, &ann, &peer, "ann");
    let second = connect_peer(&broker, &ann, &peer, "work");
    let third = connect_peer(&broker, &ann, &peer, "spare");
    assert_ne!(first["id"], second["id"]);
    let used = |account: Option<&str>| {
        let done = run(&ann, "custom-me", account).expect(200);
        assert_eq!(done["data"]["success"], true, "{done}");
        let header = upstream.last().header("authorization");
        let token = header.strip_prefix("Bearer ").unwrap().to_owned();
        let sub = peer.userinfo(&token).expect(200)["sub"].clone();
        sub.as_str().unwrap().to_owned()
    };
    assert_eq!(used(None), "ann", "the first is the default");
    for name in [
        second["id"].as_str().unwrap(),
        "work",
        "WORK",
        "work@peer.example",
    ] {
        assert_eq!(used(Some(name)), "work", "{name}");
    }
    let before = upstream.seen().len();
    let refused = run(&ann, "custom-me", Some("nobody"));
    assert_eq!(refused.refused(404), "not_available");

    // Another default; then none, when the default goes and two are left.
    let path = format!("/v1/oauth/connections/{}", third["id"].as_str().unwrap());
    ann.send("POST", &format!("{path}/default"), None)
        .expect(200);
    assert_eq!(used(None), "spare");
    let gone = ann.delete(&path).expect(200);
    assert_eq!(gone["data"]["upstream"], "revoked", "{gone}");
    let refused = run(&ann, "custom-me", None);
    assert_eq!(refused.refused(409), "ambiguous_account");
    assert_eq!(
        explained(&ann, "custom-me", &json!({})),
        ("missing".into(), "ambiguous_account".into())
    );
    // Nor is a handle made for a guess (reference: HS-8).
    let resolved = |body: &Value| ann.post("/v1/resolve", body);
    let refused = resolved(&json!({"tool": "custom-me"}));
    assert_eq!(refused.refused(409), "ambiguous_account");
    let named = resolved(&json!({"tool": "custom-me", "account": "work"})).expect(201);
    assert_eq!(named["data"]["fields"][0]["source"], "connection");
    assert_eq!(
        explained(&ann, "custom-me", &json!({"account": "work"})),
        ("connection".into(), "found".into())
    );
    assert_eq!(used(Some("ann")), "ann");
    assert_eq!(upstream.seen().len(), before + 2);
    // What is forgotten is not found by its id either.
    let gone = run(&ann, "custom-me", third["id"].as_str());
    assert_eq!(gone.refused(404), "not_available");
}

#[test]
fn what_is_nearer_than_a_connection_wins() {
    let (peer, broker, upstream) = stage();
    let ann = broker.member("Ann");
    connect_peer(&broker, &ann, &peer, "ann");
    let secret = json!({"name": "CUSTOM_ME_TOKEN", "value": "a-secret-of-her-own"});
    ann.post("/v1/secrets", &secret).expect(201);
    assert_eq!(explained(&ann, "custom-me", &json!({})).0, "user_secret");
    runs(&ann, "custom-me");
    assert_eq!(
        upstream.last().header("authorization"),
        "Bearer a-secret-of-her-own"
    );
    ann.delete("/v1/secrets/CUSTOM_ME_TOKEN").expect(200);
    assert_eq!(explained(&ann, "custom-me", &json!({})).0, "connection");
}

#[test]
fn b13_the_same_account_again_renews_its_connection_and_another_makes_another() {
    let (peer, broker, _upstream) = stage();
    let ann = broker.member("Ann");
    let first = connect_peer(&broker, &ann, &peer, "ann");
    let again = connect_peer(&broker, &ann, &peer, "ann");
    assert_eq!(first["id"], again["id"]);
    // A reconnect that comes back with another account changes nothing, and what was granted is
    // revoked.
    let before = peer.asked("/token/revocation").len();
    let reconnect = format!("&reconnect={}", first["id"].as_str().unwrap());
    let ended = goes(&ann, "peer", "mallory", &reconnect);
    assert_eq!(ended["status"], "failed", "{ended}");
    assert_eq!(ended["error"], "account_mismatch", "{ended}");
    eventually(|| (peer.asked("/token/revocation").len() > before).then_some(()));
    let all = ann.get("/v1/oauth/connections").expect(200);
    assert_eq!(all["data"].as_array().unwrap().len(), 1, "{all}");
    assert_eq!(all["data"][0]["account"], "ann");
    // And somebody else's client of the same provider is somebody else's matter.
    set_client(&broker.operator(), "peer", &peer.post()).expect(200);
    assert_eq!(runs(&ann, "custom-me")["success"], true);
}
