//! Placeholders in requests: swapped in their slots, refused anywhere else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use super::{Misplaced, Placeholders, Plan, Spelling, settle};
use crate::broker::crossing::{Cargo, Crossing, Placing};
use crate::broker::placeholder::Placeholder;
use crate::crypto::SystemRandom;
use crate::egress::Url;
use crate::name::FieldName;
use crate::tools::{Binding, ToolSpec};

const URL: &str = "https://api.good.test/v1/things/x?q=1";

fn binding(slots: &Value) -> Binding {
    let fields: serde_json::Map<_, _> = slots
        .as_object()
        .unwrap()
        .keys()
        .map(|field| (field.clone(), json!({"type": "string", "description": "d"})))
        .collect();
    let spec = json!({
        "slug": "custom-x", "name": "X", "actionsJson": {},
        "credentialsJson": {"required": [], "schema": fields},
        "bindings": [{
            "hosts": ["api.good.test"], "methods": ["GET", "POST"], "slots": slots,
            "paths": if slots.to_string().contains("pathSegment") { json!(["/v1/things/{@id}"]) } else { json!(["/**"]) },
        }],
    });
    let spec = ToolSpec::from_custom_json(spec).unwrap();
    spec.bindings.into_iter().next().unwrap()
}

fn field(name: &str) -> FieldName {
    FieldName::parse(name).unwrap()
}

fn drawn(names: &[&str]) -> Placeholders {
    let draw = |name: &&str| {
        let placeholder = Placeholder::draw(None, &SystemRandom).unwrap();
        (field(name), placeholder)
    };
    names.iter().map(draw).collect()
}

fn crossing(url: &str, headers: &[(&str, &str)], cargo: Cargo, placing: Placing) -> Crossing {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    Crossing::new(Method::POST, &Url::parse(url).unwrap(), map, cargo, placing)
}

#[test]
fn ht_4_what_is_for_the_callers_own_hop_is_gone_before_a_guard_or_a_signer_looks() {
    let said = [
        ("connection", "x-amz-meta-a, Content-Type ,close"),
        ("connection", "authorization"),
        ("x-amz-meta-a", "1"),
        ("content-type", "text/plain"),
        ("authorization", "mine"),
        ("keep-alive", "1"),
        ("te", "trailers"),
        ("upgrade", "h2c"),
        ("x-amz-meta-b", "2"),
    ];
    let crossing = crossing(URL, &said, Cargo::None, Placing::Swap);
    let names: Vec<_> = crossing.headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["x-amz-meta-b"]);
    assert_eq!(crossing.content_type(), "");
}

fn bearer() -> Binding {
    binding(&json!({"key": [
        {"header": "authorization", "format": "Bearer {key}"},
        {"header": "x-api-key"},
        {"basic": "password", "with": "x-access-token"},
        {"query": "access_token"},
    ]}))
}

#[test]
fn ht_6_a_placeholder_is_swapped_in_each_slot_of_its_field_and_in_no_other_spelling() {
    let (binding, own) = (bearer(), drawn(&["key"]));
    let text = own[&field("key")].text();
    let bearer = format!("Bearer {text}");
    let lower = format!("bearer {text}");
    let basic = format!("Basic {}", STANDARD.encode(format!("git:{text}")));
    let query = format!("{URL}&access_token={text}");
    let at = |url: &str, headers: &[(&str, &str)]| {
        let crossing = crossing(url, headers, Cargo::None, Placing::Swap);
        settle(&crossing, Some(&binding), &own)
    };
    for (position, plan) in [
        (0, at(URL, &[("authorization", &bearer)])),
        (0, at(URL, &[("Authorization", &lower)])),
        (1, at(URL, &[("X-Api-Key", text)])),
        (2, at(URL, &[("authorization", &basic)])),
        (3, at(&query, &[])),
    ] {
        let plan = plan.unwrap();
        let filled: Vec<_> = (0..4).filter(|p| plan.fills(&field("key"), *p)).collect();
        assert_eq!(filled, [position]);
    }
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent = text.replace('r', "%72");
    let escaped = text.replace('P', "\\u0050");
    let other_half = format!("Basic {}", STANDARD.encode(format!("{text}:x")));
    for (name, value) in [
        ("authorization", text.to_owned()),
        ("authorization", format!("Token {text}")),
        ("authorization", format!("Bearer {text} ") + "x"),
        ("authorization", format!("Bearer {percent}")),
        ("authorization", other_half),
        ("x-api-key", hex),
        ("x-api-key", escaped),
        ("x-api-key", STANDARD.encode(text)),
        ("x-other", text.to_owned()),
        ("x-other", STANDARD.encode(format!("some {text}"))),
    ] {
        let refused = at(URL, &[(name, &value)]);
        assert_eq!(refused, Err(Misplaced::Placement), "{name}: {value}");
    }
    let in_path = format!("https://api.good.test/v1/{text}");
    assert_eq!(at(&in_path, &[]), Err(Misplaced::Placement));
    let in_query = format!("{URL}&other={text}");
    assert_eq!(at(&in_query, &[]), Err(Misplaced::Placement));
}

