//! What a failure means: the order of the questions, and what is kept of an error's name.

use std::time::Duration;

use serde_json::{Value, json};

use super::tests_rig::{Rig, json as answer, now, reply};
use super::{Class, NoReply, Reply, Subject, Told, Verdict, classify, read_retry_after};
use crate::egress::{EgressError, Phase};

fn verdict(id: &str, reply: &Reply) -> Verdict {
    let subject = Subject::Refresh;
    classify(
        &Rig::shipped(id).provider,
        Told::Reply { reply, subject },
        now(),
    )
}

fn class(id: &str, status: u16, body: &Value) -> Class {
    verdict(id, &answer(status, body)).class
}

fn code(id: &str, body: &Value) -> Option<String> {
    let code = verdict(id, &answer(400, body)).code;
    code.map(|code| code.to_string())
}

#[test]
fn r9_a_status_that_passes_is_transient_whatever_the_body_says() {
    for status in [408, 425, 429, 500, 502, 503, 504, 520, 599] {
        for body in [
            json!({"error": "invalid_grant"}),
            json!({"error": "invalid_client"}),
            json!({"error": "token_revoked"}),
            json!({}),
        ] {
            for id in ["google", "slack", "github-app", "microsoft"] {
                let verdict = verdict(id, &answer(status, &body));
                assert_eq!(verdict.class, Class::Transient, "{status} {body}");
                assert_eq!(verdict.rate_limited, status == 429);
            }
        }
        for body in ["", "<html>", "error=invalid_grant"] {
            let verdict = verdict("google", &reply(status, "text/html", body));
            assert_eq!(verdict.class, Class::Transient, "{status} {body}");
        }
    }
}

#[test]
fn r9_no_answer_is_transient_and_says_what_happened() {
    let late = |phase| EgressError::Timeout { phase };
    for (error, kind) in [
        (EgressError::NameNotFound, NoReply::Dns),
        (EgressError::Connect, NoReply::Connect),
        (EgressError::Busy, NoReply::Connect),
        (EgressError::Cleartext, NoReply::Refused),
        (late(Phase::Resolve), NoReply::Dns),
        (late(Phase::Connect), NoReply::Connect),
        (late(Phase::Handshake), NoReply::Tls),
        (late(Phase::Head), NoReply::Timeout),
        (late(Phase::Body), NoReply::Timeout),
        (EgressError::Closed, NoReply::Closed),
        (EgressError::TooLarge, NoReply::TooLarge),
        (EgressError::UpstreamProtocol, NoReply::Protocol),
    ] {
        assert_eq!(NoReply::from(&error), kind);
        let provider = Rig::shipped("google").provider;
        let verdict = classify(&provider, Told::NoReply(kind), now());
        assert_eq!(verdict.class, Class::Transient);
        assert_eq!(verdict.code.unwrap().as_str(), kind.as_str());
    }
}

#[test]
fn the_files_word_comes_before_the_standards() {
    // What the standard calls a mistake of ours means a dead token here, and the other way about.
    let denied = json!({"error": "unauthorized_client"});
    assert_eq!(class("atlassian", 403, &denied), Class::RevokedCandidate);
    assert_eq!(class("auth0", 403, &denied), Class::Client);
    let bad = json!({"error": "invalid_request"});
    assert_eq!(class("x", 400, &bad), Class::RevokedCandidate);
    assert_eq!(class("google", 400, &bad), Class::Suspicious);
    // The first of the file's pointers that the file knows decides.
    let hubspot = json!({"status": "BAD_CLIENT_SECRET", "error": "invalid_grant"});
    assert_eq!(class("hubspot", 400, &hubspot), Class::Client);
    let unknown = json!({"status": "SOMETHING", "error": "invalid_grant"});
    assert_eq!(class("hubspot", 400, &unknown), Class::RevokedCandidate);
    assert_eq!(code("hubspot", &unknown).as_deref(), Some("invalid_grant"));
}

#[test]
fn the_files_word_counts_with_the_statuses_that_it_is_for() {
    // Atlassian calls a dead refresh token so with 403; with another status the word is the standard's.
    let body = json!({"error": "unauthorized_client"});
    assert_eq!(class("atlassian", 403, &body), Class::RevokedCandidate);
    for status in [400, 401] {
        assert_eq!(class("atlassian", status, &body), Class::Client, "{status}");
    }
    assert_eq!(class("atlassian", 503, &body), Class::Transient);
    // Where it stands beside no status, it counts with all.
    let body = json!({"error": "invalid_grant"});
    assert_eq!(class("atlassian", 403, &body), Class::RevokedCandidate);
}

#[test]
fn a_grant_may_be_gone_only_by_a_400_a_401_or_an_error_in_a_success() {
    for error in [
        "invalid_grant",
        "bad_refresh_token",
        "invalid_refresh_token",
        "token_revoked",
        "token_expired",
        "refresh_token_reused",
        "refresh_token_expired",
        "refresh_token_invalidated",
    ] {
        let body = json!({"error": error});
        for (status, expected) in [
            (400, Class::RevokedCandidate),
            (401, Class::RevokedCandidate),
            (200, Class::RevokedCandidate),
            (403, Class::Suspicious),
            (404, Class::Suspicious),
            (302, Class::Suspicious),
            (500, Class::Transient),
        ] {
            assert_eq!(class("google", status, &body), expected, "{status} {error}");
        }
    }
    assert_eq!(
        class("threads", 400, &json!({"error": {"code": 190}})),
        Class::RevokedCandidate
    );
}

