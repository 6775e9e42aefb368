//! Secrets over the API: set, find, change, go back, delete, reveal; by whom, and under which condition.

mod harness;

use std::collections::BTreeSet;
use std::sync::Barrier;

use harness::{Broker, Client, Reply, Upstream};
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
fn an_expired_secret_cannot_be_used_until_it_is_rotated() {
    let broker = Broker::start();
    let operator = broker.operator();
    let upstream = Upstream::echo();
    let tool = json!({
        "slug": "custom-crm", "name": "CRM",
        "credentialsJson": {"required": ["apiKey"], "schema": {"apiKey": {"type": "string", "description": "key"}}},
        "bindings": [{"scheme": "http", "hosts": ["127.0.0.1"], "port": upstream.port(), "private": ["127.0.0.1/32"],
            "methods": ["GET"], "paths": ["/x"], "slots": {"apiKey": [{"header": "x-key"}]}}],
        "actionsJson": {"look": {"description": "look", "parameters": {"type": "object", "properties": {}},
            "http": {"method": "GET", "url": format!("http://127.0.0.1:{}/x", upstream.port())}}}
    });
    operator.post("/v1/tools/custom", &tool).expect(201);
    operator
        .send("POST", "/v1/tools/custom-crm/install", None)
        .expect(200);
    let soon = runtools_broker::clock::Clock::now(&runtools_broker::clock::SystemClock);
    let soon = soon.plus_millis(1_500).to_string();
    let secret =
        json!({"name": "CRM", "value": "crm-value-1", "expires": soon, "category": "tool"});
    operator.post("/v1/secrets", &secret).expect(201);
    let call = json!({"action": "look", "credentialOverrides": {"apiKey": "CRM"}});
    let run = || operator.post("/v1/tools/custom-crm/execute", &call);
    assert_eq!(run().expect(200)["data"]["success"], true);
    std::thread::sleep(std::time::Duration::from_millis(1_700));
    assert!((400..500).contains(&run().status), "{:?}", run());
    assert_eq!(upstream.seen().len(), 1, "nothing was sent");
    // What is over can be given a new value, and then lives on.
    let rotated = operator.post("/v1/secrets/CRM/rotate", &json!({"value": "crm-value-2"}));
    assert!(rotated.expect(200)["data"]["expiresAt"].is_null());
    assert_eq!(run().expect(200)["data"]["success"], true);
    assert_eq!(upstream.last().header("x-key"), "crm-value-2");
}

#[test]
fn what_is_not_revealable_stays_so_until_it_has_a_new_value() {
    let broker = Broker::start();
    let admin = broker.admin(&[]);
    let body = json!({"name": "KEY", "value": "hidden", "revealable": false});
    admin.post("/v1/secrets", &body).expect(201);
    assert_eq!(reveal(&admin, "KEY").refused(403), "not_revealable");
    let open = json!({"revealable": true});
    assert_eq!(
        admin.json("PATCH", "/v1/secrets/KEY", &open).refused(400),
        "bad_request"
    );
    let body = json!({"name": "KEY", "value": "second", "revealable": true});
    admin.post("/v1/secrets", &body).expect(200);
    assert_eq!(value_of(&admin, "KEY"), "second");
    // Going back to the hidden value hides it again.
    let back = admin
        .send("POST", "/v1/secrets/KEY/versions/1/restore", None)
        .expect(200);
    assert_eq!(back["data"]["revealable"], false);
    assert_eq!(reveal(&admin, "KEY").refused(403), "not_revealable");
}

