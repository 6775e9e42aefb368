//! Answers of token endpoints: what is forgiven, and what is not.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::tests_rig::{Rig, json as answer, now, reply, shown};
use super::{Document, Reply, ReplyError, Subject, TokenReply, missing_scopes, read_tokens};

fn read_as(rig: &Rig, reply: &Reply) -> Result<TokenReply, ReplyError> {
    read_tokens(&rig.provider, &rig.bound, reply, Subject::Token, now())
}

fn read(id: &str, body: &Value) -> Result<TokenReply, ReplyError> {
    read_as(&Rig::shipped(id), &answer(200, body))
}

/// The members of an answer, and `access_token` among them.
fn with(more: &Value) -> Value {
    let mut body = json!({"access_token": "t"});
    let more = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    body
}

/// Seconds from the request to the end of the access token.
fn life(id: &str, more: &Value) -> Option<i64> {
    let end = read(id, &with(more)).unwrap().main.expires_at;
    end.map(|end| end.millis_since(now()) / 1000)
}

#[test]
fn t9_lifetimes_are_taken_in_every_spelling_and_cut_to_ten_years() {
    const TEN_YEARS: i64 = 3650 * 24 * 3600;
    for (told, expected) in [
        (json!({"expires_in": 3600}), Some(3600)),
        (json!({"expires_in": 3600.9}), Some(3600)),
        (json!({"expires_in": "3600"}), Some(3600)),
        (json!({"expires_in": " 3600 "}), Some(3600)),
        (json!({"expires_in": "3600.5"}), Some(3600)),
        (json!({"expires_in": 0}), Some(0)),
        (json!({"expires_in": -5}), Some(0)),
        (
            json!({"expires_in": 1_000_000_000_000_i64}),
            Some(TEN_YEARS),
        ),
        (json!({"expires_in": 1e300}), Some(TEN_YEARS)),
        (json!({"expires_in": u64::MAX}), Some(TEN_YEARS)),
        (json!({"expires_in": null}), None),
        (json!({"expires_in": "soon"}), None),
        (json!({"expires_in": "NaN"}), None),
        (json!({"expires_in": "inf"}), None),
        (json!({"expires_in": true}), None),
        (json!({"expires_in": [3600]}), None),
        (json!({}), None),
    ] {
        assert_eq!(life("google", &told), expected, "{told}");
    }
    // 0 has no end where the file says so.
    assert_eq!(life("mailchimp", &json!({"expires_in": 0})), None);
    assert_eq!(life("mailchimp", &json!({"expires_in": "0"})), None);
    assert_eq!(life("mailchimp", &json!({"expires_in": 60})), Some(60));
    // Absolute ends, a missing one, and one that is over.
    let strava = |at: i64| json!({"expires_at": at, "expires_in": 5});
    assert_eq!(life("strava", &strava(1_795_426_260)), Some(60));
    assert_eq!(life("strava", &strava(1_795_426_100)), Some(0));
    assert_eq!(life("strava", &json!({"expires_in": 5})), Some(5));
    let square = json!({"expires_at": "2026-11-23T10:31:00+01:00", "merchant_id": "m"});
    assert_eq!(life("square", &square), Some(60));
    let salesforce = json!({"instance_url": "https://a.my.salesforce.com"});
    assert_eq!(life("salesforce", &salesforce), Some(900));
}

#[test]
fn t9_a_life_is_counted_from_before_the_request() {
    let rig = Rig::shipped("google");
    let sent = now().plus_seconds(-20);
    let reply = answer(200, &with(&json!({"expires_in": 60})));
    let tokens = read_tokens(&rig.provider, &rig.bound, &reply, Subject::Refresh, sent);
    assert_eq!(
        tokens.unwrap().main.expires_at,
        Some(now().plus_seconds(40))
    );
}

#[test]
fn the_end_of_a_refresh_token_is_read_in_every_spelling() {
    let end = |more: Value| {
        let end = read("google", &with(&more))
            .unwrap()
            .main
            .refresh_expires_at;
        end.map(|end| end.millis_since(now()) / 1000)
    };
    for name in [
        "refresh_token_expires_in",
        "x_refresh_token_expires_in",
        "refresh_expires_in",
        "refresh_token_timeout",
        "authorization_expires_in",
    ] {
        assert_eq!(end(json!({name: "600"})), Some(600), "{name}");
        assert_eq!(end(json!({name: 0})), None, "{name}");
    }
    // draft-ietf-oauth-refresh-token-expiration: the timeout never exceeds the authorization.
    let both = json!({"authorization_expires_in": 864_000, "refresh_token_timeout": 604_800});
    assert_eq!(end(both), Some(604_800));
}

