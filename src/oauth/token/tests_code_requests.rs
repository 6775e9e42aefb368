//! Redeeming a code: the request as its receiver reads it.

use std::collections::BTreeMap;

use super::request::Draft;
use super::tests_rig::{ID, REDIRECT, Received, Rig, SAMPLE, SECRET, check, each, sample, secret};
use super::{
    CodeGrant, RequestError, TokenRequest, code_request, identity_request, refresh_request,
};
use crate::oauth::provider::spec::{Body, ClientAuth, Method};
use crate::oauth::provider::{Provider, QuerySecrets, Reach};

fn redeem(rig: &Rig) -> Result<TokenRequest, RequestError> {
    let (code, verifier) = (secret("C0DE/+="), secret("VERIFIER"));
    code_request(
        &rig.via(),
        &CodeGrant {
            code: &code,
            verifier: rig.provider.uses_pkce().then_some(&verifier),
        },
    )
}

fn code(rig: &Rig) -> Received {
    Received::of(&redeem(rig).unwrap())
}

#[test]
fn t1_every_provider_sees_the_secret_once_and_no_url_carries_one_unasked() {
    each(|rig, _| {
        let Some(file) = &rig.provider.spec().token else {
            return;
        };
        let id = rig.provider.id();
        let request = redeem(rig).unwrap_or_else(|error| panic!("{id}: {error}"));
        let received = Received::of(&request);
        let secrets = usize::from(file.client_auth != ClientAuth::None);
        assert_eq!(received.places_of(SECRET), secrets, "{id}");
        let basic = file.client_auth == ClientAuth::Basic;
        assert_eq!(received.basic.is_some(), basic, "{id}");
        let in_query = received.query.iter().any(|(_, value)| value == SECRET);
        assert_eq!(
            in_query,
            file.body == Body::Query && file.query_secrets_ok,
            "{id}"
        );
        assert_eq!(received.member("code"), Some("C0DE/+="), "{id}");
        let verifier = rig.provider.uses_pkce().then_some("VERIFIER");
        assert_eq!(received.member("code_verifier"), verifier, "A2, {id}");
        let redirect = file.send_redirect_uri.then_some(REDIRECT);
        let omitted = file.omit.iter().any(|name| name == "redirect_uri");
        let sent = received.member("redirect_uri");
        assert_eq!(sent, redirect.filter(|_| !omitted), "A4, {id}");
        assert_eq!(received.headers["accept"], "application/json", "{id}");
        assert!(received.headers["user-agent"].starts_with("runtools-broker/"));
        assert!(!format!("{request:?}").contains("C0DE"));
    });
}

#[test]
fn a_public_client_only_says_who_it_is() {
    each(|rig, fixture| {
        let Some(file) = &rig.provider.spec().token else {
            return;
        };
        let id = rig.provider.id();
        let bound = super::tests_rig::bound(&rig.provider, fixture, true);
        let public = Rig::of(rig.provider.clone(), bound).public();
        if file.basic_username.is_some() {
            assert!(matches!(redeem(&public), Err(RequestError::NoSecret)));
            return;
        }
        let received = code(&public);
        let name = file
            .rename
            .get("client_id")
            .map_or("client_id", String::as_str);
        let omitted = file.omit.iter().any(|name| name == "client_id");
        let expected = (!omitted).then_some(ID);
        assert_eq!(received.member(name), expected, "{id}");
        assert_eq!(received.basic, None, "{id}");
        assert_eq!(received.member("client_secret"), None, "{id}");
    });
}

type Pair = (&'static str, &'static str);
const GRANT: Pair = ("grant_type", "authorization_code");
const CODE: Pair = ("code", "C0DE/+=");
const URI: Pair = ("redirect_uri", REDIRECT);
const VERIFIER: Pair = ("code_verifier", "VERIFIER");
const CLIENT: Pair = ("client_id", ID);
const HIDDEN: Pair = ("client_secret", SECRET);

fn redeems(id: &str, line: &str, members: &[Pair]) {
    check(&code(&Rig::shipped(id)), line, members);
}

#[test]
fn codes_are_redeemed_as_the_standard_says() {
    redeems(
        "google",
        "POST https://oauth2.googleapis.com/token",
        &[GRANT, CODE, URI, VERIFIER, CLIENT, HIDDEN],
    );
    redeems(
        "slack",
        "POST https://slack.com/api/oauth.v2.access",
        &[GRANT, CODE, URI, VERIFIER, CLIENT],
    );
    redeems(
        "oidc",
        "POST https://login.example.com/token",
        &[GRANT, CODE, URI, VERIFIER, CLIENT],
    );
    redeems(
        "zoho",
        "POST https://accounts.zoho.eu/oauth/v2/token",
        &[GRANT, CODE, URI, CLIENT, HIDDEN],
    );
}

