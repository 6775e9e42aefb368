//! Organisations and people that are deleted: nobody is recognised, nothing is left, and no kill changes that.
#![expect(clippy::too_many_lines, reason = "a journey is told in one piece")]

mod harness;

use std::collections::BTreeSet;

use harness::agreeable::{agreeable, fault_client, fault_file};
use harness::connect::{connects, set_client};
use harness::fault_provider::Answer;
use harness::{Broker, Client, Setup, connect, eventually};
use runtools_broker::crypto::Record;
use runtools_broker::store::{Class, DEFAULT_CACHE_BYTES, DiskEngine, Engine, EngineKind};
use serde_json::{Value, json};

const ORGS: &str = "/v1/operator/organizations";
const USERS: &str = "/v1/operator/users";

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// An organisation with an admin, a member, and something of every kind.
struct Acme {
    id: String,
    admin: Client,
    member: Client,
    user: String,
}

fn furnish(client: &Client) {
    for n in 0..30 {
        let name = format!("OWN_{n}");
        let secret = json!({"name": name, "value": "a value of one's own"});
        client.post("/v1/secrets", &secret).expect(201);
    }
    client
        .send("POST", "/v1/tools/github/install", None)
        .expect(200);
    let token = json!({"token": "a token of one's own"});
    client
        .json("PUT", "/v1/tools/github/credentials", &token)
        .expect(200);
}

fn acme(broker: &Broker) -> Acme {
    let operator = broker.operator();
    let wanted = json!({"name": "Acme", "createKey": true});
    let made = operator.post("/v1/organizations", &wanted).expect(201)["data"].clone();
    let admin = broker.anonymous().key(made["key"].as_str().unwrap());
    let ann = json!({"name": "Ann", "createKey": true, "role": "admin"});
    let members = "/v1/organizations/current/members";
    let ann = admin.post(members, &ann).expect(201)["data"].clone();
    let member = broker.anonymous().key(ann["key"].as_str().unwrap());
    furnish(&member);
    let shared = json!({"name": "SHARED", "value": "v", "orgWide": true});
    admin.post("/v1/secrets", &shared).expect(201);
    let client = json!({"provider": "linear", "clientId": "id", "clientSecret": "a secret"});
    admin.post("/v1/oauth/configs", &client).expect(200);
    let service = json!({"name": "tool-hub", "organization": made["id"]});
    operator.post("/v1/operator/services", &service).expect(201);
    Acme {
        id: text(&made["id"]),
        admin,
        member,
        user: text(&ann["userId"]),
    }
}

/// How many records of a stopped broker's store there are of each class, and the ids of keys that they name.
fn left(broker: &Broker) -> (Vec<Class>, BTreeSet<String>) {
    let path = broker.data().join("store");
    let engine = DiskEngine::open(&path, EngineKind::Sled, DEFAULT_CACHE_BYTES).unwrap();
    let (mut classes, mut named) = (Vec::new(), BTreeSet::new());
    let mut look = |key: &[u8], value: &[u8]| {
        classes.extend(key.first().and_then(|byte| Class::of(*byte)));
        let name = Record::parse(value).unwrap().key();
        named.extend(name.map(|name| name.id.to_string()));
        Ok(())
    };
    engine.visit(&[], None, &mut look).unwrap();
    (classes, named)
}

fn count(classes: &[Class], class: Class) -> usize {
    classes.iter().filter(|one| **one == class).count()
}

#[test]
fn an_organisation_goes_with_its_keys_and_leaves_no_other_one_worse() {
    let mut broker = Broker::start();
    let operator = broker.operator();
    furnish(&operator);
    assert_eq!(broker.stop(), Some(0));
    let (before, _) = left(&broker);
    broker.restart();
    let acme = acme(&broker);
    let operator = broker.operator();
    let resolved = acme.member.post("/v1/resolve", &json!({"tool": "github"}));
    let handle = resolved.expect(201)["data"]["handle"].clone();
    let path = format!("{ORGS}/{}", acme.id);
    assert_eq!(acme.admin.delete(&path).refused(403), "operator_only");
    let mine = operator.get("/v1/organizations/current").expect(200);
    let own = format!("{ORGS}/{}", text(&mine["data"]["id"]));
    assert_eq!(operator.delete(&own).refused(400), "bad_request");
    assert_eq!(
        operator.delete(&format!("{ORGS}/nobody")).refused(404),
        "not_found"
    );
    let ran = broker.runs(&["delete", "organization", "acme", "--yes", "--json"], None);
    let gone = ran.expect(0)["data"].clone();
    assert_eq!(
        gone,
        json!({"success": true, "id": acme.id, "level": "logical", "keyDestroyed": true})
    );
    for client in [&acme.admin, &acme.member] {
        assert_eq!(client.get("/v1/me").refused(401), "unauthorized");
        let used = client.post(
            "/v1/execute",
            &json!({"handle": handle, "request": {"url": "https://api.github.com/user"}}),
        );
        assert_eq!(used.status, 401, "{}", used.value());
    }
    assert_eq!(operator.delete(&path).refused(404), "not_found");
    let list = operator.get("/v1/organizations").expect(200);
    assert_eq!(list["data"].as_array().unwrap().len(), 1, "{list}");
    // Its name is free, and what others have is theirs.
    let again = json!({"name": "Acme"});
    let again = operator.post("/v1/organizations", &again).expect(201)["data"].clone();
    assert_eq!(again["slug"], "acme");
    operator
        .delete(&format!("{ORGS}/{}", text(&again["id"])))
        .expect(200);
    operator
        .post("/v1/secrets/OWN_7/reveal", &json!({}))
        .expect(200);
    let log = operator
        .get("/v1/audit?all=true&action=org.delete")
        .expect(200);
    assert_eq!(log["data"].as_array().unwrap().len(), 2 + 1, "{log}");
    assert_eq!(broker.stop(), Some(0));
    let (after, named) = left(&broker);
    assert!(
        !named.contains(&acme.id) && !named.contains(&acme.user),
        "{named:?}"
    );
    for class in Class::ALL {
        let (before, after) = (count(&before, *class), count(&after, *class));
        assert_eq!(before, after, "{class:?}");
    }
    broker.restart();
    broker
        .operator()
        .post("/v1/secrets/OWN_7/reveal", &json!({}))
        .expect(200);
}

