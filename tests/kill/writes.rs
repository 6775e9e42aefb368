//! What is written, by whom, and what is remembered of it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use runtools_broker::crypto::{Random, SystemRandom};
use runtools_broker::id::RequestId;
use serde_json::{Value, json};

use crate::harness::Client;
use crate::harness::crm::{crm_call, crm_named};

pub(super) fn new_request() -> String {
    let random: &dyn Random = &SystemRandom;
    RequestId::from_random(random.bytes().unwrap()).to_string()
}

/// One write that was sent.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) request: String,
    pub(super) what: What,
    pub(super) acknowledged: bool,
    pub(super) round: usize,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Secret {
        name: String,
        value: String,
    },
    Rotation {
        name: String,
        version: u64,
        value: String,
    },
    ApiKey {
        name: String,
        key: Option<String>,
    },
    Tool {
        slug: String,
    },
    Install {
        slug: String,
    },
    Execute {
        email: String,
    },
}

pub(super) static SERIAL: AtomicUsize = AtomicUsize::new(0);

pub(super) fn serial() -> usize {
    SERIAL.fetch_add(1, Ordering::Relaxed)
}

/// What writer `at` writes next, and how.
pub(super) fn next(at: usize, port: u16, before: Option<&What>) -> (What, String, Value) {
    let n = serial();
    let value = format!("value-{n:06}-abcdefghijklmnopqrstuvwxyz");
    match at {
        0..4 => {
            let (name, wide) = (format!("KILL_{n}"), at.is_multiple_of(2));
            let body = json!({"name": name, "value": value, "orgWide": wide, "category": "custom"});
            (What::Secret { name, value }, "/v1/secrets".into(), body)
        }
        4..6 => {
            let name = format!("ROTATED_{at}");
            // Counted by the check after each round: see `rotations`.
            let version = match before {
                Some(What::Rotation { version, .. }) => version + 1,
                _ => 0,
            };
            let path = format!("/v1/secrets/{name}/rotate");
            let body = json!({"value": value, "orgWide": true});
            (
                What::Rotation {
                    name,
                    version,
                    value,
                },
                path,
                body,
            )
        }
        6..8 => {
            let name = format!("key {n}");
            let body = json!({"name": name, "scopes": ["secret:read"]});
            (
                What::ApiKey { name, key: None },
                "/v1/api-keys".into(),
                body,
            )
        }
        8 => {
            if let Some(What::Tool { slug }) = before {
                let path = format!("/v1/tools/{slug}/install");
                (What::Install { slug: slug.clone() }, path, json!({}))
            } else {
                let slug = format!("custom-k{n}");
                let body = crm_named(&slug, port);
                (What::Tool { slug }, "/v1/tools/custom".into(), body)
            }
        }
        _ => {
            let email = format!("person{n}@example.com");
            let body = crm_call(&email, "CRM_KEY");
            let path = "/v1/tools/custom-crm/execute".into();
            (What::Execute { email }, path, body)
        }
    }
}

/// Writes until the broker is gone, or as often as is asked for.
pub(super) fn write(
    at: usize,
    port: u16,
    client: &Client,
    first: Option<What>,
    most: usize,
    sent: impl Fn(Write) -> usize,
    done: impl Fn(usize, Option<String>),
) {
    let mut before = first;
    for _ in 0..most {
        let (what, path, body) = next(at, port, before.as_ref());
        let request = new_request();
        let number = sent(Write {
            request: request.clone(),
            what: what.clone(),
            acknowledged: false,
            round: 0,
        });
        let body = body.to_string();
        let client = client.header("x-request-id", &request);
        let answer = client.try_send("POST", &path, Some(("application/json", body.as_bytes())));
        let Ok(reply) = answer else { return };
        assert!(
            (200..300).contains(&reply.status),
            "{path}: {} {}",
            reply.status,
            String::from_utf8_lossy(&reply.body)
        );
        let key = reply.value()["data"]["key"].as_str().map(str::to_owned);
        done(number, key);
        before = Some(what);
    }
}

pub(super) struct Ledger {
    pub(super) writes: Mutex<Vec<Write>>,
    pub(super) round: usize,
}

impl Ledger {
    pub(super) fn sent(&self, mut write: Write) -> usize {
        write.round = self.round;
        let mut writes = self.writes.lock().unwrap();
        writes.push(write);
        writes.len() - 1
    }

    pub(super) fn done(&self, number: usize, made: Option<String>) {
        let write = &mut self.writes.lock().unwrap()[number];
        write.acknowledged = true;
        if let What::ApiKey { key, .. } = &mut write.what {
            *key = made;
        }
    }

    pub(super) fn of_round(&self, round: usize) -> Vec<Write> {
        let writes = self.writes.lock().unwrap();
        writes
            .iter()
            .filter(|w| w.round == round)
            .cloned()
            .collect()
    }
}

/// The newest rotation of each writer's secret that must or may be in force.
pub(super) fn start_of(at: usize, operator: &Client) -> Option<What> {
    let name = format!("ROTATED_{at}");
    if !(4..6).contains(&at) {
        return None;
    }
    let found = operator
        .get(&format!("/v1/secrets/{name}?orgWide=true"))
        .expect(200);
    let version = found["data"]["version"].as_u64().unwrap();
    Some(What::Rotation {
        name,
        version,
        value: String::new(),
    })
}
