//! A WebSocket that tool code opens by itself, inside a tunnel (reference: EX-1, EX-8, EX-10, HT-11).

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::front::Front;
use super::tunnel::{Spoken, Tls, basic, knock, open};
use crate::harness::Client;
use crate::lanes::Handle;
use crate::lanes::origin::Origin;
use crate::lanes::socket::{BINARY, CLOSE, MORE, PING, Socket, TEXT, header, opening};
use crate::stage::{Stage, tls_tool, tool};
use crate::{MASK, proxied};

pub(super) struct Talk {
    pub(super) stage: Stage,
    pub(super) front: Front,
    pub(super) admin: Client,
    pub(super) value: String,
    pub(super) handle: Handle,
}

impl Talk {
    pub(super) fn new() -> Self {
        Self::with(&json!({}))
    }

    pub(super) fn with(terms: &Value) -> Self {
        Self::within("", terms)
    }

    /// With more lines of settings.
    pub(super) fn within(settings: &str, terms: &Value) -> Self {
        let front = Front::start();
        let mut stage = Stage::trusting_within(&front.root, settings);
        let admin = stage.broker.admin(&[]);
        let value = stage.secret(&admin, "KEY", &json!({}));
        stage.install(&admin, &tls_tool("custom-x", front.port));
        let handle = proxied(&stage, &admin, terms);
        Self {
            stage,
            front,
            admin,
            value,
            handle,
        }
    }

    fn bearer(&self) -> String {
        format!("Authorization: Bearer {}", self.handle.placeholder)
    }

    /// Asks for one in a tunnel of its own.
    pub(super) fn ask(&self, handle: &Handle, lines: &[String]) -> Spoken<Tls> {
        let mut tunnel = open(handle, self.front.port);
        tunnel.write(&asking(&format!("localhost:{}", self.front.port), lines));
        tunnel
    }

    /// An open one: the client's end, and the upstream's.
    pub(super) fn open(&self) -> (Socket<Tls>, Socket) {
        self.open_by(&self.handle)
    }

    pub(super) fn open_by(&self, handle: &Handle) -> (Socket<Tls>, Socket) {
        let bearer = format!("Authorization: Bearer {}", handle.placeholder);
        let client = self.ask(handle, &with(&[bearer]));
        let upstream = Socket::agree(self.front.origin.next(), "");
        let (client, _) = opened(client);
        (client, upstream)
    }

    pub(super) fn finish<S>(self, client: &Socket<S>) {
        self.stage.keep_bytes("the socket", &client.came);
        self.stage.finish();
    }
}

/// The lines of an opening, and more.
pub(super) fn with(more: &[String]) -> Vec<String> {
    [&opening()[..], more].concat()
}

pub(super) fn asking(host: &str, lines: &[String]) -> String {
    let lines = lines.join("\r\n");
    format!("GET /talk?q=1 HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n\r\n")
}

/// Reads the agreement; with it, its head.
#[track_caller]
pub(super) fn opened<S: Read + Write>(mut client: Spoken<S>) -> (Socket<S>, String) {
    let head = client.until("\r\n\r\n");
    let (stream, unread) = client.into_parts();
    (Socket::agreed(stream, unread, &head), head)
}

