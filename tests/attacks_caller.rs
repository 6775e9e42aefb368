//! Attacks by the caller: parameters that fight the slot, values that break a header, other people's
//! secrets, and sources that fall through (reference: HT-4, HT-5, HS-4).

mod harness;
mod stage;

use harness::upstream::json as json_answer;
use harness::{Client, Upstream};
use serde_json::{Value, json};
use stage::raw::{head, reply};
use stage::{Raw, Stage, execution, merge, text, tls_tool, tool, with};

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
    assert_eq!(unknown.1["error"]["code"], "override_unavailable");
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

/// Shows `custom-x` to every member.
#[track_caller]
fn publish(stage: &Stage, admin: &Client) {
    let body = json!({"visibility": "org"});
    let path = "/v1/tools/custom/custom-x/visibility";
    let reply = stage.send(admin, "PATCH", path, &body);
    assert_eq!(reply.status, 200, "{}", text(&reply));
}

#[test]
fn hs_4_a_members_own_tool_takes_shared_secrets_only_to_their_own_hosts() {
    let upstream = Upstream::tls(&["localhost"], |seen| json_answer(200, &seen.echo()));
    let mut stage = Stage::trusting(upstream.root_pem());
    let operator = stage.operator();
    let member = stage.broker.member("maker");
    stage.secret(&operator, "SHARED", &json!({"orgWide": true}));
    stage.secret(&operator, "CUSTOM_TLS_API_KEY", &json!({"orgWide": true}));
    let mut spec = tls_tool("custom-tls", upstream.port());
    spec["bindings"][0]
        .as_object_mut()
        .unwrap()
        .remove("private");
    stage.install(&member, &spec);
    let named = stage.run(&member, "custom-tls", &with("SHARED"));
    assert_eq!(named.refused(403), "override_unusable", "{}", text(&named));
    assert!(text(&named).contains("not_vouched"));
    let matching = stage.run(&member, "custom-tls", &json!({}));
    assert_eq!(matching.refused(409), "missing_credentials");
    // Bound to that very host it may go: as far as the guard, which no member's tool passes here.
    for name in ["SHARED", "CUSTOM_TLS_API_KEY"] {
        let bind = json!({"hosts": ["localhost"]});
        let path = format!("/v1/secrets/{name}?orgWide=true");
        stage.send(&operator, "PATCH", &path, &bind).expect(200);
    }
    for more in [with("SHARED"), json!({})] {
        let reply = stage.run(&member, "custom-tls", &more);
        assert_eq!(reply.refused(403), "address_refused");
    }
    // Bound to another host it may not.
    let path = "/v1/secrets/SHARED?orgWide=true";
    stage
        .send(
            &operator,
            "PATCH",
            path,
            &json!({"hosts": ["api.good.test"]}),
        )
        .expect(200);
    let reply = stage.run(&member, "custom-tls", &with("SHARED"));
    assert_eq!(reply.refused(403), "binding_refused");
    assert_eq!(upstream.accepted(), 0);
    // An admin's own tool of the same shape may use an unbound one.
    let value = stage.secret(&operator, "UNBOUND", &json!({"orgWide": true}));
    stage.install(&operator, &tls_tool("custom-tls-2", upstream.port()));
    let done = stage.run(&operator, "custom-tls-2", &with("UNBOUND"));
    assert_eq!(execution(&done)["success"], true);
    assert_eq!(
        upstream.last().header("authorization"),
        format!("Bearer {value}")
    );
    stage.finish();
}

