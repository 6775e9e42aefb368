//! ID tokens: one that is believed, and each single thing that makes it unbelievable.

use data_encoding::BASE64URL_NOPAD;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use super::tests_rig::{NOW_S, now, secret};
use super::{Expected, IdClaims, IdTokenError, Proof, check_id_token};
use crate::crypto::{Jwks, JwsAlg, JwsError};
use crate::secret::Secret;

const ISSUER: &str = "https://login.example.com";

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn encode(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

fn keys() -> Jwks {
    let x = encode(pair(1).public_key().as_ref());
    let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": x}]});
    Jwks::parse(&serde_json::to_vec(&keys).unwrap()).unwrap()
}

fn sign(header: &Value, claims: &str, seed: u8) -> Secret {
    let header = encode(header.to_string().as_bytes());
    let signed = format!("{header}.{}", encode(claims.as_bytes()));
    let signature = pair(seed).sign(signed.as_bytes());
    secret(&format!("{signed}.{}", encode(signature.as_ref())))
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "ada", "aud": "client-0001", "nonce": "n0nce",
        "iat": NOW_S - 5, "exp": NOW_S + 300, "email": "ada@acme.example"
    })
}

/// The claims with some of them changed; null takes one away.
fn changed(changes: &Value) -> Value {
    let mut claims = claims();
    let all = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            all.remove(name);
        } else {
            all.insert(name.clone(), value.clone());
        }
    }
    claims
}

fn expected() -> Expected<'static> {
    Expected {
        issuer: ISSUER,
        client_id: "client-0001",
        nonce: Some("n0nce"),
        access_token: None,
        now: now(),
    }
}

fn check(claims: &Value, expected: &Expected<'_>) -> Result<IdClaims, IdTokenError> {
    let token = sign(
        &json!({"alg": "EdDSA", "kid": "k1"}),
        &claims.to_string(),
        1,
    );
    check_id_token(&token, Proof::Keys(&keys()), expected)
}

#[test]
fn o1_a_token_that_agrees_with_everything_is_believed() {
    let believed = check(&claims(), &expected()).unwrap();
    assert_eq!((believed.issuer(), believed.subject()), (ISSUER, "ada"));
    assert_eq!(believed.value()["email"], "ada@acme.example");
    for change in [
        json!({"aud": ["client-0001"]}),
        json!({"aud": ["other", "client-0001"], "azp": "client-0001"}),
        json!({"azp": "client-0001"}),
        json!({"exp": NOW_S - 59}),
        json!({"exp": 1_795_426_210.5}),
        json!({"iat": NOW_S + 60}),
        json!({"nbf": NOW_S + 60}),
    ] {
        assert!(check(&changed(&change), &expected()).is_ok(), "{change}");
    }
}

#[test]
fn o1_each_single_change_is_refused() {
    for (change, error) in [
        (
            json!({"iss": "https://login.example.com/"}),
            IdTokenError::Issuer,
        ),
        (
            json!({"iss": "http://login.example.com"}),
            IdTokenError::Issuer,
        ),
        (json!({"iss": "https://evil.example"}), IdTokenError::Issuer),
        (json!({"iss": [ISSUER]}), IdTokenError::Issuer),
        (json!({"iss": null}), IdTokenError::Issuer),
        (json!({"aud": "client-0002"}), IdTokenError::Audience),
        (json!({"aud": []}), IdTokenError::Audience),
        (json!({"aud": ["client-0002"]}), IdTokenError::Audience),
        (json!({"aud": null}), IdTokenError::Audience),
        (
            json!({"aud": ["client-0001", "other"]}),
            IdTokenError::Audience,
        ),
        (
            json!({"aud": ["client-0001", "other"], "azp": "other"}),
            IdTokenError::Audience,
        ),
        (json!({"azp": "other"}), IdTokenError::Audience),
        (json!({"azp": 7}), IdTokenError::Audience),
        (json!({"exp": NOW_S - 60}), IdTokenError::Expired),
        (json!({"exp": NOW_S - 61}), IdTokenError::Expired),
        (json!({"exp": "never"}), IdTokenError::Expired),
        (
            json!({"exp": (NOW_S + 300).to_string()}),
            IdTokenError::Expired,
        ),
        (json!({"exp": null}), IdTokenError::Expired),
        (json!({"iat": NOW_S + 61}), IdTokenError::Early),
        (json!({"iat": null}), IdTokenError::Early),
        (json!({"nbf": NOW_S + 61}), IdTokenError::Early),
        (json!({"nbf": "now"}), IdTokenError::Early),
        (json!({"nonce": "other"}), IdTokenError::Nonce),
        (json!({"nonce": ["n0nce"]}), IdTokenError::Nonce),
        (json!({"nonce": null}), IdTokenError::Nonce),
        (json!({"sub": ""}), IdTokenError::Subject),
        (json!({"sub": 7}), IdTokenError::Subject),
        (json!({"sub": "s".repeat(256)}), IdTokenError::Subject),
        (json!({"sub": "a\nb"}), IdTokenError::Subject),
        (json!({"sub": null}), IdTokenError::Subject),
    ] {
        let refused = check(&changed(&change), &expected()).unwrap_err();
        assert_eq!(refused, error, "{change}");
    }
}

