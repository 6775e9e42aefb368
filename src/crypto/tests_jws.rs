//! Signed tokens: the examples of the RFCs, keys made here, and everything that must be refused.

use data_encoding::BASE64URL_NOPAD;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPairComponents, PublicKeyComponents};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RsaEncoding, RsaKeyPair,
};
use serde_json::{Value, json};

use super::{Jwks, Jws, JwsAlg, JwsError, hmac_of};
use crate::secret::Secret;

/// RFC 7515, A.2 and A.3; RFC 8037, A.4.
const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const RS256: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const ES256: &str =
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const ED25519: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
/// RFC 7515, A.1: signed with a secret that is shared.
const HS256: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// The key of RFC 7515, A.2, which the RFC publishes whole.
const N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const D: &str = "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ";
const P: &str = "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc";
const Q: &str = "uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc";
const DP: &str = "BwKfV3Akq5_MFZDFZCnW-wzl-CCo83WoZvnLQwCTeDv8uzluRSnm71I3QCLdhrqE2e9YkxvuxdBfpT_PI7Yz-FOKnu1R6HsJeDCjn12Sk3vmAktV2zb34MCdy7cpdTh_YVr7tss2u6vneTwrA86rZtu5Mbr1C1XsmvkxHQAdYo0";
const DQ: &str = "h_96-mK1R_7glhsum81dZxjTnYynPbZpHziZjeeHcXYsXaaMwkOlODsWa7I9xXDoRwbKgB719rrmI2oKr6N3Do9U0ajaHF-NKJnwgjMd2w9cjz3_-kyNlxAr2v4IKhGNpmM5iIgOS1VZnOZ68m6_pbLBSp3nssTdlqvd0tIiTHU";
const QI: &str = "IYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd-DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd_QJQ3ydy5cY7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp_gh6A5603k2-ZQwVK0JKSHuLFkuQ3U";

fn rsa() -> Value {
    json!({"kty": "RSA", "n": N, "e": "AQAB"})
}

fn p256() -> Value {
    json!({
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
    })
}

fn ed25519() -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
}

fn set(keys: &[Value]) -> Jwks {
    Jwks::parse(&serde_json::to_vec(&json!({"keys": keys})).unwrap()).unwrap()
}

/// The key with more members.
fn with(mut key: Value, more: &Value) -> Value {
    let more = more.as_object().unwrap().clone();
    key.as_object_mut().unwrap().extend(more);
    key
}

fn encode(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

/// The first two parts.
fn parts(header: &Value, payload: &str) -> String {
    let header = encode(header.to_string().as_bytes());
    format!("{header}.{}", encode(payload.as_bytes()))
}

/// What the token says, and how it is signed; or why it is refused.
fn read(token: &str, keys: &Jwks) -> Result<(JwsAlg, String), JwsError> {
    let jws = Jws::parse(token.as_bytes())?;
    let payload = jws.verify(keys)?;
    Ok((jws.alg(), String::from_utf8(payload.to_vec()).unwrap()))
}

fn rsa_pair() -> RsaKeyPair {
    let part = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
    RsaKeyPair::from_components(&KeyPairComponents {
        public_key: PublicKeyComponents {
            n: part(N),
            e: part("AQAB"),
        },
        d: part(D),
        p: part(P),
        q: part(Q),
        dP: part(DP),
        dQ: part(DQ),
        qInv: part(QI),
    })
    .unwrap()
}

/// A token signed with the RFC's own RSA key.
fn rsa_token(header: &Value, padding: &'static dyn RsaEncoding) -> String {
    let signed = parts(header, "hello");
    let pair = rsa_pair();
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(
        padding,
        &SystemRandom::new(),
        signed.as_bytes(),
        &mut signature,
    )
    .unwrap();
    format!("{signed}.{}", encode(&signature))
}

/// A token signed with a new key on this curve, and that key.
fn ec_token(alg: &str, curve: &str, algorithm: &'static EcdsaSigningAlgorithm) -> (String, Value) {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
    let signed = parts(&json!({"alg": alg}), "hello");
    let signature = pair.sign(&random, signed.as_bytes()).unwrap();
    let (x, y) = pair.public_key().as_ref()[1..].split_at(pair.public_key().as_ref().len() / 2);
    let key = json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)});
    (format!("{signed}.{}", encode(signature.as_ref())), key)
}

#[test]
fn the_rfcs_own_examples_are_verified() {
    let keys = set(&[rsa(), p256(), ed25519()]);
    let joe = "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";
    for (token, alg, payload) in [
        (
            format!("eyJhbGciOiJSUzI1NiJ9.{JOE}.{RS256}"),
            JwsAlg::Rs256,
            joe,
        ),
        (
            format!("eyJhbGciOiJFUzI1NiJ9.{JOE}.{ES256}"),
            JwsAlg::Es256,
            joe,
        ),
        (
            ED25519.to_owned(),
            JwsAlg::EdDsa,
            "Example of Ed25519 signing",
        ),
    ] {
        assert_eq!(read(&token, &keys), Ok((alg, payload.to_owned())));
    }
}

