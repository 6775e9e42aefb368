//! SIGKILL at any moment, while many write: what was acknowledged is there, the rest is whole or absent.
//!
//! 20 rounds; with `RUNTOOLS_SLOW=1` in the environment, 200.

#[path = "../harness/mod.rs"]
mod harness;

mod check;
mod places;
mod writes;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use check::{check, head, journal, rotations, verify};
use harness::crm::install_crm;
use harness::{Broker, Setup, Upstream};
use runtools_broker::crypto::{Random, SystemRandom};
use serde_json::json;
use writes::{Ledger, What, start_of, write};

/// Rounds over one folder, before a fresh one.
const ROUNDS: usize = 20;
const WRITERS: usize = 10;

#[expect(clippy::disallowed_methods, reason = "who runs it says how long")]
fn folders() -> usize {
    if std::env::var_os("RUNTOOLS_SLOW").is_some() {
        10
    } else {
        1
    }
}

fn setup(engine: &str) -> Setup {
    Setup {
        config: format!("[store]\nengine = \"{engine}\""),
        ..Setup::default()
    }
}

fn up_to(limit: u64) -> u64 {
    let random: &dyn Random = &SystemRandom;
    u64::from_be_bytes(random.bytes().unwrap()) % limit
}

/// Lets everybody write for a moment, then kills.
fn write_and_kill(broker: &mut Broker, ledger: &Ledger, port: u16) {
    let operator = broker.operator();
    let firsts: Vec<_> = (0..WRITERS).map(|at| start_of(at, &operator)).collect();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (at, first) in firsts.into_iter().enumerate() {
            let (operator, over) = (&operator, &over);
            scope.spawn(move || {
                write(
                    at,
                    port,
                    operator,
                    first,
                    usize::MAX,
                    |w| ledger.sent(w),
                    |n, key| ledger.done(n, key),
                );
                assert!(
                    over.load(Ordering::SeqCst),
                    "no answer, though nobody killed it"
                );
            });
        }
        std::thread::sleep(Duration::from_millis(20 + up_to(160)));
        over.store(true, Ordering::SeqCst);
        broker.kill();
    });
}

#[test]
fn what_was_acknowledged_outlives_a_kill_at_any_moment() {
    for engine in ["sled", "redb"] {
        kill_and_look(engine);
    }
}

#[expect(clippy::too_many_lines, reason = "a journey is told in one piece")]
fn kill_and_look(engine: &str) {
    let (mut acknowledged, mut cut, mut present) = (0, 0, 0);
    let mut longest = Duration::ZERO;
    for _ in 0..folders() {
        let upstream = Upstream::echo();
        let mut broker = Broker::with(setup(engine));
        let operator = broker.operator();
        install_crm(
            &operator,
            upstream.port(),
            "crm-value-0123456789-abcdefghij",
        );
        for at in 4..6 {
            let body = json!({"name": format!("ROTATED_{at}"), "value": "the first value", "orgWide": true});
            operator.post("/v1/secrets", &body).expect(201);
        }
        let mut ledger = Ledger {
            writes: Mutex::default(),
            round: 0,
        };
        for round in 0..ROUNDS {
            let begun = Instant::now();
            ledger.round = round;
            let after = head(&broker.operator());
            let seen_before = upstream.seen().len();
            write_and_kill(&mut broker, &ledger, upstream.port());
            if round % 4 == 3 {
                // And once more, in the middle of the start.
                broker.restart_with(Setup {
                    unready: true,
                    ..setup(engine)
                });
                std::thread::sleep(Duration::from_millis(up_to(120)));
            }
            broker.restart_with(setup(engine));
            let operator = broker.operator();
            let writes = ledger.of_round(round);
            let requests = journal(&operator, after);
            check(&writes, &broker, Some(&requests));
            rotations(&writes, &operator, &requests);
            // Nothing is used unseen: whatever reached the upstream is in the journal.
            for seen in &upstream.seen()[seen_before..] {
                let used = writes.iter().find(|write| match &write.what {
                    What::Execute { email } => seen.target.ends_with(&email.replace('@', "%40")),
                    _ => false,
                });
                let used = used.unwrap_or_else(|| panic!("nobody asked for {}", seen.target));
                assert!(requests.contains(&used.request), "used unseen: {used:?}");
            }
            verify(&operator);
            acknowledged += writes.iter().filter(|write| write.acknowledged).count();
            cut += writes.iter().filter(|write| !write.acknowledged).count();
            present += writes
                .iter()
                .filter(|write| !write.acknowledged && requests.contains(&write.request))
                .count();
            longest = longest.max(begun.elapsed());
        }
        let all = ledger.writes.lock().unwrap().clone();
        check(&all, &broker, None);
        assert!(
            !broker.log_text().contains("panicked"),
            "{}",
            broker.log_text()
        );
    }
    println!(
        "{engine}, {} rounds: {acknowledged} acknowledged, {cut} cut ({present} of them recorded), longest round {} ms",
        folders() * ROUNDS,
        longest.as_millis()
    );
    assert!(
        acknowledged > folders() * ROUNDS,
        "hardly anything was written"
    );
    assert!(cut > 0, "no kill hit a write");
}

#[test]
fn a_first_start_that_is_killed_at_any_moment_can_be_repeated() {
    for round in 0..folders() * 10 {
        let engine = if round % 2 == 0 { "sled" } else { "redb" };
        let mut broker = Broker::with(Setup {
            unready: true,
            ..setup(engine)
        });
        std::thread::sleep(Duration::from_millis(up_to(150)));
        broker.restart_with(setup(engine));
        let secret = json!({"name": "AFTER", "value": "after the kill"});
        broker.operator().post("/v1/secrets", &secret).expect(201);
        verify(&broker.operator());
        broker.restart();
        let revealed = broker
            .operator()
            .post("/v1/secrets/AFTER/reveal", &json!({}));
        assert_eq!(revealed.expect(200)["data"]["value"], "after the kill");
    }
}
