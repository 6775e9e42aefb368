//! Fresh enough, whenever it is used: tokens near their end, and tokens that the API refuses.

use std::sync::Mutex;
use std::time::Duration;

use crate::SCOPES;
use crate::harness::agreeable::{access, agreeable, connect_fault, fault_file};
use crate::harness::connect::{self, connect_peer, peer_file};
use crate::harness::oidc::Peer;
use crate::harness::tools::{install, runs, tool};
use crate::harness::upstream::json as answer;
use crate::harness::{Upstream, eventually};
use serde_json::json;

#[test]
fn a_token_near_its_end_is_refreshed_before_it_is_used() {
    let (peer, upstream) = (Peer::start(), Upstream::echo());
    let broker = connect::broker(&[peer_file(&peer, &[])], "");
    let spec = tool("custom-me", upstream.port(), "peer", SCOPES);
    install(&broker.operator(), &spec);
    let ann = broker.member("Ann");
    // Of less than a minute half is used.
    peer.lifetimes(8, 86_400);
    let connection = connect_peer(&broker, &ann, &peer, "ann");
    runs(&ann, "custom-me");
    let first = upstream.last().header("authorization");
    assert!(peer.granted("refresh_token").is_empty(), "it had time left");
    peer.lifetimes(3600, 86_400);
    std::thread::sleep(Duration::from_millis(4_500));
    runs(&ann, "custom-me");
    let second = upstream.last().header("authorization");
    assert_ne!(first, second);
    let asked = peer.granted("refresh_token");
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].auth, "basic", "T1: one way of proving oneself");
    assert_eq!(asked[0].form("scope"), None, "R12");
    // Now it has an hour.
    runs(&ann, "custom-me");
    assert_eq!(upstream.last().header("authorization"), second);
    assert_eq!(peer.granted("refresh_token").len(), 1);
    let after = connect::connection(&ann, connection["id"].as_str().unwrap());
    assert_ne!(after["refreshedAt"], connection["refreshedAt"], "{after}");
    assert_ne!(after["expiresAt"], connection["expiresAt"], "{after}");
}

#[test]
fn a_token_with_little_left_is_used_as_it_is_and_refreshed_behind_the_callers_back() {
    let (peer, upstream) = (Peer::start(), Upstream::echo());
    // Refreshed with two thirds left, and handed out to the half.
    let lead = ("[refresh]", "[refresh]\nlead_s = 3600");
    let broker = connect::broker(&[peer_file(&peer, &[lead])], "");
    let spec = tool("custom-me", upstream.port(), "peer", SCOPES);
    install(&broker.operator(), &spec);
    let ann = broker.member("Ann");
    peer.lifetimes(20, 86_400);
    connect_peer(&broker, &ann, &peer, "ann");
    peer.lifetimes(3600, 86_400);
    std::thread::sleep(Duration::from_secs(8));
    let done = runs(&ann, "custom-me");
    let first = upstream.last().header("authorization");
    assert_eq!(done["success"], true);
    eventually(|| (peer.granted("refresh_token").len() == 1).then_some(()));
    eventually(|| {
        runs(&ann, "custom-me");
        (upstream.last().header("authorization") != first).then_some(())
    });
    assert_eq!(peer.granted("refresh_token").len(), 1);
}

#[test]
fn a_token_that_the_api_refuses_before_its_time_is_refreshed_before_the_next_run() {
    let fault = agreeable();
    let accepted = std::sync::Arc::new(Mutex::new(access(1)));
    let right = std::sync::Arc::clone(&accepted);
    let upstream = Upstream::plain(move |seen| {
        let wanted = format!("Bearer {}", right.lock().unwrap());
        let status = if seen.header("authorization") == wanted {
            200
        } else {
            401
        };
        answer(status, &json!({ "status": status }))
    });
    let broker = connect::broker(&[fault_file(&fault, &[])], "");
    let spec = tool("custom-me", upstream.port(), "fault", &[]);
    install(&broker.operator(), &spec);
    let ann = broker.member("Ann");
    connect_fault(&broker, &ann);
    assert_eq!(runs(&ann, "custom-me")["success"], true);
    let refreshes = || fault.asked("/token").len() - 1;

    // The provider ended it early. The run that finds out fails; it is not repeated by itself, as it
    // may have done something.
    *accepted.lock().unwrap() = access(2);
    let refused = runs(&ann, "custom-me");
    assert_eq!(refused["success"], false);
    assert_eq!(refused["error"]["code"], "upstream_denied", "{refused}");
    let after = runs(&ann, "custom-me");
    assert_eq!(after["success"], true, "{after}");
    assert_eq!(refreshes(), 1);
    runs(&ann, "custom-me");
    assert_eq!(refreshes(), 1);

    // An API that refuses whatever it gets is no reason to ask for a new token each time.
    *accepted.lock().unwrap() = String::from("none");
    let before = upstream.seen().len();
    for _ in 0..5 {
        assert_eq!(runs(&ann, "custom-me")["success"], false);
    }
    assert_eq!(upstream.seen().len(), before + 5);
    assert_eq!(refreshes(), 1, "the token is as new as can be");
}

#[test]
fn what_a_refused_request_says_other_than_401_costs_no_refresh() {
    let fault = agreeable();
    let status = std::sync::Arc::new(Mutex::new(403));
    let told = std::sync::Arc::clone(&status);
    let upstream = Upstream::plain(move |_| answer(*told.lock().unwrap(), &json!({})));
    let broker = connect::broker(&[fault_file(&fault, &[])], "");
    let spec = tool("custom-me", upstream.port(), "fault", &[]);
    install(&broker.operator(), &spec);
    let ann = broker.member("Ann");
    connect_fault(&broker, &ann);
    for other in [403, 400, 404, 429, 500, 200] {
        *status.lock().unwrap() = other;
        runs(&ann, "custom-me");
        runs(&ann, "custom-me");
    }
    assert_eq!(fault.asked("/token").len(), 1);
}