#[test]
fn t6_an_error_pointer_wins_over_a_token() {
    let both = with(&json!({"error": "bad_verification_code"}));
    assert_eq!(read("github", &both).unwrap_err(), ReplyError::Failure);
    for sign in [
        json!(null),
        json!(""),
        json!(false),
        json!(0),
        json!({}),
        json!([]),
    ] {
        assert!(
            read("github", &with(&json!({"error": sign}))).is_ok(),
            "{sign}"
        );
    }
    for sign in [
        json!(true),
        json!(7),
        json!({"code": 1}),
        json!(["x"]),
        json!("x"),
    ] {
        let error = read("github", &with(&json!({"error": sign}))).unwrap_err();
        assert_eq!(error, ReplyError::Failure, "{sign}");
    }
    let (good, bad) = (with(&json!({"ok": true})), with(&json!({"ok": false})));
    assert!(read("slack", &good).is_ok());
    for bad in [
        bad,
        with(&json!({})),
        with(&json!({"ok": "true"})),
        with(&json!({"ok": 1})),
    ] {
        assert_eq!(read("slack", &bad).unwrap_err(), ReplyError::Failure);
    }
}

#[test]
fn t6_any_2xx_is_parsed_and_nothing_else_is() {
    let rig = Rig::shipped("google");
    for status in [200, 201, 202, 203, 206, 299] {
        assert!(
            read_as(&rig, &answer(status, &with(&json!({})))).is_ok(),
            "{status}"
        );
    }
    for status in [100, 199, 300, 302, 307, 400, 401, 404, 500, 999] {
        let error = read_as(&rig, &answer(status, &with(&json!({})))).unwrap_err();
        assert_eq!(error, ReplyError::Status, "{status}");
    }
    let login = "<html><form action=\"/login?a=b\"></form></html>";
    for (kind, body) in [
        ("text/html", login),
        ("", login),
        ("application/json", login),
        ("application/json", ""),
        ("application/json", "access_token=t"),
        ("application/json", "{\"access_token\":\"t\""),
        ("application/json", "{\"access_token\":\"t\"} trailing"),
        ("application/json", "\"access_token\""),
        ("text/plain", "please log in"),
        (
            "application/x-www-form-urlencoded",
            "access_token=t&access_token=u",
        ),
        ("image/png", "access_token=t"),
    ] {
        let error = read_as(&rig, &reply(200, kind, body)).unwrap_err();
        assert_eq!(error, ReplyError::Form, "{kind}: {body}");
    }
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let error = read_as(&rig, &reply(200, "application/json", &deep)).unwrap_err();
    assert_eq!(error, ReplyError::Form);
}

#[test]
fn forms_and_mislabelled_json_are_read() {
    let rig = Rig::shipped("google");
    for (kind, body) in [
        (
            "application/x-www-form-urlencoded",
            "access_token=t%2B1&expires_in=60",
        ),
        (
            "text/plain; charset=utf-8",
            "access_token=t%2B1&expires_in=60",
        ),
        ("", "access_token=t%2B1&expires_in=60"),
        ("text/html", "{\"access_token\":\"t+1\",\"expires_in\":60}"),
        (
            "application/x-www-form-urlencoded",
            "{\"access_token\":\"t+1\",\"expires_in\":60}",
        ),
        (
            "application/json",
            "\u{feff} {\"access_token\":\"t+1\",\"expires_in\":60}\r\n",
        ),
        (
            "APPLICATION/JSON",
            "{\"access_token\":\"t+1\",\"expires_in\":60}",
        ),
    ] {
        let tokens = read_as(&rig, &reply(200, kind, body)).unwrap().main;
        assert_eq!(shown(&tokens.access), "t+1", "{kind}: {body}");
        assert_eq!(tokens.expires_at, Some(now().plus_seconds(60)));
    }
}

