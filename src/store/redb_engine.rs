//! redb 4: one file, a copy-on-write tree whose every page has a checksum.
//!
//! A commit writes the pages it changed aside, then one of two headers, and syncs once: a header whose
//! checksums do not hold is no commit, and the one before it counts. So nothing that an older commit
//! rests on is ever written over before the newer one is durable.

use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, TableDefinition};

use super::error::Doing;
use super::files;
use super::guard::{BROKEN, aside, guarded};
use super::memory::scan_start;
use super::{Engine, Pair, StoreError, Visitor, Write};

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

const OPENING: &str = "opening the database";
const READING: &str = "reading the database";
const WRITING: &str = "writing the database";

/// A redb database in a folder of its own.
pub(super) struct RedbEngine {
    /// Taken out only when dropped.
    db: Option<Database>,
    path: PathBuf,
}

impl RedbEngine {
    /// Opens or makes the database in `folder`. redb keeps about `cache_bytes` in memory.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when redb cannot read its file, or what the operating system refuses.
    pub(super) fn open(folder: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let path = folder.join("db");
        if !path.exists() {
            make(folder, &path, cache_bytes)?;
        }
        let file = files::open_private(&path, false).doing(OPENING)?;
        // redb takes an empty file for a new database.
        if file.metadata().doing(OPENING)?.len() == 0 {
            return Err(BROKEN);
        }
        let db = aside(move || {
            let db = build(file, cache_bytes)?;
            // The table is as old as the file: without it, this is not what was written.
            table(&db)?;
            Ok(db)
        })?;
        files::settle(folder).doing("syncing the data directory")?;
        Ok(Self { db: Some(db), path })
    }

    fn with<R>(
        &self,
        work: impl FnOnce(&Database) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        let db = self.db.as_ref().ok_or(StoreError::Closed)?;
        guarded(|| work(db))
    }
}

/// Makes an empty database under another name first: one that a kill left half made is no database,
/// and could not be told from one that was damaged.
fn make(folder: &Path, path: &Path, cache_bytes: u64) -> Result<(), StoreError> {
    const MAKING: &str = "making the database file";
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .doing(MAKING)?;
    let fresh = folder.join("db.new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => removed.doing(MAKING)?,
    }
    let file = files::open_private(&fresh, true).doing(MAKING)?;
    aside(move || {
        let db = build(file, cache_bytes)?;
        let making = db.begin_write().map_err(|e| failure(MAKING, e))?;
        drop(making.open_table(RECORDS).map_err(|e| failure(MAKING, e))?);
        making.commit().map_err(|e| failure(MAKING, e))?;
        db.close().map_err(|e| failure(MAKING, e))
    })?;
    let synced = File::open(&fresh).and_then(|file| file.sync_all());
    synced
        .and_then(|()| fs::rename(&fresh, path))
        .and_then(|()| files::sync_dir(folder))
        .and_then(|()| files::sync_parent(folder))
        .doing(MAKING)
}

/// Opens a file with every page's checksum looked at: a page that was altered is refused here, and not
/// met later by a reader.
fn build(file: File, cache_bytes: u64) -> Result<Database, StoreError> {
    let backend = FileBackend::new(file).map_err(|e| failure(OPENING, e))?;
    Database::builder()
        .set_cache_size(
            usize::try_from(cache_bytes)
                .unwrap_or(usize::MAX)
                .max(1 << 20),
        )
        .set_check_integrity_on_open(true)
        .create_with_backend(backend)
        .map_err(|e| failure(OPENING, e))
}

/// What is committed, to be read.
fn table(db: &Database) -> Result<ReadOnlyTable<&'static [u8], &'static [u8]>, StoreError> {
    let reading = db.begin_read().map_err(|e| failure(READING, e))?;
    reading.open_table(RECORDS).map_err(|e| failure(READING, e))
}

fn failure(doing: &'static str, error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Io(error) => match error.kind() {
            // The file ends too early, or begins as no database of redb's does.
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => BROKEN,
            kind => StoreError::io(doing, kind),
        },
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => StoreError::Locked,
        redb::Error::UpgradeRequired(_) => StoreError::Format,
        redb::Error::PreviousIo => StoreError::Failed,
        redb::Error::DatabaseClosed => StoreError::Closed,
        _ => BROKEN,
    }
}