/// Asks explain and runs; checks that both name `source` and that the upstream saw `value`.
#[track_caller]
fn resolves(stage: &Stage, upstream: &Upstream, more: &Value, source: &str, value: &str) {
    let operator = stage.operator();
    let explained = stage.send(&operator, "POST", "/v1/tools/custom-x/explain", more);
    let explained = explained.expect(200);
    assert_eq!(explained["data"]["ready"], true, "{explained}");
    assert_eq!(
        explained["data"]["fields"][0]["source"], source,
        "{explained}"
    );
    let done = execution(&stage.run(&operator, "custom-x", more));
    assert_eq!(done["success"], true, "{done}");
    assert_eq!(
        upstream.last().header("authorization"),
        format!("Bearer {value}")
    );
    assert_eq!(
        stage.ended("tool.execute")["sources"]["apiKey"],
        source,
        "{explained}"
    );
}

#[test]
fn the_first_source_that_has_a_field_wins_and_explain_tells_which() {
    let upstream = Upstream::echo();
    let mut stage = Stage::new();
    let operator = stage.operator();
    stage.install(&operator, &tool("custom-x", upstream.port()));
    let brought = stage.canaries.value();
    let stored = stage.canaries.value();
    let named = stage.secret(&operator, "NAMED", &json!({}));
    let own = stage.secret(&operator, "CUSTOM_X_API_KEY", &json!({}));
    let shared = stage.secret(&operator, "CUSTOM_X_API_KEY", &json!({"orgWide": true}));
    let credentials = "/v1/tools/custom-x/credentials";
    stage
        .send(&operator, "PUT", credentials, &json!({"apiKey": stored}))
        .expect(200);

    let all =
        json!({"credentials": {"apiKey": brought}, "credentialOverrides": {"apiKey": "NAMED"}});
    resolves(&stage, &upstream, &all, "request", &brought);
    resolves(&stage, &upstream, &with("NAMED"), "override", &named);
    resolves(&stage, &upstream, &json!({}), "stored", &stored);
    operator.delete(credentials).expect(200);
    resolves(&stage, &upstream, &json!({}), "user_secret", &own);
    operator.delete("/v1/secrets/CUSTOM_X_API_KEY").expect(200);
    resolves(&stage, &upstream, &json!({}), "org_secret", &shared);
    operator
        .delete("/v1/secrets/CUSTOM_X_API_KEY?orgWide=true")
        .expect(200);
    let explained = stage
        .send(&operator, "POST", "/v1/tools/custom-x/explain", &json!({}))
        .expect(200);
    assert_eq!(explained["data"]["ready"], false);
    let field = &explained["data"]["fields"][0];
    assert_eq!(field["source"], "missing");
    let looked: Vec<_> = field["lookedFor"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| (&l["source"], &l["outcome"]))
        .collect();
    assert_eq!(looked.len(), 5, "{looked:?}");
    assert!(
        looked.iter().all(|(_, outcome)| *outcome == "absent"),
        "{looked:?}"
    );
    let reply = stage.run(&operator, "custom-x", &json!({}));
    assert_eq!(reply.refused(409), "missing_credentials");
    // Nothing that was named falls through to what would match.
    stage.secret(&operator, "CUSTOM_X_API_KEY", &json!({}));
    let reply = stage.run(&operator, "custom-x", &with("GONE"));
    assert_eq!(reply.refused(404), "override_unavailable");
    stage.finish();
}

