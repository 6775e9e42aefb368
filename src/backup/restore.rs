//! Restoring a backup: beside its place at first, and there only when all of it is checked.
//!
//! 1. Everything is unpacked into a folder beside the one that is wanted, `NAME.restoring`. *Killed here or
//!    in 2 to 4: the next restore begins anew, and nothing was put in place.*
//! 2. The file was read to its end, and its signature is that of the key which it names.
//! 3. The root key opens the ring. Under it is the key whose signature the backup has to have, and the one
//!    by which count and digest of all records are compared with the store's sealed state.
//! 4. The journal is opened, has what the store remembers of it, and has on disk that the store was
//!    restored. The store goes on at a generation beyond every one that was seen, under a new anchor: a copy
//!    of the old one that turns up later is refused beside it.
//! 5. The folder gets its name. *Killed after that: it is restored.*

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::trust::signers_of;
use super::work::{Work, private_dir};
use super::{BackupError, Head, Identities, Opened, Part, read};
use crate::audit::{
    Action, Actor, Event, Head as JournalHead, Options, Piece, Target, TargetKind, segment_file,
};
use crate::clock::Clock;
use crate::crypto::{Key, Random};
use crate::custody::{Ring, put_key_file_back};
use crate::failpoint::{Failpoint, reached};
use crate::store::{DiskEngine, Engine, Write};
use crate::vault::{Places, examine_setback};

/// How many changes are put down at once, and how many bytes of them.
const FULL: usize = 512;
const FULL_BYTES: usize = 1 << 20;

/// What was put in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What the backup says of itself.
    pub opened: Opened,
    /// The generation at which the store goes on.
    pub generation: u64,
    /// How many records it has.
    pub records: u64,
}

/// A backup that was unpacked beside its place. Dropped, it is removed.
#[derive(Debug)]
pub struct Unpacked {
    work: Work,
    ring: Ring,
    engine: Arc<DiskEngine>,
    opened: Opened,
}

impl Unpacked {
    /// Unpacks a backup for the folder `into`, which must be empty or not be there. The engine keeps about
    /// `cache_bytes` in memory. Blocks.
    ///
    /// # Errors
    /// [`BackupError::NotEmpty`], [`BackupError::Busy`]; as [`read`]; what the operating system refuses.
    pub fn from(
        input: impl Read,
        identities: &Identities,
        into: &Path,
        cache_bytes: u64,
    ) -> Result<Self, BackupError> {
        let work = Work::begin(into)?;
        let places = work.places();
        let making = BackupError::io("making the folder to restore into");
        for dir in [&places.data, &places.audit()] {
            drop(private_dir(dir).map_err(&making)?);
        }
        let engine = OnceCell::new();
        let mut unpacking = Unpacking {
            places: &places,
            settings: work.settings(),
            engine: &engine,
            pending: BTreeMap::new(),
            bytes: 0,
            segment: None,
            ring: None,
        };
        let opened = read(
            input,
            identities,
            &mut |head: &Head| {
                let made = DiskEngine::open(&places.store(), head.engine, cache_bytes)?;
                // It begins once.
                drop(engine.set(Arc::new(made)));
                Ok(())
            },
            &mut |part| unpacking.take(&part),
        )?;
        unpacking.flush()?;
        unpacking.end_segment()?;
        reached(Failpoint::RestoreUnpacked);
        let ring = unpacking.ring;
        let (Some(engine), Some(ring)) = (engine.into_inner(), ring) else {
            return Err(BackupError::Damaged {
                what: "it has no records, or no key ring",
            });
        };
        Ok(Self {
            work,
            ring,
            engine,
            opened,
        })
    }

    /// The ring, which is to be opened next.
    #[must_use]
    pub const fn ring(&self) -> &Ring {
        &self.ring
    }

