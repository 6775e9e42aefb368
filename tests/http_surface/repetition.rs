//! Idempotency keys and rates: what is sent twice, and too often.

use std::sync::Barrier;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::crm::{crm_call, install_crm};
use crate::harness::slow::Slow;
use crate::harness::{Broker, Client, Reply, Setup, Upstream, upstream};
use crate::refusal;

#[test]
fn a_change_that_is_sent_twice_happens_once() {
    let broker = Broker::start();
    let admin = broker.admin(&[]);
    let once = admin.header("idempotency-key", "first-try");
    let body = json!({"name": "KEY", "value": "v"});
    let first = once.post("/v1/secrets", &body);
    first.expect(201);
    let again = once.post("/v1/secrets", &body);
    assert_eq!(again.expect(201)["data"], first.value()["data"]);
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.headers["etag"], first.headers["etag"]);
    assert!(!first.headers.contains_key("idempotency-replayed"));
    assert_eq!(
        admin.get("/v1/secrets/KEY").expect(200)["data"]["version"],
        1
    );
    for (method, path, body) in [
        ("POST", "/v1/secrets", json!({"name": "KEY", "value": "w"})),
        ("PATCH", "/v1/secrets/KEY", json!({"description": "d"})),
        ("DELETE", "/v1/secrets/KEY", Value::Null),
    ] {
        refusal(&once.json(method, path, &body), 422, "idempotency_mismatch");
    }
    // The query is of the request too.
    let turn = admin.header("idempotency-key", "turn");
    let (path, value) = ("/v1/secrets/KEY/rotate", json!({"value": "w"}));
    turn.post(path, &value).expect(200);
    let shared = turn.post(&format!("{path}?orgWide=true"), &value);
    refusal(&shared, 422, "idempotency_mismatch");
    // Another caller's key of the same text is another key.
    broker
        .member("Ann")
        .header("idempotency-key", "first-try")
        .post("/v1/secrets", &body)
        .expect(201);
    // A refusal is repeated too, and so is a deletion.
    let twice = admin.header("idempotency-key", "deletion");
    twice.delete("/v1/secrets/KEY").expect(200);
    assert_eq!(
        twice.delete("/v1/secrets/KEY").expect(200)["data"]["level"],
        "recoverable"
    );
    // What is shown once is not shown twice, nor made twice.
    let make = admin.header("idempotency-key", "a-key");
    let key = json!({"name": "once"});
    make.post("/v1/api-keys", &key).expect(201);
    refusal(&make.post("/v1/api-keys", &key), 409, "shown_once");
    let keys = admin.get("/v1/api-keys").expect(200);
    let count = keys["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|key| key["name"] == "once")
        .count();
    assert_eq!(count, 1);
    let long = "k".repeat(129);
    for bad in [long.as_str(), ""] {
        refusal(
            &admin
                .header("idempotency-key", bad)
                .post("/v1/secrets", &body),
            400,
            "bad_request",
        );
    }
    let two = admin
        .header("idempotency-key", "one")
        .header("idempotency-key", "two");
    refusal(&two.post("/v1/secrets", &body), 400, "bad_request");
    refusal(
        &broker
            .anonymous()
            .header("idempotency-key", "first-try")
            .post("/v1/secrets", &body),
        401,
        "unauthorized",
    );
}

#[test]
fn a_change_that_a_kill_cut_off_is_in_doubt_and_does_not_happen_twice() {
    let slow = Slow::start(Duration::from_secs(5));
    let mut broker = Broker::start();
    let operator = broker.operator();
    install_crm(&operator, slow.port(), "crm-value-0123456789-abcdefghij");
    let call = crm_call("person@example.com", "CRM_KEY").to_string();
    let path = "/v1/tools/custom-crm/execute";
    let running = std::thread::spawn({
        let (once, call) = (operator.header("idempotency-key", "pay"), call.clone());
        move || once.try_send("POST", path, Some(("application/json", call.as_bytes())))
    });
    slow.wait_for(1);
    broker.kill();
    running.join().unwrap().unwrap_err();
    broker.restart();
    let once = broker.operator().header("idempotency-key", "pay");
    let body = Some(("application/json", call.as_bytes()));
    for _ in 0..2 {
        let again = once.send("POST", path, body);
        refusal(&again, 409, "in_doubt");
        let hint = again.value()["error"]["hint"].to_string();
        assert!(hint.contains("another key"), "{hint}");
    }
    assert_eq!(slow.asked(), 1, "it was done again");
    let other = crm_call("someone.else@example.com", "CRM_KEY");
    refusal(&once.post(path, &other), 422, "idempotency_mismatch");
    let another = broker.operator().header("idempotency-key", "pay again");
    another.send("POST", path, body).expect(200);
    assert_eq!(slow.asked(), 2);
}

