//! Echoes that are compressed, cut up or spelled differently (EX-3, EX-4, EX-5).

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};

use crate::harness::Upstream;
use crate::harness::memory::{peak, resident};
use crate::stage::encoded::{self, FIXTURE};
use crate::stage::raw::token;
use crate::stage::{Raw, Stage, execution, tool};
use crate::{MASK, hits, run, stage};

#[test]
fn ex_3_compressed_echoes_are_decoded_and_masked() {
    let shown = encoded::masked();
    let plain = ("identity", encoded::said().into_bytes());
    for (encoding, body) in encoded::echoes().into_iter().chain([plain]) {
        let upstream = Upstream::plain(move |_| {
            Response::builder()
                .header("content-type", "text/plain")
                .header("content-encoding", encoding)
                .body(Bytes::from(body.clone()))
                .unwrap()
        });
        let stage = compressed(upstream.port());
        let done = execution(&run(&stage));
        assert_eq!(
            done["result"]["text"].as_str(),
            Some(shown.as_str()),
            "{encoding}: {done}"
        );
        stage.finish();
    }
}

/// A broker whose secret has the value that the fixtures hold.
fn compressed(port: u16) -> Stage {
    let mut stage = Stage::new();
    let operator = stage.operator();
    stage.canaries.also(FIXTURE);
    stage.secret_of(&operator, "ECHO_KEY", FIXTURE, &json!({}));
    stage.install(&operator, &tool("custom-echo", port));
    stage
}

#[test]
fn ex_3_unknown_lying_and_truncated_encodings_are_never_passed_on() {
    let bodies: [(&str, &[u8]); 6] = [
        ("compress", b"\x1f\x9d\x90say canary/7f3+Zq=9"),
        ("gzip, made-up", b"canary/7f3+Zq=9"),
        ("gzip, br", b"canary/7f3+Zq=9"),
        ("gzip", b"canary/7f3+Zq=9 is no gzip"),
        ("br", b"\xff\xff\xffcanary/7f3+Zq=9"),
        ("gzip", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b]),
    ];
    for (encoding, body) in bodies {
        let upstream = Upstream::plain(move |_| {
            Response::builder()
                .header("content-encoding", encoding)
                .body(Bytes::from_static(body))
                .unwrap()
        });
        let stage = compressed(upstream.port());
        let done = execution(&run(&stage));
        assert_eq!(done["success"], false, "{encoding}: {done}");
        let code = done["error"]["code"].as_str().unwrap();
        assert!(
            ["unscannable", "upstream_protocol"].contains(&code),
            "{encoding}: {done}"
        );
        stage.finish();
    }
}

#[test]
fn ex_3_a_decompression_bomb_ends_as_too_large() {
    for (encoding, name) in [("br", "zeros-64m.br"), ("zstd", "zeros-64m.zst")] {
        let bomb = std::fs::read(format!("tests/fixtures/encodings/{name}")).unwrap();
        let upstream = Upstream::plain(move |_| {
            Response::builder()
                .header("content-encoding", encoding)
                .body(Bytes::from(bomb.clone()))
                .unwrap()
        });
        let (stage, _) = stage(upstream.port());
        let before = resident(stage.broker.pid());
        let done = execution(&run(&stage));
        assert_eq!(done["error"]["code"], "upstream_too_large", "{done}");
        let grown = peak(stage.broker.pid()) - before;
        assert!(grown < 40 << 20, "{encoding}: it grew by {grown} bytes");
        stage.finish();
    }
}

#[test]
fn ex_4_a_value_split_one_byte_per_chunk_and_at_every_point_is_masked() {
    // Each request splits at another point; the first sends every byte alone.
    let count = AtomicUsize::new(0);
    let upstream = Raw::start(move |request, stream| {
        let value = token(request).into_bytes();
        let at = count.fetch_add(1, Ordering::SeqCst);
        let pieces: Vec<&[u8]> = if at == 0 {
            value.chunks(1).collect()
        } else {
            let (left, right) = value.split_at(at);
            vec![left, right]
        };
        let mut send = |bytes: &[u8]| {
            drop(stream.write_all(bytes));
            drop(stream.flush());
        };
        send(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n1\r\n<\r\n",
        );
        for piece in pieces {
            send(format!("{:x}\r", piece.len()).as_bytes());
            send(b"\n");
            send(piece);
            send(b"\r\n");
        }
        send(b"1\r\n>\r\n0\r\n\r\n");
    });
    let (stage, value) = stage(upstream.port());
    for at in 0..value.len() {
        let done = execution(&run(&stage));
        assert_eq!(
            done["result"]["text"],
            format!("<{MASK}>"),
            "split at {at}: {done}"
        );
    }
    stage.finish();
}

#[test]
fn ex_4_trailers_never_reach_the_caller_unmasked() {
    let upstream = Raw::start(|request, stream| {
        let value = token(request);
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntrailer: x-echo\r\n\
             transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-echo: {value}\r\n\r\n"
        );
        drop(stream.write_all(answer.as_bytes()));
    });
    let (stage, _) = stage(upstream.port());
    let done = execution(&run(&stage));
    assert_eq!(done["result"]["text"], "ok");
    stage.finish();
}

