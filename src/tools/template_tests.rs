//! Rendering, in a file of its own because reading and rendering are both under test.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Body, RenderedRequest};
use crate::name::ActionName;
use crate::tools::{Rule, ToolError, ToolSpec};

/// A tool with one action whose parameters are unchecked, so that the template is on its own.
fn tool(http: &Value) -> Result<ToolSpec, ToolError> {
    ToolSpec::from_json(json!({
        "slug": "t", "name": "T",
        "credentials": { "sid": {}, "key": {} },
        "bindings": [{
            "hosts": ["api.good.com"], "port": 8443,
            "methods": ["GET", "POST"], "paths": ["/v1/**", "/acc/{@account}/*"],
            "slots": { "sid": { "pathSegment": "account" }, "key": { "header": "x-key" } },
        }],
        "actions": { "go": { "parameters": {}, "http": http } },
    }))
}

fn render(http: &Value, params: &Value) -> Result<RenderedRequest, ToolError> {
    let spec = tool(http)?;
    spec.action(&ActionName::parse("go").unwrap())?
        .render(params)
}

#[test]
fn dc_10_a_path_parameter_is_one_segment_or_nothing() {
    let http = json!({ "method": "GET", "url": "https://api.good.com:8443/v1/{id}/x" });
    for (value, expected) in [
        (json!("a"), "/v1/a/x"),
        (json!(7), "/v1/7/x"),
        (json!(true), "/v1/true/x"),
        (json!("a b"), "/v1/a%20b/x"),
        (json!("ü"), "/v1/%C3%BC/x"),
        (json!("a?b#c&d=e"), "/v1/a%3Fb%23c%26d%3De/x"),
        (json!("@account"), "/v1/%40account/x"),
        (json!("{id}"), "/v1/%7Bid%7D/x"),
        (json!("100%"), "/v1/100%25/x"),
        (json!("..."), "/v1/.../x"),
    ] {
        assert_eq!(
            render(&http, &json!({ "id": value })).unwrap().path,
            expected
        );
    }
    for value in [
        json!(""),
        json!("."),
        json!(".."),
        json!("a/b"),
        json!("/"),
        json!("../admin"),
        json!("a\\b"),
        json!("a\0"),
        json!("a\r\n"),
        json!("\u{7f}"),
        json!("\u{85}"),
        json!("%2e%2e"),
        json!("%2f"),
        json!("%252e"),
        json!("a;b"),
        json!("..;"),
        json!(["a"]),
        json!({ "a": 1 }),
        json!(null),
    ] {
        let error = render(&http, &json!({ "id": value })).unwrap_err();
        assert_eq!(error.pointer(), "/id", "{value}");
    }
    let error = render(&http, &json!({})).unwrap_err();
    assert_eq!((error.pointer(), error.rule()), ("/id", &Rule::Missing));
}

#[test]
fn two_harmless_values_do_not_make_a_harmful_segment() {
    let http = json!({ "method": "GET", "url": "https://api.good.com:8443/v1/{a}{b}" });
    assert_eq!(
        render(&http, &json!({ "a": "x", "b": "y" })).unwrap().path,
        "/v1/xy"
    );
    assert!(render(&http, &json!({ "a": "%", "b": "2e" })).is_err());
    assert!(render(&http, &json!({ "a": ".", "b": "." })).is_err());
}

#[test]
fn a_place_waits_for_its_slot_and_no_parameter_can_fill_it() {
    let http = json!({ "method": "GET", "url": "https://api.good.com:8443/acc/{@account}/{id}" });
    let request = render(&http, &json!({ "id": "@account" })).unwrap();
    assert_eq!(request.path, "/acc/@account/%40account");
    let places: Vec<_> = request
        .places
        .iter()
        .map(|(i, name)| (*i, name.as_str()))
        .collect();
    assert_eq!(places, [(1, "account")]);
    let wrong = json!({ "method": "GET", "url": "https://api.good.com:8443/acc/{id}/x" });
    assert!(
        tool(&wrong).is_err(),
        "a parameter in the place of a credential does not load"
    );
}

#[test]
fn an_exact_leaf_keeps_its_type_and_vanishes_when_absent() {
    let http = json!({
        "method": "POST", "url": "https://api.good.com:8443/v1/x",
        "query": { "page": "{page}", "tags": "{tags}", "fixed": 1, "text": "p{{{page}}}" },
        "headers": { "x-opt": "{opt}", "x-page": "page {page}" },
        "json": { "a": "{obj}", "b": ["{opt}", "{page}", null, 2], "c": "n={page}", "d": "{opt}" },
    });
    let params = json!({ "page": 3, "tags": ["x", "y&z"], "obj": { "k": [1] } });
    let request = render(&http, &params).unwrap();
    assert_eq!(
        request.query,
        "fixed=1&page=3&tags=x&tags=y%26z&text=p%7B3%7D"
    );
    assert_eq!(
        request.body,
        Body::Json(json!({ "a": { "k": [1] }, "b": [3, null, 2], "c": "n=3" }))
    );
    let headers: Vec<_> = request
        .headers
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    assert_eq!(headers, [("x-page", "page 3")]);
    assert_eq!(render(&http, &json!({})).unwrap_err().pointer(), "/page");
    assert!(render(&http, &json!({ "page": { "a": 1 } })).is_err());
}

