//! Attacks through custom tools: who stands behind one, and what it may be lent for that.

mod harness;
mod stage;

use harness::{Client, Reply, Upstream};
use serde_json::{Value, json};
use stage::{Stage, execution, merge, text, tool, with};

/// `tool` without the private range, so that a member may write it too.
fn plain(slug: &str, port: u16) -> Value {
    let mut spec = tool(slug, port);
    let binding = spec["bindings"][0].as_object_mut().unwrap();
    binding.remove("private");
    binding.insert("scheme".into(), json!("https"));
    spec["actionsJson"]["run"]["http"]["url"] = json!(format!("https://127.0.0.1:{port}/run"));
    spec
}

/// What explain says of the one field, by source.
#[track_caller]
fn looked(stage: &Stage, client: &Client, slug: &str, source: &str) -> String {
    let path = format!("/v1/tools/{slug}/explain");
    let told = stage.send(client, "POST", &path, &json!({})).expect(200);
    let looked = told["data"]["fields"][0]["lookedFor"].as_array().unwrap();
    let place = looked.iter().find(|place| place["source"] == source);
    place.unwrap()["outcome"].as_str().unwrap().to_owned()
}

/// A new admin: their key, and the path of their membership.
fn admin(stage: &Stage, name: &str) -> (Client, String) {
    let body = json!({"name": name, "role": "admin", "createKey": true});
    let path = "/v1/organizations/current/members";
    let added = stage.operator().post(path, &body).expect(201);
    let key = added["data"]["key"].as_str().unwrap();
    let id = added["data"]["id"].as_str().unwrap();
    (stage.broker.anonymous().key(key), format!("{path}/{id}"))
}

#[test]
fn an_admins_key_for_tools_alone_can_neither_vouch_nor_grant_a_private_range() {
    let upstream = Upstream::echo();
    let mut stage = Stage::new();
    let operator = stage.operator();
    let leaked = stage.broker.admin(&["tool:*"]);
    stage.secret(&operator, "SHARED", &json!({"orgWide": true}));
    let granted = tool("custom-x", upstream.port());
    let reply = stage.send(&leaked, "POST", "/v1/tools/custom", &granted);
    assert_eq!(reply.refused(403), "missing_scope");
    assert!(text(&reply).contains("admin:resources"));
    stage.install(&leaked, &plain("custom-x", upstream.port()));
    let reply = stage.run(&leaked, "custom-x", &with("SHARED"));
    assert_eq!(reply.refused(403), "policy_denied", "{}", text(&reply));
    let visible = json!({"visibility": "org"});
    let path = "/v1/tools/custom/custom-x/visibility";
    stage.send(&leaked, "PATCH", path, &visible).expect(200);
    let reply = stage.run(&leaked, "custom-x", &with("SHARED"));
    assert_eq!(reply.refused(403), "policy_denied", "{}", text(&reply));
    // Nor does it take a tool that another key vouched for.
    stage.install(&operator, &tool("custom-y", upstream.port()));
    let done = stage.run(&operator, "custom-y", &with("SHARED"));
    assert_eq!(execution(&done)["success"], true);
    let rewritten = plain("custom-y", upstream.port());
    stage
        .send(&leaked, "POST", "/v1/tools/custom", &rewritten)
        .expect(200);
    let reply = stage.run(&operator, "custom-y", &with("SHARED"));
    assert_eq!(reply.refused(403), "policy_denied", "{}", text(&reply));
    let denied = stage.journal("tool.execute").swap_remove(0);
    assert_eq!(denied["host"], "127.0.0.1", "{denied}");
    stage.finish();
}

