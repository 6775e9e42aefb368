//! Discovery: which document is asked for, and which is believed.

use serde_json::{Value, json};

use super::tests_rig::Rig;
use super::{MAX_METADATA, MetadataError, issuer_of, metadata_url, read_metadata};
use crate::oauth::provider::Reach;
use crate::oauth::provider::spec::{ClientAuth, Discovery};

const ISSUER: &str = "https://login.example.com/tenant";

fn document() -> Value {
    json!({
        "issuer": ISSUER,
        "authorization_endpoint": "https://login.example.com/authorize",
        "token_endpoint": "https://api.example.com/token?tenant=1",
        "revocation_endpoint": "https://api.example.com/revoke",
        "userinfo_endpoint": "https://api.example.com/me",
        "jwks_uri": "https://keys.example.net/keys",
        "device_authorization_endpoint": "https://api.example.com/device",
        "authorization_response_iss_parameter_supported": true,
        "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_post", "none"],
        "claims_supported": ["sub"]
    })
}

fn read(document: &Value, ranges: &[&str]) -> Result<super::Endpoints, MetadataError> {
    read_of(ISSUER, document, ranges)
}

fn read_of(
    issuer: &str,
    document: &Value,
    ranges: &[&str],
) -> Result<super::Endpoints, MetadataError> {
    let ranges: Vec<_> = ranges.iter().map(|range| range.parse().unwrap()).collect();
    let reach = Reach::within(&ranges);
    read_metadata(issuer, document.to_string().as_bytes(), &reach)
}

#[test]
fn m1_the_document_is_behind_the_issuer_or_inside_its_path() {
    for (issuer, oidc, rfc8414) in [
        (
            "https://a.test",
            "https://a.test/.well-known/openid-configuration",
            "https://a.test/.well-known/oauth-authorization-server",
        ),
        (
            "https://a.test/",
            "https://a.test/.well-known/openid-configuration",
            "https://a.test/.well-known/oauth-authorization-server",
        ),
        (
            "https://a.test:8443/b/c/",
            "https://a.test:8443/b/c/.well-known/openid-configuration",
            "https://a.test:8443/.well-known/oauth-authorization-server/b/c",
        ),
    ] {
        for (discovery, expected) in [(Discovery::Oidc, oidc), (Discovery::Rfc8414, rfc8414)] {
            let url = metadata_url(issuer, discovery).unwrap();
            assert_eq!(
                format!("{}{}", url.origin(), url.path_and_query()),
                expected
            );
        }
        let error = metadata_url(issuer, Discovery::None);
        assert_eq!(error, Err(MetadataError::NotDiscovered));
    }
    for issuer in [
        "",
        "a.test",
        "https://a.test/?b",
        "https://a.test/#b",
        "https://u@a.test",
    ] {
        let error = metadata_url(issuer, Discovery::Oidc);
        assert_eq!(error, Err(MetadataError::Issuer), "{issuer}");
    }
}

#[test]
fn the_issuer_of_a_connection_has_its_parameters_in_it() {
    for (id, issuer) in [
        ("oidc", Some("https://login.example.com")),
        ("auth0", Some("https://acme.eu.auth0.com/")),
        ("google", Some("https://accounts.google.com")),
        ("github", None),
    ] {
        let rig = Rig::shipped(id);
        let found = issuer_of(&rig.provider, &rig.bound).unwrap();
        assert_eq!(found.as_deref(), issuer);
    }
}

#[test]
fn m1_endpoints_are_read_from_the_issuers_own_document() {
    let found = read(&document(), &[]).unwrap();
    let text = |url: Option<crate::egress::Url>| {
        url.map(|url| format!("{}{}", url.origin(), url.path_and_query()))
    };
    assert_eq!(found.issuer, ISSUER);
    assert!(found.iss_parameter_supported);
    let ways = [
        ClientAuth::PrivateKeyJwt,
        ClientAuth::Post,
        ClientAuth::None,
    ];
    assert_eq!(found.client_auth, ways);
    for (url, expected) in [
        (found.authorization, "https://login.example.com/authorize"),
        (found.token, "https://api.example.com/token?tenant=1"),
        (found.revocation, "https://api.example.com/revoke"),
        (found.userinfo, "https://api.example.com/me"),
        (found.jwks_uri, "https://keys.example.net/keys"),
        (found.device_authorization, "https://api.example.com/device"),
    ] {
        assert_eq!(text(url).as_deref(), Some(expected));
    }
    let bare = read(&json!({"issuer": ISSUER, "userinfo_endpoint": null}), &[]).unwrap();
    assert_eq!((bare.token, bare.userinfo), (None, None));
    assert!(bare.client_auth.is_empty());
    assert!(!bare.iss_parameter_supported);
}

#[test]
fn m1_the_issuer_is_equal_byte_for_byte() {
    for issuer in [
        json!("https://login.example.com/tenant/"),
        json!("https://login.example.com/Tenant"),
        json!("https://LOGIN.example.com/tenant"),
        json!("https://login.example.com:443/tenant"),
        json!("http://login.example.com/tenant"),
        json!([ISSUER]),
        json!(null),
    ] {
        let mut document = document();
        document["issuer"] = issuer;
        assert_eq!(read(&document, &[]), Err(MetadataError::OtherIssuer));
    }
    let twice = format!("{{\"issuer\":\"https://evil.example\",\"issuer\":\"{ISSUER}\"}}");
    let error = read_metadata(ISSUER, twice.as_bytes(), &Reach::public());
    assert_eq!(error, Err(MetadataError::Form));
}

#[test]
fn m1_endpoints_are_https_or_in_the_ranges_of_an_issuer_that_is_asked_in_cleartext() {
    for value in [
        json!("http://api.example.com/token"),
        json!("https://user@api.example.com/token"),
        json!("https://api.example.com/token#x"),
        json!("javascript:alert(1)"),
        json!("/token"),
        json!(""),
        json!(7),
    ] {
        for endpoint in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
            let mut document = document();
            document[endpoint] = value.clone();
            let error = read(&document, &["10.1.0.0/16"]);
            assert_eq!(error, Err(MetadataError::Endpoint { endpoint }), "{value}");
        }
    }
    let mut document = document();
    document["token_endpoint"] = json!("http://10.1.0.5/token");
    // An issuer out there does not choose where in here cleartext goes.
    assert!(read(&document, &["10.1.0.0/16"]).is_err());
    let own = "http://10.1.0.5/tenant";
    document["issuer"] = json!(own);
    for (ranges, usable) in [
        (&["10.1.0.0/16"][..], true),
        (&["10.2.0.0/16"], false),
        (&[], false),
    ] {
        let read = read_of(own, &document, ranges);
        assert_eq!(read.is_ok(), usable, "{ranges:?}");
    }
}

#[test]
fn m1_a_document_that_is_none_or_too_large_is_not_read() {
    let mut large = document();
    large["padding"] = json!("a".repeat(MAX_METADATA));
    assert_eq!(read(&large, &[]), Err(MetadataError::Form));
    for body in ["", "[]", "<html>", "\"https://login.example.com/tenant\""] {
        let error = read_metadata(ISSUER, body.as_bytes(), &Reach::public());
        assert_eq!(error, Err(MetadataError::Form), "{body}");
    }
}
