//! The leak oracle over the whole API: marked names and values go through every route, well and badly
//! formed, and are then looked for in answers, logs, metrics, the journal, files and memory.

mod harness;
mod stage;

use std::time::{Duration, Instant};

use harness::{Broker, Canaries, Client, Reply, Setup, Upstream};
use serde_json::{Value, json};
use stage::{memory, tool};

/// What was planted, and everything that came back.
struct Planted {
    values: Canaries,
    names: Canaries,
    answers: Vec<(String, Vec<u8>)>,
}

impl Planted {
    fn new() -> Self {
        Self {
            values: Canaries::new(),
            names: Canaries::new(),
            answers: Vec::new(),
        }
    }

    /// A marked name in lower case, for whatever has one.
    fn word(&mut self) -> String {
        let word = self.names.name().to_ascii_lowercase().replace('_', "-");
        self.names.also(&word);
        word
    }

    fn send(&mut self, client: &Client, method: &str, path: &str, body: &Value) -> Reply {
        let reply = client.json(method, path, body);
        self.keep(&format!("{method} {path}"), &reply);
        reply
    }

    fn keep(&mut self, what: &str, reply: &Reply) {
        let mut bytes = reply.body.clone();
        for (name, value) in &reply.headers {
            bytes.extend_from_slice(format!("\n{name}: ").as_bytes());
            bytes.extend_from_slice(value.as_bytes());
        }
        self.answers.push((what.to_owned(), bytes));
    }

    /// An answer that is meant to hold a value once: the value is planted, the answer not kept.
    fn shown_once(&mut self, reply: &Reply) -> Value {
        let answer = reply.value();
        let key = answer["data"]["key"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer}"));
        self.values.also(key);
        answer
    }

    #[track_caller]
    fn check(&self, broker: &Broker) {
        let log = broker.log_bytes();
        assert!(log.len() > 1000, "it logged");
        for canaries in [&self.values, &self.names] {
            canaries.absent_from("the log", &log);
            for (path, bytes) in broker.files() {
                canaries.absent_from(&path.display().to_string(), &bytes);
            }
        }
    }
}

fn items(reply: &Reply) -> Vec<Value> {
    reply.expect(200)["data"].as_array().unwrap().clone()
}

/// Everything that a newcomer, a member and an operator do, with marks in all that they write.
fn use_it(planted: &mut Planted, broker: &Broker, upstream: &Upstream) {
    let operator = broker.operator();
    let (org, user) = (planted.word(), planted.word());
    let created = planted.send(
        &operator,
        "POST",
        "/v1/organizations",
        &json!({"name": org}),
    );
    assert_eq!(created.status / 100, 2, "{}", stage::text(&created));
    let body = json!({"name": planted.word()});
    planted.send(&operator, "PATCH", "/v1/organizations/current", &body);
    let mail = format!("{}@example.test", planted.word());
    let added = operator.post(
        "/v1/organizations/current/members",
        &json!({"name": user, "email": mail, "createKey": true}),
    );
    assert_eq!(added.status, 201, "{}", stage::text(&added));
    let added = planted.shown_once(&added);
    let member = broker
        .anonymous()
        .key(added["data"]["key"].as_str().unwrap());
    use_keys(planted, &operator);
    for client in [&operator, &member] {
        use_secrets(planted, client);
        use_tools(planted, client, upstream);
    }
    // A slot's label is read before anything can be opened, so it stands in the ring in clear.
    let passphrase = planted.values.value();
    let slot = json!({"kind": "passphrase", "passphrase": passphrase, "label": "spare"});
    let slot = planted.send(&operator, "POST", "/v1/operator/slots", &slot);
    let id = slot.expect(201)["data"]["id"].as_str().unwrap().to_owned();
    let wrong = planted.values.value();
    for words in [&passphrase, &wrong] {
        let path = format!("/v1/operator/slots/{id}/test");
        planted.send(&operator, "POST", &path, &json!({"passphrase": words}));
    }
    planted.send(
        &operator,
        "POST",
        "/v1/operator/unseal",
        &json!({"passphrase": wrong}),
    );
}