#[test]
fn a_key_that_shows_no_value_cannot_write_a_tool_that_takes_it_home() {
    let upstream = Upstream::echo();
    let mut stage = Stage::new();
    let member = stage.broker.member("Ann");
    let leaked = member_key(&stage, &member, &["tool:*"]);
    stage.secret(&member, "MINE", &json!({}));
    stage.secret(&member, "BOUND", &json!({"hosts": ["127.0.0.1"]}));
    stage.install(&leaked, &plain("custom-x", upstream.port()));
    let reply = stage.run(&leaked, "custom-x", &with("MINE"));
    assert_eq!(reply.refused(403), "policy_denied", "{}", text(&reply));
    assert!(text(&reply).contains("not_vouched") && text(&reply).contains("secret:reveal"));
    // Not even to the host that it is bound to, where the thief may have an account.
    let reply = stage.run(&leaked, "custom-x", &with("BOUND"));
    assert_eq!(reply.refused(403), "policy_denied", "{}", text(&reply));
    // It may once a key that could show it stands behind the tool: as far as the guard, which no
    // member's tool passes here.
    stage
        .send(
            &member,
            "POST",
            "/v1/tools/custom",
            &plain("custom-x", upstream.port()),
        )
        .expect(200);
    let reply = stage.run(&member, "custom-x", &with("MINE"));
    assert_eq!(reply.refused(403), "address_refused", "{}", text(&reply));
    // And the leaked one runs it with what its writer chose, but chooses nothing itself.
    let reply = stage.run(&leaked, "custom-x", &with("MINE"));
    assert!(text(&reply).contains("missing_scope"), "{}", text(&reply));
    stage.secret(&member, "CUSTOM_X_API_KEY", &json!({}));
    let reply = stage.run(&leaked, "custom-x", &json!({}));
    assert_eq!(reply.refused(403), "address_refused", "{}", text(&reply));
    assert_eq!(upstream.accepted(), 0);
    stage.finish();
}

#[test]
fn a_members_own_tool_is_lent_nothing_that_they_could_not_be_shown() {
    let upstream = Upstream::echo();
    let mut stage = Stage::new();
    let operator = stage.operator();
    let member = stage.broker.member("Ann");
    stage.install(&member, &plain("custom-x", upstream.port()));
    stage.secret(&member, "HIDDEN", &json!({"revealable": false}));
    stage.secret(&member, "MINE", &json!({}));
    stage.secret(&member, "CUSTOM_X_API_KEY", &json!({"revealable": false}));
    let run = |name: &str| stage.run(&member, "custom-x", &with(name));
    let refused = |reply: &Reply, why: &str| {
        assert_eq!(reply.refused(403), "policy_denied", "{}", text(reply));
        assert!(text(reply).contains(why), "{}", text(reply));
        assert!(text(reply).contains("publish"), "{}", text(reply));
    };
    refused(&run("HIDDEN"), "not_revealable");
    let source = "user_secret";
    assert_eq!(
        looked(&stage, &member, "custom-x", source),
        "not_revealable"
    );
    // As far as the guard, which no member's tool passes here.
    assert_eq!(run("MINE").refused(403), "address_refused");

    let shows = |shown: bool| {
        let body = json!({"settings": {"revealEnabled": shown}});
        let path = "/v1/organizations/current";
        stage.send(&operator, "PATCH", path, &body).expect(200);
    };
    shows(false);
    refused(&run("MINE"), "policy_denied");
    refused(&run("HIDDEN"), "not_revealable");
    // Who an admin vouches to is given what it needs: it is not the member's to change.
    let visible = json!({"visibility": "org"});
    let path = "/v1/tools/custom/custom-x/visibility";
    let own = stage.send(&operator, "PATCH", path, &visible);
    assert_eq!(own.refused(404), "not_found", "it is the member's alone");
    stage.install(&operator, &tool("custom-y", upstream.port()));
    let path = "/v1/tools/custom/custom-y/visibility";
    stage.send(&operator, "PATCH", path, &visible).expect(200);
    for name in ["MINE", "HIDDEN"] {
        let done = stage.run(&member, "custom-y", &with(name));
        assert_eq!(execution(&done)["success"], true, "{}", text(&done));
    }
    shows(true);
    assert_eq!(run("MINE").refused(403), "address_refused");
    assert_eq!(upstream.accepted(), 1);
    stage.finish();
}