#[test]
fn t7_a_token_is_visible_ascii_or_refused() {
    for token in [
        "a\r\nX: y",
        "a\nb",
        "a b",
        "\u{e9}",
        "a\0",
        "\t",
        "\u{7f}",
        "\u{202e}",
    ] {
        for name in ["access_token", "refresh_token", "id_token"] {
            let error = read("google", &with(&json!({name: token}))).unwrap_err();
            assert_eq!(error, ReplyError::Token, "{name}: {token:?}");
        }
    }
    for value in [json!(7), json!(true), json!(["t"]), json!({"t": "t"})] {
        let error = read("google", &json!({"access_token": value})).unwrap_err();
        assert_eq!(error, ReplyError::Token, "{value}");
    }
    for value in [json!(""), json!(null)] {
        let error = read("google", &json!({"access_token": value})).unwrap_err();
        assert_eq!(error, ReplyError::NoToken, "{value}");
    }
    assert_eq!(read("google", &json!({})).unwrap_err(), ReplyError::NoToken);
    let long = "t".repeat(16 * 1024);
    assert!(read("google", &json!({"access_token": long})).is_ok());
    let long = "t".repeat(16 * 1024 + 1);
    let error = read("google", &json!({"access_token": long})).unwrap_err();
    assert_eq!(error, ReplyError::Token);
}

#[test]
fn t8_an_unknown_type_of_token_is_refused() {
    for kind in [
        json!("Bearer"),
        json!("bearer"),
        json!("BEARER"),
        json!(null),
        json!(""),
    ] {
        assert!(
            read("google", &with(&json!({"token_type": kind}))).is_ok(),
            "{kind}"
        );
    }
    for kind in [
        json!("dpop"),
        json!("mac"),
        json!("N_A"),
        json!("bot"),
        json!(7),
        json!(["bearer"]),
    ] {
        let error = read("google", &with(&json!({"token_type": kind}))).unwrap_err();
        assert_eq!(error, ReplyError::TokenType, "{kind}");
    }
    let bot = with(&json!({"ok": true, "token_type": "Bot"}));
    assert!(read("slack", &bot).is_ok(), "a type that the file knows");
}

#[test]
fn r1_a_refresh_token_that_is_not_there_leaves_the_old_one() {
    for more in [
        json!({}),
        json!({"refresh_token": null}),
        json!({"refresh_token": ""}),
    ] {
        assert!(read("notion", &with(&more)).unwrap().main.refresh.is_none());
    }
    let new = read("notion", &with(&json!({"refresh_token": "new"}))).unwrap();
    assert_eq!(shown(&new.main.refresh.unwrap()), "new");
}

#[test]
fn several_sets_of_tokens_are_told_apart() {
    let person =
        json!({"id": "U1", "access_token": "xoxp", "token_type": "user", "scope": "search:read"});
    let both = with(&json!({"ok": true, "token_type": "bot", "authed_user": person}));
    let tokens = read("slack", &both).unwrap();
    assert_eq!(shown(&tokens.main.access), "t");
    let (name, user) = &tokens.secondary[0];
    assert_eq!(
        (name.as_str(), shown(&user.access).as_str()),
        ("user", "xoxp")
    );
    assert_eq!(
        user.scopes.as_deref(),
        Some(&["search:read".to_owned()][..])
    );
    // Where only the person's scopes were asked for, there is one set, and it is there once.
    let tokens = read("slack", &json!({"ok": true, "authed_user": person})).unwrap();
    assert_eq!(shown(&tokens.main.access), "xoxp");
    assert!(tokens.secondary.is_empty());
    let none = with(&json!({"ok": true, "authed_user": {"id": "U1"}}));
    assert!(read("slack", &none).unwrap().secondary.is_empty());
    let broken = with(&json!({"ok": true, "authed_user": {"access_token": "a\nb"}}));
    assert_eq!(read("slack", &broken).unwrap_err(), ReplyError::Token);
}

