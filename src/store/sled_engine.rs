//! sled 0.34.7, held so that its weak points cannot hurt: see each comment for the measured reason.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::error::Doing;
use super::files;
use super::flushing::{Flushing, Guarded};
use super::guard::{BROKEN, aside, guarded};
use super::memory::scan_start;
use super::{Engine, Pair, StoreError, Visitor, Write};

/// The size of sled's segments, for two reasons.
///
/// sled moves whatever is longer than a quarter of a segment into a loose file that it never syncs. A
/// leaf has about 20 records (split above 16, merged below 4), so 20 · 96 KiB must fit a quarter.
///
/// And sled reuses a segment once what replaced its content is written, synced or not, two segments
/// back. A commit that fills more than two segments can so overwrite, before the sync at its end, what
/// the commits before it rest on: with segments of 512 KiB and commits as large, 12 of 300 modelled
/// power cuts left a damaged store; with commits well below a segment, none of 1,200; with 8 MiB, none
/// of 300. So segments are large, and the bytes of a group and of a batch have bounds.
const SEGMENT_BYTES: usize = 8 << 20;

/// sled's threads may hold its own lock for a moment after a close: 500 times 10 ms.
const LOCK_ATTEMPTS: u32 = 500;

/// A sled database in a folder of its own.
pub(super) struct SledEngine {
    db: Arc<Guarded>,
    flushing: Flushing,
    /// A second handle of the database file, to sync it: sled's flush only starts the writing.
    sync: File,
    loose: PathBuf,
}

impl SledEngine {
    /// Opens or makes the database in `folder`. sled keeps about `cache_bytes` in memory.
    ///
    /// # Errors
    /// [`StoreError::Format`], [`StoreError::Damaged`] when sled cannot read its files, or what the
    /// operating system refuses.
    pub(super) fn open(folder: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        files::remove_half_written(folder).doing("removing half-written snapshots")?;
        // What sled cannot read while it opens, it takes for the end of its log, and cuts it off. So a disk that
        // gives something not back is told before.
        files::read_through(folder).doing("reading the database")?;
        let config = sled::Config::new()
            .path(folder)
            .cache_capacity(cache_bytes.max(1 << 20))
            .segment_size(SEGMENT_BYTES)
            // Only the commit writer flushes.
            .flush_every_ms(None)
            .use_compression(false);
        let db = Arc::new(Guarded(Some(aside(move || open_patiently(&config))?)));
        // sled writes its snapshot and repairs its log while it opens, and syncs neither names nor all
        // of the files.
        files::settle(folder).doing("syncing the data directory")?;
        let sync = File::open(folder.join("db")).doing("opening the database file")?;
        let flushing = Flushing::of(&db)?;
        Ok(Self {
            db,
            flushing,
            sync,
            loose: folder.join("blobs"),
        })
    }

    fn with<R>(
        &self,
        work: impl FnOnce(&sled::Db) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        let db = self.db.0.as_ref().ok_or(StoreError::Closed)?;
        guarded(|| work(db))
    }

    /// Makes what sled has written durable. Loose files should not exist; if one does, it is synced too
    /// rather than trusted.
    fn sync(&self) -> Result<(), StoreError> {
        const DOING: &str = "syncing the database";
        rustix::fs::fdatasync(&self.sync).doing(DOING)?;
        let mut loose = false;
        for entry in fs::read_dir(&self.loose).doing(DOING)? {
            loose = true;
            match File::open(entry.doing(DOING)?.path()) {
                // sled's own threads remove what is no longer needed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => opened.and_then(|file| file.sync_all()).doing(DOING)?,
            }
        }
        if loose {
            files::sync_dir(&self.loose).doing(DOING)?;
        }
        Ok(())
    }
}

fn open_patiently(config: &sled::Config) -> Result<sled::Db, StoreError> {
    for _ in 1..LOCK_ATTEMPTS {
        match config.open() {
            // Our own lock on the directory is held, so only a thread of this process can be meant.
            Err(sled::Error::Io(error))
                if error.to_string().starts_with("could not acquire lock") =>
            {
                thread::sleep(Duration::from_millis(10));
            }
            opened => return opened.map_err(|error| failure("opening the database", error)),
        }
    }
    Err(StoreError::Locked)
}

fn failure(doing: &'static str, error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(error) => match error.kind() {
            // A page that is not where the log says.
            io::ErrorKind::UnexpectedEof => BROKEN,
            kind => StoreError::io(doing, kind),
        },
        sled::Error::Unsupported(_) => StoreError::Format,
        _ => BROKEN,
    }
}

impl Engine for SledEngine {
    fn name(&self) -> &'static str {
        "sled"
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|db| {
            let value = db
                .get(key)
                .map_err(|e| failure("reading the database", e))?;
            Ok(value.map(|value| value.to_vec()))
        })
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        self.with(|db| {
            db.range::<&[u8], _>((scan_start(prefix, after), Bound::Unbounded))
                .take_while(|pair| !matches!(pair, Ok((key, _)) if !key.starts_with(prefix)))
                .take(limit)
                .map(|pair| {
                    let (key, value) = pair.map_err(|e| failure("reading the database", e))?;
                    Ok((key.to_vec(), value.to_vec()))
                })
                .collect()
        })
    }

    fn visit(
        &self,
        from: &[u8],
        until: Option<&[u8]>,
        each: &mut Visitor<'_>,
    ) -> Result<(), StoreError> {
        self.with(|db| {
            let end = until.map_or(Bound::Unbounded, Bound::Excluded);
            for pair in db.range::<&[u8], _>((Bound::Included(from), end)) {
                let (key, value) = pair.map_err(|e| failure("reading the database", e))?;
                each(&key, &value)?;
                // A range reads each leaf once, and sled looks for what to evict only after many
                // reads: without these it would hold everything it has shown, whatever its limit is.
                db.contains_key(&key)
                    .map_err(|e| failure("reading the database", e))?;
            }
            Ok(())
        })
    }

    fn apply(&self, writes: &[Write<'_>]) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for write in writes {
            match write {
                Write::Put(key, value) => batch.insert(*key, *value),
                Write::Delete(key) => batch.remove(*key),
            }
        }
        self.with(|db| {
            self.flushing
                .write(db, batch)
                .map_err(|e| failure("writing the database", e))
        })?;
        self.sync()
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        self.with(|db| {
            db.size_on_disk()
                .map_err(|e| failure("measuring the database", e))
        })
    }
}

impl fmt::Debug for SledEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // sled's own Debug prints keys and values.
        f.write_str("SledEngine")
    }
}