fn use_keys(planted: &mut Planted, operator: &Client) {
    let name = planted.word();
    let made = operator.post("/v1/api-keys", &json!({"name": name, "scopes": []}));
    let made = planted.shown_once(&made);
    let path = format!("/v1/api-keys/{}", made["data"]["id"].as_str().unwrap());
    let rotated = operator.post(&format!("{path}/rotate"), &json!({}));
    let rotated = planted.shown_once(&rotated);
    let path = format!("/v1/api-keys/{}", rotated["data"]["id"].as_str().unwrap());
    let body = json!({"name": format!("{name}-2")});
    planted.send(operator, "PATCH", &path, &body);
    planted.keep("list", &operator.get("/v1/api-keys"));
}

fn use_secrets(planted: &mut Planted, client: &Client) {
    let (name, host) = (planted.names.name(), format!("{}.test", planted.word()));
    let about = planted.word();
    let (old, new, newer) = (
        planted.values.value(),
        planted.values.value(),
        planted.values.value(),
    );
    let secret = json!({"name": name, "value": old, "description": about, "hosts": [host]});
    planted
        .send(client, "POST", "/v1/secrets", &secret)
        .expect(201);
    let path = format!("/v1/secrets/{name}");
    planted
        .send(
            client,
            "POST",
            &format!("{path}/rotate"),
            &json!({"value": new}),
        )
        .expect(200);
    planted
        .send(
            client,
            "POST",
            "/v1/secrets",
            &json!({"name": name, "value": newer}),
        )
        .expect(200);
    let shown = client.post(&format!("{path}/reveal"), &json!({}));
    assert!(stage::text(&shown).contains(&newer), "the one that reveals");
    for path in [
        path.clone(),
        format!("{path}/versions"),
        "/v1/secrets".to_owned(),
        format!("/v1/audit?secret={name}"),
    ] {
        let reply = client.get(&path);
        planted.keep(&path, &reply);
    }
    let back = format!("{path}/versions/1/restore");
    planted.send(client, "POST", &back, &json!({}));
    planted.send(client, "PATCH", &path, &json!({"description": about}));
    let once = client.header("idempotency-key", &planted.names.name());
    let again = json!({"name": name, "value": planted.values.value()});
    for _ in 0..2 {
        planted.send(&once, "POST", "/v1/secrets", &again);
    }
    let gone = client.delete(&path);
    planted.keep("delete", &gone);
    planted.send(client, "POST", &format!("{path}/restore"), &json!({}));
}

fn use_tools(planted: &mut Planted, client: &Client, upstream: &Upstream) {
    let operator_only = client.get("/v1/operator/slots").status == 200;
    let slug = format!("custom-{}", planted.word());
    let mut spec = tool(&slug, upstream.port());
    spec["name"] = json!(planted.word());
    spec["description"] = json!(planted.word());
    if !operator_only {
        // A member grants no private range: the same tool, which then reaches nothing.
        spec["bindings"][0]["scheme"] = json!("https");
        spec["bindings"][0]
            .as_object_mut()
            .unwrap()
            .remove("private");
        spec["actionsJson"]["run"]["http"]["url"] =
            json!(format!("https://127.0.0.1:{}/run", upstream.port()));
    }
    planted
        .send(client, "POST", "/v1/tools/custom", &spec)
        .expect(201);
    let base = format!("/v1/tools/{slug}");
    planted.send(client, "POST", &format!("{base}/install"), &json!({}));
    let (stored, brought, kept) = (
        planted.values.value(),
        planted.values.value(),
        planted.values.value(),
    );
    let run = |planted: &mut Planted, more: Value| {
        let mut body = json!({"action": "run"});
        stage::merge(&mut body, &more);
        planted.send(client, "POST", &format!("{base}/explain"), &more);
        let reply = planted.send(client, "POST", &format!("{base}/execute"), &body);
        assert!(
            [200, 403].contains(&reply.status),
            "{}",
            stage::text(&reply)
        );
    };
    run(planted, json!({"credentials": {"apiKey": brought}}));
    planted.send(
        client,
        "PUT",
        &format!("{base}/credentials"),
        &json!({"apiKey": stored}),
    );
    run(planted, json!({}));
    let name = planted.names.name();
    planted
        .send(
            client,
            "POST",
            "/v1/secrets",
            &json!({"name": name, "value": kept}),
        )
        .expect(201);
    run(planted, json!({"credentialOverrides": {"apiKey": name}}));
    for path in [
        base.clone(),
        format!("{base}/credentials"),
        "/v1/tools".to_owned(),
        format!("/v1/tools?search={slug}"),
    ] {
        let reply = client.get(&path);
        planted.keep(&path, &reply);
    }
    let cleared = client.delete(&format!("{base}/credentials"));
    planted.keep("clear", &cleared);
}

