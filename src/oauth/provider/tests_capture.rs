//! What arrives is kept only in its own kind.

use std::collections::BTreeMap;

use serde_json::json;

use super::tests_samples::{HOSTED, SHOPIFY, load, load_with, local};
use super::{Bound, CaptureFault, Provider};

fn bound(provider: &Provider, name: &str, value: &str) -> Bound {
    let told = BTreeMap::from([(name.to_owned(), value.to_owned())]);
    provider.bind(&told, &[]).unwrap()
}

const ZOHO: (&str, &str) = ("accounts-server", "https://accounts.zoho.com");

#[test]
fn a_callback_is_read_by_the_files_names() {
    let hosted = load(HOSTED).unwrap();
    let begun = bound(&hosted, "sub", "a");
    let pairs = [("code", "x"), ZOHO, ("realmId", "123")];
    let after = begun.capture_callback(&hosted, pairs).unwrap();
    assert_eq!(after.meta()["accounts"], "https://accounts.zoho.com");
    assert_eq!(after.meta()["realm"], "123");
    assert_eq!(after.params(), begun.params());
    let slash = [("accounts-server", "https://accounts.zoho.com.au/")];
    let after = begun.capture_callback(&hosted, slash).unwrap();
    assert_eq!(after.meta()["accounts"], "https://accounts.zoho.com.au");
    assert!(!after.meta().contains_key("realm"));
}

#[test]
fn a_callback_with_anything_else_is_refused() {
    let hosted = load(HOSTED).unwrap();
    let begun = bound(&hosted, "sub", "a");
    let name = || "accounts".into();
    let capture = |pairs: &[(&'static str, &'static str)]| {
        begun.capture_callback(&hosted, pairs.iter().copied())
    };
    assert_eq!(capture(&[]), Err(CaptureFault::Missing { name: name() }));
    assert_eq!(
        capture(&[ZOHO, ZOHO]),
        Err(CaptureFault::Twice { name: name() })
    );
    for origin in [
        "",
        "accounts.zoho.com",
        "http://accounts.zoho.com",
        "https://zoho.com",
        "https://evilzoho.com",
        "https://evil.com/.zoho.com",
        "https://evil.com?.zoho.com",
        "https://evil.com#.zoho.com",
        "https://evil.com\\.zoho.com",
        "https://u@accounts.zoho.com",
        "https://accounts.zoho.com@evil.com",
        "https://accounts.zoho.com:8443",
        "https://accounts.zoho.com:443",
        "https://accounts.zoho.com/x",
        "https://accounts.zoho.com//",
        "https://accounts.zoho.com?x",
        "https://accounts.zoho.com.",
        "https://accounts.zoho.com.evil.com",
        "https://xn--80ak6aa92e.zoho.com",
        "https://ACCOUNTS.zoho.com",
        "https://a_b.zoho.com",
        "https://127.0.0.1",
        "https://localhost",
        "//accounts.zoho.com",
        " https://accounts.zoho.com",
        "https://accounts.zoho.com\n",
    ] {
        let captured = capture(&[("accounts-server", origin)]);
        assert_eq!(
            captured,
            Err(CaptureFault::Kind { name: name() }),
            "{origin:?}"
        );
    }
    for realm in ["", "12a", "1 2", "1/2", "1\n", "{params.sub}"] {
        let captured = capture(&[ZOHO, ("realmId", realm)]);
        let name = "realm".into();
        assert_eq!(captured, Err(CaptureFault::Kind { name }), "{realm:?}");
    }
}

#[test]
fn the_shop_that_answers_is_the_one_that_was_asked() {
    let shopify = load(SHOPIFY).unwrap();
    let begun = bound(&shopify, "shop", "acme");
    let same = begun.capture_callback(&shopify, [("shop", "acme.myshopify.com")]);
    assert_eq!(same.unwrap().meta()["shop"], "acme.myshopify.com");
    let other = begun.capture_callback(&shopify, [("shop", "evil.myshopify.com")]);
    let name = "shop".into();
    assert_eq!(other, Err(CaptureFault::Differs { name }));
    // With nothing to compare to, nothing is equal.
    let nothing = Bound::default().capture_callback(&shopify, [("shop", "acme.myshopify.com")]);
    let name = "shop".into();
    assert_eq!(nothing, Err(CaptureFault::Differs { name }));
}

#[test]
fn a_token_answer_is_read_by_the_files_pointers() {
    let hosted = load(HOSTED).unwrap();
    let begun = bound(&hosted, "sub", "a")
        .capture_callback(&hosted, [ZOHO])
        .unwrap();
    let answer = json!({"instance_url": "https://eu1.salesforce.com", "number": 7, "x": "y"});
    let after = begun.capture_token(&hosted, &answer).unwrap();
    let meta: Vec<_> = after.meta().values().map(String::as_str).collect();
    assert_eq!(
        meta,
        [
            "https://accounts.zoho.com",
            "https://eu1.salesforce.com",
            "7"
        ]
    );
    // A refresh need not say again what is known.
    for quiet in [json!({}), json!({"instance_url": null})] {
        assert_eq!(after.capture_token(&hosted, &quiet).unwrap(), after);
        let name = "instance".into();
        let first = begun.capture_token(&hosted, &quiet);
        assert_eq!(first, Err(CaptureFault::Missing { name }));
    }
    for (member, value) in [
        ("instance_url", json!("https://evil.com")),
        ("instance_url", json!(["https://eu1.salesforce.com"])),
        ("instance_url", json!({"a": 1})),
        ("number", json!("a b")),
        ("number", json!(1.5)),
        ("number", json!(true)),
        ("number", json!("a".repeat(257))),
    ] {
        let mut answer = answer.clone();
        answer[member] = value;
        let captured = begun.capture_token(&hosted, &answer);
        assert!(
            matches!(captured, Err(CaptureFault::Kind { .. })),
            "{answer}"
        );
    }
}

#[test]
fn an_origin_on_this_machine_is_for_tests_only() {
    let answer = [("accounts-server", "http://127.0.0.1:4001")];
    let hosted = load(HOSTED).unwrap();
    assert!(
        bound(&hosted, "sub", "a")
            .capture_callback(&hosted, answer)
            .is_err()
    );
    let tested = load_with(HOSTED, &local()).unwrap();
    let after = bound(&tested, "sub", "a")
        .capture_callback(&tested, answer)
        .unwrap();
    assert_eq!(after.meta()["accounts"], "http://127.0.0.1:4001");
}
