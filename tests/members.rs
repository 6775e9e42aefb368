//! Organisations and members over the API.
#![expect(clippy::too_many_lines, reason = "a journey is told in one piece")]

mod harness;

use harness::{Broker, Client};
use runtools_broker::crypto::Record;
use runtools_broker::store::{DEFAULT_CACHE_BYTES, DiskEngine, Engine, EngineKind};
use serde_json::{Value, json};

const MEMBERS: &str = "/v1/organizations/current/members";

fn add(client: &Client, body: &Value) -> Value {
    client.post(MEMBERS, body).expect(201)["data"].clone()
}

fn path(member: &Value) -> String {
    format!("{MEMBERS}/{}", member["id"].as_str().unwrap())
}

#[test]
fn members_are_added_listed_changed_and_removed() {
    let broker = Broker::start();
    let admin = broker.admin(&[]);
    let ann = add(
        &admin,
        &json!({"name": "Ann", "email": "ann@example.com", "createKey": true}),
    );
    assert_eq!(ann["role"], "member");
    assert_eq!(ann["status"], "active");
    let hers = broker.anonymous().key(ann["key"].as_str().unwrap());
    let me = hers.get("/v1/me").expect(200)["data"].clone();
    assert_eq!(me["id"], ann["userId"]);
    assert_eq!(me["firstName"], "Ann");
    assert_eq!(me["email"], "ann@example.com");
    assert_eq!(me["role"], "member");
    assert_eq!(me["isAdmin"], false);
    let bob = add(&admin, &json!({"name": "Bob", "role": "admin"}));
    assert!(bob.get("key").is_none());
    let list = hers.get(MEMBERS).expect(200);
    let names: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["Admin", "Ann", "Bob"]);
    assert!(list["data"][1].get("key").is_none());
    for (method, path, body) in [
        ("POST", MEMBERS.to_owned(), json!({"name": "Eve"})),
        ("PATCH", path(&ann), json!({"role": "admin"})),
        ("DELETE", path(&bob), Value::Null),
    ] {
        assert_eq!(
            hers.json(method, &path, &body).refused(403),
            "admin_only",
            "{method}"
        );
    }
    let changed = admin
        .json("PATCH", &path(&ann), &json!({"role": "admin"}))
        .expect(200);
    assert_eq!(changed["data"]["role"], "admin");
    assert_eq!(
        hers.get("/v1/me").expect(200)["data"]["role"],
        "admin",
        "from the next request on"
    );
    add(&hers, &json!({"name": "Carl"}));
    admin
        .json("PATCH", &path(&ann), &json!({"role": "member"}))
        .expect(200);
    assert_eq!(
        hers.post(MEMBERS, &json!({"name": "Dan"})).refused(403),
        "admin_only"
    );
    admin.delete(&path(&ann)).expect(200);
    assert_eq!(hers.get("/v1/me").refused(401), "unauthorized");
    assert_eq!(admin.delete(&path(&ann)).refused(404), "not_found");
    assert_eq!(
        admin
            .json("PATCH", &path(&ann), &json!({"role": "admin"}))
            .refused(404),
        "not_found"
    );
    let list = admin.get(MEMBERS).expect(200);
    assert_eq!(list["data"][1]["status"], "removed");
    for bad in [
        json!({}),
        json!({"name": ""}),
        json!({"name": "x", "role": "owner"}),
        json!({"name": "x", "email": "nope"}),
        json!({"name": "x", "email": "a@b"}),
        json!({"name": "x", "uid": -1}),
        json!({"name": "x", "status": "active"}),
    ] {
        assert_eq!(
            admin.post(MEMBERS, &bad).refused(400),
            "bad_request",
            "{bad}"
        );
    }
}

