//! The store itself: created or opened, read, committed to, closed.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::anchor::Anchor;
use super::anchors::{AnchorFiles, Anchors};
use super::error::Doing;
use super::group::Group;
use super::lookout::Lookout;
use super::recent::Read;
use super::state::State;
use super::submitted::Submitted;
use super::thread::WriterThread;
use super::writer::{Committer, Health, Job, Order, Probe, Shared};
use super::{Batch, Engine, EngineKind, JournalMark, StoreError, StoreKey, adopt_pairs, census};
use crate::crypto::{Key, MacKey, Random, Record};
use crate::id::StoreId;
use crate::waiting;

/// The two keys of the store itself.
#[derive(Debug)]
pub struct StoreKeys {
    /// Seals the state record.
    pub seal: Key,
    /// For the digest of all records and the MAC of the anchor file.
    pub anchor: Key,
}

impl StoreKeys {
    pub(super) fn mac(&self) -> Result<MacKey, StoreError> {
        MacKey::new(&self.anchor).map_err(|_| StoreError::Sealing)
    }
}

/// An open store. Clones are the same store; the last one to go closes it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    engine: Arc<dyn Engine>,
    shared: Arc<Shared>,
    mac: MacKey,
    writer: WriterThread,
}

impl Store {
    /// Makes a store in an empty engine, with `first` as its first records.
    ///
    /// # Errors
    /// [`StoreError::NotEmpty`] when the engine holds something, [`StoreError::Emptied`] when an anchor
    /// file remembers that it did, or what the engine or the operating system reports.
    pub fn create(
        engine: Arc<dyn Engine>,
        id: StoreId,
        keys: StoreKeys,
        anchors: impl Into<AnchorFiles>,
        random: Arc<dyn Random>,
        first: Batch,
    ) -> Result<Self, StoreError> {
        if !engine.is_empty()? {
            return Err(StoreError::NotEmpty);
        }
        let mac = keys.mac()?;
        let shared = Arc::new(Shared::new(State::nothing()));
        let mut group = Group::new(&*engine, &mac, State::nothing(), &shared.rewraps);
        group.join(first, JournalMark::GENESIS)?;
        let (state, changes, _) = group.finish();
        let mut committer = Committer {
            anchor: Anchors::create(&anchors.into(), id, &mac)?,
            engine,
            store: id,
            seal: keys.seal,
            mac,
            random,
            shared,
        };
        committer.commit(state, &changes)?;
        committer.anchor.sync()?;
        Self::start(committer)
    }

    /// Opens a store: counts and digests every record, and compares the result with the sealed state
    /// record and the anchor file before anything is served. Takes about a second per 300,000 records.
    ///
    /// # Errors
    /// [`StoreError::NotCreated`], [`StoreError::Emptied`], [`StoreError::AnchorMissing`],
    /// [`StoreError::AnchorDamaged`], [`StoreError::External`], [`StoreError::RolledBack`], [`StoreError::Damaged`], or what the
    /// engine or the operating system reports.
    pub fn open(
        engine: Arc<dyn Engine>,
        id: StoreId,
        keys: StoreKeys,
        anchors: impl Into<AnchorFiles>,
        random: Arc<dyn Random>,
    ) -> Result<Self, StoreError> {
        let (mac, files) = (keys.mac()?, anchors.into());
        let anchored = Anchor::open(&files.own, id, mac.clone())?;
        let found = engine.get(StoreKey::STATE)?;
        let (own, remembered, found) = match (anchored, found) {
            (Some((anchor, remembered)), Some(found)) => (anchor, remembered, found),
            // A creation that was cut short before its first commit.
            (Some((_, state)), None) if state.generation == 0 && engine.is_empty()? => {
                return Err(StoreError::NotCreated);
            }
            (Some(_), None) => return Err(StoreError::Emptied),
            (None, None) if engine.is_empty()? => return Err(StoreError::NotCreated),
            (None, _) => return Err(StoreError::AnchorMissing),
        };
        let state = State::open(id, &keys.seal, &found)?;
        compare(&state, &remembered, || census::take(&*engine, &mac))?;
        let anchor = Anchors::agreeing(own, &remembered, &files, id, &mac, &state)?;
        if let Some(disk) = engine.disk() {
            // What a kill left behind.
            disk.remove_superseded()?;
        }
        Self::start(Committer {
            engine,
            store: id,
            seal: keys.seal,
            mac,
            anchor,
            random,
            shared: Arc::new(Shared::new(state)),
        })
    }

