//! A9: what a person tells reaches no host but the right one.

use std::collections::BTreeMap;

use super::tests_samples::{HOSTED, SHOPIFY, SLACK, edited, load};
use super::{Bound, ParamFault, Provider};
use crate::name::HostPattern;

/// Values that some reader of URLs takes for another host, path or query.
const HOSTILE: [&str; 72] = [
    "",
    " ",
    ".",
    "..",
    "-",
    "a.",
    ".a",
    "a..b",
    "-a",
    "a-",
    "evil.com",
    "evil.com/",
    "evil.com#",
    "evil.com?",
    "evil.com\\",
    "evil.com:443",
    "evil.com.",
    "acme.",
    "acme.evil.com",
    "acme/",
    "acme//evil.com",
    "acme/../evil",
    "acme?x=",
    "acme#",
    "acme#.evil.com",
    "acme@evil.com",
    "user:pass@acme",
    "acme:8080",
    "acme:443@evil.com",
    "acme%",
    "acme%2e",
    "acme%2eevil.com",
    "acme%2f",
    "%61cme",
    "acme%00",
    "acme\0",
    "acme\n",
    "acme\r\nHost: evil.com",
    "acme\t",
    "a cme",
    "acme\u{a0}",
    "acme\\evil",
    "acme;evil",
    "acme,evil",
    "acme&x=y",
    "acme=x",
    "acme+x",
    "acme*",
    "*",
    "acme_x",
    "acme'",
    "acme\"",
    "acme<",
    "{params.host}",
    "{client_secret}",
    "$acme",
    "acme|x",
    "acme^",
    "acme`",
    "xn--acme-epa",
    "xn--80ak6aa92e",
    "ａcme",
    "аcme",
    "acme\u{200b}",
    "acme\u{202e}",
    "acme\u{ff0e}evil",
    "acme\u{3002}evil",
    "acme\u{2024}evil",
    "http://acme",
    "https://acme",
    "//acme",
    "[::1]",
];

/// The same for a whole host.
const HOSTILE_HOSTS: [&str; 24] = [
    "evil.com",
    "evil-git.example.org",
    "git.example.org.evil.com",
    "example.org",
    "a.git.example.org",
    "git.example.org.",
    "git.example.org:8443",
    "git.example.org/x",
    "https://git.example.org/x",
    "https://u@git.example.org",
    "git.example.org#",
    "git.example.org?",
    "git.example.org%20",
    "http://git.example.org",
    "https://https://git.example.org",
    "git.example.org//",
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f.1",
    "[::1]",
    "localhost",
    "169.254.169.254",
    "com",
];

fn told(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    owned.collect()
}

fn bind(provider: &Provider, pairs: &[(&str, &str)]) -> Result<Bound, ParamFault> {
    let allowed = [
        HostPattern::parse("git.example.org").unwrap(),
        HostPattern::parse("*.corp.example").unwrap(),
    ];
    provider.bind(&told(pairs), &allowed)
}

#[test]
fn a9_no_hostile_value_is_a_label_of_a_host() {
    let shopify = load(SHOPIFY).unwrap();
    let open = load(&edited(
        SHOPIFY,
        "pattern = \"[a-z0-9][a-z0-9-]{0,60}\"\nnormalize = [\"trim\", \"lower\", \"strip_suffix(.myshopify.com)\"]\n",
        "",
    ))
    .unwrap();
    let long = "a".repeat(64);
    for value in HOSTILE.into_iter().chain([long.as_str()]) {
        for provider in [&shopify, &open] {
            // The pattern allows a hyphen at the end, and the position does not.
            assert!(bind(provider, &[("shop", value)]).is_err(), "{value:?}");
        }
    }
}