#[test]
fn each_field_is_filled_by_itself_and_both_halves_make_one_basic_credential() {
    use base64::Engine as _;
    let upstream = Upstream::echo();
    let mut stage = Stage::new();
    let operator = stage.operator();
    let mut spec = tool("custom-x", upstream.port());
    spec["credentialsJson"] = json!({"required": ["user", "password"], "schema": {
        "user": {"type": "string", "description": "u"}, "password": {"type": "string", "description": "p"}}});
    spec["bindings"][0]["slots"] = json!({
        "user": [{"basic": "user", "withField": "password"}],
        "password": [{"basic": "password", "withField": "user"}]});
    stage.install(&operator, &spec);
    let password = format!("{}:and:colons", stage.canaries.value());
    stage.secret_of(
        &operator,
        "CUSTOM_X_PASSWORD",
        &password,
        &json!({"orgWide": true}),
    );
    let user = stage.canaries.value();
    let done = stage.run(
        &operator,
        "custom-x",
        &json!({"credentials": {"user": user}}),
    );
    let done = execution(&done);
    assert_eq!(done["success"], true, "{done}");
    let blob = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    assert_eq!(
        upstream.last().header("authorization"),
        format!("Basic {blob}")
    );
    let echoed = done["result"]["headers"]["authorization"].as_str().unwrap();
    assert!(
        echoed.starts_with("Basic ***") && !echoed.contains(&blob[..20]),
        "{echoed}"
    );
    let sources = &stage.ended("tool.execute")["sources"];
    assert_eq!(
        sources,
        &json!({"user": "request", "password": "org_secret"})
    );
    // A user name with a colon would move the border between the halves.
    let count = upstream.seen().len();
    let user = format!("{}:x", stage.canaries.value());
    let reply = stage.run(
        &operator,
        "custom-x",
        &json!({"credentials": {"user": user}}),
    );
    assert_eq!(reply.refused(422), "placement_refused");
    assert_eq!(upstream.seen().len(), count);
    stage.finish();
}

#[test]
fn scope_expiry_and_own_hosts_of_a_secret_are_kept() {
    let upstream = Upstream::echo();
    let mut stage = Stage::new();
    let operator = stage.operator();
    stage.install(&operator, &tool("custom-x", upstream.port()));
    for (name, more) in [
        ("OF_AGENTS", json!({"scope": "agents"})),
        ("OF_SANDBOXES", json!({"scope": "sandboxes"})),
        ("OLD", json!({"expires": soon()})),
    ] {
        let mut body = json!({"name": name, "value": stage.canaries.value()});
        merge(&mut body, &more);
        stage
            .send(&operator, "POST", "/v1/secrets", &body)
            .expect(201);
    }
    std::thread::sleep(std::time::Duration::from_millis(2_200));
    for (name, why) in [
        ("OF_AGENTS", "scope"),
        ("OF_SANDBOXES", "scope"),
        ("OLD", "expired"),
    ] {
        let reply = stage.run(&operator, "custom-x", &with(name));
        assert_eq!(reply.refused(403), "override_unusable", "{name}");
        assert!(text(&reply).contains(why), "{}", text(&reply));
    }
    // By matching name, too: it is passed over, and explain says why.
    stage.secret(&operator, "CUSTOM_X_API_KEY", &json!({"scope": "agents"}));
    let reply = stage.run(&operator, "custom-x", &json!({}));
    assert_eq!(reply.refused(409), "missing_credentials");
    let explained = stage
        .send(&operator, "POST", "/v1/tools/custom-x/explain", &json!({}))
        .expect(200);
    let looked = explained["data"]["fields"][0]["lookedFor"]
        .as_array()
        .unwrap();
    assert!(
        looked
            .iter()
            .any(|l| l["source"] == "user_secret" && l["outcome"] == "scope"),
        "{explained}"
    );
    let shared = stage.secret(&operator, "CUSTOM_X_API_KEY", &json!({"orgWide": true}));
    resolves(&stage, &upstream, &json!({}), "org_secret", &shared);
    // A deleted secret is gone at once.
    stage.secret(&operator, "SHORT_LIVED", &json!({}));
    assert_eq!(
        stage
            .run(&operator, "custom-x", &with("SHORT_LIVED"))
            .status,
        200
    );
    operator.delete("/v1/secrets/SHORT_LIVED").expect(200);
    let reply = stage.run(&operator, "custom-x", &with("SHORT_LIVED"));
    assert_eq!(reply.refused(404), "override_unavailable");
    stage.finish();
}

/// An RFC 3339 time two seconds from now.
fn soon() -> String {
    let mut date = std::process::Command::new("date");
    let after = date.args(["-u", "-d", "+2 seconds", "+%FT%TZ"]).output();
    String::from_utf8(after.unwrap().stdout)
        .unwrap()
        .trim()
        .to_owned()
}

