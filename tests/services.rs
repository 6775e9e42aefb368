//! Services: a program that acts for users, and what it cannot do when it is broken into (reference:
//! HS-2, HS-3, HS-4).
#![expect(clippy::too_many_lines, reason = "a journey is told in one piece")]

mod harness;
mod lanes;
#[path = "permissions/table.rs"]
#[expect(dead_code, reason = "it has the scopes of keys too")]
mod routes;
mod stage;

mod services {
    mod certificates;
    mod credentials;
    mod delegated;
    mod handles;
    pub(crate) mod hub;
    mod late;
    mod streams;
}

use harness::{Client, Reply, Upstream, eventually};
use lanes::{LANES, Wish, egress, resolve, try_resolve};
use routes::{ROWS, Who};
use serde_json::{Value, json};
use services::hub::{Hub, Set};
use stage::{Stage, text};

const NO_ID: &str = "00000000-0000-4000-8000-000000000000";

/// What a service sends that tries to do more than it may: every route that is not for services.
fn beyond() -> Vec<(&'static str, String, Value)> {
    let beyond = ROWS.iter().filter(|(route, _, _, scope, who)| {
        let own = ["broker:resolve", "tool:execute"].contains(scope) || *route == "GET /v1/me";
        !own && !matches!(who, Who::Open | Who::Socket)
    });
    let filled = beyond.map(|(route, query, body, ..)| {
        let (method, path) = route.split_once(' ').unwrap();
        let path = path
            .replace("organizations/{id}", "organizations/current")
            .replace("{name}", "KEY")
            .replace("{version}", "1")
            .replace("{slug}", "custom-x")
            .replace("{provider}", "github")
            .replace("{id}", NO_ID)
            .replace("{member}", NO_ID)
            .replace("{user}", NO_ID);
        let body = match *body {
            "" => Value::Null,
            "TOOL" => json!({"slug": "x"}),
            text => serde_json::from_str(text).unwrap(),
        };
        (method, format!("{path}{query}"), body)
    });
    filled.collect()
}

/// Sends it, without a body where there is none.
fn ask(stage: &Stage, client: &Client, (method, path, body): &(&str, String, Value)) -> Reply {
    let reply = match body {
        Value::Null => client.send(method, path, None),
        body => client.json(method, path, body),
    };
    stage.keep(&format!("{method} {path}"), &reply);
    reply
}

#[test]
fn a_service_with_its_users_key_uses_what_they_may_use_and_the_journal_names_both() {
    let set = Set::new();
    let hub = set.hub.with_token(&set.stage, &set.bob.key);
    let me = hub.get("/v1/me").expect(200)["data"].clone();
    assert_eq!(
        (&me["id"], &me["via"], &me["scopes"]),
        (
            &json!(set.bob.user),
            &json!("service"),
            &json!(["broker:resolve", "tool:execute"])
        )
    );
    let handle = resolve(&set.stage, &hub, "custom-x", &json!({}));
    assert_eq!(handle.whole["fields"][0]["source"], "override");
    for lane in LANES {
        let came = lane.send(&set.stage, &hub, &handle.text, &Wish::get(&set.url()));
        assert_eq!((came.status, &*came.code), (200, ""), "{came:?}");
        let seen = set.upstream.last();
        assert_eq!(
            seen.header("authorization"),
            format!("Bearer {}", set.value)
        );
        for ours in [
            "x-runtools-subject-token",
            "x-runtools-subject",
            "x-api-key",
        ] {
            assert!(seen.headers.get(ours).is_none(), "{ours} stays here");
        }
    }
    let ran = set.stage.run(&hub, "custom-x", &stage::with("KEY"));
    assert_eq!(ran.status, 200, "{}", text(&ran));
    let path = "/v1/tools/custom-x/explain";
    set.stage
        .send(&hub, "POST", path, &stage::with("KEY"))
        .expect(200);
    for action in ["broker.resolve", "broker.exchange", "tool.execute"] {
        let entry = set.stage.ended(action);
        assert_eq!(entry["actor"]["type"], "service", "{entry}");
        assert_eq!(entry["actor"]["id"], set.hub.id, "{entry}");
        assert!(entry["actor"]["word"]["api_key"].is_string(), "{entry}");
        assert_eq!(entry["on_behalf_of"], set.bob.user, "{entry}");
    }
    for actor in [&*set.bob.user, &*set.hub.id, "tool-hub", "Tool-Hub"] {
        let path = format!("/v1/audit?actor={actor}&action=broker.resolve");
        let found = set.stage.operator().get(&path).expect(200);
        assert_eq!(found["data"].as_array().unwrap().len(), 1, "by {actor}");
    }
    let other = Hub::new(&set.stage, "idle-hub", None);
    for actor in [&*other.id, "idle-hub"] {
        let path = format!("/v1/audit?actor={actor}");
        let found = set.stage.operator().get(&path).expect(200);
        assert_eq!(found["data"], json!([]), "it did nothing");
    }
    let listed = set.admin.get("/v1/services").expect(200);
    assert!(!listed.to_string().contains(&set.hub.key), "{listed}");
    set.finish();
}

