//! SIGKILL at any moment, while many write: what was acknowledged is there, the rest is whole or absent.
//!
//! 20 rounds; with `RUNTOOLS_SLOW=1` in the environment, 200.

mod harness;

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use harness::{Broker, Client, Setup, Upstream, crm_call, crm_named, install_crm};
use runtools_broker::crypto::{Random, SystemRandom};
use runtools_broker::id::RequestId;
use serde_json::{Value, json};

/// Rounds over one folder, before a fresh one.
const ROUNDS: usize = 20;
const WRITERS: usize = 10;

fn folders() -> usize {
    if std::env::var_os("RUNTOOLS_SLOW").is_some() {
        10
    } else {
        1
    }
}

fn up_to(limit: u64) -> u64 {
    let random: &dyn Random = &SystemRandom;
    u64::from_be_bytes(random.bytes().unwrap()) % limit
}

fn new_request() -> String {
    let random: &dyn Random = &SystemRandom;
    RequestId::from_random(random.bytes().unwrap()).to_string()
}

/// One write that was sent.
#[derive(Clone, Debug)]
struct Write {
    request: String,
    what: What,
    acknowledged: bool,
    round: usize,
}

#[derive(Clone, Debug)]
enum What {
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

static SERIAL: AtomicUsize = AtomicUsize::new(0);

fn serial() -> usize {
    SERIAL.fetch_add(1, Ordering::Relaxed)
}

/// What writer `at` writes next, and how.
fn next(at: usize, port: u16, before: Option<&What>) -> (What, String, Value) {
    let n = serial();
    let value = format!("value-{n:06}-abcdefghijklmnopqrstuvwxyz");
    match at {
        0..4 => {
            let (name, wide) = (format!("KILL_{n}"), at % 2 == 0);
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
        8 => match before {
            Some(What::Tool { slug }) => {
                let path = format!("/v1/tools/{slug}/install");
                (What::Install { slug: slug.clone() }, path, json!({}))
            }
            _ => {
                let slug = format!("custom-k{n}");
                let body = crm_named(&slug, port);
                (What::Tool { slug }, "/v1/tools/custom".into(), body)
            }
        },
        _ => {
            let email = format!("person{n}@example.com");
            let body = crm_call(&email, "CRM_KEY");
            let path = "/v1/tools/custom-crm/execute".into();
            (What::Execute { email }, path, body)
        }
    }
}

/// Writes until the broker is gone.
fn write(
    at: usize,
    port: u16,
    client: &Client,
    first: Option<What>,
    sent: impl Fn(Write) -> usize,
    done: impl Fn(usize, Option<String>),
) {
    let mut before = first;
    loop {
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

struct Ledger {
    writes: Mutex<Vec<Write>>,
    round: usize,
}

impl Ledger {
    fn sent(&self, mut write: Write) -> usize {
        write.round = self.round;
        let mut writes = self.writes.lock().unwrap();
        writes.push(write);
        writes.len() - 1
    }

    fn done(&self, number: usize, made: Option<String>) {
        let write = &mut self.writes.lock().unwrap()[number];
        write.acknowledged = true;
        if let What::ApiKey { key, .. } = &mut write.what {
            *key = made;
        }
    }

    fn of_round(&self, round: usize) -> Vec<Write> {
        let writes = self.writes.lock().unwrap();
        writes
            .iter()
            .filter(|w| w.round == round)
            .cloned()
            .collect()
    }
}

/// The newest rotation of each writer's secret that must or may be in force.
fn start_of(at: usize, operator: &Client) -> Option<What> {
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

/// Every record of the journal after `seq`, by request.
fn journal(operator: &Client, after: u64) -> HashSet<String> {
    let mut requests = HashSet::new();
    let mut cursor = String::new();
    loop {
        let page = operator
            .get(&format!("/v1/audit?limit=500{cursor}"))
            .expect(200);
        let mut old = false;
        for entry in page["data"].as_array().unwrap() {
            old |= entry["seq"].as_u64().unwrap() <= after;
            if let Some(request) = entry["request"].as_str() {
                requests.insert(request.to_owned());
            }
        }
        match page["nextCursor"].as_str() {
            Some(next) if !old => cursor = format!("&cursor={next}"),
            _ => return requests,
        }
    }
}

fn head(operator: &Client) -> u64 {
    operator.get("/v1/audit/head").expect(200)["data"]["seq"]
        .as_u64()
        .unwrap()
}

/// What lists show after a restart.
struct Listed {
    keys: HashSet<String>,
    installed: HashSet<String>,
}

impl Listed {
    fn of(operator: &Client) -> Self {
        let all = |path: &str, field: &str| {
            let page = operator.get(path).expect(200);
            assert_eq!(page["hasMore"], false);
            let entries = page["data"].as_array().unwrap().iter();
            entries
                .map(|entry| entry[field].as_str().unwrap().to_owned())
                .collect()
        };
        Self {
            keys: all("/v1/api-keys", "name"),
            installed: all("/v1/tools?installed=true", "slug"),
        }
    }
}

/// Whether the write is there; fails when it is there in part or wrong.
fn is_there(write: &Write, operator: &Client, anonymous: &Client, listed: &Listed) -> Option<bool> {
    match &write.what {
        What::Secret { name, value } => {
            let wide = [true, false].map(|wide| {
                let body = json!({"orgWide": wide});
                operator.post(&format!("/v1/secrets/{name}/reveal"), &body)
            });
            let found: Vec<_> = wide.iter().filter(|reply| reply.status != 404).collect();
            for reply in &found {
                let secret = reply.expect(200);
                assert_eq!(secret["data"]["value"], value.as_str(), "{write:?}");
                assert_eq!(secret["data"]["version"], 1, "{write:?}");
            }
            assert!(found.len() < 2, "{write:?} stands twice");
            Some(found.len() == 1)
        }
        // Checked by `rotations`, since later ones replace earlier ones.
        What::Rotation { .. } | What::Execute { .. } => None,
        What::ApiKey { name, key } => {
            if let Some(key) = key {
                anonymous.key(key).get("/v1/secrets").expect(200);
            }
            Some(listed.keys.contains(name))
        }
        What::Tool { slug } => {
            let reply = operator.get(&format!("/v1/tools/{slug}"));
            if reply.status == 404 {
                return Some(false);
            }
            assert_eq!(reply.expect(200)["data"]["slug"], slug.as_str());
            Some(true)
        }
        What::Install { slug } => Some(listed.installed.contains(slug)),
    }
}

/// The value in force is that of the last acknowledged rotation, or of the one under way.
fn rotations(writes: &[Write], operator: &Client, requests: &HashSet<String>) {
    for at in 4..6 {
        let mine = format!("ROTATED_{at}");
        let of_mine: Vec<_> = writes
            .iter()
            .filter_map(|write| match &write.what {
                What::Rotation {
                    name,
                    version,
                    value,
                } if *name == mine => Some((write, *version, value)),
                _ => None,
            })
            .collect();
        let Some((last, ..)) = of_mine.last() else {
            continue;
        };
        let revealed = operator
            .post(
                &format!("/v1/secrets/{mine}/reveal"),
                &json!({"orgWide": true}),
            )
            .expect(200);
        let (version, value) = (&revealed["data"]["version"], &revealed["data"]["value"]);
        let in_force = of_mine.iter().find(|(.., v)| *value == v.as_str());
        let acknowledged = of_mine.iter().rev().find(|(write, ..)| write.acknowledged);
        match (in_force, acknowledged) {
            (Some((write, number, _)), acknowledged) => {
                assert_eq!(version, number, "{write:?}");
                let newest = write.request == last.request;
                assert!(
                    newest || acknowledged.is_some_and(|(a, ..)| a.request == write.request),
                    "an older value is in force: {write:?}"
                );
                assert!(requests.contains(&write.request), "unrecorded: {write:?}");
            }
            (None, Some((write, ..))) => panic!("acknowledged and lost: {write:?}"),
            (None, None) => assert!(*version == of_mine[0].1 - 1, "the first was not lost whole"),
        }
    }
}

fn check(writes: &[Write], broker: &Broker, requests: Option<&HashSet<String>>) {
    let (operator, anonymous) = (broker.operator(), broker.anonymous());
    let listed = Listed::of(&operator);
    std::thread::scope(|scope| {
        for part in writes.chunks(writes.len().div_ceil(6).max(1)) {
            let (operator, anonymous, listed) = (&operator, &anonymous, &listed);
            scope.spawn(move || {
                for write in part {
                    let there = is_there(write, operator, anonymous, listed);
                    if write.acknowledged {
                        assert_ne!(there, Some(false), "acknowledged and lost: {write:?}");
                    }
                    if let Some(requests) = requests
                        && (write.acknowledged || there == Some(true))
                    {
                        assert!(requests.contains(&write.request), "unrecorded: {write:?}");
                    }
                }
            });
        }
    });
}

fn verify(operator: &Client) {
    let found = operator.send("POST", "/v1/audit/verify", None).expect(200);
    let state = found["data"]["state"].as_str().unwrap();
    assert!(
        matches!(state, "intact" | "incomplete") && found["data"]["finding"].is_null(),
        "{found}"
    );
}

/// Lets everybody write for a moment, then kills.
fn write_and_kill(broker: &mut Broker, ledger: &Ledger, port: u16) {
    let operator = broker.operator();
    let firsts: Vec<_> = (0..WRITERS).map(|at| start_of(at, &operator)).collect();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (at, first) in firsts.into_iter().enumerate() {
            let (operator, over) = (&operator, &over);
            scope.spawn(move || {
                write(
                    at,
                    port,
                    operator,
                    first,
                    |w| ledger.sent(w),
                    |n, key| ledger.done(n, key),
                );
                assert!(
                    over.load(Ordering::SeqCst),
                    "no answer, though nobody killed it"
                );
            });
        }
        std::thread::sleep(Duration::from_millis(20 + up_to(160)));
        over.store(true, Ordering::SeqCst);
        broker.kill();
    });
}

#[test]
fn what_was_acknowledged_outlives_a_kill_at_any_moment() {
    let (mut acknowledged, mut cut, mut present) = (0, 0, 0);
    let mut longest = Duration::ZERO;
    for _ in 0..folders() {
        let upstream = Upstream::echo();
        let mut broker = Broker::start();
        let operator = broker.operator();
        install_crm(
            &operator,
            upstream.port(),
            "crm-value-0123456789-abcdefghij",
        );
        for at in 4..6 {
            let body = json!({"name": format!("ROTATED_{at}"), "value": "the first value", "orgWide": true});
            operator.post("/v1/secrets", &body).expect(201);
        }
        let mut ledger = Ledger {
            writes: Mutex::default(),
            round: 0,
        };
        for round in 0..ROUNDS {
            let begun = Instant::now();
            ledger.round = round;
            let after = head(&broker.operator());
            let seen_before = upstream.seen().len();
            write_and_kill(&mut broker, &ledger, upstream.port());
            if round % 4 == 3 {
                // And once more, in the middle of the start.
                broker.restart_with(Setup {
                    unready: true,
                    ..Setup::default()
                });
                std::thread::sleep(Duration::from_millis(up_to(120)));
            }
            broker.restart_with(Setup::default());
            let operator = broker.operator();
            let writes = ledger.of_round(round);
            let requests = journal(&operator, after);
            check(&writes, &broker, Some(&requests));
            rotations(&writes, &operator, &requests);
            // Nothing is used unseen: whatever reached the upstream is in the journal.
            for seen in &upstream.seen()[seen_before..] {
                let used = writes.iter().find(|write| match &write.what {
                    What::Execute { email } => seen.target.ends_with(&email.replace('@', "%40")),
                    _ => false,
                });
                let used = used.unwrap_or_else(|| panic!("nobody asked for {}", seen.target));
                assert!(requests.contains(&used.request), "used unseen: {used:?}");
            }
            verify(&operator);
            acknowledged += writes.iter().filter(|write| write.acknowledged).count();
            cut += writes.iter().filter(|write| !write.acknowledged).count();
            present += writes
                .iter()
                .filter(|write| !write.acknowledged && requests.contains(&write.request))
                .count();
            longest = longest.max(begun.elapsed());
        }
        let all = ledger.writes.lock().unwrap().clone();
        check(&all, &broker, None);
        assert!(
            !broker.log_text().contains("panicked"),
            "{}",
            broker.log_text()
        );
    }
    println!(
        "{} rounds: {acknowledged} acknowledged, {cut} cut ({present} of them recorded), longest round {longest:?}",
        folders() * ROUNDS
    );
    assert!(
        acknowledged > folders() * ROUNDS,
        "hardly anything was written"
    );
    assert!(cut > 0, "no kill hit a write");
}

#[test]
fn a_first_start_that_is_killed_at_any_moment_can_be_repeated() {
    for _ in 0..folders() * 10 {
        let mut broker = Broker::with(Setup {
            unready: true,
            ..Setup::default()
        });
        std::thread::sleep(Duration::from_millis(up_to(150)));
        broker.restart_with(Setup::default());
        let secret = json!({"name": "AFTER", "value": "after the kill"});
        broker.operator().post("/v1/secrets", &secret).expect(201);
        verify(&broker.operator());
        broker.restart();
        let revealed = broker
            .operator()
            .post("/v1/secrets/AFTER/reveal", &json!({}));
        assert_eq!(revealed.expect(200)["data"]["value"], "after the kill");
    }
}
