//! A store's directory and the engine in it: one lock, one format marker, and the folder it names.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};

use super::error::Doing;
use super::files::{self, DataDir};
use super::kind::{EngineKind, Folder};
use super::redb_engine::RedbEngine;
use super::sled_engine::SledEngine;
use super::veiled::{Lifting, Veiled};
use super::{Engine, Pair, StoreError, Visitor, Write};
use crate::crypto::{Key, Veil};

/// What an engine keeps in memory unless a setting says otherwise: 64 MiB, where their own defaults are
/// 1 GB.
pub const DEFAULT_CACHE_BYTES: u64 = 64 << 20;

/// How long readers may take to leave files that were replaced, before they are left to the next start:
/// 6,000 times 10 ms.
const LEAVING: u32 = 6_000;

/// The engine of a store on disk. Nobody else may use its directory until this is dropped.
pub struct DiskEngine {
    live: ArcSwap<Files>,
    /// Files that were replaced, until nobody reads them.
    replaced: Mutex<Vec<Arc<Files>>>,
    cache_bytes: u64,
    turn: Mutex<()>,
    /// Whether a change of the marker failed: it may name either folder.
    doubtful: AtomicBool,
    /// Given back last.
    dir: DataDir,
}

/// A folder and the engine that has it open.
struct Files {
    folder: Folder,
    engine: Box<dyn Engine>,
    veil: Lifting,
}

/// Files that are to take the place of the store's.
pub(super) struct Copy {
    folder: Folder,
    pub(super) engine: Box<dyn Engine>,
    veil: Lifting,
}

/// Under which names a copy has its records.
#[derive(Clone, Copy, Debug)]
pub(super) enum Names<'a> {
    /// The same.
    Same,
    /// Those under this veil, whose number that is.
    Under(u32, &'a Key),
}

impl DiskEngine {
    /// Opens the store's files in `path`, or makes the first ones, by the engine `kind`, which keeps about
    /// `cache_bytes` in memory.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::Format`]; [`StoreError::OtherEngine`] when the store is of the
    /// other engine; [`StoreError::Damaged`] when the engine cannot read its files; what the operating
    /// system refuses.
    pub fn open(path: &Path, kind: EngineKind, cache_bytes: u64) -> Result<Self, StoreError> {
        let dir = DataDir::open(path)?;
        let folder = match dir.live()? {
            None => {
                let first = Folder::first(kind);
                dir.name_live(first)?;
                first
            }
            // A damaged marker names a folder that nobody made: it is not made now, beside the store's.
            Some(found) if !dir.at(found).exists() && !dir.folders()?.is_empty() => {
                return Err(StoreError::Format);
            }
            Some(found) if found.kind == kind => found,
            Some(found) => return Err(StoreError::OtherEngine { found: found.kind }),
        };
        let veil = Lifting::default();
        let engine = open(&dir, folder, cache_bytes, &veil)?;
        let files = Files {
            folder,
            engine,
            veil,
        };
        Ok(Self {
            live: ArcSwap::from_pointee(files),
            replaced: Mutex::default(),
            cache_bytes,
            turn: Mutex::default(),
            doubtful: AtomicBool::new(false),
            dir,
        })
    }

    /// The engine that keeps the store.
    pub(super) fn kind(&self) -> EngineKind {
        self.live.load().folder.kind
    }

    /// The number of the veil that its names are under, if they are under one.
    #[must_use]
    pub fn veil(&self) -> Option<u32> {
        self.live.load().folder.veil
    }

    /// Lifts the veil that its names are under. Until then it finds the keys of the installation only.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when `key` is not that of its veil.
    pub fn lift(&self, key: &Key) -> Result<(), StoreError> {
        let live = self.live.load();
        if live.folder.veil != Some(key.name().version) {
            return Err(StoreError::Damaged {
                what: "its names are under another key",
            });
        }
        live.veil.store(Some(Veil::new(key)));
        Ok(())
    }

    /// Wipes the key of that veil: from now on it is as before it was lifted. To be called when nobody uses the
    /// store any more.
    pub fn lower(&self) {
        self.live.load().veil.store(None);
        for files in self.replaced().iter() {
            files.veil.store(None);
        }
    }

    /// The number of the veil of a copy that was begun, and is not the store's.
    ///
    /// # Errors
    /// What the operating system reports.
    pub fn begun_veil(&self) -> Result<Option<u32>, StoreError> {
        let live = self.live.load().folder;
        let mut begun = self.dir.folders()?;
        begun.retain(|folder| folder.number > live.number && folder.veil != live.veil);
        Ok(begun.into_iter().find_map(|folder| folder.veil))
    }