#[test]
fn b12_scopes_are_read_as_text_or_list_and_what_is_missing_is_no_error() {
    let scopes = |told: Value| read("google", &with(&json!({"scope": told}))).unwrap().main;
    for (told, expected) in [
        (json!("openid email"), Some(vec!["openid", "email"])),
        (json!("openid,email"), Some(vec!["openid", "email"])),
        (json!("openid, email  email"), Some(vec!["openid", "email"])),
        (
            json!(["openid", "email", 7, null]),
            Some(vec!["openid", "email"]),
        ),
        (json!(["a\nb"]), None),
        (json!(""), None),
        (json!([]), None),
        (json!(null), None),
        (json!(7), None),
    ] {
        let tokens = scopes(told.clone());
        let read = tokens
            .scopes
            .as_deref()
            .map(|scopes| scopes.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(read, expected, "{told}");
    }
    let x = Rig::shipped("x");
    let missing = |told: Value| {
        let reply = answer(200, &with(&json!({"scope": told})));
        missing_scopes(&x.provider, &read_as(&x, &reply).unwrap().main)
    };
    assert!(missing(json!("users.read tweet.read like.read")).is_empty());
    assert!(
        missing(json!(null)).is_empty(),
        "not told means: as asked for"
    );
    assert_eq!(missing(json!("users.read")), ["tweet.read"]);
    assert_eq!(missing(json!(["like.read"])), ["users.read", "tweet.read"]);
}

#[test]
fn what_the_connection_needs_is_captured_or_the_answer_refused() {
    let salesforce = |url: Value| read("salesforce", &with(&json!({"instance_url": url})));
    let tokens = salesforce(json!("https://b.my.salesforce.com/")).unwrap();
    assert_eq!(
        tokens.bound.meta()["instance_url"],
        "https://b.my.salesforce.com"
    );
    for url in [
        json!("https://evil.example"),
        json!("http://b.my.salesforce.com"),
        json!(7),
    ] {
        let error = salesforce(url.clone()).unwrap_err();
        assert!(matches!(error, ReplyError::Capture(_)), "{url}");
    }
    let stripe = with(&json!({"stripe_user_id": "acct_1", "livemode": false, "more": "x"}));
    let kept = read("stripe-connect", &stripe).unwrap().kept;
    assert_eq!(json!(kept), json!({"/livemode": false}));
}

#[test]
fn nothing_that_is_shown_of_an_answer_is_of_a_token() {
    let body = with(
        &json!({"access_token": "canary-1", "refresh_token": "canary-2", "id_token": "canary-3"}),
    );
    let reply = answer(200, &body);
    let tokens = read_as(&Rig::shipped("google"), &reply).unwrap();
    for text in [
        format!("{reply:?}"),
        format!("{tokens:?}"),
        format!("{:?}", Document::read(&reply).unwrap()),
    ] {
        assert!(!text.contains("canary"), "{text}");
    }
}

/// Any JSON, often with the members that matter.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "[\r\n\t -~]{0,12}".prop_map(Value::from),
    ];
    let name = prop_oneof![
        Just("access_token".to_owned()),
        Just("refresh_token".to_owned()),
        Just("expires_in".to_owned()),
        Just("scope".to_owned()),
        Just("token_type".to_owned()),
        Just("authed_user".to_owned()),
        Just("error".to_owned()),
        Just("ok".to_owned()),
        "\\PC{0,6}",
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..7)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn t7_no_answer_panics_and_every_token_could_stand_in_a_header(
        body in any_json(),
        id in prop_oneof![Just("google"), Just("slack"), Just("instagram"), Just("square")],
    ) {
        if let Ok(tokens) = read(id, &body) {
            let sets = tokens.secondary.iter().map(|(_, set)| set).chain([&tokens.main]);
            for set in sets {
                let held = [Some(&set.access), set.refresh.as_ref(), set.id_token.as_ref()];
                for token in held.into_iter().flatten() {
                    let text = shown(token);
                    prop_assert!(!text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()));
                }
                prop_assert!(set.expires_at.is_none_or(|end| end >= now()));
            }
        }
    }

    #[test]
    fn t7_no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..200), status in 100_u16..1000) {
        let reply = Reply::new(status, &http::HeaderMap::new(), body);
        let rig = Rig::shipped("google");
        if read_as(&rig, &reply).is_err() {
            let told = super::Told::Reply { reply: &reply, subject: Subject::Refresh };
            let code = super::classify(&rig.provider, told, now()).code;
            prop_assert!(code.is_none_or(|code| code.as_str().len() <= 64));
        }
    }
}
