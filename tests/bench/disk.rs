//! The store and the journal alone, against appending and syncing.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use runtools_broker::audit::{
    Action, Actor, Event, Journal, JournalKey, JournalKeys, Options, Outcome, Signer, Target,
    TargetKind,
};
use runtools_broker::clock::SystemClock;
use runtools_broker::crypto::{
    Context, Key, KeyRef, Purpose, Record, SigningKey, SystemRandom, seal,
};
use runtools_broker::id::{ObjectId, StoreId};
use runtools_broker::store::{
    Batch, Class, DEFAULT_CACHE_BYTES, DiskEngine, Engine, EngineKind, Expect, JournalMark, Store,
    StoreKey, StoreKeys, Write,
};

use crate::Effort;
use crate::load;
use crate::report::Report;
use crate::requests::report_rate;

pub(crate) const STORE: StoreId = StoreId::from_bytes([3; 16]);

pub(crate) fn key(byte: u8) -> Key {
    let name = KeyRef {
        id: ObjectId::from_bytes([byte; 16]),
        version: 1,
    };
    Key::from_bytes(name, &mut [byte; 32]).unwrap()
}

/// Appends of 4 KiB, each synced: how many a second one thread does.
fn append_and_sync(dir: &Path, time: Duration) -> f64 {
    let file = File::create(dir.join("floor")).unwrap();
    let (block, began, mut count) = ([7_u8; 4096], Instant::now(), 0_u64);
    while began.elapsed() < time {
        file.write_all_at(&block, count * 4096).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    count as f64 / began.elapsed().as_secs_f64()
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Runs `work(n)` from `writers` tasks for `time`: how many a second, and processor µs for each.
fn writers<F>(
    writers: usize,
    time: Duration,
    work: impl Fn(u64) -> F + Send + Sync + 'static,
) -> (f64, f64)
where
    F: Future<Output = ()> + Send,
{
    let (work, next) = (Arc::new(work), Arc::new(AtomicU64::new(0)));
    let (began, used) = (Instant::now(), load::cpu(std::process::id()));
    runtime().block_on(async {
        let tasks: Vec<_> = (0..writers)
            .map(|_| {
                let (work, next) = (Arc::clone(&work), Arc::clone(&next));
                tokio::spawn(async move {
                    while began.elapsed() < time {
                        work(next.fetch_add(1, Ordering::Relaxed)).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    let (took, used) = (began.elapsed(), load::cpu(std::process::id()) - used);
    let count = next.load(Ordering::Relaxed) as f64;
    (count / took.as_secs_f64(), used.as_secs_f64() * 1e6 / count)
}

pub(crate) fn record(length: usize) -> Record {
    let context = Context::system(STORE, ObjectId::from_bytes([9; 16]), 1);
    let sealed = seal(
        &key(1),
        Purpose::Value,
        &context,
        &vec![7; length],
        &SystemRandom,
    );
    Record::of(&sealed.unwrap())
}

pub(crate) fn place(run: u64, part: u64, n: u64) -> StoreKey {
    // Blinded names are hashes, so they come in no order.
    let hash = runtools_broker::crypto::sha256(
        &[run.to_be_bytes(), part.to_be_bytes(), n.to_be_bytes()].concat(),
    );
    StoreKey::new(Class::Secret, &[&hash])
}

/// The engine without the store over it: one thread that makes batches of `group` records durable, one after
/// the other. How many records a second.
fn bare_engine(kind: EngineKind, group: usize, time: Duration) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let engine = DiskEngine::open(&dir.path().join("bare"), kind, DEFAULT_CACHE_BYTES).unwrap();
    let (one, mut count) = (record(376), 0_u64);
    let began = Instant::now();
    while began.elapsed() < time {
        let places: Vec<_> = (0..group as u64).map(|n| place(0, 0, count + n)).collect();
        let put = |place| Write::Put(StoreKey::as_bytes(place), one.as_bytes());
        engine
            .apply(&places.iter().map(put).collect::<Vec<_>>())
            .unwrap();
        count += group as u64;
    }
    count as f64 / began.elapsed().as_secs_f64()
}

pub(crate) fn store(effort: Effort<'_>, report: &mut Report) {
    for kind in EngineKind::ALL {
        store_on(kind, effort, report);
    }
}

fn store_on(kind: EngineKind, effort: Effort<'_>, report: &mut Report) {
    const TITLE: &str = "The store alone: durable commits, against its engine with batches of as many records as there are writers, and against appending 4 KiB + fdatasync";
    const HEAD: [&str; 10] = [
        "engine",
        "commit",
        "writers",
        "commits/s",
        "CPU µs",
        "the engine's records/s",
        "records of them",
        "floor syncs/s",
        "commits per sync of the floor",
        "bar",
    ];
    let dir = tempfile::tempdir().unwrap();
    let engine = DiskEngine::open(&dir.path().join("store"), kind, DEFAULT_CACHE_BYTES).unwrap();
    let keys = StoreKeys {
        seal: key(1),
        anchor: key(2),
    };
    let anchor = dir.path().join("anchor");
    let store = Store::create(
        Arc::new(engine),
        STORE,
        keys,
        &anchor,
        Arc::new(SystemRandom),
        Batch::new(),
    );
    let store = store.unwrap();
    let one = Arc::new(record(376));
    for (name, records) in [
        ("one record of 505 B", 1_u64),
        ("two records, one expected absent", 2),
    ] {
        for count in [1, 16, 64, 256] {
            let floor = append_and_sync(dir.path(), effort.time / 5);
            let bare = bare_engine(kind, count, effort.time / 2);
            let (store, one) = (store.clone(), Arc::clone(&one));
            let (rate, cpu) = writers(count, effort.time, move |n| {
                let mut batch = Batch::new();
                for part in 0..records {
                    batch.put(place(count as u64, part + records, n), Record::clone(&one));
                }
                if records == 2 {
                    batch.expect(place(count as u64, 2, n), Expect::Absent);
                }
                let store = store.clone();
                async move {
                    store.commit(batch, JournalMark::GENESIS).await.unwrap();
                }
            });
            let bar = if kind == EngineKind::default() && count == 64 && records == 1 {
                Report::verdict("≥ 60,000/s", rate >= 60_000.0)
            } else {
                String::new()
            };
            let row = [
                kind.to_string(),
                name.to_owned(),
                count.to_string(),
                report_rate(rate),
                format!("{cpu:.1}"),
                report_rate(bare),
                format!("{:.0} %", rate * records as f64 / bare * 100.0),
                report_rate(floor),
                format!("{:.1}", rate / floor),
                bar,
            ];
            report.row(TITLE, &HEAD, &row);
            report.point("store", &format!("{kind}: {name}"), count as f64, rate);
            if records == 1 {
                report.point("store", &format!("{kind} alone"), count as f64, bare);
            }
            report.point(
                "store",
                "append 4 KiB + fdatasync, one at a time",
                count as f64,
                floor,
            );
        }
    }
}

pub(crate) fn journal(effort: Effort<'_>, report: &mut Report) {
    const TITLE: &str = "The audit journal alone: durable intents, each with an outcome";
    const HEAD: [&str; 6] = [
        "writers",
        "intents/s",
        "CPU µs",
        "floor syncs/s",
        "intents per sync of the floor",
        "bar",
    ];
    for count in [1, 16, 64, 256] {
        let dir = tempfile::tempdir().unwrap();
        let floor = append_and_sync(dir.path(), effort.time / 5);
        let signs = Signer::Signs(SigningKey::from_seed(&key(5)).unwrap());
        let keys = JournalKeys::new(vec![JournalKey::new(key(4), signs)]).unwrap();
        let journal = Journal::open(
            &dir.path().join("audit"),
            STORE,
            keys,
            Arc::new(SystemClock),
            Arc::new(SystemRandom),
            Options::default(),
            None,
        )
        .unwrap();
        let (rate, cpu) = writers(count, effort.time, move |_| {
            let journal = journal.clone();
            async move {
                let target = Target::new(TargetKind::Secret).name("SHARED_CRM_KEY");
                let event = Event::new(Action::SecretReveal, Actor::System).target(target);
                let recorded = journal.record(event).await.unwrap();
                recorded.outcome(Outcome::success());
            }
        });
        let row = [
            count.to_string(),
            report_rate(rate),
            format!("{cpu:.1}"),
            report_rate(floor),
            format!("{:.1}", rate / floor),
            String::new(),
        ];
        report.row(TITLE, &HEAD, &row);
        report.point("store", "journal intents", count as f64, rate);
    }
}