#[test]
fn parameters_are_renamed_left_out_and_added_as_the_file_says() {
    redeems(
        "tiktok",
        "POST https://open.tiktokapis.com/v2/oauth/token/",
        &[GRANT, CODE, URI, VERIFIER, ("client_key", ID), HIDDEN],
    );
    redeems(
        "heroku",
        "POST https://id.heroku.com/oauth/token",
        &[GRANT, CODE, URI, HIDDEN],
    );
    redeems(
        "vercel-integration",
        "POST https://api.vercel.com/v2/oauth/access_token",
        &[CODE, URI, CLIENT, HIDDEN],
    );
    let life = ("expires_in", "3600");
    let whole = ("refresh_token_expires_in", "7776000");
    redeems(
        "zendesk",
        "POST https://acme.zendesk.com/oauth/tokens",
        &[GRANT, CODE, URI, VERIFIER, CLIENT, HIDDEN, life, whole],
    );
}

#[test]
fn what_a_file_writes_stands_in_for_what_is_built_in() {
    let received = code(&sample(
        r#"[token]
url = "https://a.example.com/token?version=2"
headers = { Accept = "application/vnd.a+json", User-Agent = "other", X-Client = "{client_id}" }
params = { grant_type = "urn:a:code", audience = "a b&c" }
"#,
    ));
    assert_eq!(received.member("grant_type"), Some("urn:a:code"));
    assert_eq!(received.member("audience"), Some("a b&c"));
    assert_eq!(received.query, [("version".to_owned(), "2".to_owned())]);
    assert_eq!(received.headers["accept"], "application/vnd.a+json");
    assert_eq!(received.headers["x-client"], ID);
    let agent = &received.headers["user-agent"];
    assert!(
        agent.starts_with("runtools-broker/"),
        "it is always ours: {agent}"
    );
}

#[test]
fn members_are_written_as_form_object_or_query() {
    redeems(
        "notion",
        "POST https://api.notion.com/v1/oauth/token",
        &[GRANT, CODE, URI],
    );
    let notion = code(&Rig::shipped("notion"));
    assert_eq!(notion.headers["content-type"], "application/json");
    let google = code(&Rig::shipped("google"));
    let form = "application/x-www-form-urlencoded";
    assert_eq!(google.headers["content-type"], form);
    let stripe = code(&Rig::shipped("stripe-app"));
    assert_eq!(stripe.basic, Some((SECRET.to_owned(), String::new())));
    let line = "POST https://api.stripe.com/v1/oauth/token";
    check(&stripe, line, &[GRANT, CODE]);
    let whatsapp = code(&Rig::shipped("whatsapp"));
    assert_eq!(whatsapp.body, "");
    let line = "GET https://graph.facebook.com/v24.0/";
    assert!(whatsapp.line.starts_with(line));
    assert!(
        whatsapp
            .query
            .iter()
            .any(|(name, _)| name == "client_secret")
    );
    assert!(!whatsapp.headers.contains_key("content-type"));
}

#[test]
fn t2_the_halves_of_basic_are_encoded_or_as_the_file_says_raw() {
    let encoded = code(&sample("[token]\nurl = \"https://a.example.com/token\""));
    assert_eq!(encoded.basic, Some((ID.to_owned(), SECRET.to_owned())));
    let header = &encoded.headers["authorization"];
    let inner = data_encoding::BASE64.decode(&header.as_bytes()["Basic ".len()..]);
    let inner = String::from_utf8(inner.unwrap()).unwrap();
    assert_eq!(inner, "client-0001:s3%3Acr%25et%2B%20%C3%A9%2F%26%3D");
    let raw = "[token]\nurl = \"https://a.example.com/token\"\nbasic_encoding = \"raw\"";
    let header = code(&sample(raw)).headers["authorization"].clone();
    let inner = data_encoding::BASE64.decode(&header.as_bytes()["Basic ".len()..]);
    let inner = String::from_utf8(inner.unwrap()).unwrap();
    assert_eq!(inner, format!("{ID}:{SECRET}"));
    // A colon in the name would move the border between the halves.
    let swapped = format!("{raw}\nbasic_username = \"{{client_secret}}\"");
    assert!(matches!(
        redeem(&sample(&swapped)),
        Err(RequestError::Header)
    ));
}

