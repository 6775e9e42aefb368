//! A broker with something of every kind in it, those who use it meanwhile, and a look at its files.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::files::generations;
use crate::harness::program::Ran;
use crate::harness::{Broker, Client, Setup};

/// SIGKILL.
pub(crate) const KILL: i32 = 9;
const WRITERS: usize = 8;
const KEPT: usize = 160;
const VALUE: &str = "the value that must not be lost";

pub(crate) fn setup(engine: &str) -> Setup {
    Setup {
        config: format!("[store]\nengine = \"{engine}\""),
        ..Setup::default()
    }
}

/// Runs `runtools` against a broker, over its socket.
pub(crate) fn runtools(broker: &Broker, arguments: &[&str]) -> Ran {
    let ran = Command::new(env!("CARGO_BIN_EXE_runtools"))
        .arg("--socket")
        .arg(broker.socket())
        .args(arguments)
        .env_clear()
        .env("HOME", broker.folder().path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Ran {
        exit: ran.status.code().unwrap(),
        stdout: String::from_utf8(ran.stdout).unwrap(),
        stderr: String::from_utf8(ran.stderr).unwrap(),
    }
}

pub(crate) fn status(client: &Client) -> Value {
    client.get("/v1/key-rotation").expect(200)["data"]["rotation"].clone()
}

/// Begins a rotation.
pub(crate) fn begin(client: &Client, body: &Value) {
    let begun = client.post("/v1/key-rotation", body).expect(201);
    assert_eq!(begun["data"]["paused"], false);
}

/// The rotation, once it is over.
pub(crate) fn wait_for_the_end(client: &Client) -> Value {
    let end = Instant::now() + Duration::from_mins(2);
    loop {
        let found = status(client);
        if found["phase"] == "finished" {
            assert!(found["finishedAt"].is_string(), "{found}");
            return found;
        }
        assert!(Instant::now() < end, "it does not end: {found}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How often the keys of each level were replaced.
#[derive(Debug, Default)]
pub(crate) struct Levels {
    owner: u32,
    org: u32,
}

impl Levels {
    pub(crate) fn turned(&mut self, level: &str) {
        match level {
            "owner" => self.owner += 1,
            _ => self.org += 1,
        }
    }

    /// Everything on disk is under exactly these generations.
    pub(crate) fn are_in(&self, stage: &Stage, place: &str) {
        let found = generations(&stage.broker.data());
        let only = |id: &str, turned: u32| {
            let expected = BTreeSet::from([turned + 1]);
            assert_eq!(found.get(id), Some(&expected), "{place}: {id}");
        };
        stage.owners.iter().for_each(|id| only(id, self.owner));
        only(&stage.org, self.org);
    }
}

/// A broker in use.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) broker: Broker,
    org: String,
    /// Ids of those who own something; empty for what is shared.
    owners: Vec<String>,
    /// The newest value of each name that was acknowledged, and one that may have been written after it.
    written: Mutex<BTreeMap<String, [String; 2]>>,
    rounds: usize,
}

fn secret(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value, "orgWide": true})
}

impl Stage {
    pub(crate) fn new(setup: Setup) -> Self {
        let broker = Broker::with(setup);
        let operator = broker.operator();
        let me = operator.get("/v1/me").expect(200)["data"].clone();
        let org = operator.get("/v1/organizations/current").expect(200);
        for n in 0..KEPT {
            let name = format!("KEPT_{n}");
            for value in ["an older value", VALUE]
                .into_iter()
                .skip(usize::from(n % 8 > 0))
            {
                let set = operator.post("/v1/secrets", &secret(&name, value));
                assert!(matches!(set.status, 200 | 201), "{}", set.value());
            }
        }
        let own = json!({"name": "OWN", "value": VALUE});
        operator.post("/v1/secrets", &own).expect(201);
        operator
            .send("POST", "/v1/tools/github/install", None)
            .expect(200);
        let token = json!({"token": VALUE});
        let stored = operator.json("PUT", "/v1/tools/github/credentials", &token);
        assert_eq!(stored.status, 200, "{}", stored.value());
        let client = json!({"provider": "linear", "clientId": "id", "clientSecret": "a secret"});
        operator.post("/v1/oauth/configs", &client).expect(200);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            org: text(&org["data"]["id"]),
            owners: vec![String::new(), text(&me["id"])],
            broker,
            written: Mutex::default(),
            rounds: 0,
        }
    }

    /// Everybody writes and reads while `act` acts, until the broker is gone. Nobody is refused.
    pub(crate) fn until_it_is_gone(&mut self, act: impl FnOnce(&Client)) {
        self.rounds += 1;
        let (operator, over) = (self.broker.operator(), AtomicBool::new(false));
        let (written, round) = (&self.written, self.rounds);
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (operator, over) = (&operator, &over);
                scope.spawn(move || {
                    for n in 0.. {
                        if over.load(Ordering::SeqCst) {
                            return;
                        }
                        let (name, value) = match n % 3 {
                            0 => (format!("HOT_{writer}"), format!("{round}.{n}")),
                            1 => (format!("R{round}_{writer}_{n}"), VALUE.to_owned()),
                            _ => {
                                if !read(operator, &format!("KEPT_{}", (n * 7 + writer) % KEPT)) {
                                    return;
                                }
                                continue;
                            }
                        };
                        note(written, &name, &value, false);
                        let body = secret(&name, &value).to_string();
                        let body = Some(("application/json", body.as_bytes()));
                        match operator.try_send("POST", "/v1/secrets", body) {
                            Ok(reply) => {
                                assert!(matches!(reply.status, 200 | 201), "{}", reply.value());
                            }
                            Err(_) => return,
                        }
                        note(written, &name, &value, true);
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(30));
            act(&operator);
            let end = Instant::now() + Duration::from_mins(1);
            while operator.try_send("GET", "/livez", None).is_ok() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(10));
            }
            over.store(true, Ordering::SeqCst);
        });
    }

    pub(crate) fn died_of(&mut self) -> i32 {
        crate::harness::eventually(|| self.broker.died_of())
    }

    /// Everything that was acknowledged is there.
    pub(crate) fn check(&self) {
        let operator = self.broker.operator();
        let mut written = self.written.lock().unwrap();
        for (name, values) in &mut *written {
            match reveal(&operator, name, true) {
                Some(found) => {
                    assert!(values.contains(&found), "{name}: {found} of {values:?}");
                    *values = [found.clone(), found];
                }
                // Written for the first time when it was killed.
                None => assert!(values[0].is_empty(), "{name} is lost"),
            }
        }
        // What is written again and again goes on from here; the rest was looked at.
        written.retain(|name, _| name.starts_with("HOT_"));
        for n in (0..KEPT).step_by(3) {
            let found = reveal(&operator, &format!("KEPT_{n}"), true);
            assert_eq!(found.as_deref(), Some(VALUE));
        }
        assert_eq!(reveal(&operator, "OWN", false).as_deref(), Some(VALUE));
        // An older version, too.
        let back = operator.send(
            "POST",
            "/v1/secrets/KEPT_8/versions/1/restore?orgWide=true",
            None,
        );
        assert!(matches!(back.status, 200 | 404), "{}", back.value());
        let value = secret("KEPT_8", VALUE);
        operator.post("/v1/secrets", &value).expect(200);
        let kept = operator.get("/v1/tools/github/credentials").expect(200);
        assert!(kept.to_string().contains("true"), "{kept}");
        let explained = operator.post("/v1/tools/github/explain", &json!({}));
        assert_eq!(explained.status, 200, "{}", explained.value());
        operator.get("/v1/oauth/configs").expect(200);
        operator
            .get("/v1/organizations/current/members")
            .expect(200);
        let found = operator.send("POST", "/v1/audit/verify", None).expect(200);
        assert_eq!(found["data"]["state"], "intact", "{found}");
    }

    /// The codes of the journal that begin so, oldest first, without those that only say how one ended.
    pub(crate) fn journal(&self, prefix: &str) -> Vec<String> {
        let found = self
            .broker
            .operator()
            .get("/v1/audit?limit=500")
            .expect(200);
        let events = found["data"].as_array().unwrap().iter();
        let codes = events.filter_map(|event| event["action"].as_str());
        let mut codes: Vec<_> = codes
            .filter(|code| code.starts_with(prefix))
            .map(str::to_owned)
            .collect();
        codes.reverse();
        codes
    }
}

fn note(written: &Mutex<BTreeMap<String, [String; 2]>>, name: &str, value: &str, done: bool) {
    let mut written = written.lock().unwrap();
    let known = written.entry(name.to_owned()).or_default();
    value.clone_into(&mut known[usize::from(!done)]);
}

fn reveal(operator: &Client, name: &str, shared: bool) -> Option<String> {
    let path = format!("/v1/secrets/{name}/reveal");
    let reply = operator.post(&path, &json!({"orgWide": shared}));
    if reply.status == 404 {
        return None;
    }
    Some(
        reply.expect(200)["data"]["value"]
            .as_str()
            .unwrap()
            .to_owned(),
    )
}

/// Whether the broker was there, and had the value.
fn read(operator: &Client, name: &str) -> bool {
    let path = format!("/v1/secrets/{name}/reveal");
    let body = Some(("application/json", br#"{"orgWide":true}"#.as_slice()));
    match operator.try_send("POST", &path, body) {
        Ok(reply) => {
            assert_eq!(reply.expect(200)["data"]["value"], VALUE, "{name}");
            true
        }
        Err(_) => false,
    }
}
