//! The operator seals the broker while an account is being connected.

use std::time::Duration;

use serde_json::json;

use crate::harness::eventually;
use crate::harness::fault_provider::Answer;
use crate::{Stage, tokens};

#[test]
fn b14_sealing_waits_for_a_code_that_is_being_redeemed_and_what_it_brings_is_kept() {
    let mut stage = Stage::new(&[]);
    let late = Answer::Late(Duration::from_millis(1_500), Box::new(tokens(&json!({}))));
    stage.fault.next("/token", late);
    std::thread::scope(|scope| {
        let going = scope.spawn(|| stage.goes());
        eventually(|| (stage.token_requests() == 1).then_some(()));
        let operator = stage.broker.operator();
        operator.send("POST", "/v1/operator/seal", None).expect(200);
        // Whether whoever waits still hears of it is a race with sealing; what was granted is not.
        drop(going.join());
    });
    stage.broker.restart();
    let operator = stage.broker.operator();
    let made = operator.get("/v1/oauth/connections?all=true").expect(200)["data"].clone();
    assert_eq!(made.as_array().unwrap().len(), 1, "{made}");
    assert_eq!(stage.token_requests(), 1);
}