#[test]
fn a_stolen_service_key_alone_acts_for_nobody() {
    let set = Set::new();
    let thief = set.hub.alone(&set.stage);
    let resolve = json!({"tool": "custom-x", "credentialOverrides": {"apiKey": "KEY"}});
    let execute = json!({"handle": "none", "method": "GET", "url": set.url()});
    // As many as one source may fail at once.
    let mut tries: Vec<_> = beyond().into_iter().step_by(3).collect();
    tries.push(("POST", "/v1/resolve".into(), resolve));
    tries.push(("POST", "/v1/execute".into(), execute));
    tries.push(("GET", "/v1/me".into(), Value::Null));
    let lane = egress(&set.url());
    for one in &tries {
        let reply = ask(&set.stage, &thief, one);
        assert_eq!(reply.refused(403), "subject_missing", "{one:?}");
        assert!(text(&reply).contains("X-RunTools-Subject-Token"));
    }
    let reply = thief.header("x-runtools-handle", "none").get(&lane);
    assert_eq!(reply.refused(403), "subject_missing");
    assert_eq!(set.upstream.accepted(), 0, "nothing was sent anywhere");
    let entry = set.stage.journal("auth.failed").swap_remove(0);
    assert_eq!(entry["decision"]["denied"], "subject_missing", "{entry}");
    assert_eq!(entry["actor"]["id"], set.hub.id, "{entry}");
    set.finish();
}

#[test]
fn a_service_sees_changes_and_reveals_nothing_whomever_it_acts_for() {
    let set = Set::new();
    let admin = set.hub.with_token(&set.stage, &set.admin_key);
    set.delegate(&set.bob.user);
    let bob = set.hub.for_user(&set.stage, &set.bob.user);
    for hub in [&admin, &bob] {
        for one in &beyond() {
            let reply = ask(&set.stage, hub, one);
            assert_eq!(reply.refused(403), "not_for_services", "{one:?}");
        }
    }
    assert_eq!(set.stage.operator().get("/readyz").status, 200);
    let entry = set.stage.journal("auth.denied").swap_remove(0);
    assert_eq!(entry["actor"]["type"], "service", "{entry}");
    assert_eq!(entry["on_behalf_of"], set.bob.user, "{entry}");
    set.finish();
}

#[test]
fn hs_4_the_subject_must_be_good_now_and_of_the_services_own_organisation() {
    let set = Set::new();
    let body = json!({"name": "Acme", "createKey": true});
    let other = set.stage.operator().post("/v1/organizations", &body);
    let other = other.expect(201)["data"].clone();
    let theirs = other["key"].as_str().unwrap();
    let expired = set.expired_key();
    let revoked = set.revoked_key();
    let unknown = "rt_live_0123456789abcdefghijklmnopqrstuvABCDEF";
    let mut answers = Vec::new();
    let mut refused = |hub: &Client, denied: &str| {
        let reply = try_resolve(&set.stage, hub, "custom-x", &json!({}));
        assert_eq!(reply.refused(403), "subject_refused", "{denied}");
        let entry = set.stage.journal("auth.failed").swap_remove(0);
        assert_eq!(entry["decision"]["denied"], denied, "{entry}");
        assert_eq!(entry["actor"]["id"], set.hub.id, "{entry}");
        let mut told = reply.value();
        told["error"]["requestId"] = Value::Null;
        answers.push(told);
        entry
    };
    let foreign = refused(&set.hub.with_token(&set.stage, theirs), "subject_elsewhere");
    assert!(
        foreign["targets"].is_null(),
        "another organisation's key is not named: {foreign}"
    );
    let with = |token: &str| set.hub.with_token(&set.stage, token);
    refused(&with(unknown), "subject_malformed");
    refused(&with(&set.hub.key), "subject_malformed");
    refused(&with("x"), "subject_malformed");
    refused(&with(&revoked), "subject_revoked");
    eventually(|| {
        let reply = with(&expired).get("/v1/me");
        (reply.status == 403).then_some(())
    });
    refused(&with(&expired), "subject_expired");
    let nobody = "3f2b8c1e-5d0a-4c8e-9b1f-2a6d7e8f9a0b";
    refused(&set.hub.for_user(&set.stage, nobody), "not_delegated");
    refused(
        &set.hub.for_user(&set.stage, &set.bob.user),
        "not_delegated",
    );
    set.stage.operator().delete(&set.bob.path()).expect(200);
    refused(&with(&set.bob.key), "subject_not_a_member");
    answers.dedup();
    assert_eq!(answers.len(), 1, "one answer for all: {answers:?}");
    assert_eq!(set.upstream.accepted(), 0);
    set.finish();
}

