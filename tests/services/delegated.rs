//! Delegation: a service acts for a member without a key of theirs, because an admin says so.

use serde_json::{Value, json};

use super::hub::{Set, soon};
use crate::harness::eventually;
use crate::lanes::{LANES, Wish, resolve, try_resolve};

#[test]
fn an_admin_lets_a_service_act_for_a_member_who_sees_it_until_it_is_ended() {
    let set = Set::new();
    let cat = set.member("Cat");
    let hub = set.hub.for_user(&set.stage, &set.bob.user);
    let refused = || {
        let reply = try_resolve(&set.stage, &hub, "custom-x", &json!({}));
        assert_eq!(reply.refused(403), "subject_refused");
    };
    refused();
    let made = set.delegate(&set.bob.user);
    assert_eq!(made["userName"], "Bob");
    let handle = resolve(&set.stage, &hub, "custom-x", &json!({}));
    for lane in LANES {
        let came = lane.send(&set.stage, &hub, &handle.text, &Wish::get(&set.url()));
        assert_eq!((came.status, &*came.code), (200, ""), "{came:?}");
    }
    let entry = set.stage.ended("broker.exchange");
    assert!(entry["actor"]["word"]["delegation"].is_string(), "{entry}");
    assert_eq!(entry["on_behalf_of"], set.bob.user, "{entry}");

    // For the one who was named, and for nobody else.
    let other = set.hub.for_user(&set.stage, &cat.user);
    assert_eq!(other.get("/v1/me").refused(403), "subject_refused");
    let bob = set.stage.broker.anonymous().key(&set.bob.key);
    let me = bob.get("/v1/me").expect(200);
    assert_eq!(me["data"]["delegations"][0]["serviceName"], "tool-hub");
    assert_eq!(me["data"]["delegations"][0]["serviceId"], set.hub.id);
    let me = set
        .stage
        .broker
        .anonymous()
        .key(&cat.key)
        .get("/v1/me")
        .expect(200);
    assert_eq!(me["data"]["delegations"], json!([]));
    let path = format!("/v1/services/{}/delegations", set.hub.id);
    let listed = set.admin.get(&path).expect(200);
    assert_eq!(listed["data"][0]["userId"], set.bob.user);

    // One that is prolonged is there since it was first granted.
    let until = json!({"userId": set.bob.user, "expiresIn": "30d"});
    let longer = set.admin.post(&path, &until).expect(201)["data"].clone();
    assert!(longer["expiresAt"].is_string(), "{longer}");
    assert_eq!(longer["createdAt"], made["createdAt"]);

    set.undelegate(&set.bob.user);
    refused();
    let path = format!("{path}/{}", set.bob.user);
    assert_eq!(set.admin.delete(&path).refused(404), "not_found");
    for action in ["service.delegate", "service.undelegate"] {
        let entry = set.stage.journal(action).swap_remove(0);
        assert_eq!(entry["targets"][0]["id"], set.hub.id, "{entry}");
        assert_eq!(entry["targets"][1]["id"], set.bob.user, "{entry}");
    }
    set.finish();
}

#[test]
fn a_delegation_ends_with_its_time_its_member_and_its_service() {
    let set = Set::new();
    let cat = set.member("Cat");
    let path = format!("/v1/services/{}/delegations", set.hub.id);
    let body = json!({"userId": set.bob.user, "expiresIn": soon().to_string()});
    set.admin.post(&path, &body).expect(201);
    let bob = set.hub.for_user(&set.stage, &set.bob.user);
    eventually(|| (bob.get("/v1/me").status == 403).then_some(()));
    assert_eq!(set.admin.get(&path).expect(200)["data"], json!([]));

    set.delegate(&cat.user);
    let hub = set.hub.for_user(&set.stage, &cat.user);
    hub.get("/v1/me").expect(200);
    set.stage.operator().delete(&cat.path()).expect(200);
    assert_eq!(hub.get("/v1/me").refused(403), "subject_refused");

    set.delegate(&set.bob.user);
    bob.get("/v1/me").expect(200);
    let service = format!("/v1/operator/services/{}", set.hub.id);
    set.stage.operator().delete(&service).expect(200);
    assert_eq!(bob.get("/v1/me").refused(401), "unauthorized");
    assert_eq!(set.admin.get(&path).refused(404), "not_found");
    set.finish();
}