#[test]
fn r11_a_wrong_client_is_nobodys_revocation() {
    for error in [
        "invalid_client",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "incorrect_client_credentials",
        "redirect_uri_mismatch",
    ] {
        for status in [200, 400, 401, 403] {
            let found = class("google", status, &json!({"error": error}));
            assert_eq!(found, Class::Client, "{status} {error}");
        }
    }
}

#[test]
fn the_codes_of_microsoft_are_read_where_it_writes_them() {
    let said = |error: &str, text: &str| json!({"error": error, "error_description": text});
    for number in ["50173", "70000", "700082", "50078", "50076"] {
        let body = said(
            "unknown_error",
            &format!("AADSTS{number}: and so on. Trace ID: 1"),
        );
        assert_eq!(
            class("google", 400, &body),
            Class::RevokedCandidate,
            "{number}"
        );
        let listed: u64 = number.parse().unwrap();
        let body = json!({"error": "unknown_error", "error_codes": [listed]});
        assert_eq!(
            class("google", 400, &body),
            Class::RevokedCandidate,
            "{number}"
        );
    }
    for number in ["7000215", "7000222"] {
        let body = said("unknown_error", &format!("AADSTS{number}: expired"));
        assert_eq!(class("google", 401, &body), Class::Client, "{number}");
    }
    let other = said("unknown_error", "AADSTS90033: try again");
    assert_eq!(class("google", 400, &other), Class::Suspicious);
}

#[test]
fn what_makes_no_sense_is_suspicious_and_no_revocation() {
    for (status, kind, body) in [
        (400, "", ""),
        (401, "", ""),
        (400, "text/html", "<html>invalid_grant</html>"),
        (401, "application/json", "{}"),
        (403, "application/json", "{\"message\":\"forbidden\"}"),
        (404, "text/plain", "Not Found"),
        (302, "", ""),
        (307, "", ""),
        (410, "", ""),
        (200, "", ""),
        (200, "text/html", "<html>log in</html>"),
        (200, "application/json", "{\"access_token\":7}"),
        (400, "application/json", "{\"error\":\"something_new\"}"),
    ] {
        let verdict = verdict("google", &reply(status, kind, body));
        assert_eq!(verdict.class, Class::Suspicious, "{status} {body}");
        assert!(!verdict.rate_limited);
    }
}

#[test]
fn t10_a_code_is_known_or_words_and_never_a_value() {
    for (told, kept) in [
        (json!("invalid_grant"), Some("invalid_grant")),
        (json!("INVALID_GRANT"), Some("invalid_grant")),
        (json!("something_new"), Some("something_new")),
        (json!("Something New"), Some("something_new")),
        (json!("oauth2.error:v1-beta"), Some("oauth2.error:v1-beta")),
        (json!(4012), Some("4012")),
        (json!(-7), Some("-7")),
        (json!("2fa_required"), Some("2fa_required")),
        (
            json!("user_has_not_authorized_this_application"),
            Some("user_has_not_authorized_this_application"),
        ),
        (json!("ya29.a0AfH6SMBx7xQ3kd9"), None),
        (json!("hGtKwPqRvBnMzXcLsDfY"), None),
        (json!("qwertyuiopasdfghjklzxc"), None),
        (json!("gho_16C7e42F292c6912E7710c838347Ae178B4a"), None),
        (
            json!("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
            None,
        ),
        (json!("3f8a1c52-7b4e-4d1a-9f60-0f1a7bce0001"), None),
        (json!("abcdefghijklmnopqrstuvwxyzabcdefghij"), None),
        (json!("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UifQ"), None),
        (json!("aa_a_0_-_a0-Aa-a00_A____-_A_-A_a"), None),
        (json!("a-__Aaa-A0--0_-00_A_0AAAA_-a0_a0"), None),
        (json!("a_b_c_d_e_f_g"), None),
        (json!("two__gaps"), None),
        (json!("ends_here_"), None),
        (json!("-begins_here"), None),
        (json!("half_Done_mIxed"), None),
        (json!("a1b_c"), None),
        (json!("<script>alert</script>"), None),
        (json!("a\nb"), None),
        (json!("caf\u{e9}"), None),
        (json!("x ".repeat(40)), None),
        (json!(123_456_789_012_i64), None),
        (json!(1.5), None),
        (json!(""), None),
    ] {
        let found = code("google", &json!({"error": told}));
        assert_eq!(found.as_deref(), kept, "{told}");
    }
    assert_eq!(
        code("twitch", &json!({"message": "Invalid refresh token"})).as_deref(),
        Some("Invalid refresh token"),
        "a name that the file itself has"
    );
}

#[test]
fn r10_retry_after_is_seconds_or_a_date_and_at_most_a_quarter_of_an_hour() {
    for (header, seconds) in [
        ("0", Some(0)),
        ("30", Some(30)),
        (" 30 ", Some(30)),
        ("1.5", Some(2)),
        ("900", Some(900)),
        ("901", Some(900)),
        ("99999999999999999999999", Some(900)),
        ("Mon, 23 Nov 2026 09:31:00 GMT", Some(60)),
        ("Mon, 23 Nov 2026 09:29:00 GMT", Some(0)),
        ("Tue, 24 Nov 2026 09:30:00 GMT", Some(900)),
        ("-5", None),
        ("soon", None),
        ("", None),
        (".", None),
        ("1e3", None),
    ] {
        let found = read_retry_after(header, now());
        assert_eq!(found, seconds.map(Duration::from_secs), "{header:?}");
    }
    let mut limited = answer(429, &json!({}));
    limited.retry_after = Some("45".to_owned());
    let verdict = verdict("google", &limited);
    assert_eq!(verdict.retry_after, Some(Duration::from_secs(45)));
}