#[test]
fn ex_11_a_placeholder_that_stands_twice_is_refused() {
    let (binding, own) = (bearer(), drawn(&["key"]));
    let text = own[&field("key")].text();
    let bearer = format!("Bearer {text}");
    for headers in [
        vec![("authorization", &*bearer), ("x-second", text)],
        vec![("authorization", &*bearer), ("authorization", &*bearer)],
        vec![("authorization", &*bearer), ("x-api-key", text)],
        vec![("x-api-key", text), ("x-api-key", &*bearer)],
    ] {
        for placing in [Placing::Swap, Placing::Fill] {
            let crossing = crossing(URL, &headers, Cargo::None, placing);
            let refused = settle(&crossing, Some(&binding), &own);
            assert_eq!(refused, Err(Misplaced::Occurrences), "{headers:?}");
        }
    }
    let body = Cargo::Whole(Bytes::from(format!("text {text} text")));
    let crossing = crossing(URL, &[("authorization", &bearer)], body, Placing::Swap);
    let refused = settle(&crossing, Some(&binding), &own);
    assert_eq!(refused, Err(Misplaced::Occurrences));
}

#[test]
fn ex_10_a_placeholder_in_a_body_is_refused_where_the_body_has_no_slot() {
    let (binding, own) = (bearer(), drawn(&["key"]));
    let text = own[&field("key")].text();
    let json = json!({"to": "me", "text": format!("see: {text}")}).to_string();
    let form = format!("body=see+{text}");
    for (kind, body) in [
        ("application/json", json.clone()),
        ("application/json", json.replace('P', "\\u0050")),
        ("application/x-www-form-urlencoded", form),
        ("text/plain", STANDARD.encode(&json)),
        ("message/rfc822", text.to_owned()),
    ] {
        for placing in [Placing::Swap, Placing::Fill] {
            let cargo = Cargo::Whole(Bytes::from(body.clone()));
            let crossing = crossing(URL, &[("content-type", kind)], cargo, placing);
            let refused = settle(&crossing, Some(&binding), &own);
            assert_eq!(refused, Err(Misplaced::Placement), "{body}");
        }
    }
}

#[test]
fn dc_8_a_placeholder_of_another_field_or_resolution_is_told_apart() {
    let (binding, own) = (bearer(), drawn(&["key", "other"]));
    let other = own[&field("other")].text();
    let crossing_to = |header: &str| crossing(URL, &[("x-h", header)], Cargo::None, Placing::Fill);
    // The tool has the field, and this binding no slot for it.
    let refused = settle(&crossing_to(other), Some(&binding), &own);
    assert_eq!(refused, Err(Misplaced::AnotherHost));
    // No binding at all: an unbound host is scanned too.
    let key = own[&field("key")].text();
    let refused = settle(&crossing_to(key), None, &own);
    assert_eq!(refused, Err(Misplaced::AnotherHost));
    let strange = drawn(&["key"]);
    let mut near = key.to_owned();
    let last = if near.pop() == Some('x') { 'y' } else { 'x' };
    near.push(last);
    for text in [strange[&field("key")].text(), &near, "rtPlaceh0lder"] {
        for binding in [Some(&binding), None] {
            let refused = settle(&crossing_to(text), binding, &own);
            assert_eq!(refused, Err(Misplaced::Unknown), "{text}");
        }
    }
    let crossing = crossing_to("nothing");
    assert_eq!(settle(&crossing, None, &own), Ok(Plan::default()));
}