    fn start(committer: Committer) -> Result<Self, StoreError> {
        let engine = Arc::clone(&committer.engine);
        let shared = Arc::clone(&committer.shared);
        let mac = committer.mac.clone();
        let (queue, jobs) = mpsc::channel();
        let watched = Arc::clone(&shared);
        let lookout = Lookout::begin("store-lookout", watched.looked_after())?;
        let thread = thread::Builder::new()
            .name("store-commit".into())
            .spawn(move || committer.run(&jobs, &lookout))
            .doing("starting the commit writer")?;
        Ok(Self(Arc::new(Inner {
            engine,
            shared,
            mac,
            writer: WriterThread::new(queue, thread),
        })))
    }

    /// Reads a record. It reads on the calling task: a cached read takes about a microsecond.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when what is stored is no record; [`StoreError::Failed`] and
    /// [`StoreError::Closed`]; what the engine reports.
    #[expect(
        clippy::unused_async,
        reason = "an engine over a network would wait here"
    )]
    pub async fn get(&self, key: &StoreKey) -> Result<Option<Record>, StoreError> {
        self.0.shared.usable()?;
        super::read_raw(&*self.0.engine, key)
    }

    /// As [`Store::get`], for a record that is read again and again: kept until it is written.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn read(&self, key: &StoreKey) -> Result<Option<Arc<Read>>, StoreError> {
        let recent = &self.0.shared.recent;
        self.0.shared.usable()?;
        let writes = match recent.get(key) {
            Ok(found) => return Ok(found),
            Err(writes) => writes,
        };
        let found = self
            .get(key)
            .await?
            .map(|record| Arc::new(Read::new(record)));
        recent.keep(writes, key.clone(), found.clone());
        Ok(found)
    }

    /// Forgets what was read, so that the engine is asked for whatever is read next.
    #[cfg(test)]
    pub(crate) fn forget_read(&self) {
        self.0.shared.recent.forget();
    }

    /// At most `limit` records in order of their keys, whose keys begin with `prefix` and, if given, come
    /// after `after`. The store's own state record is not among them.
    ///
    /// # Errors
    /// As [`Store::get`]; [`StoreError::Moved`] where `after` was found in another [order](Store::order): begin again.
    #[expect(
        clippy::unused_async,
        reason = "an engine over a network would wait here"
    )]
    pub async fn scan(
        &self,
        prefix: &StoreKey,
        after: Option<&StoreKey>,
        limit: usize,
    ) -> Result<Vec<(StoreKey, Record)>, StoreError> {
        self.0.shared.usable()?;
        let order = self.order();
        if after.is_some_and(|after| after.order().is_some_and(|then| then != order)) {
            return Err(StoreError::Moved);
        }
        let prefix = prefix.as_bytes();
        // The state record has the first key of all: a scan that would begin there begins after it.
        let after = match after.map(StoreKey::as_bytes) {
            None if prefix == StoreKey::STATE => Some(StoreKey::STATE),
            after => after,
        };
        let found = self.0.engine.scan(prefix, after, limit)?;
        let stayed = self.order() == order;
        stayed
            .then(|| adopt_pairs(found, order))
            .ok_or(StoreError::Moved)?
    }

    /// What keys are ordered by where their records are kept.
    #[must_use]
    pub fn rank(&self, key: &StoreKey) -> Vec<u8> {
        self.0.engine.rank(key.as_bytes())
    }

    /// Makes the changes of `batch` together, durable when this returns, and remembers that the audit
    /// journal had come to `mark`. Returns the store's generation, which commits of one group share.
    ///
    /// A caller that goes away while it waits does not stop its commit.
    ///
    /// # Errors
    /// [`StoreError::Precondition`], [`StoreError::TooLarge`], [`StoreError::BatchTooLarge`],
    /// [`StoreError::Reserved`] and [`StoreError::Sealing`]: nothing of it was done. After [`StoreError::Full`] or [`StoreError::Io`] it may or
    /// may not be there, and the store answers [`StoreError::Failed`] until it is opened again. So it is when the
    /// writer has been at one thing for 25 seconds.
    pub async fn commit(&self, batch: Batch, mark: JournalMark) -> Result<u64, StoreError> {
        self.queue(batch, mark, false)?.done().await
    }

    /// As [`Store::commit`], for a part of long work: commits of those who wait for an answer come before it.
    /// It begins with this and is over with [`Submitted::done`]: meanwhile the caller makes the next one ready.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn submit(&self, mut batch: Batch, mark: JournalMark) -> Result<Submitted, StoreError> {
        batch.reckon(&self.0.mac);
        self.queue(batch, mark, true)
    }

    fn queue(&self, batch: Batch, mark: JournalMark, long: bool) -> Result<Submitted, StoreError> {
        batch.check_size()?;
        let (reply, waiting) = waiting::pair();
        let job = Job {
            batch,
            mark,
            reply,
            long,
        };
        self.send(Order::Commit(job))?;
        Ok(Submitted::new(waiting, Arc::clone(&self.0.shared)))
    }

    /// How many group commits there were.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.shared.state().generation
    }

    /// How far the audit journal had come at the newest commit.
    #[must_use]
    pub fn journal_mark(&self) -> JournalMark {
        self.0.shared.state().mark
    }

    /// How many records there are, without the store's own.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.0.shared.state().census.count
    }

    /// How much room the store takes on disk, in bytes.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub fn size_bytes(&self) -> Result<u64, StoreError> {
        self.0.engine.size_bytes()
    }

    /// The engine of a store on disk.
    #[must_use]
    pub fn engine_kind(&self) -> Option<EngineKind> {
        self.0.engine.disk().map(super::DiskEngine::kind)
    }

    /// Whether the store serves: neither failed nor closed.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.0.shared.health() == Health::Sound
    }

    /// Whether the writer comes round within `patience`: one that hangs in the disk does not, and no more does one
    /// that was given up for that. A store that failed otherwise is no reason not to answer.
    pub async fn answers(&self, patience: Duration) -> bool {
        let nothing = self.commit(Batch::new(), self.journal_mark());
        let came = tokio::time::timeout(patience, nothing).await.is_ok();
        came && !self.0.shared.given_up.is_cancelled()
    }

    /// Tells `probe` of each durable group from now on; the first one to ask stays.
    pub fn watch(&self, probe: Arc<dyn Probe>) {
        drop(self.0.shared.probe.set(probe));
    }

    /// What a copy is made of and with.
    pub(super) fn parts(&self) -> (Arc<dyn Engine>, MacKey, Arc<Shared>) {
        let (engine, shared) = (Arc::clone(&self.0.engine), Arc::clone(&self.0.shared));
        (engine, self.0.mac.clone(), shared)
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.0.shared
    }

    pub(super) fn engine(&self) -> &dyn Engine {
        &*self.0.engine
    }

    pub(super) fn send(&self, order: Order) -> Result<(), StoreError> {
        self.0.shared.usable()?;
        self.0.writer.send(order)
    }

    /// Serves what has queued, syncs the anchor file, and ends the writer thread. Blocks until then.
    /// A second call changes nothing.
    pub fn close(&self) {
        self.0.close();
    }
}

/// Holds the store found against what the anchor remembers and what is really there.
fn compare(
    state: &State,
    remembered: &State,
    really: impl FnOnce() -> Result<super::state::Census, StoreError>,
) -> Result<(), StoreError> {
    if state.generation < remembered.generation {
        return Err(StoreError::RolledBack {
            store: state.generation,
            anchor: remembered.generation,
        });
    }
    if state.generation == remembered.generation && state != remembered {
        return Err(StoreError::Damaged {
            what: "the state record is not the one that the anchor file has seen",
        });
    }
    if really()? != state.census {
        return Err(StoreError::Damaged {
            what: "records are missing, altered or added",
        });
    }
    Ok(())
}

impl Inner {
    fn close(&self) {
        self.writer.end(&self.shared);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.shared.state();
        write!(
            f,
            "Store({}, generation {}, {} records)",
            self.0.engine.name(),
            state.generation,
            state.census.count
        )
    }
}
