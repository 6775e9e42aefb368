//! Declared actions whose callers lose what they need while the way to the upstream is found, or while its answer
//! is waited for.

use std::io::copy;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::upstream::json as json_of;
use crate::harness::{Client, Reply, Upstream, eventually};
use crate::stage::{Stage, tls_tool, tool, with};

/// In front of an upstream: takes every connection, and hands nothing on before it is opened.
#[derive(Clone)]
struct Gate {
    port: u16,
    accepted: Arc<AtomicUsize>,
    open: Arc<AtomicBool>,
}

impl Gate {
    fn before(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let gate = Self {
            port: listener.local_addr().unwrap().port(),
            accepted: Arc::default(),
            open: Arc::default(),
        };
        let this = gate.clone();
        std::thread::spawn(move || {
            for came in listener.incoming() {
                let (this, came) = (this.clone(), came.unwrap());
                this.accepted.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || this.relay(&came, upstream));
            }
        });
        gate
    }

    fn relay(&self, came: &TcpStream, upstream: u16) {
        while !self.open.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let goes = TcpStream::connect(("127.0.0.1", upstream)).unwrap();
        let (mut from, mut to) = (came.try_clone().unwrap(), goes.try_clone().unwrap());
        let out = std::thread::spawn(move || {
            // One side or the other is gone.
            drop(copy(&mut from, &mut to));
            drop(to.shutdown(Shutdown::Write));
        });
        drop(copy(&mut &goes, &mut &*came));
        drop(came.shutdown(Shutdown::Write));
        out.join().unwrap();
    }

    /// Runs the tool, and `meanwhile` as soon as its connection has been held for longer than a look lasts.
    fn while_held(&self, stage: &Stage, caller: &Client, meanwhile: impl FnOnce()) -> Reply {
        self.open.store(false, Ordering::SeqCst);
        let before = self.accepted.load(Ordering::SeqCst);
        let (caller, body) = (caller.clone(), run());
        let called = std::thread::spawn(move || caller.post("/v1/tools/held/execute", &body));
        eventually(|| (self.accepted.load(Ordering::SeqCst) > before).then_some(()));
        std::thread::sleep(Duration::from_millis(400));
        meanwhile();
        let reply = called.join().unwrap();
        stage.keep("the late answer", &reply);
        reply
    }
}

fn run() -> serde_json::Value {
    let mut body = with("KEY");
    body["action"] = json!("run");
    body
}

/// A caller with a key of their own, and where it is revoked.
fn caller(stage: &Stage) -> (Client, String) {
    let body = json!({"name": "own"});
    let made = stage.operator().post("/v1/api-keys", &body).expect(201)["data"].clone();
    let caller = stage.broker.anonymous().key(made["key"].as_str().unwrap());
    (
        caller,
        format!("/v1/api-keys/{}", made["id"].as_str().unwrap()),
    )
}

#[test]
fn a_credential_is_not_sent_for_what_was_lost_while_the_way_was_found() {
    for revokes in [true, false] {
        let upstream = Upstream::tls(&["localhost"], |seen| json_of(200, &seen.echo()));
        let gate = Gate::before(upstream.port());
        let mut stage = Stage::trusting(upstream.root_pem());
        let operator = stage.operator();
        stage.secret(&operator, "KEY", &json!({"orgWide": true}));
        stage.install(&operator, &tls_tool("held", gate.port));
        let (caller, key) = caller(&stage);
        let value = stage.canaries.value();
        let reply = gate.while_held(&stage, &caller, || {
            if revokes {
                operator.delete(&key).expect(200);
            } else {
                let body = json!({"value": value});
                let path = "/v1/secrets/KEY/rotate?orgWide=true";
                operator.post(path, &body).expect(200);
            }
            gate.open.store(true, Ordering::SeqCst);
        });
        assert_eq!(reply.refused(409), "changed_meanwhile");
        assert!(upstream.seen().is_empty());
        let denied = stage.journal("tool.execute");
        assert_eq!(denied[0]["decision"]["denied"], "changed_meanwhile");
        // By the same connection, which waits there: who lost nothing is served.
        let reply = stage.run(&operator, "held", &with("KEY"));
        assert_eq!(reply.expect(200)["data"]["success"], true);
        stage.finish();
    }
}

#[test]
fn whoever_lost_their_access_while_the_upstream_thought_gets_no_answer() {
    let upstream = Upstream::echo();
    let gate = Gate::before(upstream.port());
    let mut stage = Stage::new();
    let operator = stage.operator();
    stage.secret(&operator, "KEY", &json!({"orgWide": true}));
    stage.install(&operator, &tool("held", gate.port));
    let (revoked, key) = caller(&stage);
    let mut cut = Instant::now();
    let reply = gate.while_held(&stage, &revoked, || {
        operator.delete(&key).expect(200);
        cut = Instant::now();
    });
    // Generous: what is promised is a second, and machines are slow.
    assert!(cut.elapsed() < Duration::from_secs(5));
    assert_eq!(reply.refused(403), "access_ended");
    let entry = stage.ended("tool.execute");
    assert_eq!(entry["outcome"]["status"], "failed", "{entry}");
    assert_eq!(entry["outcome"]["code"], "access_ended", "{entry}");
    stage.finish();
}
