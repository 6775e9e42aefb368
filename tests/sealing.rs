//! A vault that is sealed: what still answers, who unseals it, and what stays in memory.
#![expect(clippy::too_many_lines, reason = "a journey is told in one piece")]

mod harness;

use std::time::{Duration, Instant};

use harness::crm::{crm_call, install_crm};
use harness::memory::occurrences;
use harness::slow::Slow;
use harness::{Broker, Client, Reply};
use runtools_broker::custody::{Provider, Ring};
use serde_json::{Value, json};

const WORDS: &str = "correct horse battery staple seven";

/// The root key, from the files that open it now.
fn root_key(broker: &Broker) -> [u8; 32] {
    let ring = Ring::load(&broker.keys()).unwrap();
    let key = broker.keys().join("root.key");
    ring.open(Provider::KeyFile(&key))
        .unwrap()
        .expose(|bytes| *bytes)
}

fn unseal(operator: &Client, words: &str) -> Reply {
    operator.post("/v1/operator/unseal", &json!({"passphrase": words}))
}

fn seal(operator: &Client) -> Value {
    operator.send("POST", "/v1/operator/seal", None).expect(200)
}

/// Adds a passphrase slot, tests it, and removes the key-file slot.
fn only_a_passphrase(operator: &Client) {
    let body = json!({"kind": "passphrase", "label": "break glass", "passphrase": WORDS});
    let added = operator.post("/v1/operator/slots", &body).expect(201);
    let id = added["data"]["id"].as_str().unwrap().to_owned();
    assert_eq!(added["data"]["kind"], "passphrase");
    let path = format!("/v1/operator/slots/{id}/test");
    operator
        .post(&path, &json!({"passphrase": WORDS}))
        .expect(200);
    let wrong = operator.post(&path, &json!({"passphrase": "wrong words altogether"}));
    assert_eq!(wrong.refused(403), "wrong_passphrase");
    let slots = operator.get("/v1/operator/slots").expect(200);
    let slots = slots["data"].as_array().unwrap();
    assert_eq!(slots.len(), 2);
    let key_file = slots
        .iter()
        .find(|slot| slot["kind"] == "key-file")
        .unwrap();
    let key_file = key_file["id"].as_str().unwrap();
    operator
        .delete(&format!("/v1/operator/slots/{key_file}"))
        .expect(200);
    let last = operator.delete(&format!("/v1/operator/slots/{id}"));
    assert_eq!(last.refused(409), "last_slot");
}

fn actions(operator: &Client, action: &str) -> usize {
    let export = operator.get("/v1/audit/export");
    export.status.eq(&200).then_some(()).expect("an export");
    let lines = String::from_utf8(export.body).unwrap();
    let wanted = format!("\"action\":\"{action}\"");
    lines
        .lines()
        .filter(|line| line.contains(&wanted) && line.contains("\"actor\""))
        .count()
}

#[test]
fn a_vault_with_a_passphrase_only_starts_sealed_and_is_unsealed_over_the_socket_only() {
    let mut broker = Broker::start();
    let secret = json!({"name": "KEPT", "value": "kept through it all"});
    broker.operator().post("/v1/secrets", &secret).expect(201);
    let key = broker.operator().make_key(&[]);
    only_a_passphrase(&broker.operator());
    broker.restart();
    let operator = broker.operator();
    let anonymous = broker.anonymous();

    for client in [&operator, &anonymous] {
        let ready = client.get("/readyz").expect(503);
        assert_eq!(ready, json!({"ready": false, "reasons": ["sealed"]}));
        assert_eq!(client.get("/livez").status, 200);
        let status = client.get("/v1/status").expect(200);
        assert_eq!(
            (&status["status"], &status["sealed"]),
            (&json!("ok"), &json!(true))
        );
    }
    every_route_says_sealed(&operator, &anonymous.key(&key));

    // Nobody from the network, whatever they know.
    for client in [&anonymous, &anonymous.key(&key)] {
        assert_eq!(unseal(client, WORDS).refused(403), "operator_only");
        assert_eq!(
            client.get("/v1/operator/slots").refused(403),
            "operator_only"
        );
    }
    wrong_words_are_slowed_down(&operator);
    assert_eq!(operator.get("/readyz").status, 503);
    unseal(&operator, WORDS).expect(200);
    operator.get("/readyz").expect(200);
    let revealed = operator
        .post("/v1/secrets/KEPT/reveal", &json!({}))
        .expect(200);
    assert_eq!(revealed["data"]["value"], "kept through it all");
    assert_eq!(actions(&operator, "vault.unseal_failed"), 5);
    assert_eq!(actions(&operator, "vault.unseal"), 1);
    let found = operator.send("POST", "/v1/audit/verify", None).expect(200);
    assert_eq!(found["data"]["state"], "intact");
    assert!(!broker.log_text().contains("panicked"));
    assert!(!broker.log_text().contains(WORDS));
}

