//! Why a run is refused for its account's sake: each reason with its code, its status, and what to do.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::connect::{self, connect_peer, goes_by, peer_file};
use crate::harness::oidc::{Fault, Peer, Then};
use crate::harness::tools::{install, run, runs, tool};
use crate::harness::{Broker, Client, Reply, Upstream};
use crate::{SCOPES, explained};

/// A refusal: its code and its hint.
#[track_caller]
fn refused(reply: &Reply, status: u16) -> (String, String) {
    let code = reply.refused(status);
    let hint = reply.value()["error"]["hint"].as_str().unwrap().to_owned();
    (code, hint)
}

/// Where an account is connected for the tool, as the refusal of a run says.
#[track_caller]
fn connect_url(client: &Client, slug: &str) -> String {
    let refused = run(client, slug, None).expect(409);
    refused["error"]["connectUrl"].as_str().unwrap().to_owned()
}

/// A connection whose access token has ended when this returns.
#[track_caller]
pub(super) fn ended(broker: &Broker, client: &Client, peer: &Peer) -> Value {
    peer.lifetimes(2, 86_400);
    let connection = connect_peer(broker, client, peer, "ann");
    peer.lifetimes(3600, 86_400);
    std::thread::sleep(Duration::from_millis(2_200));
    connection
}

pub(super) fn with(changes: &[(&str, &str)]) -> (Peer, Broker, Upstream, Client) {
    let (peer, upstream) = (Peer::start(), Upstream::echo());
    let broker = connect::broker(&[peer_file(&peer, changes)], "");
    let spec = tool("custom-me", upstream.port(), "peer", SCOPES);
    install(&broker.operator(), &spec);
    let ann = broker.member("Ann");
    (peer, broker, upstream, ann)
}

pub(super) const AT_ONCE: (&str, &str) = ("[refresh]", "[refresh]\nconfirm_invalid_grant = false");

#[test]
fn without_an_account_it_says_how_to_connect_one() {
    let (peer, broker, upstream, ann) = with(&[]);
    let (code, hint) = refused(&run(&ann, "custom-me", None), 409);
    assert_eq!(code, "needs_connect");
    assert!(hint.contains("runtools oauth connect peer"), "{hint}");
    let url = connect_url(&ann, "custom-me");
    assert_eq!(url, "/v1/oauth/start/peer");
    let (code, hint) = refused(&run(&ann, "custom-me", Some("ann")), 404);
    assert_eq!(code, "not_available");
    assert!(hint.contains("runtools oauth status"), "{hint}");
    assert!(upstream.seen().is_empty());
    // Whoever goes that way can run it.
    peer.call_back(&[&connect::back(&broker, "peer")]);
    connect::set_client(&broker.operator(), "peer", &peer.basic()).expect(200);
    let done = goes_by(&ann, &url, "ann");
    assert_eq!(done["status"], "connected", "{done}");
    assert_eq!(runs(&ann, "custom-me")["success"], true);
}

#[test]
fn a_grant_that_is_over_must_be_made_again_and_may_be() {
    let (peer, broker, upstream, ann) = with(&[AT_ONCE]);
    let connection = ended(&broker, &ann, &peer);
    peer.revoke_all_of("ann");
    let (code, hint) = refused(&run(&ann, "custom-me", None), 409);
    assert_eq!(code, "needs_reauth");
    let id = connection["id"].as_str().unwrap();
    let command = format!("runtools oauth connect peer --reconnect {id}");
    assert!(hint.contains(&command), "{hint}");
    let url = connect_url(&ann, "custom-me");
    assert_eq!(url, format!("/v1/oauth/start/peer?reconnect={id}"));
    // It is what it says: a flow for this very connection.
    let started = ann.get(&url).expect(200)["data"].clone();
    assert!(started["authUrl"].as_str().unwrap().contains("/connect/"));
    let asked = peer.granted("refresh_token").len();
    assert_eq!(asked, 1, "it was asked once");
    let told = explained(&ann, "custom-me", &json!({}));
    assert_eq!(told, ("missing".into(), "needs_reauth".into()));
    refused(&run(&ann, "custom-me", None), 409);
    assert_eq!(peer.granted("refresh_token").len(), 1, "and not again");
    assert!(upstream.seen().is_empty(), "nothing was sent");
    let status = ann.get("/v1/oauth/status/peer").expect(200)["data"].clone();
    assert_eq!(status["connected"], false, "{status}");
    assert_eq!(status["connection"]["status"], "revoked", "{status}");
    assert_eq!(status["connection"]["reason"], "provider_said", "{status}");

    let again = connect_peer(&broker, &ann, &peer, "ann");
    assert_eq!(again["id"], connection["id"]);
    assert_eq!(again["status"], "active");
    assert_eq!(runs(&ann, "custom-me")["success"], true);
}

