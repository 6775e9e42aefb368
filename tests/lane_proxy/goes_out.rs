//! Where a request in a tunnel may go, and with what (reference: EX-9, EX-14, DC-*, SS-*, HT-4, HT-6).

use std::net::TcpListener;

use data_encoding::BASE64;
use serde_json::json;

use super::asked::ask;
use super::tunnel::{connect, shake, trust};
use crate::lanes::try_resolve;
use crate::stage::certificates::{Flaw, Suspect};
use crate::stage::{Stage, tls_tool};
use crate::{Set, echo, proxied};

#[test]
fn ex_9_no_method_that_shows_a_request_is_sent_on_from_a_tunnel() {
    let set = Set::changed(echo(), |_| ());
    let bearer = set.bearer();
    for method in ["TRACE", "TRACK", "trace"] {
        let first = format!("{method} /run");
        set.refused(&first, &[&bearer], "", (405, "method_refused"));
    }
    for steering in [
        "X-HTTP-Method-Override: TRACE",
        "X_HTTP-Method_Override: TRACE",
    ] {
        set.refused(
            "GET /run",
            &[&bearer, steering],
            "",
            (403, "steering_header"),
        );
    }
    set.stage.finish();
}

#[test]
fn ex_14_what_is_for_declared_actions_alone_takes_no_request_from_a_tunnel() {
    let set = Set::changed(echo(), |spec| {
        let mut tokens = spec["bindings"][0].clone();
        tokens["paths"] = json!(["/oauth/token"]);
        tokens["onlyActions"] = json!(true);
        spec["bindings"][0]["paths"] = json!(["/api/**"]);
        let free = spec["bindings"][0].clone();
        spec["bindings"] = json!([free, tokens]);
        spec["actionsJson"] = json!({});
    });
    let bearer = set.bearer();
    set.refused("POST /oauth/token", &[&bearer], "", (403, "another_host"));
    set.refused("POST /oauth/token", &[], "a=b", (403, "binding_refused"));
    assert_eq!(set.get("/api/x").status, 200);
    set.stage.finish();
}

#[test]
fn dc_3_dc_4_dc_13_no_other_spelling_or_port_of_a_host_gets_a_tunnel() {
    let set = Set::changed(echo(), |_| ());
    let port = set.origin.port();
    for place in [
        format!("localhost.evil.test:{port}"),
        format!("evil-localhost:{port}"),
        format!("localhost.:{port}"),
        format!("l%6fcalhost:{port}"),
        format!("localhost\u{ff0e}:{port}"),
        format!("u:p@localhost:{port}"),
        format!("127.0.0.1:{port}"),
        format!("[::1]:{port}"),
        format!("0x7f.1:{port}"),
        format!("2130706433:{port}"),
        "localhost:443".to_owned(),
        "localhost:22".to_owned(),
        format!("localhost:{}", port ^ 1),
        format!("localhost:0{port}"),
        "localhost:".to_owned(),
        format!("local\thost:{port}"),
    ] {
        let (_, answer) = connect(&set.handle, &place);
        assert!(answer.starts_with("HTTP/1.1 40"), "{place}: {answer}");
    }
    // The one spelling that is another way to write the same.
    let (_, answer) = connect(&set.handle, &format!("LOCALHOST:{port}"));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(set.origin.accepted(), 0);
    set.stage.finish();
}

#[test]
fn dc_8_dc_9_a_placeholder_in_a_tunnel_works_where_its_field_is_bound_and_nowhere_else() {
    let (here, there) = (echo(), echo());
    let roots = format!("{}{}", here.root_pem(), there.root_pem());
    let mut stage = Stage::trusting(&roots);
    let admin = stage.broker.admin(&[]);
    let first = stage.secret(&admin, "KEY", &json!({}));
    let second = stage.secret(&admin, "SECOND", &json!({}));
    let mut spec = tls_tool("custom-x", here.port());
    spec["credentialsJson"]["schema"]["second"] = json!({"type": "string", "description": "d"});
    spec["actionsJson"] = json!({});
    let mut one = spec["bindings"][0].clone();
    one["slots"] = json!({"apiKey": [{"header": "x-token"}]});
    one["paths"] = json!(["/first"]);
    let mut other = one.clone();
    other["port"] = json!(there.port());
    let mut own = one.clone();
    own["paths"] = json!(["/second"]);
    own["slots"] = json!({"second": [{"header": "x-token"}]});
    spec["bindings"] = json!([one, other, own]);
    stage.install(&admin, &spec);
    let both = json!({"credentialOverrides": {"apiKey": "KEY", "second": "SECOND"}});
    let handle = proxied(&stage, &admin, &both);
    let other = handle.whole["placeholders"]["second"].as_str().unwrap();
    let tokens = [&handle.placeholder, other].map(|text| format!("X-Token: {text}"));
    let send = |port: u16, path: &str, which: usize| {
        let told = ask(&handle, port, &format!("GET {path}"), &[&tokens[which]], "");
        stage.keep_bytes(path, told.text.as_bytes());
        (told.status, told.code)
    };
    assert_eq!(send(here.port(), "/first", 0).0, 200);
    assert_eq!(here.last().header("x-token"), first);
    assert_eq!(send(there.port(), "/first", 0).0, 200);
    assert_eq!(there.last().header("x-token"), first);
    let before = here.seen().len() + there.seen().len();
    let refused = (403, "another_host".to_owned());
    assert_eq!(send(here.port(), "/first", 1), refused);
    assert_eq!(send(there.port(), "/first", 1), refused);
    assert_eq!(send(here.port(), "/second", 0), refused);
    assert_eq!(here.seen().len() + there.seen().len(), before);
    assert_eq!(send(here.port(), "/second", 1).0, 200);
    assert_eq!(here.last().header("x-token"), second);
    stage.finish();
}