#[test]
fn ten_versions_are_kept_and_going_back_widens_nothing() {
    let broker = Broker::start();
    let admin = broker.admin(&[]);
    set(&admin, "KEY", "value-1");
    for n in 2..=12 {
        let body = json!({"value": format!("value-{n}")});
        let rotated = admin.post("/v1/secrets/KEY/rotate", &body).expect(200);
        assert_eq!(rotated["data"]["version"], n);
    }
    let list = admin.get("/v1/secrets/KEY/versions").expect(200);
    let versions: Vec<u64> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| version["version"].as_u64().unwrap())
        .collect();
    assert_eq!(versions, (3..=12).rev().collect::<Vec<_>>());
    assert_eq!(list["data"][0]["current"], true);
    assert_eq!(list["data"][1]["current"], false);
    let narrow = json!({"hosts": ["api.example.com"], "scope": "tools", "expires": "30d", "revealable": true});
    let narrowed = admin.json("PATCH", "/v1/secrets/KEY", &narrow).expect(200);
    let back = admin
        .send("POST", "/v1/secrets/KEY/versions/4/restore", None)
        .expect(200);
    assert_eq!(back["data"]["version"], 13);
    for field in ["hosts", "scope", "expiresAt"] {
        assert_eq!(back["data"][field], narrowed["data"][field], "{field}");
    }
    assert_eq!(value_of(&admin, "KEY"), "value-4");
    for gone in ["2", "99", "0", "18446744073709551615"] {
        let path = format!("/v1/secrets/KEY/versions/{gone}/restore");
        assert_eq!(
            admin.send("POST", &path, None).refused(404),
            "not_found",
            "{gone}"
        );
    }
    for bad in ["-1", "x", "1.0", "18446744073709551616"] {
        let path = format!("/v1/secrets/KEY/versions/{bad}/restore");
        assert_eq!(
            admin.send("POST", &path, None).refused(400),
            "bad_request",
            "{bad}"
        );
    }
    assert_eq!(value_of(&admin, "KEY"), "value-4");
}

