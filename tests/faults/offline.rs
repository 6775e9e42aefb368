//! Disks that fail under what is done while no broker serves, and under a start.

use std::process::Command;

use crate::harness::Broker;
use crate::harness::disk::Disk;
use crate::machine::{ALL, EIO, ENOSPC, Machine, NAMES, SYNCS, WRITES};
use crate::{Kept, no_panic, set};

#[test]
fn a_migration_on_a_disk_that_fails_at_any_write_leaves_one_store_that_serves() {
    let machine = Machine::new();
    let mut broker = Broker::with(machine.setup(""));
    let mut kept = Kept::default();
    for n in 0..20 {
        kept.set(&broker.operator(), &format!("KEPT_{n}"))
            .expect(201);
    }
    assert_eq!(broker.stop(), Some(0));
    let mut engine = "sled";
    for (turn, after) in [0, 1, 2, 4, 7, 12, 20, 33, 50, 80, 130, 210]
        .into_iter()
        .enumerate()
    {
        let error = if turn % 2 == 0 { ENOSPC } else { EIO };
        let to = if engine == "sled" { "redb" } else { "sled" };
        machine.fails((ALL, WRITES | SYNCS | NAMES), error, after, None);
        let ran = machine.runs(&broker, &["store", "migrate", "--to", to]);
        machine.well();
        let told = ran.stderr.contains("error: ") && ran.stderr.contains("hint: ");
        assert!(ran.exit == 0 || told, "{after}: {ran:?}");
        no_panic(&ran.stderr);
        let marker = std::fs::read_to_string(broker.data().join("store/format")).unwrap();
        engine = if marker.contains("redb") {
            "redb"
        } else {
            "sled"
        };
        assert!(ran.exit != 0 || engine == to, "{after}: {marker}");
        broker.restart_with(machine.setup(&format!("[store]\nengine = \"{engine}\"")));
        kept.check(&broker.operator());
        assert_eq!(broker.stop(), Some(0));
    }
}

#[test]
fn a_start_on_a_disk_that_fails_is_refused_in_words_and_the_next_one_serves() {
    let machine = Machine::new();
    let mut broker = Broker::with(machine.setup(""));
    let mut kept = Kept::default();
    kept.set(&broker.operator(), "KEPT").expect(201);
    for error in [ENOSPC, EIO] {
        for after in [0, 1, 2, 3, 5, 8] {
            assert_eq!(broker.stop(), Some(0));
            machine.fails((ALL, WRITES | SYNCS | NAMES), error, after, None);
            broker.restart_with(crate::harness::Setup {
                unready: true,
                ..machine.setup("")
            });
            // It may start sealed or without its journal, or end; it does not hang, and does not panic.
            let code = broker.wait(std::time::Duration::from_secs(5));
            let log = broker.log_text();
            no_panic(&log);
            if code.is_some() {
                assert_eq!(code, Some(1), "{after}: {log}");
                assert!(log.contains("\nhint: "), "{after}: {log}");
            }
            machine.well();
            broker.restart_with(machine.setup(""));
            kept.check(&broker.operator());
        }
    }
}

#[test]
fn a_first_start_on_a_disk_that_fails_at_any_write_can_be_begun_again() {
    for after in [0, 1, 2, 3, 5, 8, 12, 17, 23, 30, 40, 60] {
        let machine = Machine::new();
        machine.fails((ALL, WRITES | SYNCS | NAMES), ENOSPC, after, None);
        let mut broker = Broker::with(crate::harness::Setup {
            unready: true,
            ..machine.setup("")
        });
        let code = broker.wait(std::time::Duration::from_secs(3));
        let log = broker.log_text();
        no_panic(&log);
        assert!(code.is_none_or(|code| code == 1), "{after}: {log}");
        machine.well();
        broker.restart_with(machine.setup(""));
        let mut kept = Kept::default();
        kept.set(&broker.operator(), "KEPT").expect(201);
        kept.check(&broker.operator());
    }
}

#[test]
fn a_data_folder_that_is_mounted_read_only_is_refused_in_words() {
    let mut broker = Broker::start();
    let mut kept = Kept::default();
    kept.set(&broker.operator(), "KEPT").expect(201);
    assert_eq!(broker.stop(), Some(0));
    let _disk = Disk::over(&broker.data(), "64m");
    let mount = |how: &str| {
        let words = ["-o", &format!("remount,{how}")].map(str::to_owned);
        let mounted = Command::new("mount")
            .args(words)
            .arg(broker.data())
            .status();
        assert!(mounted.unwrap().success());
    };
    mount("ro");
    let folder = broker.folder();
    let mut refused = Broker::over(
        folder,
        crate::harness::Setup {
            unready: true,
            ..crate::harness::Setup::default()
        },
    );
    let code = refused.wait(std::time::Duration::from_secs(30));
    let log = refused.log_text();
    assert_eq!(code, Some(1), "{log}");
    assert!(
        log.contains("read-only") && log.contains("\nhint: "),
        "{log}"
    );
    mount("rw");
    refused.restart_with(crate::harness::Setup::default());
    kept.check(&refused.operator());
    set(&refused.operator(), "LATER").expect(201);
}
