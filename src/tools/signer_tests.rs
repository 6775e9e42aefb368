use serde_json::{Value, json};

use crate::tools::ToolSpec;

/// A tool with the fields `key` and `id`, and these slots.
fn tool(slots: &Value) -> Value {
    json!({
        "slug": "custom-signed", "name": "Signed",
        "credentialsJson": {"required": ["key"], "schema": {"key": {"type": "string"}, "id": {"type": "string"}}},
        "bindings": [{"hosts": ["api.example.com"], "methods": ["GET"], "paths": ["/a"], "slots": slots}],
        "actionsJson": {},
    })
}

fn load(slots: &Value) -> Result<ToolSpec, String> {
    ToolSpec::from_custom_json(tool(slots)).map_err(|error| error.to_string())
}

/// A slot of `key`; `id` has one in a header.
fn with_id(slot: &Value) -> Result<ToolSpec, String> {
    load(&json!({"key": slot, "id": {"header": "x-id"}}))
}

#[track_caller]
fn refused(slot: &Value, why: &str) {
    let error = with_id(slot).expect_err(&slot.to_string());
    assert!(error.contains(why), "{slot}: {error}");
}

fn sigv4(more: &Value) -> Value {
    let mut signer = json!({"region": "eu-central-1", "service": "s3", "accessKeyField": "id"});
    signer
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    json!({ "sigv4": signer })
}

fn hmac(more: &Value) -> Value {
    let mut signer = json!({
        "header": "x-signature", "timestampHeader": "x-time",
        "message": "{timestamp}\n{method}\n{target}\n{body_sha256}",
    });
    signer
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    json!({ "hmac": signer })
}

fn jwt(kind: &str, more: &Value) -> Value {
    let mut signer = json!({"alg": "ES256", "issuer": "me"});
    signer
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    json!({ kind: signer })
}

#[test]
fn what_was_read_is_written_and_read_again() {
    for slot in [
        sigv4(&json!({"sessionTokenField": "id"})),
        hmac(&json!({})),
        hmac(
            &json!({"hash": "sha512", "key": "base64", "encoding": "base64url", "timestamp": "rfc3339"}),
        ),
        hmac(&json!({"format": "t={timestamp},v1={signature}", "timestampHeader": null})),
        jwt(
            "jwt",
            &json!({"subject": "you", "audience": "them", "keyIdField": "id", "lifetime": 60}),
        ),
        jwt("jwt", &json!({"claims": {"scope": "read", "n": [1, true]}})),
        jwt(
            "jwtBearer",
            &json!({"tokenUrl": "https://auth.example.com/token"}),
        ),
        json!({"githubApp": {"appField": "id", "installationField": "id"}}),
        json!({"githubApp": {"app": "Iv1", "api": "https://ghe.example.com/api/v3"}}),
    ] {
        let spec = with_id(&slot).unwrap_or_else(|error| panic!("{slot}: {error}"));
        let again = ToolSpec::from_json(spec.to_json()).unwrap();
        assert_eq!(again, spec, "{slot}");
        assert!(spec.bindings[0].signer().is_some());
    }
}

#[test]
fn an_incomplete_signer_does_not_load_and_says_what_is_missing() {
    for (slot, why) in [
        (
            json!({"sigv4": {}}),
            "/bindings/0/slots/key/sigv4/region: missing",
        ),
        (
            json!({"sigv4": {"region": "eu-central-1"}}),
            "/sigv4/service: missing",
        ),
        (
            json!({"sigv4": {"region": "eu-central-1", "service": "s3"}}),
            "/sigv4/accessKeyField: missing",
        ),
        (json!({"hmac": {"header": "x-a"}}), "/hmac/message: missing"),
        (
            json!({"hmac": {"message": "{timestamp}{body}"}}),
            "/hmac/header: missing",
        ),
        (json!({"jwt": {"issuer": "me"}}), "/jwt/alg: missing"),
        (json!({"jwt": {"alg": "RS256"}}), "issuer is missing"),
        (jwt("jwtBearer", &json!({})), "/jwtBearer/tokenUrl: missing"),
        (json!({"githubApp": {}}), "client ID is missing"),
    ] {
        refused(&slot, why);
    }
}