#[test]
fn what_has_no_placeholder_is_filled_or_left_as_the_lane_says() {
    let (binding, own) = (bearer(), drawn(&["key"]));
    let of = |placing| crossing(URL, &[("x-api-key", "mine")], Cargo::None, placing);
    let plan = settle(&of(Placing::Fill), Some(&binding), &own).unwrap();
    assert_eq!(plan, Plan::preferred(&binding));
    assert!(plan.fills(&field("key"), 0) && !plan.fills(&field("key"), 1));
    let plan = settle(&of(Placing::Swap), Some(&binding), &own).unwrap();
    assert!(!plan.uses(&field("key")));
}

#[test]
fn both_halves_of_a_basic_pair_are_placeholders_of_their_own() {
    let binding = binding(&json!({
        "sid": [{"basic": "user", "withField": "token"}],
        "token": [{"basic": "password", "withField": "sid"}],
    }));
    let own = drawn(&["sid", "token"]);
    let (sid, token) = (own[&field("sid")].text(), own[&field("token")].text());
    let of = |pair: String| {
        let value = format!("Basic {}", STANDARD.encode(pair));
        let crossing = crossing(
            URL,
            &[("authorization", &value)],
            Cargo::None,
            Placing::Swap,
        );
        settle(&crossing, Some(&binding), &own)
    };
    let plan = of(format!("{sid}:{token}")).unwrap();
    assert!(plan.uses(&field("sid")));
    assert_eq!(of(format!("{token}:{sid}")), Err(Misplaced::Placement));
    assert_eq!(of(format!("{sid}:{sid}")), Err(Misplaced::Placement));
}

