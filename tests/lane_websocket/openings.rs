//! Openings that are refused as any request is, with nothing at the origin (reference: EX-9, EX-10, DC-*, SS-*,
//! HT-4, HS-*).

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::Set;
use crate::lanes::socket::{Socket, header, opening};
use crate::lanes::wire::Wire;
use crate::lanes::{Handle, egress, resolve};
use crate::stage::Stage;

/// Asks for a WebSocket at `url` by right of `handle`, as who has `key`.
fn asks(stage: &Stage, key: &str, handle: &Handle, url: &str, more: &[String]) -> Wire {
    let mut lines = opening();
    lines.push(format!("X-RunTools-Handle: {}", handle.text));
    lines.extend_from_slice(more);
    Wire::open(&stage.broker, key, &format!("GET {}", egress(url)), &lines)
}

/// The same, which is refused.
#[track_caller]
fn refused(set: &Set, handle: &Handle, url: &str, more: &[String], (status, code): (u16, &str)) {
    let mut client = asks(&set.stage, &set.key, handle, url, more);
    let (_, answer) = client.until("\"requestId\"");
    let right = answer.starts_with(&format!("HTTP/1.1 {status} "));
    let said = answer.contains(&format!("\"code\":\"{code}\""));
    assert!(right && said, "{url}: {answer}");
    assert_eq!(set.origin.accepted(), 0, "{url}");
}

#[test]
fn ex_9_ex_10_dc_3_dc_4_dc_10_dc_13_dc_14_an_opening_goes_where_the_tool_is_bound_and_nowhere_else()
{
    let set = Set::made(Stage::new(), |spec| {
        spec["bindings"][0]["paths"] = json!(["/rooms/**"]);
        spec["actionsJson"] = json!({});
    });
    let port = set.origin.port();
    let at = |path: &str| format!("http://127.0.0.1:{port}{path}");
    for (url, answer) in [
        (
            format!("http://127.0.0.1.evil.test:{port}/rooms/1"),
            (403, "binding_refused"),
        ),
        (
            format!("http://localhost:{port}/rooms/1"),
            (403, "binding_refused"),
        ),
        (
            format!("http://127.0.0.1:{}/rooms/1", port ^ 1),
            (403, "binding_refused"),
        ),
        (
            format!("https://127.0.0.1:{port}/rooms/1"),
            (403, "binding_refused"),
        ),
        (at("/admin"), (403, "binding_refused")),
        (at("/rooms/%2e%2e/admin"), (400, "bad_url")),
        (at("/rooms//1"), (400, "bad_url")),
        (at("/rooms/1;a"), (400, "bad_url")),
        (
            format!("http://u@127.0.0.1:{port}/rooms/1"),
            (400, "bad_url"),
        ),
        (format!("http://0x7f.1:{port}/rooms/1"), (400, "bad_url")),
    ] {
        refused(&set, &set.handle, &url, &[], answer);
    }
    let astray = [format!("X-Note: {}", set.handle.placeholder)];
    refused(
        &set,
        &set.handle,
        &at("/rooms/1"),
        &astray,
        (403, "placement"),
    );
    let protocol = [format!(
        "Sec-WebSocket-Protocol: a, {}",
        set.handle.placeholder
    )];
    refused(
        &set,
        &set.handle,
        &at("/rooms/1"),
        &protocol,
        (403, "placement"),
    );
    let steered = ["X-HTTP-Method-Override: TRACE".to_owned()];
    refused(
        &set,
        &set.handle,
        &at("/rooms/1"),
        &steered,
        (403, "steering_header"),
    );
    set.stage.finish();
}

#[test]
fn dc_8_another_fields_placeholder_opens_nothing() {
    let set = Set::made(Stage::new(), |spec| {
        spec["credentialsJson"]["schema"]["second"] = json!({"type": "string", "description": "d"});
        spec["actionsJson"] = json!({});
        let mut second = spec["bindings"][0].clone();
        second["paths"] = json!(["/second"]);
        second["slots"] = json!({"second": [{"header": "x-token"}]});
        spec["bindings"][0]["paths"] = json!(["/first"]);
        spec["bindings"][0]["slots"] = json!({"apiKey": [{"header": "x-token"}]});
        let first = spec["bindings"][0].clone();
        spec["bindings"] = json!([first, second]);
    });
    let mut stage = set.stage;
    stage.secret(&set.admin, "SECOND", &json!({}));
    let set = Set { stage, ..set };
    let both = json!({"credentialOverrides": {"apiKey": "KEY", "second": "SECOND"}});
    let handle = resolve(&set.stage, &set.admin, "custom-x", &both);
    let second = handle.whole["placeholders"]["second"].as_str().unwrap();
    let url = |path: &str| format!("http://127.0.0.1:{}{path}", set.origin.port());
    let token = |text: &str| [format!("X-Token: {text}")];
    let another = (403, "another_host");
    refused(&set, &handle, &url("/first"), &token(second), another);
    refused(
        &set,
        &handle,
        &url("/second"),
        &token(&handle.placeholder),
        another,
    );
    set.stage.finish();
}