impl Engine for RedbEngine {
    fn name(&self) -> &'static str {
        "redb"
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|db| {
            // The value lies in a page that a commit may take as soon as nobody reads the version it is of:
            // `get` would end the reading with the table, before the value is copied.
            let value = table(db)?.get_owned(key);
            let value = value.map_err(|e| failure(READING, e))?;
            Ok(value.map(|value| value.value().to_vec()))
        })
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        self.with(|db| {
            let table = table(db)?;
            let from = (scan_start(prefix, after), Bound::Unbounded);
            let pairs = table
                .range::<&[u8]>(from)
                .map_err(|e| failure(READING, e))?;
            let mut page = vec![];
            for pair in pairs.take(limit) {
                let (key, value) = pair.map_err(|e| failure(READING, e))?;
                if !key.value().starts_with(prefix) {
                    break;
                }
                page.push((key.value().to_vec(), value.value().to_vec()));
            }
            Ok(page)
        })
    }

    fn visit(
        &self,
        from: &[u8],
        until: Option<&[u8]>,
        each: &mut Visitor<'_>,
    ) -> Result<(), StoreError> {
        if until.is_some_and(|until| until <= from) {
            return Ok(());
        }
        self.with(|db| {
            let table = table(db)?;
            let end = until.map_or(Bound::Unbounded, Bound::Excluded);
            let range = (Bound::Included(from), end);
            for pair in table
                .range::<&[u8]>(range)
                .map_err(|e| failure(READING, e))?
            {
                let (key, value) = pair.map_err(|e| failure(READING, e))?;
                each(key.value(), value.value())?;
            }
            Ok(())
        })
    }

    fn apply(&self, writes: &[Write<'_>]) -> Result<(), StoreError> {
        self.with(|db| {
            let mut changing = db.begin_write().map_err(|e| failure(WRITING, e))?;
            // What it is by default; nothing less would do.
            changing
                .set_durability(Durability::Immediate)
                .map_err(|e| failure(WRITING, e))?;
            let mut table = changing
                .open_table(RECORDS)
                .map_err(|e| failure(WRITING, e))?;
            for write in writes {
                let changed = match write {
                    Write::Put(key, value) => table.insert(*key, *value).map(drop),
                    Write::Delete(key) => table.remove(*key).map(drop),
                };
                changed.map_err(|e| failure(WRITING, e))?;
            }
            drop(table);
            changing.commit().map_err(|e| failure(WRITING, e))
        })
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        let found = fs::metadata(&self.path).doing("measuring the database")?;
        Ok(found.len())
    }
}

impl fmt::Debug for RedbEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedbEngine")
    }
}

impl Drop for RedbEngine {
    fn drop(&mut self) {
        // It writes when it is closed, and may panic there. All that was acknowledged is durable.
        let db = self.db.take();
        guarded(|| {
            drop(db);
            Ok(())
        })
        .unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::super::{Engine, Write};
    use super::RedbEngine;

    #[test]
    fn a_value_is_read_whole_while_commits_replace_it() {
        let dir = tempfile::tempdir().unwrap();
        let engine = RedbEngine::open(dir.path(), 1 << 20).unwrap();
        let value = |round: u8| vec![round; 2_000];
        let over = AtomicBool::new(false);
        engine.apply(&[Write::Put(b"key", &value(0))]).unwrap();
        thread::scope(|scope| {
            let readers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        while !over.load(Ordering::Relaxed) {
                            let found = engine.get(b"key").unwrap().unwrap();
                            assert_eq!(found, value(found[0]));
                        }
                    })
                })
                .collect();
            let written = (0..200_u8)
                .try_for_each(|round| engine.apply(&[Write::Put(b"key", &value(round))]));
            over.store(true, Ordering::Relaxed);
            written.unwrap();
            for reader in readers {
                reader.join().unwrap();
            }
        });
    }
}