#[test]
fn every_algorithm_of_the_list_is_verified_with_its_own_key_only() {
    let (es256, es256_key) = ec_token("ES256", "P-256", &ECDSA_P256_SHA256_FIXED_SIGNING);
    let (es384, es384_key) = ec_token("ES384", "P-384", &ECDSA_P384_SHA384_FIXED_SIGNING);
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let signed = parts(&json!({"alg": "EdDSA"}), "hello");
    let eddsa = format!("{signed}.{}", encode(pair.sign(signed.as_bytes()).as_ref()));
    let eddsa_key =
        json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref())});
    let of_rsa = |alg: &str, padding| (rsa_token(&json!({"alg": alg}), padding), rsa());
    let (rs256, rs256_key) = of_rsa("RS256", &RSA_PKCS1_SHA256);
    let (rs384, rs384_key) = of_rsa("RS384", &RSA_PKCS1_SHA384);
    let (rs512, rs512_key) = of_rsa("RS512", &RSA_PKCS1_SHA512);
    let (ps256, ps256_key) = of_rsa("PS256", &RSA_PSS_SHA256);
    let other = [p256(), ed25519()];
    for (token, key, alg) in [
        (rs256, rs256_key, JwsAlg::Rs256),
        (rs384, rs384_key, JwsAlg::Rs384),
        (rs512, rs512_key, JwsAlg::Rs512),
        (ps256, ps256_key, JwsAlg::Ps256),
        (es256, es256_key, JwsAlg::Es256),
        (es384, es384_key, JwsAlg::Es384),
        (eddsa, eddsa_key, JwsAlg::EdDsa),
    ] {
        assert_eq!(read(&token, &set(&[key])), Ok((alg, "hello".to_owned())));
        let refused = read(&token, &set(&other)).unwrap_err();
        let expected = if matches!(alg, JwsAlg::Es256 | JwsAlg::EdDsa) {
            JwsError::Signature
        } else {
            JwsError::UnknownKey
        };
        assert_eq!(refused, expected, "{alg:?}");
    }
}