#[test]
fn a_body_slot_is_swapped_where_it_stands_and_only_when_the_body_can_be_read() {
    let binding = binding(&json!({"key": [{"json": "/auth/key"}, {"form": "key"}]}));
    let own = drawn(&["key"]);
    let text = own[&field("key")].text();
    let json = format!(r#"{{"n": 1.0, "auth": {{"key": "{text}"}} }}"#);
    let of = |kind: &str, body: &str, more: &[(&str, &str)]| {
        let mut headers = vec![("content-type", kind)];
        headers.extend(more);
        let cargo = Cargo::Whole(Bytes::from(body.to_owned()));
        let crossing = crossing(URL, &headers, cargo, Placing::Fill);
        settle(&crossing, Some(&binding), &own)
    };
    let plan = of("application/json; charset=utf-8", &json, &[]).unwrap();
    let splice = &plan.splices[0];
    assert_eq!(
        (json.get(splice.at.clone()).unwrap(), splice.spelling),
        (text, Spelling::Json)
    );
    let form = format!("a=1&key={text}&b=2");
    let plan = of("application/x-www-form-urlencoded", &form, &[]).unwrap();
    let splice = &plan.splices[0];
    assert_eq!(
        (form.get(splice.at.clone()).unwrap(), splice.spelling),
        (text, Spelling::Form)
    );
    for (kind, body) in [
        ("text/plain", json.clone()),
        ("application/json", form.clone()),
        (
            "application/json",
            json!({"auth": {"other": text}}).to_string(),
        ),
        (
            "application/json",
            json!({"auth": {"key": format!("{text} ")}}).to_string(),
        ),
    ] {
        assert_eq!(of(kind, &body, &[]), Err(Misplaced::Placement), "{body}");
    }
    let twice = format!("key={text}&key={text}");
    let refused = of("application/x-www-form-urlencoded", &twice, &[]);
    assert_eq!(refused, Err(Misplaced::Occurrences));
    let encoded = of("application/json", &json, &[("content-encoding", "gzip")]);
    assert_eq!(encoded, Err(Misplaced::Placement));
    // Without a placeholder there is nothing that a body of bytes could be filled with.
    let plan = of("application/json", "{}", &[]).unwrap();
    assert!(!plan.uses(&field("key")));
    let crossing = crossing(URL, &[], Cargo::Json(json!({"auth": {}})), Placing::Fill);
    assert!(
        settle(&crossing, Some(&binding), &own)
            .unwrap()
            .fills(&field("key"), 0)
    );
}

#[test]
fn a_path_segment_is_swapped_in_its_place_only() {
    let binding = binding(&json!({"key": [{"pathSegment": "id"}]}));
    let own = drawn(&["key"]);
    let text = own[&field("key")].text();
    let at = |path: &str| {
        let url = format!("https://api.good.test{path}");
        let crossing = crossing(&url, &[], Cargo::None, Placing::Swap);
        settle(&crossing, Some(&binding), &own)
    };
    assert!(
        at(&format!("/v1/things/{text}"))
            .unwrap()
            .fills(&field("key"), 0)
    );
    assert!(!at("/v1/things/other").unwrap().uses(&field("key")));
    assert_eq!(at(&format!("/v1/{text}/x")), Err(Misplaced::Placement));
    assert_eq!(
        at(&format!("/v1/things/{text}?q={text}")),
        Err(Misplaced::Occurrences)
    );
}

/// A tool of AWS's kind: one key signs, and the others are named in what it signs.
fn signing() -> Binding {
    let sigv4 = json!({"region": "r", "service": "s3", "accessKeyField": "id", "sessionTokenField": "session"});
    let spec = json!({
        "slug": "custom-x", "name": "X",
        "credentialsJson": {"schema": {"id": {}, "key": {}, "session": {}}},
        "bindings": [{
            "hosts": ["api.good.test"], "methods": ["POST"], "paths": ["/**"],
            "slots": {"key": {"sigv4": sigv4}},
        }],
    });
    let spec = ToolSpec::from_custom_json(spec).unwrap();
    spec.bindings.into_iter().next().unwrap()
}

#[test]
fn what_a_library_signed_with_placeholders_is_signed_anew_and_they_stand_nowhere_else() {
    let (binding, own) = (signing(), drawn(&["id", "key", "session"]));
    let text = |name| own[&field(name)].text();
    let with = |id: &str| {
        format!(
            "AWS4-HMAC-SHA256 Credential={id}/20261128/r/s3/aws4_request, SignedHeaders=host, Signature=0a"
        )
    };
    let of = |headers: &[(&str, &str)]| {
        let crossing = crossing(URL, headers, Cargo::None, Placing::Swap);
        settle(&crossing, Some(&binding), &own)
    };
    let (signed, session) = (with(text("id")), text("session"));
    for headers in [
        &[("authorization", &*signed)][..],
        &[
            ("authorization", &*signed),
            ("x-amz-security-token", session),
        ],
        &[],
        &[("authorization", "AWS4-HMAC-SHA256 Credential=AKIA/x")],
    ] {
        assert!(of(headers).unwrap().fills(&field("key"), 0), "{headers:?}");
    }
    let twice = format!("{signed}, {}", text("id"));
    let other = with(text("key"));
    for (name, value) in [
        ("authorization", &*twice),
        ("authorization", &*other),
        ("authorization", text("key")),
        ("x-amz-security-token", text("id")),
        ("x-amz-meta-id", text("id")),
        ("x-amz-meta-key", text("key")),
    ] {
        assert!(of(&[(name, value)]).is_err(), "{name}: {value}");
    }
    let repeated = [("authorization", &*signed), ("authorization", &*signed)];
    assert_eq!(of(&repeated), Err(Misplaced::Occurrences));
}
