//! A disk that gives nothing back any more, at one read or another.

use std::time::Duration;

use crate::harness::{Broker, Setup};
use crate::machine::{ALL, EIO, JOURNAL, KEYS, Machine, READS, STORE};
use crate::{Kept, is_clear, no_panic, recovers, value_of};

const KEPT: usize = 30;

fn settings(engine: &str) -> String {
    // Little of it is in memory.
    format!("[store]\nengine = \"{engine}\"\ncache_mb = 1")
}

fn used(machine: &Machine, engine: &str) -> (Broker, Kept) {
    let broker = Broker::with(machine.setup(&settings(engine)));
    let mut kept = Kept::default();
    for n in 0..KEPT {
        kept.set(&broker.operator(), &format!("KEPT_{n}"))
            .expect(201);
    }
    (broker, kept)
}

/// Starts on a disk that is to fail now: it ends in words or serves, and the next start has everything. Whether it
/// was refused.
fn starts(machine: &Machine, broker: &mut Broker, kept: &Kept, what: &str) -> bool {
    let setup = broker.setup();
    let before = broker.log_bytes().len();
    broker.restart_with(Setup {
        unready: true,
        ..setup.clone()
    });
    let code = broker.wait(Duration::from_secs(2));
    let log = broker.log_text();
    let log = log.get(before..).unwrap_or_default();
    no_panic(log);
    if code.is_some() {
        assert_eq!(code, Some(1), "{what}: {log}");
        assert!(log.contains("\nhint: "), "{what}: {log}");
    }
    machine.well();
    broker.restart_with(setup);
    kept.check(&broker.operator());
    assert_eq!(broker.stop(), Some(0), "{what}");
    code.is_some()
}

#[test]
fn a_start_that_cannot_read_on_is_refused_in_words_and_the_next_one_serves() {
    for (engine, places) in [
        ("sled", &[JOURNAL, KEYS][..]),
        ("redb", &[STORE, JOURNAL, KEYS, ALL]),
    ] {
        let machine = Machine::new();
        let (mut broker, kept) = used(&machine, engine);
        assert_eq!(broker.stop(), Some(0));
        let mut refused = 0;
        for place in places {
            for after in [0, 1, 2, 4, 8, 16] {
                machine.fails((*place, READS), EIO, after, None);
                let what = format!("{engine}: {place} after {after}");
                refused += u32::from(starts(&machine, &mut broker, &kept, &what));
            }
        }
        assert!(refused > 3, "{engine}: hardly anything was read");
    }
}

#[test]
fn a_spot_that_cannot_be_read_is_told_by_every_start_and_nothing_is_done_to_what_is_around_it() {
    for engine in ["sled", "redb"] {
        let machine = Machine::new();
        let (mut broker, kept) = used(&machine, engine);
        assert_eq!(broker.stop(), Some(0));
        let mut refused = 0;
        for spot in [0, 700, 5000, 20_000, 100_000, 400_000] {
            machine.fails((STORE, READS), EIO, 0, None);
            machine.only_at(spot);
            let what = format!("{engine}: spot {spot}");
            refused += u32::from(starts(&machine, &mut broker, &kept, &what));
        }
        assert!(refused > 0, "{engine}: nothing of it was read");
    }
}

#[test]
fn who_asks_a_broker_that_cannot_read_gets_what_is_so_or_a_refusal_in_words() {
    for engine in ["sled", "redb"] {
        let machine = Machine::new();
        let (mut broker, mut kept) = used(&machine, engine);
        broker.restart();
        for after in [0, 1, 2, 5, 9] {
            machine.fails((ALL, READS), EIO, after, None);
            let operator = broker.operator();
            for n in 0..KEPT {
                let name = format!("KEPT_{n}");
                let body = serde_json::json!({"orgWide": true});
                let reply = operator.post(&format!("/v1/secrets/{name}/reveal"), &body);
                if reply.status == 200 {
                    assert_eq!(reply.value()["data"]["value"], value_of(&name));
                } else {
                    is_clear(&reply);
                }
            }
            let reply = kept.set(&operator, &format!("AT_{after}"));
            if reply.status != 201 {
                is_clear(&reply);
            }
            for words in [&["store", "compact"][..], &["key", "rotate", "state"]] {
                let ran = machine.runs(&broker, words);
                assert!(ran.exit == 0 || ran.stderr.contains("hint: "), "{ran:?}");
            }
            machine.well();
            recovers(&mut broker);
            kept.check(&broker.operator());
        }
    }
}