#[test]
fn a9_no_hostile_value_is_a_host_or_the_end_of_one() {
    let hosted = load(HOSTED).unwrap();
    let long = format!("{}.corp.example", "a".repeat(250));
    let all = HOSTILE
        .into_iter()
        .chain(HOSTILE_HOSTS)
        .chain([long.as_str()]);
    for value in all {
        for param in ["host", "dc"] {
            let known = param == "dc" && value == "com";
            let bound = bind(&hosted, &[("sub", "a"), (param, value)]);
            assert_eq!(bound.is_ok(), known, "{param} {value:?}");
        }
    }
}

#[test]
fn a9_no_hostile_value_leaves_its_path_segment() {
    let hosted = load(HOSTED).unwrap();
    for value in HOSTILE {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        let harmless = !matches!(value, "" | "." | "..") && value.bytes().all(plain);
        let bound = bind(&hosted, &[("sub", "a"), ("tenant", value)]);
        assert_eq!(bound.is_ok(), harmless, "{value:?}");
    }
}

#[test]
fn a_value_has_one_spelling() {
    let shopify = load(SHOPIFY).unwrap();
    for value in ["acme", " ACME ", "Acme.MyShopify.com"] {
        let bound = bind(&shopify, &[("shop", value)]).unwrap();
        assert_eq!(bound.params()["shop"], "acme", "{value}");
    }
    let hosted = load(HOSTED).unwrap();
    for (value, host) in [
        ("git.example.com", "git.example.com"),
        ("https://Git.Example.ORG/", "git.example.org"),
        ("a.corp.example", "a.corp.example"),
    ] {
        let bound = bind(&hosted, &[("sub", "a"), ("host", value)]).unwrap();
        assert_eq!(bound.params()["host"], host);
    }
}

#[test]
fn what_is_not_told_is_the_default_or_a_fault() {
    let hosted = load(HOSTED).unwrap();
    let bound = bind(&hosted, &[("sub", "a")]).unwrap();
    let expected = [
        ("dc", "com"),
        ("host", "git.example.com"),
        ("sub", "a"),
        ("tenant", "common"),
    ];
    assert_eq!(*bound.params(), told(&expected));
    let name = "sub".into();
    assert_eq!(bind(&hosted, &[]), Err(ParamFault::Missing { name }));
    let undeclared = bind(&hosted, &[("sub", "a"), ("other", "b")]);
    assert_eq!(undeclared, Err(ParamFault::Undeclared));
    let name = "dc".into();
    let choice = bind(&hosted, &[("sub", "a"), ("dc", "eu")]);
    assert_eq!(choice, Err(ParamFault::Choice { name }));
    let name = "host".into();
    let host = bind(&hosted, &[("sub", "a"), ("host", "git.example.net")]);
    assert_eq!(host, Err(ParamFault::Host { name }));
    let name = "tenant".into();
    let long = bind(&hosted, &[("sub", "a"), ("tenant", &"a".repeat(256))]);
    assert_eq!(long, Err(ParamFault::Long { name }));
}

#[test]
fn a_pattern_matches_the_whole_value() {
    let slack = load(SLACK).unwrap();
    assert!(bind(&slack, &[("team", "T0AB")]).is_ok());
    assert_eq!(bind(&slack, &[]).unwrap(), Bound::default());
    for value in ["xT0AB", "T0ABx", "T0AB\n", "T0AB\nx", ""] {
        assert!(bind(&slack, &[("team", value)]).is_err(), "{value:?}");
    }
    let either = load(&edited(SLACK, "\"T[A-Z0-9]+\"", "\"a|b\"")).unwrap();
    assert!(bind(&either, &[("team", "b")]).is_ok());
    assert!(bind(&either, &[("team", "ax")]).is_err());
}

#[test]
fn what_is_bound_survives_storing() {
    let hosted = load(HOSTED).unwrap();
    let bound = bind(&hosted, &[("sub", "a")]).unwrap();
    let text = serde_json::to_string(&bound).unwrap();
    assert_eq!(serde_json::from_str::<Bound>(&text).unwrap(), bound);
}
