//! An open stream of a service ends when what let it be opened ends.

use std::time::Duration;

use serde_json::json;

use super::hub::{Set, soon};
use crate::harness::{Client, Upstream};
use crate::lanes::origin::{EVENTS, Origin};
use crate::lanes::socket::{Socket, TEXT, opening};
use crate::lanes::wire::Wire;
use crate::lanes::{egress, resolve};
use crate::stage::Stage;

/// By whose word the service acts.
#[derive(Clone, Copy)]
enum By {
    Token,
    Delegation,
}

/// Opens a stream, does `end` to it, and finds both ends closed and the reason in the journal.
fn cut_by(by: By, end: impl FnOnce(&Set)) {
    let origin = Origin::start();
    let set = Set::to(Stage::new(), Upstream::echo(), origin.port());
    set.delegate(&set.bob.user);
    let (client, line): (Client, String) = match by {
        By::Token => (
            set.hub.with_token(&set.stage, &set.bob.key),
            format!("X-RunTools-Subject-Token: {}", set.bob.key),
        ),
        By::Delegation => (
            set.hub.for_user(&set.stage, &set.bob.user),
            format!("X-RunTools-Subject: {}", set.bob.user),
        ),
    };
    let handle = resolve(&set.stage, &client, "custom-x", &json!({}));
    let lines = [line, format!("X-RunTools-Handle: {}", handle.text)];
    let first = format!(
        "GET {}",
        egress(&format!("http://127.0.0.1:{}/run", origin.port()))
    );
    let mut wire = Wire::open(&set.stage.broker, &set.hub.key, &first, &lines);
    let mut served = origin.next();
    served.write(EVENTS).unwrap();
    served.chunk("data: one\n\n").unwrap();
    wire.until("data: one\n\n");
    end(&set);
    let (took, _) = wire.end();
    assert!(served.is_left(), "the upstream is let go of");
    // A second is the promise; the test's own machine may be busy.
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    let entry = set.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["code"], "handle_dead", "{entry}");
    assert_eq!(entry["actor"]["id"], set.hub.id, "{entry}");
    assert_eq!(entry["on_behalf_of"], set.bob.user, "{entry}");
    set.finish();
}

#[test]
fn hs_2_an_open_stream_is_cut_when_the_delegation_ends() {
    cut_by(By::Delegation, |set| set.undelegate(&set.bob.user));
}

#[test]
fn hs_2_an_open_stream_is_cut_when_the_service_is_removed() {
    cut_by(By::Delegation, |set| {
        let path = format!("/v1/services/{}", set.hub.id);
        set.admin.delete(&path).expect(200);
    });
}

#[test]
fn hs_2_an_open_stream_is_cut_when_the_key_of_the_service_is_replaced() {
    cut_by(By::Token, |set| {
        let path = format!("/v1/operator/services/{}/rotate", set.hub.id);
        set.stage.operator().post(&path, &json!({})).expect(201);
    });
}

// Of these three none is committed when it comes: each is known before. Every handle is looked at each ten
// seconds all the same, and that would be too late.

#[test]
fn hs_2_an_open_stream_is_cut_when_the_time_of_the_delegation_is_over() {
    cut_by(By::Delegation, |set| {
        let path = format!("/v1/services/{}/delegations", set.hub.id);
        let sooner = json!({"userId": set.bob.user, "expiresIn": soon().to_string()});
        set.admin.post(&path, &sooner).expect(201);
    });
}

#[test]
fn hs_2_an_open_stream_is_cut_when_the_grace_of_the_services_old_key_is_over() {
    cut_by(By::Delegation, |set| {
        let path = format!("/v1/operator/services/{}/rotate", set.hub.id);
        let grace = json!({"graceSeconds": 1});
        set.stage.operator().post(&path, &grace).expect(201);
    });
}

