//! A WebSocket through the streaming lane: credentials in their slots at the opening, frames searched both
//! ways afterwards, and what ends it (reference: EX-8, EX-10, HS-2, HT-9, HT-11).

mod harness;
mod lanes;
mod stage;

mod lane_websocket {
    mod ends;
    mod openings;
    mod usual;
}

use lanes::egress;
use lanes::origin::Served;
use lanes::set::Set;
use lanes::socket::{BINARY, CLOSE, MORE, PING, Socket, TEXT, accept_of, header, opening};
use lanes::wire::Wire;
use serde_json::json;

const MASK: &str = "****************************************";

impl Set {
    /// Asks for a WebSocket at `path`.
    fn ask(&self, path: &str, more: &[String]) -> Wire {
        let mut lines = opening();
        lines.extend_from_slice(more);
        self.request("GET", path, &lines)
    }

    /// An open one: the caller's end, and the upstream's.
    fn open(&self) -> (Socket, Socket) {
        let client = self.ask("/talk", &[]);
        let served = self.origin.next();
        let upstream = Socket::agree(served, "");
        let (caller, _) = Socket::opened(client);
        (caller, upstream)
    }

    /// Looks at all that the caller got, and at everything else.
    fn finish(self, caller: &Socket) {
        self.stage.keep_bytes("the socket", &caller.came);
        self.stage.finish();
    }
}

fn refuse(served: &mut Served, status: &str) {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nno");
    served.write(head.as_bytes()).unwrap();
}

#[test]
fn the_opening_is_a_request_like_any_other_with_a_question_of_its_own() {
    let set = Set::new();
    let more = [
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits".to_owned(),
        "Sec-WebSocket-Protocol: chat,superchat".to_owned(),
        "Sec-WebSocket-Protocol:  plain".to_owned(),
        "Origin: https://tool.example".to_owned(),
        "Cookie: a=1".to_owned(),
    ];
    let client = set.ask("/talk?q=1", &more);
    let served = set.origin.next();
    let head = served.head.to_lowercase();
    assert!(head.starts_with("get /talk?q=1 http/1.1\r\n"), "{head}");
    let of = |name| header(&served.head, name);
    assert_eq!(of("authorization"), Some(format!("Bearer {}", set.value)));
    assert_eq!(of("upgrade").as_deref(), Some("websocket"));
    assert_eq!(of("connection").as_deref(), Some("Upgrade"));
    assert_eq!(of("sec-websocket-version").as_deref(), Some("13"));
    let protocols = of("sec-websocket-protocol");
    assert_eq!(protocols.as_deref(), Some("chat, superchat, plain"));
    assert_eq!(of("origin").as_deref(), Some("https://tool.example"));
    for gone in ["sec-websocket-extensions", "cookie", "x-runtools-handle"] {
        assert_eq!(of(gone), None, "{gone}");
    }
    // Its key is the broker's own.
    let key = of("sec-websocket-key").unwrap();
    assert_ne!(key, "dGhlIHNhbXBsZSBub25jZQ==");
    let mut upstream = Socket::agree(served, "sec-websocket-protocol: superchat\r\nx-a: b\r\n");
    let (mut caller, head) = Socket::opened(client);
    let of = |name| header(&head, name);
    assert_eq!(of("sec-websocket-protocol").as_deref(), Some("superchat"));
    assert_eq!(of("x-a").as_deref(), Some("b"));
    assert_eq!(of("x-runtools-answer").as_deref(), Some("upstream"));
    assert_eq!(of("sec-websocket-extensions"), None);
    // Each side masks as it must, whatever came with the head.
    caller.send(true, TEXT, b"hello");
    let frame = upstream.next().unwrap();
    assert!(frame.masked && frame.last && frame.opcode == TEXT);
    assert_eq!(frame.text(), "hello");
    let large = vec![0; 70_000];
    upstream.send(true, BINARY, &large);
    assert_eq!(caller.message(), large);
    caller.send(true, CLOSE, b"\x03\xe8bye");
    assert_eq!(upstream.next().unwrap().payload, b"\x03\xe8bye");
    upstream.send(true, CLOSE, b"\x03\xe8");
    assert_eq!(caller.next().unwrap().code(), 1000);
    assert_eq!(caller.next(), None);
    let entry = set.stage.ended("broker.exchange");
    let outcome = &entry["outcome"];
    assert_eq!(outcome["status"], "success", "{entry}");
    assert_eq!(outcome["http_status"], 101, "{entry}");
    assert_eq!(outcome["bytes_out"], 10, "{entry}");
    assert_eq!(outcome["bytes_in"], 70_002, "{entry}");
    set.finish(&caller);
}