#[test]
fn a_form_is_pairs_and_a_whole_body_is_a_parameter() {
    let url = "https://api.good.com:8443/v1/x";
    let form = json!({ "method": "POST", "url": url, "form": { "a[b]": "{a}", "c": "{c}" } });
    let request = render(&form, &json!({ "a": "x&y" })).unwrap();
    assert_eq!(
        request.body,
        Body::Form(vec![("a[b]".into(), "x&y".into())])
    );
    let whole = json!({ "method": "POST", "url": url, "json": "{body}" });
    let body = |params| render(&whole, &params).unwrap().body;
    assert_eq!(
        body(json!({ "body": [1, "{x}"] })),
        Body::Json(json!([1, "{x}"]))
    );
    assert_eq!(body(json!({})), Body::None);
}

#[test]
fn a_header_parameter_cannot_break_the_line() {
    let http = json!({ "method": "GET", "url": "https://api.good.com:8443/v1/x", "headers": { "x-a": "{a}" } });
    assert_eq!(
        render(&http, &json!({ "a": "fine" })).unwrap().headers[0].1,
        "fine"
    );
    for value in ["a\r\nb", "a\n", "\r", "a\0", "\u{7f}", "\t", "ü"] {
        let error = render(&http, &json!({ "a": value })).unwrap_err();
        assert_eq!(error.pointer(), "/a", "{value:?}");
        assert!(!error.to_string().contains(value), "never the value");
    }
}

/// Any JSON value of small depth, rich in characters that matter to URLs.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[@:/?#\\\\.%{}a-c;&=\\r\\n\\x00é ]{0,12}".prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #[test]
    fn a_rendered_url_keeps_scheme_host_port_and_depth_whatever_the_parameters_are(
        a in any_value(), b in any_value(), q in any_value()
    ) {
        let http = json!({
            "method": "GET", "url": "https://api.good.com:8443/v1/{a}/s{b}",
            "query": { "q": "{q}", "t": "x{q}" },
        });
        if let Ok(request) = render(&http, &json!({ "a": a, "b": b, "q": q })) {
            let url = url::Url::parse(&request.url()).unwrap();
            prop_assert_eq!(url.scheme(), "https");
            prop_assert_eq!(url.host_str(), Some("api.good.com"));
            prop_assert_eq!(url.port(), Some(8443));
            prop_assert_eq!(url.username(), "");
            prop_assert_eq!(url.fragment(), None);
            prop_assert_eq!(url.path(), &request.path);
            prop_assert_eq!(url.path_segments().unwrap().count(), 3);
            prop_assert!(url.path().starts_with("/v1/"));
            let names: Vec<_> = url.query_pairs().map(|(k, _)| k.into_owned()).collect();
            prop_assert!(names.iter().all(|name| name == "q" || name == "t"));
            let spec = tool(&http).unwrap();
            let admitted = spec.bindings[0].admits(&request.destination(), &[]);
            prop_assert!(admitted);
        }
    }
}

#[test]
fn what_a_template_makes_of_its_parameters_has_a_limit() {
    let often = "{a}".repeat(30_000);
    let text = |length: usize| json!({ "a": "x".repeat(length) });
    let many = |length: usize| json!({ "a": vec![0; length] });
    let body = |json: Value| json!({ "method": "POST", "url": "https://api.good.com:8443/v1/x", "json": json });
    let whole: Vec<_> = (0..2_000).map(|_| json!("{a}")).collect();
    for (http, params) in [
        (body(json!(often)), text(160_000)),
        (body(json!({ "k": [often] })), text(200)),
        (body(json!(whole)), text(160_000)),
        (body(json!(whole)), many(1_000)),
        // Twenty-six times as much as the parameter, where it is written.
        (
            body(json!("{a}".repeat(7))),
            json!({ "a": "\u{1}".repeat(26_000) }),
        ),
    ] {
        let refused = render(&http, &params).unwrap_err();
        assert!(matches!(refused.rule(), Rule::TooLarge { .. }), "{refused}");
    }
    render(&body(json!("{a}")), &text(160_000)).unwrap();
    render(&body(json!("{a}")), &many(9_000)).unwrap();
    render(&body(json!("{a}, {a}")), &text(160_000)).unwrap();
}
