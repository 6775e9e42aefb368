//! Answers of token endpoints: what is forgiven, and what is not.

use serde_json::{Value, json};

use super::tests_rig::{Rig, SAMPLE, json as answer, now, read, read_as, reply, shown, with};
use super::{Document, ReplyError, Subject, missing_scopes, read_tokens};

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
fn a_refresh_answers_for_one_set_only() {
    let text = SAMPLE.to_owned()
        + "[token]\nurl = \"https://a.example.com/token\"\n[token.response]\nsecondary = [{ name = \"user\", root = \"/user\" }]\n";
    let (rig, reply) = (Rig::written(&text), answer(200, &with(&json!({}))));
    let read = |subject| read_tokens(&rig.provider, &rig.bound, &reply, subject, now());
    assert_eq!(read(Subject::Token).unwrap_err(), ReplyError::NoToken);
    assert!(read(Subject::Refresh).unwrap().secondary.is_empty());
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
fn a_file_says_what_success_is_and_how_scopes_are_written() {
    let file = |response: &str| {
        let token = "[token]\nurl = \"https://a.example.com/token\"\n[token.response]\n";
        Rig::written(&format!("{SAMPLE}{token}{response}\n"))
    };
    for (equals, good, bad) in [
        ("\"ok\"", json!("ok"), json!("OK")),
        ("1", json!(1), json!(2)),
        ("0", json!(0), json!(false)),
        ("false", json!(false), json!(true)),
    ] {
        let rig = file(&format!(
            "success = {{ pointer = \"/s\", equals = {equals} }}"
        ));
        assert!(read_as(&rig, &answer(200, &with(&json!({"s": good})))).is_ok());
        for bad in [bad, json!(null), json!([])] {
            let error = read_as(&rig, &answer(200, &with(&json!({"s": bad})))).unwrap_err();
            assert_eq!(error, ReplyError::Failure, "{equals} {bad}");
        }
    }
    for (response, told, expected) in [
        (
            "scope_separator = \"|\"",
            json!("a|b,c"),
            Some(vec!["a", "b,c"]),
        ),
        (
            "scope_form = \"string\"",
            json!("a b"),
            Some(vec!["a", "b"]),
        ),
        ("scope_form = \"string\"", json!(["a", "b"]), None),
        (
            "scope_form = \"array\"",
            json!(["a", "b"]),
            Some(vec!["a", "b"]),
        ),
        ("scope_form = \"array\"", json!("a b"), None),
    ] {
        let reply = answer(200, &with(&json!({"scope": told})));
        let scopes = read_as(&file(response), &reply).unwrap().main.scopes;
        let expected = expected.map(|all| all.into_iter().map(str::to_owned).collect());
        assert_eq!(scopes, expected, "{response} {told}");
    }
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
