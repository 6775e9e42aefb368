//! `private_key_jwt` (RFC 7523): a client with a key says nothing that could be used again, or elsewhere.

use serde_json::{Value, json};

use super::tests_rig::{ID, NOW_S, Received, Rig, SAMPLE, secret};
use super::{
    CodeGrant, RequestError, Standing, TokenRequest, code_request, device_request, refresh_request,
    revoke_requests,
};
use crate::crypto::{Jwks, Jws};
use crate::oauth::provider::spec::ClientAuth;
use crate::oauth::provider::{Provider, Reach};

const PEM: &str = include_str!("../../../tests/fixtures/jws/rfc7515-a3.pkcs8.pem");
const JWK: &str = include_str!("../../../tests/fixtures/jws/rfc7515-a3.jwk.json");
const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

const TOKEN: &str = r#"
[token]
url = "https://a.example.com/token"
client_auth = "private_key_jwt"
[device]
url = "https://a.example.com/device"
[[revoke]]
url = "https://a.example.com/revoke"
"#;

fn file(more: &str) -> String {
    let named = "id = \"sample\"\nissuer = \"https://a.example.com\"\n";
    let sample = SAMPLE.replace("id = \"sample\"\n", named);
    let sample = sample.replace("revoke_reason = \"a sample\"\n", "");
    format!("{sample}{TOKEN}{more}")
}

fn rig(key: &str) -> Rig {
    let mut rig = Rig::written(&file(""));
    rig.secret = Some(secret(key));
    rig.endpoints = None;
    rig
}

/// What the token says to the one who has the client's public key.
fn claims(request: &TokenRequest) -> Value {
    let received = Received::of(request);
    assert_eq!(received.basic, None, "{received:?}");
    assert_eq!(received.member("client_secret"), None);
    assert_eq!(received.member("client_assertion_type"), Some(KIND));
    let mut public: Value = serde_json::from_str(JWK).unwrap();
    public.as_object_mut().unwrap().remove("d");
    let keys = Jwks::parse(json!({"keys": [public]}).to_string().as_bytes()).unwrap();
    let token = received.member("client_assertion").unwrap();
    let token = Jws::parse(token.as_bytes()).unwrap();
    serde_json::from_slice(token.verify(&keys).unwrap()).unwrap()
}

/// Everything that a client proves itself for.
fn all(rig: &Rig) -> Vec<TokenRequest> {
    let (via, held, code) = (rig.via(), rig.held(), secret("C0DE"));
    let verifier = secret("V3RIFIER");
    let grant = CodeGrant {
        code: &code,
        verifier: Some(&verifier),
    };
    let mut requests = vec![
        code_request(&via, &grant).unwrap(),
        refresh_request(&via, &held, &[]).unwrap(),
        device_request(&via, &[]).unwrap(),
    ];
    let revoked = revoke_requests(&via, &held, Standing::Last).unwrap();
    requests.extend(revoked.into_iter().map(|request| request.prepared));
    requests
}

#[test]
fn t1_a_client_with_a_key_proves_itself_by_a_token_of_its_own_and_nothing_else() {
    for key in [PEM, JWK] {
        let requests = all(&rig(key));
        assert_eq!(requests.len(), 5);
        let mut numbers = std::collections::BTreeSet::new();
        for request in &requests {
            let said = claims(request);
            assert_eq!(said["iss"], ID);
            assert_eq!(said["sub"], ID);
            assert_eq!(said["aud"], "https://a.example.com");
            assert_eq!(said["iat"], NOW_S);
            assert_eq!(said["exp"], NOW_S + 60);
            numbers.insert(said["jti"].as_str().unwrap().to_owned());
            let whole = format!("{:?}", Received::of(request));
            assert!(!whole.contains("jpsQnnGQmL"), "the key stays here");
        }
        assert_eq!(numbers.len(), requests.len(), "each is a token of its own");
    }
}

