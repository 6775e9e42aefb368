//! The words with which a right to credentials is refused, by `POST /v1/resolve` and wherever else a call
//! resolves: each with its status, and with what to do next.

use std::time::Duration;

use serde_json::{Value, json};

use super::refusals::{AT_ONCE, ended, with};
use crate::harness::connect::connect_peer;
use crate::harness::{Broker, Client, Reply, Setup};

/// Both ways to ask for a tool's credentials are refused alike.
#[track_caller]
fn says(client: &Client, more: &Value, (status, code): (u16, &str), hint: &str) -> Value {
    let body = |first: (&str, &str)| {
        let mut body = more.clone();
        body[first.0] = first.1.into();
        body
    };
    let resolved = client.post("/v1/resolve", &body(("tool", "custom-me")));
    let ran = client.post("/v1/tools/custom-me/execute", &body(("action", "run")));
    let told = |reply: &Reply| {
        assert_eq!(reply.refused(status), code);
        let mut error = reply.value()["error"].clone();
        error["requestId"] = Value::Null;
        error
    };
    assert_eq!(told(&resolved), told(&ran));
    let error = told(&resolved);
    assert!(error["hint"].as_str().unwrap().contains(hint), "{error}");
    error
}

fn resolve(client: &Client, more: &Value) -> Reply {
    let mut body = json!({"tool": "custom-me"});
    body["account"] = more.clone();
    client.post("/v1/resolve", &body)
}

#[test]
#[expect(clippy::too_many_lines, reason = "a journey is told in one piece")]
fn each_of_the_six_words_says_what_to_do_next() {
    let (peer, broker, upstream, ann) = with(&[AT_ONCE]);
    let bob = broker.member("Bob");
    let named = |name: &str| json!({"credentialOverrides": {"token": name}});

    let error = says(
        &ann,
        &json!({}),
        (409, "needs_connect"),
        "runtools oauth connect peer",
    );
    assert_eq!(error["connectUrl"], "/v1/oauth/start/peer");

    // What the request names: not there and not theirs are the same.
    let theirs = json!({"name": "KEY_OF_BOB", "value": "a-secret-of-his-own"});
    bob.post("/v1/secrets", &theirs).expect(201);
    let answers = ["KEY_OF_BOB", "KEY_OF_NOBODY"].map(|name| {
        says(
            &ann,
            &named(name),
            (404, "not_available"),
            "runtools secret list",
        )
    });
    assert_eq!(answers[0], answers[1]);
    let account = json!({"account": "bob"});
    says(
        &ann,
        &account,
        (404, "not_available"),
        "runtools oauth status",
    );

    let bound = json!({"name": "FOR_AGENTS", "value": "a-secret-of-her-own", "scope": "agents"});
    ann.post("/v1/secrets", &bound).expect(201);
    says(
        &ann,
        &named("FOR_AGENTS"),
        (403, "policy_denied"),
        "runtools tool explain",
    );

    // The provider's last word comes when a token is asked for: with a handle that was good until then.
    let connection = ended(&broker, &ann, &peer);
    peer.revoke_all_of("ann");
    let handle = resolve(&ann, &Value::Null).expect(201)["data"]["handle"].clone();
    let url = format!("http://127.0.0.1:{}/run", upstream.port());
    let used = ann.post(
        "/v1/execute",
        &json!({"handle": handle, "method": "GET", "url": url}),
    );
    assert_eq!(used.refused(409), "needs_reauth");
    let id = connection["id"].as_str().unwrap();
    let error = says(
        &ann,
        &json!({}),
        (409, "needs_reauth"),
        &format!("--reconnect {id}"),
    );
    assert_eq!(
        error["connectUrl"],
        format!("/v1/oauth/start/peer?reconnect={id}")
    );
    assert_eq!(used.value()["error"]["connectUrl"], error["connectUrl"]);

    let first = connect_peer(&broker, &bob, &peer, "bob");
    for login in ["work", "spare"] {
        connect_peer(&broker, &bob, &peer, login);
    }
    let path = format!("/v1/oauth/connections/{}", first["id"].as_str().unwrap());
    bob.delete(&path).expect(200);
    says(
        &bob,
        &json!({}),
        (409, "ambiguous_account"),
        "runtools oauth set-default peer",
    );
    let named = resolve(&bob, &json!("work")).expect(201)["data"].clone();
    assert_eq!(named["fields"][0]["account"], "work", "{named}");
    assert!(upstream.seen().is_empty(), "nothing was sent");
}

#[test]
fn who_resolves_too_often_hears_when_to_come_again() {
    let broker = Broker::with(Setup {
        burst: Some(10),
        ..Setup::default()
    });
    let member = broker.member("Ann");
    let mut all = (0..200).map(|_| member.post("/v1/resolve", &json!({"tool": "custom-none"})));
    let refused = all
        .find(|reply| reply.status != 404)
        .expect("two hundred in a row");
    assert_eq!(refused.refused(429), "rate_limited");
    let hint = refused.value()["error"]["hint"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(hint.contains("Retry-After"), "{hint}");
    let seconds: u64 = refused.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    std::thread::sleep(Duration::from_secs(seconds));
    let again = member.post("/v1/resolve", &json!({"tool": "custom-none"}));
    assert_eq!(again.refused(404), "not_found");
}
