//! Requests as their receivers read them.

use std::collections::BTreeMap;

use super::request::Draft;
use super::tests_rig::{ID, REDIRECT, Received, Rig, SECRET, each, secret};
use super::{
    CodeGrant, RequestError, TokenRequest, code_request, exchange_hops, exchange_request,
    identity_request, refresh_request, resources_request,
};
use crate::oauth::provider::spec::{Body, ClientAuth, Kind, Method, RefreshMode};
use crate::oauth::provider::{Loopback, Provider, QuerySecrets};

/// A file to which the test adds what it is about.
const SAMPLE: &str = r#"schema = 1
id = "sample"
display_name = "Sample"
revoke_reason = "a sample"
[authorize]
url = "https://a.example.com/authorize"
[identity]
url = "https://a.example.com/me"
id = "/id"
[api]
hosts = ["a.example.com"]
"#;

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

fn refresh(rig: &Rig, scopes: &[&str]) -> Received {
    let scopes: Vec<_> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    Received::of(&refresh_request(&rig.via(), &rig.held(), &scopes).unwrap())
}

fn sorted(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut owned: Vec<_> = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    owned.sort();
    owned
}

/// The request line, and all members wherever they stand.
fn check(received: &Received, line: &str, members: &[(&str, &str)]) {
    assert_eq!(received.line, line);
    let mut all = received.members.clone();
    all.extend(received.query.iter().cloned());
    all.sort();
    assert_eq!(all, sorted(members), "{line}");
}