    /// The right to rewrite, which one has at a time.
    pub(super) fn turn(&self) -> Result<MutexGuard<'_, ()>, StoreError> {
        self.undoubted()?;
        match self.turn.try_lock() {
            Ok(turn) => Ok(turn),
            Err(TryLockError::Poisoned(turn)) => Ok(turn.into_inner()),
            Err(TryLockError::WouldBlock) => Err(StoreError::Rewriting),
        }
    }

    /// The room that the store's files take on disk, in bytes.
    pub(super) fn bytes(&self) -> Result<u64, StoreError> {
        loop {
            let folder = self.live.load().folder;
            let measured = files::occupied(&self.dir.at(folder));
            // Else a copy has taken its place meanwhile, and some of it, or all, was gone.
            if self.live.load().folder == folder {
                return measured.doing("measuring the database");
            }
        }
    }

    /// The room that is left on its disk, in bytes.
    pub(super) fn free_bytes(&self) -> Result<u64, StoreError> {
        self.dir.free_bytes().doing("looking for room on the disk")
    }

    /// An empty copy in the next folder, or the one that was begun before.
    pub(super) fn begin_copy(
        &self,
        kind: EngineKind,
        names: Names<'_>,
    ) -> Result<Copy, StoreError> {
        let files = self.live.load();
        let live = files.folder;
        let (number, veil) = match names {
            Names::Same => (live.veil, Lifting::clone(&files.veil)),
            Names::Under(number, key) => {
                let veil = ArcSwapOption::new(Some(Veil::new(key)));
                (Some(number), Arc::new(veil))
            }
        };
        let mut begun = self.dir.folders()?;
        begun.retain(|folder| folder.number > live.number);
        begun.sort_unstable_by_key(|folder| folder.number);
        let is_like = |last: &Folder| last.kind == kind && last.veil == number;
        let taken_up = begun.pop().filter(is_like);
        if let Some(folder) = taken_up
            && let Ok(engine) = open(&self.dir, folder, self.cache_bytes, &veil)
        {
            return Ok(Copy {
                folder,
                engine,
                veil,
            });
        }
        self.remove_unfinished()?;
        let folder = Folder {
            kind,
            number: live.number.saturating_add(1),
            veil: number,
        };
        let engine = open(&self.dir, folder, self.cache_bytes, &veil)?;
        Ok(Copy {
            folder,
            engine,
            veil,
        })
    }

    /// Closes a copy and opens it from disk.
    pub(super) fn reopen(&self, copy: Copy) -> Result<Copy, StoreError> {
        let Copy {
            folder,
            engine,
            veil,
        } = copy;
        drop(engine);
        let engine = open(&self.dir, folder, self.cache_bytes, &veil)?;
        Ok(Copy {
            folder,
            engine,
            veil,
        })
    }

    /// Makes the copy the store: first by name, then for everybody who reads.
    pub(super) fn put_in_place(&self, copy: Copy) -> Result<(), StoreError> {
        let Copy {
            folder,
            engine,
            veil,
        } = copy;
        if let Err(error) = self.dir.name_live(folder) {
            self.doubtful.store(true, Ordering::Release);
            return Err(error);
        }
        let old = self.live.swap(Arc::new(Files {
            folder,
            engine,
            veil,
        }));
        self.replaced().push(old);
        Ok(())
    }

    /// Refuses once it is not known which folder the marker names: what would be written to one might be looked for
    /// in the other by the next start, which is what decides.
    fn undoubted(&self) -> Result<(), StoreError> {
        if self.doubtful.load(Ordering::Acquire) {
            return Err(StoreError::Failed);
        }
        Ok(())
    }

    fn replaced(&self) -> MutexGuard<'_, Vec<Arc<Files>>> {
        let locked = self.replaced.lock();
        locked.unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Closes the files that were replaced as soon as nobody reads them, and removes them. To be called when
    /// the files that the marker names are known to be the store: a damaged one can name any.
    pub(super) fn remove_superseded(&self) -> Result<(), StoreError> {
        let live = self.live.load().folder;
        let waiting = std::mem::take(&mut *self.replaced());
        for mut files in waiting {
            for _ in 0..LEAVING {
                match Arc::try_unwrap(files) {
                    Ok(unused) => {
                        drop(unused);
                        break;
                    }
                    Err(used) => files = used,
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        self.remove(|folder| folder.number < live.number)
    }

    /// Removes copies that never became the store.
    pub(super) fn remove_unfinished(&self) -> Result<(), StoreError> {
        let live = self.live.load().folder;
        self.remove(|folder| folder.number > live.number)
    }

    fn remove(&self, which: impl Fn(&Folder) -> bool) -> Result<(), StoreError> {
        const REMOVING: &str = "removing files that are not the store's any more";
        for folder in self.dir.folders()?.into_iter().filter(which) {
            match fs::remove_dir_all(self.dir.at(folder)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.doing(REMOVING)?,
            }
        }
        self.dir.sync().doing(REMOVING)
    }
}

/// Opens the files in `folder`.
fn open(
    dir: &DataDir,
    folder: Folder,
    cache_bytes: u64,
    veil: &Lifting,
) -> Result<Box<dyn Engine>, StoreError> {
    let at = dir.at(folder);
    let engine: Box<dyn Engine> = match folder.kind {
        EngineKind::Sled => Box::new(SledEngine::open(&at, cache_bytes)?),
        EngineKind::Redb => Box::new(RedbEngine::open(&at, cache_bytes)?),
    };
    Ok(match folder.veil {
        Some(_) => Box::new(Veiled::new(engine, Lifting::clone(veil))),
        None => engine,
    })
}

impl Engine for DiskEngine {
    fn name(&self) -> &'static str {
        self.live.load().engine.name()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.live.load().engine.get(key)
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        self.live.load().engine.scan(prefix, after, limit)
    }

    fn order(&self) -> u32 {
        self.live.load().folder.veil.unwrap_or(0)
    }

    fn visit(
        &self,
        from: &[u8],
        until: Option<&[u8]>,
        each: &mut Visitor<'_>,
    ) -> Result<(), StoreError> {
        self.live.load_full().engine.visit(from, until, each)
    }

    fn apply(&self, writes: &[Write<'_>]) -> Result<(), StoreError> {
        self.undoubted()?;
        self.live.load().engine.apply(writes)
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        self.live.load().engine.is_empty()
    }

    fn rank(&self, key: &[u8]) -> Vec<u8> {
        self.live.load().engine.rank(key)
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        self.live.load().engine.size_bytes()
    }

    fn disk(&self) -> Option<&DiskEngine> {
        Some(self)
    }
}

impl fmt::Debug for DiskEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiskEngine({})", self.live.load().folder.name())
    }
}

#[cfg(test)]
#[path = "tests_disk.rs"]
mod tests;
