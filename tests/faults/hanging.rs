//! A write of the store that fails where nobody looks, or never comes back.

use std::time::{Duration, Instant};

use crate::harness::Broker;
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
fn a_write_that_never_returns_is_told_of_within_the_time_of_a_request() {
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
    machine.holds_short_writes(Duration::ZERO);
    broker.restart();
    kept.check(&broker.operator());
    kept.set(&broker.operator(), "AFTER").expect(201);
}
