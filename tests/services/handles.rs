//! A service's handles are its own, for the one user it asked for.

use serde_json::{Value, json};

use super::hub::{Hub, Set};
use crate::lanes::{LANES, Wish, resolve, try_resolve};

#[test]
fn hs_3_a_handle_of_a_service_is_of_no_use_to_anybody_else() {
    let set = Set::new();
    let cat = set.member("Cat");
    let other = Hub::new(&set.stage, "other-hub", None);
    set.delegate(&set.bob.user);
    let stage = &set.stage;
    let hub = set.hub.with_token(stage, &set.bob.key);
    let handle = resolve(
        stage,
        &hub,
        "custom-x",
        &json!({"onBehalfOf": set.bob.user}),
    );
    let other_user = json!({"onBehalfOf": cat.user});
    let reply = try_resolve(stage, &hub, "custom-x", &other_user);
    assert_eq!(reply.refused(403), "another_user");
    let second = set.bob_key(&[]);
    let strangers = [
        (
            "the user without it",
            stage.broker.anonymous().key(&set.bob.key),
        ),
        ("another service", other.with_token(stage, &set.bob.key)),
        ("it for another user", set.hub.with_token(stage, &cat.key)),
        ("it with another key", set.hub.with_token(stage, &second)),
        ("it without a key", set.hub.for_user(stage, &set.bob.user)),
        ("an admin", set.admin.clone()),
    ];
    for (who, stranger) in &strangers {
        for lane in LANES {
            let came = lane.send(stage, stranger, &handle.text, &Wish::get(&set.url()));
            assert_eq!((came.status, &*came.code), (404, "handle_unknown"), "{who}");
        }
    }
    assert_eq!(set.upstream.accepted(), 0, "nothing was sent anywhere");
    let entry = stage.journal("broker.exchange").swap_remove(0);
    assert_eq!(entry["code"], "foreign_handle", "{entry}");
    let path = format!("/v1/resolutions/{}", handle.id);
    let release = |client: &crate::harness::Client| {
        let reply = client.delete(&path);
        stage.keep("release", &reply);
        reply
    };
    for (who, stranger) in &strangers[1..3] {
        assert_eq!(release(stranger).refused(404), "not_found", "{who}");
    }
    let came = LANES[0].send(stage, &hub, &handle.text, &Wish::get(&set.url()));
    assert_eq!(came.status, 200, "the one who asked for it: {came:?}");
    // Whose it is may end it, whoever acts for them.
    assert_eq!(release(&strangers[0].1).status, 200);
    set.finish();
}

#[test]
fn hs_2_a_handle_of_a_service_dies_with_whatever_let_it_be_asked_for() {
    let set = Set::new();
    let stage = &set.stage;
    set.delegate(&set.bob.user);
    let wish = Wish::get(&set.url());
    let dead = |hub: &crate::harness::Client, handle: &str, what: &str| {
        let before = set.upstream.seen().len();
        for lane in LANES {
            let came = lane.send(stage, hub, handle, &wish);
            assert!(
                matches!(came.status, 401 | 403 | 404 | 410),
                "{what}: {came:?}"
            );
        }
        assert_eq!(
            set.upstream.seen().len(),
            before,
            "{what}: nothing was sent"
        );
    };
    let works = |hub: &crate::harness::Client| {
        let handle = resolve(stage, hub, "custom-x", &json!({})).text;
        let came = LANES[0].send(stage, hub, &handle, &wish);
        assert_eq!(came.status, 200, "{came:?}");
        handle
    };
    let background = set.hub.for_user(stage, &set.bob.user);
    let handle = works(&background);
    set.undelegate(&set.bob.user);
    dead(&background, &handle, "the delegation ended");
    // What died does not come to life again.
    set.delegate(&set.bob.user);
    let answers = LANES.map(|lane| lane.send(stage, &background, &handle, &wish).code);
    assert_eq!(answers, ["handle_unknown"; 2]);

    let key = set.bob_key(&[]);
    let hub = set.hub.with_token(stage, &key);
    let handle = works(&hub);
    let path = format!("/v1/operator/services/{}/rotate", set.hub.id);
    let turned = stage.operator().post(&path, &json!({})).expect(201);
    dead(&hub, &handle, "the key of the service was replaced");

    let new = Hub {
        id: set.hub.id.clone(),
        key: turned["data"]["key"].as_str().unwrap().to_owned(),
    };
    let hub = new.with_token(stage, &key);
    let handle = works(&hub);
    let keys = stage.broker.anonymous().key(&set.bob.key);
    let listed = keys.get("/v1/api-keys").expect(200);
    let is_it = |one: &&Value| one["keyPrefix"] == key[..12];
    let id = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(is_it)
        .unwrap()["id"]
        .clone();
    let path = format!("/v1/api-keys/{}", id.as_str().unwrap());
    keys.delete(&path).expect(200);
    dead(&hub, &handle, "the key of the user was revoked");

    let hub = new.with_token(stage, &set.bob.key);
    let handle = works(&hub);
    let path = format!("/v1/services/{}", set.hub.id);
    set.admin.delete(&path).expect(200);
    dead(&hub, &handle, "the service was removed");
    set.finish();
}

#[test]
fn a_lockdown_ends_every_handle_and_the_service_that_asked_for_one() {
    let set = Set::new();
    let stage = &set.stage;
    set.delegate(&set.bob.user);
    let operator = stage.operator();
    let own = json!({"name": "KEY", "value": "a value of the operator's own"});
    operator.post("/v1/secrets", &own).expect(201);
    let hub = set.hub.for_user(stage, &set.bob.user);
    // The operator is who unseals, and is known by the socket before and after.
    let holders = [(&hub, "the service"), (&operator, "the operator")];
    let wish = Wish::get(&set.url());
    let handles = holders.map(|(holder, _)| {
        let handle = resolve(stage, holder, "custom-x", &json!({})).text;
        let came = LANES[0].send(stage, holder, &handle, &wish);
        assert_eq!(came.status, 200, "{came:?}");
        handle
    });
    let sent = set.upstream.seen().len();
    let run = |words: &[&str]| {
        let ran = stage.broker.runs(words, None);
        assert_eq!(ran.exit, 0, "{}", ran.stderr);
    };
    let answers = |wanted: [&[u16]; 2], when: &str| {
        for (at, (holder, who)) in holders.into_iter().enumerate() {
            for lane in LANES {
                let came = lane.send(stage, holder, &handles[at], &wish);
                assert!(wanted[at].contains(&came.status), "{who}, {when}: {came:?}");
            }
        }
        assert_eq!(
            set.upstream.seen().len(),
            sent,
            "{when}: something was sent"
        );
    };
    run(&["lockdown", "--yes"]);
    answers([&[503], &[503]], "locked down");
    run(&["unseal"]);
    answers([&[401], &[404, 410]], "unsealed");
    let resolved = try_resolve(stage, &hub, "custom-x", &json!({}));
    assert_eq!(resolved.refused(401), "unauthorized");
    let anew = resolve(stage, &operator, "custom-x", &json!({})).text;
    let came = LANES[0].send(stage, &operator, &anew, &wish);
    assert_eq!(came.status, 200, "what is asked for now is good: {came:?}");
    set.finish();
}
