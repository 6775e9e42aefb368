//! What is true of every request: envelopes, refusals, ids, hosts, limits, repetition, rates.

mod harness;

use std::sync::Barrier;

use harness::{Broker, Canaries, Client, Reply, Setup, api};
use serde_json::{Value, json};

/// A refusal has its whole form: code, sentence, next step, the request's id, the headers of all.
#[track_caller]
fn refusal(reply: &Reply, status: u16, code: &str) {
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    assert_eq!(reply.status, status, "{text}");
    let body = reply.value();
    let error = &body["error"];
    assert_eq!(error["code"], code, "{text}");
    for part in ["message", "hint"] {
        let sentence = error[part].as_str().unwrap();
        assert!(sentence.ends_with(['.', '?']), "{part}: {text}");
    }
    assert_eq!(
        error["requestId"],
        reply.headers["x-request-id"].to_str().unwrap()
    );
    assert_eq!(reply.headers["content-type"], "application/json");
    always(reply);
}

#[track_caller]
fn always(reply: &Reply) {
    assert_eq!(reply.headers["cache-control"], "no-store");
    assert_eq!(reply.headers["x-content-type-options"], "nosniff");
    assert!(
        reply.headers["x-request-id"]
            .to_str()
            .unwrap()
            .starts_with("req_")
    );
    assert!(!reply.headers.contains_key("server"));
}

#[test]
fn successes_and_refusals_come_in_their_envelopes() {
    let broker = Broker::start();
    let admin = broker.admin(&[]);
    let made = admin.post("/v1/secrets", &json!({"name": "KEY", "value": "v"}));
    always(&made);
    let body = made.expect(201);
    assert_eq!(
        body["meta"]["requestId"],
        made.headers["x-request-id"].to_str().unwrap()
    );
    let keys: Vec<_> = body.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["data", "meta"]);
    let list = admin.get("/v1/secrets").expect(200);
    assert_eq!(list["hasMore"], false);
    assert_eq!(list["meta"]["hasMore"], false);
    assert!(list["nextCursor"].is_null() && list["data"].is_array());
    // HEAD is GET without the body.
    let head = admin.send("HEAD", "/v1/secrets", None);
    assert_eq!((head.status, head.body.len()), (200, 0));

    refusal(&broker.anonymous().get("/v1/me"), 401, "unauthorized");
    refusal(&admin.get("/v1/nothing"), 404, "no_such_route");
    refusal(&admin.get("/"), 404, "no_such_route");
    refusal(&admin.get("/v1/secrets/NONE"), 404, "not_found");
    let reply = admin.send("PUT", "/v1/secrets", None);
    refusal(&reply, 405, "method_not_allowed");
    let allow = reply.headers["allow"].to_str().unwrap().to_owned();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    for method in ["TRACE", "CONNECTS", "OPTIONS", "PROPFIND"] {
        refusal(
            &admin.send(method, "/v1/secrets", None),
            405,
            "method_not_allowed",
        );
    }
    let traced = api::raw(
        &broker,
        "TRACE /v1/me HTTP/1.1\r\nX-API-Key: rt_live_secret",
        b"",
    );
    assert!(!String::from_utf8_lossy(&traced.body).contains("rt_live_secret"));
    let body = br#"{"name":"A","value":"v"}"#;
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/jsonp",
    ] {
        refusal(
            &admin.send("POST", "/v1/secrets", Some((kind, body))),
            415,
            "unsupported_media_type",
        );
    }
    admin
        .send(
            "POST",
            "/v1/secrets",
            Some(("Application/JSON; charset=utf-8", body)),
        )
        .expect(201);
    let large = format!("{{\"name\":\"A\",\"value\":\"{}\"}}", "x".repeat(170_000));
    refusal(
        &admin.send(
            "POST",
            "/v1/secrets",
            Some(("application/json", large.as_bytes())),
        ),
        413,
        "too_large",
    );
}