#[test]
fn dc_10_a_path_in_a_tunnel_has_one_reading_or_none() {
    let set = Set::changed(echo(), |spec| {
        spec["bindings"][0]["paths"] = json!(["/repos/**"]);
        spec["actionsJson"] = json!({});
    });
    let bearer = set.bearer();
    for path in [
        "/repos/../admin",
        "/repos/%2e%2e/admin",
        "/repos/a%2fb",
        "/repos//x",
        "/repos/x;a=b",
        "/repos/%00",
        "/repos/%252e",
        "/repos/%c0%ae",
        "/repos/a\\b",
    ] {
        let told = set.ask(&format!("GET {path}"), &[&bearer], "");
        assert_eq!(told.status, 400, "{path}: {told:?}");
    }
    set.refused("GET /admin", &[&bearer], "", (403, "another_host"));
    assert_eq!(set.origin.accepted(), 0);
    assert_eq!(set.get("/repos/x?a=%2F").status, 200);
    assert_eq!(set.origin.last().target, "/repos/x?a=%2F");
    set.stage.finish();
}

#[test]
fn dc_15_an_untrusted_certificate_gets_no_byte_of_a_request_in_a_tunnel() {
    for flaw in [
        Flaw::WrongName,
        Flaw::Expired,
        Flaw::NotYet,
        Flaw::SelfSigned,
        Flaw::UnknownIssuer,
    ] {
        let upstream = Suspect::start(flaw);
        let mut stage = Stage::trusting(&upstream.root);
        let admin = stage.broker.admin(&[]);
        stage.secret(&admin, "KEY", &json!({}));
        stage.install(&admin, &tls_tool("custom-x", upstream.port));
        let handle = proxied(&stage, &admin, &json!({}));
        let bearer = format!("Authorization: Bearer {}", handle.placeholder);
        let told = ask(&handle, upstream.port, "GET /run", &[&bearer], "");
        assert_eq!(
            (told.status, &*told.code),
            (502, "tls_failed"),
            "{flaw:?}: {told:?}"
        );
        assert!(upstream.accepted() > 0, "{flaw:?}: it was tried");
        assert_eq!(upstream.bytes_inside(), 0, "{flaw:?}");
        stage.finish();
    }
}

/// What a request in a tunnel to `host` at `port` comes to, where the binding opens `private` addresses.
fn inwards(
    stage: &Stage,
    slug: &str,
    (host, port): (&str, u16),
    private: Option<&str>,
    upgrade: &str,
) -> String {
    let admin = stage.broker.admin(&[]);
    stage.secret_of(
        &admin,
        &format!("KEY_{port}"),
        "a-value-that-goes-nowhere",
        &json!({}),
    );
    let mut spec = tls_tool(slug, port);
    spec["actionsJson"] = json!({});
    spec["bindings"][0]["hosts"] = json!([host]);
    spec["bindings"][0]["private"] = json!(private.as_slice());
    if private.is_none() {
        spec["bindings"][0]
            .as_object_mut()
            .unwrap()
            .remove("private");
    }
    stage.install(&admin, &spec);
    let named = json!({"lane": "proxy", "credentialOverrides": {"apiKey": format!("KEY_{port}")}});
    let made = try_resolve(stage, &admin, slug, &named).expect(201)["data"].clone();
    let handle = crate::lanes::Handle {
        id: String::new(),
        text: made["handle"].as_str().unwrap().to_owned(),
        placeholder: made["placeholders"]["apiKey"].as_str().unwrap().to_owned(),
        whole: made,
    };
    let (spoken, answer) = connect(&handle, &format!("{host}:{port}"));
    assert!(answer.starts_with("HTTP/1.1 200"), "{host}: {answer}");
    let mut tunnel = shake(spoken, trust(&handle, &[]), host).unwrap();
    tunnel.write(&format!(
        "GET /run HTTP/1.1\r\nHost: {host}:{port}\r\n{upgrade}Authorization: Bearer {}\r\n\r\n",
        handle.placeholder
    ));
    tunnel.until("}}")
}

