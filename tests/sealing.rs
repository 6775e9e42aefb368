//! A vault that is sealed: what still answers, who unseals it, and what stays in memory.
#![expect(clippy::too_many_lines, reason = "a journey is told in one piece")]

mod harness;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use harness::api::Half;
use harness::crm::{crm_call, crm_named, install_crm};
use harness::memory::occurrences;
use harness::slow::Slow;
use harness::{Broker, Client, Reply, Upstream, disk, eventually};
use runtools_broker::crypto::{self, Context, Key, Purpose, Record};
use runtools_broker::custody::{Provider, Ring};
use runtools_broker::id::ObjectId;
use runtools_broker::store::{Class, DEFAULT_CACHE_BYTES, DiskEngine, Engine, EngineKind};
use serde_json::{Value, json};

const WORDS: &str = "correct horse battery staple seven";

/// The root key, from the files that open it now.
fn root_key(broker: &Broker) -> Key {
    let ring = Ring::load(&broker.keys()).unwrap();
    let key = broker.keys().join("root.key");
    ring.open(Provider::KeyFile(&key)).unwrap()
}

/// The key that names on disk are under, from a copy of the files.
fn veil_key(broker: &Broker, root: &Key) -> [u8; 32] {
    const VEIL: u8 = 8;
    let copy = tempfile::tempdir().unwrap();
    let copied = copy.path().join("store");
    disk::copy(&broker.data().join("store"), &copied);
    let engine = DiskEngine::open(&copied, EngineKind::Sled, DEFAULT_CACHE_BYTES).unwrap();
    let found = engine.get(&[Class::SystemKey.byte(), VEIL]).unwrap();
    let record = Record::parse(&found.unwrap()).unwrap();
    let store = Ring::load(&broker.keys()).unwrap().store();
    let context = Context::system(store, ObjectId::from_bytes([VEIL; 16]), 1);
    let sealed = record.reader().sealed().unwrap();
    let key = crypto::open(root, Purpose::IndexKey, &context, &sealed).unwrap();
    key.expose(|bytes| bytes.try_into().unwrap())
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
        let locked = client.post("/v1/operator/lockdown", &json!({}));
        assert_eq!(locked.refused(403), "operator_only");
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
            "/v1/operator/lockdown",
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
            if !["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].contains(&method.as_str()) {
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

/// How many connections to a port of this machine are open.
fn connections(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let there = format!("0100007F:{port:04X}");
    let open = table.lines().filter(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        words.get(2) == Some(&there.as_str()) && words.get(3) == Some(&"01")
    });
    open.count()
}

#[test]
fn sealing_cuts_off_those_inside_and_wipes_the_keys() {
    const VALUE: &str = "crm-value-0123456789-abcdefghij";
    let slow = Slow::start(Duration::from_secs(30));
    let quick = Upstream::echo();
    let broker = Broker::start();
    let operator = broker.operator();
    install_crm(&operator, slow.port(), VALUE);
    let tool = crm_named("quick-crm", quick.port());
    operator.post("/v1/tools/custom", &tool).expect(201);
    let quick_call = crm_call("quick@example.com", "CRM_KEY");
    let run_quick = || operator.post("/v1/tools/quick-crm/execute", &quick_call);
    run_quick().expect(200);
    let key = operator.make_key(&[]);
    let root = root_key(&broker).expose(|bytes| *bytes);
    only_a_passphrase(&operator);
    // The root key may be where not even root looks. A value that was just lent is not.
    assert!(
        occurrences(broker.pid(), VALUE.as_bytes()) > 0,
        "the control run finds nothing"
    );
    assert_eq!(connections(quick.port()), 1, "none waits to be used again");

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
        let head = format!("POST /v1/secrets HTTP/1.1\r\nX-API-Key: {key}");
        let body = json!({"name": "LATE", "value": "a value that comes late"});
        let late = Half::send(&broker, &head, &body);
        let begun = Instant::now();
        let sealed = seal(&operator);
        assert_eq!(sealed["data"], json!({"success": true, "emptied": true}));
        assert!(begun.elapsed() < Duration::from_secs(4), "{sealed}");
        for call in calls {
            let answer = call.join().unwrap();
            assert_eq!(answer.refused(503), "sealed");
            let hint = answer.value()["error"]["hint"].to_string();
            assert!(hint.contains("whether the upstream did"), "{hint}");
        }
        assert_eq!(late.finish().refused(503), "sealed");
        assert!(begun.elapsed() < Duration::from_secs(5));
    });
    assert_eq!(operator.get("/v1/secrets").refused(503), "sealed");
    assert_eq!(
        operator.get("/readyz").expect(503)["reasons"],
        json!(["sealed"])
    );
    assert_eq!(connections(slow.port()) + connections(quick.port()), 0);
    assert_eq!(
        occurrences(broker.pid(), &root),
        0,
        "the root key is still in memory"
    );
    assert_eq!(occurrences(broker.pid(), VALUE.as_bytes()), 0);

    unseal(&operator, WORDS).expect(200);
    run_quick().expect(200);
    assert!(occurrences(broker.pid(), VALUE.as_bytes()) > 0);
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
        .get("/v1/audit?action=tool.execute&tool=custom-crm&limit=100")
        .expect(200);
    let done = found["data"].as_array().unwrap();
    assert_eq!(done.len(), 20);
    assert!(
        done.iter()
            .all(|entry| entry["outcome"]["code"] == "sealed"),
        "{found}"
    );
    let verified = operator.send("POST", "/v1/audit/verify", None).expect(200);
    assert_eq!(verified["data"]["state"], "intact");
}