#[test]
fn a_request_id_is_taken_from_the_client_only_when_it_is_one() {
    let broker = Broker::start();
    let client = broker.anonymous();
    let id = "3f2b8c1e-5d0a-4c8e-9b1f-2a6d7e8f9a0b";
    for sent in [id.to_owned(), format!("req_{id}")] {
        let reply = client.header("x-request-id", &sent).get("/v1/me");
        assert_eq!(reply.headers["x-request-id"], format!("req_{id}").as_str());
        assert_eq!(
            reply.value()["error"]["requestId"],
            format!("req_{id}").as_str()
        );
    }
    for sent in [
        "1",
        "abc def",
        &id.to_uppercase(),
        &format!("req_req_{id}"),
        &"x".repeat(500),
        "<script>",
        "",
    ] {
        let reply = client.header("x-request-id", sent).get("/livez");
        let given = reply.headers["x-request-id"].to_str().unwrap();
        assert_eq!(given.len(), 40, "{given}");
        assert!(!given.contains(id));
    }
}

#[test]
fn only_known_hosts_are_answered_over_tcp() {
    let broker = Broker::with(Setup {
        config: "public_hosts = [\"vault.example.com\"]\n".to_owned(),
        ..Setup::default()
    });
    let port = broker.origin().rsplit(':').next().unwrap().to_owned();
    let get = |host: &str| {
        api::raw(
            &broker,
            &format!("GET /livez HTTP/1.1\r\nHost: {host}"),
            b"",
        )
    };
    for good in [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        "localhost".into(),
        format!("[::1]:{port}"),
        "vault.example.com".into(),
        "VAULT.example.com:443".into(),
    ] {
        assert_eq!(get(&good).status, 200, "{good}");
    }
    for bad in [
        "evil.example.com".to_owned(),
        format!("evil.example.com:{port}"),
        format!("127.0.0.1.evil.example.com:{port}"),
        "localhost.evil.example.com".into(),
        "vault.example.com.".into(),
        "xvault.example.com".into(),
        "0.0.0.0".into(),
        String::new(),
    ] {
        let reply = get(&bad);
        assert!(
            [400, 421].contains(&reply.status),
            "{bad}: {}",
            reply.status
        );
        assert!(
            bad.is_empty() || !String::from_utf8_lossy(&reply.body).contains(&bad),
            "{bad} is echoed"
        );
    }
    refusal(&get("evil.example.com"), 421, "unknown_host");
    let two = api::raw(
        &broker,
        "GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: localhost",
        b"",
    );
    assert!([400, 421].contains(&two.status));
    // A browser's page has no business here whatever it says.
    let preflight = api::raw(
        &broker,
        "OPTIONS /v1/secrets HTTP/1.1\r\nOrigin: https://evil.example.com\r\nAccess-Control-Request-Method: POST",
        b"",
    );
    assert!(
        !preflight
            .headers
            .keys()
            .any(|name| name.as_str().starts_with("access-control"))
    );
}

