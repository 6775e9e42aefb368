//! The power goes at any moment: what was acknowledged is there, and the rest is whole or absent.
//!
//! A broker works under strace, which notes each write, sync, name and answer. Of that record
//! [`disk::Disk`] makes what a power cut at a moment may leave on the disk, and a broker is started over
//! it. Both engines, on fresh files and on files whose segments were written over many times.
//!
//! So does one that replaces keys, changes its ring, compacts its store, makes a backup and refreshes a token.
//!
//! A few cuts of each; with `RUNTOOLS_SLOW=1` in the environment, one wherever the disk changes, and each way to
//! lose what is not durable wherever a sync ends.

#[path = "../kill/check.rs"]
mod check;
mod disk;
mod file;
#[path = "../rotation/files.rs"]
mod files;
#[path = "../harness/mod.rs"]
mod harness;
mod keys;
mod recording;
mod trace;
mod upkeep;
#[path = "../kill/writes.rs"]
mod writes;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use check::{check, head, journal, rotations, verify};
use file::Leaves;
use harness::crm::install_crm;
use harness::{Broker, Client, Setup, Upstream};
use recording::{Moment, Recorded, record};
use serde_json::json;
use trace::Event;
use writes::{Ledger, What, Write, start_of, write};

const WRITERS: usize = 10;
/// Writes of each of them while the calls are noted.
const WRITES: usize = 15;
/// Values that are replaced again and again, and their bytes: a few fill a segment of sled's.
const LARGE: usize = 4;
const LARGE_BYTES: usize = 48 << 10;
const SMALL: &str = "small at first";
/// Cuts of each record where time is short.
const CUTS: usize = 10;

fn setup(engine: &str) -> Setup {
    Setup {
        config: format!("[store]\nengine = \"{engine}\""),
        ..Setup::default()
    }
}

/// Replaces large values, each `times` times.
fn replace_large(operator: &Client, times: usize) {
    std::thread::scope(|scope| {
        for n in 0..LARGE {
            scope.spawn(move || {
                for time in 0..times {
                    let value = format!("{time:08}").repeat(LARGE_BYTES / 8);
                    let path = format!("/v1/secrets/LARGE_{n}/rotate");
                    operator.post(&path, &json!({"value": value})).expect(200);
                }
            });
        }
    });
}

/// What was written, and the newest record of the journal before.
struct Written {
    writes: Vec<Write>,
    head: u64,
}

fn prepare(operator: &Client, upstream: &Upstream) {
    install_crm(operator, upstream.port(), "crm-value-0123456789-abcdefghij");
    for at in 4..6 {
        let body =
            json!({"name": format!("ROTATED_{at}"), "value": "the first value", "orgWide": true});
        operator.post("/v1/secrets", &body).expect(201);
    }
    for n in 0..LARGE {
        let body = json!({"name": format!("LARGE_{n}"), "value": SMALL});
        operator.post("/v1/secrets", &body).expect(201);
    }
}

fn write_all(operator: &Client, upstream: &Upstream) -> Vec<Write> {
    let ledger = Ledger {
        writes: Mutex::default(),
        round: 0,
    };
    let firsts: Vec<_> = (0..WRITERS).map(|at| start_of(at, operator)).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| replace_large(operator, WRITES));
        for (at, first) in firsts.into_iter().enumerate() {
            let ledger = &ledger;
            scope.spawn(move || {
                let (sent, done) = (|w| ledger.sent(w), |n, key| ledger.done(n, key));
                write(at, upstream.port(), operator, first, WRITES, sent, done);
            });
        }
    });
    ledger.of_round(0)
}