#[test]
fn an_answer_that_is_not_kept_says_why_when_it_is_asked_for_again() {
    let long = Value::from("long ".repeat(8_000));
    let upstream = Upstream::plain(move |_| upstream::json(200, &long));
    let broker = Broker::start();
    let operator = broker.operator();
    install_crm(
        &operator,
        upstream.port(),
        "crm-value-0123456789-abcdefghij",
    );
    let once = operator.header("idempotency-key", "long");
    let (path, call) = (
        "/v1/tools/custom-crm/execute",
        crm_call("a@example.com", "CRM_KEY"),
    );
    let first = once.post(path, &call).expect(200);
    assert_eq!(first["data"]["success"], true);
    let again = once.post(path, &call);
    refusal(&again, 409, "answer_not_kept");
    assert!(
        again.value()["error"]["message"]
            .to_string()
            .contains("too long")
    );
    assert_eq!(upstream.seen().len(), 1, "it was done again");
}

#[test]
fn an_operators_route_refuses_the_key_that_it_would_not_heed() {
    let broker = Broker::start();
    let operator = broker.operator();
    let once = operator.header("idempotency-key", "hub");
    let path = "/v1/operator/services";
    refusal(
        &once.post(path, &json!({"name": "hub"})),
        400,
        "no_idempotency",
    );
    assert_eq!(operator.get(path).expect(200)["data"], json!([]));
    once.get(path).expect(200);
    let seal = once.send("POST", "/v1/operator/seal", None);
    refusal(&seal, 400, "no_idempotency");
    operator.get("/readyz").expect(200);
    refusal(
        &once.post("/v1/operator/none", &json!({})),
        404,
        "no_such_route",
    );
}

#[test]
fn what_has_no_route_and_what_did_nothing_is_not_kept() {
    let broker = Broker::start();
    let once = broker.operator().header("idempotency-key", "nowhere");
    for _ in 0..2 {
        let lost = once.post("/v1/nowhere", &json!({}));
        refusal(&lost, 404, "no_such_route");
        let wrong = once.json("PUT", "/v1/secrets", &json!({}));
        refusal(&wrong, 405, "method_not_allowed");
        for reply in [lost, wrong] {
            assert!(!reply.headers.contains_key("idempotency-replayed"));
        }
    }
    let body = json!({"name": "KEY", "value": "v"});
    once.post("/v1/secrets", &body).expect(201);
}

#[test]
fn of_many_with_one_idempotency_key_one_acts() {
    let broker = Broker::start();
    let operator = broker.operator();
    let once = operator.header("idempotency-key", "race");
    let barrier = Barrier::new(20);
    let ends: Vec<Reply> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    once.post("/v1/secrets", &json!({"name": "KEY", "value": "v"}))
                })
            })
            .collect();
        racers
            .into_iter()
            .map(|racer| racer.join().unwrap())
            .collect()
    });
    for end in &ends {
        match end.status {
            201 => assert_eq!(end.value()["data"]["version"], 1),
            _ => refusal(end, 409, "still_running"),
        }
    }
    let acted = ends
        .iter()
        .filter(|end| end.status == 201 && !end.headers.contains_key("idempotency-replayed"));
    assert_eq!(acted.count(), 1);
    assert_eq!(
        operator.get("/v1/secrets/KEY").expect(200)["data"]["version"],
        1
    );
}

#[test]
fn a_caller_hears_how_much_is_left_and_then_to_wait() {
    let broker = Broker::with(Setup {
        burst: Some(5),
        ..Setup::default()
    });
    let operator = broker.operator();
    let client = broker.anonymous().key(&operator.make_key(&[]));
    let number = |reply: &Reply, name: &str| -> u64 {
        reply.headers[name].to_str().unwrap().parse().unwrap()
    };
    let first = client.get("/v1/me");
    assert_eq!(number(&first, "x-ratelimit-limit"), 5);
    let left = number(&first, "x-ratelimit-remaining");
    assert!(left <= 4 && number(&first, "x-ratelimit-reset") >= 1);
    let limited = (0..20)
        .map(|_| client.get("/v1/me"))
        .find(|reply| reply.status == 429)
        .expect("a limit");
    refusal(&limited, 429, "rate_limited");
    assert_eq!(number(&limited, "x-ratelimit-remaining"), 0);
    assert!((1..=10).contains(&number(&limited, "retry-after")));
    // Others are not held up; the same person by another way is the same caller.
    let ann = Client::key(&broker.anonymous(), "rt_live_unknown");
    assert_eq!(ann.get("/v1/me").status, 401);
    std::thread::sleep(Duration::from_millis(1_600));
    client.get("/v1/me").expect(200);
    // A repetition's check and the request itself count once.
    std::thread::sleep(Duration::from_millis(2_600));
    let body = json!({"name": "KEY", "value": "v"});
    let one = client
        .header("idempotency-key", "k")
        .post("/v1/secrets", &body);
    assert_eq!(number(&one, "x-ratelimit-remaining"), 4);
}
