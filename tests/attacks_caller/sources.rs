//! Which of several secrets of a name is lent, and when none is.

use serde_json::{Value, json};

use crate::harness::Upstream;
use crate::harness::upstream::json as json_answer;
use crate::stage::{Stage, execution, merge, text, tls_tool, tool, with};

#[test]
fn hs_4_a_members_own_tool_cannot_take_shared_secrets_not_even_to_their_own_hosts() {
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
    assert_eq!(named.refused(403), "policy_denied", "{}", text(&named));
    assert!(text(&named).contains("not_vouched"));
    let matching = stage.run(&member, "custom-tls", &json!({}));
    assert_eq!(matching.refused(409), "missing_credentials");
    // Bound to that very host it may not go either: the slot there may be a message of the member's.
    for name in ["SHARED", "CUSTOM_TLS_API_KEY"] {
        let bind = json!({"hosts": ["localhost"]});
        let path = format!("/v1/secrets/{name}?orgWide=true");
        stage.send(&operator, "PATCH", &path, &bind).expect(200);
    }
    let named = stage.run(&member, "custom-tls", &with("SHARED"));
    assert_eq!(named.refused(403), "policy_denied", "{}", text(&named));
    let matching = stage.run(&member, "custom-tls", &json!({}));
    assert_eq!(matching.refused(409), "missing_credentials");
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
    assert_eq!(reply.refused(403), "policy_denied");
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
    assert_eq!(reply.refused(404), "not_available");
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
        assert_eq!(reply.refused(403), "policy_denied", "{name}");
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
    assert_eq!(reply.refused(404), "not_available");
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
