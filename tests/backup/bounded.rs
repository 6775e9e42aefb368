//! What a backup takes of memory does not grow with the store.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::harness::memory::{forget_peak, peak};
use crate::harness::{Broker, Setup, eventually};
use crate::{create, key, set};

/// Seventy mebibytes; with `RUNTOOLS_SLOW=1` in the environment, a gibibyte.
#[expect(clippy::disallowed_methods, reason = "who runs it says how long")]
fn secrets_of_each_writer() -> usize {
    if std::env::var_os("RUNTOOLS_SLOW").is_some() {
        2_100
    } else {
        140
    }
}

#[test]
fn what_a_backup_takes_of_memory_is_as_little_for_a_large_store() {
    let each = secrets_of_each_writer();
    for engine in ["sled", "redb"] {
        let mut broker = Broker::with(Setup {
            config: format!("[store]\nengine = \"{engine}\"\ncache_mb = 8"),
            ..Setup::default()
        });
        let (_, recipient) = key(broker.folder().path());
        let long = "0123456789abcdef".repeat(4000);
        let operator = broker.operator();
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let (operator, long) = (&operator, &long);
                scope.spawn(move || {
                    for n in 0..each {
                        set(operator, &format!("LONG_{writer}_{n}"), long);
                    }
                });
            }
        });
        // A process that has not stored all of that itself.
        broker.restart();
        set(&broker.operator(), "SHORT", "the threads are there");
        forget_peak(broker.pid());
        let before = peak(broker.pid());
        let made = create(&broker, &broker.path("first.age"), &recipient);
        let grown = peak(broker.pid()).saturating_sub(before);
        let bytes = made["bytes"].as_u64().unwrap();
        println!(
            "{engine}: {} KiB in a backup of {} KiB",
            grown / 1024,
            bytes / 1024
        );
        assert!(bytes > each as u64 * 8 * 64_000, "{bytes}");
        assert!(grown < 48 << 20, "{engine}: {grown} bytes more at the most");
        nobody_waits_for_who_does_not_read(&broker, &recipient);
    }
}

/// A stream that nobody reads on is no reason for a commit to wait. A second backup is refused in words
/// meanwhile, and so is a compaction.
fn nobody_waits_for_who_does_not_read(broker: &Broker, recipient: &str) {
    let mut slow = UnixStream::connect(broker.socket()).unwrap();
    let body = format!("{{\"recipients\":[\"{recipient}\"]}}");
    let request = format!(
        "POST /v1/operator/backup HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    slow.write_all(request.as_bytes()).unwrap();
    let mut begun = [0; 15];
    slow.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200 OK");
    let operator = broker.operator();
    set(&operator, "MEANWHILE", "stored while nobody reads");
    let file = broker.path("second.age").display().to_string();
    let words = ["--json", "backup", "create", "--to", &file, "-r", recipient];
    let refused = broker.runs(&words, None);
    assert_ne!(refused.exit, 0, "{}", refused.stdout);
    assert!(
        refused.stdout.contains("being copied already"),
        "{}",
        refused.stdout
    );
    assert!(!broker.path("second.age").exists());
    let compact = broker.runs(&["store", "compact"], None);
    assert_ne!(compact.exit, 0, "{}", compact.stderr);
    drop(slow);
    eventually(|| (broker.runs(&words, None).exit == 0).then_some(()));
    // What was broken off is in the journal as that, and no longer in the way.
    let log = operator
        .get("/v1/audit?action=backup.create&all=true&limit=10")
        .expect(200);
    let failed = log["data"].as_array().unwrap().iter();
    let failed = failed.filter(|entry| entry["outcome"]["status"] == "failed");
    assert!(failed.count() >= 2, "{log}");
}
