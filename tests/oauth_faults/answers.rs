//! What a token answer may say, and what is made of it.

use runtools_broker::clock::Timestamp;
use serde_json::{Value, json};

use crate::harness::fault_provider::Answer;
use crate::harness::tools::{run, runs};
use crate::{Stage, tokens};

#[test]
fn t6_a_2xx_is_read_and_an_error_in_it_wins() {
    let stage = Stage::new(&[]);
    let both = json!({ "error": "bad_verification_code", "error_description": "<b>wrong</b>" });
    for (what, answer, error) in [
        ("an error under 200", tokens(&both), "protocol"),
        (
            "invalid_grant under 200",
            Answer::json(200, &json!({"error": "invalid_grant"})),
            "provider_refused",
        ),
        (
            "a login page",
            Answer::text(200, "text/html", "<html>Sign in</html>"),
            "protocol",
        ),
        ("nothing", Answer::empty(200), "protocol"),
        ("no content", Answer::empty(204), "protocol"),
        (
            "a list",
            Answer::json(200, &json!(["access_token"])),
            "protocol",
        ),
        (
            "half of it",
            Answer::text(200, "application/json", "{\"access_token\": \"an-acc"),
            "protocol",
        ),
        (
            "no token",
            tokens(&json!({"access_token": null})),
            "protocol",
        ),
    ] {
        stage.fault.next("/token", answer);
        assert_eq!(stage.fails(), error, "{what}");
    }
    assert!(stage.fault.asked("/me").is_empty(), "no token, no question");
    assert!(stage.fault.asked("/revoke").is_empty());
}

#[test]
fn t7_a_token_that_could_break_a_header_is_refused() {
    let stage = Stage::new(&[]);
    let long = "a".repeat(16 * 1024 + 1);
    let bad = [
        "a\r\nX-Injected: yes",
        "a\nb",
        "a\0b",
        "a\tb",
        "with space",
        "caf\u{e9}",
        "\u{202e}abc",
        "",
        &long,
    ];
    for token in bad {
        for member in ["access_token", "refresh_token"] {
            if member == "refresh_token" && token.is_empty() {
                continue;
            }
            stage
                .fault
                .next("/token", tokens(&json!({ member: token })));
            let ended = stage.goes();
            assert_eq!(ended["status"], "failed", "{member} {token:?}: {ended}");
        }
    }
    for other in [json!(7), json!({"a": 1}), json!(["abcdefgh"]), json!(true)] {
        stage
            .fault
            .next("/token", tokens(&json!({"access_token": other})));
        assert_eq!(stage.fails(), "protocol");
    }
    assert_eq!(stage.connections(), json!([]));
    assert!(
        stage.fault.asked("/me").is_empty(),
        "none was sent anywhere"
    );

    // Every visible character may be in one, and members that nobody knows are passed over.
    let all: String = (0x21..=0x7e_u8).map(char::from).collect();
    let strange = json!({
        "access_token": all, "token_type": "bearer", "expires_in": "3600", "scope": "read",
        "x": {"y": [null, 1e300]}, "refresh_token_expires_in": "soon", "error": null,
    });
    stage.connects(Answer::json(200, &strange));
    assert_eq!(runs(&stage.ann, "custom-me")["success"], true);
    let sent = stage.upstream.last().header("authorization");
    assert_eq!(sent, format!("Bearer {all}"));
}

#[test]
fn t8_only_bearer_tokens_are_taken_however_it_is_written() {
    let stage = Stage::new(&[]);
    for kind in [
        json!("Bearer"),
        json!("bearer"),
        json!("BEARER"),
        Value::Null,
    ] {
        let shown = stage.connects(tokens(&json!({ "token_type": kind })));
        assert_eq!(shown["status"], "active", "{kind}");
        let id = shown["id"].as_str().unwrap();
        stage
            .ann
            .delete(&format!("/v1/oauth/connections/{id}"))
            .expect(200);
    }
    for kind in [
        "dpop",
        "mac",
        "DPoP",
        "N_A",
        "pop",
        "bearer, mac",
        "Bearer\u{0}",
    ] {
        stage
            .fault
            .next("/token", tokens(&json!({ "token_type": kind })));
        assert_eq!(stage.fails(), "protocol", "{kind}");
    }
}

#[test]
fn t9_whatever_is_said_of_its_lifetime_a_token_ends_within_ten_years() {
    let stage = Stage::new(&[]);
    let ends = |expires_in: Value| {
        let shown = stage.connects(tokens(&json!({ "expires_in": expires_in })));
        let time = |name: &str| serde_json::from_value::<Timestamp>(shown[name].clone());
        // Counted from the moment before it was asked for.
        let (end, asked) = (time("expiresAt").ok()?, time("refreshedAt").unwrap());
        Some(end.millis_since(asked))
    };
    for (said, seconds) in [
        (json!(600), 600_000),
        (json!(600.9), 600_900),
        (json!("600"), 600_000),
        (json!(0), 0),
        (json!(-5), 0),
        (json!(1e12), 3650 * 86_400_000),
        (json!("999999999999999999999999"), 3650 * 86_400_000),
    ] {
        let ended = ends(said.clone()).unwrap_or_else(|| panic!("{said} has no end"));
        assert_eq!(ended, seconds, "{said}");
    }
    for said in [Value::Null, json!("soon"), json!({}), json!([600])] {
        assert_eq!(ends(said.clone()), None, "{said}");
    }
}

#[test]
fn b12_scopes_are_read_however_they_come_and_fewer_make_a_limited_connection() {
    let required = (
        "required = [\"read\"]",
        "required = [\"read\", \"profile\"]",
    );
    let default = ("default = [\"read\"]", "default = [\"read\", \"profile\"]");
    let stage = Stage::new(&[required, default]);
    let both = json!(["profile", "read"]);
    for (said, granted, missing) in [
        (json!("read profile"), both.clone(), json!(null)),
        (json!("read,profile"), both.clone(), json!(null)),
        (json!("read, profile"), both.clone(), json!(null)),
        (json!(["read", "profile"]), both.clone(), json!(null)),
        (
            json!("read profile admin"),
            json!(["admin", "profile", "read"]),
            json!(null),
        ),
        // RFC 6749, 5.1: what is as asked for need not be said.
        (Value::Null, both.clone(), json!(null)),
        (json!("read"), json!(["read"]), json!(["profile"])),
        (json!(["profile"]), json!(["profile"]), json!(["read"])),
        // Nor does an answer that names none take any.
        (json!(""), both.clone(), json!(null)),
        (json!([]), both.clone(), json!(null)),
    ] {
        let shown = stage.connects(tokens(&json!({ "scope": said })));
        let mut scopes = shown["scopes"].as_array().unwrap().clone();
        scopes.sort_by_key(ToString::to_string);
        assert_eq!(Value::from(scopes), granted, "{said}: {shown}");
        assert_eq!(shown["missingScopes"], missing, "{said}: {shown}");
        let status = if missing.is_null() {
            "active"
        } else {
            "limited"
        };
        assert_eq!(shown["status"], status, "{said}: {shown}");
        // It works for whatever needs no more.
        assert_eq!(run(&stage.ann, "custom-me", None).status, 200);
    }
}