#[test]
fn one_that_is_killed_while_it_is_taken_away_is_gone_after_the_next_start() {
    for place in ["org.delete.shredded", "org.delete.destroyed"] {
        let mut broker = Broker::with(Setup {
            failpoint: Some(place),
            ..Setup::default()
        });
        let acme = acme(&broker);
        let path = format!("{ORGS}/{}", acme.id);
        drop(broker.operator().try_send("DELETE", &path, None));
        assert_eq!(eventually(|| broker.died_of()), 9, "{place}");
        broker.restart_with(Setup::default());
        // From the first commit on nobody is recognised.
        let hers = broker.anonymous();
        let hers = hers.key("rt_live_00000000000000000000000000000000000000");
        assert_eq!(hers.get("/v1/me").status, 401);
        let operator = broker.operator();
        eventually(|| (operator.delete(&path).status == 404).then_some(()));
        assert_eq!(broker.stop(), Some(0), "{place}");
        let (classes, named) = left(&broker);
        assert!(!named.contains(&acme.id), "{place}: {named:?}");
        assert_eq!(count(&classes, Class::OrgKey), 1, "{place}");
        assert_eq!(count(&classes, Class::ServiceIndex), 0, "{place}");
    }
}

#[test]
fn somebody_is_removed_everywhere_at_once_or_nowhere() {
    let mut broker = Broker::start();
    let acme = acme(&broker);
    let operator = broker.operator();
    let me = text(&operator.get("/v1/me").expect(200)["data"]["id"]);
    // Its founder is the operator, who stays.
    assert_eq!(
        operator.delete(&format!("{USERS}/{me}")).refused(400),
        "bad_request"
    );
    let unknown = "00000000-0000-4000-8000-000000000000";
    assert_eq!(
        operator.delete(&format!("{USERS}/{unknown}")).refused(404),
        "not_found"
    );
    assert_eq!(
        operator.delete(&format!("{USERS}/x")).refused(404),
        "not_found"
    );
    let theirs = format!("{USERS}/{}", acme.user);
    assert_eq!(acme.admin.delete(&theirs).refused(403), "operator_only");
    let ran = broker.runs(&["delete", "user", &acme.user, "--yes", "--json"], None);
    let gone = ran.expect(0)["data"].clone();
    assert_eq!(gone["organizations"], json!([acme.id]));
    assert_eq!(gone["keyDestroyed"], true);
    assert_eq!(acme.member.get("/v1/me").refused(401), "unauthorized");
    acme.admin
        .get("/v1/secrets/SHARED?orgWide=true")
        .expect(200);
    assert_eq!(operator.delete(&theirs).refused(404), "not_found");
    assert_eq!(broker.stop(), Some(0));
    let (_, named) = left(&broker);
    assert!(!named.contains(&acme.user), "{named:?}");
    assert!(named.contains(&acme.id));
}

#[test]
fn accounts_are_given_back_to_their_provider_before_the_key_goes_that_they_are_under() {
    let provider = agreeable();
    provider.always("/revoke", Answer::empty(200));
    let mut broker = connect::broker(&[fault_file(&provider, &[])], "");
    let acme = acme(&broker);
    set_client(&acme.admin, "fault", &fault_client()).expect(200);
    connects(&acme.member, "fault", "ann");
    let operator = broker.operator();
    let path = format!("{ORGS}/{}", acme.id);
    operator.delete(&path).expect(200);
    // Nobody is recognised meanwhile; the second time says how far it is.
    assert_eq!(acme.member.get("/v1/me").refused(401), "unauthorized");
    eventually(|| {
        let again = operator.delete(&path);
        let over = again.status == 404 || again.value()["data"]["keyDestroyed"] == true;
        over.then_some(())
    });
    assert!(!provider.asked("/revoke").is_empty(), "before the key went");
    assert_eq!(broker.stop(), Some(0));
    let (classes, named) = left(&broker);
    assert!(!named.contains(&acme.id) && !named.contains(&acme.user));
    assert_eq!(count(&classes, Class::Revocation), 0);
}