/// Every route of the document, with values where names belong, and in bodies of every wrong form.
fn misuse_it(planted: &mut Planted, broker: &Broker) {
    let operator = broker.operator();
    let document = operator.get("/v1/openapi.json").expect(200);
    let member = broker.member("misuser");
    let value = planted.values.value();
    let mut routes = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            // Sealing ends the story; it is told by its own journeys.
            if path.contains("/seal") {
                continue;
            }
            routes += 1;
            let method = method.to_ascii_uppercase();
            let filled: String = path
                .split('/')
                .map(|segment| {
                    if segment.starts_with('{') {
                        value.as_str()
                    } else {
                        segment
                    }
                })
                .collect::<Vec<_>>()
                .join("/");
            for client in [&operator, &member, &broker.anonymous()] {
                for body in wrong_bodies(&value) {
                    let reply = client.send(&method, &filled, Some(("application/json", &body)));
                    planted.keep(&format!("{method} {path}"), &reply);
                }
                let reply = client.send(
                    &method,
                    &format!("{filled}?{value}={value}&limit={value}"),
                    None,
                );
                planted.keep(&format!("{method} {path}?"), &reply);
            }
            let odd = operator
                .header("if-match", &value)
                .header("x-request-id", &value);
            let odd = odd
                .header("idempotency-key", &value)
                .header("accept", &value);
            let reply = odd.send(
                &method,
                &filled,
                Some((&format!("text/{value}"), value.as_bytes())),
            );
            planted.keep(&format!("{method} {path} with odd headers"), &reply);
        }
    }
    assert!(routes > 35, "{routes} routes");
    let reply = operator.get(&format!("/v1/{value}/{value}?{value}"));
    planted.keep("an unknown route", &reply);
    for client in [
        broker.anonymous().key(&value),
        broker
            .anonymous()
            .header("authorization", &format!("Bearer {value}")),
        broker
            .anonymous()
            .header("authorization", &format!("Basic {value}")),
    ] {
        let reply = client.get("/v1/me");
        assert_eq!(reply.status, 401);
        planted.keep("a wrong key", &reply);
    }
}

fn wrong_bodies(value: &str) -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> = [
        json!(value),
        json!([value, [value]]),
        json!({ value: value }),
        json!({"name": value, "value": {"deep": value}, value: 1}),
        json!({"name": [value], "value": value, "slug": value, "action": value}),
        json!({"name": "A", "value": value, "category": value}),
        json!({"name": "A", "value": value, "expires": value, "hosts": [format!("{value}:1")]}),
        json!({"action": "run", "params": {value: value}, "credentials": {value: value}}),
        json!({"kind": value, "passphrase": value, "path": value}),
        json!({"role": value, "visibility": value, "name": value, "scopes": [value]}),
        json!({"slug": "custom-z", "name": value, "credentialsJson": value, "bindings": [{value: value}]}),
        json!({"slug": "custom-z", "name": "Z", "actionsJson": {value: {"http": {"url": value}}}}),
        json!({"apiKey": value, "value": value.repeat(1_700)}),
    ]
    .iter()
    .map(|body| body.to_string().into_bytes())
    .collect();
    bodies.push(format!("{{\"value\": \"{value}\", ").into_bytes());
    bodies.push(format!("{{\"value\": \"{value}\\ud800\"}}").into_bytes());
    bodies.push([b"{\"value\": \"", value.as_bytes(), b"\xff\"}"].concat());
    bodies.push(value.repeat(6_000).into_bytes());
    bodies
}

