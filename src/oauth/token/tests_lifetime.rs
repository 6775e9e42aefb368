//! When tokens end, in every spelling.

use serde_json::{Value, json};

use super::tests_rig::{Rig, SAMPLE, json as answer, now, read, read_as, with};
use super::{Subject, read_tokens};

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
fn r18_every_unit_is_counted_and_a_refresh_may_have_to_wait() {
    let text = SAMPLE.to_owned()
        + r#"[token]
url = "https://a.example.com/token"
[token.response]
expires = [{ pointer = "/ms", unit = "ms" }, { pointer = "/epoch", unit = "epoch_ms" }]
not_before_refresh = { pointer = "/earliest", unit = "epoch_s" }
"#;
    let rig = Rig::written(&text);
    let tokens = |more: Value| read_as(&rig, &answer(200, &with(&more))).unwrap().main;
    let left = |end: Option<crate::clock::Timestamp>| end.unwrap().millis_since(now());
    assert_eq!(left(tokens(json!({"ms": 1500})).expires_at), 1500);
    let epoch = json!({"epoch": 1_795_426_260_500_i64});
    assert_eq!(left(tokens(epoch).expires_at), 60_500);
    assert_eq!(tokens(json!({"expires_in": 60})).expires_at, None);
    let waits = tokens(json!({"earliest": 1_795_426_290}));
    assert_eq!(left(waits.not_before_refresh), 90_000);
    let over = tokens(json!({"earliest": 1}));
    assert_eq!(left(over.not_before_refresh), 0);
    assert_eq!(tokens(json!({})).not_before_refresh, None);
}
