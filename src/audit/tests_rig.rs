//! What the journal's tests share: a disk that fails on demand, keys, and small events.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::disk::{Disk, System};
use super::shared::Parts;
use super::{
    Action, Actor, AuditError, Event, Journal, JournalKey, JournalKeys, Options, Signer, Via,
};
use crate::clock::{ManualClock, Timestamp};
use crate::crypto::{Key, KeyRef, SigningKey, SystemRandom};
use crate::id::{ApiKeyId, ObjectId, OrgId, StoreId, UserId};

/// A disk that can be made to fail, and counts its syncs.
#[derive(Debug, Default)]
pub(super) struct Faulty {
    /// Half of each write arrives, then there is no space.
    pub(super) full: AtomicBool,
    /// Syncing fails after the write arrived.
    pub(super) no_sync: AtomicBool,
    /// Syncing does not return.
    pub(super) stuck: AtomicBool,
    /// Zeros find no space.
    pub(super) no_room: AtomicBool,
    pub(super) syncs: AtomicU64,
}

impl Disk for Faulty {
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) {
            file.write_all_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        let is_room = bytes.iter().all(|byte| *byte == 0);
        if is_room && self.no_room.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        System.write(file, bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        while self.stuck.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(2));
        }
        if self.no_sync.load(Ordering::SeqCst) {
            return Err(io::Error::other("lost"));
        }
        self.syncs.fetch_add(1, Ordering::SeqCst);
        System.sync(file)
    }
}

/// A directory, a clock and a disk for journals.
pub(super) struct Rig {
    _temp: tempfile::TempDir,
    pub(super) dir: PathBuf,
    pub(super) clock: ManualClock,
    pub(super) disk: Arc<Faulty>,
    pub(super) options: Options,
}

pub(super) fn store() -> StoreId {
    StoreId::from_random([1; 16])
}

pub(super) fn sign_key() -> SigningKey {
    SigningKey::from_seed(&key(2)).unwrap()
}

fn key(byte: u8) -> Key {
    let name = KeyRef {
        id: ObjectId::from_bytes([byte; 16]),
        version: 1,
    };
    Key::from_bytes(name, &mut [byte; 32]).unwrap()
}

pub(super) fn keys(seal: u8) -> JournalKeys {
    let only = JournalKey::new(key(seal), Signer::Signs(sign_key()));
    JournalKeys::new(vec![only]).unwrap()
}

impl Rig {
    pub(super) fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        Self {
            dir: temp.path().join("audit"),
            _temp: temp,
            clock: ManualClock::at(Timestamp::from_millis(1_700_000_000_000)),
            disk: Arc::default(),
            options: Options {
                retry: Duration::from_millis(5),
                patience: Duration::from_millis(500),
                ..Options::default()
            },
        }
    }

    pub(super) fn open(&self) -> Journal {
        self.open_at(&self.dir).unwrap()
    }

    pub(super) fn open_at(&self, dir: &Path) -> Result<Journal, AuditError> {
        self.open_as(dir, store(), keys(1))
    }

    pub(super) fn open_as(
        &self,
        dir: &Path,
        store: StoreId,
        keys: JournalKeys,
    ) -> Result<Journal, AuditError> {
        Journal::open_parts(Parts {
            dir: dir.to_owned(),
            store,
            keys,
            clock: Arc::new(self.clock.clone()),
            random: Arc::new(SystemRandom),
            disk: self.disk.clone(),
            options: self.options,
            known: None,
        })
    }

    /// What a crash would leave: the files as they are now, in a directory of their own.
    pub(super) fn copy(&self, name: &str) -> PathBuf {
        self.copy_of(&self.dir, name)
    }

    /// The same of a journal elsewhere.
    pub(super) fn copy_of(&self, dir: &Path, name: &str) -> PathBuf {
        let copy = self.dir.with_file_name(name);
        if copy.exists() {
            std::fs::remove_dir_all(&copy).unwrap();
        }
        std::fs::create_dir(&copy).unwrap();
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
            }
        }
        copy
    }

    /// The length of the last segment without the zeros behind its last frame.
    pub(super) fn end_of_frames(dir: &Path) -> usize {
        let last = *super::segment::list(dir).unwrap().last().unwrap();
        let (store, keys) = (store(), keys(1));
        let seal = super::segment::Seal { store, keys: &keys };
        let segment = super::segment::Segment::open(dir, last, seal).unwrap();
        usize::try_from(segment.index(u64::MAX).1).unwrap()
    }

    pub(super) fn last_segment(dir: &Path) -> PathBuf {
        let last = *super::segment::list(dir).unwrap().last().unwrap();
        super::segment::path_of(dir, last)
    }
}

pub(super) fn org(byte: u8) -> OrgId {
    OrgId::from_random([byte; 16])
}

pub(super) fn user(byte: u8) -> Actor {
    let via = Via::ApiKey(ApiKeyId::from_random([byte; 16]));
    Actor::User {
        id: UserId::from_random([byte; 16]),
        via,
    }
}

pub(super) fn event(action: Action) -> Event {
    Event::new(action, user(3)).org(org(4)).allowed()
}

/// Records `count` events, one group each.
pub(super) async fn record(journal: &Journal, count: usize) {
    for _ in 0..count {
        journal
            .record(event(Action::SecretReveal))
            .await
            .unwrap()
            .is_all();
    }
}

/// Waits until `done`, for a few seconds at most.
pub(super) async fn until(what: &str, done: impl Fn() -> bool) {
    for _ in 0..1000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never happened: {what}");
}
