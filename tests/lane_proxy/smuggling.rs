//! Requests in a tunnel that two readers would read differently (reference: HT-1, HT-2, HT-11): the origin
//! gets none, or one that is well formed.

use std::io::{Read, Write};
use std::time::Duration;

use super::frames::{Came, DATA, END_STREAM, Field, GOAWAY, Many};
use super::tunnel::open;
use crate::harness::ambiguous::{Reader, one_at_most};
use crate::lanes::Handle;
use crate::{MASK, Set, proxied};
use serde_json::json;

/// What a tunnel did with some bytes.
struct Outcome {
    statuses: Vec<u16>,
    closed: bool,
    text: String,
}

/// Sends `bytes` as they are in a tunnel, and reads until it is closed, or silent for so long.
fn send(handle: &Handle, port: u16, bytes: &[u8], patience: Duration) -> Outcome {
    let mut tunnel = open(handle, port);
    tunnel.stream.sock.set_read_timeout(Some(patience)).unwrap();
    // Who has refused already takes the rest or not.
    drop(tunnel.stream.write_all(bytes));
    drop(tunnel.stream.flush());
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    let closed = loop {
        match tunnel.stream.read(&mut piece) {
            Ok(0) => break true,
            Ok(read) => answer.extend_from_slice(&piece[..read]),
            Err(error) => {
                use std::io::ErrorKind::{TimedOut, WouldBlock};
                break ![TimedOut, WouldBlock].contains(&error.kind());
            }
        }
    };
    let text = String::from_utf8_lossy(&answer).into_owned();
    let heads = text.match_indices("HTTP/1.1 ");
    Outcome {
        statuses: heads
            .map(|(at, _)| text[at + 9..at + 12].parse().unwrap())
            .collect(),
        closed,
        text,
    }
}

impl Set {
    fn place(&self) -> String {
        format!("localhost:{}", self.origin.port())
    }

    /// A request to `path` with these lines for its framing.
    fn post(&self, path: &str, framing: &str, body: &str) -> String {
        let (place, bearer) = (self.place(), self.bearer());
        format!("POST {path} HTTP/1.1\r\nHost: {place}\r\n{bearer}\r\n{framing}\r\n{body}")
    }
}