#[test]
fn no_value_and_no_name_leaves_the_whole_api_and_none_stays_on_disk_or_in_memory() {
    let upstream = Upstream::echo();
    let mut planted = Planted::new();
    let mut broker = Broker::start();
    use_it(&mut planted, &broker, &upstream);
    assert!(!upstream.seen().is_empty());
    misuse_it(&mut planted, &broker);

    let operator = broker.operator();
    let export = operator.get("/v1/audit/export");
    assert_eq!(export.status, 200);
    planted.values.absent_from("the export", &export.body);
    assert!(
        planted.names.found_in(&export.body).is_some(),
        "the export names what was used"
    );
    let metrics = operator.get("/metrics");
    assert_eq!(metrics.status, 200);
    planted.values.absent_from("the metrics", &metrics.body);
    planted.names.absent_from("the metrics", &metrics.body);

    for (what, bytes) in &planted.answers {
        let shown = format!("{what}: {}", String::from_utf8_lossy(bytes));
        planted.values.absent_from(&shown, bytes);
    }
    in_memory(&broker, &planted.values, SETTLED);
    broker.kill();
    std::thread::sleep(Duration::from_millis(100));
    planted.check(&broker);
}

/// Searchers are kept for a minute at most, and connections to upstreams for half of one.
const SETTLED: Duration = Duration::from_secs(65);

/// Fails unless every value leaves the broker's memory within `patience`.
fn in_memory(broker: &Broker, values: &Canaries, patience: Duration) {
    if !memory::may_search(broker.pid()) {
        eprintln!("memory is not searched: this user may not trace processes");
        return;
    }
    let started = Instant::now();
    loop {
        let found = memory::search(broker.pid(), values);
        if found.is_empty() {
            return;
        }
        assert!(started.elapsed() < patience, "{found:#?}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn sealing_wipes_every_value_from_memory() {
    let upstream = Upstream::tls(&["localhost"], |seen| {
        harness::upstream::json(200, &seen.echo())
    });
    let plain = Upstream::echo();
    let mut stage = stage::Stage::trusting(upstream.root_pem());
    let operator = stage.operator();
    stage.secret(&operator, "KEY", &json!({}));
    stage.install(&operator, &stage::tls_tool("custom-tls", upstream.port()));
    stage.install(&operator, &tool("custom-plain", plain.port()));
    for slug in ["custom-tls", "custom-plain"] {
        let done = stage.run(&operator, slug, &stage::with("KEY"));
        assert_eq!(stage::execution(&done)["success"], true);
    }
    if memory::may_search(stage.broker.pid()) {
        let found = memory::search(stage.broker.pid(), &stage.canaries);
        assert!(
            !found.is_empty(),
            "the searcher holds the value while it is kept"
        );
    }
    operator.send("POST", "/v1/operator/seal", None).expect(200);
    in_memory(&stage.broker, &stage.canaries, Duration::from_secs(2));
}

#[test]
fn the_oracle_finds_what_is_there() {
    let mut canaries = Canaries::new();
    let value = canaries.value();
    for form in canaries.forms() {
        let hay = [b"before ".as_slice(), &form.2, b" after"].concat();
        assert!(canaries.found_in(&hay).is_some(), "{}", form.1);
    }
    assert!(canaries.found_in(&value.as_bytes()[1..]).is_none());
    // In a file of a broker's folder.
    let broker = Broker::start();
    std::fs::write(broker.data().join("left.tmp"), format!("x{value}y")).unwrap();
    let files = broker.files();
    assert!(files.len() > 3);
    assert!(
        files
            .iter()
            .any(|(_, bytes)| canaries.found_in(bytes).is_some())
    );
    // In memory: a process that holds it, and this one.
    let pid = std::process::id();
    if memory::may_search(pid) {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "held=$0; read line; echo $held", &value])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(200));
        assert!(!memory::search(child.id(), &canaries).is_empty());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!memory::search(pid, &canaries).is_empty());
        // And the broker's own memory can be read: its own words are there.
        let mut words = Canaries::new();
        words.also("runtools-broker listens on ");
        assert!(!memory::search(broker.pid(), &words).is_empty());
    }
}