#[test]
fn ex_8_an_echo_is_masked_in_frames_in_the_subprotocol_and_in_the_reason_of_an_end() {
    let set = Set::new();
    let client = set.ask("/talk", &["Sec-WebSocket-Protocol: chat".to_owned()]);
    let served = set.origin.next();
    let shown = format!("sec-websocket-protocol: {}\r\n", set.value);
    let mut upstream = Socket::agree(served, &shown);
    let (mut caller, head) = Socket::opened(client);
    let protocol = header(&head, "sec-websocket-protocol");
    assert_eq!(protocol.as_deref(), Some(MASK));
    let value = set.value.as_bytes();
    upstream.send(true, TEXT, value);
    assert_eq!(caller.message(), MASK.as_bytes());
    upstream.send(true, BINARY, value);
    assert_eq!(caller.message(), MASK.as_bytes());
    // One byte to a fragment, with a question in the middle.
    upstream.send(false, TEXT, b"");
    for (at, byte) in value.iter().enumerate() {
        upstream.send(false, MORE, &[*byte]);
        if at == 20 {
            upstream.send(true, PING, value);
            assert_eq!(caller.next().unwrap().text(), MASK);
        }
    }
    upstream.send(true, MORE, b"");
    assert_eq!(caller.message(), MASK.as_bytes());
    // What a value may begin with is not kept back for longer than its message.
    upstream.send(true, TEXT, &value[..5]);
    assert_eq!(caller.message(), value[..5]);
    upstream.send(true, TEXT, &value[5..]);
    assert_eq!(caller.message(), &MASK.as_bytes()[5..]);
    let reason = [b"\x0f\xa1", value].concat();
    upstream.send(true, CLOSE, &reason);
    let end = caller.next().unwrap();
    assert_eq!((end.code(), &end.payload[2..]), (4001, MASK.as_bytes()));
    caller.send(true, CLOSE, b"\x0f\xa1");
    assert_eq!(upstream.next().unwrap().code(), 4001);
    let entry = set.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["scrub_hits"], 7, "{entry}");
    // The message that holds a value's first five bytes holds no value.
    set.finish(&caller);
}

#[test]
fn tokens_go_into_the_subprotocol_and_the_query_as_into_any_slot() {
    let format = "chat, key.{apiKey}";
    let set = Set::with(&json!({"header": "sec-websocket-protocol", "format": format}));
    // With its placeholder, as a client writes it, and without any.
    let written = format!(
        "Sec-WebSocket-Protocol: chat,key.{}",
        set.handle.placeholder
    );
    for more in [&[written][..], &[]] {
        let client = set.ask("/talk", more);
        let served = set.origin.next();
        let sent = header(&served.head, "sec-websocket-protocol");
        assert_eq!(sent, Some(format!("chat, key.{}", set.value)));
        let mut upstream = Socket::agree(served, "sec-websocket-protocol: chat\r\n");
        let (mut caller, _) = Socket::opened(client);
        upstream.send(true, TEXT, set.value.as_bytes());
        assert_eq!(caller.message(), MASK.as_bytes());
    }
    let elsewhere = format!("Sec-WebSocket-Protocol: key.{}", set.handle.placeholder);
    let mut client = set.ask("/talk", &[elsewhere]);
    client.until("\"placement\"");
    set.stage.finish();

    let set = Set::with(&json!({"query": "token"}));
    let path = format!("/talk?token={}&a=b", set.handle.placeholder);
    let client = set.ask(&path, &[]);
    let served = set.origin.next();
    let target = format!("GET /talk?a=b&token={} ", set.value);
    assert!(served.head.starts_with(&target), "{}", served.head);
    Socket::agree(served, "");
    let (caller, _) = Socket::opened(client);
    set.finish(&caller);
}