#[test]
fn a_key_that_shows_no_value_moves_none_to_another_host() {
    let mut stage = Stage::new();
    let member = stage.broker.member("Ann");
    let leaked = member_key(&stage, &member, &["secret:write", "secret:read"]);
    stage.secret(&member, "OPEN", &json!({}));
    stage.secret(
        &member,
        "TIED",
        &json!({"hosts": ["api.example.com"], "expires": "30d"}),
    );
    let evil = json!({"hosts": ["evil.example"]});
    for (name, body) in [
        ("OPEN", evil.clone()),
        ("TIED", evil.clone()),
        ("TIED", json!({"hosts": []})),
        (
            "TIED",
            json!({"hosts": ["api.example.com", "evil.example"]}),
        ),
        ("TIED", json!({"expires": "never"})),
        ("TIED", json!({"expires": "90d"})),
    ] {
        assert_eq!(
            stage
                .send(&leaked, "PATCH", &format!("/v1/secrets/{name}"), &body)
                .refused(403),
            "missing_scope",
            "{body}"
        );
    }
    let narrower = json!({"expires": "1d", "description": "d"});
    stage
        .send(&leaked, "PATCH", "/v1/secrets/TIED", &narrower)
        .expect(200);
    // Nor by the way of a new version, whose hosts the old value would get.
    let new = json!({"name": "TIED", "value": "another value", "hosts": ["evil.example"]});
    stage.send(&leaked, "POST", "/v1/secrets", &new).expect(200);
    let back = "/v1/secrets/TIED/versions/1/restore";
    let reply = stage.send(&leaked, "POST", back, &json!({}));
    assert_eq!(reply.refused(403), "missing_scope", "{}", text(&reply));
    // Who could be shown the value may say where it goes.
    stage
        .send(&member, "PATCH", "/v1/secrets/OPEN", &evil)
        .expect(200);
    // But not of one that was set to be shown to nobody, nor against the organisation's policy.
    stage.secret(&member, "HIDDEN", &json!({"revealable": false}));
    let reply = stage.send(&member, "PATCH", "/v1/secrets/HIDDEN", &evil);
    assert_eq!(reply.refused(400), "bad_request", "{}", text(&reply));
    stage.secret(&member, "LATER", &json!({}));
    let operator = stage.broker.operator();
    let off = json!({"settings": {"revealEnabled": false}});
    stage
        .send(&operator, "PATCH", "/v1/organizations/current", &off)
        .expect(200);
    let reply = stage.send(&member, "PATCH", "/v1/secrets/LATER", &evil);
    assert_eq!(reply.refused(403), "policy_denied", "{}", text(&reply));
    stage.finish();
}

fn member_key(stage: &Stage, member: &Client, scopes: &[&str]) -> Client {
    stage.broker.anonymous().key(&member.make_key(scopes))
}

#[test]
fn a_demoted_admins_tool_reaches_no_private_range_and_is_lent_nothing_shared() {
    let upstream = Upstream::echo();
    let mut stage = Stage::new();
    let operator = stage.operator();
    let (former, membership) = admin(&stage, "Ann");
    stage.secret(&operator, "SHARED", &json!({"orgWide": true}));
    stage.secret(&former, "MINE", &json!({}));
    stage.install(&former, &tool("custom-x", upstream.port()));
    for name in ["SHARED", "MINE"] {
        let done = stage.run(&former, "custom-x", &with(name));
        assert_eq!(execution(&done)["success"], true);
    }
    let before = upstream.accepted();
    let demoted = json!({"role": "member"});
    stage
        .send(&operator, "PATCH", &membership, &demoted)
        .expect(200);
    let reply = stage.run(&former, "custom-x", &with("SHARED"));
    assert_eq!(reply.refused(403), "policy_denied", "{}", text(&reply));
    let reply = stage.run(&former, "custom-x", &with("MINE"));
    assert_eq!(reply.status, 403, "{}", text(&reply));
    // Raised again, they vouch anew by writing it anew.
    let raised = json!({"role": "admin"});
    stage
        .send(&operator, "PATCH", &membership, &raised)
        .expect(200);
    let reply = stage.run(&former, "custom-x", &with("SHARED"));
    assert_eq!(reply.refused(403), "policy_denied", "{}", text(&reply));
    assert_eq!(upstream.accepted(), before);
    operator.delete(&membership).expect(200);
    stage.finish();
}