#[test]
fn lk_2_the_environment_cannot_turn_on_logs_of_the_wire_or_a_key_log() {
    let folder = tempfile::tempdir().unwrap();
    let key_log = folder.path().join("keys.log");
    let targets = |level: &str| {
        let upstream = Upstream::tls(&["localhost"], |seen| {
            harness::upstream::json(200, &seen.echo())
        });
        let root = folder.path().join("root.pem");
        std::fs::write(&root, upstream.root_pem()).unwrap();
        let setup = Setup {
            wrapper: vec![
                "env".to_owned(),
                format!("RUST_LOG={level}"),
                format!("SSLKEYLOGFILE={}", key_log.display()),
                "RUST_BACKTRACE=full".to_owned(),
            ],
            config: format!("egress.extra_roots = [{:?}]", root.display().to_string()),
            ..Setup::default()
        };
        let mut stage = stage::Stage::with(setup);
        let operator = stage.operator();
        stage.secret(&operator, "KEY", &json!({}));
        stage.install(&operator, &stage::tls_tool("custom-tls", upstream.port()));
        let done = stage.run(&operator, "custom-tls", &stage::with("KEY"));
        assert_eq!(stage::execution(&done)["success"], true);
        let log = stage.broker.log_text();
        let mut targets: Vec<String> = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .map(|line| line["target"].as_str().unwrap_or_default().to_owned())
            .collect();
        targets.sort();
        targets.dedup();
        stage.finish();
        targets
    };
    let loud = targets("trace");
    assert!(!loud.is_empty(), "it logs");
    assert!(
        loud.iter().all(|target| target.starts_with("runtools")),
        "{loud:?}"
    );
    assert_eq!(targets("off"), loud);
    assert!(!key_log.exists());
}

#[test]
fn lk_2_debug_of_what_carries_a_secret_shows_none() {
    use runtools_broker::secret::Secret;
    use runtools_broker::wire;
    let mut canaries = Canaries::new();
    let value = canaries.value();
    let mut shown = vec![format!("{:?}", Secret::copy_of(value.as_bytes()))];
    fn read<T: serde::de::DeserializeOwned + std::fmt::Debug>(body: Value) -> String {
        let read: T = serde_json::from_value(body).unwrap();
        format!("{read:?} {read:#?}")
    }
    shown.push(read::<wire::SetSecret>(
        json!({"name": "A", "value": value}),
    ));
    shown.push(read::<wire::RotateSecret>(json!({"value": value})));
    shown.push(read::<wire::StoreCredentials>(json!({"apiKey": value})));
    shown.push(read::<wire::ExecuteTool>(
        json!({"action": "run", "credentials": {"apiKey": value}}),
    ));
    shown.push(read::<wire::ExplainTool>(
        json!({"credentials": {"apiKey": value}}),
    ));
    shown.push(read::<wire::Unseal>(json!({"passphrase": value})));
    shown.push(read::<wire::AddKeySlot>(
        json!({"kind": "passphrase", "passphrase": value}),
    ));
    shown.push(read::<wire::TestKeySlot>(json!({"passphrase": value})));
    let revealed = wire::RevealedSecret {
        name: runtools_broker::name::SecretName::parse("A").unwrap(),
        value: &value,
        version: 1,
    };
    shown.push(format!("{revealed:?}"));
    // The real answers that show a key once, as a client reads them.
    let broker = Broker::start();
    let made = broker
        .operator()
        .post("/v1/api-keys", &json!({"name": "k", "scopes": []}));
    let made = made.expect(201)["data"].clone();
    canaries.also(made["key"].as_str().unwrap());
    shown.push(read::<wire::CreatedApiKey>(made));
    let added = json!({"name": "m", "createKey": true});
    let added = broker
        .operator()
        .post("/v1/organizations/current/members", &added);
    let added = added.expect(201)["data"].clone();
    canaries.also(added["key"].as_str().unwrap());
    shown.push(read::<wire::AddedMember>(added));
    for text in shown {
        canaries.absent_from(&text, text.as_bytes());
    }
}