#[test]
fn every_slot_reaches_the_upstream_and_is_masked_in_what_comes_back() {
    let upstream = Upstream::echo();
    let mut stage = Stage::new();
    let operator = stage.operator();
    let canary = stage.canaries.value();
    let odd = format!("{canary}+/=&?%20 \"\\#;x");
    let plain = stage.secret(&operator, "PLAIN", &json!({}));
    stage.secret_of(&operator, "ODD", &odd, &json!({}));
    let shapes = [
        (json!({"header": "x-key"}), json!({})),
        (json!({"basic": "password", "with": "api"}), json!({})),
        (json!({"basic": "user", "with": ""}), json!({})),
        (json!({"query": "key"}), json!({})),
        (
            json!({"form": "key"}),
            json!({"method": "POST", "form": {"a": "b"}}),
        ),
        (
            json!({"json": "/auth/key"}),
            json!({"method": "POST", "json": {"auth": {"x": 1}}}),
        ),
        (json!({"pathSegment": "key"}), json!({})),
    ];
    for (index, (slot, http)) in shapes.iter().enumerate() {
        let slug = format!("custom-s{index}");
        let mut spec = shaped(
            upstream.port(),
            &json!({"apiKey": [slot]}),
            &json!({}),
            http,
        );
        spec["slug"] = json!(slug);
        if index == 6 {
            spec["bindings"][0]["paths"] = json!(["/bot/{@key}/send"]);
            spec["actionsJson"]["run"]["http"]["url"] = json!(format!(
                "http://127.0.0.1:{}/bot/{{@key}}/send",
                upstream.port()
            ));
        }
        stage.install(&operator, &spec);
        for (name, value) in [("PLAIN", &plain), ("ODD", &odd)] {
            let reply = stage.run(&operator, &slug, &with(name));
            if index == 6 && name == "ODD" {
                // A slash in a segment has two readings.
                let done = execution(&reply);
                assert_eq!(done["success"], false, "{done}");
                assert_eq!(upstream.seen().len(), 13);
                continue;
            }
            let done = execution(&reply);
            assert_eq!(done["success"], true, "{slot}: {done}");
            assert_eq!(&carried(index, &upstream), value, "{slot}");
            let shown = text(&reply);
            assert!(
                shown.contains(if name == "PLAIN" { MASK } else { "****" }),
                "{slot}: {shown}"
            );
        }
    }
    stage.finish();
}

/// The credential as the upstream reads it out of the last request.
fn carried(index: usize, upstream: &Upstream) -> String {
    use base64::Engine as _;
    let seen = upstream.last();
    let basic = || {
        let header = seen.header("authorization");
        let blob = base64::engine::general_purpose::STANDARD
            .decode(header.strip_prefix("Basic ").unwrap())
            .unwrap();
        String::from_utf8(blob).unwrap()
    };
    let pair = |bytes: &[u8]| {
        let mut pairs = url::form_urlencoded::parse(bytes);
        pairs
            .find(|(name, _)| name == "key")
            .unwrap()
            .1
            .into_owned()
    };
    match index {
        0 => seen.header("x-key"),
        1 => basic().strip_prefix("api:").unwrap().to_owned(),
        2 => basic().strip_suffix(':').unwrap().to_owned(),
        3 => pair(seen.target.split_once('?').unwrap().1.as_bytes()),
        4 => pair(&seen.body),
        5 => {
            let body: Value = serde_json::from_slice(&seen.body).unwrap();
            assert_eq!(body["auth"]["x"], 1);
            body["auth"]["key"].as_str().unwrap().to_owned()
        }
        _ => {
            let inner = seen
                .target
                .strip_prefix("/bot/")
                .unwrap()
                .strip_suffix("/send");
            inner.unwrap().to_owned()
        }
    }
}

