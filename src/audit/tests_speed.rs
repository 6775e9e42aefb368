//! Measurements, short enough to run with the tests; `SCALE` makes them long enough to be quoted:
//! `cargo test --release --lib audit::tests_speed -- --nocapture`.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::checkpoint::Checkpoint;
use super::disk::{Disk, System};
use super::line::{time_text, write_event};
use super::shared::Parts;
use super::tests_rig::{event, keys, sign_key, store};
use super::{
    Action, Event, Head, Journal, Options, Outcome, Target, TargetKind, Verdict, export,
    verify_export,
};
use crate::clock::{SystemClock, Timestamp};
use crate::crypto::SystemRandom;
use crate::id::RequestId;
use crate::name::{ActionName, FieldName, Host, ToolSlug};

/// How many times the work of an ordinary test run.
const SCALE: u32 = 1;

/// A disk that keeps nothing, so that only our own work is measured.
#[derive(Debug)]
struct Nowhere;

impl Disk for Nowhere {
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        if offset == 0 {
            System.write(file, bytes, offset)
        } else {
            Ok(())
        }
    }

    fn sync(&self, _: &File) -> io::Result<()> {
        Ok(())
    }
}

fn typical() -> Event {
    event(Action::ToolExecute)
        .request(RequestId::from_random([5; 16]))
        .tool(ToolSlug::parse("custom-crm").unwrap())
        .tool_action(ActionName::parse("lookup_customer").unwrap())
        .host(Host::parse("api.crm.example").unwrap())
        .method("GET")
        .target(
            Target::new(TargetKind::Secret)
                .id(&[6; 16])
                .name("SHARED_CRM_KEY"),
        )
        .source(FieldName::parse("apiKey").unwrap(), "secret")
}

/// User and system time of this process so far.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

async fn measure(what: &str, disk: Arc<dyn Disk>, dir: &Path, each: u32) {
    let journal = Journal::open_parts(Parts {
        dir: dir.to_owned(),
        store: store(),
        keys: keys(1),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        disk,
        options: Options {
            segment_bytes: 1 << 40,
            ..Options::default()
        },
        known: None,
    })
    .unwrap();
    let (start, used) = (Instant::now(), cpu());
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let journal = journal.clone();
            tokio::spawn(async move {
                for _ in 0..each {
                    let recorded = journal.record(typical()).await.unwrap();
                    recorded.outcome(Outcome::success().http_status(200).duration_ms(3));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    journal.close();
    let (took, used) = (start.elapsed(), cpu().saturating_sub(used));
    let records = 2 * 64 * each;
    println!(
        "{what}: {records} records (half outcomes), {:.0} intents/s, {:.2} us CPU per record",
        f64::from(64 * each) / took.as_secs_f64(),
        used.as_secs_f64() * 1e6 / f64::from(records),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recording() {
    let temp = tempfile::tempdir().unwrap();
    measure(
        "no disk",
        Arc::new(Nowhere),
        &temp.path().join("a"),
        40 * SCALE,
    )
    .await;
    measure(
        "fdatasync",
        Arc::new(System),
        &temp.path().join("b"),
        10 * SCALE,
    )
    .await;
}

#[test]
fn verifying() {
    let records = 2_000 * u64::from(SCALE);
    let mut out = export::header(store(), Head::GENESIS, &sign_key().public()).unwrap();
    let time = time_text(Timestamp::from_millis(1_700_000_000_000));
    let (mut head, mut line, event) = (Head::GENESIS, Vec::new(), typical());
    for seq in 1..=records {
        line.clear();
        write_event(&mut line, seq, &time, &event).unwrap();
        line.pop();
        head = head.after(&line);
        export::write_record(&mut out, &head, &line);
        if seq % 1000 == 0 {
            let time = Timestamp::from_millis(1_700_000_000_000);
            let note = Checkpoint {
                store: store(),
                head,
                time,
            }
            .sign(&sign_key());
            export::write_checkpoint(&mut out, &note).unwrap();
        }
    }
    let start = Instant::now();
    let report = verify_export(out.as_slice(), &sign_key().public()).unwrap();
    let took = start.elapsed();
    assert_eq!((report.verdict, report.records), (Verdict::Intact, records));
    println!(
        "{records} records of {} bytes verified in {took:?}",
        line.len()
    );
}