#[test]
fn the_last_admin_stays() {
    let broker = Broker::start();
    let admin = broker.admin(&[]);
    let list = admin.get(MEMBERS).expect(200);
    let first = list["data"][0].clone();
    assert_eq!(admin.delete(&path(&first)).refused(409), "last_admin");
    assert_eq!(
        admin
            .json("PATCH", &path(&first), &json!({"role": "member"}))
            .refused(409),
        "last_admin"
    );
    admin.get("/v1/audit/head").expect(200);
    // Of two admins that remove each other at once, one stays.
    let ann = add(
        &admin,
        &json!({"name": "Ann", "role": "admin", "createKey": true}),
    );
    let bob = add(
        &admin,
        &json!({"name": "Bob", "role": "admin", "createKey": true}),
    );
    let step_down = json!({"role": "member"});
    broker
        .operator()
        .json("PATCH", &path(&first), &step_down)
        .expect(200);
    let hers = broker.anonymous().key(ann["key"].as_str().unwrap());
    let his = broker.anonymous().key(bob["key"].as_str().unwrap());
    let ends = std::thread::scope(|scope| {
        let one = scope.spawn(|| his.delete(&path(&ann)).status);
        let two = scope.spawn(|| hers.delete(&path(&bob)).status);
        [one.join().unwrap(), two.join().unwrap()]
    });
    assert_eq!(
        ends.iter().filter(|status| **status == 200).count(),
        1,
        "{ends:?}"
    );
    let left = if ends[0] == 200 { &his } else { &hers };
    left.get("/v1/audit/head").expect(200);
}