#[test]
#[expect(clippy::too_many_lines, reason = "a journey is told in one piece")]
fn ss_1_ss_2_ss_5_ss_6_an_opening_is_guarded_as_every_way_out_is() {
    let stage = Stage::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let closed = listener.local_addr().unwrap().port();
    let [own, proxy] = stage.own_ports();
    let mut set = Set::on(stage);
    for (number, (scheme, place, private, code)) in [
        (
            "https",
            ("127.0.0.1", closed),
            Value::Null,
            "address_refused",
        ),
        (
            "https",
            ("localhost", closed),
            Value::Null,
            "address_refused",
        ),
        (
            "https",
            ("192.168.1.1", 443),
            Value::Null,
            "address_refused",
        ),
        (
            "http",
            ("169.254.169.254", 80),
            json!(["169.254.0.0/16"]),
            "metadata_refused",
        ),
        (
            "http",
            ("127.0.0.1", own),
            json!(["127.0.0.0/8"]),
            "circular",
        ),
        (
            "http",
            ("127.0.0.1", proxy),
            json!(["127.0.0.0/8"]),
            "circular",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let slug = format!("custom-t{number}");
        let mut spec = crate::stage::tool(&slug, place.1);
        spec["actionsJson"] = json!({});
        let binding = spec["bindings"][0].as_object_mut().unwrap();
        binding.insert("scheme".to_owned(), json!(scheme));
        binding.insert("hosts".to_owned(), json!([place.0]));
        binding.insert("private".to_owned(), private.clone());
        if private.is_null() {
            binding.remove("private");
        }
        set.stage.install(&set.admin, &spec);
        set.handle = resolve(&set.stage, &set.admin, &slug, &json!({}));
        let url = format!("{scheme}://{}:{}/talk", place.0, place.1);
        refused(&set, &set.handle, &url, &[], (403, code));
    }
    assert!(listener.accept().is_err(), "nobody dialled");
    set.stage.finish();
}

#[test]
fn hs_1_hs_3_hs_4_no_strange_or_stolen_handle_opens_anything_and_none_is_told_from_another() {
    let set = Set::new();
    let thief = set.stage.operator().post(
        "/v1/organizations",
        &json!({"name": "Elsewhere", "createKey": true}),
    );
    let thief = thief.expect(201)["data"]["key"]
        .as_str()
        .unwrap()
        .to_owned();
    let second = set.stage.operator().make_key(&[]);
    let url = format!("http://127.0.0.1:{}/talk", set.origin.port());
    let mut near = set.handle.clone();
    let last = if near.text.ends_with('A') { "B" } else { "A" };
    near.text.replace_range(near.text.len() - 1.., last);
    let mut answers = Vec::new();
    for (key, handle) in [
        (&thief, &set.handle),
        (&second, &set.handle),
        (&set.key, &near),
    ] {
        let mut client = asks(&set.stage, key, handle, &url, &[]);
        let (_, answer) = client.until("\"requestId\"");
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        answers.push(body.to_owned());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "one answer for all: {answers:?}");
    assert_eq!(set.origin.accepted(), 0);
    set.stage.finish();
}

#[test]
fn hs_9_of_many_openings_by_a_single_use_one_reaches_the_origin() {
    let set = Set::new();
    let once = resolve(&set.stage, &set.admin, "custom-x", &json!({"maxUses": 1}));
    let url = format!("http://127.0.0.1:{}/talk", set.origin.port());
    let mut asking: Vec<_> = (0..16)
        .map(|_| asks(&set.stage, &set.key, &once, &url, &[]))
        .collect();
    let mut upstream = Socket::agree(set.origin.next(), "");
    let answers: Vec<_> = asking.iter_mut().map(|it| it.until("\r\n\r\n").1).collect();
    let agreed = answers.iter().filter(|it| it.starts_with("HTTP/1.1 101"));
    let spent = answers.iter().filter(|it| it.starts_with("HTTP/1.1 410"));
    assert_eq!((agreed.count(), spent.count()), (1, 15), "{answers:?}");
    assert_eq!(set.origin.accepted(), 1);
    drop(asking);
    assert_eq!(upstream.next().unwrap().code(), 1001);
    set.stage.finish();
}

#[test]
fn ht_4_what_the_caller_puts_into_the_slot_of_an_opening_is_replaced() {
    let set = Set::with(&json!({"header": "x-token", "format": "Key {apiKey}"}));
    let url = format!("http://127.0.0.1:{}/talk", set.origin.port());
    let more = [
        "X-Token: Key mine",
        "Proxy-Authorization: Basic x",
        "X-Forwarded-For: 10.0.0.1",
    ];
    let client = asks(
        &set.stage,
        &set.key,
        &set.handle,
        &url,
        &more.map(str::to_owned),
    );
    let served = set.origin.next();
    let head = served.head.to_lowercase();
    assert_eq!(head.matches("\r\nx-token:").count(), 1, "{head}");
    assert_eq!(
        header(&served.head, "x-token"),
        Some(format!("Key {}", set.value))
    );
    for gone in [
        "proxy-authorization",
        "x-forwarded-for",
        "x-api-key",
        "x-runtools-handle",
    ] {
        assert_eq!(header(&served.head, gone), None, "{gone}");
    }
    drop((client, served));
    set.stage.finish();
}