#[test]
fn only_admins_delegate_and_only_members_of_their_own_organisation() {
    let set = Set::new();
    let path = format!("/v1/services/{}/delegations", set.hub.id);
    let bob = set.stage.broker.anonymous().key(&set.bob.key);
    let body = json!({"userId": set.bob.user});
    assert_eq!(bob.post(&path, &body).refused(403), "admin_only");
    assert_eq!(bob.get(&path).refused(403), "admin_only");
    let made = set.stage.operator().post(
        "/v1/organizations",
        &json!({"name": "Acme", "createKey": true}),
    );
    let theirs = made.expect(201)["data"]["key"].as_str().unwrap().to_owned();
    let acme = set.stage.broker.anonymous().key(&theirs);
    let members = "/v1/organizations/current/members";
    let eve = acme.post(members, &json!({"name": "Eve"})).expect(201)["data"].clone();
    for (admin, user) in [
        (&set.admin, &eve["userId"]),
        (&acme, &json!(set.bob.user)),
        (&acme, &eve["userId"]),
        (&set.admin, &json!("3f2b8c1e-5d0a-4c8e-9b1f-2a6d7e8f9a0b")),
        (&set.admin, &json!("bob")),
    ] {
        let reply = admin.post(&path, &json!({"userId": user}));
        assert_eq!(reply.refused(404), "not_found", "{user}");
    }
    let wrong = json!({"userId": set.bob.user, "expiresIn": "yesterday"});
    assert_eq!(set.admin.post(&path, &wrong).status, 400);
    let unknown: Value = set.admin.get(&path).expect(200);
    assert_eq!(unknown["data"], json!([]));
    set.finish();
}

#[test]
fn the_command_line_delegates_and_ends_it() {
    let set = Set::new();
    let run = |words: &[&str]| set.cli(words);
    let said = run(&[
        "service",
        "delegate",
        "tool-hub",
        &set.bob.user,
        "--expires",
        "30d",
    ]);
    assert_eq!(said.exit, 0, "{}", said.stderr);
    assert!(said.stderr.contains("may act for Bob"), "{}", said.stderr);
    let listed = run(&["service", "delegations", "tool-hub"]);
    assert!(listed.stdout.contains("Bob"), "{}", listed.stdout);
    let listed = run(&["service", "list"]);
    assert!(
        listed.stdout.contains("broker:resolve"),
        "{}",
        listed.stdout
    );
    let hub = set.hub.for_user(&set.stage, &set.bob.user);
    hub.get("/v1/me").expect(200);
    resolve(&set.stage, &hub, "custom-x", &json!({}));
    let audit = run(&["audit", "list", "--action", "broker.resolve"]);
    let by = "tool-hub for Bob";
    assert!(audit.stdout.contains(by), "{}", audit.stdout);
    let ended = run(&["service", "undelegate", "tool-hub", &set.bob.user]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    assert_eq!(hub.get("/v1/me").refused(403), "subject_refused");
    let audit = run(&["audit", "list", "--action", "service.undelegate"]);
    assert!(
        audit.stdout.contains("service.undelegate"),
        "{}",
        audit.stdout
    );
    let removed = run(&["service", "remove", "tool-hub", "--yes"]);
    assert_eq!(removed.exit, 0, "{}", removed.stderr);
    assert_eq!(hub.get("/v1/me").refused(401), "unauthorized");
    set.finish();
}

#[test]
fn the_operators_command_line_makes_lists_replaces_and_removes() {
    let set = Set::new();
    let run = |words: &[&str]| set.stage.broker.runs(words, None);
    let made = run(&["service", "add", "agents", "--json"]).expect(0);
    let key = made["data"]["key"].as_str().unwrap();
    assert!(key.starts_with("rt_svc_"), "{made}");
    let listed = run(&["service", "list"]);
    assert!(listed.stdout.contains("agents") && !listed.stdout.contains(key));
    let turned = run(&["service", "rotate", "agents", "--grace", "60", "--json"]).expect(0);
    assert_ne!(turned["data"]["key"], made["data"]["key"]);
    let removed = run(&["service", "remove", "agents", "--yes"]);
    assert!(
        removed.stderr.contains("removed agents"),
        "{}",
        removed.stderr
    );
    assert_eq!(run(&["service", "remove", "agents", "--yes"]).exit, 2);
    set.finish();
}
