//! Machines that go wrong under a broker that serves: disks that are full, broken, slow or read-only at any
//! moment, clocks that jump, no file to be had any more, no memory. Whatever happens: what was acknowledged is
//! there, what was not is not or is, an answer says in its stable words what is the matter, and the journal
//! verifies.
//!
//! Each operation meets its trouble at a few of its writes; with `RUNTOOLS_SLOW=1` in the environment, at each.

#[path = "../harness/mod.rs"]
mod harness;

mod any_moment;
mod clock;
mod hanging;
mod machine;
mod memory;
mod offline;
mod out_of;
mod reads;
mod slow;

use std::collections::BTreeSet;

use harness::{Broker, Client, Reply, eventually};
use serde_json::json;

/// What is to be there, and what may be.
#[derive(Debug, Default)]
struct Kept {
    acknowledged: BTreeSet<String>,
    doubtful: BTreeSet<String>,
}

fn value_of(name: &str) -> String {
    format!("the value of {name}, which must not be lost")
}

fn set(operator: &Client, name: &str) -> Reply {
    let secret = json!({"name": name, "value": value_of(name), "orgWide": true});
    operator.post("/v1/secrets", &secret)
}

impl Kept {
    /// Sets a secret, and takes down how that went.
    #[track_caller]
    fn set(&mut self, operator: &Client, name: &str) -> Reply {
        let reply = set(operator, name);
        match reply.status {
            200 | 201 => self.acknowledged.insert(name.to_owned()),
            _ => self.doubtful.insert(name.to_owned()),
        };
        reply
    }

    /// Everything acknowledged is there with its value, what is doubtful has its value or is not there, and the
    /// journal is intact.
    #[track_caller]
    fn check(&self, operator: &Client) {
        for name in &self.acknowledged {
            let path = format!("/v1/secrets/{name}/reveal");
            let shown = operator.post(&path, &json!({"orgWide": true})).expect(200);
            assert_eq!(shown["data"]["value"], value_of(name), "{name}");
        }
        for name in &self.doubtful {
            let path = format!("/v1/secrets/{name}/reveal");
            let shown = operator.post(&path, &json!({"orgWide": true}));
            if shown.status != 404 {
                assert_eq!(shown.expect(200)["data"]["value"], value_of(name), "{name}");
            }
        }
        let found = operator.send("POST", "/v1/audit/verify", None).expect(200);
        assert_eq!(found["data"]["state"], "intact", "{found}");
    }
}

/// A refusal has the code of something that is expected: nobody is told that a broker is broken.
#[track_caller]
fn is_clear(reply: &Reply) {
    let error = &reply.value()["error"];
    let code = error["code"].as_str().unwrap_or_default();
    let known = [
        "audit_unavailable",
        "store_unavailable",
        "disk_full",
        "store_failed",
    ];
    assert!(known.contains(&code), "{}: {error}", reply.status);
    assert!(
        matches!(reply.status, 503 | 507),
        "{}: {error}",
        reply.status
    );
    let hint = error["hint"].as_str().unwrap_or_default();
    assert!(!hint.is_empty(), "{error}");
}

/// Waits until the broker is ready by itself; starts it again when it says that this is needed.
fn recovers(broker: &mut Broker) {
    let restart = eventually(|| {
        let reply = broker.operator().get("/readyz");
        if reply.status == 200 {
            return Some(false);
        }
        let reasons = reply.value()["reasons"].to_string();
        reasons.contains("store_failed").then_some(true)
    });
    if restart {
        broker.restart();
    }
    no_panic(&broker.log_text());
}

/// Nothing of ours has panicked. sled does when it is closed over a disk that fails, and goes no further.
#[track_caller]
fn no_panic(log: &str) {
    let mut lines = log.lines().filter(|line| line.contains("panicked"));
    assert!(lines.all(|line| line.contains("/sled-")), "{log}");
}
