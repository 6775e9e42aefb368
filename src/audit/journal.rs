//! The journal's door: open it, record, ask, close.

use std::fmt;
use std::fs::TryLockError;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::disk::{self, System};
use super::known::{self, Known};
use super::line::{Intent, Late};
use super::query::{self, Filter, Page};
use super::reader::Reader;
use super::scan::{self, Found};
use super::segment::{self, Before, Seal, Segment};
use super::shared::{Asked, Parts, Probe, Published, Shared};
use super::writer::Writer;
use super::{Action, AuditError, Event, Head, JournalKey, JournalKeys, Outcome, VerifyReport};
use crate::clock::Clock;
use crate::crypto::{PublicKey, Random};
use crate::id::{OrgId, StoreId};
use crate::waiting;

/// How a journal behaves. The default is what the broker runs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// A segment that has reached this many bytes is followed by another.
    pub segment_bytes: u64,
    /// A checkpoint is signed after this many records …
    pub checkpoint_every: u64,
    /// … or after this long, when there is something to cover.
    pub checkpoint_after: Duration,
    /// How long an intent waits to be durable before it is refused.
    pub patience: Duration,
    /// How often the writer tries again while it cannot write.
    pub retry: Duration,
    /// How many intents may wait; more are refused at once.
    pub queue: usize,
    /// How many outcomes may wait while the journal cannot be written.
    pub backlog: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            checkpoint_every: 1000,
            checkpoint_after: Duration::from_mins(1),
            patience: Duration::from_secs(2),
            retry: Duration::from_millis(100),
            queue: 16_384,
            backlog: 65_536,
        }
    }
}