#[test]
fn the_key_that_names_are_under_is_wiped_with_the_others_while_the_files_stay_open() {
    let broker = Broker::start();
    let operator = broker.operator();
    let secret = json!({"name": "KEPT", "value": "kept through it all"});
    operator.post("/v1/secrets", &secret).expect(201);
    operator
        .send("POST", "/v1/operator/index-rotation", None)
        .expect(200);
    eventually(|| {
        let store = operator.get("/v1/operator/store").expect(200);
        (store["data"]["compaction"]["state"] == "done").then_some(())
    });
    let root = root_key(&broker);
    only_a_passphrase(&operator);
    seal(&operator);
    let veil = veil_key(&broker, &root);
    assert_eq!(occurrences(broker.pid(), &veil), 0);
    unseal(&operator, WORDS).expect(200);
    let revealed = operator.post("/v1/secrets/KEPT/reveal", &json!({}));
    assert_eq!(revealed.expect(200)["data"]["value"], "kept through it all");
    // Where the processor does the work, the key is the beginning of what it works with.
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("aes") {
        let open = occurrences(broker.pid(), &veil);
        assert!(open > 0, "the control run finds nothing");
    }
    seal(&operator);
    assert_eq!(occurrences(broker.pid(), &veil), 0);
}

#[test]
fn who_reads_an_export_without_haste_does_not_keep_the_vault_open() {
    let broker = Broker::start();
    let operator = broker.operator();
    std::thread::scope(|scope| {
        for at in 0..8 {
            let operator = &operator;
            scope.spawn(move || {
                for n in 0..300 {
                    let body = json!({"name": format!("SECRET_{at}_{n}"), "value": "v"});
                    operator.post("/v1/secrets", &body).expect(201);
                }
            });
        }
    });
    let mut reader = UnixStream::connect(broker.socket()).unwrap();
    reader
        .write_all(b"GET /v1/audit/export HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .unwrap();
    let mut first = [0; 12];
    reader.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    std::thread::sleep(Duration::from_millis(300));
    only_a_passphrase(&operator);
    assert_eq!(seal(&operator)["data"]["emptied"], true);
    // What it has read is not all, and it is told so by the missing end.
    let mut rest = Vec::new();
    drop(reader.read_to_end(&mut rest));
    assert!(!rest.ends_with(b"0\r\n\r\n"));
}
