//! A disk that takes its time.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Broker, eventually};
use crate::machine::Machine;
use crate::{Kept, set};

#[test]
fn on_a_slow_disk_everybody_waits_and_nobody_is_refused() {
    let machine = Machine::new();
    let broker = Broker::with(machine.setup(""));
    let operator = broker.operator();
    set(&operator, "FIRST").expect(201);
    machine.is_slow(Duration::from_millis(150));
    let kept = Mutex::new(Kept::default());
    let began = Instant::now();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let (broker, kept) = (&broker, &kept);
            scope.spawn(move || {
                let operator = broker.operator();
                for n in 0..3 {
                    let name = format!("W{writer}_{n}");
                    set(&operator, &name).expect(201);
                    kept.lock().unwrap().acknowledged.insert(name);
                }
            });
        }
        // What needs no disk does not wait for one.
        scope.spawn(|| {
            for _ in 0..20 {
                let asked = Instant::now();
                broker.operator().get("/readyz").expect(200);
                assert!(
                    asked.elapsed() < Duration::from_millis(500),
                    "{:?}",
                    asked.elapsed()
                );
                std::thread::sleep(Duration::from_millis(50));
            }
        });
    });
    // Each of three rounds waits for its own syncs, and shares them with the seven others.
    assert!(
        began.elapsed() > Duration::from_millis(900),
        "{:?}",
        began.elapsed()
    );
    assert!(
        began.elapsed() < Duration::from_secs(40),
        "{:?}",
        began.elapsed()
    );
    machine.is_slow(Duration::ZERO);
    kept.into_inner().unwrap().check(&broker.operator());
}

#[test]
fn on_a_disk_that_hangs_callers_are_told_in_bounded_time() {
    let machine = Machine::new();
    let broker = Broker::with(machine.setup(""));
    let operator = broker.operator();
    let mut kept = Kept::default();
    kept.set(&operator, "FIRST").expect(201);
    machine.is_slow(Duration::from_secs(8));
    let began = Instant::now();
    let hanging = std::thread::scope(|scope| {
        let hangs = scope.spawn(|| {
            eventually(|| {
                let told = broker.operator().get("/readyz");
                (told.status == 503).then(|| told.value()["reasons"].clone())
            })
        });
        (kept.set(&operator, "WHILE_IT_HANGS"), hangs.join().unwrap())
    });
    let (reply, reasons) = hanging;
    assert_eq!(reasons, json!(["audit_stalled"]));
    assert!(
        began.elapsed() < Duration::from_secs(6),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(reply.refused(503), "audit_unavailable");
    machine.is_slow(Duration::ZERO);
    let end = Instant::now() + Duration::from_mins(1);
    while !matches!(kept.set(&operator, "LATER").status, 200 | 201) {
        assert!(
            Instant::now() < end,
            "it does not recover: {}",
            broker.log_text()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    kept.check(&operator);
}
