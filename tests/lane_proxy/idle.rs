//! How long a tunnel may be silent, and how long it may go on at all (reference: HT-9).

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::frames::{GOAWAY, Many};
use super::life::Streaming;
use super::socket::Talk;
use super::tunnel::{Spoken, Tls, connect, open, shake, trust};
use crate::harness::Upstream;
use crate::lanes::Handle;
use crate::lanes::socket::TEXT;
use crate::proxied;
use crate::stage::{Stage, tls_tool};

#[test]
fn a_tunnel_without_a_request_ends_in_its_time_and_one_whose_upstream_is_silent_does_not() {
    let mut set = Streaming::within("limits.tunnel_idle_seconds = 2", &json!({}));
    let began = Instant::now();
    let mut idle = open(&set.handle, set.front.port);
    let mut many = Many::open(&set.handle, set.front.port);
    assert_eq!(idle.ended(), "");
    assert!(began.elapsed() >= Duration::from_secs(2));
    // Over HTTP/2 with goodbyes that name no fault.
    let frames = std::iter::from_fn(|| many.next());
    let goodbyes: Vec<_> = frames.filter(|frame| frame.kind == GOAWAY).collect();
    assert!(!goodbyes.is_empty());
    assert!(goodbyes.iter().all(|it| it.payload[4..8] == [0; 4]));
    // A stream of events was as silent all the while, and is no idle tunnel.
    set.served.chunk("data: two\n\n").unwrap();
    set.client.until("data: two\n\n");
    set.served.write(b"0\r\n\r\n").unwrap();
    set.client.until("0\r\n\r\n");
    // Once it has ended, its tunnel is one.
    set.client.ended();
    let entry = set.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["status"], "success", "{entry}");
    set.stage.finish();
}

#[test]
fn a_websocket_in_a_tunnel_in_which_nothing_moves_ends_in_its_time_with_both_sides_told() {
    let talk = Talk::within("limits.websocket_idle_seconds = 5", &json!({}));
    let (mut client, mut upstream) = talk.open();
    std::thread::sleep(Duration::from_secs(2));
    let last = Instant::now();
    client.send(true, TEXT, b"still here");
    assert_eq!(upstream.message(), b"still here");
    assert_eq!(client.next().unwrap().code(), 1001);
    assert!(last.elapsed() >= Duration::from_secs(5), "counted anew");
    assert_eq!(upstream.next().unwrap().code(), 1001);
    assert_eq!((client.next(), upstream.next()), (None, None));
    let entry = talk.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["code"], "idle", "{entry}");
    talk.finish(&client);
}

#[test]
fn a_stream_in_a_tunnel_is_cut_when_its_time_is_over_however_much_moves() {
    let mut set = Streaming::within("limits.stream_seconds = 2", &json!({}));
    let mut served = set.served;
    let flowing = std::thread::spawn(move || {
        while served.chunk("data: more\n\n").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
        served.is_left()
    });
    let came = set.client.ended();
    assert!(!came.contains("0\r\n\r\n"), "it breaks off");
    assert!(flowing.join().unwrap(), "the upstream is let go of");
    let entry = set.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["code"], "upstream_timeout", "{entry}");
    set.stage.finish();
}

#[test]
fn a_websocket_in_a_tunnel_ends_when_its_time_is_over_however_much_moves() {
    let talk = Talk::within("limits.stream_seconds = 2", &json!({}));
    let (mut client, mut upstream) = talk.open();
    let last = loop {
        upstream.send(true, TEXT, b"more");
        let frame = client.next().unwrap();
        if frame.opcode != TEXT {
            break frame;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(last.code(), 1001, "{last:?}");
    let entry = talk.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["code"], "upstream_timeout", "{entry}");
    talk.finish(&client);
}

/// A tunnel to a host that passes unread, and the handle that it was opened with.
fn passing(settings: &str, terms: &Value) -> (Stage, Upstream, Spoken<Tls>) {
    let upstream = crate::echo();
    let place = format!("localhost:{}", upstream.port());
    let mut stage = Stage::within(&format!(
        "proxy.pass_through = [{place:?}]\nproxy.private = [\"127.0.0.0/8\", \"::1/128\"]\n{settings}"
    ));
    let admin = stage.broker.admin(&[]);
    stage.secret(&admin, "KEY", &json!({}));
    let mut spec = tls_tool("custom-x", 1);
    spec["bindings"][0]["hosts"] = json!(["127.0.0.1"]);
    spec["actionsJson"] = json!({});
    stage.install(&admin, &spec);
    let handle = proxied(&stage, &admin, terms);
    let (spoken, answer) = connect(&handle, &place);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let mut whole = handle.whole.clone();
    whole["proxy"]["certificateAuthority"] = json!(upstream.root_pem());
    let trusting = Handle { whole, ..handle };
    let tunnel = shake(spoken, trust(&trusting, &[]), "localhost").unwrap();
    (stage, upstream, tunnel)
}

#[test]
fn what_passes_unread_ends_when_no_byte_moves() {
    let (stage, _upstream, mut tunnel) = passing("limits.tunnel_idle_seconds = 2", &json!({}));
    assert_eq!(tunnel.ended(), "");
    let entry = stage.ended("broker.connect");
    assert_eq!(entry["outcome"]["code"], "idle", "{entry}");
    stage.finish();
}

#[test]
fn what_passes_unread_ends_soon_after_the_time_of_its_handle_however_much_moves() {
    let (stage, upstream, mut tunnel) =
        passing("limits.tunnel_grace_seconds = 1", &json!({"ttlSeconds": 2}));
    let request = "GET /more HTTP/1.1\r\nHost: localhost\r\n\r\n";
    // As fast as it is answered, until nobody does.
    let mut piece = [0; 4096];
    while tunnel.stream.write_all(request.as_bytes()).is_ok()
        && std::io::Read::read(&mut tunnel.stream, &mut piece).is_ok_and(|read| read > 0)
    {
        std::thread::sleep(Duration::from_millis(50));
    }
    let entry = stage.ended("broker.connect");
    assert_eq!(entry["outcome"]["code"], "handle_expired", "{entry}");
    assert!(!upstream.seen().is_empty());
    stage.finish();
}