/// The audit journal. Handles are cheap to clone; the last one to go closes it.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Journal {
    /// Opens the journal in `dir`, making it (0700) when there is none. The last segment is
    /// verified to its end; a write that a crash left unfinished is cut off, and that is recorded.
    /// Nothing of this is done to a journal that is not the one `known` tells of.
    ///
    /// # Errors
    /// [`AuditError`]: in use, damaged, of another store or key, other than known, or not writable.
    pub fn open(
        dir: &Path,
        store: StoreId,
        keys: JournalKeys,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        options: Options,
        known: Option<Known>,
    ) -> Result<Self, AuditError> {
        let (dir, disk) = (dir.to_owned(), Arc::new(System));
        Self::open_parts(Parts {
            dir,
            store,
            keys,
            clock,
            random,
            disk,
            options,
            known,
        })
    }

    pub(super) fn open_parts(parts: Parts) -> Result<Self, AuditError> {
        let known = parts.known;
        if !parts.dir.exists() {
            known::refuse_gone(known)?;
        }
        disk::make_dir(&parts.dir)?;
        let locking = AuditError::io("lock the audit directory");
        let lock = disk::open_file(&parts.dir.join("lock"), true).map_err(&locking)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(AuditError::InUse),
            Err(TryLockError::Error(error)) => return Err(locking(error)),
        }
        let found = find(&parts)?;
        let mut parts = parts;
        parts.keys = scan::in_force(&parts.keys, &found.segment)?;
        let published = Published {
            head: found.head,
            generation: found.generation,
            segment: found.segment.first,
            length: found.length,
            version: found.segment.version,
        };
        let shared = Arc::new(Shared::new(parts, published));
        if let Some(known) = known {
            known::agree(&Reader::new(&shared)?, &known)?;
        }
        found.repair()?;
        let mut writer = Writer::new(Arc::clone(&shared), found, lock)?;
        writer.begin()?;
        let thread = std::thread::Builder::new().name("audit".to_owned());
        let thread = thread
            .spawn(move || writer.run())
            .map_err(AuditError::io("start the audit writer"))?;
        Ok(Self(Arc::new(Handle {
            shared,
            writer: Mutex::new(Some(thread)),
        })))
    }

    /// Records an event. It is durable when this returns; callers at the same time share one
    /// fdatasync. A caller that stops waiting leaves no record, or one whose outcome is `unknown`.
    /// Needs tokio's timer.
    ///
    /// # Errors
    /// [`AuditError::Unavailable`] when it could not be made durable in time: nothing was counted,
    /// and what was to be recorded must not happen. [`AuditError::TooLong`] for too many targets.
    pub async fn record(&self, event: Event) -> Result<Recorded, AuditError> {
        let (reply, waiting) = waiting::pair();
        self.0.shared.ask(Asked { event, reply })?;
        let answer = waiting.answered();
        let answer = tokio::time::timeout(self.0.shared.options.patience, answer).await;
        match answer {
            Ok(Some(recorded)) => recorded,
            Ok(None) | Err(_) => Err(AuditError::Unavailable),
        }
    }

    /// Records a fact, such as a refusal: nothing follows from it. It is durable when this returns.
    ///
    /// # Errors
    /// As [`Journal::record`].
    pub async fn note(&self, event: Event) -> Result<(), AuditError> {
        self.record(event).await?.is_all();
        Ok(())
    }

    /// The last durable position.
    #[must_use]
    pub fn head(&self) -> Head {
        self.0.shared.published().head
    }

    /// Whether `head` is a position of this journal: false for one that was cut off or rewritten.
    ///
    /// # Errors
    /// [`AuditError`] when the segment cannot be read.
    pub fn contains(&self, head: &Head) -> Result<bool, AuditError> {
        Reader::new(&self.0.shared)?.contains(head)
    }

    /// The highest store generation that any record carries.
    #[must_use]
    pub fn last_store_generation(&self) -> u64 {
        self.0.shared.published().generation
    }

    /// The key that verifies checkpoints.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.0.shared.keys().active().public()
    }

    /// The generation of the keys that the last durable record is under.
    #[must_use]
    pub fn key_version(&self) -> u32 {
        self.0.shared.published().version
    }

    /// Has `next` seal and sign from here on. The change stands in the chain, under a checkpoint of the keys
    /// in force and one of the next. Answers the position of the change. Blocks.
    ///
    /// # Errors
    /// [`AuditError::Unavailable`] when it cannot be written in time. It may be done all the same: see
    /// [`Journal::key_version`].
    pub fn hand_over(&self, next: JournalKey) -> Result<Head, AuditError> {
        let answer = self.0.shared.hand_over(next)?;
        let answer = answer.recv_timeout(self.0.shared.options.patience);
        answer.unwrap_or(Err(AuditError::Unavailable))
    }

    /// The keys that seal and sign now.
    #[must_use]
    pub fn signer(&self) -> JournalKey {
        self.0.shared.keys().active().clone()
    }

    /// Whether records are being taken.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.0.shared.healthy.load(Ordering::Acquire)
    }

    /// Whether the writer comes round within `patience`: one that hangs in the disk does not. Being unable
    /// to write is no reason not to answer.
    pub async fn answers(&self, patience: Duration) -> bool {
        let answer = tokio::time::timeout(patience, self.0.shared.call()).await;
        matches!(answer, Ok(Ok(())))
    }

    /// Tells `probe` of each durable group from now on; the first one to ask stays.
    pub fn watch(&self, probe: Arc<dyn Probe>) {
        drop(self.0.shared.probe.set(probe));
    }

    /// Signs a checkpoint now, and waits until it is durable: the position it covers. Blocks.
    ///
    /// # Errors
    /// [`AuditError::Unavailable`] when it cannot be written in time.
    pub fn checkpoint(&self) -> Result<Head, AuditError> {
        let answer = self.0.shared.wish()?;
        let answer = answer.recv_timeout(self.0.shared.options.patience);
        answer.unwrap_or(Err(AuditError::Unavailable))
    }

    /// Finds records, newest first, each with its outcome. Blocks while it reads.
    ///
    /// # Errors
    /// [`AuditError`] when a segment cannot be read.
    pub fn query(&self, filter: &Filter) -> Result<Page, AuditError> {
        query::query(&Reader::new(&self.0.shared)?, filter)
    }

    /// Writes an export of all records from sequence number `since` on, covered by a fresh
    /// checkpoint where one can be signed. The last position that is in it. Blocks.
    ///
    /// # Errors
    /// [`AuditError`] when a segment cannot be read, or `out` not written.
    pub fn export(&self, since: u64, out: &mut dyn Write) -> Result<Head, AuditError> {
        if let Err(error) = self.checkpoint() {
            tracing::warn!(%error, "the export's tail is not covered by a checkpoint");
        }
        Reader::new(&self.0.shared)?.export(since, out)
    }

    /// Follows the chain through all segments, from the first record to the last durable one, and
    /// demands that it contains `known`. Records since the last checkpoint make it
    /// [`Incomplete`](super::Verdict::Incomplete); [`checkpoint`](Self::checkpoint) first. Blocks.
    ///
    /// # Errors
    /// [`AuditError`] when a segment cannot be read. Tampering is a verdict, not an error.
    pub fn verify(&self, known: Option<Head>) -> Result<VerifyReport, AuditError> {
        Reader::new(&self.0.shared)?.verify(known)
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.0.shared
    }

    /// Writes what is queued and a last checkpoint, and ends. Later records are refused. Blocks;
    /// calling it again does nothing.
    pub fn close(&self) {
        self.0.close();
    }
}

