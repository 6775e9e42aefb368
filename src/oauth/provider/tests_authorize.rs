//! The URL that begins a flow.

use std::collections::BTreeMap;

use super::tests_samples::{GOOGLE, HOSTED, SHOPIFY, SLACK, edited, load};
use super::{
    AuthorizeAsk, AuthorizeFault, Bound, Provider, Purpose, authorize_url, authorize_url_at,
};
use crate::egress::Url;

const REDIRECT: &str = "https://broker.test/v1/oauth/callback/x";

fn ask<'a>(scopes: &'a [String], none: &'a BTreeMap<String, Vec<String>>) -> AuthorizeAsk<'a> {
    AuthorizeAsk {
        client_id: "id&x=y",
        redirect_uri: REDIRECT,
        state: "st4te",
        challenge: Some("ch"),
        nonce: Some("n0nce"),
        scopes,
        extra_scopes: none,
        purpose: Purpose::Connect,
        login_hint: None,
    }
}

fn bound(provider: &Provider, pairs: &[(&str, &str)]) -> Bound {
    let told = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    provider.bind(&told.collect(), &[]).unwrap()
}

/// The endpoint and the decoded members, as another reader sees them.
fn read(url: &str) -> (String, Vec<(String, String)>) {
    let parsed = url::Url::parse(url).unwrap();
    let (endpoint, _) = url.split_once('?').unwrap();
    (
        endpoint.to_owned(),
        parsed.query_pairs().into_owned().collect(),
    )
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = list
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    owned.collect()
}

fn scopes(list: &[&str]) -> Vec<String> {
    list.iter().map(|scope| (*scope).to_owned()).collect()
}

#[test]
fn a_url_carries_what_the_standard_says_and_what_the_file_adds() {
    let google = load(GOOGLE).unwrap();
    let (wanted, none) = (scopes(&["openid", "email"]), BTreeMap::new());
    let url = authorize_url(&google, &Bound::default(), &ask(&wanted, &none)).unwrap();
    let (endpoint, members) = read(&url);
    assert_eq!(endpoint, "https://accounts.google.com/o/oauth2/v2/auth");
    let expected = pairs(&[
        ("response_type", "code"),
        ("client_id", "id&x=y"),
        ("redirect_uri", REDIRECT),
        ("state", "st4te"),
        ("code_challenge", "ch"),
        ("code_challenge_method", "S256"),
        ("nonce", "n0nce"),
        ("scope", "openid email"),
        ("access_type", "offline"),
        ("include_granted_scopes", "true"),
    ]);
    assert_eq!(members, expected);
    assert!(url.contains("scope=openid%20email"));
}

#[test]
fn the_purpose_adds_its_own() {
    let google = load(GOOGLE).unwrap();
    let (wanted, none) = (scopes(&[]), BTreeMap::new());
    let prompt = |purpose| {
        let ask = AuthorizeAsk {
            purpose,
            login_hint: Some("a+b@example.com"),
            ..ask(&wanted, &none)
        };
        let url = authorize_url(&google, &Bound::default(), &ask).unwrap();
        let (_, members) = read(&url);
        let hint = ("login_hint".to_owned(), "a+b@example.com".to_owned());
        assert!(members.contains(&hint));
        assert!(!members.iter().any(|(name, _)| name == "scope"));
        let prompt = members.into_iter().find(|(name, _)| name == "prompt");
        prompt.map(|(_, value)| value)
    };
    assert_eq!(prompt(Purpose::Connect), None);
    assert_eq!(
        prompt(Purpose::SelectAccount).as_deref(),
        Some("select_account consent")
    );
    assert_eq!(prompt(Purpose::Reconnect).as_deref(), Some("consent"));
}

#[test]
fn lists_separators_and_parameters_follow_the_file() {
    let slack = load(SLACK).unwrap();
    let wanted = scopes(&["a:read", "b:write"]);
    let lists = BTreeMap::from([("user".to_owned(), scopes(&["c", "d"]))]);
    let url = authorize_url(&slack, &Bound::default(), &ask(&wanted, &lists)).unwrap();
    let (_, members) = read(&url);
    assert!(members.contains(&("scope".into(), "a:read,b:write".into())));
    assert!(members.contains(&("user_scope".into(), "c,d".into())));
    assert!(
        !members.iter().any(|(name, _)| name == "team"),
        "nobody told a team"
    );
    let told = bound(&slack, &[("team", "T0AB")]);
    let url = authorize_url(&slack, &told, &ask(&wanted, &lists)).unwrap();
    assert!(read(&url).1.contains(&("team".into(), "T0AB".into())));
    let unknown = BTreeMap::from([("bot".to_owned(), scopes(&["c"]))]);
    for bad in ["a,b", "a b", "", "a\n"] {
        let wanted = scopes(&[bad]);
        let url = authorize_url(&slack, &told, &ask(&wanted, &lists));
        assert_eq!(url, Err(AuthorizeFault::Scope), "{bad:?}");
    }
    let url = authorize_url(&slack, &told, &ask(&wanted, &unknown));
    assert_eq!(url, Err(AuthorizeFault::Scope));
    let plus = load(&edited(
        SLACK,
        "scope_separator = \",\"",
        "scope_separator = \"+\"",
    ))
    .unwrap();
    let url = authorize_url(&plus, &told, &ask(&wanted, &lists)).unwrap();
    assert!(url.contains("&scope=a%3Aread+b%3Awrite&"), "{url}");
}