#[test]
fn a_value_in_a_path_segment_cannot_leave_its_segment() {
    let upstream = Upstream::echo();
    let stage = Stage::new();
    let operator = stage.operator();
    let mut spec = tool("custom-x", upstream.port());
    spec["bindings"][0]["slots"] = json!({"apiKey": [{"pathSegment": "key"}]});
    spec["bindings"][0]["paths"] = json!(["/bot/{@key}/send"]);
    spec["actionsJson"]["run"]["http"]["url"] = json!(format!(
        "http://127.0.0.1:{}/bot/{{@key}}/send",
        upstream.port()
    ));
    stage.install(&operator, &spec);
    for value in [
        "........",
        "..",
        "../admin",
        "x/../../admin",
        "..%2fadmin-x",
        "%2e%2e%2fadmin",
        "a\\..\\..\\admin",
        "aaaaaa;admin",
        "x?admin=1234",
        "x#admin-1234",
    ] {
        let more = json!({"credentials": {"apiKey": value}});
        let before = upstream.seen().len();
        let reply = stage.run(&operator, "custom-x", &more);
        if reply.status == 200 && upstream.seen().len() > before {
            let target = upstream.last().target;
            let inner = target
                .strip_prefix("/bot/")
                .and_then(|rest| rest.strip_suffix("/send"));
            let inner = percent_encoding::percent_decode_str(inner.unwrap()).decode_utf8_lossy();
            assert_eq!(inner, value, "{target}");
            assert!(
                ![".", ".."].contains(&&*inner) && !inner.contains(['/', '\\', ';']),
                "{target}"
            );
        }
    }
    stage.finish();
}

#[test]
fn what_goes_wrong_at_the_upstream_is_the_calls_result() {
    let upstream = Upstream::plain(|seen| {
        let status: u16 = seen.target.rsplit('/').next().unwrap().parse().unwrap();
        json_answer(status, &seen.echo())
    });
    let mut stage = Stage::new();
    let operator = stage.operator();
    stage.secret(&operator, "KEY", &json!({}));
    for (status, code) in [
        (400, "upstream_rejected"),
        (401, "upstream_denied"),
        (403, "upstream_denied"),
        (404, "upstream_not_found"),
        (429, "upstream_rate_limited"),
        (500, "upstream_failed"),
        (503, "upstream_failed"),
        (599, "upstream_failed"),
    ] {
        let slug = format!("custom-e{status}");
        let mut spec = tool(&slug, upstream.port());
        spec["actionsJson"]["run"]["http"]["url"] =
            json!(format!("http://127.0.0.1:{}/{status}", upstream.port()));
        stage.install(&operator, &spec);
        let done = execution(&stage.run(&operator, &slug, &with("KEY")));
        assert_eq!(done["success"], false);
        assert_eq!(done["error"]["code"], code, "{status}");
        assert_eq!(done["error"]["statusCode"], status);
        assert_eq!(
            done["result"]["headers"]["authorization"],
            format!("Bearer {MASK}")
        );
    }
    // Nobody there; somebody who hangs up; somebody who talks no HTTP.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let hangs_up = Raw::start(|_, _| ());
    let babbles = Raw::start(|request, stream| {
        use std::io::Write;
        drop(stream.write_all(b"SSH-2.0-"));
        drop(stream.write_all(request));
    });
    for (slug, port, codes) in [
        ("custom-n1", port, ["connect_failed", "connect_failed"]),
        (
            "custom-n2",
            hangs_up.port(),
            ["upstream_closed", "upstream_protocol"],
        ),
        (
            "custom-n3",
            babbles.port(),
            ["upstream_protocol", "upstream_protocol"],
        ),
    ] {
        stage.install(&operator, &tool(slug, port));
        let done = execution(&stage.run(&operator, slug, &with("KEY")));
        assert_eq!(done["success"], false);
        assert!(
            codes.contains(&done["error"]["code"].as_str().unwrap()),
            "{slug}: {done}"
        );
        assert!(done["error"]["statusCode"].is_null());
        assert_eq!(done["result"], Value::Null);
    }
    stage.finish();
}