fn every_route_says_sealed(operator: &Client, network: &Client) {
    let document = operator.get("/v1/openapi.json").expect(200);
    let (mut asked, open) = (
        0,
        [
            "/v1/status",
            "/livez",
            "/readyz",
            "/metrics",
            "/v1/operator/unseal",
            "/v1/operator/slots",
            "/v1/operator/slots/{id}/test",
        ],
    );
    for (path, methods) in document["paths"].as_object().unwrap() {
        let place = path.split('/').map(|part| match part.as_bytes() {
            [b'{', ..] => "00000000-0000-4000-8000-000000000000",
            _ => part,
        });
        let place = place.collect::<Vec<_>>().join("/");
        for method in methods.as_object().unwrap().keys() {
            let method = method.to_ascii_uppercase();
            if !["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str()) {
                continue;
            }
            let adds_slot = path == "/v1/operator/slots" && method == "POST";
            if open.contains(&path.as_str()) && !adds_slot {
                continue;
            }
            for client in [operator, network] {
                let reply = client.json(&method, &place, &json!({}));
                assert_eq!(reply.refused(503), "sealed", "{method} {path}");
                let hint = reply.value()["error"]["hint"].to_string();
                assert!(hint.contains("runtools-broker unseal"), "{hint}");
                asked += 1;
            }
        }
    }
    assert!(asked > 60, "only {asked} routes were asked");
}

fn wrong_words_are_slowed_down(operator: &Client) {
    let mut said = Vec::new();
    let mut took = Vec::new();
    for words in [
        "x",
        "correct horse battery staple seve",
        "correct horse battery staple seven ",
        "",
        &"long ".repeat(100),
    ] {
        let begun = Instant::now();
        let reply = unseal(operator, words);
        took.push(begun.elapsed());
        assert_eq!(reply.refused(403), "wrong_passphrase");
        let error = &reply.value()["error"];
        said.push((error["message"].clone(), error["hint"].clone()));
    }
    said.dedup();
    assert_eq!(
        said.len(),
        1,
        "the message tells wrong passphrases apart: {said:?}"
    );
    assert!(
        took[3] >= Duration::from_millis(500) && took[4] >= Duration::from_secs(1),
        "{took:?}"
    );
}

#[test]
fn sealing_waits_for_those_inside_and_wipes_the_keys() {
    let slow = Slow::start(Duration::from_millis(1500));
    let broker = Broker::start();
    let operator = broker.operator();
    install_crm(&operator, slow.port(), "crm-value-0123456789-abcdefghij");
    let root = root_key(&broker);
    only_a_passphrase(&operator);
    assert!(
        occurrences(broker.pid(), &root) > 0,
        "the control run finds nothing"
    );

    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..20)
            .map(|n| {
                let operator = operator.clone();
                scope.spawn(move || {
                    let call = crm_call(&format!("p{n}@example.com"), "CRM_KEY");
                    operator.post("/v1/tools/custom-crm/execute", &call)
                })
            })
            .collect();
        slow.wait_for(20);
        let sealing = scope.spawn(|| seal(&operator));
        std::thread::sleep(Duration::from_millis(200));
        // The door is closed at once, though twenty are still inside.
        assert_eq!(operator.get("/v1/secrets").refused(503), "sealed");
        for call in calls {
            let answer = call.join().unwrap().expect(200);
            assert_eq!(answer["data"]["result"]["slow"], true);
        }
        sealing.join().unwrap();
    });
    assert_eq!(
        operator.get("/readyz").expect(503)["reasons"],
        json!(["sealed"])
    );
    assert_eq!(
        occurrences(broker.pid(), &root),
        0,
        "the root key is still in memory"
    );
    assert_eq!(
        occurrences(broker.pid(), b"crm-value-0123456789-abcdefghij"),
        0
    );

    unseal(&operator, WORDS).expect(200);
    assert!(occurrences(broker.pid(), &root) > 0);
    seal(&operator);
    assert_eq!(
        occurrences(broker.pid(), &root),
        0,
        "the root key is still in memory"
    );
    assert_eq!(
        occurrences(broker.pid(), WORDS.as_bytes()),
        0,
        "the passphrase is still in memory"
    );

    // The twenty that were inside are in the journal, each with its end.
    unseal(&operator, WORDS).expect(200);
    let found = operator
        .get("/v1/audit?action=tool.execute&limit=100")
        .expect(200);
    let done = found["data"].as_array().unwrap();
    assert_eq!(done.len(), 20);
    assert!(
        done.iter()
            .all(|entry| entry["outcome"]["status"] == "success"),
        "{found}"
    );
    let verified = operator.send("POST", "/v1/audit/verify", None).expect(200);
    assert_eq!(verified["data"]["state"], "intact");
}