#[test]
fn only_the_operator_ties_a_member_to_a_user_of_the_machine() {
    let broker = Broker::start();
    let (operator, admin) = (broker.operator(), broker.admin(&[]));
    let body = json!({"name": "Ann", "uid": 54_321});
    assert_eq!(admin.post(MEMBERS, &body).refused(403), "operator_only");
    assert_eq!(
        admin.get(MEMBERS).expect(200)["data"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let ann = add(&operator, &body);
    assert_eq!(ann["uid"], 54_321);
    let again = operator.post(MEMBERS, &json!({"name": "Bob", "uid": 54_321}));
    assert_eq!(again.refused(409), "exists");
    assert_eq!(
        operator.get(MEMBERS).expect(200)["data"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    admin.delete(&path(&ann)).expect(200);
    assert_eq!(
        add(&operator, &json!({"name": "Bob", "uid": 54_321}))["uid"],
        54_321,
        "it is free again"
    );
}

#[test]
fn an_operator_makes_organisations_and_gets_a_key_to_act_in_them() {
    let broker = Broker::start();
    let (operator, admin) = (broker.operator(), broker.admin(&[]));
    let body = json!({"name": "Acme Ltd.", "createKey": true});
    assert_eq!(
        admin.post("/v1/organizations", &body).refused(403),
        "operator_only"
    );
    let made = operator.post("/v1/organizations", &body).expect(201)["data"].clone();
    assert_eq!(made["slug"], "acme-ltd");
    assert_eq!(made["role"], "admin");
    let acme = broker.anonymous().key(made["key"].as_str().unwrap());
    let me = acme.get("/v1/me").expect(200)["data"].clone();
    assert_eq!(me["organizationId"], made["id"]);
    assert_eq!(me["organizationName"], "Acme Ltd.");
    assert_eq!(me["role"], "admin");
    assert_eq!(
        me["isAdmin"], false,
        "a key never operates the installation"
    );
    let current = acme.get("/v1/organizations/current").expect(200);
    assert_eq!(current["data"]["id"], made["id"]);
    assert_eq!(
        acme.get(MEMBERS).expect(200)["data"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let plain = operator
        .post("/v1/organizations", &json!({"name": "Other"}))
        .expect(201);
    assert!(plain["data"].get("key").is_none());
    let taken = operator.post(
        "/v1/organizations",
        &json!({"name": "X", "slug": "acme-ltd"}),
    );
    assert_eq!(taken.refused(409), "exists");
    for bad in [
        json!({}),
        json!({"name": ""}),
        json!({"name": "x", "slug": "A"}),
        json!({"name": "x", "slug": "-a"}),
    ] {
        assert_eq!(
            operator.post("/v1/organizations", &bad).refused(400),
            "bad_request",
            "{bad}"
        );
    }
    let list = operator.get("/v1/organizations").expect(200);
    assert_eq!(list["data"].as_array().unwrap().len(), 3);
    let id = made["id"].as_str().unwrap();
    let renamed = acme
        .json(
            "PATCH",
            &format!("/v1/organizations/{id}"),
            &json!({"name": "Acme"}),
        )
        .expect(200);
    assert_eq!(renamed["data"]["name"], "Acme");
    assert_eq!(
        operator.get("/v1/organizations/current").expect(200)["data"]["name"],
        "Default"
    );
    assert_eq!(
        operator
            .get(&format!("/v1/organizations/{id}"))
            .refused(404),
        "not_found"
    );
}

/// How often the records of a stopped broker's store name the key of this id.
fn named(broker: &Broker, id: &str) -> usize {
    let path = broker.data().join("store");
    let engine = DiskEngine::open(&path, EngineKind::Sled, DEFAULT_CACHE_BYTES).unwrap();
    let mut count = 0;
    let mut look = |_: &[u8], value: &[u8]| {
        let name = Record::parse(value).unwrap().key();
        count += usize::from(name.is_some_and(|name| name.id.to_string() == id));
        Ok(())
    };
    engine.visit(&[], None, &mut look).unwrap();
    count
}

#[test]
fn what_a_removed_member_kept_goes_with_the_key_that_it_was_under() {
    let mut broker = Broker::start();
    let operator = broker.operator();
    let ann = add(&operator, &json!({"name": "Ann", "createKey": true}));
    let bob = add(&operator, &json!({"name": "Bob", "createKey": true}));
    let [hers, his] = [&ann, &bob].map(|one| broker.anonymous().key(one["key"].as_str().unwrap()));
    for client in [&hers, &his] {
        for n in 0..40 {
            let secret = json!({"name": format!("OWN_{n}"), "value": "a value of one's own"});
            client.post("/v1/secrets", &secret).expect(201);
            client.post("/v1/secrets", &secret).expect(200);
        }
        client
            .send("POST", "/v1/tools/github/install", None)
            .expect(200);
        let token = json!({"token": "a token of one's own"});
        client
            .json("PUT", "/v1/tools/github/credentials", &token)
            .expect(200);
    }
    let shared = json!({"name": "SHARED", "value": "v", "orgWide": true});
    operator.post("/v1/secrets", &shared).expect(201);
    let all = |client: &Client| {
        let list = client.get("/v1/secrets?all=true&limit=200").expect(200);
        list["data"].as_array().unwrap().len()
    };
    assert_eq!(all(&operator), 81);
    let gone = operator.delete(&path(&ann)).expect(200);
    assert_eq!(
        gone["data"],
        json!({"success": true, "level": "logical", "keyDestroyed": true})
    );
    assert_eq!(all(&operator), 41);
    let log = operator.get("/v1/audit?action=key.destroy").expect(200);
    assert_eq!(log["data"][0]["code"], "with_key", "{log}");
    his.get("/v1/secrets/OWN_7").expect(200);
    let keys = json!({"level": "owner"});
    operator.post("/v1/key-rotation", &keys).expect(201);
    harness::eventually(|| {
        let found = operator.get("/v1/key-rotation").expect(200);
        (found["data"]["rotation"]["phase"] == "finished").then_some(())
    });
    his.post("/v1/secrets/OWN_7/reveal", &json!({})).expect(200);
    assert_eq!(broker.stop(), Some(0));
    let [hers, his] = [&ann, &bob].map(|one| named(&broker, one["userId"].as_str().unwrap()));
    assert_eq!(hers, 0);
    assert!(his > 120, "{his}");
    broker.restart();
    assert_eq!(all(&broker.operator()), 41);
}
