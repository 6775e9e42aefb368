//! A write of the store that fails where nobody looks, or never comes back.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Broker, eventually};
use crate::machine::{EIO, Machine, STORE, SYNCS, WRITES};
use crate::{Kept, is_clear, recovers};

#[test]
fn a_write_that_fails_after_the_others_have_succeeded_is_heard_of_soon() {
    let machine = Machine::new();
    let mut broker = Broker::with(machine.setup(""));
    let mut kept = Kept::default();
    kept.set(&broker.operator(), "BEFORE").expect(201);
    // sled writes the first word of a batch beside the rest. It waits for both, and is woken by the rest.
    machine.holds_short_writes(Duration::from_secs(1));
    machine.fails((STORE, WRITES | SYNCS), EIO, 2, None);
    let began = Instant::now();
    let reply = kept.set(&broker.operator(), "WHILE_IT_FAILS");
    assert!(machine.failed() > 0);
    is_clear(&reply);
    assert_eq!(reply.refused(503), "store_unavailable");
    assert!(
        began.elapsed() < Duration::from_secs(6),
        "{:?}",
        began.elapsed()
    );
    machine.holds_short_writes(Duration::ZERO);
    machine.well();
    recovers(&mut broker);
    kept.check(&broker.operator());
    kept.set(&broker.operator(), "AFTER").expect(201);
}

#[test]
fn a_write_that_never_returns_is_told_of_within_the_time_of_a_request_and_the_broker_still_ends() {
    let machine = Machine::new();
    let mut broker = Broker::with(machine.setup(""));
    let mut kept = Kept::default();
    kept.set(&broker.operator(), "BEFORE").expect(201);
    machine.holds_short_writes(Duration::from_hours(1));
    let reply = kept.set(&broker.operator(), "WHILE_IT_HANGS");
    is_clear(&reply);
    assert_eq!(reply.refused(503), "store_unavailable");
    let ready = broker.operator().get("/readyz").value();
    assert!(
        ready["reasons"].to_string().contains("store_failed"),
        "{ready}"
    );
    // Nobody waits for it again.
    let began = Instant::now();
    is_clear(&kept.set(&broker.operator(), "BEHIND_IT"));
    assert!(began.elapsed() < Duration::from_secs(5));
    ends_at_the_second_signal(&mut broker);
    machine.holds_short_writes(Duration::ZERO);
    broker.restart();
    kept.check(&broker.operator());
    kept.set(&broker.operator(), "AFTER").expect(201);
}

#[test]
fn a_broker_ends_at_the_second_signal_although_a_write_does_not_return() {
    let machine = Machine::new();
    let mut broker = Broker::with(machine.setup(""));
    let mut kept = Kept::default();
    kept.set(&broker.operator(), "BEFORE").expect(201);
    machine.holds_short_writes(Duration::from_hours(1));
    let operator = broker.operator();
    let waiting = std::thread::spawn(move || {
        let body = json!({"name": "WHILE_IT_HANGS", "value": "v", "orgWide": true}).to_string();
        let body = Some(("application/json", body.as_bytes()));
        // It is cut off.
        drop(operator.try_send("POST", "/v1/secrets", body));
    });
    eventually(|| {
        let ready = broker.operator().get("/readyz").value();
        let stalled = ready["reasons"].to_string().contains("store_stalled");
        stalled.then_some(())
    });
    ends_at_the_second_signal(&mut broker);
    waiting.join().unwrap();
    machine.holds_short_writes(Duration::ZERO);
    broker.restart();
    kept.check(&broker.operator());
}

#[track_caller]
fn ends_at_the_second_signal(broker: &mut Broker) {
    broker.signal("TERM");
    std::thread::sleep(Duration::from_millis(500));
    broker.signal("TERM");
    let ended = broker.wait(Duration::from_secs(15));
    assert_eq!(ended, Some(0), "{}", broker.log_text());
}
