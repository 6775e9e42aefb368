//! The credentials of a service that is given new ones again and again.

use serde_json::{Value, json};

use super::hub::Set;

#[test]
fn a_credential_that_works_is_never_forgotten_for_a_new_one() {
    let set = Set::new();
    let operator = set.stage.operator();
    let path = format!("/v1/operator/services/{}/rotate", set.hub.id);
    let rotate = |grace: u32| operator.post(&path, &json!({"graceSeconds": grace}));
    let me = |key: &str| {
        let client = set.stage.broker.anonymous().key(key);
        let client = client.header("x-runtools-subject-token", &set.bob.key);
        client.get("/v1/me").status
    };
    let mut keys = vec![set.hub.key.clone()];
    for _ in 0..7 {
        let made: Value = rotate(600).expect(201);
        keys.push(made["data"]["key"].as_str().unwrap().to_owned());
    }
    let ninth = rotate(600);
    assert_eq!(ninth.refused(400), "bad_request");
    assert!(ninth.value()["error"]["message"].to_string().contains('8'));
    for key in &keys {
        assert_eq!(me(key), 200, "its grace is not over");
    }
    // Without a grace all the others are over, and the oldest is forgotten.
    let made = rotate(0).expect(201);
    for key in &keys {
        assert_eq!(me(key), 401);
    }
    assert_eq!(me(made["data"]["key"].as_str().unwrap()), 200);
    let made = rotate(600).expect(201);
    assert_eq!(me(made["data"]["key"].as_str().unwrap()), 200);
    set.finish();
}
