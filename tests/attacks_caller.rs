//! Attacks by the caller: parameters that fight the slot, values that break a header, other people's
//! secrets, and sources that fall through (reference: HT-4, HT-5, HS-4).
#![expect(clippy::too_many_lines, reason = "a journey is told in one piece")]

mod harness;
mod stage;

mod attacks_caller {
    mod slots;
    mod sources;
}

use harness::{Client, Upstream};
use serde_json::{Value, json};
use stage::raw::{head, reply};
use stage::{Raw, Stage, execution, merge, text, tool, with};

const MASK: &str = "****************************************";

/// `tool` with other slots, another method and more in its template.
fn shaped(port: u16, slots: &Value, parameters: &Value, http: &Value) -> Value {
    let mut spec = tool("custom-x", port);
    spec["bindings"][0]["slots"] = slots.clone();
    let action = &mut spec["actionsJson"]["run"];
    action["parameters"] = json!({"type": "object", "properties": parameters});
    merge(&mut action["http"], http);
    spec
}

fn call(params: &Value) -> Value {
    let mut more = with("KEY");
    more["params"] = params.clone();
    more
}

/// Shows `custom-x` to every member.
#[track_caller]
fn publish(stage: &Stage, admin: &Client) {
    let body = json!({"visibility": "org"});
    let path = "/v1/tools/custom/custom-x/visibility";
    let reply = stage.send(admin, "PATCH", path, &body);
    assert_eq!(reply.status, 200, "{}", text(&reply));
}

#[test]
fn ex_10_a_placeholder_in_a_parameter_of_an_action_is_refused_with_nothing_sent() {
    let upstream = Upstream::echo();
    let mut stage = Stage::new();
    let operator = stage.operator();
    stage.secret(&operator, "KEY", &json!({}));
    let parameters = json!({"q": {"type": "string"}, "text": {"type": "string"}});
    let http = json!({"method": "POST", "query": {"q": "{q}"}, "json": {"text": "{text}"}});
    let slots = json!({"apiKey": [{"header": "authorization", "format": "Bearer {apiKey}"}]});
    let spec = shaped(upstream.port(), &slots, &parameters, &http);
    stage.install(&operator, &spec);
    let resolved = stage.send(
        &operator,
        "POST",
        "/v1/resolve",
        &json!({"tool": "custom-x", "credentialOverrides": {"apiKey": "KEY"}}),
    );
    let resolved = resolved.expect(201);
    let own = resolved["data"]["placeholders"]["apiKey"].as_str().unwrap();
    let hex: String = own.bytes().map(|b| format!("{b:02x}")).collect();
    for shown in [own.to_owned(), format!("see {own}"), hex] {
        for params in [
            json!({"q": shown, "text": "t"}),
            json!({"q": "q", "text": shown}),
        ] {
            let reply = stage.run(&operator, "custom-x", &call(&params));
            assert_eq!(reply.refused(403), "placement", "{params}");
        }
    }
    assert_eq!(upstream.accepted(), 0);
    let params = json!({"q": "q", "text": "rtPlace, but no placeholder"});
    let done = execution(&stage.run(&operator, "custom-x", &call(&params)));
    assert_eq!(done["success"], true, "{done}");
    stage.finish();
}

