//! The power goes at any moment: what was acknowledged is there, and the rest is whole or absent.
//!
//! A broker works under strace, which notes each write, sync, name and answer. Of that record
//! [`disk::Disk`] makes what a power cut at a moment may leave on the disk, and a broker is started over
//! it. Both engines, on fresh files and on files whose segments were written over many times.
//!
//! 10 cuts of each; with `RUNTOOLS_SLOW=1` in the environment, 400.

#[path = "../kill/check.rs"]
mod check;
mod disk;
mod file;
#[path = "../harness/mod.rs"]
mod harness;
mod trace;
#[path = "../kill/writes.rs"]
mod writes;

use std::collections::{HashMap, HashSet};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use check::{check, head, journal, rotations, verify};
use disk::Disk;
use file::Leaves;
use harness::crm::install_crm;
use harness::dice::Dice;
use harness::{Broker, Client, Setup, Upstream};
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

#[expect(clippy::disallowed_methods, reason = "who runs it says how long")]
fn cuts() -> usize {
    if std::env::var_os("RUNTOOLS_SLOW").is_some() {
        400
    } else {
        10
    }
}

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

/// What a broker did, and what it said of it.
struct Recorded {
    before: Disk,
    events: Vec<Event>,
    writes: Vec<Write>,
    /// The newest record of the journal before.
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

/// Records until the record is whole: of two calls that threads make at once, a trace does not always
/// tell which was first.
fn record(engine: &str, long_used: bool) -> Recorded {
    (0..3)
        .find_map(|_| try_to_record(engine, long_used))
        .unwrap()
}

fn try_to_record(engine: &str, long_used: bool) -> Option<Recorded> {
    let upstream = Upstream::echo();
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut broker = Broker::over(Arc::clone(&folder), setup(engine));
    prepare(&broker.operator(), &upstream);
    if long_used {
        for _ in 0..3 {
            replace_large(&broker.operator(), 120);
            broker.restart();
        }
    }
    let head = head(&broker.operator());
    assert_eq!(broker.stop(), Some(0));

    let before = Disk::of(folder.path());
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("trace");
    let wrapper = trace::wrapper(&file);
    let mut broker = Broker::over(
        Arc::clone(&folder),
        Setup {
            wrapper,
            ..setup(engine)
        },
    );
    let writes = write_all(&broker.operator(), &upstream);
    for write in &writes {
        if let What::Execute { email } = &write.what {
            let (seen, called) = (upstream.seen(), email.replace('@', "%40"));
            assert!(seen.iter().any(|call| call.target.ends_with(&called)));
        }
    }
    let children = format!("/proc/{0}/task/{0}/children", broker.pid());
    let child = std::fs::read_to_string(children).unwrap();
    let ended = Command::new("kill").args(["-TERM", child.trim()]).status();
    assert!(ended.unwrap().success());
    assert_eq!(broker.wait(Duration::from_mins(1)), Some(0));

    let events = trace::read(&std::fs::read_to_string(&file).unwrap(), folder.path());
    let mut after = before.clone();
    for event in &events {
        after.happens(event);
    }
    if let Some(path) = after.differs_at() {
        println!("the record is not whole at {}", path.display());
        return None;
    }
    Some(Recorded {
        before,
        events,
        writes,
        head,
    })
}

/// What was written when so many events had happened, as its writers knew it.
fn known_at(recorded: &Recorded, answered: &HashMap<&str, usize>, moment: usize) -> Vec<Write> {
    let mut under_way = HashSet::new();
    let mut known = Vec::new();
    for write in &recorded.writes {
        let mut write = write.clone();
        let answer = answered.get(write.request.as_str());
        write.acknowledged = answer.is_some_and(|at| *at < moment);
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
fn forgets_without_syncs(engine: &str, recorded: &Recorded) {
    let mut disk = recorded.before.clone();
    for event in &recorded.events {
        if !matches!(event, Event::Synced { .. }) {
            disk.happens(event);
        }
    }
    let folder = Arc::new(tempfile::tempdir().unwrap());
    disk.loses_power(Leaves::Nothing, &mut |_| 0, folder.path());
    let broker = Broker::over(folder, setup(engine));
    for write in &recorded.writes {
        if let What::Secret { name, .. } = &write.what {
            let path = format!("/v1/secrets/{name}/reveal");
            let lost = broker.operator().post(&path, &json!({"orgWide": true}));
            assert_eq!(lost.status, 404);
        }
    }
}

fn cut_the_power(engine: &str, long_used: bool) {
    let recorded = record(engine, long_used);
    let mut answered = HashMap::new();
    let mut syncs = Vec::new();
    for (at, event) in recorded.events.iter().enumerate() {
        match event {
            Event::Answered { request } => {
                answered.insert(request.as_str(), at);
            }
            Event::Synced { .. } => syncs.push(at),
            _ => {}
        }
    }
    for write in &recorded.writes {
        assert!(
            answered.contains_key(write.request.as_str()),
            "no answer was noted: {write:?}"
        );
    }
    let mut dice = Dice(0x5DEE_CE66_D123);
    let mut moments: Vec<_> = (0..cuts())
        .map(|n| {
            // Before a sync ends, the most is at stake.
            if n % 2 == 0 {
                syncs[dice.below(syncs.len())]
            } else {
                dice.below(recorded.events.len())
            }
        })
        .collect();
    moments.sort_unstable();
    forgets_without_syncs(engine, &recorded);
    let (mut disk, mut at) = (recorded.before.clone(), 0);
    for (n, moment) in moments.into_iter().enumerate() {
        for event in &recorded.events[at..moment] {
            disk.happens(event);
        }
        at = moment;
        let leaves = Leaves::ALL[n % Leaves::ALL.len()];
        let folder = Arc::new(tempfile::tempdir().unwrap());
        disk.loses_power(leaves, &mut |limit| dice.below(limit), folder.path());
        println!("{engine}, long used {long_used}: cut {n} before event {moment}");
        look(
            engine,
            folder,
            &known_at(&recorded, &answered, moment),
            recorded.head,
        );
    }
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