#[test]
fn o1_no_algorithm_but_those_of_the_list_is_accepted() {
    let keys = set(&[
        rsa(),
        p256(),
        json!({"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}),
    ]);
    assert_eq!(read(HS256, &keys), Err(JwsError::Algorithm));
    // RFC 7515, A.5.
    assert_eq!(
        read(&format!("eyJhbGciOiJub25lIn0.{JOE}."), &keys),
        Err(JwsError::Algorithm)
    );
    for alg in [
        "none", "None", "nOnE", "", "HS384", "rs256", "RS256 ", "PS384", "PS512", "ES512",
        "ES256K", "RSA1_5", "Ed25519",
    ] {
        let token = format!("{}.{RS256}", parts(&json!({"alg": alg}), "hello"));
        assert_eq!(read(&token, &keys), Err(JwsError::Algorithm), "{alg}");
    }
    // A key pair's public half as a shared secret.
    let modulus = Secret::take(BASE64URL_NOPAD.decode(N.as_bytes()).unwrap());
    let signed = parts(&json!({"alg": "HS256"}), "hello");
    let confused = format!("{signed}.{}", encode(&hmac_of(&modulus, signed.as_bytes())));
    assert_eq!(read(&confused, &keys), Err(JwsError::Algorithm));
    // One that the key could make, and the list has not.
    let pss = rsa_token(&json!({"alg": "PS384"}), &RSA_PSS_SHA384);
    assert_eq!(read(&pss, &keys), Err(JwsError::Algorithm));
    // The padding is part of the algorithm.
    let padded = rsa_token(&json!({"alg": "PS256"}), &RSA_PKCS1_SHA256);
    assert_eq!(read(&padded, &keys), Err(JwsError::Signature));
}

#[test]
fn o1_a_header_brings_no_keys_and_demands_nothing() {
    let attacker = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let own = json!({
        "kty": "OKP", "crv": "Ed25519", "x": encode(attacker.public_key().as_ref())
    });
    for header in [
        json!({"alg": "EdDSA", "jwk": own}),
        json!({"alg": "EdDSA", "jku": "https://attacker.example/keys"}),
        json!({"alg": "EdDSA", "x5u": "https://attacker.example/cert", "x5c": ["MIIB"]}),
    ] {
        let signed = parts(&header, "hello");
        let token = format!(
            "{signed}.{}",
            encode(attacker.sign(signed.as_bytes()).as_ref())
        );
        assert_eq!(read(&token, &set(&[ed25519()])), Err(JwsError::Signature));
        assert_eq!(read(&token, &set(&[rsa()])), Err(JwsError::UnknownKey));
    }
    let critical = rsa_token(
        &json!({"alg": "RS256", "crit": ["b64"], "b64": false}),
        &RSA_PKCS1_SHA256,
    );
    assert_eq!(read(&critical, &set(&[rsa()])), Err(JwsError::Critical));
}

#[test]
fn o1_the_key_is_the_one_that_the_token_names() {
    let named = |kid: &str| with(rsa(), &json!({"kid": kid}));
    let token = |header| rsa_token(&header, &RSA_PKCS1_SHA256);
    let (with_kid, without) = (
        token(json!({"alg": "RS256", "kid": "b"})),
        token(json!({"alg": "RS256"})),
    );
    assert!(read(&with_kid, &set(&[named("a"), named("b")])).is_ok());
    assert_eq!(
        read(&with_kid, &set(&[named("a"), rsa()])),
        Err(JwsError::UnknownKey)
    );
    assert!(read(&without, &set(&[named("a"), p256()])).is_ok());
    assert_eq!(
        read(&without, &set(&[named("a"), named("b")])),
        Err(JwsError::UnknownKey)
    );
    for (more, fits) in [
        (json!({"alg": "RS256", "use": "sig"}), true),
        (json!({"key_ops": ["verify"]}), true),
        (json!({"alg": "RS512"}), false),
        (json!({"alg": "RSA-OAEP"}), false),
        (json!({"use": "enc"}), false),
        (json!({"use": null}), false),
        (json!({"key_ops": ["encrypt"]}), false),
    ] {
        let keys = set(&[with(rsa(), &more)]);
        let expected = if fits {
            None
        } else {
            Some(JwsError::UnknownKey)
        };
        assert_eq!(read(&without, &keys).err(), expected, "{more}");
    }
    for kid in [json!("k".repeat(257)), json!(7), json!(null)] {
        let token = token(json!({"alg": "RS256", "kid": kid}));
        assert_eq!(read(&token, &set(&[rsa()])), Err(JwsError::Form));
    }
}

#[test]
fn o1_one_changed_byte_anywhere_is_refused() {
    let keys = set(&[ed25519()]);
    for at in 0..ED25519.len() {
        for other in ['A', 'x', '.', '=', ' ', '/'] {
            let mut token = ED25519.to_owned();
            token.replace_range(at..=at, &other.to_string());
            if token != ED25519 {
                assert!(read(&token, &keys).is_err(), "{token}");
            }
        }
    }
    let twice = encode(br#"{"alg":"EdDSA","alg":"EdDSA"}"#);
    for token in [
        String::new(),
        "..".to_owned(),
        "a.b".to_owned(),
        format!("{ED25519}."),
        format!("{ED25519}.{ED25519}"),
        format!("{ED25519}="),
        format!("{ED25519}\n"),
        ED25519.replacen("eyJhbGciOiJFZERTQSJ9", &twice, 1),
        ED25519.replacen("eyJhbGciOiJFZERTQSJ9", &encode(b"[]"), 1),
        ED25519.replacen("eyJhbGciOiJFZERTQSJ9", &encode(b"{}"), 1),
        format!("{ED25519}{}", "A".repeat(64 * 1024)),
    ] {
        assert_eq!(read(&token, &keys), Err(JwsError::Form), "{token}");
    }
}

#[test]
fn broken_keys_are_left_out_and_broken_sets_refused() {
    let token = rsa_token(&json!({"alg": "RS256"}), &RSA_PKCS1_SHA256);
    let zero = encode(&[&[0], &BASE64URL_NOPAD.decode(N.as_bytes()).unwrap()[..]].concat());
    let mixed = [
        json!("a key"),
        json!({"kty": "RSA"}),
        json!({"kty": "RSA", "n": "!", "e": "AQAB"}),
        json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}),
        json!({"kty": "OKP", "crv": "X25519", "x": "3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08"}),
        json!({"kty": "RSA", "n": zero, "e": "AQAB"}),
    ];
    assert!(read(&token, &set(&mixed)).is_ok());
    let short = json!({"kty": "RSA", "n": "3q2-7w", "e": "AQAB"});
    assert_eq!(read(&token, &set(&[short])), Err(JwsError::Signature));
    let many = json!({"keys": vec![rsa(); 101]}).to_string();
    let large = format!("{{\"keys\":[],\"a\":\"{}\"}}", "a".repeat(256 * 1024));
    for text in [
        "",
        "[]",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":[],"keys":[]}"#,
        "<html>",
        &many,
        &large,
    ] {
        assert!(
            matches!(Jwks::parse(text.as_bytes()), Err(JwsError::Keys)),
            "{text}"
        );
    }
}

/// OpenID Connect Core, 3.1.3.6 and A.3, whose token this is.
#[test]
fn the_left_half_of_a_hash_is_of_the_algorithms_own_hash() {
    let token = b"jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
    assert_eq!(
        encode(&JwsAlg::Rs256.left_half(token)),
        "77QmUPtjPfzWtF2AnpK9RQ"
    );
    for (alg, len) in [
        (JwsAlg::Ps256, 16),
        (JwsAlg::Es256, 16),
        (JwsAlg::Rs384, 24),
        (JwsAlg::Es384, 24),
        (JwsAlg::Rs512, 32),
        (JwsAlg::EdDsa, 32),
    ] {
        assert_eq!(alg.left_half(token).len(), len, "{alg:?}");
    }
}
