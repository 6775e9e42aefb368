use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::sign;
use crate::broker::sign::{Surroundings, Unsigned};
use crate::clock::Timestamp;
use crate::secret::Secret;
use crate::tools::{HmacSigner, Signer, ToolSpec};

const TIME: &str = "2026-11-23T09:30:00Z";
const PLAIN: &str = "0690de2ee182be66fa5446e659659b32629441b0cf6405bf99c4af1b7432bcf4";
const OTHER: &str =
    "lppE80V7aUTF8c+xgXvUkBJhuNGleDDiTiahvNr4nYheF2GUrEBpmkycPhg1gsk4y8/ctfqjpRUyLByqtZzj0A==";

fn signer(more: &Value) -> HmacSigner {
    let mut signer = json!({
        "header": "x-signature", "timestampHeader": "x-time",
        "message": "{timestamp}\n{method}\n{host}\n{target}\n{body}",
    });
    signer
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let spec = json!({
        "slug": "custom-signed", "name": "Signed", "actionsJson": {},
        "credentialsJson": {"required": ["key"], "schema": {"key": {"type": "string"}}},
        "bindings": [{"hosts": ["api.example.com"], "methods": ["GET"], "paths": ["/a"], "slots": {"key": {"hmac": signer}}}],
    });
    let spec = ToolSpec::from_custom_json(spec).unwrap();
    match spec.bindings[0].signer() {
        Some((_, Signer::Hmac(signer))) => signer.clone(),
        _ => panic!("an HMAC signer"),
    }
}

/// The headers of a signed request.
fn headers(signer: &HmacSigner, key: &str, target: (&str, &str), body: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let (path, query) = target;
    let mut request = Unsigned {
        method: &Method::POST,
        path: &mut Zeroizing::new(path.to_owned()),
        query: &mut Zeroizing::new(query.to_owned()),
        headers: &mut headers,
        body: &Bytes::from_static(body.as_bytes()),
    };
    let around = Surroundings {
        authority: "api.example.com",
        now: Timestamp::parse(TIME).unwrap(),
        token: None,
    };
    let key = Secret::copy_of(key.as_bytes());
    let made = sign(&mut request, signer, &key, &around).unwrap();
    let header = headers.get(&signer.header).unwrap().as_bytes();
    let made = made[0].expose(<[u8]>::to_vec);
    assert!(header.windows(made.len()).any(|window| window == made));
    headers
}

/// Each was computed with `openssl dgst -mac HMAC` over the message that stands beside it.
#[test]
fn a_message_of_fixed_form_is_signed() {
    // 1795426200\nPOST\napi.example.com\n/a?b=c\n{}
    let plain = headers(&signer(&json!({})), "Jefe", ("/a", "b=c"), "{}");
    assert_eq!(plain["x-signature"], PLAIN);
    assert_eq!(plain["x-time"], "1795426200");
    // 1795426200000./a..44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
    let other = signer(&json!({
        "hash": "sha512", "key": "hex", "encoding": "base64", "timestamp": "unix_ms",
        "message": "{timestamp}.{path}.{query}.{body_sha256}", "timestampHeader": null,
        "format": "t={timestamp},v1={signature}",
    }));
    let found = headers(&other, "4a656665", ("/a", ""), "{}");
    assert_eq!(found["x-signature"], format!("t=1795426200000,v1={OTHER}"));
    assert_eq!(found.len(), 1);
}

#[test]
fn a_signature_depends_on_every_part_of_the_message() {
    let signer = signer(&json!({}));
    let sign = |key: &str, target: (&str, &str), body| {
        headers(&signer, key, target, body)["x-signature"].clone()
    };
    let plain = sign("Jefe", ("/a", "b=c"), "{}");
    for changed in [
        sign("jefe", ("/a", "b=c"), "{}"),
        sign("Jefe", ("/b", "b=c"), "{}"),
        sign("Jefe", ("/a", "b=d"), "{}"),
        sign("Jefe", ("/a", ""), "{}"),
        sign("Jefe", ("/a", "b=c"), "{ }"),
    ] {
        assert_ne!(changed, plain);
    }
}

#[test]
fn a_key_that_is_not_written_as_the_tool_says_signs_nothing() {
    for form in ["hex", "base64"] {
        let signer = signer(&json!({ "key": form }));
        let mut headers = HeaderMap::new();
        let mut request = Unsigned {
            method: &Method::GET,
            path: &mut Zeroizing::new("/a".to_owned()),
            query: &mut Zeroizing::default(),
            headers: &mut headers,
            body: &Bytes::new(),
        };
        let around = Surroundings {
            authority: "api.example.com",
            now: Timestamp::parse(TIME).unwrap(),
            token: None,
        };
        let key = Secret::copy_of(b"not either!");
        let error = sign(&mut request, &signer, &key, &around).unwrap_err();
        assert_eq!(error.code(), "placement_refused");
        assert!(headers.is_empty());
    }
}