#[test]
fn a_path_that_can_be_read_in_two_ways_is_refused_before_anything_looks_at_it() {
    let broker = Broker::start();
    let key = broker.operator().make_key(&[]);
    let admin = broker.anonymous().key(&key);
    admin
        .post("/v1/secrets", &json!({"name": "KEY", "value": "v"}))
        .expect(201);
    let before = admin.get("/v1/secrets").expect(200)["data"].clone();
    let odd = [
        ".",
        "..",
        "%2e",
        "%2E%2e",
        "%2e%2e%2f",
        "%2e%2e%2fKEY",
        "",
        "KEY/",
        "/KEY",
        "KEY%00",
        "%00",
        "KEY%0a",
        "KEY;x",
        "KEY%2f",
        "KEY%5c",
        "%ff",
        "./KEY",
        "../secrets/KEY",
        "KEY/../KEY",
    ];
    for (method, path) in [
        ("GET", "/v1/secrets/{}"),
        ("DELETE", "/v1/secrets/{}"),
        ("DELETE", "/v1/secrets/{}?destroy=true"),
        ("POST", "/v1/secrets/{}/reveal"),
        ("GET", "/v1/api-keys/{}"),
        ("GET", "/v1/tools/{}"),
        ("GET", "/v1/organizations/{}/members"),
    ] {
        for segment in odd {
            let path = path.replace("{}", segment);
            for credential in [format!("\r\nX-API-Key: {key}"), String::new()] {
                let reply = api::raw(
                    &broker,
                    &format!("{method} {path} HTTP/1.1{credential}"),
                    b"",
                );
                refusal(&reply, 400, "bad_path");
            }
        }
    }
    for slash in [
        "/v1/secrets/",
        "//v1/secrets",
        "/v1//secrets",
        "/livez/",
        "//livez",
        "/v1/./secrets",
    ] {
        let reply = api::raw(
            &broker,
            &format!("GET {slash} HTTP/1.1\r\nX-API-Key: {key}"),
            b"",
        );
        refusal(&reply, 400, "bad_path");
    }
    for wide in [
        "%EF%BC%8F",
        "%E2%88%95",
        "KEY%20",
        "%4BEY%20",
        "KEY%23",
        "K%25EY",
        "current",
        "me",
    ] {
        let reply = api::raw(
            &broker,
            &format!("GET /v1/secrets/{wide} HTTP/1.1\r\nX-API-Key: {key}"),
            b"",
        );
        assert!(
            [400, 404].contains(&reply.status),
            "{wide}: {}",
            reply.status
        );
    }
    assert_eq!(
        admin.get("/v1/secrets").expect(200)["data"],
        before,
        "nothing changed"
    );
    // A word of the paths is no slug: its tool could not be reached.
    let tool = json!({"slug": "custom", "name": "x", "actionsJson": {}});
    let refused = admin.post("/v1/tools/custom", &tool);
    assert!([400, 409].contains(&refused.status), "{}", refused.status);
}

