//! How a tunnel ends: with its handle, its broker, or its client (reference: HS-2, EX-15).

use std::time::Duration;

use serde_json::{Value, json};

use super::front::Front;
use super::tunnel::{Spoken, Tls, connect, open};
use crate::harness::Client;
use crate::harness::memory::resident;
use crate::lanes::cut::{after_the_change, in_a_second};
use crate::lanes::origin::{EVENTS, Served, cut_and_masked};
use crate::lanes::wire::unchunked;
use crate::lanes::{Handle, resolve};
use crate::stage::{Stage, tls_tool};
use crate::{MASK, Set, proxied};

/// A stream of events that is open through a tunnel.
pub(super) struct Streaming {
    pub(super) stage: Stage,
    pub(super) front: Front,
    pub(super) asker: Client,
    pub(super) value: String,
    pub(super) handle: Handle,
    pub(super) client: Spoken<Tls>,
    pub(super) served: Served,
}

impl Streaming {
    pub(super) fn open(more: &Value) -> Self {
        Self::within("", more)
    }

    /// With more lines of settings.
    pub(super) fn within(settings: &str, more: &Value) -> Self {
        let front = Front::start();
        let stage = Stage::trusting_within(&front.root, settings);
        let key = stage.operator().make_key(&[]);
        let admin = stage.broker.anonymous().key(&key);
        stage.install(&admin, &tls_tool("custom-x", front.port));
        Self::of(stage, front, admin, more)
    }

    /// Of a member who is no admin, by an admin's tool.
    pub(super) fn of_member() -> Self {
        let front = Front::start();
        let stage = Stage::trusting(&front.root);
        let admin = stage.broker.admin(&[]);
        stage.install(&admin, &tls_tool("custom-x", front.port));
        let path = "/v1/tools/custom/custom-x/visibility";
        let shown = json!({"visibility": "org"});
        stage.send(&admin, "PATCH", path, &shown).expect(200);
        let member = stage.broker.member("Ann");
        Self::of(stage, front, member, &json!({}))
    }

    fn of(mut stage: Stage, front: Front, asker: Client, more: &Value) -> Self {
        let value = stage.secret(&asker, "KEY", &json!({}));
        let handle = proxied(&stage, &asker, more);
        let (client, served) = stream(&front, &handle, &value);
        Self {
            stage,
            front,
            asker,
            value,
            handle,
            client,
            served,
        }
    }
}

/// Opens a stream of which one event has come: the client's end, and the upstream's.
pub(super) fn stream(front: &Front, handle: &Handle, value: &str) -> (Spoken<Tls>, Served) {
    let mut client = open(handle, front.port);
    client.get(handle, front.port, "/events");
    let mut served = front.origin.next();
    assert!(served.head.contains(value), "{}", served.head);
    served.write(EVENTS).unwrap();
    served.chunk("data: one\n\n").unwrap();
    client.until("data: one\n\n");
    (client, served)
}

#[test]
fn ex_4_events_are_handed_on_as_they_come_and_searched() {
    let mut set = Streaming::open(&json!({}));
    let (left, right) = set.value.split_at(17);
    set.served.chunk(&format!("data: {left}")).unwrap();
    set.served.chunk(&format!("{right}\n\n")).unwrap();
    set.served.chunk("data: end\n\n").unwrap();
    let echoed = set.client.until("data: end\n\n");
    let masked: String = echoed.chars().filter(|c| *c == '*').collect();
    assert_eq!(masked, MASK, "{echoed}");
    set.served.write(b"0\r\n\r\n").unwrap();
    set.client.until("0\r\n\r\n");
    // And the tunnel is good for another request.
    set.client.get(&set.handle, set.front.port, "/more");
    set.served.until("\r\n\r\n");
    set.served
        .write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        .unwrap();
    set.client.until("ok");
    set.stage.finish();
}

#[test]
fn ex_4_a_value_in_a_tunnel_is_masked_wherever_it_is_cut() {
    let mut set = Streaming::open(&json!({}));
    set.served.write(b"0\r\n\r\n").unwrap();
    set.client.until("0\r\n\r\n");
    set.client.get(&set.handle, set.front.port, "/cut");
    set.served.until("\r\n\r\n");
    set.served.cut_everywhere(&set.value);
    set.client.until("\r\n\r\n");
    let body = set.client.until("\r\n0\r\n\r\n");
    assert_eq!(unchunked(&body), cut_and_masked(&set.value), "{body}");
    set.stage.finish();
}