#[test]
fn ex_13_what_is_signed_is_of_fixed_form() {
    for (slot, why) in [
        (sigv4(&json!({"region": "{region}"})), "lower-case letters"),
        (
            sigv4(&json!({"service": "s3/aws4_request"})),
            "lower-case letters",
        ),
        (sigv4(&json!({"region": ""})), "lower-case letters"),
        (sigv4(&json!({"message": "x"})), "unknown key"),
        (hmac(&json!({"message": "{body}"})), "needs {timestamp}"),
        (
            hmac(&json!({"message": "{timestamp}{target}"})),
            "needs {body}",
        ),
        (
            hmac(&json!({"message": "{timestamp}{body}{msg}"})),
            "only {method}",
        ),
        (
            hmac(&json!({"message": "{timestamp}{body}{signature}"})),
            "its own signature",
        ),
        (
            hmac(&json!({"message": "{timestamp}{body}{@a}"})),
            "no meaning",
        ),
        (hmac(&json!({"message": "{timestamp"})), "stray brace"),
        (
            hmac(&json!({"format": "{signature}{signature}"})),
            "{signature} once",
        ),
        (
            hmac(&json!({"format": "v1={signature},{body}"})),
            "{signature} once",
        ),
        (
            hmac(&json!({"format": "v1={signature}\r\n"})),
            "visible ASCII",
        ),
        (
            hmac(&json!({"timestampHeader": null})),
            "the time is sent too",
        ),
        (
            hmac(&json!({"timestampHeader": "x-signature"})),
            "headers of their own",
        ),
        (hmac(&json!({"header": "host"})), "steers"),
        (hmac(&json!({"header": "x-original-uri"})), "steers"),
        (hmac(&json!({"hash": "md5"})), "sha256 or sha512"),
    ] {
        refused(&slot, why);
    }
}

#[test]
fn ex_13_what_a_token_says_is_of_fixed_form() {
    for (slot, why) in [
        (jwt("jwt", &json!({"alg": "none"})), "RS256 or ES256"),
        (jwt("jwt", &json!({"alg": "HS256"})), "RS256 or ES256"),
        (jwt("jwt", &json!({"lifetime": 86_400})), "30 to 900"),
        (
            jwt("jwt", &json!({"claims": {"exp": 1}})),
            "set by the broker",
        ),
        (
            jwt("jwt", &json!({"claims": {"sub": "you"}})),
            "keys of their own",
        ),
        (jwt("jwt", &json!({"issuerField": "id"})), "not both"),
        (
            jwt("jwt", &json!({"tokenUrl": "https://a.example.com/"})),
            "unknown key",
        ),
        (
            jwt("jwtBearer", &json!({"tokenUrl": "/token"})),
            "a plain URL",
        ),
        (
            jwt(
                "jwtBearer",
                &json!({"tokenUrl": "https://a.example.com/t?a=b"}),
            ),
            "no query",
        ),
        (
            jwt("jwtBearer", &json!({"tokenUrl": "http://a.example.com/t"})),
            "in clear only",
        ),
        (
            json!({"githubApp": {"app": "1", "api": "https://g.example.com/v3/"}}),
            "no slash",
        ),
    ] {
        refused(&slot, why);
    }
}

#[test]
fn a_signing_key_is_never_sent() {
    let header = json!({"header": "x-key"});
    let both = json!([sigv4(&json!({})), header]);
    refused(&both, "only slot");
    refused(&sigv4(&json!({"accessKeyField": "key"})), "never sent");
    let two = json!({"key": sigv4(&json!({})), "id": hmac(&json!({}))});
    assert!(load(&two).unwrap_err().contains("one signer"));
    let paired = json!({"key": sigv4(&json!({})), "id": {"basic": "user", "withField": "key"}});
    assert!(load(&paired).is_err());
    let mut spec = tool(&json!({"key": sigv4(&json!({}))}));
    let mut open = spec["bindings"][0].clone();
    open["slots"] = json!({"key": header});
    spec["bindings"].as_array_mut().unwrap().push(open);
    let error = ToolSpec::from_custom_json(spec).unwrap_err().to_string();
    assert!(
        error.starts_with("/bindings/1/slots: a field that signs"),
        "{error}"
    );
}

#[test]
fn nothing_else_fills_the_headers_of_a_signer() {
    let taken = json!({"key": sigv4(&json!({})), "id": {"header": "authorization"}});
    assert!(load(&taken).unwrap_err().contains("same slot"));
    let taken = json!({"key": hmac(&json!({})), "id": {"header": "x-time"}});
    assert!(load(&taken).unwrap_err().contains("same slot"));
    for header in ["x-amz-date", "X-Amz-Content-Sha256", "x-amz-security-token"] {
        let mut spec = tool(&json!({"key": sigv4(&json!({}))}));
        let http =
            json!({"method": "GET", "url": "https://api.example.com/a", "headers": {header: "x"}});
        spec["actionsJson"] = json!({"a": {"http": http}});
        let error = ToolSpec::from_custom_json(spec).unwrap_err().to_string();
        assert!(error.contains("that a slot fills"), "{error}");
    }
}

#[test]
fn a_field_that_only_a_signer_speaks_of_needs_no_slot_of_its_own() {
    let spec = load(&json!({"key": sigv4(&json!({}))})).unwrap();
    let fields: Vec<_> = spec.bindings[0].fields().map(ToString::to_string).collect();
    assert_eq!(fields, ["key", "id"]);
}
