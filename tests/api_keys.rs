//! API keys over the API: made, shown once, changed, replaced, revoked; and when they are refused.
#![expect(clippy::too_many_lines, reason = "a journey is told in one piece")]

mod harness;

mod api_keys {
    mod refusals;
}

use harness::{Broker, Canaries, Client};

use serde_json::{Value, json};

fn make(client: &Client, body: &Value) -> Value {
    once(&client.post("/v1/api-keys", body).expect(201))
}

/// What a key's only answer holds; it says that it is the only one.
fn once(answer: &Value) -> Value {
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains("not shown again"), "{message}");
    answer["data"].clone()
}

fn text(made: &Value) -> &str {
    made["key"].as_str().unwrap()
}

fn days_from_now(end: &Value) -> i64 {
    use runtools_broker::clock::{Clock as _, SystemClock, Timestamp};
    let end = Timestamp::parse(end.as_str().unwrap()).unwrap();
    (end.millis_since(SystemClock.now()) + 60_000) / 86_400_000
}

#[test]
fn a_key_is_shown_once_and_is_everything_its_owner_may_do_unless_it_says_less() {
    let mut canaries = Canaries::new();
    let broker = Broker::start();
    let operator = broker.operator();
    let made = make(&operator, &json!({"name": "ci"}));
    let key = text(&made).to_owned();
    canaries.also(&key);
    assert!(
        key.starts_with("rt_live_") && key.len() == 46,
        "prefix, body and checksum"
    );
    assert_eq!(made["scopes"], json!(["*"]));
    assert_eq!(made["status"], "active");
    assert_eq!(made["keyPrefix"], &key[..12]);
    assert!(
        made["expiresAt"].is_null() && made["revokedAt"].is_null() && made["lastUsedAt"].is_null()
    );
    assert_eq!(
        make(&operator, &json!({"name": "x", "scopes": []}))["scopes"],
        json!(["*"])
    );
    let path = format!("/v1/api-keys/{}", made["id"].as_str().unwrap());
    let client = broker.anonymous().key(&key);
    client.get("/v1/me").expect(200);
    for reply in [
        operator.get(&path),
        operator.get("/v1/api-keys"),
        operator.get("/v1/api-keys?all=true"),
        client.get("/v1/me"),
    ] {
        reply.expect(200);
        canaries.absent_from("an answer", &reply.body);
    }
    // In memory at once, so that a list is true within the same second.
    assert!(operator.get(&path).expect(200)["data"]["lastUsedAt"].is_string());
    canaries.absent_from("the log", &broker.log_bytes());
    for (name, bytes) in broker.files() {
        canaries.absent_from(&name.display().to_string(), &bytes);
    }
}

