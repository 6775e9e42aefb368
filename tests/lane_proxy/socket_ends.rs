//! How a WebSocket in a tunnel ends, and what it counts for until then (reference: HS-2).

use std::time::Duration;

use serde_json::{Value, json};

use super::socket::{Talk, asking, opened, with};
use crate::harness::eventually;
use crate::lanes::cut::{after_the_change, in_a_second};
use crate::lanes::socket::{CLOSE, Socket, TEXT};
use crate::proxied;

/// Opens one, does `end`, and finds both ends told and closed, and the reason in the journal.
fn cut_by(what: &str, end: impl Fn(&Talk)) {
    in_a_second(what, || {
        let talk = Talk::new();
        let (mut client, mut upstream) = talk.open();
        upstream.send(true, TEXT, b"hello");
        assert_eq!(client.message(), b"hello");
        end(&talk);
        assert_eq!(client.next().unwrap().code(), 1008, "{what}");
        assert_eq!(client.next(), None, "{what}");
        assert_eq!(upstream.next().unwrap().code(), 1001, "{what}");
        assert_eq!(upstream.next(), None, "{what}");
        let entry = talk.stage.ended("broker.exchange");
        assert_eq!(entry["outcome"]["code"], "handle_dead", "{what}: {entry}");
        let took = after_the_change(&talk.stage, &entry);
        talk.finish(&client);
        took
    });
}

#[test]
fn hs_2_a_websocket_in_a_tunnel_is_cut_when_its_secret_is_deleted() {
    cut_by("deleted", |talk| {
        let path = "/v1/secrets/KEY";
        let deleted = talk.stage.send(&talk.admin, "DELETE", path, &Value::Null);
        deleted.expect(200);
    });
}

#[test]
fn hs_2_a_websocket_in_a_tunnel_is_cut_when_the_handle_is_released() {
    cut_by("released", |talk| {
        let path = format!("/v1/resolutions/{}", talk.handle.id);
        let released = talk.stage.send(&talk.admin, "DELETE", &path, &Value::Null);
        released.expect(200);
    });
}

#[test]
fn hs_2_a_websocket_in_a_tunnel_is_cut_when_the_vault_is_sealed_or_the_broker_ends() {
    let talk = Talk::new();
    let (mut client, mut upstream) = talk.open();
    let sealed = talk.stage.operator().post("/v1/operator/seal", &json!({}));
    assert_eq!(sealed.status, 200);
    assert_eq!(client.next().unwrap().code(), 1001);
    assert_eq!(upstream.next().unwrap().code(), 1001);
    assert_eq!((client.next(), upstream.next()), (None, None));
    let mut talk = Talk::new();
    let (mut client, mut upstream) = talk.open();
    assert_eq!(talk.stage.broker.stop(), Some(0));
    assert_eq!(client.next().unwrap().code(), 1001);
    assert_eq!(upstream.next().unwrap().code(), 1001);
    assert_eq!((client.next(), upstream.next()), (None, None));
}

#[test]
fn a_websocket_outlives_the_time_of_its_handle_and_ends_with_its_client() {
    let talk = Talk::with(&json!({"ttlSeconds": 2}));
    let (mut client, mut upstream) = talk.open();
    std::thread::sleep(Duration::from_secs(4));
    client.send(true, TEXT, b"still here");
    assert_eq!(upstream.message(), b"still here");
    drop(client);
    assert_eq!(upstream.next().unwrap().code(), 1001);
    assert_eq!(upstream.next(), None);
    let entry = talk.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["code"], "client_gone", "{entry}");
    talk.stage.finish();
}

#[test]
fn open_websockets_count_as_calls_that_run_until_they_end() {
    let talk = Talk::new();
    let other = proxied(&talk.stage, &talk.admin, &json!({}));
    let mut sockets: Vec<_> = (0..64)
        .map(|number| {
            let handle = if number % 2 == 0 {
                &talk.handle
            } else {
                &other
            };
            talk.open_by(handle)
        })
        .collect();
    let bearer = format!("Authorization: Bearer {}", other.placeholder);
    let mut tunnel = talk.ask(&other, &with(std::slice::from_ref(&bearer)));
    let answer = tunnel.until("}}");
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    assert!(answer.contains("\"too_many_running\""), "{answer}");
    assert_eq!(talk.front.origin.accepted(), 64);
    // One says goodbye, and there is room in the same tunnel.
    let (mut client, mut upstream) = sockets.pop().unwrap();
    client.send(true, CLOSE, b"\x03\xe8");
    assert_eq!(upstream.next().unwrap().code(), 1000);
    upstream.send(true, CLOSE, b"\x03\xe8");
    assert_eq!(client.next().unwrap().code(), 1000);
    assert_eq!(client.next(), None);
    let entry = talk.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["status"], "success", "{entry}");
    drop(client);
    let host = format!("localhost:{}", talk.front.port);
    eventually(|| {
        // Refused once it may run.
        tunnel.write(&format!("TRACE /talk HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        tunnel
            .until("}}")
            .contains("\"method_refused\"")
            .then_some(())
    });
    tunnel.write(&asking(&host, &with(&[bearer])));
    Socket::agree(talk.front.origin.next(), "");
    let (last, _) = opened(tunnel);
    talk.finish(&last);
}
