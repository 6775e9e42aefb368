//! R9: what each answer to a refresh means. Nothing but the provider's own final word ends a grant.

use serde_json::json;

use crate::harness::connect::connects;
use crate::harness::fault_provider::{Answer, FaultProvider};
use crate::harness::tools::run;
use crate::{Stage, ended_tokens, tokens};

/// Runs with a token that has ended and this answer to its refresh: how the connection stands.
#[track_caller]
fn refreshed(stage: &Stage, answer: Answer) -> (u16, String, String) {
    // A success before it, so that the host is not left alone after five failures.
    for answer in [tokens(&json!({})), answer] {
        stage.connects(ended_tokens());
        stage.fault.next("/token", answer);
        let before = stage.token_requests();
        let reply = run(&stage.ann, "custom-me", None);
        assert_eq!(stage.token_requests(), before + 1, "asked once");
        let shown = stage.connections()[0].clone();
        let text = |name: &str| shown[name].as_str().unwrap_or_default().to_owned();
        let last = (reply.status, text("status"), text("reason"));
        if reply.status == 200 {
            assert_eq!(last.1, "active");
            continue;
        }
        return last;
    }
    (200, "active".into(), String::new())
}

fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let error = |code: &str| json!({ "error": code }).to_string().into_bytes();
    vec![
        ("", Vec::new()),
        ("application/json", error("invalid_grant")),
        ("application/json", error("invalid_client")),
        ("application/json", b"{\"error\":".to_vec()),
        ("text/html", b"<html>invalid_grant</html>".to_vec()),
        (
            "application/json",
            b"{\"access_token\":\"not-yours\",\"token_type\":\"bearer\"}".to_vec(),
        ),
    ]
}

#[test]
fn r9_what_says_that_it_cannot_now_ends_nothing_whatever_else_it_says() {
    let stage = Stage::new(&[]);
    let (mut cases, before) = (0, stage.ended("transient"));
    for status in [500, 502, 503, 504, 599, 408, 425] {
        for (kind, body) in bodies() {
            let headers = vec![("content-type".to_owned(), kind.to_owned())];
            let told = String::from_utf8_lossy(&body).into_owned();
            let ended = refreshed(&stage, Answer::Reply(status, headers, body));
            assert_eq!((ended.0, &*ended.1), (503, "active"), "{status} {told}");
            cases += 1;
        }
    }
    for (what, answer) in [
        ("the end", Answer::Close),
        (
            "half",
            Answer::Half(b"{\"access_token\":\"half-of-it\"".to_vec()),
        ),
        (
            "another protocol",
            Answer::Raw(b"* OK IMAP4 ready\r\n".to_vec()),
        ),
        (
            "a broken head",
            Answer::Raw(b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n{}".to_vec()),
        ),
        (
            "two lengths",
            Answer::Raw(
                b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{} ".to_vec(),
            ),
        ),
    ] {
        let ended = refreshed(&stage, answer);
        assert_eq!((ended.0, &*ended.1), (503, "active"), "{what}");
        cases += 1;
    }
    assert_eq!(stage.ended("transient") - before, cases);
    assert_eq!(stage.ended("revoked"), 0);
}

#[test]
fn r9_answers_that_make_no_sense_are_counted_apart_and_end_nothing() {
    let stage = Stage::new(&[]);
    let second = FaultProvider::start();
    let error = |status, code| Answer::error(status, code);
    let mut cases = 0;
    for (what, answer) in [
        ("400 and nothing", Answer::empty(400)),
        ("401 and nothing", Answer::empty(401)),
        (
            "400 and HTML",
            Answer::text(400, "text/html", "<html>invalid_grant</html>"),
        ),
        ("403", error(403, "invalid_grant_of_another_kind")),
        ("404", Answer::empty(404)),
        (
            "302",
            Answer::redirect(302, &format!("{}/take", second.origin())),
        ),
        (
            "200 and HTML",
            Answer::text(200, "text/html", "<html>Sign in</html>"),
        ),
        ("200 and nothing", Answer::empty(200)),
        ("a code that nobody knows", error(400, "what_is_this")),
        (
            "CR LF in the token",
            tokens(&json!({"access_token": "a\r\nx: y"})),
        ),
        (
            "another kind of token",
            tokens(&json!({"token_type": "dpop"})),
        ),
    ] {
        let ended = refreshed(&stage, answer);
        assert_eq!((ended.0, &*ended.1), (503, "active"), "{what}");
        cases += 1;
    }
    assert_eq!(stage.ended("suspicious"), cases);
    assert_eq!(stage.ended("revoked") + stage.ended("transient"), 0);
    assert!(second.seen().is_empty(), "T3");
}

#[test]
fn r9_the_final_word_ends_it_and_a_refused_client_is_an_admins_matter() {
    let stage = Stage::new(&[]);
    for (status, code, reason) in [
        (400, "invalid_grant", "provider_said"),
        (401, "invalid_grant", "provider_said"),
        (400, "token_revoked", "user_revoked"),
        (400, "refresh_token_expired", "expired"),
        (400, "refresh_token_reused", "reuse_detected"),
    ] {
        let ended = refreshed(&stage, Answer::error(status, code));
        assert_eq!(
            ended,
            (409, "revoked".into(), reason.into()),
            "{status} {code}"
        );
    }
    for (status, code) in [
        (401, "invalid_client"),
        (400, "unauthorized_client"),
        (400, "unsupported_grant_type"),
        (400, "invalid_scope"),
    ] {
        let ended = refreshed(&stage, Answer::error(status, code));
        assert_eq!(ended, (503, "config_error".into(), code.into()), "{status}");
    }
}

#[test]
fn r10_a_host_that_asks_for_patience_is_left_alone_by_everybody() {
    let stage = Stage::new(&[]);
    stage.connects(ended_tokens());
    let bob = stage.broker.member("Bob");
    stage.fault.next("/token", ended_tokens());
    connects(&bob, "fault", "bob");
    let much = Answer::error(429, "slow_down").with("retry-after", "120");
    stage.fault.next("/token", much);
    assert_eq!(
        run(&stage.ann, "custom-me", None).refused(503),
        "token_unavailable"
    );
    let asked = stage.token_requests();
    for client in [&stage.ann, &bob, &bob] {
        assert_eq!(
            run(client, "custom-me", None).refused(503),
            "token_unavailable"
        );
    }
    assert_eq!(stage.token_requests(), asked, "nobody knocks");
    assert_eq!(stage.connections()[0]["status"], "active");
}

#[test]
fn r9_a_host_that_is_gone_and_one_that_speaks_no_tls_end_nothing() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let dead = format!("http://127.0.0.1:{port}/token");
    let refresh = |url: &str| format!("[refresh]\nurl = \"{url}\"");
    let plain = Stage::new(&[]).fault;
    for url in [
        dead,
        format!("https://127.0.0.1:{}/token", plain.port()),
        "https://no-such-host.invalid/token".to_owned(),
    ] {
        let stage = Stage::new(&[("[refresh]", &refresh(&url))]);
        stage.connects(ended_tokens());
        let reply = run(&stage.ann, "custom-me", None);
        assert_eq!(reply.refused(503), "token_unavailable", "{url}");
        assert_eq!(stage.ended("transient"), 1, "{url}");
        assert_eq!(stage.connections()[0]["status"], "active", "{url}");
    }
}
