//! What ends an open WebSocket, and what the two sides and the journal are told.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::memory::resident;
use crate::lanes::cut::{after_the_change, in_a_second};
use crate::lanes::socket::{CLOSE, Socket, TEXT, frame, opening};
use crate::lanes::wire::Wire;
use crate::lanes::{egress, resolve};
use crate::stage::certificates::{Flaw, Suspect};
use crate::stage::{Stage, tls_tool};
use crate::{MASK, Set};

/// Opens one, does `end` to it, and finds both ends told and closed, and the reason in the journal.
fn cut_by(what: &str, end: impl Fn(&mut Set)) {
    in_a_second(what, || {
        let mut set = Set::new();
        let (mut caller, mut upstream) = set.open();
        upstream.send(true, TEXT, b"hello");
        assert_eq!(caller.message(), b"hello");
        end(&mut set);
        let last = caller.next().unwrap();
        assert_eq!(last.code(), 1008, "{what}: {last:?}");
        assert_eq!(caller.next(), None, "{what}");
        assert_eq!(upstream.next().unwrap().code(), 1001, "{what}");
        assert_eq!(upstream.next(), None, "{what}");
        let entry = set.stage.ended("broker.exchange");
        assert_eq!(entry["outcome"]["code"], "handle_dead", "{what}: {entry}");
        let took = after_the_change(&set.stage, &entry);
        set.finish(&caller);
        took
    });
}

#[test]
fn hs_2_an_open_socket_is_cut_when_the_secret_is_rotated() {
    let body = json!({"value": "another-value-of-the-key-0123456789"});
    let rotate = |set: &mut Set| {
        let path = "/v1/secrets/KEY/rotate";
        set.stage.send(&set.admin, "POST", path, &body).expect(200);
    };
    cut_by("rotated", rotate);
}

#[test]
fn hs_2_an_open_socket_is_cut_when_the_handle_is_released() {
    let release = |set: &mut Set| {
        let path = format!("/v1/resolutions/{}", set.handle.id);
        set.stage
            .send(&set.admin, "DELETE", &path, &Value::Null)
            .expect(200);
    };
    cut_by("released", release);
}

#[test]
fn hs_2_an_open_socket_is_cut_when_the_vault_is_sealed() {
    let set = Set::new();
    let (mut caller, mut upstream) = set.open();
    let sealed = set.stage.operator().post("/v1/operator/seal", &json!({}));
    assert_eq!(sealed.status, 200);
    assert_eq!(caller.next().unwrap().code(), 1001);
    assert_eq!(upstream.next().unwrap().code(), 1001);
    assert_eq!((caller.next(), upstream.next()), (None, None));
}

#[test]
fn an_open_socket_is_told_when_the_broker_ends() {
    let mut set = Set::new();
    let (mut caller, mut upstream) = set.open();
    assert_eq!(set.stage.broker.stop(), Some(0));
    assert_eq!(caller.next().unwrap().code(), 1001);
    assert_eq!(upstream.next().unwrap().code(), 1001);
    assert_eq!((caller.next(), upstream.next()), (None, None));
}

#[test]
fn a_caller_who_goes_away_takes_the_upstreams_socket_with_them() {
    let set = Set::new();
    let (caller, mut upstream) = set.open();
    let came = caller.came.len();
    drop(caller);
    assert_eq!(upstream.next().unwrap().code(), 1001);
    assert_eq!(upstream.next(), None);
    let entry = set.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["code"], "client_gone", "{entry}");
    assert!(came > 0);
    set.stage.finish();
}

#[test]
fn what_breaks_the_protocol_or_is_too_large_ends_both_sides() {
    let set = Set::new();
    let bit = {
        let mut bytes = frame(true, TEXT, b"a", true);
        bytes[0] |= 0x40;
        bytes
    };
    let mut large = vec![0x82, 0xff];
    large.extend_from_slice(&(17_u64 << 20).to_be_bytes());
    large.extend_from_slice(&[0; 4]);
    for (what, bytes, word, code) in [
        ("compressed", bit, 1002, "frame_refused"),
        (
            "unmasked",
            frame(true, TEXT, b"a", false),
            1002,
            "frame_refused",
        ),
        ("too large", large, 1009, "message_too_large"),
    ] {
        let (mut caller, mut upstream) = set.open();
        caller.raw(&bytes).unwrap();
        assert_eq!(caller.next().unwrap().code(), word, "{what}");
        assert_eq!(upstream.next().unwrap().code(), 1001, "{what}");
        let entry = set.stage.ended("broker.exchange");
        assert_eq!(entry["outcome"]["code"], code, "{what}: {entry}");
    }
    let mut large = vec![0x82, 0x7f];
    large.extend_from_slice(&(17_u64 << 20).to_be_bytes());
    for (what, bytes, word, code) in [
        (
            "masked",
            frame(true, TEXT, b"a", true),
            1002,
            "upstream_protocol",
        ),
        ("too large", large, 1009, "upstream_too_large"),
    ] {
        let (mut caller, mut upstream) = set.open();
        upstream.raw(&bytes).unwrap();
        assert_eq!(upstream.next().unwrap().code(), word, "{what}");
        assert_eq!(caller.next().unwrap().code(), 1011, "{what}");
        let entry = set.stage.ended("broker.exchange");
        assert_eq!(entry["outcome"]["code"], code, "{what}: {entry}");
    }
    set.stage.finish();
}

