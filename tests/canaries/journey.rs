//! Everything that can be done with the API, well and badly.
#![expect(clippy::too_many_lines, reason = "a journey is told in one piece")]

use serde_json::{Value, json};

use crate::harness::{Broker, Canaries, Client, Reply, Upstream};
use crate::stage::{self, tool};

/// What was planted, and everything that came back.
pub(crate) struct Planted {
    pub(crate) values: Canaries,
    pub(crate) names: Canaries,
    /// What may be shown to whoever it is for, and written nowhere.
    pub(crate) unwritten: Canaries,
    /// The operator's own names of providers: logs and metrics may say which one is out of order, and
    /// nothing on disk says who is connected to which.
    pub(crate) providers: Canaries,
    pub(crate) answers: Vec<(String, Vec<u8>)>,
}

impl Planted {
    pub(crate) fn new() -> Self {
        Self {
            values: Canaries::new(),
            names: Canaries::new(),
            unwritten: Canaries::new(),
            providers: Canaries::new(),
            answers: Vec::new(),
        }
    }

    /// A marked name in lower case, for whatever has one.
    pub(crate) fn word(&mut self) -> String {
        let word = self.names.name().to_ascii_lowercase().replace('_', "-");
        self.names.also(&word);
        word
    }

    pub(crate) fn send(
        &mut self,
        client: &Client,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Reply {
        let reply = client.json(method, path, body);
        self.keep(&format!("{method} {path}"), &reply);
        reply
    }

    pub(crate) fn keep(&mut self, what: &str, reply: &Reply) {
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
    pub(crate) fn check(&self, broker: &Broker) {
        let log = broker.log_bytes();
        assert!(log.len() > 1000, "it logged");
        for canaries in [&self.values, &self.names, &self.unwritten] {
            canaries.absent_from("the log", &log);
        }
        for (path, bytes) in broker.files() {
            let all = [&self.values, &self.names, &self.unwritten, &self.providers];
            for canaries in all {
                canaries.absent_from(&path.display().to_string(), &bytes);
            }
        }
    }
}

/// Everything that a newcomer, a member and an operator do, with marks in all that they write.
pub(crate) fn use_it(planted: &mut Planted, broker: &Broker, upstream: &Upstream) {
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
        for verb in ["test", "lend"] {
            let path = format!("/v1/operator/slots/{id}/{verb}");
            planted.send(&operator, "POST", &path, &json!({"passphrase": words}));
        }
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
pub(crate) fn misuse_it(planted: &mut Planted, broker: &Broker) {
    let operator = broker.operator();
    let document = operator.get("/v1/openapi.json").expect(200);
    let member = broker.member("misuser");
    let value = planted.values.value();
    let mut routes = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            // Sealing ends the story; it is told by its own journeys.
            if path.contains("/seal") || path.contains("/lockdown") {
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
