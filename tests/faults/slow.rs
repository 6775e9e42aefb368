//! A disk that takes its time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
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
fn on_a_slow_disk_whoever_reads_waits_for_no_commit_while_the_store_is_copied() {
    let machine = Machine::new();
    let broker = Broker::with(machine.setup(""));
    for n in 0..200 {
        set(&broker.operator(), &format!("KEPT_{n}")).expect(201);
    }
    machine.is_slow(Duration::from_millis(500));
    let over = AtomicBool::new(false);
    let mut waits = Vec::new();
    std::thread::scope(|scope| {
        let (broker, machine, over) = (&broker, &machine, &over);
        let writes = scope.spawn(move || {
            for n in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                set(&broker.operator(), &format!("MEANWHILE_{n}")).expect(201);
            }
        });
        let copies = scope.spawn(move || {
            let ran = machine.runs(broker, &["store", "compact"]);
            over.store(true, Ordering::Relaxed);
            assert_eq!(ran.exit, 0, "{ran:?}");
        });
        let operator = broker.operator();
        while !over.load(Ordering::Relaxed) {
            let asked = Instant::now();
            operator.get("/v1/secrets?limit=100").expect(200);
            waits.push(asked.elapsed());
            std::thread::sleep(Duration::from_millis(10));
        }
        copies.join().unwrap();
        writes.join().unwrap();
    });
    machine.is_slow(Duration::ZERO);
    waits.sort_unstable();
    let longest: Vec<_> = waits.iter().rev().take(5).collect();
    // One may meet a machine that is busy; each page of the copy kept all of them waiting once.
    let long = waits.iter().filter(|wait| wait.as_millis() > 300).count();
    assert!(long <= 1, "{long} of {}: {longest:?}", waits.len());
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
