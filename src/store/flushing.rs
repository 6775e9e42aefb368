//! sled's batches and flushes, kept out of each other's way, and out of a sleep without end.
//!
//! **A flush may not hear that its write failed.** A batch is written in two buffers. The one with its first
//! word is written by whichever thread ends the batch (`exit_reservation` in sled's `logger.rs`), which notes an
//! error and wakes nobody. Had the flush been woken by the other buffer just before, it sleeps for good. Any
//! further flush finds the error noted and wakes all who wait (`make_stable_inner` in `iobuf.rs`), so one that
//! takes long is called upon by another, on a thread of its own. Where the disk is only slow, that one waits
//! beside the first: it has nothing to write, and takes none of sled's threads.
//!
//! **One lock serves all databases of a process.** In sled a batch waits for every flush that is under way, in
//! whichever database, and all reads wait for that batch: while the store is copied to another, each page that is
//! written would keep readers waiting for the store's disk, and each commit for the copy's. So a batch waits
//! here, before it has begun, where no reader stands behind it. Nor would a flush that calls upon another
//! come through to it behind a batch.

use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::thread;
use std::time::Duration;

use super::StoreError;
use super::guard::guarded;
use super::lookout::Lookout;
use crate::waiting::AtWork;

/// After how long a flush is called upon for the first time; then after twice as long, and so on.
const FIRST: Duration = Duration::from_secs(1);

/// Shared by whoever flushes, of any database; a batch has it alone.
static FLUSHES: RwLock<()> = RwLock::new(());

/// A database that is closed when the last one who uses it has gone. sled writes when it is dropped, and may
/// panic there. All that was acknowledged is durable.
pub(super) struct Guarded(pub(super) Option<sled::Db>);

impl Drop for Guarded {
    fn drop(&mut self) {
        let db = self.0.take();
        guarded(|| {
            let _flushing = FLUSHES.read().unwrap_or_else(PoisonError::into_inner);
            drop(db);
            Ok(())
        })
        .unwrap_or_default();
    }
}

/// Writes batches to one database.
pub(super) struct Flushing {
    at_work: Arc<AtWork>,
    lookout: Lookout,
}

impl Flushing {
    pub(super) fn of(db: &Arc<Guarded>) -> Result<Self, StoreError> {
        let at_work = Arc::new(AtWork::default());
        let (work, db) = (Arc::clone(&at_work), Arc::downgrade(db));
        let (mut before, mut next) = (Duration::ZERO, FIRST);
        let lookout = Lookout::begin("store-flushes", move || {
            let time = work.time();
            if time < before {
                next = FIRST;
            }
            before = time;
            if time >= next {
                next = next.saturating_mul(2);
                call(&db);
            }
            !time.is_zero()
        })?;
        Ok(Self { at_work, lookout })
    }

    /// Writes `batch`, and has it written out.
    pub(super) fn write(&self, db: &sled::Db, batch: sled::Batch) -> sled::Result<()> {
        let alone = FLUSHES.write().unwrap_or_else(PoisonError::into_inner);
        db.apply_batch(batch)?;
        drop(alone);
        let _flushing = FLUSHES.read().unwrap_or_else(PoisonError::into_inner);
        let _working = self.at_work.begin();
        self.lookout.wake();
        db.flush().map(drop)
    }
}

/// Wakes whoever waits in a flush without need. It may come to wait itself: nobody waits for it.
fn call(db: &Weak<Guarded>) {
    let Some(db) = db.upgrade() else { return };
    let flush = move || {
        // Whoever is woken tells of the error.
        guarded(|| Ok(db.0.as_ref().is_some_and(|db| db.flush().is_ok()))).unwrap_or_default();
    };
    let called = thread::Builder::new()
        .name("store-flush".into())
        .spawn(flush);
    if let Err(error) = called {
        tracing::warn!(%error, "no thread to look after a flush that takes long");
    }
}