#[test]
fn o1_forged_signatures_headers_and_forms_are_refused() {
    let text = claims().to_string();
    let (good, keys) = (json!({"alg": "EdDSA", "kid": "k1"}), keys());
    let twice = text.replacen("\"sub\"", "\"sub\":\"eve\",\"sub\"", 1);
    let unsigned = format!(
        "{}.{}.",
        encode(br#"{"alg":"none"}"#),
        encode(text.as_bytes())
    );
    for (token, error) in [
        (
            sign(&good, &text, 2),
            IdTokenError::Signed(JwsError::Signature),
        ),
        (
            sign(&json!({"alg": "EdDSA", "kid": "k2"}), &text, 1),
            IdTokenError::Signed(JwsError::UnknownKey),
        ),
        (
            sign(&json!({"alg": "HS256", "kid": "k1"}), &text, 1),
            IdTokenError::Signed(JwsError::Algorithm),
        ),
        (
            sign(
                &json!({"alg": "EdDSA", "kid": "k1", "crit": ["x"]}),
                &text,
                1,
            ),
            IdTokenError::Signed(JwsError::Critical),
        ),
        (secret(&unsigned), IdTokenError::Signed(JwsError::Algorithm)),
        (
            secret("eyfixture.idToken.0001"),
            IdTokenError::Signed(JwsError::Form),
        ),
        (sign(&good, &twice, 1), IdTokenError::Claims),
        (sign(&good, "[]", 1), IdTokenError::Claims),
        (sign(&good, "", 1), IdTokenError::Claims),
    ] {
        let refused = check_id_token(&token, Proof::Keys(&keys), &expected());
        assert_eq!(refused.unwrap_err(), error);
        let newer = error == IdTokenError::Signed(JwsError::UnknownKey);
        assert_eq!(error.may_need_newer_keys(), newer);
    }
}

#[test]
fn a_token_straight_from_the_endpoint_needs_no_keys_and_all_its_claims() {
    let header = json!({"alg": "EdDSA", "kid": "unknown"});
    let direct = |claims: &Value| {
        let token = sign(&header, &claims.to_string(), 2);
        check_id_token(&token, Proof::Direct, &expected())
    };
    assert!(direct(&claims()).is_ok());
    let other = changed(&json!({"aud": "other"}));
    assert_eq!(direct(&other).unwrap_err(), IdTokenError::Audience);
    let none = format!(
        "{}.{}.",
        encode(br#"{"alg":"none"}"#),
        encode(claims().to_string().as_bytes())
    );
    let refused = check_id_token(&secret(&none), Proof::Direct, &expected()).unwrap_err();
    assert_eq!(refused, IdTokenError::Signed(JwsError::Algorithm));
}

#[test]
fn a6_a_nonce_is_demanded_exactly_when_one_was_sent() {
    let silent = changed(&json!({"nonce": null}));
    assert!(check(&silent, &expected()).is_err());
    let refreshed = Expected {
        nonce: None,
        ..expected()
    };
    assert!(check(&silent, &refreshed).is_ok());
    assert!(check(&claims(), &refreshed).is_ok());
}

#[test]
fn the_access_token_is_the_one_that_was_signed_for() {
    let (own, other) = (secret("ACCESS"), secret("OTHER"));
    let with = |token| Expected {
        access_token: Some(token),
        ..expected()
    };
    let half = encode(&JwsAlg::EdDsa.left_half(b"ACCESS"));
    let hashed = changed(&json!({"at_hash": half}));
    assert!(check(&hashed, &with(&own)).is_ok());
    assert_eq!(
        check(&hashed, &with(&other)).unwrap_err(),
        IdTokenError::AccessToken
    );
    assert!(
        check(&claims(), &with(&other)).is_ok(),
        "at_hash may be absent"
    );
    for told in [json!(""), json!(7), json!(half.to_lowercase())] {
        let claims = changed(&json!({"at_hash": told}));
        assert_eq!(
            check(&claims, &with(&own)).unwrap_err(),
            IdTokenError::AccessToken
        );
    }
}

#[test]
fn r13_a_refresh_keeps_issuer_and_subject() {
    let believed = check(&claims(), &expected()).unwrap();
    assert_eq!(believed.continue_for(ISSUER, "ada"), Ok(()));
    for (issuer, subject) in [
        (ISSUER, "eve"),
        (ISSUER, "Ada"),
        ("https://login.example.com/", "ada"),
        ("https://other.example", "ada"),
    ] {
        let refused = believed.continue_for(issuer, subject);
        assert_eq!(refused, Err(IdTokenError::Account));
    }
}

#[test]
fn o1_userinfo_is_of_the_account_that_the_token_names() {
    let believed = check(&claims(), &expected()).unwrap();
    assert_eq!(
        believed.agrees_with_userinfo(&json!({"sub": "ada"})),
        Ok(())
    );
    for userinfo in [json!({"sub": "eve"}), json!({}), json!({"sub": ["ada"]})] {
        let refused = believed.agrees_with_userinfo(&userinfo);
        assert_eq!(refused, Err(IdTokenError::Account), "{userinfo}");
    }
}
