//! What is asked of the provider, and in whose name (A1, A2, A4).

use std::collections::HashSet;

use crate::harness::connect::{self, Stage, TERMINAL, member, start};
use crate::harness::jar::Jar;
use crate::harness::{Canaries, api};
use crate::{leave, with_fault};

#[test]
fn a1_a2_no_two_flows_share_anything_and_no_state_is_kept_as_it_is() {
    let (_provider, broker) = with_fault(|file| file);
    let mia = broker.member("Mia");
    let (mut ids, mut made) = (HashSet::new(), HashSet::new());
    let mut canaries = Canaries::new();
    let mut jar = Jar::new();
    for number in 0..300 {
        let query = if number % 2 == 0 {
            String::new()
        } else {
            format!("redirect_uri={TERMINAL}")
        };
        let flow = start(&mia, "fault", &query);
        let plain = |b: u8| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b);
        assert!(
            flow.id.len() == 26 && flow.id.bytes().all(plain),
            "{}",
            flow.id
        );
        assert!(ids.insert(flow.id.clone()));
        if let Some(code) = &flow.code {
            assert!(made.insert(code.clone()));
        }
        if number % 6 != 0 {
            continue;
        }
        let door = leave(&mut jar, &flow);
        for name in ["state", "code_challenge"] {
            let value = member(&door, name).unwrap();
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
            assert!(
                value.len() == 43 && value.bytes().all(plain),
                "{name}: {value}"
            );
            canaries.also(&value);
            assert!(made.insert(value), "{name} twice");
        }
        let cookie = jar
            .cookie(&format!("rt_flow_{}", flow.id))
            .unwrap()
            .to_owned();
        assert_eq!(cookie.len(), 43);
        canaries.also(&cookie);
        assert!(made.insert(cookie));
    }
    assert_eq!(ids.len(), 300);
    for (path, bytes) in broker.files() {
        canaries.absent_from(&path.display().to_string(), &bytes);
    }
    canaries.absent_from("the log", &broker.log_bytes());
    let audit = broker.operator().get("/v1/audit?all=true&limit=500");
    assert_eq!(audit.status, 200);
    canaries.absent_from("the audit", &audit.body);
}

#[test]
fn a4_addresses_are_built_from_what_was_set_and_never_from_what_a_request_calls_itself() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let key = mia.make_key(&[]);
    let port = stage.broker.origin().rsplit(':').next().unwrap().to_owned();
    let start = |host: &str, more: &str| {
        let head = format!(
            "GET /v1/oauth/start/peer?redirect_uri={TERMINAL} HTTP/1.1\r\nHost: {host}\r\n\
             X-API-Key: {key}{more}"
        );
        api::raw(&stage.broker, &head, b"")
    };
    for host in [
        "evil.example",
        "evil.example:80",
        &format!("127.0.0.1.evil.example:{port}"),
    ] {
        assert_eq!(start(host, "").refused(421), "unknown_host", "{host}");
    }
    let forged = "\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https\r\nForwarded: \
                  host=evil.example;proto=https\r\nX-Original-Host: evil.example\r\nX-Host: evil.example\
                  \r\nOrigin: https://evil.example\r\nReferer: https://evil.example/";
    for host in [
        format!("localhost:{port}"),
        "localhost:1".into(),
        "127.0.0.1".into(),
    ] {
        let begun = start(&host, forged).expect(200)["data"].clone();
        let page = begun["authUrl"].as_str().unwrap();
        let own = format!("{}/connect/", stage.broker.origin());
        assert!(page.starts_with(&own), "{host}: {page}");
    }
    // The page, too, sends the peer the one address that was registered.
    let flow = stage.start(&mia);
    let mut jar = Jar::new();
    let page = jar.get(&flow.page);
    let token = page.field("token").unwrap();
    let cookie = format!("rt_form={}", jar.cookie("rt_form").unwrap());
    let body = format!("token={token}");
    let head = format!(
        "POST /connect/{} HTTP/1.1\r\nHost: localhost:{port}\r\nCookie: {cookie}\r\nContent-Type: \
         application/x-www-form-urlencoded\r\nContent-Length: {}{}",
        flow.id,
        body.len(),
        forged.replace("\r\nOrigin: https://evil.example", "")
    );
    let left = api::raw(&stage.broker, &head, body.as_bytes());
    assert_eq!(left.status, 303);
    let door = left.headers["location"].to_str().unwrap();
    assert_eq!(member(door, "redirect_uri").unwrap(), stage.back());
    assert!(!door.contains("evil"), "{door}");
}

#[test]
fn a4_an_address_that_differs_by_one_letter_is_refused_by_the_peer_and_by_us() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let registered = stage.back();
    let port = url::Url::parse(&registered).unwrap().port().unwrap();
    let (port, other_port) = (format!(":{port}/"), format!(":{}/", port ^ 1));
    for other in [
        format!("{registered}/"),
        registered.replace("callback", "Callback"),
        registered.replace("127.0.0.1", "localhost"),
        registered.replace(&port, &other_port),
    ] {
        stage.peer.call_back(&[&other]);
        let flow = start(&mia, "peer", "");
        let mut jar = Jar::new();
        let door = leave(&mut jar, &flow);
        let page = jar.open(&door);
        assert_eq!((page.status(), page.location()), (400, None), "{other}");
    }
    stage.no_call();
    let mut jar = Jar::new();
    for path in ["/v1/oauth/callback/peer/", "/v1/oauth/Callback/peer"] {
        let page = jar.get(&format!("{}{path}?code=c&state=s", stage.broker.origin()));
        assert!(
            [400, 404].contains(&page.status()),
            "{path}: {}",
            page.status()
        );
        assert_eq!(page.location(), None);
    }
    let page = jar.get(&format!(
        "{}?code=c&state=s",
        registered.replace("/peer", "/PEER")
    ));
    crate::refused(&page, 404, "flow_unknown");
    assert_eq!(connect::connections(&mia).len(), 0);
}