#[test]
fn ex_2_a_message_of_sixteen_mebibytes_is_searched_and_memory_stays_flat() {
    let set = Set::new();
    let (mut caller, mut upstream) = set.open();
    let pid = set.stage.broker.pid();
    let before = resident(pid);
    let mut large = vec![b'x'; 16 << 20];
    let at = large.len() / 2;
    large[at..at + set.value.len()].copy_from_slice(set.value.as_bytes());
    let bytes = frame(true, TEXT, &large, false);
    let writer = std::thread::spawn(move || {
        upstream.raw(&bytes).unwrap();
        upstream
    });
    let (mut total, mut peak, mut masked) = (0, 0, 0);
    loop {
        let piece = caller.next().unwrap();
        total += piece.payload.len();
        masked += memchr::memchr_iter(b'*', &piece.payload).count();
        peak = peak.max(resident(pid));
        if piece.last {
            break;
        }
    }
    assert_eq!((total, masked), (large.len(), MASK.len()));
    let grown = peak.saturating_sub(before);
    assert!(grown < 8 << 20, "memory grew by {grown} bytes");
    drop::<Socket>(writer.join().unwrap());
    caller.send(true, CLOSE, b"\x03\xe8");
    set.stage.finish();
}

#[test]
fn dc_15_an_untrusted_certificate_gets_no_byte_of_an_opening() {
    for flaw in [Flaw::WrongName, Flaw::SelfSigned] {
        let upstream = Suspect::start(flaw);
        let mut stage = Stage::trusting(&upstream.root);
        let key = stage.operator().make_key(&[]);
        let admin = stage.broker.anonymous().key(&key);
        stage.secret(&admin, "KEY", &json!({}));
        stage.install(&admin, &tls_tool("custom-x", upstream.port));
        let handle = resolve(&stage, &admin, "custom-x", &json!({})).text;
        let mut lines = opening();
        lines.push(format!("X-RunTools-Handle: {handle}"));
        let url = format!("https://localhost:{}/talk", upstream.port);
        let first = format!("GET {}", egress(&url));
        let mut client = Wire::open(&stage.broker, &key, &first, &lines);
        let (_, answer) = client.until("tls_failed");
        assert!(answer.starts_with("HTTP/1.1 502 "), "{flaw:?}: {answer}");
        assert!(upstream.accepted() > 0, "{flaw:?}: it was tried");
        assert_eq!(upstream.bytes_inside(), 0, "{flaw:?}");
        stage.finish();
    }
}

#[test]
fn an_open_socket_in_which_nothing_moves_ends_in_its_time_with_both_sides_told() {
    let set = Set::on(Stage::within("limits.websocket_idle_seconds = 5"));
    let (mut caller, mut upstream) = set.open();
    std::thread::sleep(Duration::from_secs(2));
    let last = Instant::now();
    upstream.send(true, TEXT, b"still here");
    assert_eq!(caller.message(), b"still here");
    assert_eq!(caller.next().unwrap().code(), 1001);
    assert!(last.elapsed() >= Duration::from_secs(5), "counted anew");
    assert_eq!(upstream.next().unwrap().code(), 1001);
    assert_eq!((caller.next(), upstream.next()), (None, None));
    let entry = set.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["code"], "idle", "{entry}");
    set.finish(&caller);
}

#[test]
fn an_open_socket_ends_when_its_time_is_over_however_much_moves() {
    let set = Set::on(Stage::within("limits.stream_seconds = 2"));
    let (mut caller, mut upstream) = set.open();
    let last = loop {
        upstream.send(true, TEXT, b"more");
        let frame = caller.next().unwrap();
        if frame.opcode != TEXT {
            break frame;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(last.code(), 1001, "{last:?}");
    let entry = set.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["code"], "upstream_timeout", "{entry}");
    set.finish(&caller);
}