fn cut_by(what: &str, end: impl Fn(&Streaming)) {
    cut(what, || Streaming::open(&json!({})), end);
}

/// Opens a stream, does `end` to it, and finds all that was open closed, and the reason in the journal.
pub(super) fn cut(what: &str, begin: impl Fn() -> Streaming, end: impl Fn(&Streaming)) {
    in_a_second(what, || {
        let mut set = begin();
        // One that has nothing open ends as well.
        let mut idle = open(&set.handle, set.front.port);
        end(&set);
        let (idle_took, _) = idle.end();
        set.client.end();
        assert!(set.served.is_left(), "{what}: the upstream is let go of");
        let entry = set.stage.ended("broker.exchange");
        assert_eq!(entry["outcome"]["code"], "handle_dead", "{what}: {entry}");
        let took = after_the_change(&set.stage, &entry);
        let (mut spoken, answer) = connect(&set.handle, &format!("localhost:{}", set.front.port));
        let answer = format!("{answer}{}", spoken.until("}}"));
        assert!(answer.starts_with("HTTP/1.1 407"), "{what}: {answer}");
        denied(&set, "handle_dead");
        set.stage.finish();
        took.max(idle_took)
    });
}

/// The journal has that the handle was refused at the door, and whose it was.
#[track_caller]
fn denied(set: &Streaming, code: &str) {
    let entry = set.stage.journal("broker.connect").swap_remove(0);
    assert_eq!(entry["decision"]["denied"], code, "{entry}");
    assert_eq!(entry["tool"], "custom-x", "{entry}");
    assert!(entry.to_string().contains(&set.handle.id), "{entry}");
}

#[test]
fn hs_2_a_tunnel_is_cut_when_the_handle_is_released() {
    cut_by("released", |set| {
        let path = format!("/v1/resolutions/{}", set.handle.id);
        set.stage
            .send(&set.asker, "DELETE", &path, &Value::Null)
            .expect(200);
    });
}

#[test]
fn hs_2_a_tunnel_is_cut_when_the_secret_is_deleted() {
    cut_by("deleted", |set| {
        set.stage
            .send(&set.asker, "DELETE", "/v1/secrets/KEY", &Value::Null)
            .expect(200);
    });
}

#[test]
fn hs_2_a_tunnel_is_cut_when_the_secret_is_rotated() {
    let body = json!({"value": "another-value-of-the-key-0123456789"});
    cut_by("rotated", |set| {
        let path = "/v1/secrets/KEY/rotate";
        set.stage.send(&set.asker, "POST", path, &body).expect(200);
    });
}

#[test]
fn hs_2_a_tunnel_is_cut_when_its_secret_or_its_tool_may_go_elsewhere() {
    cut_by("bound", |set| {
        let hosts = json!({"hosts": ["localhost"]});
        set.stage
            .send(&set.asker, "PATCH", "/v1/secrets/KEY", &hosts)
            .expect(200);
    });
    cut_by("the tool changed", |set| {
        let mut spec = tls_tool("custom-x", set.front.port);
        spec["bindings"][0]["methods"] = json!(["GET"]);
        let changed = set
            .stage
            .send(&set.asker, "POST", "/v1/tools/custom", &spec);
        assert!(changed.status < 300, "{}", changed.status);
    });
}

#[test]
fn hs_2_a_tunnel_is_cut_when_the_key_of_who_asked_for_it_is_revoked() {
    cut_by("revoked", |set| {
        let keys = set.stage.operator().get("/v1/api-keys").expect(200);
        for key in keys["data"].as_array().unwrap() {
            let path = format!("/v1/api-keys/{}", key["id"].as_str().unwrap());
            set.stage.operator().delete(&path).expect(200);
        }
    });
}

#[test]
fn hs_2_a_tunnel_is_cut_when_the_vault_is_sealed() {
    let mut set = Streaming::open(&json!({}));
    let mut idle = open(&set.handle, set.front.port);
    let sealed = set.stage.operator().post("/v1/operator/seal", &json!({}));
    assert_eq!(sealed.status, 200);
    set.client.end();
    idle.end();
    assert!(set.served.is_left());
    let (mut spoken, answer) = connect(&set.handle, &format!("localhost:{}", set.front.port));
    let answer = format!("{answer}{}", spoken.until("}}"));
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("sealed"),
        "{answer}"
    );
}