/// Every spelling in which the value may come back.
fn spellings(value: &str) -> Vec<(String, String)> {
    let bytes = value.as_bytes();
    let per_byte = |f: &dyn Fn(u8) -> String| bytes.iter().map(|b| f(*b)).collect::<String>();
    let mut all = vec![
        ("text".to_owned(), value.to_owned()),
        (
            "base64url".to_owned(),
            URL_SAFE_NO_PAD.encode(format!("u:{value}")),
        ),
        ("hex".to_owned(), per_byte(&|b| format!("{b:02x}"))),
        ("HEX".to_owned(), per_byte(&|b| format!("{b:02X}"))),
        ("percent".to_owned(), per_byte(&|b| format!("%{b:02x}"))),
        ("PERCENT".to_owned(), per_byte(&|b| format!("%{b:02X}"))),
        ("unicode".to_owned(), per_byte(&|b| format!("\\u{b:04x}"))),
        ("UNICODE".to_owned(), per_byte(&|b| format!("\\u{b:04X}"))),
        ("entity".to_owned(), per_byte(&|b| format!("&#{b};"))),
        ("hex entity".to_owned(), per_byte(&|b| format!("&#x{b:x};"))),
    ];
    for before in ["", "x", "xy"] {
        let blob = STANDARD.encode(format!("{before}{value}zz"));
        all.push((format!("base64 after {}", before.len()), blob));
    }
    all
}

#[test]
fn ex_5_every_encoding_of_an_echo_is_masked() {
    let upstream = Upstream::plain(|seen| {
        let value = seen
            .header("authorization")
            .trim_start_matches("Bearer ")
            .to_owned();
        let lines: String = spellings(&value)
            .iter()
            .map(|(_, s)| format!("<{s}>\n"))
            .collect();
        Response::builder()
            .header("content-type", "text/plain")
            .body(Bytes::from(lines))
            .unwrap()
    });
    let (stage, value) = stage(upstream.port());
    let reply = run(&stage);
    let done = execution(&reply);
    let shown = done["result"]["text"].as_str().unwrap();
    for (name, spelling) in spellings(&value) {
        assert!(!shown.contains(&spelling), "{name} came through: {shown}");
    }
    assert!(hits(&stage) >= 12, "{}", hits(&stage));
    stage.finish();
}

#[test]
fn ex_5_mixed_json_escapes_in_a_json_answer_are_masked() {
    let upstream = Upstream::plain(|seen| {
        let value = seen
            .header("authorization")
            .trim_start_matches("Bearer ")
            .to_owned();
        let mixed = some_units(&value);
        Response::builder()
            .header("content-type", "application/json")
            .body(Bytes::from(format!("{{\"a\":\"{mixed}\"}}")))
            .unwrap()
    });
    let (stage, value) = stage(upstream.port());
    let done = execution(&run(&stage));
    // Masked before it was parsed, escape by escape.
    let mask = "*".repeat(some_units(&value).len());
    assert_eq!(done["result"]["a"], mask, "{done}");
    stage.finish();
}

/// A value as a writer of JSON spells it who escapes some characters at will.
fn some_units(value: &str) -> String {
    let unit = |(at, b): (usize, u8)| match at % 3 {
        0 => char::from(b).to_string(),
        1 => format!("\\u{b:04x}"),
        _ => format!("\\u{b:04X}"),
    };
    value.bytes().enumerate().map(unit).collect()
}

/// The text of a result without its zeros, or what its bytes hold of text.
fn narrow(result: &Value) -> String {
    let bytes = match result["text"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => STANDARD.decode(result["base64"].as_str().unwrap()).unwrap(),
    };
    String::from_utf8_lossy(&bytes).replace('\0', "")
}

/// Answers that nobody parses: of which kind, what stands before the value, how many levels of JSON are
/// around it, what stands after it.
fn unparsed() -> [(&'static str, String, usize, &'static str); 8] {
    [
        ("text/json", "{\"a\":\"".into(), 0, "\"}"),
        (
            "application/x-ndjson",
            "{\"n\":1}\n{\"a\":\"".into(),
            0,
            "\"}\n",
        ),
        ("text/event-stream", "data: {\"a\":\"".into(), 0, "\"}\n\n"),
        ("application/json", "\u{feff}{\"a\":\"".into(), 0, "\"}"),
        ("application/json", "{\"a\":\"".into(), 0, "\", \"cut"),
        (
            "application/json",
            format!("{}\"", "[".repeat(200)),
            0,
            "\"",
        ),
        (
            "application/json",
            format!("[{}\"", "1,".repeat(200_001)),
            0,
            "\"]",
        ),
        ("text/plain", "log: \"{\\\"a\\\":\\\"".into(), 2, "\\\"}\""),
    ]
}

#[test]
fn ex_5_escapes_in_answers_that_are_not_parsed_are_masked() {
    let utf_16 =
        |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    for (kind, before, levels, after) in unparsed() {
        for wide in [false, true] {
            let head = before.clone();
            let upstream = Upstream::plain(move |seen| {
                let value = seen.header("authorization");
                let mut spelt = some_units(value.trim_start_matches("Bearer "));
                for _ in 0..levels {
                    spelt = spelt.replace('\\', "\\\\");
                }
                let text = format!("{head}{spelt}{after}");
                let body = if wide {
                    utf_16(&text)
                } else {
                    text.into_bytes()
                };
                Response::builder()
                    .header("content-type", kind)
                    .body(Bytes::from(body))
                    .unwrap()
            });
            let (stage, value) = stage(upstream.port());
            let done = execution(&run(&stage));
            let spelt = some_units(&value).len();
            let result = &done["result"];
            let shown = narrow(result);
            assert!(shown.contains(&"*".repeat(spelt)), "{kind}: {shown}");
            assert!(shown.ends_with(after) || wide, "{kind}: {shown}");
            assert!(!shown.contains("\\u"), "{kind}: {shown}");
            assert_eq!(hits(&stage), 1, "{kind} {wide}");
            stage.finish();
        }
    }
}
