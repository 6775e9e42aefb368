//! Keys of an issuer: fetched once, and again when one is missing, but not by whoever likes.

use serde_json::json;

use super::provider::Reach;
use super::tests_rig::{Engine, Fault};
use super::token::{Endpoints, read_metadata};
use crate::id::OrgId;

const MINUTE: i64 = 60_000;

const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fn endpoints(engine: &Engine) -> Endpoints {
    let issuer = format!("http://{}", engine.issuer.addr);
    let document = json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/keys") });
    let reach = Reach::within(&["127.0.0.0/8".parse().unwrap()]);
    read_metadata(&issuer, document.to_string().as_bytes(), &reach).unwrap()
}

#[tokio::test]
async fn m1_a_missing_key_has_them_fetched_once_more_and_at_most_once_a_minute() {
    let engine = Engine::new("", true, 0).await;
    let endpoints = endpoints(&engine);
    let fetched = || engine.issuer.asked("/keys").len();
    for _ in 0..10 {
        engine.issuer.fault(Fault::Answer(200, KEYS));
    }
    // Time passes; is a key missing; so many fetches in all.
    for (later, missing, fetches) in [
        (0, false, 1),
        (MINUTE, false, 1),
        // One that is missing a minute after the last fetch: once, however often it is missing.
        (0, true, 2),
        (0, true, 2),
        (MINUTE - 1, true, 2),
        (1, true, 3),
        (59 * MINUTE, false, 3),
        (MINUTE, false, 4),
    ] {
        engine.rig.clock.advance_millis(later);
        let keys = engine
            .accounts
            .keys(engine.org, &endpoints, missing, engine.now())
            .await;
        assert!(keys.unwrap().is_some());
        assert_eq!(fetched(), fetches, "{later} {missing}");
    }
    // What one organisation asked for is no other's.
    let other = OrgId::from_bytes([2; 16]);
    let keys = engine.accounts.keys(other, &endpoints, false, engine.now());
    assert!(keys.await.unwrap().is_some());
    assert_eq!(fetched(), 5);
}

#[tokio::test]
async fn m1_keys_that_cannot_be_fetched_replace_none_that_are_known() {
    let engine = Engine::new("", true, 0).await;
    let endpoints = endpoints(&engine);
    engine.issuer.fault(Fault::Answer(200, KEYS));
    let keys = engine
        .accounts
        .keys(engine.org, &endpoints, false, engine.now());
    assert!(keys.await.is_ok());
    engine.rig.clock.advance_millis(2 * MINUTE);
    for (status, body) in [(503, ""), (200, "<html>"), (200, "{}")] {
        engine.issuer.fault(Fault::Answer(status, body));
        let now = engine.now();
        let keys = engine.accounts.keys(engine.org, &endpoints, true, now);
        assert!(keys.await.is_err(), "{status} {body}");
        // Whoever shows a key that is known is not turned away for it.
        let known = engine.accounts.keys(engine.org, &endpoints, false, now);
        assert!(known.await.unwrap().is_some());
    }
}