#[test]
fn ex_10_a_placeholder_in_a_message_ends_the_socket_and_never_leaves() {
    let set = Set::new();
    let plain = &set.handle.placeholder;
    let percent: String = plain.bytes().map(|b| format!("%{b:02X}")).collect();
    for spelled in [plain, &percent] {
        let (mut caller, mut upstream) = set.open();
        caller.send(true, TEXT, format!("{{\"key\":\"{spelled}\"}}").as_bytes());
        let end = caller.next().unwrap();
        assert_eq!(end.code(), 1008, "{end:?}");
        assert_eq!(upstream.next().unwrap().code(), 1001, "nothing before it");
        assert_eq!(upstream.next(), None);
        let entry = set.stage.ended("broker.exchange");
        assert_eq!(entry["outcome"]["code"], "placement", "{entry}");
    }
    let (mut caller, mut upstream) = set.open();
    let (left, right) = plain.split_at(plain.len() / 3);
    caller.send(false, TEXT, left.as_bytes());
    caller.send(true, MORE, right.as_bytes());
    assert_eq!(caller.next().unwrap().code(), 1008);
    while upstream.next().is_some() {}
    let came = String::from_utf8_lossy(&upstream.came).into_owned();
    assert!(!came.contains("rtPlaceh0lder"), "{came}");
    set.finish(&caller);
}

#[test]
fn ht_11_nothing_but_a_websocket_is_switched_to_and_only_by_its_rules() {
    let set = Set::new();
    let url = format!("http://127.0.0.1:{}/talk", set.origin.port());
    let ask = |first: &str, lines: &[String]| {
        let mut lines = lines.to_vec();
        lines.push(format!("X-RunTools-Handle: {}", set.handle.text));
        Wire::open(&set.stage.broker, &set.key, first, &lines)
    };
    let get = format!("GET {}", egress(&url));
    let swapped = |at: usize, line: &str| {
        let mut lines = opening();
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
        (
            swapped(0, "Connection: keep-alive"),
            400,
            "websocket_refused",
        ),
        (swapped(3, "X-A: b"), 400, "websocket_refused"),
        (
            swapped(3, "Sec-WebSocket-Key: short"),
            400,
            "websocket_refused",
        ),
        (
            swapped(2, "Sec-WebSocket-Version: 8"),
            426,
            "websocket_version",
        ),
    ] {
        let (_, answer) = ask(&get, &lines).until(code);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        let version = header(&answer, "sec-websocket-version");
        assert_eq!(version.is_some(), status == 426, "{answer}");
    }
    let post = format!("POST {}", egress(&url));
    ask(&post, &opening()).until("websocket_refused");
    // Nor anywhere else.
    let (_, answer) = ask("GET /v1/whoami", &opening()).until("\r\n\r\n");
    assert!(!answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert_eq!(set.origin.accepted(), 0);
    set.stage.finish();
}

#[test]
fn an_upstream_that_does_not_agree_is_an_answer_and_one_that_agrees_wrongly_is_none() {
    let set = Set::new();
    for status in ["200 OK", "403 Forbidden", "426 Upgrade Required"] {
        let mut client = set.ask("/talk", &[]);
        let mut served = set.origin.next();
        refuse(&mut served, status);
        let (_, head) = client.until("\r\n\r\nno");
        assert!(
            head.starts_with(&format!("HTTP/1.1 {}", &status[..3])),
            "{head}"
        );
        let whose = header(&head, "x-runtools-answer");
        assert_eq!(whose.as_deref(), Some("upstream"));
        drop(served);
    }
    let agree = |accept: &str, more: &str| {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-accept: {accept}\r\n{more}\r\n"
        )
    };
    let extension = "sec-websocket-extensions: permessage-deflate\r\n";
    for (right, more) in [(false, ""), (true, extension)] {
        let mut client = set.ask("/talk", &[]);
        let mut served = set.origin.next();
        let mut accept = accept_of(&served.head);
        if !right {
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".clone_into(&mut accept);
        }
        served.write(agree(&accept, more).as_bytes()).unwrap();
        let (_, answer) = client.until("upstream_protocol");
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        assert!(served.is_left());
        let entry = set.stage.ended("broker.exchange");
        assert_eq!(entry["outcome"]["code"], "upstream_protocol", "{entry}");
    }
    set.stage.finish();
}

#[test]
fn a_plain_get_is_what_it_was() {
    let set = Set::new();
    let url = format!("http://127.0.0.1:{}/talk", set.origin.port());
    let lines = [format!("X-RunTools-Handle: {}", set.handle.text)];
    let first = format!("GET {}", egress(&url));
    let mut client = Wire::open(&set.stage.broker, &set.key, &first, &lines);
    let mut served = set.origin.next();
    for gone in ["upgrade", "connection", "sec-websocket-key"] {
        assert_eq!(header(&served.head, gone), None, "{}", served.head);
    }
    refuse(&mut served, "200 OK");
    client.until("\r\n\r\nno");
    set.stage.finish();
}
