//! Whatever goes wrong, and in whatever order: nothing has left, and it is in the journal.

mod harness;
mod lanes;
mod stage;

use std::cell::Cell;

use harness::{Client, Upstream, eventually};
use lanes::{Came, Handle, LANES, Lane, Wish, resolve};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use stage::{Stage, merge, tool};

/// A port at which nobody listens.
const CLOSED: u16 = 1;

/// Makes the faults, and the list of those that are tried: all of them.
macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// What is wrong with one request by right of a handle.
        #[derive(Clone, Copy, Debug)]
        enum Fault {
            $($(#[$doc])* $name,)+
        }

        use Fault::{$($name),+};

        const FAULTS: &[Fault] = &[$($name),+];
    };
}

faults! {
    /// It is right.
    Nothing,
    /// The handle was used as often as it may be.
    Spent,
    Released,
    /// It is for one request, and this is another.
    AnotherRequest,
    /// It is another user's.
    Foreign,
    /// It is for a tool call that is not named.
    NoCall,
    /// The secret was changed since.
    Changed,
    /// Where it would go is not where the tool is bound to.
    Host,
    Port,
    Path,
    Method,
    Scheme,
    /// Nobody listens there.
    Closed,
    /// The binding grants no such address.
    Metadata,
    /// Its placeholder stands in the body, or in a header that is no slot.
    Body,
    Header,
    /// A header would have the upstream take it for another request.
    Steered,
}

struct World {
    stage: Stage,
    upstream: Upstream,
    admin: Client,
    other: Client,
    /// How often the secret was changed, and a handle was shown by who does not own it: more than ten times a
    /// minute is guessing.
    changed: Cell<u32>,
    strange: Cell<u32>,
}

impl World {
    fn new() -> Self {
        let (upstream, mut stage) = (Upstream::echo(), Stage::new());
        let admin = stage.broker.admin(&[]);
        stage.secret(&admin, "KEY", &json!({}));
        let mut spec = tool("custom-x", upstream.port());
        let places = |host: &str, port: u16, private: &str| {
            let mut binding = spec["bindings"][0].clone();
            binding["paths"] = json!(["/run"]);
            let more = json!({"hosts": [host], "port": port, "private": [private]});
            merge(&mut binding, &more);
            binding
        };
        let bindings = json!([
            places("127.0.0.1", upstream.port(), "127.0.0.1/32"),
            // Of these nothing can be reached.
            places("127.0.0.1", CLOSED, "127.0.0.1/32"),
            places("169.254.169.254", 80, "169.254.0.0/16"),
        ]);
        spec["bindings"] = bindings;
        stage.install(&admin, &spec);
        let other = stage.broker.admin(&[]);
        Self {
            stage,
            upstream,
            admin,
            other,
            changed: Cell::new(0),
            strange: Cell::new(0),
        }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/run", self.upstream.port())
    }

    fn handle(&self, more: &Value) -> Handle {
        resolve(&self.stage, &self.admin, "custom-x", more)
    }

    /// Makes a request that is wrong in this way, and sends it. What the upstream had seen before that.
    fn send(&self, lane: Lane, fault: Fault) -> (Came, (usize, usize)) {
        let (url, mut client) = (self.url(), &self.admin);
        let handle = self.handle(&match fault {
            Spent => json!({"maxUses": 1}),
            AnotherRequest => json!({"intent": {"method": "POST", "url": url}}),
            NoCall => json!({"callId": "call-1"}),
            _ => json!({}),
        });
        let own = handle.placeholder.clone();
        let at = |url: &str| Wish::get(url);
        let wish = match fault {
            Host => at(&url.replace("127.0.0.1", "127.0.0.2")),
            Port => at("http://127.0.0.1:9/run"),
            Path => at(&url.replace("/run", "/other")),
            Scheme => at(&url.replace("http:", "https:")),
            Closed => at(&format!("http://127.0.0.1:{CLOSED}/run")),
            Metadata => at("http://169.254.169.254/run"),
            Method => Wish {
                method: "DELETE",
                ..at(&url)
            },
            Body => at(&url).post("text/plain", &format!("say {own}")),
            Header => at(&url).header("x-note", &own),
            Steered => at(&url).header("x-http-method-override", "DELETE"),
            _ => at(&url),
        };
        match fault {
            Spent => {
                let came = lane.send(&self.stage, client, &handle.text, &at(&url));
                assert_eq!(came.status, 200, "{came:?}");
            }
            Released => {
                let path = format!("/v1/resolutions/{}", handle.id);
                self.stage
                    .send(client, "DELETE", &path, &Value::Null)
                    .expect(200);
            }
            Changed => {
                self.changed.set(self.changed.get() + 1);
                let note = json!({"description": format!("note {}", self.changed.get())});
                let path = "/v1/secrets/KEY";
                self.stage.send(client, "PATCH", path, &note).expect(200);
            }
            Foreign => client = &self.other,
            _ => {}
        }
        let before = self.upstream_saw();
        (lane.send(&self.stage, client, &handle.text, &wish), before)
    }

    fn upstream_saw(&self) -> (usize, usize) {
        (self.upstream.accepted(), self.upstream.seen().len())
    }

    /// The number of the newest record.
    fn newest(&self) -> Option<u64> {
        let all = self.stage.operator().get("/v1/audit").expect(200);
        all["data"][0]["seq"].as_u64()
    }

    /// The last exchange in the journal, once it is over.
    fn last(&self) -> Value {
        eventually(|| {
            let entry = self.stage.journal("broker.exchange").swap_remove(0);
            let over = failure(&entry).is_some() || !entry["outcome"].is_null();
            over.then_some(entry)
        })
    }
}

/// Why it was refused, could not be sent, or came to nothing.
fn failure(entry: &Value) -> Option<&str> {
    let denied = entry["decision"]["denied"].as_str();
    let unsent = entry["code"].as_str();
    denied
        .or(unsent)
        .or_else(|| entry["outcome"]["code"].as_str())
}

/// Says what failed, and writes nothing down.
fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(cases)
    })
}

#[test]
fn invariant_6_whatever_fails_before_it_is_sent_sends_nothing_and_is_in_the_journal() {
    let world = World::new();
    let lane = prop::sample::select(LANES.to_vec());
    let fault = prop::sample::select(FAULTS.to_vec());
    let steps = prop::collection::vec((lane, fault), 1..12);
    let (sent, refused) = (Cell::new(0), Cell::new(0));
    let mut runner = runner(20);
    let ran = runner.run(&steps, |steps| {
        for (lane, fault) in steps {
            let strange = matches!(fault, Foreign | NoCall);
            if strange && world.strange.replace(world.strange.get() + 1) >= 8 {
                continue;
            }
            let newest = world.newest();
            let (came, before) = world.send(lane, fault);
            let entry = world.last();
            prop_assert!(entry["seq"].as_u64() > newest, "{:?}: no record", fault);
            let failed = failure(&entry);
            if matches!(fault, Nothing) {
                prop_assert_eq!((came.status, failed), (200, None), "{}", entry);
                sent.set(sent.get() + 1);
            } else {
                let (status, code) = (came.status, &came.code);
                prop_assert!(status >= 400 && !code.is_empty(), "{:?}: {:?}", fault, came);
                prop_assert!(failed.is_some(), "{:?}: {}", fault, entry);
                prop_assert_eq!(world.upstream_saw(), before, "{:?}: {:?}", fault, came);
                refused.set(refused.get() + 1);
            }
        }
        Ok(())
    });
    ran.unwrap();
    assert!(sent.get() > 0 && refused.get() > 40);
    world.stage.finish();
}