#[test]
fn ht_1_ambiguous_requests_in_a_tunnel_are_refused_and_end_it() {
    let set = Set::new();
    let hidden = set.post("/hidden", "Content-Length: 3\r\n", "a=b");
    let place = set.place();
    let reader = Reader {
        request: &|framing, body| set.post("/shown", framing, body),
        get: "GET /shown",
        host: &place,
        body: "a=b&c=d",
        hidden: &hidden,
    };
    let mut wrong = Vec::new();
    for (what, bytes) in reader.refused() {
        let patience = Duration::from_secs(30);
        let outcome = send(&set.handle, set.origin.port(), bytes.as_bytes(), patience);
        let refused = outcome.statuses.len() <= 1
            && outcome.statuses.iter().all(|it| (400..=505).contains(it));
        if !(refused && outcome.closed) {
            wrong.push((what, outcome.statuses, outcome.closed, outcome.text));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(set.origin.accepted(), 0);
    set.stage.finish();
}

#[test]
fn ht_1_what_is_ambiguous_only_to_others_leaves_a_tunnel_at_most_once() {
    let set = Set::new();
    let hidden = set.post("/hidden", "Content-Length: 3\r\n", "a=b");
    let place = set.place();
    let reader = Reader {
        request: &|framing, body| set.post("/shown", framing, body),
        get: "GET /shown",
        host: &place,
        body: "a=b&c=d",
        hidden: &hidden,
    };
    for (what, bytes) in reader.once() {
        let before = set.origin.seen().len();
        let patience = Duration::from_millis(700);
        let outcome = send(&set.handle, set.origin.port(), bytes.as_bytes(), patience);
        assert!(outcome.statuses.len() <= 1, "{what}: {}", outcome.text);
        let seen = set.origin.seen().split_off(before);
        one_at_most(what, &seen, "/shown");
    }
    // Two plain requests in one write are two.
    let both = format!(
        "{}{hidden}",
        set.post("/shown", "Content-Length: 3\r\n", "c=d")
    );
    let before = set.origin.seen().len();
    let patience = Duration::from_secs(2);
    let outcome = send(&set.handle, set.origin.port(), both.as_bytes(), patience);
    assert_eq!(outcome.statuses, [200, 200], "{}", outcome.text);
    assert_eq!(set.origin.seen().len(), before + 2);
    set.stage.finish();
}

/// The head of a good request, in which fields of a name may be others.
fn head<'a>(set: &'a (String, String), other: &[Field<'a>]) -> Vec<Field<'a>> {
    let (place, bearer) = set;
    let good = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", &**place),
        (":path", "/run"),
        ("authorization", &**bearer),
    ];
    let stays = |field: &Field<'_>| other.iter().all(|(name, _)| *name != field.0);
    let pseudo = |field: &Field<'_>| field.0.starts_with(':');
    let mut fields: Vec<_> = good.into_iter().filter(stays).collect();
    fields.extend_from_slice(other);
    // In a head pseudo-header fields come first (RFC 9113, 8.3).
    let (mut first, rest): (Vec<_>, Vec<_>) = fields.into_iter().partition(pseudo);
    first.extend(rest);
    first
}

/// What is wrong by the protocol ends its stream,
const MALFORMED: Came = Came::Reset(1);
/// and what cannot even be read, the connection.
const BROKEN: Came = Came::Ended(1);

fn refused(code: &str) -> Came {
    Came::Answer(code.to_owned())
}

/// A table of heads, and what each comes to: the code of the refusal stands for its text.
fn each(set: &Set, cases: &[(Vec<Field<'_>>, Came)]) {
    let port = set.origin.port();
    let mut others = Vec::new();
    for (fields, expected) in cases {
        let mut tunnel = Many::open(&set.handle, port);
        tunnel.head(1, fields, true);
        let came = match tunnel.came(1) {
            Came::Answer(text) => {
                let told: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
                let code = told["error"]["code"].as_str();
                Came::Answer(code.map_or(text, str::to_owned))
            }
            other => other,
        };
        if came != *expected {
            others.push((fields, came));
        }
    }
    assert!(others.is_empty(), "{others:#?}");
    assert_eq!(set.origin.accepted(), 0);
}

impl Set {
    fn words(&self) -> (String, String) {
        (self.place(), format!("Bearer {}", self.handle.placeholder))
    }
}

#[test]
fn ht_2_fields_that_mean_something_else_in_http_1_are_refused() {
    let set = Set::new();
    let words = set.words();
    let with = |other: &[Field<'static>]| head(&words, other);
    each(
        &set,
        &[
            (with(&[("transfer-encoding", "chunked")]), MALFORMED),
            (with(&[("connection", "close")]), MALFORMED),
            (with(&[("connection", "x-a"), ("x-a", "b")]), MALFORMED),
            (with(&[("keep-alive", "timeout=9")]), MALFORMED),
            (with(&[("proxy-connection", "close")]), MALFORMED),
            (with(&[("upgrade", "h2c")]), MALFORMED),
            (with(&[("te", "gzip, chunked")]), MALFORMED),
            (with(&[("X-Upper", "b")]), BROKEN),
            (with(&[("x a", "b")]), BROKEN),
            (with(&[("x-a:", "b")]), BROKEN),
            (with(&[("x-a\r\nx-b", "c")]), BROKEN),
            (with(&[("", "b")]), BROKEN),
            (with(&[("x-a", "b\r\nX-B: c")]), BROKEN),
            (with(&[("x-a", "b\nX-B: c")]), BROKEN),
            (with(&[("x-a", "b\0c")]), BROKEN),
        ],
    );
    set.stage.finish();
}

#[test]
fn ht_2_a_head_that_could_be_another_request_is_refused() {
    let set = Set::new();
    let words = set.words();
    let with = |other: &[Field<'static>]| head(&words, other);
    let last = |field: Field<'static>| [head(&words, &[]), vec![field]].concat();
    each(
        &set,
        &[
            (with(&[(":path", "/run HTTP/1.1")]), MALFORMED),
            (with(&[(":path", "/run\r\nX-A: b")]), MALFORMED),
            (with(&[(":path", "/run\nX-A: b")]), MALFORMED),
            (with(&[(":path", "")]), MALFORMED),
            (with(&[(":path", "*")]), refused("no_path")),
            (with(&[(":path", "/a/../run")]), refused("bad_url")),
            (with(&[(":path", "/a\\run")]), refused("bad_url")),
            (with(&[(":method", "GET /other HTTP/1.1\r\nX-A:")]), BROKEN),
            (with(&[(":method", "")]), BROKEN),
            (with(&[(":method", "TRACE")]), refused("method_refused")),
            (with(&[(":scheme", "http")]), refused("wrong_authority")),
            (
                with(&[(":authority", "evil.test")]),
                refused("wrong_authority"),
            ),
            (with(&[(":authority", "evil.test\r\nX-A: b")]), MALFORMED),
            (with(&[("host", "evil.test")]), refused("wrong_authority")),
            (
                with(&[(":authority", "u@localhost")]),
                refused("wrong_authority"),
            ),
            (with(&[(":unknown", "a")]), BROKEN),
            (with(&[(":status", "200")]), MALFORMED),
            (with(&[(":path", "/a"), (":path", "/b")]), MALFORMED),
            (last((":path", "/other")), MALFORMED),
        ],
    );
    set.stage.finish();
}

#[test]
fn ht_2_a_body_of_another_length_than_its_head_says_reaches_nobody() {
    let set = Set::new();
    let words = set.words();
    let port = set.origin.port();
    for (length, bodies) in [
        ("5", &["abc"][..]),
        ("5", &["abcdef"]),
        ("5", &["abc", "def"]),
        ("0", &["a"]),
        ("5", &[]),
        ("+3", &["abc"]),
        ("3, 3", &["abc"]),
        ("0x3", &["abc"]),
    ] {
        let mut tunnel = Many::open(&set.handle, port);
        let fields = head(&words, &[("content-length", length)]);
        tunnel.head(1, &fields, bodies.is_empty());
        for (at, body) in bodies.iter().enumerate() {
            let flags = if at + 1 == bodies.len() {
                END_STREAM
            } else {
                0
            };
            tunnel.send(DATA, flags, 1, body.as_bytes());
        }
        assert_eq!(tunnel.came(1), MALFORMED, "{length} {bodies:?}");
    }
    let twice = [("content-length", "3"), ("content-length", "4")];
    let mut tunnel = Many::open(&set.handle, port);
    tunnel.head(1, &head(&words, &twice), false);
    tunnel.send(DATA, END_STREAM, 1, b"abc");
    assert_eq!(tunnel.came(1), MALFORMED);
    assert_eq!(set.origin.accepted(), 0);
    set.stage.finish();
}

#[test]
fn ht_2_what_is_good_arrives_as_one_request_of_http_1() {
    let set = Set::new();
    let words = set.words();
    let mut tunnel = Many::open(&set.handle, set.origin.port());
    let more = [
        ("te", "trailers"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("content-length", "7"),
        ("x-a", "POST /hidden HTTP/1.1"),
    ];
    tunnel.head(1, &head(&words, &more), false);
    tunnel.send(DATA, 0, 1, b"a=b");
    tunnel.send(DATA, END_STREAM, 1, b"&c=d");
    let Came::Answer(text) = tunnel.came(1) else {
        panic!("no answer");
    };
    assert!(text.contains(MASK), "{text}");
    let seen = set.origin.last();
    assert_eq!((&*seen.method, &*seen.target), ("POST", "/run"));
    assert_eq!(&seen.body[..], b"a=b&c=d");
    assert_eq!(seen.header("host"), set.place());
    assert_eq!(seen.header("content-length"), "7");
    for gone in ["te", "cookie", "transfer-encoding", "connection"] {
        assert_eq!(seen.header(gone), "", "{gone}");
    }
    assert_eq!(set.origin.seen().len(), 1);
    set.stage.finish();
}

#[test]
fn ht_11_no_stream_of_http_2_becomes_a_websocket() {
    let set = Set::new();
    let words = set.words();
    let tunnel = Many::open(&set.handle, set.origin.port());
    // SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441, 3).
    let offered = tunnel.settings.iter().any(|(number, _)| *number == 8);
    assert!(!offered, "{:?}", tunnel.settings);
    drop(tunnel);
    let extended = [(":method", "CONNECT"), (":protocol", "websocket")];
    let (place, _) = &words;
    let plain = vec![(":method", "CONNECT"), (":authority", &**place)];
    each(
        &set,
        &[
            (head(&words, &extended), MALFORMED),
            (plain, refused("no_path")),
        ],
    );
    set.stage.finish();
}

#[test]
fn a_handle_that_runs_out_says_goodbye_to_a_tunnel_of_http_2() {
    let set = Set::new();
    let handle = proxied(&set.stage, &set.admin, &json!({"ttlSeconds": 2}));
    let mut tunnel = Many::open(&handle, set.origin.port());
    let mut told = None;
    while let Some(frame) = tunnel.next() {
        if frame.kind == GOAWAY {
            told = Some(frame.payload[4..8].to_vec());
        }
    }
    assert_eq!(told, Some(vec![0; 4]), "no error");
    set.stage.finish();
}
