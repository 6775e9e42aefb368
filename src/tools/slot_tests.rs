use serde_json::json;

use super::{Slot, SlotFormat};
use crate::name::FieldName;
use crate::tools::reader::{Item, Spelling};

fn field() -> FieldName {
    FieldName::parse("apiKey").unwrap()
}

fn read(value: serde_json::Value) -> Result<Slot, String> {
    Slot::read(Item::root(value, Spelling::Camel), &field()).map_err(|e| e.to_string())
}

#[test]
fn ex_13_a_format_names_its_own_field_exactly_once() {
    let around = |text| {
        SlotFormat::parse(text, &field()).map(|f| {
            let (before, after) = f.around();
            (before.to_owned(), after.to_owned())
        })
    };
    for (text, before, after) in [
        ("{apiKey}", "", ""),
        ("Bearer {apiKey}", "Bearer ", ""),
        ("token={apiKey}, v=1", "token=", ", v=1"),
        ("{{x}}{apiKey}", "{x}", ""),
    ] {
        assert_eq!(
            around(text).unwrap(),
            (before.into(), after.into()),
            "{text}"
        );
    }
    for text in [
        "",
        "Bearer",
        "{apiKey}{apiKey}",
        "{apiKey} {other}",
        "{other}",
        "{@apiKey}",
        "Bearer {apiKey",
        "Bearer apiKey}",
        "{ apiKey }",
        "Bearer\r\nX: {apiKey}",
        "Bearer\0{apiKey}",
        "Bäarer {apiKey}",
        " {apiKey}",
        "{apiKey} ",
    ] {
        assert!(around(text).is_err(), "{text:?}");
    }
}

#[test]
fn steering_headers_are_no_slots() {
    for name in [
        "Host",
        "content-length",
        "Connection",
        "Transfer-Encoding",
        "TE",
        "Upgrade",
        "Proxy-Authorization",
        "X-HTTP-Method-Override",
        "X-Forwarded-Host",
        "X-RunTools-Handle",
        "Accept-Encoding",
        "Sec-WebSocket-Key",
        "Sec-Fetch-Mode",
        ":authority",
        "a b",
        "",
    ] {
        assert!(read(json!({ "header": name })).is_err(), "{name}");
    }
    for name in ["X-Api-Key", "Sec-WebSocket-Protocol"] {
        assert!(read(json!({ "header": name })).is_ok(), "{name}");
    }
}

#[test]
fn a_slot_is_of_one_known_kind() {
    for good in [
        json!({ "header": "authorization", "format": "Bearer {apiKey}" }),
        json!({ "basic": "user", "with": "" }),
        json!({ "basic": "password", "withField": "email" }),
        json!({ "query": "api_key" }),
        json!({ "form": "auth[key]" }),
        json!({ "json": "/auth/key" }),
        json!({ "pathSegment": "account" }),
    ] {
        let slot = read(good.clone()).unwrap();
        assert_eq!(slot.to_json(&field()), good);
    }
    for bad in [
        json!({}),
        json!("authorization"),
        json!({ "header": "a", "query": "b" }),
        json!({ "body": "*" }),
        json!({ "query": "key", "format": "{apiKey}" }),
        json!({ "query": "" }),
        json!({ "query": "a&b" }),
        json!({ "json": "" }),
        json!({ "json": "auth" }),
        json!({ "json": "/a~2" }),
        json!({ "basic": "both" }),
        json!({ "basic": "password", "with": "a:b" }),
        json!({ "basic": "user", "with": "x", "withField": "y" }),
        json!({ "pathSegment": "../x" }),
    ] {
        assert!(read(bad.clone()).is_err(), "{bad}");
    }
}
