//! How much one member may keep: a key that got loose cannot fill the disk with secrets, keys or tools.

mod harness;

use harness::{Broker, Client, Setup};
use serde_json::json;

fn small() -> Broker {
    Broker::with(Setup {
        config: "[secrets]\nper_member = 3\nshared = 2\n[auth]\nkeys_per_member = 2\n".into(),
        ..Setup::default()
    })
}

/// The status of setting a secret, and its code if it was refused.
fn set(client: &Client, name: &str, shared: bool) -> (u16, Option<String>) {
    let body = json!({"name": name, "value": "a-value-of-no-use", "orgWide": shared});
    let reply = client.post("/v1/secrets", &body);
    let code = reply.value()["error"]["code"].as_str().map(str::to_owned);
    (reply.status, code)
}

fn full() -> (u16, Option<String>) {
    (409, Some("quota_reached".to_owned()))
}

#[test]
fn a_member_has_as_many_secrets_as_the_quota_says() {
    let mut broker = small();
    let operator = broker.operator();
    for name in ["A_KEY", "B_KEY", "C_KEY"] {
        assert_eq!(set(&operator, name, false), (201, None));
    }
    assert_eq!(set(&operator, "D_KEY", false), full());
    assert_eq!(set(&operator, "D_KEY", false), full());
    // A new value for one that is there is no further secret.
    assert_eq!(set(&operator, "A_KEY", false), (200, None));
    // What can be restored is kept, and counts.
    operator.delete("/v1/secrets/A_KEY").expect(200);
    assert_eq!(set(&operator, "D_KEY", false), full());
    operator
        .delete("/v1/secrets/A_KEY?destroy=true")
        .expect(200);
    assert_eq!(set(&operator, "D_KEY", false), (201, None));
    assert_eq!(set(&operator, "E_KEY", false), full());
    // What is shared, and what others have, is counted by itself.
    assert_eq!(set(&operator, "E_KEY", true), (201, None));
    assert_eq!(set(&operator, "F_KEY", true), (201, None));
    assert_eq!(set(&operator, "G_KEY", true), full());
    assert_eq!(set(&broker.member("Ann"), "A_KEY", false), (201, None));
    // What is on the disk counts after a start, too.
    drop(operator);
    broker.restart();
    assert_eq!(set(&broker.operator(), "H_KEY", false), full());
    assert_eq!(set(&broker.member("Ben"), "H_KEY", false), (201, None));
}

#[test]
fn a_refusal_says_how_many_there_are_and_what_to_do() {
    let broker = small();
    let operator = broker.operator();
    for name in ["A_KEY", "B_KEY"] {
        assert_eq!(set(&operator, name, true), (201, None));
    }
    let body = json!({"name": "C_KEY", "value": "a-value-of-no-use", "orgWide": true});
    let refused = operator.post("/v1/secrets", &body).value();
    let text = |part: &str| refused["error"][part].as_str().unwrap().to_owned();
    assert!(text("message").contains("2 secrets"), "{refused}");
    assert!(text("hint").contains("--destroy"), "{refused}");
}

#[test]
fn a_member_has_as_many_valid_keys_as_the_quota_says() {
    let broker = small();
    let operator = broker.operator();
    let make = || operator.post("/v1/api-keys", &json!({"name": "ci"}));
    let first = make().expect(201)["data"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    make().expect(201);
    assert_eq!(make().refused(409), "quota_reached");
    // Replacing one is always possible; what is revoked counts no more.
    let rotate = format!("/v1/api-keys/{first}/rotate");
    let new = operator.post(&rotate, &json!({})).expect(201);
    assert_eq!(make().refused(409), "quota_reached");
    let new = new["data"]["id"].as_str().unwrap();
    operator.delete(&format!("/v1/api-keys/{new}")).expect(200);
    make().expect(201);
    assert_eq!(make().refused(409), "quota_reached");
}

#[test]
fn a_member_has_as_many_tools_of_their_own_as_there_may_be() {
    let broker = Broker::start();
    let operator = broker.operator();
    let make = |number: usize| {
        let slug = format!("custom-{number}");
        let spec = json!({"slug": slug, "name": "One of many", "actionsJson": {}});
        operator.post("/v1/tools/custom", &spec)
    };
    for number in 0..200 {
        make(number).expect(201);
    }
    assert_eq!(make(200).refused(409), "quota_reached");
    make(7).expect(200);
    operator.delete("/v1/tools/custom/custom-7").expect(200);
    make(200).expect(201);
    assert_eq!(make(7).refused(409), "quota_reached");
}
