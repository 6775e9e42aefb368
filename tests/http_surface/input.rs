//! What is sent is judged, and never comes back.

use serde_json::json;

use crate::harness::{Broker, Canaries, api};
use crate::refusal;

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
    let (admin, operator) = (broker.admin(&[]), broker.operator());
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
    says("null", "not a JSON object");
    // A struct can be read from a list of its fields' values too: here it is not.
    says(
        r#"["ARR","abcdefgh123",null,null,null,null,null,null,null]"#,
        "not a JSON object",
    );
    for (method, path, list) in [
        ("PATCH", "/v1/organizations/current", "[]"),
        ("POST", "/v1/api-keys", r#"["ci"]"#),
        (
            "POST",
            "/v1/execute",
            r#"["rt_hdl_x",null,"GET","https://a.test/",{},{},null,null,null]"#,
        ),
        ("POST", "/v1/tools/github/execute", r#"["get_me",{}]"#),
        ("POST", "/v1/operator/unseal", r#"["passphrase"]"#),
        ("POST", "/v1/operator/services", r#"["hub"]"#),
    ] {
        let sender = if path.contains("operator") {
            &operator
        } else {
            &admin
        };
        let reply = sender.send(method, path, Some(("application/json", list.as_bytes())));
        refusal(&reply, 400, "bad_request");
        let text = reply.value()["error"]["message"].to_string();
        assert!(text.contains("not a JSON object"), "{path}: {text}");
    }
    let nested = br#"{"settings":[true]}"#;
    let reply = admin.send(
        "PATCH",
        "/v1/organizations/current",
        Some(("application/json", nested)),
    );
    refusal(&reply, 400, "bad_request");
    let text = reply.value()["error"]["message"].to_string();
    assert!(text.contains("expected an object"), "{text}");
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
        json!({"slug": "custom-x", "name": value, "actionsJson": {format!("{value}!"): value}}),
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
        format!("/v1/secrets?a:%20{value}=x"),
        format!("/v1/secrets?{value}:%20expected%20{value}=x"),
        format!("/v1/secrets?limit={value}"),
        format!("/v1/secrets?cursor={value}"),
        format!("/v1/secrets?category={value}"),
        format!("/v1/secrets?owner={value}"),
        format!("/v1/api-keys/{value}"),
        format!("/v1/tools/{value}x"),
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
            reply.status >= 400 || what.starts_with('P'),
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
