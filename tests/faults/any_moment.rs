//! A disk that fails at one write or another of everything that writes, and for good: full, or broken.

use std::time::Instant;

use crate::harness::Broker;
use crate::harness::program::Ran;
use crate::machine::{ALL, EIO, ENOSPC, EROFS, Machine, NAMES, SYNCS, WRITES};
use crate::{Kept, is_clear, recovers};

/// What meets trouble; at the end of an attempt that met none it was done.
struct Operation {
    name: &'static str,
    /// An operator's words, with `{n}` for the number of the attempt.
    words: &'static [&'static str],
}

const OPERATIONS: [Operation; 4] = [
    Operation {
        name: "compact",
        words: &["store", "compact"],
    },
    Operation {
        name: "rotate",
        words: &["key", "rotate", "root"],
    },
    Operation {
        name: "slot",
        words: &["key", "slot", "add", "key-file", "--path", "keys/{n}.key"],
    },
    Operation {
        name: "backup",
        words: &[
            "backup",
            "create",
            "--to",
            "backups/{n}.age",
            "-r",
            RECIPIENT,
        ],
    },
];

/// Of a key that nobody has: what these backups hold is not looked at.
const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

/// How many writes go well before the trouble begins: each number, or a few.
#[expect(clippy::disallowed_methods, reason = "who runs it says how long")]
fn moments() -> Box<dyn Iterator<Item = u32>> {
    if std::env::var_os("RUNTOOLS_SLOW").is_some() {
        return Box::new(0..);
    }
    Box::new([0, 1, 2, 3, 5, 8, 13, 21, 34, 55].into_iter())
}

fn told(ran: &Ran) -> bool {
    ran.stderr.contains("error: ") && ran.stderr.contains("hint: ")
}

#[test]
fn a_secret_that_is_set_on_a_disk_that_fails_at_any_write_is_acknowledged_or_refused_in_words() {
    for error in [ENOSPC, EIO, EROFS] {
        let machine = Machine::new();
        let mut broker = Broker::with(machine.setup("[audit]\nsegment_mb = 1"));
        let mut kept = Kept::default();
        kept.set(&broker.operator(), "BEFORE").expect(201);
        for after in moments() {
            machine.fails((ALL, WRITES | SYNCS | NAMES), error, after, None);
            let reply = kept.set(&broker.operator(), &format!("AT_{error}_{after}"));
            let failed = machine.failed();
            if reply.status == 408 {
                let ready = broker.operator().get("/readyz").value();
                panic!("{error} after {after} writes hangs: {ready}");
            }
            if reply.status != 201 {
                is_clear(&reply);
            }
            // Nothing that was said stands on what the disk did not take.
            kept.set(&broker.operator(), &format!("BEHIND_{error}_{after}"));
            machine.well();
            recovers(&mut broker);
            kept.check(&broker.operator());
            if failed == 0 {
                break;
            }
        }
        kept.set(&broker.operator(), "AFTER").expect(201);
        broker.kill();
        broker.restart();
        kept.check(&broker.operator());
    }
}

/// Tries one operation at each of its moments.
fn at_each_moment(operation: &Operation) {
    let machine = Machine::new();
    let mut broker = Broker::with(machine.setup(""));
    std::fs::create_dir(broker.path("backups")).unwrap();
    let mut kept = Kept::default();
    for n in 0..20 {
        kept.set(&broker.operator(), &format!("KEPT_{n}"))
            .expect(201);
    }
    for after in moments() {
        let error = if after % 2 == 0 { ENOSPC } else { EIO };
        let what = format!("{} {error} after {after}", operation.name);
        let words: Vec<_> = operation
            .words
            .iter()
            .map(|word| {
                let path = word.replace("{n}", &after.to_string());
                let is_path = word.contains("{n}");
                if is_path {
                    broker.path(&path).display().to_string()
                } else {
                    path
                }
            })
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        machine.fails((ALL, WRITES | SYNCS | NAMES), error, after, None);
        let began = Instant::now();
        let ran = machine.runs(&broker, &words);
        let failed = machine.failed();
        assert!(began.elapsed().as_secs() < 60, "{what}");
        assert!(ran.exit == 0 || told(&ran), "{what}: {ran:?}");
        assert!(failed > 0 || ran.exit == 0, "{what}: {ran:?}");
        machine.well();
        recovers(&mut broker);
        kept.check(&broker.operator());
        kept.set(&broker.operator(), &format!("AFTER_{after}"))
            .expect(201);
        if failed == 0 {
            break;
        }
    }
    if operation.name == "rotate" {
        // Whatever was begun is taken to its end.
        let ran = machine.runs(&broker, operation.words);
        assert_eq!(ran.exit, 0, "{ran:?}");
    }
    broker.kill();
    broker.restart();
    kept.check(&broker.operator());
}

#[test]
fn a_compaction_on_a_disk_that_fails_at_any_write_leaves_the_store_as_it_was() {
    at_each_moment(&OPERATIONS[0]);
}

#[test]
fn a_rotation_on_a_disk_that_fails_at_any_write_goes_on_when_it_is_well() {
    at_each_moment(&OPERATIONS[1]);
}

#[test]
fn a_slot_on_a_disk_that_fails_at_any_write_is_added_or_not() {
    at_each_moment(&OPERATIONS[2]);
}

#[test]
fn a_backup_on_a_disk_that_fails_at_any_write_is_whole_or_not_there() {
    at_each_moment(&OPERATIONS[3]);
}