/// Finds where the journal ends, or begins one.
fn find(parts: &Parts) -> Result<Found, AuditError> {
    let (store, keys) = (parts.store, &parts.keys);
    let seal = Seal { store, keys };
    let listing = AuditError::io("list the audit segments");
    segment::sweep(&parts.dir).map_err(&listing)?;
    if let Some(last) = segment::list(&parts.dir).map_err(listing)?.last() {
        return scan::last_segment(&parts.dir, *last, seal);
    }
    known::refuse_gone(parts.known)?;
    let before = Before {
        head: Head::GENESIS,
        generation: 0,
    };
    let (random, disk) = (parts.random.as_ref(), parts.disk.as_ref());
    Segment::create(&parts.dir, seal, before, random, disk).map(Found::empty)
}

impl Handle {
    fn close(&self) {
        self.shared.close();
        let thread = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the audit writer ended abnormally");
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

/// Proof that an intent is durable. Whoever uses a value or commits a change holds one, and says in
/// the end how it went. Dropped without a word, it records the outcome `unknown`.
#[must_use = "say how it ended; a dropped proof records the outcome `unknown`"]
pub struct Recorded {
    shared: Arc<Shared>,
    head: Head,
    action: Action,
    org: Option<OrgId>,
    settled: bool,
}

impl Recorded {
    pub(super) fn new(shared: Arc<Shared>, head: Head, event: &Event) -> Self {
        Self {
            shared,
            head,
            action: event.action,
            org: event.org,
            settled: false,
        }
    }

    /// The record's position, for the store commit that follows.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }

    /// The record's sequence number.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.head.seq
    }

    /// What was recorded.
    #[must_use]
    pub const fn action(&self) -> Action {
        self.action
    }

    /// Says how it ended. The outcome goes into the next group; nobody waits for it.
    pub fn outcome(mut self, outcome: Outcome) {
        self.settle(outcome);
    }

    /// The record was of a fact, such as a refusal, and nothing follows from it.
    pub fn is_all(mut self) {
        self.settled = true;
    }

    pub(super) const fn intent(&self) -> Intent {
        Intent {
            seq: self.head.seq,
            action: self.action,
            org: self.org,
        }
    }

    fn settle(&mut self, outcome: Outcome) {
        self.settled = true;
        self.shared.tell(Late::of(self, outcome));
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        if !self.settled {
            self.settle(Outcome::unknown());
        }
    }
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recorded({} {})", self.head.seq, self.action)
    }
}
