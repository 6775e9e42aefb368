//! What is true of every request: envelopes, refusals, ids, hosts, limits, repetition, rates.
#![expect(clippy::too_many_lines, reason = "a journey is told in one piece")]

mod harness;

mod http_surface {
    mod input;
    mod queries;
    mod repetition;
}

use harness::{Broker, Reply, Setup, api};

use serde_json::json;

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