#[test]
fn a_users_key_gives_a_service_no_more_than_it_has_itself() {
    let set = Set::new();
    let narrow = set.bob_key(&["secret:read"]);
    let hub = set.hub.with_token(&set.stage, &narrow);
    let reply = try_resolve(&set.stage, &hub, "custom-x", &json!({}));
    assert_eq!(reply.refused(403), "missing_scope");
    let resolving = set.bob_key(&["broker:resolve"]);
    let hub = set.hub.with_token(&set.stage, &resolving);
    resolve(&set.stage, &hub, "custom-x", &json!({}));
    let ran = set.stage.run(&hub, "custom-x", &stage::with("KEY"));
    assert_eq!(ran.refused(403), "missing_scope");
    set.finish();
}

#[test]
fn a_subject_is_named_once_and_by_services_only() {
    let set = Set::new();
    let bob = set.stage.broker.anonymous().key(&set.bob.key);
    let token = "x-runtools-subject-token";
    for client in [
        bob.header(token, &set.admin_key),
        bob.header("x-runtools-subject", &set.bob.user),
        set.stage.broker.anonymous().header(token, &set.bob.key),
        set.stage.operator().header(token, &set.bob.key),
        set.hub
            .with_token(&set.stage, &set.bob.key)
            .header(token, &set.admin_key),
        set.hub
            .with_token(&set.stage, &set.bob.key)
            .header("x-runtools-subject", &set.bob.user),
        set.hub.for_user(&set.stage, "bob"),
    ] {
        assert_eq!(client.get("/v1/me").refused(400), "bad_request");
    }
    // A service key is nobody's token, and nobody's key without its form.
    let wrong = format!("{}_", &set.hub.key[..set.hub.key.len() - 1]);
    for key in [wrong.as_str(), "rt_svc_", "rt_svc_x"] {
        let client = set.stage.broker.anonymous().key(key);
        let reply = client.header(token, &set.bob.key).get("/v1/me");
        assert_eq!(reply.refused(401), "unauthorized", "{key}");
    }
    set.finish();
}

