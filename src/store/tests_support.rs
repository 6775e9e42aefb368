//! What the tests of the store share: keys, records, and an engine that fails when told to.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use super::{
    Batch, Class, DiskEngine, Engine, EngineKind, JournalMark, MemoryEngine, Pair, Store,
    StoreError, StoreKey, StoreKeys, Visitor, Write,
};
use crate::crypto::{
    Context, CryptoError, Key, KeyRef, Purpose, Random, Record, SystemRandom, seal,
};
use crate::id::{ObjectId, StoreId};

pub(super) use crate::dice::Dice;

pub(super) const STORE: StoreId = StoreId::from_bytes([5; 16]);
pub(super) const CACHE: u64 = 4 << 20;

fn key_of(byte: u8) -> Key {
    let name = KeyRef {
        id: ObjectId::from_bytes([byte; 16]),
        version: 1,
    };
    Key::from_bytes(name, &mut [byte; 32]).unwrap()
}

pub(super) fn keys() -> StoreKeys {
    StoreKeys {
        seal: key_of(1),
        anchor: key_of(2),
    }
}

/// A record of a box with `length` bytes in it.
pub(super) fn record_of(fill: u8, length: usize) -> Record {
    let context = Context::system(STORE, ObjectId::from_bytes([8; 16]), 1);
    let plain = vec![fill; length];
    let sealed = seal(&key_of(3), Purpose::Value, &context, &plain, &SystemRandom).unwrap();
    Record::of(&sealed)
}

pub(super) fn record(fill: u8) -> Record {
    record_of(fill, 64)
}

pub(super) fn key(name: &str) -> StoreKey {
    StoreKey::new(Class::Secret, &[name.as_bytes()])
}

pub(super) fn put(name: &str, record: Record) -> Batch {
    let mut batch = Batch::new();
    batch.put(key(name), record);
    batch
}

pub(super) fn mark(seq: u64) -> JournalMark {
    JournalMark::new(seq, [u8::try_from(seq % 256).unwrap(); 32])
}

pub(super) fn shared<E: Engine + 'static>(engine: &Arc<E>) -> Arc<dyn Engine> {
    engine.clone()
}

pub(super) fn create(engine: Arc<dyn Engine>, anchor: &Path) -> Result<Store, StoreError> {
    let mut first = Batch::new();
    first.put(StoreKey::new(Class::SystemKey, &[b"one"]), record(1));
    Store::create(engine, STORE, keys(), anchor, Arc::new(SystemRandom), first)
}

pub(super) fn open(engine: Arc<dyn Engine>, anchor: &Path) -> Result<Store, StoreError> {
    Store::open(engine, STORE, keys(), anchor, Arc::new(SystemRandom))
}

/// A place for a data directory and its anchor file.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) root: tempfile::TempDir,
    pub(super) kind: EngineKind,
}

impl Place {
    pub(super) fn new() -> Self {
        Self::of(EngineKind::Sled)
    }

    pub(super) fn of(kind: EngineKind) -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
            kind,
        }
    }

    pub(super) fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    pub(super) fn anchor(&self) -> PathBuf {
        self.root.path().join("anchor")
    }

    /// The folder of the engine's own files, as long as they were never copied.
    pub(super) fn files(&self) -> PathBuf {
        self.data().join(match self.kind {
            EngineKind::Sled => "sled",
            EngineKind::Redb => "redb-1",
        })
    }

    pub(super) fn engine(&self) -> Result<Arc<dyn Engine>, StoreError> {
        Ok(Arc::new(DiskEngine::open(&self.data(), self.kind, CACHE)?))
    }

    pub(super) fn create(&self) -> Store {
        create(self.engine().unwrap(), &self.anchor()).unwrap()
    }

    pub(super) fn open(&self) -> Result<Store, StoreError> {
        open(self.engine()?, &self.anchor())
    }

    /// A copy of everything, as a careless operator would make it.
    pub(super) fn copy(&self) -> Self {
        let other = Self::of(self.kind);
        copy_dir(self.root.path(), other.root.path());
        other
    }
}

pub(super) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Everything a store holds, in order.
pub(super) async fn contents(store: &Store) -> Vec<(StoreKey, Record)> {
    let mut all = vec![];
    for class in Class::ALL {
        let prefix = StoreKey::new(*class, &[]);
        let mut after = None;
        loop {
            let page = store.scan(&prefix, after.as_ref(), 7).await.unwrap();
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            all.extend(page);
        }
    }
    all
}

/// How the next write of a [`Faulty`] engine ends.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    Before(StoreError),
    After(StoreError),
}

/// An engine in memory that holds its writer back, or fails, when told to.
#[derive(Debug, Default)]
pub(crate) struct Faulty {
    pub(super) inner: MemoryEngine,
    pub(super) fault: Mutex<Option<Fault>>,
    held: Mutex<bool>,
    freed: Condvar,
    waiting: AtomicBool,
}

impl Faulty {
    pub(crate) fn hold(&self) {
        *self.held.lock().unwrap() = true;
    }

    pub(crate) fn free(&self) {
        *self.held.lock().unwrap() = false;
        self.freed.notify_all();
    }

    /// Whether a write is being held back.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::SeqCst)
    }
}

impl Engine for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(key)
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        self.inner.scan(prefix, after, limit)
    }

    fn visit(
        &self,
        from: &[u8],
        until: Option<&[u8]>,
        each: &mut Visitor<'_>,
    ) -> Result<(), StoreError> {
        self.inner.visit(from, until, each)
    }

    fn apply(&self, writes: &[Write<'_>]) -> Result<(), StoreError> {
        let mut held = self.held.lock().unwrap();
        while *held {
            self.waiting.store(true, Ordering::SeqCst);
            held = self.freed.wait(held).unwrap();
        }
        self.waiting.store(false, Ordering::SeqCst);
        match self.fault.lock().unwrap().take() {
            Some(Fault::Before(error)) => Err(error),
            Some(Fault::After(error)) => {
                self.inner.apply(writes)?;
                Err(error)
            }
            None => self.inner.apply(writes),
        }
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        self.inner.size_bytes()
    }
}

/// Randomness that can run dry.
#[derive(Debug, Default)]
pub(super) struct Dry(pub(super) AtomicBool);

impl Random for Dry {
    fn fill(&self, out: &mut [u8]) -> Result<(), CryptoError> {
        if self.0.load(Ordering::SeqCst) {
            return Err(CryptoError::Random);
        }
        SystemRandom.fill(out)
    }
}