#[test]
fn ht_4_parameters_cannot_double_a_header_slot() {
    let upstream = Raw::start(|_, stream| reply(stream, "", b"ok"));
    let mut stage = Stage::new();
    let operator = stage.operator();
    let value = stage.secret(&operator, "KEY", &json!({}));
    // No template fills what a slot fills, in any case, nor what steers the connection.
    for name in [
        "authorization",
        "Authorization",
        "AUTHORIZATION",
        "Proxy-Authorization",
        "Host",
        "Connection",
        "Transfer-Encoding",
        "Content-Length",
        "TE",
        "Trailer",
        "Upgrade",
        "Transfer_Encoding",
        "X_Forwarded_For",
        "x_http-method",
    ] {
        let spec = shaped(
            upstream.port(),
            &json!({"apiKey": [{"header": "authorization", "format": "Bearer {apiKey}"}]}),
            &json!({"tag": {"type": "string"}}),
            &json!({"headers": {name: "{tag}"}}),
        );
        let reply = stage.send(&operator, "POST", "/v1/tools/custom", &spec);
        assert_eq!(reply.refused(400), "bad_spec", "{name}");
    }
    let spec = shaped(
        upstream.port(),
        &json!({"apiKey": [{"header": "X-Api-Key"}]}),
        &json!({"tag": {"type": "string"}}),
        &json!({"headers": {"x-tag": "{tag}"}}),
    );
    stage.install(&operator, &spec);
    for tag in [
        "a\r\nx-api-key: evil",
        "a\nx-api-key: evil",
        "a\rb",
        "a\u{0}b",
        "é",
    ] {
        let reply = stage.run(&operator, "custom-x", &call(&json!({"tag": tag})));
        assert_eq!(
            reply.refused(400),
            "bad_params",
            "{tag:?}: {}",
            text(&reply)
        );
    }
    let done = stage.run(
        &operator,
        "custom-x",
        &call(&json!({"tag": "x-api-key: evil"})),
    );
    assert_eq!(execution(&done)["success"], true);
    let sent = head(&upstream.last()).to_ascii_lowercase();
    assert_eq!(sent.matches("\r\nx-api-key: ").count(), 1, "{sent}");
    assert!(
        sent.contains(&format!("\r\nx-api-key: {value}\r\n"))
            || sent.ends_with(&format!("x-api-key: {value}"))
    );
    assert!(
        !sent.contains("cookie") && !sent.contains("proxy-"),
        "{sent}"
    );
    stage.finish();
}

#[test]
fn ht_4_the_callers_own_headers_never_leave() {
    let upstream = Raw::start(|_, stream| reply(stream, "", b"ok"));
    let mut stage = Stage::new();
    let operator = stage.operator();
    stage.secret(&operator, "KEY", &json!({}));
    stage.install(&operator, &tool("custom-x", upstream.port()));
    let admin = stage.broker.admin(&[]);
    let caller = admin
        .header("cookie", "session=evil")
        .header("x-forwarded-for", "10.9.8.7")
        .header("x-evil", "carried-over")
        .header("idempotency-key", "once-and-only-once");
    let done = stage.run(&caller, "custom-x", &with("KEY"));
    assert_eq!(execution(&done)["success"], true);
    let sent = head(&upstream.last()).to_ascii_lowercase();
    for part in [
        "cookie",
        "evil",
        "10.9.8.7",
        "idempotency",
        "x-api-key",
        "rt_",
        "once-and",
    ] {
        assert!(!sent.contains(part), "{part} in {sent}");
    }
    assert_eq!(sent.matches("\r\nauthorization: ").count(), 1);
    stage.finish();
}

#[test]
fn ht_4_parameters_cannot_double_a_query_form_or_json_slot() {
    let upstream = Upstream::echo();
    let mut stage = Stage::new();
    let operator = stage.operator();
    let value = stage.secret(&operator, "KEY", &json!({}));
    let any = json!({"q": {}});
    let shapes = [
        (
            json!({"query": "api_key"}),
            json!({"method": "GET", "query": {"q": "{q}"}}),
        ),
        (
            json!({"form": "api_key"}),
            json!({"method": "POST", "form": {"q": "{q}"}}),
        ),
        (
            json!({"json": "/q/api_key"}),
            json!({"method": "POST", "json": {"q": "{q}"}}),
        ),
    ];
    let evil = [
        json!("x&api_key=evil"),
        json!("x%26api_key%3Devil"),
        json!("x#api_key=evil"),
        json!(["a", "b&api_key=evil"]),
        json!({"api_key": "evil", "b": 1}),
        json!("x;api_key=evil"),
    ];
    for (index, (slot, http)) in shapes.iter().enumerate() {
        let slug = format!("custom-s{index}");
        let mut spec = shaped(upstream.port(), &json!({"apiKey": [slot]}), &any, http);
        spec["slug"] = json!(slug);
        stage.install(&operator, &spec);
        for q in &evil {
            let before = upstream.seen().len();
            let reply = stage.run(&operator, &slug, &call(&json!({"q": q})));
            if reply.status != 200 {
                assert_eq!(upstream.seen().len(), before, "{slot} {q}");
                continue;
            }
            let seen = upstream.last();
            let query = seen
                .target
                .split_once('?')
                .map_or("", |(_, query)| query)
                .to_owned();
            let pairs = if index == 0 {
                query.into_bytes()
            } else {
                seen.body.to_vec()
            };
            let keys: Vec<String> = if index < 2 {
                url::form_urlencoded::parse(&pairs)
                    .filter(|(name, _)| name == "api_key")
                    .map(|(_, v)| v.into_owned())
                    .collect()
            } else {
                let text = String::from_utf8(pairs.clone()).unwrap();
                assert_eq!(text.matches("\"api_key\"").count(), 1, "{text}");
                let body: Value = serde_json::from_slice(&pairs).unwrap();
                vec![body["q"]["api_key"].as_str().unwrap().to_owned()]
            };
            assert_eq!(keys, [value.as_str()], "{slot} {q}: {}", seen.target);
        }
    }
    stage.finish();
}