#[test]
fn a_replaced_key_works_for_its_grace_and_a_removed_service_not_at_all() {
    let set = Set::new();
    let hub = |key: &str| {
        let client = set.stage.broker.anonymous().key(key);
        client.header("x-runtools-subject-token", &set.bob.key)
    };
    let path = format!("/v1/operator/services/{}", set.hub.id);
    let rotate = |body: &Value| {
        let reply = set
            .stage
            .operator()
            .post(&format!("{path}/rotate"), body)
            .expect(201);
        reply["data"]["key"].as_str().unwrap().to_owned()
    };
    let second = rotate(&json!({"graceSeconds": 600}));
    let used = || {
        let listed = set.admin.get("/v1/services").expect(200);
        let all = listed["data"][0]["credentials"].as_array().unwrap().clone();
        all.iter()
            .map(|one| one["lastUsedAt"].is_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(used(), [false, false]);
    hub(&second).get("/v1/me").expect(200);
    assert_eq!(used(), [false, true], "the old one is used no more");
    hub(&set.hub.key).get("/v1/me").expect(200);
    assert_eq!(used(), [true, true]);
    let third = rotate(&json!({}));
    for old in [&set.hub.key, &second] {
        assert_eq!(hub(old).get("/v1/me").refused(401), "unauthorized");
    }
    hub(&third).get("/v1/me").expect(200);
    let long = json!({"graceSeconds": 604_801});
    let reply = set.stage.operator().post(&format!("{path}/rotate"), &long);
    assert_eq!(reply.status, 400);
    set.admin
        .delete(&format!("/v1/services/{}", set.hub.id))
        .expect(200);
    assert_eq!(hub(&third).get("/v1/me").refused(401), "unauthorized");
    let entry = set.stage.journal("auth.failed").swap_remove(0);
    assert_eq!(entry["targets"][0]["id"], set.hub.id, "{entry}");
    let gone = set
        .stage
        .operator()
        .post(&format!("{path}/rotate"), &json!({}));
    assert_eq!(gone.refused(404), "not_found");
    // Its name is free again, and the new one is another.
    let again = Hub::new(&set.stage, "tool-hub", None);
    assert_ne!(again.id, set.hub.id);
    for action in ["service.add", "service.rotate", "service.remove"] {
        let entry = set.stage.journal(action).swap_remove(0);
        assert_eq!(entry["targets"][0]["kind"], "service", "{entry}");
    }
    set.finish();
}

#[test]
fn when_a_credential_was_last_used_is_known_after_a_restart() {
    let mut set = Set::new();
    let hub = set.hub.with_token(&set.stage, &set.bob.key);
    hub.get("/v1/me").expect(200);
    assert_eq!(set.stage.broker.stop(), Some(0));
    set.stage.broker.restart();
    let listed = set.stage.operator().get("/v1/operator/services");
    let used = &listed.expect(200)["data"][0]["credentials"][0]["lastUsedAt"];
    assert!(used.is_string(), "{used}");
    set.finish();
}

#[test]
fn services_are_made_by_the_operator_in_the_organisation_that_is_named() {
    let set = Set::new();
    let operator = set.stage.operator();
    let body = json!({"name": "Acme", "slug": "acme", "createKey": true});
    let acme = operator.post("/v1/organizations", &body).expect(201)["data"].clone();
    let theirs = set
        .stage
        .broker
        .anonymous()
        .key(acme["key"].as_str().unwrap());
    let hub = Hub::new(&set.stage, "tool-hub", Some("acme"));
    let listed = theirs.get("/v1/services").expect(200)["data"].clone();
    assert_eq!(listed[0]["id"], hub.id);
    assert_eq!(listed[0]["organizationId"], acme["id"]);
    let entry = theirs.get("/v1/audit?action=service.add").expect(200);
    assert_eq!(entry["data"][0]["targets"][0]["id"], hub.id);
    let all = operator.get("/v1/operator/services").expect(200);
    assert_eq!(all["data"].as_array().unwrap().len(), 2);
    // A hub of theirs acts for none of ours.
    let client = hub.with_token(&set.stage, &set.bob.key);
    assert_eq!(client.get("/v1/me").refused(403), "subject_refused");
    for (body, status) in [
        (json!({"name": "tool-hub", "organization": "acme"}), 409),
        (json!({"name": "Tool Hub"}), 400),
        (json!({"name": "x", "organization": "nobody"}), 404),
    ] {
        let reply = operator.post("/v1/operator/services", &body);
        assert_eq!(reply.status, status, "{body}: {}", text(&reply));
    }
    set.finish();
}

#[test]
fn a_service_takes_the_rate_of_a_user_whomever_it_acts_for() {
    let setup = harness::Setup {
        burst: Some(60),
        ..harness::Setup::default()
    };
    let stage = Stage::with(setup);
    let upstream = Upstream::echo();
    let set = Set::over(stage, upstream);
    let cat = set.member("Cat");
    let (bob, cat) = (
        set.hub.with_token(&set.stage, &set.bob.key),
        set.hub.with_token(&set.stage, &cat.key),
    );
    let mut limited = false;
    for n in 0..400 {
        let client = if n % 2 == 0 { &bob } else { &cat };
        limited |= client.get("/v1/me").status == 429;
    }
    assert!(limited, "both together are more than one may send");
    let own = set.stage.broker.anonymous().key(&set.bob.key);
    assert_eq!(own.get("/v1/me").status, 200, "the user is not held up");
    set.finish();
}