#[test]
fn scopes_that_the_tool_needs_are_named_and_can_be_asked_for() {
    let (peer, broker, upstream, ann) = with(&[]);
    let spec = tool("custom-write", upstream.port(), "peer", &["read", "write"]);
    install(&broker.operator(), &spec);
    let connection = connect_peer(&broker, &ann, &peer, "ann");
    let (code, hint) = refused(&run(&ann, "custom-write", None), 409);
    assert_eq!(code, "missing_scopes");
    let id = connection["id"].as_str().unwrap();
    let command = format!("runtools oauth connect peer --reconnect {id} --scopes 'write'");
    assert!(hint.contains(&command), "{hint}");
    let told = explained(&ann, "custom-write", &json!({}));
    assert_eq!(told, ("missing".into(), "missing_scopes".into()));
    assert!(upstream.seen().is_empty(), "nothing was sent");
    assert_eq!(runs(&ann, "custom-me")["success"], true);
    // As the refusal says; the connection is the same, with more rights.
    let url = connect_url(&ann, "custom-write");
    let wanted = format!("/v1/oauth/start/peer?reconnect={id}&scopes=write");
    assert_eq!(url, wanted);
    let done = goes_by(&ann, &url, "ann");
    assert_eq!(done["connectionId"], connection["id"], "{done}");
    assert_eq!(runs(&ann, "custom-write")["success"], true);
}

#[test]
fn a_provider_that_is_away_is_no_reason_to_connect_again() {
    let (peer, broker, upstream, ann) = with(&[]);
    ended(&broker, &ann, &peer);
    let away = Then::Reply(503, vec![], String::new());
    peer.fault(&Fault::before("/token", away));
    let reply = run(&ann, "custom-me", None);
    let (code, hint) = refused(&reply, 503);
    assert_eq!(code, "token_unavailable");
    assert!(hint.contains("again"), "{hint}");
    // Whoever asks meanwhile is told the same, and the provider is not asked.
    refused(&run(&ann, "custom-me", None), 503);
    assert_eq!(peer.granted("refresh_token").len(), 1);
    assert!(upstream.seen().is_empty(), "nothing was sent");
    let told = explained(&ann, "custom-me", &json!({}));
    assert_eq!(told.0, "connection", "it is there, and will work again");
}

#[test]
fn a_tool_of_a_provider_that_is_not_here_or_of_a_token_that_is_not_says_so() {
    let (peer, broker, upstream, ann) = with(&[]);
    connect_peer(&broker, &ann, &peer, "ann");
    let elsewhere = tool("custom-a", upstream.port(), "elsewhere", &[]);
    let mut user = tool("custom-b", upstream.port(), "peer", &[]);
    user["credentialsJson"]["oauth"]["credentialMapping"]["token"] = json!("user_access_token");
    let mut id_token = tool("custom-c", upstream.port(), "peer", &[]);
    id_token["credentialsJson"]["oauth"]["credentialMapping"]["token"] = json!("id_token");
    for (spec, code) in [
        (elsewhere, "no_such_provider"),
        (user, "no_such_token"),
        (id_token, "no_such_token"),
    ] {
        install(&broker.operator(), &spec);
        let slug = spec["slug"].as_str().unwrap();
        let reply = run(&ann, slug, None);
        assert_eq!(reply.refused(409), code, "{slug}");
    }
    // A refresh token is lent to no tool: the spec is refused.
    let mut refresh = tool("custom-d", upstream.port(), "peer", &[]);
    refresh["credentialsJson"]["oauth"]["credentialMapping"]["token"] = json!("refresh_token");
    let reply = broker.operator().post("/v1/tools/custom", &refresh);
    assert_eq!(reply.status, 400, "{}", reply.value());
    assert!(upstream.seen().is_empty(), "nothing was sent");
}

#[test]
fn t11_a_token_goes_to_no_host_but_the_apis_own_and_into_no_query() {
    let (peer, broker, upstream, ann) = with(&[]);
    connect_peer(&broker, &ann, &peer, "ann");
    // `localhost` is the same machine, and not the host that the provider's file names.
    let mut elsewhere = tool("custom-elsewhere", upstream.port(), "peer", &[]);
    elsewhere["bindings"][0]["hosts"] = json!(["localhost"]);
    elsewhere["bindings"][0]["private"] = json!(["127.0.0.1/32", "::1/128"]);
    elsewhere["actionsJson"]["run"]["http"]["url"] =
        json!(format!("http://localhost:{}/run", upstream.port()));
    install(&broker.operator(), &elsewhere);
    let (code, hint) = refused(&run(&ann, "custom-elsewhere", None), 403);
    assert_eq!(code, "binding_refused");
    assert!(hint.contains("explain"), "{hint}");
    // RFC 6750, 2.3: addresses are logged, cached and sent on.
    let mut query = tool("custom-query", upstream.port(), "peer", &[]);
    query["bindings"][0]["slots"]["token"] = json!([{"query": "access_token"}]);
    install(&broker.operator(), &query);
    let reply = run(&ann, "custom-query", None);
    assert_eq!(reply.refused(403), "binding_refused");
    assert_eq!(upstream.accepted(), 0, "nothing was sent");
    assert!(peer.granted("refresh_token").is_empty());
}
