//! Connecting while the provider does not play along.

use std::time::Duration;

use serde_json::json;

use crate::harness::fault_provider::{Answer, FaultProvider};
use crate::harness::{Client, eventually};
use crate::{Stage, tokens};

#[test]
fn b11_a_code_is_shown_once_whatever_comes_of_it() {
    let stage = Stage::new(&[]);
    for (answer, error) in [
        (Answer::empty(500), "try_again"),
        (Answer::error(503, "invalid_grant"), "try_again"),
        (Answer::empty(429).with("retry-after", "1"), "try_again"),
        (Answer::Close, "try_again"),
        (Answer::Half(b"{\"access_token\":".to_vec()), "try_again"),
        (Answer::Raw(b"SSH-2.0-OpenSSH\r\n".to_vec()), "try_again"),
        (Answer::error(400, "invalid_grant"), "provider_refused"),
        (Answer::error(401, "invalid_client"), "client_config"),
        (Answer::error(403, "what_is_this"), "protocol"),
    ] {
        let before = stage.token_requests();
        stage.fault.next("/token", answer.clone());
        // Were it asked again, it would be given tokens.
        stage.fault.next("/token", tokens(&json!({})));
        assert_eq!(stage.fails(), error, "{answer:?}");
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(stage.token_requests(), before + 1, "{answer:?}");
        // What was not asked for is not left for the next.
        Client::origin(&stage.fault.origin()).get("/token");
    }
}

#[test]
fn t3_no_redirect_is_followed_with_a_code_a_token_or_a_secret() {
    let stage = Stage::new(&[]);
    let second = FaultProvider::start();
    second.always("/take", tokens(&json!({})));
    let there = format!("{}/take", second.origin());
    for status in [301, 302, 303, 307, 308] {
        stage.fault.next("/token", Answer::redirect(status, &there));
        assert_eq!(stage.fails(), "protocol", "{status}");
        // Nor on the way to the account's name, with a token that is good; that is then revoked.
        stage.fault.next("/token", tokens(&json!({})));
        for _ in 0..2 {
            stage.fault.next("/me", Answer::redirect(status, &there));
        }
        assert_eq!(stage.fails(), "no_identity", "{status}");
    }
    // Nor when a connection is forgotten.
    let shown = stage.connects(tokens(&json!({})));
    for _ in 0..20 {
        stage.fault.next("/revoke", Answer::redirect(307, &there));
    }
    let path = format!("/v1/oauth/connections/{}", shown["id"].as_str().unwrap());
    let gone = stage.ann.delete(&path).expect(200);
    assert_ne!(gone["data"]["upstream"], "revoked", "{gone}");
    assert!(second.seen().is_empty(), "{:?}", second.seen());
}

#[test]
fn b14_tokens_of_nobody_are_revoked() {
    let stage = Stage::new(&[]);
    let unnamed = Answer::json(200, &json!({ "name": "ann" }));
    for (what, answer) in [
        ("500", Answer::empty(500)),
        ("401", Answer::empty(401)),
        ("nothing", Answer::Close),
        ("no account id", unnamed),
        ("HTML", Answer::text(200, "text/html", "<html>")),
    ] {
        let before = stage.fault.asked("/revoke").len();
        stage.fault.next("/token", tokens(&json!({})));
        stage.fault.next("/me", answer.clone());
        stage.fault.next("/me", answer);
        assert_eq!(stage.fails(), "no_identity", "{what}");
        stage.fault.always("/revoke", Answer::empty(200));
        let revoked = eventually(|| {
            let asked = stage.fault.asked("/revoke");
            (asked.len() >= before + 2).then(|| asked[before..].to_vec())
        });
        let told: Vec<_> = revoked.iter().map(|seen| seen.form("token")).collect();
        // V1: the refresh token first.
        let wanted = ["a-refresh-token", "an-access-token"].map(|t| Some(t.to_owned()));
        assert_eq!(told, wanted, "{what}");
    }
    // Once is forgiven.
    stage.fault.next("/me", Answer::empty(500));
    stage.connects(tokens(&json!({})));
}

#[test]
fn b7_what_a_provider_says_when_it_refuses_is_shown_to_nobody() {
    let stage = Stage::new(&[]);
    for (error, code) in [
        ("access_denied", "access_denied"),
        ("<script>alert(1)</script>", "provider_error"),
    ] {
        stage.fault.script("/authorize", move |seen| {
            let mut to = url::Url::parse(&seen.query("redirect_uri").unwrap()).unwrap();
            to.query_pairs_mut().extend_pairs([
                ("error", error),
                (
                    "error_description",
                    "<img src=x onerror=alert(1)>\u{202e}\0",
                ),
                ("state", &seen.query("state").unwrap()),
            ]);
            Answer::redirect(302, to.as_str())
        });
        let ended = stage.goes();
        assert_eq!(ended["status"], "failed", "{ended}");
        assert_eq!(ended["error"], code, "{ended}");
        assert!(!ended.to_string().contains("onerror") && !ended.to_string().contains("script"));
    }
    assert_eq!(stage.token_requests(), 0);
    let log = stage.broker.log_text();
    assert!(!log.contains("onerror") && !log.contains("alert("));
}
