//! Secrets over the API: set, find, change, go back, delete, reveal; by whom, and under which condition.
#![expect(clippy::too_many_lines, reason = "a journey is told in one piece")]

mod harness;

mod secrets {
    mod conditions;
    mod lists;
    mod versions;
}

use std::collections::BTreeSet;

use harness::{Broker, Client, Reply};

use serde_json::{Value, json};

fn set(client: &Client, name: &str, value: &str) -> Value {
    let body = json!({"name": name, "value": value});
    client.post("/v1/secrets", &body).expect(201)["data"].clone()
}

fn reveal(client: &Client, name: &str) -> Reply {
    client.send("POST", &format!("/v1/secrets/{name}/reveal"), None)
}

fn value_of(client: &Client, name: &str) -> String {
    let shown = reveal(client, name).expect(200);
    shown["data"]["value"].as_str().unwrap().to_owned()
}

fn names(list: &Value) -> BTreeSet<String> {
    let names = list["data"].as_array().unwrap().iter();
    names
        .map(|secret| secret["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_secret_is_its_owners_alone_unless_an_admin_shares_it() {
    let broker = Broker::start();
    let (admin, ann, bob) = (
        broker.admin(&[]),
        broker.member("Ann"),
        broker.member("Bob"),
    );
    let own = set(&ann, "API_KEY", "ann-value");
    assert_eq!(own["owner"], "user");
    assert_eq!(own["orgWide"], false);
    assert_eq!(own["created"], true);
    assert_eq!(own["version"], 1);
    assert!(own.get("value").is_none());
    for other in [&bob, &admin] {
        assert_eq!(other.get("/v1/secrets/API_KEY").refused(404), "not_found");
        assert!(names(&other.get("/v1/secrets").expect(200)).is_empty());
    }
    assert_eq!(reveal(&bob, "API_KEY").refused(403), "policy_denied");
    assert_eq!(reveal(&admin, "API_KEY").refused(404), "not_found");

    let shared = json!({"name": "API_KEY", "value": "shared-value", "orgWide": true});
    assert_eq!(ann.post("/v1/secrets", &shared).refused(403), "admin_only");
    let made = admin.post("/v1/secrets", &shared).expect(201);
    assert_eq!(made["data"]["owner"], "org");
    assert!(made["data"]["ownerUserId"].is_null());
    // One's own comes first, the organisation's where there is none of one's own.
    assert_eq!(
        ann.get("/v1/secrets/API_KEY").expect(200)["data"]["orgWide"],
        false
    );
    assert_eq!(
        bob.get("/v1/secrets/API_KEY").expect(200)["data"]["orgWide"],
        true
    );
    let asked = ann.get("/v1/secrets/API_KEY?orgWide=true").expect(200);
    assert_eq!(asked["data"]["orgWide"], true);
    for (method, path, body) in [
        (
            "PATCH",
            "/v1/secrets/API_KEY?orgWide=true",
            json!({"description": "x"}),
        ),
        ("DELETE", "/v1/secrets/API_KEY?orgWide=true", Value::Null),
        (
            "POST",
            "/v1/secrets/API_KEY/rotate?orgWide=true",
            json!({"value": "x"}),
        ),
        (
            "POST",
            "/v1/secrets/API_KEY/restore?orgWide=true",
            Value::Null,
        ),
        (
            "POST",
            "/v1/secrets/API_KEY/versions/1/restore?orgWide=true",
            Value::Null,
        ),
    ] {
        assert_eq!(
            ann.json(method, path, &body).refused(403),
            "admin_only",
            "{method} {path}"
        );
    }
    // Deleting without orgWide means one's own, which Bob has not.
    assert_eq!(bob.delete("/v1/secrets/API_KEY").refused(404), "not_found");
    assert_eq!(bob.get("/v1/secrets/API_KEY").status, 200);
}

#[test]
fn metadata_is_kept_until_it_is_changed() {
    let broker = Broker::start();
    let admin = broker.admin(&[]);
    let plain = set(&admin, "PLAIN", "v");
    assert_eq!(plain["category"], "provider");
    assert_eq!(plain["scope"], "all");
    assert_eq!(plain["revealable"], true);
    assert_eq!(plain["hosts"], json!([]));
    assert!(plain["expiresAt"].is_null() && plain["description"].is_null());
    let full = json!({
        "name": "FULL", "value": "v1", "category": "tool", "scope": "tools",
        "description": "for the CRM", "hosts": ["api.example.com", "*.example.org"], "expires": "90d",
    });
    let made = admin.post("/v1/secrets", &full).expect(201)["data"].clone();
    assert_eq!(made["category"], "tool");
    assert_eq!(made["scope"], "tools");
    assert_eq!(made["hosts"], json!(["api.example.com", "*.example.org"]));
    assert!(made["expiresAt"].is_string());
    // Setting again rotates and keeps what is left out.
    let again = admin
        .post("/v1/secrets", &json!({"name": "FULL", "value": "v2"}))
        .expect(200);
    let again = &again["data"];
    assert_eq!(again["created"], false);
    assert_eq!(again["version"], 2);
    for field in [
        "id",
        "category",
        "scope",
        "description",
        "hosts",
        "expiresAt",
        "createdAt",
    ] {
        assert_eq!(again[field], made[field], "{field}");
    }
    assert!(again["lastRotatedAt"].is_string());
    let change = json!({"category": "custom", "scope": "agents", "description": null, "hosts": [], "expires": "never"});
    let changed = admin.json("PATCH", "/v1/secrets/FULL", &change).expect(200);
    let changed = &changed["data"];
    assert_eq!(changed["category"], "custom");
    assert_eq!(changed["scope"], "agents");
    assert!(changed["description"].is_null() && changed["expiresAt"].is_null());
    assert_eq!(changed["hosts"], json!([]));
    assert_eq!(changed["version"], 2, "metadata makes no version");
    assert_eq!(value_of(&admin, "FULL"), "v2");
    for (field, bad) in [
        ("category", json!("secret")),
        ("scope", json!("everything")),
        ("description", json!("x".repeat(501))),
        ("description", json!("a\u{0}b")),
        ("hosts", json!(["https://example.com"])),
        ("hosts", json!(["*"])),
        ("expires", json!("soon")),
        ("expires", json!("0d")),
        ("expires", json!("2001-01-01T00:00:00Z")),
        ("revealable", json!("no")),
        ("value", json!("x")),
    ] {
        let refused = admin.json("PATCH", "/v1/secrets/FULL", &json!({ field: bad }));
        assert_eq!(refused.status, 400, "{field} {bad}");
    }
    assert_eq!(
        admin.get("/v1/secrets/FULL").expect(200)["data"]["etag"],
        changed["etag"]
    );
}

#[test]
fn values_that_break_a_rule_are_refused_and_change_nothing() {
    let broker = Broker::start();
    let admin = broker.admin(&[]);
    for bad in ["", "a\nb", "a\0b", " a", "a ", "clé", &"x".repeat(65_537)] {
        let body = json!({"name": "KEY", "value": bad});
        assert_eq!(admin.post("/v1/secrets", &body).refused(400), "bad_request");
    }
    assert_eq!(admin.get("/v1/secrets/KEY").refused(404), "not_found");
    let longest = "x".repeat(65_536);
    set(&admin, "KEY", &longest);
    assert_eq!(value_of(&admin, "KEY"), longest);
}

#[test]
fn a_name_has_one_spelling() {
    let broker = Broker::start();
    let admin = broker.admin(&[]);
    let refused = admin.post("/v1/secrets", &json!({"name": "my-key", "value": "v"}));
    assert_eq!(refused.refused(400), "bad_name");
    assert!(
        refused.value()["error"]["hint"]
            .as_str()
            .unwrap()
            .contains("MY_KEY")
    );
    assert_eq!(set(&admin, "github_Token", "v")["name"], "GITHUB_TOKEN");
    for spelling in [
        "GITHUB_TOKEN",
        "github_token",
        "GitHub_Token",
        "GITHUB%5FTOKEN",
    ] {
        let found = admin.get(&format!("/v1/secrets/{spelling}")).expect(200);
        assert_eq!(found["data"]["name"], "GITHUB_TOKEN");
    }
    let again = admin.post(
        "/v1/secrets",
        &json!({"name": "GitHub_TOKEN", "value": "w"}),
    );
    assert_eq!(again.expect(200)["data"]["version"], 2);
    for bad in [
        "GITHUB%20TOKEN",
        "GITHUB-TOKEN",
        "1KEY",
        "_KEY",
        "%D0%BA",
        "A%C2%AD",
        &"A".repeat(129),
    ] {
        assert_eq!(
            admin.get(&format!("/v1/secrets/{bad}")).refused(400),
            "bad_name",
            "{bad}"
        );
    }
    assert_eq!(names(&admin.get("/v1/secrets").expect(200)).len(), 1);
}

#[test]
fn who_may_reveal_is_the_organisations_policy() {
    let broker = Broker::start();
    let (admin, ann) = (broker.admin(&[]), broker.member("Ann"));
    set(&ann, "OWN", "ann-value");
    let shared = json!({"name": "SHARED", "value": "shared-value", "orgWide": true});
    admin.post("/v1/secrets", &shared).expect(201);
    let policy = |settings: Value| {
        let body = json!({ "settings": settings });
        let changed = admin
            .json("PATCH", "/v1/organizations/current", &body)
            .expect(200);
        changed["data"]["settings"].clone()
    };
    assert_eq!(value_of(&ann, "OWN"), "ann-value");
    assert_eq!(value_of(&admin, "SHARED"), "shared-value");
    assert_eq!(reveal(&ann, "SHARED").refused(403), "policy_denied");
    // The same answer for what does not exist: nothing is to be learned.
    assert_eq!(reveal(&ann, "NO_SUCH").refused(403), "policy_denied");
    let now = policy(json!({"membersRevealShared": true}));
    assert_eq!(
        now,
        json!({"revealEnabled": true, "membersRevealShared": true, "deviceFlows": true})
    );
    assert_eq!(value_of(&ann, "SHARED"), "shared-value");
    policy(json!({"revealEnabled": false}));
    for client in [&ann, &admin] {
        for name in ["OWN", "SHARED"] {
            assert_eq!(reveal(client, name).refused(403), "policy_denied", "{name}");
        }
    }
    policy(json!({"revealEnabled": true, "membersRevealShared": false}));
    assert_eq!(value_of(&ann, "OWN"), "ann-value");
    assert_eq!(reveal(&ann, "SHARED").refused(403), "policy_denied");
    let body = json!({"settings": {"revealEnabled": false}});
    assert_eq!(
        ann.json("PATCH", "/v1/organizations/current", &body)
            .refused(403),
        "admin_only"
    );
    // A key without secret:reveal sees metadata and no value.
    let reader = broker.admin(&["secret:read", "secret:write"]);
    assert_eq!(reader.get("/v1/secrets/SHARED").status, 200);
    assert_eq!(reveal(&reader, "SHARED").refused(403), "missing_scope");
    let log = broker
        .operator()
        .get("/v1/audit?secret=SHARED&action=secret.reveal")
        .expect(200);
    assert_eq!(log["data"].as_array().unwrap().len(), 2, "{log}");
}