#[test]
fn an_admin_who_takes_back_anothers_tool_does_not_vouch_for_it() {
    let upstream = Upstream::echo();
    let mut stage = Stage::new();
    let operator = stage.operator();
    let (maker, _) = admin(&stage, "Ann");
    stage.secret(&operator, "SHARED", &json!({"orgWide": true}));
    stage.install(&maker, &tool("custom-x", upstream.port()));
    let path = "/v1/tools/custom/custom-x/visibility";
    for (by, visibility) in [(&maker, "org"), (&operator, "private")] {
        let body = json!({"visibility": visibility});
        stage.send(by, "PATCH", path, &body).expect(200);
    }
    let reply = stage.run(&maker, "custom-x", &with("SHARED"));
    assert_eq!(reply.refused(403), "policy_denied", "{}", text(&reply));
    assert_eq!(upstream.accepted(), 0);
    stage.finish();
}

#[test]
fn a_credential_stored_for_a_tool_does_not_follow_it_elsewhere_and_never_gets_stuck() {
    let upstream = Upstream::echo();
    let mut stage = Stage::new();
    let operator = stage.operator();
    let spec = tool("custom-x", upstream.port());
    stage.install(&operator, &spec);
    let value = stage.canaries.value();
    let credentials = "/v1/tools/custom-x/credentials";
    let stored = json!({"apiKey": value});
    stage
        .send(&operator, "PUT", credentials, &stored)
        .expect(200);
    assert_eq!(looked(&stage, &operator, "custom-x", "stored"), "found");
    // Another description changes nothing; another place does.
    let mut described = spec.clone();
    merge(&mut described, &json!({"description": "The same."}));
    let mut moved = spec.clone();
    moved["bindings"][0]["slots"] = json!({"apiKey": [{"header": "x-elsewhere"}]});
    for (spec, outcome) in [(&described, "found"), (&moved, "tool_changed")] {
        stage
            .send(&operator, "POST", "/v1/tools/custom", spec)
            .expect(200);
        assert_eq!(looked(&stage, &operator, "custom-x", "stored"), outcome);
    }
    let reply = stage.run(&operator, "custom-x", &json!({}));
    assert_eq!(reply.refused(409), "missing_credentials");
    assert_eq!(upstream.accepted(), 0);
    let status = operator.get(credentials).expect(200);
    assert_eq!(status["data"]["complete"], false);
    stage
        .send(&operator, "PUT", credentials, &stored)
        .expect(200);
    let done = stage.run(&operator, "custom-x", &json!({}));
    assert_eq!(execution(&done)["success"], true);
    // The tool goes; what was stored for it can still be removed, and then there is nothing.
    operator.delete("/v1/tools/custom/custom-x").expect(200);
    assert_eq!(operator.get(credentials).refused(404), "not_found");
    operator.delete(credentials).expect(200);
    assert_eq!(operator.delete(credentials).refused(404), "not_found");
    let install = "/v1/tools/custom-x/install";
    operator.delete(install).expect(200);
    assert_eq!(operator.delete(install).refused(404), "not_found");
    let again = operator.delete("/v1/tools/custom/custom-x");
    assert_eq!(again.refused(404), "not_found");
    stage.finish();
}