#[test]
fn the_token_names_the_token_endpoint_where_the_file_says_so() {
    let text = file("").replace(
        "client_auth =",
        "assertion_audience = \"token_endpoint\"\nclient_auth =",
    );
    let mut rig = Rig::written(&text);
    rig.secret = Some(secret(PEM));
    for request in all(&rig) {
        assert_eq!(claims(&request)["aud"], "https://a.example.com/token");
    }
}

#[test]
fn t1_a_key_is_sent_to_nobody_as_a_password() {
    let key = |mut rig: Rig| {
        rig.secret = Some(secret(PEM));
        refresh_request(&rig.via(), &rig.held(), &[]).map(drop)
    };
    for id in ["slack", "github-app", "zoom", "hubspot"] {
        let refused = key(Rig::shipped(id));
        assert!(
            matches!(refused, Err(RequestError::Key(_))),
            "{id}: {refused:?}"
        );
    }
    let mut basic = Rig::shipped("zoom");
    basic.secret = Some(secret(JWK));
    let revoked = revoke_requests(&basic.via(), &basic.held(), Standing::Last);
    assert!(matches!(revoked, Err(RequestError::Key(_))), "{revoked:?}");
}

#[test]
fn t1_a_discovered_server_that_takes_keys_gets_no_password() {
    let mut rig = Rig::shipped("oidc");
    rig.secret = Some(secret(PEM));
    let ways = [ClientAuth::Basic, ClientAuth::PrivateKeyJwt];
    rig.endpoints.as_mut().unwrap().client_auth = ways.to_vec();
    let request = refresh_request(&rig.via(), &rig.held(), &[]).unwrap();
    assert_eq!(claims(&request)["aud"], "https://login.example.com");
    // One that takes none gets neither, and a password stays one.
    rig.endpoints.as_mut().unwrap().client_auth = vec![ClientAuth::Basic];
    let refused = refresh_request(&rig.via(), &rig.held(), &[]).map(drop);
    assert!(matches!(refused, Err(RequestError::Key(_))), "{refused:?}");
    rig.endpoints.as_mut().unwrap().client_auth = ways.to_vec();
    rig.secret = Some(secret("hunter2"));
    let request = refresh_request(&rig.via(), &rig.held(), &[]).unwrap();
    assert!(Received::of(&request).basic.is_some());
}

#[test]
fn without_a_key_nothing_is_said() {
    let refused = |secret: Option<&str>| {
        let mut rig = rig(PEM);
        rig.secret = secret.map(self::secret);
        refresh_request(&rig.via(), &rig.held(), &[]).err().unwrap()
    };
    assert_eq!(refused(None), RequestError::NoSecret);
    assert!(matches!(refused(Some("hunter2")), RequestError::Key(_)));
    assert!(matches!(
        refused(Some("{\"kty\":\"oct\"}")),
        RequestError::Key(_)
    ));
}

#[test]
fn a_file_that_asks_for_a_key_sends_it_nowhere() {
    let fault = |text: &str| {
        let read = Provider::read("sample.toml", text, &Reach::public());
        read.unwrap_err().to_string()
    };
    for (more, key) in [
        (
            "[refresh]\nclient_auth = \"basic\"\n",
            "refresh.client_auth",
        ),
        (
            "[refresh]\nparams = { key = \"{client_secret}\" }\n",
            "token.client_auth",
        ),
    ] {
        let fault = fault(&file(more));
        assert!(
            fault.starts_with(&format!("sample.toml: {key}: ")),
            "{fault}"
        );
    }
    let nobody = file("").replace("issuer = \"https://a.example.com\"\n", "");
    assert!(fault(&nobody).starts_with("sample.toml: token.client_auth: "));
    let other = file("").replace(
        "\"private_key_jwt\"",
        "\"post\"\nassertion_audience = \"token_endpoint\"",
    );
    assert!(fault(&other).starts_with("sample.toml: token.client_auth: "));
    let mixed = file("[refresh]\nclient_auth = \"private_key_jwt\"\n");
    let mixed = mixed.replacen(
        "client_auth = \"private_key_jwt\"",
        "client_auth = \"post\"",
        1,
    );
    assert!(fault(&mixed).starts_with("sample.toml: refresh.client_auth: "));
}