#[test]
fn ht_5_values_that_would_break_a_header_are_refused_wherever_they_come_in() {
    let upstream = Upstream::echo();
    let mut stage = Stage::new();
    let operator = stage.operator();
    stage.secret(&operator, "KEY", &json!({}));
    stage.install(&operator, &tool("custom-x", upstream.port()));
    let canary = stage.canaries.value();
    for bad in [
        format!("{canary}\r\nx: y"),
        format!("{canary}\n"),
        format!("\r{canary}"),
        format!("{canary}\u{0}"),
        format!("{canary}é"),
        format!("{canary}\u{7f}"),
        format!(" {canary}"),
        format!("{canary}\t{canary}"),
        String::new(),
        canary.repeat(2_000),
    ] {
        let shown = &bad[..bad.len().min(60)];
        let secret = json!({"name": "BAD", "value": bad});
        assert_eq!(
            stage
                .send(&operator, "POST", "/v1/secrets", &secret)
                .refused(400),
            "bad_request",
            "{shown:?}"
        );
        let rotated = stage.send(
            &operator,
            "POST",
            "/v1/secrets/KEY/rotate",
            &json!({"value": bad}),
        );
        assert_eq!(rotated.refused(400), "bad_request", "{shown:?}");
        let stored = stage.send(
            &operator,
            "PUT",
            "/v1/tools/custom-x/credentials",
            &json!({"apiKey": bad}),
        );
        assert_eq!(stored.refused(400), "bad_request", "{shown:?}");
        let lent = stage.run(
            &operator,
            "custom-x",
            &json!({"credentials": {"apiKey": bad}}),
        );
        assert_eq!(lent.refused(400), "bad_request", "{shown:?}");
    }
    assert_eq!(upstream.accepted(), 0);
    let entries = stage.operator().get("/v1/secrets").expect(200);
    assert_eq!(entries["data"].as_array().unwrap().len(), 1);
    assert_eq!(entries["data"][0]["version"], 1);
    stage.finish();
}

#[test]
fn hs_4_another_members_secret_is_as_unknown_as_one_that_is_not_there() {
    let upstream = Upstream::echo();
    let mut stage = Stage::new();
    let operator = stage.operator();
    let (one, two) = (stage.broker.member("one"), stage.broker.member("two"));
    stage.secret(&two, "PRIVATE_OF_TWO", &json!({}));
    stage.secret(&two, "CUSTOM_X_API_KEY", &json!({}));
    stage.install(&operator, &tool("custom-x", upstream.port()));
    publish(&stage, &operator);
    stage
        .send(&one, "POST", "/v1/tools/custom-x/install", &json!({}))
        .expect(200);
    let answer = |name: &str| {
        let reply = stage.run(&one, "custom-x", &with(name));
        let mut body = reply.value();
        body["error"]["requestId"] = Value::Null;
        (reply.status, body)
    };
    let unknown = answer("NOT_THERE_AT_ALL");
    assert_eq!(unknown.0, 404);
    assert_eq!(unknown.1["error"]["code"], "not_available");
    assert_eq!(answer("PRIVATE_OF_TWO"), unknown);
    assert_eq!(answer("no name at all!"), unknown);
    // Nor does it fill the field by its matching name.
    let reply = stage.run(&one, "custom-x", &json!({}));
    assert_eq!(reply.refused(409), "missing_credentials");
    let explained = stage.send(&one, "POST", "/v1/tools/custom-x/explain", &json!({}));
    assert_eq!(
        explained.expect(200)["data"]["fields"][0]["source"],
        "missing"
    );
    assert_eq!(upstream.accepted(), 0);
    stage.finish();
}
