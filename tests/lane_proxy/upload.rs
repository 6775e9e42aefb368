//! A request's body that is larger than one may be, inside a tunnel.

use std::io::Write;

use super::frames::{Came, Field, Many};
use super::front::Front;
use super::tunnel::open;
use crate::proxied;
use crate::stage::{Stage, tls_tool};
use serde_json::json;

const MIB: usize = 1 << 20;

struct Set {
    stage: Stage,
    front: Front,
    handle: crate::lanes::Handle,
}

impl Set {
    /// A broker that takes uploads of two MiB.
    fn new() -> Self {
        let front = Front::start();
        let mut stage = Stage::trusting_within(&front.root, "limits.upload_mb = 2");
        let admin = stage.broker.admin(&[]);
        stage.secret(&admin, "KEY", &json!({}));
        stage.install(&admin, &tls_tool("custom-x", front.port));
        let handle = proxied(&stage, &admin, &json!({}));
        Self {
            stage,
            front,
            handle,
        }
    }

    fn head(&self, framing: &str) -> String {
        format!(
            "POST /up HTTP/1.1\r\nHost: localhost:{}\r\nAuthorization: Bearer {}\r\n{framing}\r\n\r\n",
            self.front.port, self.handle.placeholder
        )
    }
}

#[test]
fn one_that_is_announced_too_large_is_refused_before_anything_is_sent() {
    let set = Set::new();
    let length = 2 * MIB + 1;
    let mut tunnel = open(&set.handle, set.front.port);
    tunnel.write(&set.head(&format!("Content-Length: {length}")));
    // Nothing of it need come.
    let answer = tunnel.until("}}");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("\"too_large\""), "{answer}");
    assert!(answer.contains("more than 2097152 bytes"), "{answer}");
    assert!(answer.contains("limits.upload_mb"), "{answer}");
    let mut many = Many::open(&set.handle, set.front.port);
    let place = format!("localhost:{}", set.front.port);
    let bearer = format!("Bearer {}", set.handle.placeholder);
    let length = length.to_string();
    let fields: [Field<'_>; 6] = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", &place),
        (":path", "/up"),
        ("authorization", &bearer),
        ("content-length", &length),
    ];
    many.head(1, &fields, false);
    let Came::Answer(text) = many.came(1) else {
        panic!("no answer");
    };
    assert!(text.contains("\"too_large\""), "{text}");
    assert_eq!(set.front.origin.accepted(), 0, "nothing was dialled");
    let entry = set.stage.journal("broker.exchange").swap_remove(0);
    assert_eq!(entry["decision"]["denied"], "too_large", "{entry}");
    set.stage.finish();
}

#[test]
fn one_that_turns_out_too_large_is_cut_there_and_nothing_more_of_it_is_sent() {
    let set = Set::new();
    let mut tunnel = open(&set.handle, set.front.port);
    let head = set.head("Transfer-Encoding: chunked");
    let chunk = format!("{:x}\r\n{}\r\n", MIB / 2, "u".repeat(MIB / 2));
    let (body, left) = std::thread::scope(|scope| {
        scope.spawn(|| {
            tunnel.write(&head);
            for _ in 0..6 {
                // Who was refused takes no more.
                if tunnel.stream.write_all(chunk.as_bytes()).is_err() {
                    break;
                }
            }
            drop(tunnel.stream.flush());
        });
        let mut served = set.front.origin.next();
        assert!(served.head.contains("transfer-encoding: chunked"));
        (served.drain(), served.is_left())
    });
    let answer = tunnel.until("}}");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("\"too_large\""), "{answer}");
    // With the framing of its chunks.
    assert!(body <= 2 * MIB as u64 + 4096 && left, "{body}");
    let entry = set.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["code"], "too_large", "{entry}");
    set.stage.finish();
}

#[test]
fn one_that_is_just_as_large_as_it_may_be_goes() {
    let set = Set::new();
    let mut tunnel = open(&set.handle, set.front.port);
    let head = set.head(&format!("Content-Length: {}", 2 * MIB));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            tunnel.write(&head);
            tunnel.stream.write_all(&vec![b'u'; 2 * MIB]).unwrap();
            tunnel.stream.flush().unwrap();
        });
        let mut served = set.front.origin.next();
        served.take(2 * MIB as u64);
        served
            .write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .unwrap();
    });
    assert!(tunnel.until("ok").starts_with("HTTP/1.1 200 "));
    set.stage.finish();
}