fn record_writers(engine: &str, long_used: bool) -> Recorded<Written> {
    let prepare = |broker: &mut Broker| {
        let upstream = Upstream::echo();
        prepare(&broker.operator(), &upstream);
        if long_used {
            for _ in 0..3 {
                replace_large(&broker.operator(), 120);
                broker.restart();
            }
        }
        let head = head(&broker.operator());
        (upstream, head)
    };
    let work = |broker: &Broker, (upstream, head): (Upstream, u64)| {
        let writes = write_all(&broker.operator(), &upstream);
        for write in &writes {
            if let What::Execute { email } = &write.what {
                let (seen, called) = (upstream.seen(), email.replace('@', "%40"));
                assert!(seen.iter().any(|call| call.target.ends_with(&called)));
            }
        }
        Written { writes, head }
    };
    record(&|_| setup(engine), &prepare, &work)
}

/// What was written at a moment, as its writers knew it.
fn known_at(moment: &Moment<'_>, writes: &[Write]) -> Vec<Write> {
    let mut under_way = HashSet::new();
    let mut known = Vec::new();
    for write in writes {
        let mut write = write.clone();
        write.acknowledged = moment.heard(&write.request);
        // Its writer goes on only after an answer, so one at most is under way.
        if let What::Rotation { name, .. } = &write.what
            && !write.acknowledged
            && !under_way.insert(name.clone())
        {
            continue;
        }
        // A key is known to whoever has the answer.
        if let What::ApiKey { key, .. } = &mut write.what
            && !write.acknowledged
        {
            *key = None;
        }
        known.push(write);
    }
    known
}

/// Starts a broker over what is left.
fn look(engine: &str, folder: Arc<tempfile::TempDir>, writes: &[Write], head: u64) {
    let mut broker = Broker::over(folder, setup(engine));
    let operator = broker.operator();
    let requests = journal(&operator, head);
    check(writes, &broker, Some(&requests));
    rotations(writes, &operator, &requests);
    for n in 0..LARGE {
        let path = format!("/v1/secrets/LARGE_{n}/reveal");
        let value = operator.post(&path, &json!({})).expect(200);
        let value = value["data"]["value"].as_str().unwrap();
        let whole = |value: &str| value == value[..8].repeat(LARGE_BYTES / 8);
        assert!(value == SMALL || whole(value), "a value of two times");
    }
    verify(&operator);
    let body = json!({"name": "AFTERWARDS", "value": "it goes on"});
    operator.post("/v1/secrets", &body).expect(201);
    assert_eq!(broker.stop(), Some(0), "{}", broker.log_text());
}

/// The model can lose something: on a disk whose syncs do nothing, nothing of all that is there.
fn forgets_without_syncs(engine: &str, recorded: &Recorded<Written>) {
    let mut disk = recorded.before.clone();
    for event in &recorded.events {
        if !matches!(event, Event::Synced { .. }) {
            disk.happens(event);
        }
    }
    let folder = Arc::new(tempfile::tempdir().unwrap());
    disk.loses_power(Leaves::Nothing, &mut |_| 0, folder.path());
    let broker = Broker::over(folder, setup(engine));
    for write in &recorded.done.writes {
        if let What::Secret { name, .. } = &write.what {
            let path = format!("/v1/secrets/{name}/reveal");
            let lost = broker.operator().post(&path, &json!({"orgWide": true}));
            assert_eq!(lost.status, 404);
        }
    }
}

fn cut_the_power(engine: &str, long_used: bool) {
    let recorded = record_writers(engine, long_used);
    let Written { writes, head } = &recorded.done;
    for write in writes {
        recorded.was_answered(&write.request);
    }
    forgets_without_syncs(engine, &recorded);
    let what = format!("{engine}, long used {long_used}");
    recorded.cut(&what, CUTS, &|folder, moment| {
        look(engine, folder, &known_at(moment, writes), *head);
    });
}

#[test]
fn sled_keeps_what_it_acknowledged() {
    cut_the_power("sled", false);
}

#[test]
fn sled_keeps_what_it_acknowledged_when_its_files_are_long_in_use() {
    cut_the_power("sled", true);
}

#[test]
fn redb_keeps_what_it_acknowledged() {
    cut_the_power("redb", false);
}

#[test]
fn redb_keeps_what_it_acknowledged_when_its_files_are_long_in_use() {
    cut_the_power("redb", true);
}