#[test]
fn a_bad_body_is_told_its_field_and_never_its_value() {
    let broker = Broker::start();
    let admin = broker.admin(&[]);
    let send = |body: &str| {
        admin.send(
            "POST",
            "/v1/secrets",
            Some(("application/json", body.as_bytes())),
        )
    };
    let says = |body: &str, words: &str| {
        let reply = send(body);
        refusal(&reply, 400, "bad_request");
        let message = reply.value()["error"]["message"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(message.contains(words), "{body}: {message}");
    };
    says(r#"{"name":"A","value":"v","orgwide":true}"#, "orgwide");
    says(r#"{"name":"A"}"#, "value");
    says(r#"{"name":"A","name":"B","value":"v"}"#, "twice");
    says(
        r#"{"name":"A","value":"v","org_wide":true,"orgWide":true}"#,
        "twice",
    );
    says(r#"{"name":"A","value":"v","orgWide":"yes"}"#, "wrong type");
    says("{", "line 1, column");
    says("", "not valid JSON");
    says("[]", "");
    says("null", "");
    says(r#"{"name":"A","value":"v"} trailing"#, "not valid JSON");
    says(
        &format!(
            r#"{{"name":"A","value":{}1{}}}"#,
            "[".repeat(40),
            "]".repeat(40)
        ),
        "deeper than",
    );
    says(
        &format!(
            r#"{{"name":"A","hosts":[{}"x"],"value":"v"}}"#,
            "\"x\",".repeat(5_000)
        ),
        "more than",
    );
    let mut invalid = br#"{"name":"A","value":""#.to_vec();
    invalid.extend_from_slice(b"\xff\xfe\"}");
    refusal(
        &admin.send("POST", "/v1/secrets", Some(("application/json", &invalid))),
        400,
        "bad_request",
    );
    let big = r#"{"name":"A","value":"v","expires":1e999}"#;
    refusal(&send(big), 400, "bad_request");
    assert!(
        admin.get("/v1/secrets").expect(200)["data"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn nothing_that_is_sent_comes_back() {
    let mut canaries = Canaries::new();
    let (value, name) = (canaries.value(), canaries.name());
    let broker = Broker::start();
    let admin = broker.admin(&[]);
    let mut replies = Vec::new();
    for body in [
        json!({"name": format!("{value}-"), "value": 1}),
        json!({"name": "A", "value": value, "orgWide": value}),
        json!({"name": "A", "value": {&value: value}}),
        json!({"name": "A", "value": [value]}),
        json!({"name": "A", "value": format!("{value}\n")}),
        json!({"name": "A", "value": value, "category": value}),
        json!({"name": "A", "value": value, "scope": format!("x expected {value}")}),
        json!({"name": "A", "value": value, "orgWide": format!("expected {value}, expected {value} at line {value}")}),
        json!({"name": "A", "value": value, "expires": value}),
        json!({"name": "A", "value": value, "hosts": [value]}),
        json!({"name": "A", "value": value, "hosts": [format!("https://{value}/")]}),
        json!({"name": "A", "value": value, "description": format!("{value}\u{7}")}),
        json!({"name": "A", "value": value, &value: 1}),
        json!([value]),
        json!(value),
        json!({"name": value, "scopes": [value]}),
        json!({"name": value, "expiresIn": value}),
        json!({"slug": value, "name": value}),
        json!({"slug": "custom-x", "name": value, "actionsJson": {&value: value}}),
        json!({"action": value, "params": {&value: value}, "credentials": {&value: value}}),
        json!({"action": "x", "credentialOverrides": {"token": value}}),
        json!({"passphrase": value, "kind": value, "path": value, "label": value}),
    ] {
        for path in [
            "/v1/secrets",
            "/v1/api-keys",
            "/v1/organizations",
            "/v1/organizations/current/members",
            "/v1/tools/custom",
            "/v1/tools/github/execute",
            "/v1/tools/github/explain",
            "/v1/operator/slots",
            "/v1/operator/unseal",
        ] {
            let reply = admin.post(path, &body);
            if reply.status >= 400 {
                replies.push((format!("POST {path} {body}"), reply));
            }
        }
        for (method, path) in [
            ("PATCH", "/v1/secrets/NONE"),
            ("PATCH", "/v1/organizations/current"),
            ("PUT", "/v1/tools/github/credentials"),
            ("PATCH", "/v1/tools/custom/none/visibility"),
        ] {
            replies.push((
                format!("{method} {path} {body}"),
                admin.json(method, path, &body),
            ));
        }
        let torn = body.to_string();
        let torn = &torn.as_bytes()[..torn.len() - 1];
        replies.push((
            "torn".into(),
            admin.send("POST", "/v1/secrets", Some(("application/json", torn))),
        ));
    }
    for path in [
        format!("/v1/secrets/{value}-x"),
        format!("/v1/secrets/{name}"),
        format!("/v1/{value}"),
        format!("/v1/secrets?{value}={value}"),
        format!("/v1/secrets?limit={value}"),
        format!("/v1/secrets?cursor={value}"),
        format!("/v1/secrets?category={value}"),
        format!("/v1/secrets?owner={value}"),
        format!("/v1/api-keys/{value}"),
        format!("/v1/tools/{value}"),
        format!("/v1/audit?action={value}"),
        format!("/v1/audit?since={value}"),
        format!("/v1/audit?actor={value}"),
        format!("/v1/audit?tool={value}_"),
        format!("/v1/organizations/{value}"),
        format!("/v1/secrets/A/versions?{value}"),
        format!("/v1/secrets/A?orgWide={value}"),
        format!("/v1/secrets/{value}%00"),
    ] {
        replies.push((path.clone(), admin.get(&path)));
    }
    let id = format!("req_{value}");
    for client in [
        admin.header("if-match", &value),
        admin.header("x-request-id", &id),
        admin.header("authorization", &value),
        broker.anonymous().key(&value),
        broker
            .anonymous()
            .header("authorization", &format!("Bearer {value}")),
        admin.header("idempotency-key", &value),
        admin.header("host", &format!("{value}.example.com")),
    ] {
        replies.push((
            "header".into(),
            client.json("PATCH", "/v1/secrets/NONE", &json!({})),
        ));
    }
    assert!(replies.len() > 150);
    for (what, reply) in &replies {
        assert!(
            reply.status >= 400 || what.starts_with("P"),
            "{what}: {}",
            reply.status
        );
        if reply.status >= 400 {
            canaries.absent_from(what, &reply.body);
        }
        canaries.absent_from(what, format!("{:?}", reply.headers).as_bytes());
    }
    let log = broker.log_bytes();
    canaries.absent_from("the log", &log);
}

#[test]
fn limits_and_numbers_are_refused_outside_of_their_range() {
    let broker = Broker::start();
    let admin = broker.admin(&[]);
    for path in ["/v1/secrets", "/v1/audit"] {
        for bad in [
            "0",
            "-1",
            "501",
            "9223372036854775808",
            "99999999999999999999999",
            "1e3",
            "0x10",
            "ten",
            "",
            "1.5",
            "%201",
            "1&limit=2",
        ] {
            refusal(
                &admin.get(&format!("{path}?limit={bad}")),
                400,
                "bad_request",
            );
        }
        for good in ["1", "500", "007"] {
            admin.get(&format!("{path}?limit={good}")).expect(200);
        }
    }
    for bad in ["-1", "x", "99999999999999999999999", ""] {
        refusal(
            &admin.get(&format!("/v1/audit?cursor={bad}")),
            400,
            "bad_request",
        );
    }
    for cursor in ["0", "18446744073709551615"] {
        admin.get(&format!("/v1/audit?cursor={cursor}")).expect(200);
    }
}

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
        (
            "POST",
            "/v1/secrets?x=1",
            json!({"name": "KEY", "value": "v"}),
        ),
        ("PATCH", "/v1/secrets/KEY", json!({"description": "d"})),
        ("DELETE", "/v1/secrets/KEY", Value::Null),
    ] {
        refusal(&once.json(method, path, &body), 422, "idempotency_mismatch");
    }
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
    let made = keys["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|key| key["name"] == "once")
        .count();
    assert_eq!(made, 1);
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
    std::thread::sleep(std::time::Duration::from_millis(1_600));
    client.get("/v1/me").expect(200);
    // A repetition's check and the request itself count once.
    std::thread::sleep(std::time::Duration::from_millis(2_600));
    let body = json!({"name": "KEY", "value": "v"});
    let one = client
        .header("idempotency-key", "k")
        .post("/v1/secrets", &body);
    assert_eq!(number(&one, "x-ratelimit-remaining"), 4);
}

#[test]
fn health_is_open_and_metrics_are_for_admins() {
    let broker = Broker::start();
    let (nobody, member, admin) = (broker.anonymous(), broker.member("Ann"), broker.admin(&[]));
    assert_eq!(nobody.get("/livez").body, b"ok\n");
    let ready = nobody.get("/readyz").expect(200);
    assert_eq!(ready, json!({"ready": true, "reasons": []}));
    let status = nobody.get("/v1/status").expect(200);
    assert_eq!(status["service"], "runtools-broker");
    assert_eq!(status["sealed"], false);
    refusal(&nobody.get("/metrics"), 401, "unauthorized");
    refusal(&member.get("/metrics"), 403, "admin_only");
    refusal(
        &broker.admin(&["secret:read"]).get("/metrics"),
        403,
        "missing_scope",
    );
    for client in [&admin, &broker.operator()] {
        let page = client.get("/metrics");
        assert_eq!(page.status, 200);
        let text = String::from_utf8(page.body).unwrap();
        assert!(
            text.ends_with("# EOF\n") && text.contains("/v1/me") || text.contains("/metrics"),
            "{text}"
        );
    }
    broker
        .operator()
        .send("POST", "/v1/operator/seal", None)
        .expect(200);
    let ready = nobody.get("/readyz").expect(503);
    assert_eq!(ready, json!({"ready": false, "reasons": ["sealed"]}));
    assert_eq!(nobody.get("/livez").status, 200);
    assert_eq!(nobody.get("/v1/status").expect(200)["sealed"], true);
    refusal(&admin.get("/v1/secrets"), 503, "sealed");
}