#[test]
fn ex_1_ex_8_code_opens_a_websocket_with_a_placeholder_and_sees_masks_in_all_that_comes_back() {
    let talk = Talk::new();
    let more = [
        talk.bearer(),
        "Sec-WebSocket-Extensions: permessage-deflate".to_owned(),
        "Sec-WebSocket-Protocol: chat,superchat".to_owned(),
    ];
    let client = talk.ask(&talk.handle, &with(&more));
    let served = talk.front.origin.next();
    let of = |name| header(&served.head, name);
    assert!(served.head.starts_with("GET /talk?q=1 HTTP/1.1\r\n"));
    assert_eq!(of("authorization"), Some(format!("Bearer {}", talk.value)));
    assert_eq!(of("upgrade").as_deref(), Some("websocket"));
    let protocols = of("sec-websocket-protocol");
    assert_eq!(protocols.as_deref(), Some("chat, superchat"));
    for gone in ["sec-websocket-extensions", "proxy-authorization"] {
        assert_eq!(of(gone), None, "{gone}");
    }
    assert_ne!(of("sec-websocket-key").unwrap(), "dGhlIHNhbXBsZSBub25jZQ==");
    let shown = format!("sec-websocket-protocol: chat\r\nx-echo: {}\r\n", talk.value);
    let mut upstream = Socket::agree(served, &shown);
    let (mut client, head) = opened(client);
    let of = |name| header(&head, name);
    assert_eq!(of("sec-websocket-protocol").as_deref(), Some("chat"));
    assert_eq!(of("x-echo").as_deref(), Some(MASK));
    assert_eq!(of("x-runtools-answer").as_deref(), Some("upstream"));
    assert_eq!(of("sec-websocket-extensions"), None);
    client.send(true, TEXT, b"hello");
    assert_eq!(upstream.next().unwrap().text(), "hello");
    let value = talk.value.as_bytes();
    for opcode in [TEXT, BINARY] {
        upstream.send(true, opcode, value);
        assert_eq!(client.message(), MASK.as_bytes());
    }
    upstream.send(false, TEXT, &value[..11]);
    upstream.send(true, PING, value);
    assert_eq!(client.next().unwrap().text(), MASK);
    upstream.send(true, MORE, &value[11..]);
    assert_eq!(client.message(), MASK.as_bytes());
    let reason = [b"\x0f\xa1", value].concat();
    upstream.send(true, CLOSE, &reason);
    let end = client.next().unwrap();
    assert_eq!((end.code(), &end.payload[2..]), (4001, MASK.as_bytes()));
    client.send(true, CLOSE, b"\x0f\xa1");
    assert_eq!(upstream.next().unwrap().code(), 4001);
    assert_eq!(client.next(), None);
    let entry = talk.stage.ended("broker.exchange");
    let outcome = &entry["outcome"];
    assert_eq!(outcome["status"], "success", "{entry}");
    assert_eq!(outcome["http_status"], 101, "{entry}");
    assert_eq!(outcome["scrub_hits"], 6, "{entry}");
    talk.finish(&client);
}

#[test]
fn an_opening_without_a_placeholder_carries_no_credential_and_an_answer_is_an_answer() {
    let talk = Talk::new();
    let client = talk.ask(&talk.handle, &with(&[]));
    let served = talk.front.origin.next();
    assert_eq!(header(&served.head, "authorization"), None);
    Socket::agree(served, "");
    let (client, _) = opened(client);
    // An upstream that does not agree: the tunnel stays what it is.
    let mut refused = talk.ask(&talk.handle, &with(&[talk.bearer()]));
    let mut served = talk.front.origin.next();
    let answer = format!(
        "HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\n\r\n{}",
        talk.value.len(),
        talk.value
    );
    served.write(answer.as_bytes()).unwrap();
    let head = refused.until("\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    refused.until(MASK);
    refused.get(&talk.handle, talk.front.port, "/more");
    served.until("\r\n\r\n");
    served
        .write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        .unwrap();
    refused.until("\r\n\r\nok");
    talk.finish(&client);
}

#[test]
fn a_host_that_is_bound_over_http_is_asked_for_a_websocket_without_a_tunnel() {
    let origin = Origin::start();
    let mut stage = Stage::new();
    let admin = stage.broker.admin(&[]);
    let value = stage.secret(&admin, "KEY", &json!({}));
    stage.install(&admin, &tool("custom-x", origin.port()));
    let handle = proxied(&stage, &admin, &json!({}));
    let host = format!("127.0.0.1:{}", origin.port());
    let ask = |host: &str| {
        let shown = basic(&handle.text);
        let bearer = format!("Authorization: Bearer {}", handle.placeholder);
        let lines = with(&[shown.trim_end().to_owned(), bearer]);
        let asked = asking(host, &lines);
        knock(
            &handle,
            asked
                .replacen(" /", &format!(" http://{host}/"), 1)
                .as_bytes(),
        )
    };
    let client = ask(&host);
    let served = origin.next();
    assert!(served.head.starts_with("GET /talk?q=1 HTTP/1.1\r\n"));
    let sent = header(&served.head, "authorization");
    assert_eq!(sent, Some(format!("Bearer {value}")));
    let mut upstream = Socket::agree(served, "");
    let (mut client, _): (Socket<TcpStream>, _) = opened(client);
    upstream.send(true, TEXT, value.as_bytes());
    assert_eq!(client.message(), MASK.as_bytes());
    client.send(true, CLOSE, b"\x03\xe8");
    assert_eq!(upstream.next().unwrap().code(), 1000);
    upstream.send(true, CLOSE, b"\x03\xe8");
    assert_eq!(client.next().unwrap().code(), 1000);
    assert_eq!(client.next(), None);
    let mut elsewhere = ask("127.0.0.1:1");
    let answer = elsewhere.until("}}");
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.contains("\"host_not_bound\""), "{answer}");
    assert_eq!(origin.accepted(), 1);
    stage.keep_bytes("the socket", &client.came);
    stage.finish();
}