#[test]
fn snake_case_bodies_are_understood_and_bad_ones_refused() {
    let broker = Broker::start();
    let operator = broker.operator();
    let project = "3f2b8c1e-5d0a-4c8e-9b1f-2a6d7e8f9a0b";
    let made = make(
        &operator,
        &json!({"name": "old", "expires_in": "30d", "is_test": true, "project_id": project}),
    );
    assert!(text(&made).starts_with("rt_test_"));
    assert_eq!(days_from_now(&made["expiresAt"]), 30);
    assert_eq!(made["projectId"], project);
    for (span, days) in [("30d", 30), ("90d", 90), ("1y", 365), ("2m", 60)] {
        let made = make(&operator, &json!({"name": "span", "expiresIn": span}));
        assert_eq!(days_from_now(&made["expiresAt"]), days, "{span}");
    }
    assert!(
        make(&operator, &json!({"name": "never", "expiresIn": "never"}))["expiresAt"].is_null()
    );
    let before = operator.get("/v1/api-keys").expect(200)["data"]
        .as_array()
        .unwrap()
        .len();
    for bad in [
        json!({}),
        json!({"name": ""}),
        json!({"name": " x"}),
        json!({"name": "x".repeat(101)}),
        json!({"name": "a\nb"}),
        json!({"name": "x", "scopes": ["everything"]}),
        json!({"name": "x", "scopes": ["secret:re*"]}),
        json!({"name": "x", "scopes": "*"}),
        json!({"name": "x", "expiresIn": "0d"}),
        json!({"name": "x", "expiresIn": "-1d"}),
        json!({"name": "x", "expiresIn": "1w"}),
        json!({"name": "x", "expiresIn": ""}),
        json!({"name": "x", "expiresIn": 30}),
        json!({"name": "x", "expiresIn": "11y"}),
        json!({"name": "x", "projectId": "nope"}),
        json!({"name": "x", "isTest": 1}),
        json!({"name": "x", "unknown": 1}),
        json!({"name": "x", "expiresIn": "1d", "expires_in": "1d"}),
    ] {
        assert_eq!(
            operator.post("/v1/api-keys", &bad).refused(400),
            "bad_request",
            "{bad}"
        );
    }
    let after = operator.get("/v1/api-keys").expect(200)["data"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(before, after);
}

#[test]
fn a_key_cannot_hand_out_more_than_it_has() {
    let broker = Broker::start();
    let narrow = broker.admin(&["api-key:*", "secret:read", "org:members"]);
    for scopes in [
        json!([]),
        json!(["*"]),
        json!(["secret:*"]),
        json!(["secret:read", "tool:read"]),
    ] {
        let body = json!({"name": "wider", "scopes": scopes});
        assert_eq!(
            narrow.post("/v1/api-keys", &body).refused(403),
            "scope_escalation"
        );
    }
    let made = make(
        &narrow,
        &json!({"name": "same", "scopes": ["secret:read", "api-key:read"]}),
    );
    let path = format!("/v1/api-keys/{}", made["id"].as_str().unwrap());
    let wider = json!({"scopes": ["secret:write"]});
    assert_eq!(
        narrow.json("PATCH", &path, &wider).refused(403),
        "scope_escalation"
    );
    assert_eq!(
        narrow
            .json("PATCH", &path, &json!({"scopes": []}))
            .refused(403),
        "scope_escalation"
    );
    // A broader key of the same owner cannot be replaced to get hold of its scopes.
    let broad = make(&broker.operator(), &json!({"name": "broad"}));
    let path = format!("/v1/api-keys/{}/rotate", broad["id"].as_str().unwrap());
    assert_eq!(
        narrow.send("POST", &path, None).refused(403),
        "scope_escalation"
    );
    // Nor can one be made for somebody else, as a member's first key.
    let member = json!({"name": "Mallory", "role": "admin", "createKey": true});
    let path = "/v1/organizations/current/members";
    assert_eq!(narrow.post(path, &member).refused(403), "scope_escalation");
    let members = broker.operator().get(path).expect(200);
    assert_eq!(
        members["data"].as_array().unwrap().len(),
        1,
        "and no member is left behind"
    );
}

#[test]
fn keys_are_read_and_changed_by_their_owner_and_admins() {
    let broker = Broker::start();
    let (admin, ann, bob) = (
        broker.admin(&[]),
        broker.member("Ann"),
        broker.member("Bob"),
    );
    let made = make(&ann, &json!({"name": "hers", "scopes": ["secret:read"]}));
    let path = format!("/v1/api-keys/{}", made["id"].as_str().unwrap());
    let rotate = format!("{path}/rotate");
    for (method, path) in [
        ("GET", &path),
        ("PATCH", &path),
        ("DELETE", &path),
        ("POST", &rotate),
    ] {
        assert_eq!(
            bob.json(method, path, &json!({})).refused(404),
            "not_found",
            "{method}"
        );
    }
    assert_eq!(bob.get("/v1/api-keys?all=true").refused(403), "admin_only");
    let ids = |client: &Client, query: &str| -> Vec<Value> {
        let list = client.get(&format!("/v1/api-keys{query}")).expect(200);
        list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| key["id"].clone())
            .collect()
    };
    assert!(ids(&ann, "").contains(&made["id"]));
    assert_eq!(ids(&ann, "")[0], made["id"], "newest first");
    assert!(!ids(&bob, "").contains(&made["id"]) && !ids(&admin, "").contains(&made["id"]));
    assert!(ids(&admin, "?all=true").contains(&made["id"]));
    let shown = admin.get(&path).expect(200);
    assert_eq!(shown["data"]["ownerDisplayName"], "Ann");
    let change = json!({"name": "renamed", "scopes": ["secret:write"], "projectId": null});
    let changed = ann.json("PATCH", &path, &change).expect(200);
    assert_eq!(changed["data"]["name"], "renamed");
    assert_eq!(changed["data"]["scopes"], json!(["secret:write"]));
    let hers = broker.anonymous().key(text(&made));
    assert_eq!(
        hers.get("/v1/secrets").refused(403),
        "missing_scope",
        "from the next request on"
    );
    assert_eq!(
        admin.send("POST", &rotate, None).refused(404),
        "not_found",
        "an admin never holds another's key"
    );
    admin.delete(&path).expect(200);
    assert_eq!(hers.get("/v1/me").refused(401), "unauthorized");
    assert_eq!(admin.delete(&path).refused(404), "not_found");
    assert_eq!(ann.get(&path).expect(200)["data"]["status"], "revoked");
    for odd in [
        "x",
        "00000000-0000-4000-8000-000000000000",
        &made["id"].as_str().unwrap().to_uppercase(),
    ] {
        assert_eq!(
            admin.get(&format!("/v1/api-keys/{odd}")).refused(404),
            "not_found",
            "{odd}"
        );
    }
}

