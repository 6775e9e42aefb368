//! How much room a store takes that was used, what compacting it gives back, and how long that takes.

use std::sync::Arc;
use std::time::Instant;

use runtools_broker::crypto::SystemRandom;
use runtools_broker::store::{
    Batch, DEFAULT_CACHE_BYTES, DiskEngine, EngineKind, JournalMark, Progress, Store, StoreKeys,
};

use crate::Effort;
use crate::disk::{STORE, key, place, record, runtime};
use crate::report::Report;
use crate::requests::report_rate;

const RECORD: usize = 376;

fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

pub(crate) fn measure(effort: Effort<'_>, report: &mut Report) {
    const TITLE: &str = "Compacting: records of 505 B, each replaced once and half of them deleted";
    const HEAD: [&str; 7] = [
        "from",
        "to",
        "records",
        "payload MiB",
        "before MiB",
        "after MiB",
        "records/s",
    ];
    for from in EngineKind::ALL {
        for to in EngineKind::ALL {
            let dir = tempfile::tempdir().unwrap();
            let store = used(dir.path(), from, effort.secrets);
            let began = Instant::now();
            let done = store.rewrite(to, &Progress::default()).unwrap();
            let took = began.elapsed();
            let payload = done.records * record(RECORD).as_bytes().len() as u64;
            let row = [
                from.to_string(),
                to.to_string(),
                done.records.to_string(),
                mib(payload),
                mib(done.bytes_before),
                mib(done.bytes_after),
                report_rate(done.records as f64 / took.as_secs_f64()),
            ];
            report.row(TITLE, &HEAD, &row);
        }
    }
}

/// A store that was written to twice, and of which every other record is gone.
fn used(dir: &std::path::Path, kind: EngineKind, records: u64) -> Store {
    let engine = DiskEngine::open(&dir.join("store"), kind, DEFAULT_CACHE_BYTES).unwrap();
    let keys = StoreKeys {
        seal: key(1),
        anchor: key(2),
    };
    let (anchor, random) = (dir.join("anchor"), Arc::new(SystemRandom));
    let store = Store::create(Arc::new(engine), STORE, keys, &anchor, random, Batch::new());
    let store = store.unwrap();
    let one = record(RECORD);
    runtime().block_on(async {
        for round in 0..3 {
            for first in (0..records).step_by(200) {
                let mut batch = Batch::new();
                for n in first..records.min(first + 200) {
                    match round {
                        0 | 1 => batch.put(place(0, 0, n), one.clone()),
                        _ if n % 2 == 0 => batch.delete(place(0, 0, n)),
                        _ => {}
                    }
                }
                let committed = store.commit(batch, JournalMark::GENESIS).await;
                committed.unwrap();
            }
        }
    });
    store
}