#[test]
fn ex_10_a_placeholder_in_a_message_ends_a_websocket_in_a_tunnel() {
    let talk = Talk::new();
    let (mut client, mut upstream) = talk.open();
    let (left, right) = talk.handle.placeholder.split_at(9);
    client.send(false, TEXT, left.as_bytes());
    client.send(true, MORE, right.as_bytes());
    assert_eq!(client.next().unwrap().code(), 1008);
    while upstream.next().is_some() {}
    let came = String::from_utf8_lossy(&upstream.came).into_owned();
    assert!(!came.contains("rtPlaceh0lder"), "{came}");
    let entry = talk.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["code"], "placement", "{entry}");
    talk.finish(&client);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a journey is told in one piece")]
fn ht_11_an_opening_in_a_tunnel_that_is_not_right_reaches_nobody() {
    let talk = Talk::new();
    let placeholder = &talk.handle.placeholder;
    let swapped = |at: usize, line: &str| {
        let mut lines = with(&[talk.bearer()]);
        line.clone_into(&mut lines[at]);
        lines
    };
    for (lines, status, code) in [
        (swapped(1, "Upgrade: h2c"), 501, "upgrade_refused"),
        (
            swapped(1, "Upgrade: websocket, h2c"),
            501,
            "upgrade_refused",
        ),
        (swapped(0, "Connection: close"), 400, "websocket_refused"),
        (swapped(3, "X-A: b"), 400, "websocket_refused"),
        (
            swapped(2, "Sec-WebSocket-Version: 8"),
            426,
            "websocket_version",
        ),
        (
            swapped(4, &format!("Sec-WebSocket-Protocol: key.{placeholder}")),
            403,
            "placement",
        ),
        (
            swapped(4, &format!("X-Token: {placeholder}")),
            403,
            "placement",
        ),
        (
            with(&[talk.bearer(), format!("X-Token: {placeholder}")]),
            403,
            "occurrences",
        ),
        (
            with(&[talk.bearer(), "X-Original-URL: /a".to_owned()]),
            403,
            "steering_header",
        ),
        (
            with(&["Content-Length: 2\r\n\r\nab".to_owned()]),
            400,
            "websocket_refused",
        ),
    ] {
        let mut client = talk.ask(&talk.handle, &lines);
        let answer = client.until("}}");
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{lines:?}: {answer}"
        );
        assert!(
            answer.contains(&format!("\"{code}\"")),
            "{lines:?}: {answer}"
        );
        let version = header(&answer, "sec-websocket-version");
        assert_eq!(version.is_some(), status == 426, "{answer}");
    }
    let mut tunnel = open(&talk.handle, talk.front.port);
    tunnel.write(&asking("evil.test", &with(&[talk.bearer()])));
    let answer = tunnel.until("}}");
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    assert_eq!(talk.front.origin.accepted(), 0);
    talk.stage.finish();
}