#[test]
fn names_are_changed_and_left_out_as_the_file_says() {
    let lines = "[authorize]\nrename = { client_id = \"client_key\", state = \"custom.field\" }\n\
                 omit = [\"response_type\", \"scope\", \"nonce\"]\nresponse_mode = \"form_post\"\n\
                 login_hint_param = \"login\"\n";
    let google = load(&edited(GOOGLE, "[authorize]\n", lines)).unwrap();
    let (wanted, none) = (scopes(&["openid"]), BTreeMap::new());
    let hinted = AuthorizeAsk {
        login_hint: Some("octocat"),
        ..ask(&wanted, &none)
    };
    let url = authorize_url(&google, &Bound::default(), &hinted).unwrap();
    let names: Vec<_> = read(&url).1.into_iter().map(|(name, _)| name).collect();
    let expected = [
        "client_key",
        "redirect_uri",
        "custom.field",
        "code_challenge",
        "code_challenge_method",
        "response_mode",
        "login",
        "access_type",
        "include_granted_scopes",
    ];
    assert_eq!(names, expected);
}

#[test]
fn an_endpoint_may_have_a_host_and_a_query_of_its_own() {
    let (wanted, none) = (scopes(&[]), BTreeMap::new());
    let hosted = load(&edited(
        HOSTED,
        "{params.tenant}/authorize",
        "{params.tenant}/a?v=2",
    ))
    .unwrap();
    let told = bound(&hosted, &[("sub", "a"), ("tenant", "t~1")]);
    let url = authorize_url(&hosted, &told, &ask(&wanted, &none)).unwrap();
    assert!(
        url.starts_with("https://git.example.com/t~1/a?v=2&response_type=code&"),
        "{url}"
    );
    let missing = authorize_url(&hosted, &Bound::default(), &ask(&wanted, &none));
    assert!(matches!(missing, Err(AuthorizeFault::Template(_))));
}

#[test]
fn challenge_and_nonce_are_never_forgotten() {
    let google = load(GOOGLE).unwrap();
    let shopify = load(SHOPIFY).unwrap();
    let (wanted, none) = (scopes(&["openid"]), BTreeMap::new());
    let full = ask(&wanted, &none);
    let bare = AuthorizeAsk {
        challenge: None,
        ..full
    };
    let url = authorize_url(&google, &Bound::default(), &bare);
    assert_eq!(url, Err(AuthorizeFault::Pkce));
    let told = bound(&shopify, &[("shop", "acme")]);
    assert_eq!(
        authorize_url(&shopify, &told, &full),
        Err(AuthorizeFault::Pkce)
    );
    let url = authorize_url(&shopify, &told, &bare).unwrap();
    assert!(!url.contains("challenge"), "{url}");
    let replayable = AuthorizeAsk {
        nonce: None,
        ..full
    };
    let url = authorize_url(&google, &Bound::default(), &replayable);
    assert_eq!(url, Err(AuthorizeFault::Nonce));
}

#[test]
fn a_redirect_uri_is_of_the_providers_style() {
    let (wanted, none) = (scopes(&[]), BTreeMap::new());
    for (style, uri, good) in [
        ("exact", "http://localhost:1/a?b", true),
        ("no_query", "https://broker.test/a", true),
        ("no_query", "https://broker.test/a?b", false),
        ("localhost_forbidden", "http://127.0.0.1:1/localhost", true),
        ("localhost_forbidden", "http://localhost:1/a", false),
        ("localhost_forbidden", "http://LOCALHOST/a", false),
    ] {
        let line = format!("[authorize]\nredirect_uri_style = \"{style}\"\n");
        let google = load(&edited(GOOGLE, "[authorize]\n", &line)).unwrap();
        let ask = AuthorizeAsk {
            redirect_uri: uri,
            ..ask(&wanted, &none)
        };
        let url = authorize_url(&google, &Bound::default(), &ask);
        assert_eq!(url.is_ok(), good, "{style} {uri}");
    }
    let endless = "s".repeat(9000);
    let google = load(GOOGLE).unwrap();
    let long = AuthorizeAsk {
        state: &endless,
        ..ask(&wanted, &none)
    };
    assert_eq!(
        authorize_url(&google, &Bound::default(), &long),
        Err(AuthorizeFault::Long)
    );
}

#[test]
fn a_page_that_was_discovered_gets_the_same_members() {
    let google = load(GOOGLE).unwrap();
    let (wanted, none) = (scopes(&["openid"]), BTreeMap::new());
    let ask = ask(&wanted, &none);
    let written = authorize_url(&google, &Bound::default(), &ask).unwrap();
    let page = Url::parse("https://login.example.com/a?tenant=1").unwrap();
    let found = authorize_url_at(&google, &Bound::default(), &ask, &page).unwrap();
    let (_, members) = written.split_once('?').unwrap();
    assert_eq!(
        found,
        format!("https://login.example.com/a?tenant=1&{members}")
    );
}