#[test]
fn t1_a_discovered_provider_is_met_in_a_way_that_it_knows() {
    let ways = |id: &str, ways: &[ClientAuth]| {
        let mut rig = Rig::shipped(id);
        rig.endpoints.as_mut().unwrap().client_auth = ways.to_vec();
        let received = code(&rig);
        assert_eq!(received.places_of(SECRET), 1, "{id} {ways:?}");
        received.basic.is_some()
    };
    assert!(ways("oidc", &[]));
    assert!(ways("oidc", &[ClientAuth::Post, ClientAuth::Basic]));
    assert!(
        ways("oidc", &[ClientAuth::None]),
        "a secret is there to be used"
    );
    assert!(!ways("oidc", &[ClientAuth::Post]));
    assert!(!ways("oidc", &[ClientAuth::None, ClientAuth::Post]));
    assert!(
        ways("slack", &[ClientAuth::Post]),
        "a file that is not discovered decides alone"
    );
}

#[test]
fn what_is_missing_is_said_and_nothing_is_sent() {
    let rig = Rig::shipped("google");
    let code = secret("C0DE");
    let grant = CodeGrant {
        code: &code,
        verifier: None,
    };
    assert!(matches!(
        code_request(&rig.via(), &grant),
        Err(RequestError::Pkce)
    ));
    let verifier = secret("V");
    let grant = CodeGrant {
        code: &code,
        verifier: Some(&verifier),
    };
    let mut via = rig.via();
    via.redirect_uri = None;
    let error = code_request(&via, &grant);
    assert!(matches!(error, Err(RequestError::NoRedirectUri)));
    let mut oidc = Rig::shipped("oidc");
    oidc.endpoints = None;
    assert!(matches!(redeem(&oidc), Err(RequestError::NoEndpoint)));
    let error = identity_request(&oidc.via(), &oidc.held());
    assert!(matches!(error, Err(RequestError::NoEndpoint)));
    let mut rig = Rig::shipped("google");
    rig.refresh = None;
    let error = refresh_request(&rig.via(), &rig.held(), &[]);
    assert!(matches!(error, Err(RequestError::NoRefreshToken)));
    for broken in [&b"\xff"[..], b"a\r\nb", b"a\0"] {
        rig.secret = Some(crate::secret::Secret::copy_of(broken));
        assert!(redeem(&rig).is_err());
    }
}

#[test]
fn t1_a_secret_in_a_query_needs_the_files_word() {
    let text = "[token]\nurl = \"https://a.example.com/token\"\nmethod = \"GET\"\nbody = \"query\"\nclient_auth = \"post\"";
    let silent = format!("{SAMPLE}{text}\n[refresh]\nmode = \"none\"");
    let error = Provider::read("sample.toml", &silent, &Reach::public()).unwrap_err();
    assert!(error.to_string().contains("query_secrets_ok"), "{error}");
    let rig = sample(&format!(
        "{text}\nquery_secrets_ok = true\n[refresh]\nmode = \"none\""
    ));
    assert_eq!(code(&rig).member("client_secret"), Some(SECRET));
    // The same once more where a request is written, past all checks of files.
    let via = rig.via();
    let (vars, limits) = (via.vars(), &rig.provider.spec().limits);
    let url = rig.provider.spec().token.as_ref().unwrap().url.as_ref();
    let (refused, none) = (QuerySecrets::Refused, BTreeMap::new());
    let mut draft = Draft::to(Method::Get, url, None, &vars, refused, limits).unwrap();
    draft.members.text("client_id", ID);
    draft.members.secret("code", &secret("C0DE")).unwrap();
    let error = draft.send(Body::Query, refused, &none, &vars);
    assert!(matches!(error, Err(RequestError::SecretInUrl)));
}

#[test]
fn t4_a_file_tightens_the_bounds_and_never_widens_them() {
    let accepts = |limits: &str| {
        let rig = sample(&format!(
            "{limits}\n[token]\nurl = \"https://a.example.com/token\""
        ));
        redeem(&rig).unwrap().accepts
    };
    let whole = accepts("");
    assert_eq!((whole.timeout.as_secs(), whole.max_body), (20, 256 * 1024));
    let tight = accepts("[limits]\ntimeout_s = 3\nmax_body_kib = 8");
    assert_eq!((tight.timeout.as_secs(), tight.max_body), (3, 8 * 1024));
}

#[test]
fn a_request_goes_out_as_it_was_written() {
    let request = redeem(&Rig::shipped("slack")).unwrap();
    let path = request.path_and_query.to_string();
    let outgoing = request.outgoing().unwrap();
    assert_eq!(outgoing.method, http::Method::POST);
    assert_eq!(outgoing.path_and_query.as_str(), path);
    assert!(outgoing.headers.contains_key("authorization"));
}