    /// What the backup says of itself. Trusted only when it is [put in place](Self::put_in_place).
    #[must_use]
    pub const fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Checks it by the root key, has it recorded that user `uid` restored it, and puts it in place, with a
    /// copy of the key file that opened it if there is one.
    ///
    /// # Errors
    /// [`BackupError::Forged`], [`BackupError::Unlike`], what store, journal and the operating system report:
    /// nothing was put in place.
    pub async fn put_in_place(
        self,
        root: &Key,
        key_file: Option<&Path>,
        uid: u32,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Restored, BackupError> {
        let Self {
            work,
            ring,
            engine,
            opened,
        } = self;
        let places = work.places();
        let signers = signers_of(root, &ring, &opened.head, &*engine)?;
        if !signers.contains(&opened.head.signer) {
            return Err(BackupError::Forged);
        }
        let shared: Arc<dyn Engine> = Arc::<DiskEngine>::clone(&engine);
        let found = examine_setback(root, ring.store(), shared, places.anchors())?;
        let (end, store) = (&opened.end, &found.store);
        let same = store.generation() == end.generation
            && store.records() == end.records
            && store.journal_mark() == end.mark;
        if !same {
            return Err(BackupError::Unlike {
                what: "generation, count of records or position of the journal",
            });
        }
        let records = store.records();
        let event = restored(&opened, end.journal, uid);
        let audit = places.audit();
        let accepted = found.accept_as(event, &audit, Options::default(), clock, random);
        let generation = accepted.await?;
        drop(engine);
        if let Some(file) = key_file {
            put_key_file_back(file, &places.key_file())?;
        }
        work.place()?;
        Ok(Restored {
            opened,
            generation,
            records,
        })
    }
}

/// What the journal says of it: by whom, and which moment of which broker it was.
fn restored(opened: &Opened, journal: JournalHead, uid: u32) -> Event {
    let outer = &opened.head.outer;
    let backup = Target::new(TargetKind::Object)
        .name(format!("backup of {}", outer.made))
        .version(opened.end.generation);
    let key = Target::new(TargetKind::Key).id(outer.key.bytes());
    let until = Target::new(TargetKind::Object)
        .name("journal")
        .version(journal.seq);
    Event::new(Action::BackupRestore, Actor::Operator { uid })
        .target(backup)
        .target(key)
        .target(until)
}

/// Puts parts down.
struct Unpacking<'a> {
    places: &'a Places,
    settings: PathBuf,
    /// Opened by what stands first.
    engine: &'a OnceCell<Arc<DiskEngine>>,
    pending: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: usize,
    segment: Option<(u64, File)>,
    ring: Option<Ring>,
}

impl Unpacking<'_> {
    fn take(&mut self, part: &Part<'_>) -> Result<(), BackupError> {
        match part {
            Part::Settings(text) => {
                let file = new_file(&self.settings).and_then(|file| {
                    file.write_all_at(text, 0)?;
                    file.sync_all()
                });
                file.map_err(BackupError::io("writing the settings file"))
            }
            Part::Record(write) => self.record(*write),
            Part::Ring(bytes) => {
                self.ring = Some(Ring::put_back(&self.places.keys, bytes.to_vec())?);
                Ok(())
            }
            Part::Journal(piece) => self.piece(piece),
        }
    }

    fn record(&mut self, write: Write<'_>) -> Result<(), BackupError> {
        let (key, value) = match write {
            Write::Put(key, value) => (key, Some(value)),
            Write::Delete(key) => (key, None),
        };
        self.bytes = self.bytes.saturating_add(value.map_or(0, <[u8]>::len));
        // An engine takes each key once at a time; of several changes, the last counts.
        self.pending.insert(key.to_vec(), value.map(<[u8]>::to_vec));
        if self.pending.len() >= FULL || self.bytes >= FULL_BYTES {
            self.flush()?;
            reached(Failpoint::RestoreRecords);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), BackupError> {
        let writes: Vec<_> = self
            .pending
            .iter()
            .map(|(key, value)| match value {
                Some(value) => Write::Put(key, value),
                None => Write::Delete(key),
            })
            .collect();
        if let Some(engine) = self.engine.get().filter(|_| !writes.is_empty()) {
            engine.apply(&writes)?;
        }
        self.pending.clear();
        self.bytes = 0;
        Ok(())
    }

    fn piece(&mut self, piece: &Piece<'_>) -> Result<(), BackupError> {
        let writing = BackupError::io("writing a segment of the journal");
        let is_open = matches!(&self.segment, Some((open, _)) if *open == piece.segment);
        if !is_open {
            self.end_segment()?;
            let path = segment_file(&self.places.audit(), piece.segment);
            self.segment = Some((piece.segment, new_file(&path).map_err(&writing)?));
        }
        match &self.segment {
            Some((_, file)) => file
                .write_all_at(piece.bytes, piece.offset)
                .map_err(writing),
            None => Ok(()),
        }
    }

    fn end_segment(&mut self) -> Result<(), BackupError> {
        let writing = BackupError::io("writing a segment of the journal");
        match self.segment.take() {
            Some((_, file)) => file.sync_all().map_err(writing),
            None => Ok(()),
        }
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}