#[test]
fn a_replaced_key_works_for_its_grace_and_no_longer() {
    let broker = Broker::start();
    let operator = broker.operator();
    let works = |key: &str| broker.anonymous().key(key).get("/v1/me").status;
    let old = make(
        &operator,
        &json!({"name": "old", "scopes": ["secret:read"], "expiresIn": "30d"}),
    );
    let rotate = |made: &Value, body: &Value| {
        let path = format!("/v1/api-keys/{}/rotate", made["id"].as_str().unwrap());
        operator.post(&path, body)
    };
    let new = rotate(&old, &json!({"name": "new", "graceSeconds": 2}));
    let new = once(&new.expect(201));
    assert_eq!(new["name"], "new");
    assert_eq!(new["scopes"], json!(["secret:read"]));
    assert_eq!(days_from_now(&new["expiresAt"]), 30);
    assert_ne!(new["id"], old["id"]);
    assert_eq!((works(text(&old)), works(text(&new))), (200, 200));
    std::thread::sleep(std::time::Duration::from_millis(2_200));
    assert_eq!((works(text(&old)), works(text(&new))), (401, 200));
    assert_eq!(rotate(&old, &json!({})).refused(404), "not_found");
    let third = operator.send(
        "POST",
        &format!("/v1/api-keys/{}/rotate", new["id"].as_str().unwrap()),
        None,
    );
    let third = third.expect(201)["data"].clone();
    assert_eq!(third["name"], "new");
    assert_eq!(
        (works(text(&new)), works(text(&third))),
        (401, 200),
        "no grace unless asked for"
    );
    for bad in [
        json!({"graceSeconds": 604_801}),
        json!({"graceSeconds": -1}),
        json!({"graceSeconds": "1h"}),
        json!({"name": ""}),
    ] {
        assert_eq!(rotate(&third, &bad).refused(400), "bad_request", "{bad}");
    }
    assert_eq!(works(text(&third)), 200);
}

#[test]
fn a_key_that_ends_makes_none_that_lives_longer() {
    let broker = Broker::start();
    let operator = broker.operator();
    let short = make(&operator, &json!({"name": "short", "expiresIn": "2d"}));
    let client = broker.anonymous().key(text(&short));
    for span in ["never", "1y"] {
        let made = make(&client, &json!({"name": "longer", "expiresIn": span}));
        assert_eq!(made["expiresAt"], short["expiresAt"], "{span}");
    }
    let made = make(&client, &json!({"name": "shorter", "expiresIn": "1d"}));
    assert_eq!(days_from_now(&made["expiresAt"]), 1);
    let member = json!({"name": "Ann", "createKey": true});
    let added = client.post("/v1/organizations/current/members", &member);
    let key = added.expect(201)["data"]["key"].clone();
    let ann = broker.anonymous().key(key.as_str().unwrap());
    let hers = ann.get("/v1/api-keys").expect(200)["data"][0].clone();
    assert_eq!(hers["expiresAt"], short["expiresAt"]);
    let long = make(&operator, &json!({"name": "long", "expiresIn": "1y"}));
    for made in [&long, &short] {
        let path = format!("/v1/api-keys/{}/rotate", made["id"].as_str().unwrap());
        let new = client.send("POST", &path, None).expect(201);
        assert_eq!(new["data"]["expiresAt"], short["expiresAt"]);
    }
}