#[test]
fn what_is_deleted_can_be_restored_and_what_is_destroyed_cannot() {
    let broker = Broker::start();
    let admin = broker.admin(&[]);
    set(&admin, "KEY", "first");
    let deleted = admin.delete("/v1/secrets/KEY").expect(200);
    assert_eq!(deleted["data"]["level"], "recoverable");
    assert!(deleted["data"]["purgeAt"].is_string());
    assert_eq!(admin.get("/v1/secrets/KEY").refused(404), "not_found");
    assert_eq!(reveal(&admin, "KEY").refused(404), "not_found");
    assert_eq!(admin.delete("/v1/secrets/KEY").refused(404), "not_found");
    let rotate = json!({"value": "x"});
    assert_eq!(
        admin.post("/v1/secrets/KEY/rotate", &rotate).refused(404),
        "not_found"
    );
    assert!(names(&admin.get("/v1/secrets").expect(200)).is_empty());
    let list = admin.get("/v1/secrets?deleted=true").expect(200);
    assert_eq!(names(&list), BTreeSet::from(["KEY".to_owned()]));
    assert!(list["data"][0]["deletedAt"].is_string() && list["data"][0]["purgeAt"].is_string());
    let restored = admin
        .send("POST", "/v1/secrets/KEY/restore", None)
        .expect(200);
    assert!(restored["data"].get("deletedAt").is_none());
    assert_eq!(value_of(&admin, "KEY"), "first");
    assert_eq!(
        admin
            .send("POST", "/v1/secrets/KEY/restore", None)
            .refused(404),
        "not_found"
    );

    // A new secret of a deleted one's name inherits no metadata.
    admin
        .json(
            "PATCH",
            "/v1/secrets/KEY",
            &json!({"hosts": ["a.example.com"], "expires": "1d"}),
        )
        .expect(200);
    admin.delete("/v1/secrets/KEY").expect(200);
    let anew = set(&admin, "KEY", "second");
    assert_eq!(anew["created"], true);
    assert_eq!(anew["hosts"], json!([]));
    assert!(anew["expiresAt"].is_null() && anew.get("deletedAt").is_none());
    assert_eq!(value_of(&admin, "KEY"), "second");

    let destroyed = admin.delete("/v1/secrets/KEY?destroy=true").expect(200);
    assert_eq!(destroyed["data"]["level"], "logical");
    assert_eq!(
        admin
            .send("POST", "/v1/secrets/KEY/restore", None)
            .refused(404),
        "not_found"
    );
    assert!(names(&admin.get("/v1/secrets?deleted=true").expect(200)).is_empty());
    assert_eq!(
        set(&admin, "KEY", "third")["version"],
        1,
        "nothing of it is left"
    );
    // What is deleted already can still be destroyed.
    admin.delete("/v1/secrets/KEY").expect(200);
    admin.delete("/v1/secrets/KEY?destroy=true").expect(200);
    assert!(names(&admin.get("/v1/secrets?deleted=true").expect(200)).is_empty());
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
        json!({"revealEnabled": true, "membersRevealShared": true})
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

#[test]
fn lists_show_what_one_may_see_and_filters_hold_on_every_page() {
    let broker = Broker::start();
    let (admin, ann) = (broker.admin(&[]), broker.member("Ann"));
    for n in 0..7 {
        let category = if n % 2 == 0 { "tool" } else { "custom" };
        let scope = if n < 3 { "tools" } else { "all" };
        let body =
            json!({"name": format!("ANN_{n}"), "value": "v", "category": category, "scope": scope});
        ann.post("/v1/secrets", &body).expect(201);
        let body = json!({"name": format!("ORG_{n}"), "value": "v", "category": category, "orgWide": true});
        admin.post("/v1/secrets", &body).expect(201);
    }
    let count = |client: &Client, query: &str| {
        names(&client.get(&format!("/v1/secrets{query}")).expect(200)).len()
    };
    assert_eq!(count(&ann, ""), 14);
    assert_eq!(count(&ann, "?owner=user"), 7);
    assert_eq!(count(&ann, "?owner=org"), 7);
    assert_eq!(count(&ann, "?category=tool"), 8);
    assert_eq!(count(&ann, "?category=tool&scope=tools"), 2);
    assert_eq!(count(&admin, ""), 7);
    assert_eq!(count(&admin, "?all=true"), 14);
    assert_eq!(ann.get("/v1/secrets?all=true").refused(403), "admin_only");
    for bad in [
        "?owner=everyone",
        "?owner=user&all=true",
        "?category=x",
        "?limit=0",
        "?limit=-1",
        "?limit=501",
        "?limit=99999999999999999999",
        "?limit=ten",
        "?limit=",
        "?deleted=maybe",
        "?unknown=1",
        "?all=1",
    ] {
        assert_eq!(
            ann.get(&format!("/v1/secrets{bad}")).refused(400),
            "bad_request",
            "{bad}"
        );
    }
    // A page is full although others lie between: filters come before the limit.
    let page = ann.get("/v1/secrets?category=tool&limit=8").expect(200);
    assert_eq!(page["data"].as_array().unwrap().len(), 8);
}

#[test]
fn a_walk_by_cursor_sees_each_secret_once_while_others_are_written() {
    let broker = Broker::start();
    let admin = broker.admin(&[]);
    for n in 0..12 {
        set(&admin, &format!("OLD_{n}"), "v");
    }
    for limit in 1..=3 {
        let (mut seen, mut cursor, mut turn) = (Vec::new(), String::new(), 0);
        loop {
            let page = admin
                .get(&format!("/v1/secrets?limit={limit}{cursor}"))
                .expect(200);
            let data = page["data"].as_array().unwrap();
            assert!(data.len() <= limit);
            seen.extend(
                data.iter()
                    .map(|one| one["name"].as_str().unwrap().to_owned()),
            );
            assert_eq!(page["hasMore"], page["meta"]["hasMore"]);
            assert_eq!(page["nextCursor"], page["meta"]["nextCursor"]);
            assert_eq!(page["hasMore"], page["nextCursor"].is_string());
            let Some(next) = page["nextCursor"].as_str() else {
                break;
            };
            cursor = format!("&cursor={next}");
            set(&admin, &format!("NEW_{limit}_{turn}"), "v");
            turn += 1;
            assert!(turn < 100, "the walk ends");
        }
        let unique: BTreeSet<_> = seen.iter().cloned().collect();
        assert_eq!(unique.len(), seen.len(), "none twice");
        assert!(
            (0..12).all(|n| unique.contains(&format!("OLD_{n}"))),
            "none missing"
        );
    }
    let page = admin.get("/v1/secrets?limit=1").expect(200);
    let cursor = page["nextCursor"].as_str().unwrap();
    let other = broker.member("Ann");
    for forged in [
        "x".to_owned(),
        "AAAA".to_owned(),
        String::new(),
        "%00".to_owned(),
        cursor.to_lowercase(),
        format!("{cursor}A"),
        cursor[..cursor.len() - 2].to_owned(),
        format!("B{}", &cursor[1..]),
    ] {
        let path = format!("/v1/secrets?cursor={forged}");
        assert_eq!(admin.get(&path).refused(400), "bad_request", "{forged}");
    }
    // Another's cursor names a place in another's list.
    assert_eq!(
        other
            .get(&format!("/v1/secrets?cursor={cursor}"))
            .refused(400),
        "bad_request"
    );
}

#[test]
fn a_condition_that_does_not_hold_changes_nothing() {
    let broker = Broker::start();
    let admin = broker.admin(&[]);
    let first = set(&admin, "KEY", "first");
    let etag = first["etag"].as_str().unwrap();
    let got = admin.get("/v1/secrets/KEY");
    assert_eq!(got.headers["etag"].to_str().unwrap(), etag);
    let holds = admin.header("if-match", etag);
    let changed = holds.json("PATCH", "/v1/secrets/KEY", &json!({"description": "new"}));
    let fresh = changed.expect(200)["data"]["etag"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_ne!(fresh, etag);
    for (method, path, body) in [
        ("PATCH", "/v1/secrets/KEY", json!({"description": "stale"})),
        (
            "POST",
            "/v1/secrets",
            json!({"name": "KEY", "value": "stale"}),
        ),
        ("POST", "/v1/secrets/KEY/rotate", json!({"value": "stale"})),
        ("POST", "/v1/secrets/KEY/versions/1/restore", Value::Null),
        ("DELETE", "/v1/secrets/KEY", Value::Null),
        ("DELETE", "/v1/secrets/KEY?destroy=true", Value::Null),
    ] {
        for stale in [etag, "\"x\"", "W/\"1\"", "", "\"", "é"] {
            if stale == "é" {
                continue;
            }
            let refused = admin.header("if-match", stale).json(method, path, &body);
            assert_eq!(refused.refused(412), "stale", "{method} {path} {stale}");
        }
    }
    assert_eq!(
        admin.get("/v1/secrets/KEY").expect(200)["data"]["etag"],
        fresh.as_str()
    );
    assert_eq!(value_of(&admin, "KEY"), "first");
    let list = format!("\"other\", {fresh}");
    admin
        .header("if-match", &list)
        .post("/v1/secrets/KEY/rotate", &json!({"value": "second"}))
        .expect(200);
    admin
        .header("if-match", "*")
        .post("/v1/secrets/KEY/rotate", &json!({"value": "third"}))
        .expect(200);
    let absent = json!({"name": "ABSENT", "value": "v"});
    assert_eq!(
        admin
            .header("if-match", "*")
            .post("/v1/secrets", &absent)
            .refused(412),
        "stale"
    );

    let new = admin.header("if-none-match", "*");
    new.post("/v1/secrets", &absent).expect(201);
    assert_eq!(new.post("/v1/secrets", &absent).refused(412), "exists");
    assert_eq!(value_of(&admin, "ABSENT"), "v");
    let odd = admin.header("if-none-match", "\"x\"");
    assert_eq!(odd.post("/v1/secrets", &absent).refused(400), "bad_request");
    let both = new.header("if-match", "*");
    assert_eq!(
        both.post("/v1/secrets", &absent).refused(400),
        "bad_request"
    );
}

#[test]
fn of_fifty_that_race_with_one_etag_exactly_one_wins() {
    let broker = Broker::start();
    let admin = broker.operator();
    let etag = set(&admin, "KEY", "start")["etag"]
        .as_str()
        .unwrap()
        .to_owned();
    let barrier = Barrier::new(50);
    let race = |send: &(dyn Fn(usize) -> Reply + Sync)| -> Vec<(usize, u16)> {
        std::thread::scope(|scope| {
            let racers: Vec<_> = (0..50)
                .map(|n| {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        barrier.wait();
                        (n, send(n).status)
                    })
                })
                .collect();
            racers
                .into_iter()
                .map(|racer| racer.join().unwrap())
                .collect()
        })
    };
    let holds = admin.header("if-match", &etag);
    let ends = race(&|n| {
        holds.post(
            "/v1/secrets/KEY/rotate",
            &json!({"value": format!("by-{n}")}),
        )
    });
    let winners: Vec<_> = ends.iter().filter(|(_, status)| *status == 200).collect();
    assert_eq!(winners.len(), 1, "{ends:?}");
    assert!(
        ends.iter().all(|(_, status)| [200, 412].contains(status)),
        "{ends:?}"
    );
    assert_eq!(value_of(&admin, "KEY"), format!("by-{}", winners[0].0));
    assert_eq!(
        admin.get("/v1/secrets/KEY").expect(200)["data"]["version"],
        2
    );

    let new = admin.header("if-none-match", "*");
    let ends = race(&|n| {
        new.post(
            "/v1/secrets",
            &json!({"name": "FRESH", "value": format!("by-{n}")}),
        )
    });
    let winners: Vec<_> = ends.iter().filter(|(_, status)| *status == 201).collect();
    assert_eq!(winners.len(), 1, "{ends:?}");
    assert!(
        ends.iter().all(|(_, status)| [201, 412].contains(status)),
        "{ends:?}"
    );
    assert_eq!(value_of(&admin, "FRESH"), format!("by-{}", winners[0].0));
}
