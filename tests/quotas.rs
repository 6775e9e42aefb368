//! How much one member may keep: a key that got loose cannot fill the disk with secrets, keys or tools.

mod harness;

use std::sync::Barrier;
use std::thread;

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
fn of_those_who_ask_at_once_for_the_last_place_one_gets_it() {
    let broker = small();
    let operator = broker.operator();
    for round in 0..3 {
        for name in ["A_KEY", "B_KEY"] {
            assert_eq!(set(&operator, name, false), (201, None), "{round}");
        }
        let together = Barrier::new(8);
        let made: Vec<String> = thread::scope(|scope| {
            let askers: Vec<_> = (0..8)
                .map(|number| {
                    let (broker, together) = (&broker, &together);
                    scope.spawn(move || {
                        let (client, name) = (broker.operator(), format!("KEY_{number}"));
                        together.wait();
                        (set(&client, &name, false), name)
                    })
                })
                .collect();
            let answers = askers.into_iter().map(|asker| asker.join().unwrap());
            let made = answers.filter_map(|(answer, name)| {
                assert!(answer == (201, None) || answer == full(), "{answer:?}");
                (answer.0 == 201).then_some(name)
            });
            made.collect()
        });
        assert_eq!(made.len(), 1, "{made:?}");
        for name in ["A_KEY", "B_KEY", &made[0]] {
            let path = format!("/v1/secrets/{name}?destroy=true");
            operator.delete(&path).expect(200);
        }
    }
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
    let refused = make();
    assert_eq!(refused.refused(409), "quota_reached");
    let hint = refused.value()["error"]["hint"].to_string();
    assert!(hint.contains("runtools auth keys revoke"), "{hint}");
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
fn keys_made_and_revoked_in_turn_do_not_fill_the_disk() {
    let broker = small();
    let operator = broker.operator();
    let make = |client: &Client| client.post("/v1/api-keys", &json!({"name": "ci"}));
    let mut last = None;
    for _ in 0..20 {
        if let Some(id) = last {
            let path = format!("/v1/api-keys/{id}");
            operator.delete(&path).expect(200);
        }
        let made = make(&operator).expect(201);
        last = Some(made["data"]["id"].as_str().unwrap().to_owned());
    }
    let refused = make(&operator);
    assert_eq!(refused.refused(409), "quota_reached");
    let refused = refused.value();
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("20 API keys"), "{refused}");
    assert!(message.contains("within a day"), "{refused}");
    let hint = refused["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("tomorrow"), "{refused}");
    // The one that there is can be replaced, and others are held up by nothing.
    let rotate = format!("/v1/api-keys/{}/rotate", last.unwrap());
    operator.post(&rotate, &json!({})).expect(201);
    make(&broker.member("Ann")).expect(201);
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
    let refused = make(200);
    assert_eq!(refused.refused(409), "quota_reached");
    let hint = refused.value()["error"]["hint"].to_string();
    assert!(hint.contains("runtools tool delete"), "{hint}");
    assert!(!hint.contains("operator"), "nobody can raise it: {hint}");
    make(7).expect(200);
    operator.delete("/v1/tools/custom/custom-7").expect(200);
    make(200).expect(201);
    assert_eq!(make(7).refused(409), "quota_reached");
}