fn sample(token: &str) -> Rig {
    Rig::written(&format!("{SAMPLE}{token}"))
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

#[test]
fn codes_are_redeemed_as_each_file_says() {
    let form = |id, line, members: &[(&str, &str)]| check(&code(&Rig::shipped(id)), line, members);
    let (grant, redirect) = (
        ("grant_type", "authorization_code"),
        ("redirect_uri", REDIRECT),
    );
    let (c0de, verifier) = (("code", "C0DE/+="), ("code_verifier", "VERIFIER"));
    let (id, hidden) = (("client_id", ID), ("client_secret", SECRET));
    form(
        "google",
        "POST https://oauth2.googleapis.com/token",
        &[grant, c0de, redirect, verifier, id, hidden],
    );
    form(
        "slack",
        "POST https://slack.com/api/oauth.v2.access",
        &[grant, c0de, redirect, verifier, id],
    );
    form(
        "tiktok",
        "POST https://open.tiktokapis.com/v2/oauth/token/",
        &[grant, c0de, redirect, verifier, ("client_key", ID), hidden],
    );
    form(
        "heroku",
        "POST https://id.heroku.com/oauth/token",
        &[grant, c0de, redirect, hidden],
    );
    form(
        "vercel-integration",
        "POST https://api.vercel.com/v2/oauth/access_token",
        &[c0de, redirect, id, hidden],
    );
    form(
        "zendesk",
        "POST https://acme.zendesk.com/oauth/tokens",
        &[
            grant,
            c0de,
            redirect,
            verifier,
            id,
            hidden,
            ("expires_in", "3600"),
            ("refresh_token_expires_in", "7776000"),
        ],
    );
    form(
        "notion",
        "POST https://api.notion.com/v1/oauth/token",
        &[grant, c0de, redirect],
    );
    form(
        "oidc",
        "POST https://login.example.com/token",
        &[grant, c0de, redirect, verifier, id],
    );
    form(
        "zoho",
        "POST https://accounts.zoho.eu/oauth/v2/token",
        &[grant, c0de, redirect, id, hidden],
    );
    let notion = code(&Rig::shipped("notion"));
    assert_eq!(notion.headers["content-type"], "application/json");
    let stripe = code(&Rig::shipped("stripe-app"));
    assert_eq!(stripe.basic, Some((SECRET.to_owned(), String::new())));
    check(
        &stripe,
        "POST https://api.stripe.com/v1/oauth/token",
        &[grant, c0de],
    );
    let whatsapp = code(&Rig::shipped("whatsapp"));
    assert_eq!(whatsapp.body, "");
    assert!(
        whatsapp
            .line
            .starts_with("GET https://graph.facebook.com/v24.0/")
    );
    assert_eq!(whatsapp.query.len(), 5);
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
    let error = Provider::read("sample.toml", &silent, Loopback::Refused).unwrap_err();
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
fn every_provider_refreshes_as_its_file_says() {
    each(|rig, fixture| {
        if rig.provider.spec().kind == Kind::SignedPayload {
            return;
        }
        let id = rig.provider.id();
        let refresh = &rig.provider.spec().refresh;
        let request = refresh_request(&rig.via(), &rig.held(), &["a".to_owned()]);
        if refresh.mode == RefreshMode::None {
            assert!(matches!(request, Err(RequestError::NotOffered)), "{id}");
            assert!(fixture["refresh"].is_null(), "{id}");
            return;
        }
        let received = Received::of(&request.unwrap());
        let scope = refresh.send_scope.then_some("a");
        assert_eq!(received.member("scope"), scope, "R12, {id}");
        let (shown, hidden) = match refresh.mode {
            RefreshMode::RefreshToken => ("REFRESH-t0k3n", "ACCESS-t0k3n"),
            _ => ("ACCESS-t0k3n", "REFRESH-t0k3n"),
        };
        assert_eq!(received.places_of(shown), 1, "{id}");
        assert_eq!(received.places_of(hidden), 0, "{id}");
        assert!(received.places_of(SECRET) <= 1, "T1, {id}");
        assert_eq!(received.member("code"), None, "{id}");
    });
}

#[test]
fn refreshes_differ_from_code_requests_where_the_file_says_so() {
    let rig = Rig::shipped("gitlab");
    assert_eq!(refresh(&rig, &[]).member("redirect_uri"), Some(REDIRECT));
    let google = refresh(&Rig::shipped("google"), &["email"]);
    assert_eq!(google.member("redirect_uri"), None);
    check(
        &refresh(&Rig::shipped("figma"), &[]),
        "POST https://api.figma.com/v1/oauth/refresh",
        &[
            ("grant_type", "refresh_token"),
            ("refresh_token", "REFRESH-t0k3n"),
            ("client_id", ID),
        ],
    );
    // The parameters of the token request are not repeated where the file has others.
    let shopify = refresh(&Rig::shipped("shopify"), &[]);
    assert_eq!(shopify.member("expiring"), None);
    let zendesk = refresh(&Rig::shipped("zendesk"), &[]);
    assert_eq!(zendesk.member("expires_in"), Some("3600"));
    let codex = refresh(&Rig::shipped("openai-codex"), &[]);
    assert_eq!(codex.headers["content-type"], "application/json");
    assert_eq!(codex.places_of(SECRET), 0);
    check(
        &refresh(&Rig::shipped("instagram"), &[]),
        "GET https://graph.instagram.com/refresh_access_token",
        &[
            ("grant_type", "ig_refresh_token"),
            ("access_token", "ACCESS-t0k3n"),
        ],
    );
    check(
        &refresh(&Rig::shipped("facebook"), &[]),
        "POST https://graph.facebook.com/v24.0/oauth/access_token",
        &[
            ("grant_type", "fb_exchange_token"),
            ("fb_exchange_token", "ACCESS-t0k3n"),
            ("client_id", ID),
            ("client_secret", SECRET),
        ],
    );
    let scoped =
        sample("[token]\nurl = \"https://a.example.com/token\"\n[refresh]\nsend_scope = true");
    assert_eq!(refresh(&scoped, &["a", "b"]).member("scope"), Some("a b"));
    assert_eq!(refresh(&scoped, &[]).member("scope"), None);
}

#[test]
fn second_hops_send_what_the_file_lists() {
    let hops = |id| exchange_hops(&Rig::shipped(id).provider);
    assert_eq!(
        [hops("facebook"), hops("threads"), hops("google")],
        [1, 1, 0]
    );
    let rig = Rig::shipped("threads");
    let request = exchange_request(&rig.via(), 0, &rig.held()).unwrap();
    check(
        &Received::of(&request),
        "GET https://graph.threads.net/access_token",
        &[
            ("grant_type", "th_exchange_token"),
            ("client_secret", SECRET),
            ("access_token", "ACCESS-t0k3n"),
        ],
    );
    let past = exchange_request(&rig.via(), 1, &rig.held());
    assert!(matches!(past, Err(RequestError::NotOffered)));
}

#[test]
fn t11_every_identity_request_carries_the_token_once_and_never_in_its_url() {
    each(|rig, _| {
        let file = rig.provider.spec().identity.as_ref().unwrap();
        let id = rig.provider.id();
        if file.url.is_none() {
            return;
        }
        let request = identity_request(&rig.via(), &rig.held()).unwrap();
        let received = Received::of(&request);
        assert_eq!(received.places_of("ACCESS-t0k3n"), 1, "{id}");
        assert!(!request.path_and_query.contains("t0k3n"), "{id}");
        assert_eq!(received.places_of(SECRET), 0, "{id}");
        assert_eq!(received.body, file.body.clone().unwrap_or_default(), "{id}");
    });
}

#[test]
fn the_token_stands_where_the_file_places_it() {
    let ask = |id| {
        let rig = Rig::shipped(id);
        let request = identity_request(&rig.via(), &rig.held()).unwrap();
        Received::of(&request)
    };
    assert_eq!(
        ask("github").headers["authorization"],
        "Bearer ACCESS-t0k3n"
    );
    assert_eq!(ask("twitch").headers["authorization"], "OAuth ACCESS-t0k3n");
    assert_eq!(ask("monday").headers["authorization"], "ACCESS-t0k3n");
    let shopify = ask("shopify");
    assert_eq!(shopify.headers["x-shopify-access-token"], "ACCESS-t0k3n");
    assert!(!shopify.headers.contains_key("authorization"));
    let heroku = ask("heroku");
    assert_eq!(
        heroku.headers["accept"],
        "application/vnd.heroku+json; version=3"
    );
    let dropbox = ask("dropbox");
    assert_eq!(
        (dropbox.line.as_str(), dropbox.body.as_str()),
        (
            "POST https://api.dropboxapi.com/2/users/get_current_account",
            "",
        )
    );
    assert!(!dropbox.headers.contains_key("content-type"));
    let linear = ask("linear");
    assert_eq!(linear.headers["content-type"], "application/json");
    assert_eq!(ask("okta").line, "GET https://login.example.com/userinfo");
}

#[test]
fn resources_are_asked_for_where_the_file_says() {
    let ask = |id| {
        let rig = Rig::shipped(id);
        let request = resources_request(&rig.via(), &rig.held()).unwrap();
        request.map(|request| Received::of(&request))
    };
    assert!(
        ask("docusign").is_none(),
        "they stand in the identity's own answer"
    );
    assert!(ask("google").is_none());
    let atlassian = ask("atlassian").unwrap();
    assert_eq!(
        atlassian.line,
        "GET https://api.atlassian.com/oauth/token/accessible-resources"
    );
    assert_eq!(atlassian.headers["authorization"], "Bearer ACCESS-t0k3n");
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
