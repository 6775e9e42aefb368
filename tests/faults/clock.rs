//! A clock that is a year ahead, or a year behind.

use serde_json::json;

use crate::harness::Broker;
use crate::machine::Machine;
use crate::{Kept, set};

const YEAR: i64 = 365 * 86_400;

#[test]
fn a_clock_that_jumps_by_a_year_and_back_loses_nothing_and_locks_nobody_out() {
    let machine = Machine::new();
    let mut broker = Broker::with(machine.setup(""));
    let mut kept = Kept::default();
    kept.set(&broker.operator(), "BEFORE").expect(201);
    let key = broker.operator().make_key(&[]);
    for (turn, off) in [YEAR, 0, -YEAR, 0, YEAR, -YEAR].into_iter().enumerate() {
        machine.clock_is_off(off);
        let name = format!("AT_{turn}");
        kept.set(&broker.operator(), &name).expect(201);
        // A key that never ends is good at any time, and so is one that is made now.
        broker.anonymous().key(&key).get("/v1/me").expect(200);
        let made = broker.operator().make_key(&[]);
        broker.anonymous().key(&made).get("/v1/me").expect(200);
        kept.check(&broker.operator());
        // A start at that time is as good as any.
        assert_eq!(broker.stop(), Some(0));
        broker.restart();
        kept.check(&broker.operator());
    }
    assert!(
        !broker.log_text().contains("panicked"),
        "{}",
        broker.log_text()
    );
}

#[test]
fn what_ends_at_a_time_is_refused_after_it_and_good_again_when_the_clock_was_wrong() {
    let machine = Machine::new();
    let broker = Broker::with(machine.setup(""));
    let operator = broker.operator();
    let body = json!({"name": "ENDS", "value": "a value that ends", "expires": "30d"});
    operator.post("/v1/secrets", &body).expect(201);
    let reveal = || operator.post("/v1/secrets/ENDS/reveal", &json!({}));
    reveal().expect(200);
    machine.clock_is_off(YEAR);
    assert_eq!(reveal().refused(409), "secret_expired");
    machine.clock_is_off(-YEAR);
    reveal().expect(200);
    machine.clock_is_off(0);
    reveal().expect(200);
}

#[test]
fn a_lockdown_by_a_clock_that_was_ahead_locks_nobody_out_for_a_year() {
    let machine = Machine::new();
    let broker = Broker::with(machine.setup(""));
    set(&broker.operator(), "KEPT").expect(201);
    let before = broker.operator().make_key(&[]);
    machine.clock_is_off(YEAR);
    let locked = machine.runs(&broker, &["lockdown", "--yes"]);
    assert_eq!(locked.exit, 0, "{locked:?}");
    machine.clock_is_off(0);
    let opened = machine.runs(&broker, &["unseal"]);
    assert_eq!(opened.exit, 0, "{opened:?}");
    broker.anonymous().key(&before).get("/v1/me").expect(401);
    let after = broker.operator().make_key(&[]);
    broker.anonymous().key(&after).get("/v1/me").expect(200);
}