#[test]
fn ss_1_ss_2_ss_5_ss_6_addresses_that_no_binding_opens_are_refused_from_a_tunnel_and_for_a_websocket()
 {
    let stage = Stage::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let closed = listener.local_addr().unwrap().port();
    let [own, proxy] = stage.own_ports();
    let socket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                  Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let near = Some("127.0.0.0/8");
    for (number, (place, private, code)) in [
        (("127.0.0.1", closed), None, "address_refused"),
        (("localhost", closed), None, "address_refused"),
        (("10.0.0.1", 443), None, "address_refused"),
        (("192.168.1.1", 8443), None, "address_refused"),
        (
            ("169.254.169.254", 444),
            Some("169.254.0.0/16"),
            "metadata_refused",
        ),
        (("127.0.0.1", own), near, "circular"),
        (("127.0.0.1", proxy), near, "circular"),
    ]
    .into_iter()
    .enumerate()
    {
        for (kind, upgrade) in [("plain", ""), ("socket", socket)] {
            let slug = format!("custom-{kind}{number}");
            let answer = inwards(&stage, &slug, place, private, upgrade);
            let right =
                answer.starts_with("HTTP/1.1 403") && answer.contains(&format!("\"{code}\""));
            assert!(right, "{place:?} {kind}: {answer}");
        }
    }
    assert!(listener.accept().is_err(), "nobody dialled");
    stage.finish();
}

#[test]
fn ht_4_the_value_stands_once_in_its_slot_and_what_is_the_brokers_stays_here() {
    let set = Set::changed(echo(), |spec| {
        spec["bindings"][0]["slots"] =
            json!({"apiKey": [{"header": "x-token", "format": "Key {apiKey}"}]});
    });
    let own = format!("X-Token: Key {}", set.handle.placeholder);
    let lines = [
        "x-token: Key mine",
        &own,
        "Cookie: session=1",
        "Proxy-Authorization: Basic x",
        "Authorization: Basic eDp5",
        "X-Forwarded-For: 10.0.0.1",
        "X-RunTools-Note: x",
        "X-Mine: kept",
    ];
    for lines in [&lines[..], &lines[1..]] {
        let told = set.ask("GET /run", lines, "");
        assert_eq!(told.status, 200, "{told:?}");
        let seen = set.origin.last();
        let slots: Vec<_> = seen.headers.get_all("x-token").iter().collect();
        assert_eq!(slots, [&format!("Key {}", set.value)]);
        for gone in [
            "cookie",
            "proxy-authorization",
            "x-forwarded-for",
            "x-runtools-note",
        ] {
            assert!(!seen.headers.contains_key(gone), "{gone}");
        }
        assert_eq!(seen.header("x-mine"), "kept");
    }
    set.stage.finish();
}

#[test]
fn ht_6_a_placeholder_is_swapped_in_basic_and_found_in_every_other_dress() {
    let set = Set::changed(echo(), |spec| {
        spec["bindings"][0]["slots"] = json!({"apiKey": [{"basic": "password", "with": "x"}]});
    });
    let text = set.handle.placeholder.clone();
    let basic = |pair: &str| format!("Authorization: Basic {}", BASE64.encode(pair.as_bytes()));
    let told = set.ask("GET /run", &[&basic(&format!("x:{text}"))], "");
    assert_eq!(told.status, 200, "{told:?}");
    assert_eq!(
        set.origin.last().header("authorization"),
        format!(
            "Basic {}",
            BASE64.encode(format!("x:{}", set.value).as_bytes())
        )
    );
    let percent: String = text.bytes().map(|b| format!("%{b:02x}")).collect();
    let json: String = text.bytes().map(|b| format!("\\u{b:04x}")).collect();
    for hidden in [
        format!("X-Note: {percent}"),
        format!("X-Note: {}", BASE64.encode(text.as_bytes())),
        format!("X-Note: {}", BASE64.encode(format!("ab{text}").as_bytes())),
        format!("X-Note: {json}"),
        format!("x-NOTE: {text}"),
    ] {
        set.refused("GET /run", &[&hidden], "", (403, "placement"));
    }
    set.refused(
        &format!("GET /run?a={percent}"),
        &[],
        "",
        (403, "placement"),
    );
    set.refused(
        "POST /run",
        &[],
        &format!("{{\"a\":\"{json}\"}}"),
        (403, "placement"),
    );
    set.stage.finish();
}