#[test]
fn a_handle_that_runs_out_opens_nothing_more_and_lets_what_is_open_finish() {
    let mut set = Streaming::open(&json!({"ttlSeconds": 3}));
    let mut idle = open(&set.handle, set.front.port);
    // Its time over, a tunnel without a request ends by itself.
    idle.end();
    let (mut spoken, answer) = connect(&set.handle, &format!("localhost:{}", set.front.port));
    let answer = format!("{answer}{}", spoken.until("}}"));
    assert!(
        answer.starts_with("HTTP/1.1 407") && answer.contains("handle_expired"),
        "{answer}"
    );
    denied(&set, "handle_expired");
    set.served.chunk("data: two\n\n").unwrap();
    set.client.until("data: two\n\n");
    set.client.get(&set.handle, set.front.port, "/more");
    set.served.write(b"0\r\n\r\n").unwrap();
    let (_, rest) = set.client.end();
    assert!(rest.contains("HTTP/1.1 410 "), "{rest}");
    assert!(rest.contains("\"handle_expired\""), "{rest}");
    set.stage.finish();
}

#[test]
fn a_client_who_goes_takes_the_upstream_with_them() {
    let mut set = Streaming::open(&json!({}));
    drop(set.client);
    assert!(set.served.is_left());
    let entry = set.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["code"], "client_gone", "{entry}");
    set.stage.finish();
}

#[test]
fn hs_2_a_restart_ends_every_handle() {
    let mut stage = Stage::new();
    let admin = stage.broker.admin(&[]);
    stage.secret(&admin, "KEY", &json!({}));
    stage.install(&admin, &tls_tool("custom-x", 9));
    let handle = proxied(&stage, &admin, &json!({}));
    assert!(
        connect(&handle, "localhost:9")
            .1
            .starts_with("HTTP/1.1 200")
    );
    stage.broker.restart();
    let admin = stage.broker.admin(&[]);
    let fresh = proxied(&stage, &admin, &json!({}));
    let old = Handle {
        text: handle.text.clone(),
        ..fresh.clone()
    };
    assert!(connect(&old, "localhost:9").1.starts_with("HTTP/1.1 407"));
    assert!(connect(&fresh, "localhost:9").1.starts_with("HTTP/1.1 200"));
    stage.finish();
}

#[test]
fn a_stop_lets_open_requests_finish_and_takes_no_new_ones() {
    let mut set = Streaming::open(&json!({}));
    set.stage.broker.signal("TERM");
    set.served.chunk("data: two\n\n").unwrap();
    set.client.until("data: two\n\n");
    set.served.write(b"0\r\n\r\n").unwrap();
    set.client.until("0\r\n\r\n");
    set.client.end();
    assert_eq!(set.stage.broker.wait(Duration::from_secs(30)), Some(0));
}

#[test]
fn a_hundred_tunnels_are_a_hundred_connections_and_little_memory() {
    let set = Set::new();
    let handles: Vec<_> = (0..2)
        .map(|_| proxied(&set.stage, &set.admin, &json!({})))
        .collect();
    let (pid, port) = (set.stage.broker.pid(), set.origin.port());
    drop(open(&set.handle, port));
    let before = resident(pid);
    let mut tunnels: Vec<_> = (0..100)
        .map(|number| (number % 2, open(&handles[number % 2], port)))
        .collect();
    for (of, tunnel) in &mut tunnels {
        tunnel.get(&handles[*of], port, "/run");
        tunnel.until(MASK);
    }
    let each = resident(pid).saturating_sub(before) / 100;
    assert!(each < 512 << 10, "{each} bytes each");
    // One handle has its share; the others are let in all the same.
    let more: Vec<_> = (0..14).map(|_| open(&handles[0], port)).collect();
    let (mut spoken, answer) = connect(&handles[0], &format!("localhost:{port}"));
    let answer = format!("{answer}{}", spoken.until("}}"));
    assert!(
        answer.starts_with("HTTP/1.1 429") && answer.contains("too_many_connections"),
        "{answer}"
    );
    drop((open(&set.handle, port), more));
    let other = resolve(&set.stage, &set.admin, "custom-x", &json!({}));
    assert!(other.whole["proxy"].is_null());
    set.stage.finish();
}
