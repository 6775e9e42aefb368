use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use super::{issue, telling};
use crate::clock::Timestamp;
use crate::crypto::{Jwks, Jws};
use crate::name::{FieldName, Fields};
use crate::secret::Secret;
use crate::tools::{JwtSigner, Signer, ToolSpec};

/// The keys of RFC 7515, A.2 and A.3.
const RSA: &str = include_str!("../../../tests/fixtures/jws/rfc7515-a2.pkcs1.pem");
const P256: &str = include_str!("../../../tests/fixtures/jws/rfc7515-a3.pkcs8.pem");
const NOW: i64 = 1_795_426_200;

fn signer(slot: &Value) -> JwtSigner {
    let spec = json!({
        "slug": "custom-signed", "name": "Signed", "actionsJson": {},
        "credentialsJson": {"required": ["key"], "schema": {"key": {"type": "string"}, "id": {"type": "string"}}},
        "bindings": [{"hosts": ["api.example.com"], "methods": ["GET"], "paths": ["/a"], "slots": {"key": slot, "id": {"header": "x-id"}}}],
    });
    let spec = ToolSpec::from_custom_json(spec).unwrap();
    match spec.bindings[0].signer() {
        Some((_, Signer::Jwt(signer))) => signer.clone(),
        _ => panic!("a token"),
    }
}

fn issued(slot: &Value, key: &str) -> String {
    let id = FieldName::parse("id").unwrap();
    let values = Fields::from_iter([(id, Secret::copy_of(b"Iv1.\"x\""))]);
    let key = Secret::copy_of(key.as_bytes());
    let token = issue(
        &signer(slot),
        &key,
        &values,
        Timestamp::from_millis(NOW * 1000),
    )
    .unwrap();
    let telling = telling(&token);
    let text = token.expose(|token| String::from_utf8(token.to_vec()).unwrap());
    let signature = text.rsplit('.').next().unwrap().to_owned();
    assert!(telling[0].same_as(&Secret::take(signature.into_bytes())));
    text
}

/// Header and claims of a token.
fn read(token: &str) -> (Value, Value) {
    let mut parts = token
        .split('.')
        .map(|part| BASE64URL_NOPAD.decode(part.as_bytes()).unwrap());
    let mut part = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
    (part(), part())
}

#[test]
fn a_github_app_proves_itself_for_a_few_minutes() {
    let token = issued(&json!({"githubApp": {"appField": "id"}}), RSA);
    let (header, claims) = read(&token);
    assert_eq!(header, json!({"alg": "RS256", "typ": "JWT"}));
    let expected = json!({"iss": "Iv1.\"x\"", "iat": NOW - 60, "exp": NOW + 300});
    assert_eq!(claims, expected);
    assert!(
        issued(&json!({"githubApp": {"appField": "id"}}), RSA) == token,
        "RS256 draws nothing"
    );
}

#[test]
fn a_token_says_what_the_spec_says_and_is_believed() {
    let slot = json!({"jwt": {
        "alg": "ES256", "keyId": "K1", "issuer": "team", "subjectField": "id", "audience": "api",
        "claims": {"scope": ["read"], "n": 1}, "lifetime": 30,
    }});
    let token = issued(&slot, P256);
    let (header, claims) = read(&token);
    assert_eq!(header, json!({"alg": "ES256", "kid": "K1", "typ": "JWT"}));
    let expected = json!({
        "iss": "team", "sub": "Iv1.\"x\"", "aud": "api", "scope": ["read"], "n": 1,
        "iat": NOW - 60, "exp": NOW + 30,
    });
    assert_eq!(claims, expected);
    let public = json!({"keys": [{
        "kty": "EC", "crv": "P-256", "kid": "K1",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    }]});
    let public = Jwks::parse(&serde_json::to_vec(&public).unwrap()).unwrap();
    assert!(
        Jws::parse(token.as_bytes())
            .unwrap()
            .verify(&public)
            .is_ok()
    );
}

#[test]
fn an_assertion_is_for_its_endpoint_and_for_one_use() {
    let url = "https://auth.example.com/token";
    let slot = json!({"jwtBearer": {"alg": "RS256", "issuer": "me", "tokenUrl": url}});
    let (one, other) = (issued(&slot, RSA), issued(&slot, RSA));
    let (_, claims) = read(&one);
    assert_eq!(claims["aud"], url);
    assert_eq!(claims["jti"].as_str().unwrap().len(), 32);
    assert_ne!(one, other);
}

#[test]
fn what_is_no_key_is_refused_without_being_repeated() {
    let slot = signer(&json!({"jwt": {"alg": "RS256", "issuer": "me"}}));
    let now = Timestamp::from_millis(0);
    let error = issue(&slot, &Secret::copy_of(b"canary"), &Fields::new(), now).unwrap_err();
    assert_eq!(error.code(), "placement_refused");
    assert!(!format!("{error} {error:?}").contains("canary"));
}