#[test]
fn hs_2_an_open_stream_is_cut_when_the_grace_of_the_users_old_key_is_over() {
    cut_by(By::Token, |set| {
        let bob = set.stage.broker.anonymous().key(&set.bob.key);
        let keys = bob.get("/v1/api-keys").expect(200);
        let path = format!(
            "/v1/api-keys/{}/rotate",
            keys["data"][0]["id"].as_str().unwrap()
        );
        bob.post(&path, &json!({"graceSeconds": 1})).expect(201);
    });
}

#[test]
fn hs_2_an_open_stream_is_cut_when_the_key_of_the_user_is_revoked() {
    cut_by(By::Token, |set| {
        let bob = set.stage.broker.anonymous().key(&set.bob.key);
        let keys = bob.get("/v1/api-keys").expect(200);
        let id = keys["data"][0]["id"].as_str().unwrap();
        bob.delete(&format!("/v1/api-keys/{id}")).expect(200);
    });
}

#[test]
fn hs_2_an_open_stream_is_cut_when_the_user_is_removed() {
    cut_by(By::Token, |set| {
        set.stage.operator().delete(&set.bob.path()).expect(200);
    });
}

#[test]
fn hs_2_an_open_socket_is_cut_when_the_delegation_ends() {
    let origin = Origin::start();
    let set = Set::to(Stage::new(), Upstream::echo(), origin.port());
    set.delegate(&set.bob.user);
    let client = set.hub.for_user(&set.stage, &set.bob.user);
    let handle = resolve(&set.stage, &client, "custom-x", &json!({}));
    let mut lines = opening();
    lines.push(format!("X-RunTools-Subject: {}", set.bob.user));
    lines.push(format!("X-RunTools-Handle: {}", handle.text));
    let url = format!("http://127.0.0.1:{}/talk", origin.port());
    let first = format!("GET {}", egress(&url));
    let wire = Wire::open(&set.stage.broker, &set.hub.key, &first, &lines);
    let served = origin.next();
    let head = served.head.to_ascii_lowercase();
    assert!(!head.contains("x-runtools-"), "{head}");
    let mut upstream = Socket::agree(served, "");
    let (mut caller, _) = Socket::opened(wire);
    upstream.send(true, TEXT, b"hello");
    assert_eq!(caller.message(), b"hello");
    set.undelegate(&set.bob.user);
    // The code for a policy (RFC 6455, 7.4.1).
    assert_eq!(caller.next().unwrap().code(), 1008);
    assert_eq!(caller.next(), None);
    assert_eq!(upstream.next().unwrap().code(), 1001);
    let entry = set.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["code"], "handle_dead", "{entry}");
    assert_eq!(entry["actor"]["id"], set.hub.id, "{entry}");
    set.finish();
}

#[test]
fn an_open_stream_goes_on_when_its_delegation_is_prolonged() {
    let origin = Origin::start();
    let set = Set::to(Stage::new(), Upstream::echo(), origin.port());
    set.delegate(&set.bob.user);
    let client = set.hub.for_user(&set.stage, &set.bob.user);
    let handle = resolve(&set.stage, &client, "custom-x", &json!({}));
    let lines = [
        format!("X-RunTools-Subject: {}", set.bob.user),
        format!("X-RunTools-Handle: {}", handle.text),
    ];
    let first = format!(
        "GET {}",
        egress(&format!("http://127.0.0.1:{}/run", origin.port()))
    );
    let mut wire = Wire::open(&set.stage.broker, &set.hub.key, &first, &lines);
    let mut served = origin.next();
    served.write(EVENTS).unwrap();
    served.chunk("data: one\n\n").unwrap();
    wire.until("data: one\n\n");
    let path = format!("/v1/services/{}/delegations", set.hub.id);
    let longer = json!({"userId": set.bob.user, "expiresIn": "30d"});
    set.admin.post(&path, &longer).expect(201);
    // Longer than the watch takes to look.
    std::thread::sleep(Duration::from_millis(1_200));
    served.chunk("data: two\n\n").unwrap();
    wire.until("data: two\n\n");
    served.write(b"0\r\n\r\n").unwrap();
    wire.until("0\r\n\r\n");
    set.finish();
}
