//! A copy of the live records in fresh files, taken while the store serves, and then put in its place:
//! how sled gives room back, and how a store goes from one engine to the other.
//!
//! The order, and what a kill leaves after each step. Two folders are never both the store: the format
//! marker names one, and it is replaced in one rename.
//!
//! 1. A fresh folder is made, or one that an earlier try left is taken up. From now on the commit writer
//!    notes which keys it changes. *Killed here or in 2 to 4: the store is where it was; the next try goes
//!    on with the folder.*
//! 2. Every record is copied, page by page, while commits go on. What is in the copy already is not
//!    written again.
//! 3. What changed meanwhile is copied, until little does.
//! 4. The copy is closed and opened again from disk, and everything in it is counted and digested.
//! 5. Between two groups of commits, when nothing changes: the last changes and the state record are
//!    copied. Only if count and digest are then those of the store is the copy made the store, by its
//!    name in the marker. *Killed after that: the store is the copy, which has every commit that was
//!    acknowledged; the next start removes the old files.*
//! 6. The old files go when the last reader has left them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use super::copying::{Copying, Verified, Watch};
use super::disk::{DiskEngine, Names};
use super::state::State;
use super::writer::{Order, Shared};
use super::{Engine, EngineKind, Store, StoreError};
use crate::crypto::{Key, MacKey};
use crate::failpoint::{Failpoint, reached};

/// How far a rewriting has come, and the wish that it stops. Shared with whoever watches.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    total: AtomicU64,
    stop: AtomicBool,
}

impl Progress {
    /// How many records were copied, and about how many there are.
    #[must_use]
    pub fn records(&self) -> (u64, u64) {
        let done = self.done.load(Ordering::Relaxed);
        (done, self.total.load(Ordering::Relaxed).max(done))
    }

    /// Makes it stop before the next page; once the copy is the store, nothing happens.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(super) fn expect(&self, records: u64) {
        self.total.store(records, Ordering::Relaxed);
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self, records: usize) {
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        self.done.fetch_add(records, Ordering::Relaxed);
    }
}

/// What a rewriting came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// The engine that keeps the store now.
    pub engine: EngineKind,
    /// How many records there were.
    pub records: u64,
    /// The room that the store's files took before, in bytes.
    pub bytes_before: u64,
    /// The room that they take now.
    pub bytes_after: u64,
}

impl Store {
    /// Moves the store to fresh files of the engine `kind`, while it serves. Blocks until that is done;
    /// one at a time.
    ///
    /// # Errors
    /// [`StoreError::NotOnDisk`], [`StoreError::Rewriting`], [`StoreError::Stopped`],
    /// [`StoreError::Restless`], [`StoreError::NoRoom`], [`StoreError::Damaged`] when the copy is not what the store should
    /// hold, what the engines and the operating system report: the store is then where it was. If it
    /// cannot be told which files are the store's, it ends as [`StoreError::Failed`] until the next start.
    pub fn rewrite(&self, kind: EngineKind, progress: &Progress) -> Result<Rewritten, StoreError> {
        self.rewrite_as(kind, Names::Same, progress)
    }

    /// As [`Store::rewrite`], into files of the same engine in which every name is under the veil of `key`, whose
    /// number is the key's version: none of the names that stood on disk before stands there afterwards.
    ///
    /// # Errors
    /// As [`Store::rewrite`].
    pub fn rewrite_under(&self, key: &Key, progress: &Progress) -> Result<Rewritten, StoreError> {
        let kind = self.engine_kind().ok_or(StoreError::NotOnDisk)?;
        self.rewrite_as(kind, Names::Under(key.name().version, key), progress)
    }

    /// The number of the veil that its names are under, and that of a copy which was begun under another.
    ///
    /// # Errors
    /// [`StoreError::NotOnDisk`], what the operating system reports.
    pub fn veils(&self) -> Result<(Option<u32>, Option<u32>), StoreError> {
        let (engine, ..) = self.parts();
        let disk = engine.disk().ok_or(StoreError::NotOnDisk)?;
        Ok((disk.veil(), disk.begun_veil()?))
    }

    fn rewrite_as(
        &self,
        kind: EngineKind,
        names: Names<'_>,
        progress: &Progress,
    ) -> Result<Rewritten, StoreError> {
        let (engine, mac, shared) = self.parts();
        let disk = engine.disk().ok_or(StoreError::NotOnDisk)?;
        let _turn = disk.turn()?;
        shared.usable()?;
        let bytes_before = disk.bytes()?;
        progress.expect(self.records());
        reached(Failpoint::RewriteBegins);
        let watch = Watch::begin(&shared);
        let copying = Copying {
            disk,
            mac: &mac,
            shared: &shared,
            progress,
            names,
        };
        let copied = copying.all_of_it(kind);
        if matches!(copied, Err(StoreError::NoRoom | StoreError::Full)) {
            disk.remove_unfinished()?;
        }
        // Who closes the store takes the key of names away, too, under whoever is in the middle of a page.
        let copy = copied.or_else(|error| shared.usable().and(Err(error)))?;
        let records = self.put_in_place(copy, &engine, &mac, &shared)?;
        drop(watch);
        disk.remove_superseded()?;
        reached(Failpoint::RewriteEnds);
        Ok(Rewritten {
            engine: kind,
            records,
            bytes_before,
            bytes_after: disk.bytes()?,
        })
    }

    /// Step 5, on the commit writer's thread.
    fn put_in_place(
        &self,
        verified: Verified,
        engine: &Arc<dyn Engine>,
        mac: &MacKey,
        shared: &Arc<Shared>,
    ) -> Result<u64, StoreError> {
        let (answer, outcome) = mpsc::sync_channel(1);
        let (engine, mac, shared) = (Arc::clone(engine), mac.clone(), Arc::clone(shared));
        self.send(Order::Pause(Box::new(move |state: &State| {
            let placed = shared.usable().and_then(|()| {
                let disk = engine.disk().ok_or(StoreError::NotOnDisk)?;
                verified.finish(disk, &mac, &shared, state)
            });
            answer.send(placed).unwrap_or_default();
        })))?;
        self.shared().hear(&outcome)
    }

    /// The room that the store's files take on disk, in bytes; an engine without files says how large it
    /// is.
    ///
    /// # Errors
    /// What the operating system reports.
    pub fn occupied_bytes(&self) -> Result<u64, StoreError> {
        let (engine, ..) = self.parts();
        engine
            .disk()
            .map_or_else(|| engine.size_bytes(), DiskEngine::bytes)
    }

    /// The engine's name.
    #[must_use]
    pub fn engine_name(&self) -> &'static str {
        self.parts().0.name()
    }

    /// Removes what stopped or killed tries have left.
    ///
    /// # Errors
    /// [`StoreError::NotOnDisk`], [`StoreError::Rewriting`], what the operating system reports;
    /// [`StoreError::Failed`] when it cannot be told which files are the store's.
    pub fn discard_unfinished(&self) -> Result<(), StoreError> {
        let (engine, _, shared) = self.parts();
        let disk = engine.disk().ok_or(StoreError::NotOnDisk)?;
        let _turn = disk.turn()?;
        // The marker may name a folder by now that this process takes for an unfinished copy.
        shared.usable()?;
        disk.remove_unfinished()
    }
}
