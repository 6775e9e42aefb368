//! What callers, the writer and readers of one journal share.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::oneshot;

use super::disk::Disk;
use super::line::Late;
use super::{AuditError, Event, Head, JournalKey, JournalKeys, Known, Options, Recorded};
use crate::clock::Clock;
use crate::crypto::Random;
use crate::id::StoreId;
use crate::waiting::{AtWork, Reply};

/// An intent, and who waits for it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) event: Event,
    pub(super) reply: Reply<Result<Recorded, AuditError>>,
}

/// Who waits for a position.
pub(super) type Waiting = mpsc::SyncSender<Result<Head, AuditError>>;

/// What waits for the writer.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) intents: VecDeque<Asked>,
    pub(super) outcomes: VecDeque<Late>,
    pub(super) checkpoints: Vec<Waiting>,
    /// Keys that are to take over, and who waits for that.
    pub(super) handovers: VecDeque<(JournalKey, Waiting)>,
    /// Who wants to know whether the writer still comes round.
    pub(super) calls: Vec<oneshot::Sender<()>>,
}

impl Work {
    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.intents.is_empty()
            && self.outcomes.is_empty()
            && self.checkpoints.is_empty()
            && self.handovers.is_empty()
    }

    /// Answers who only wants to know that the writer came round.
    pub(super) fn answer_calls(&mut self) {
        for call in self.calls.drain(..) {
            // Who no longer waits does not need to know.
            call.send(()).unwrap_or_default();
        }
    }

    fn append(&mut self, other: &mut Self) {
        self.intents.append(&mut other.intents);
        self.outcomes.append(&mut other.outcomes);
        self.checkpoints.append(&mut other.checkpoints);
        self.handovers.append(&mut other.handovers);
        self.calls.append(&mut other.calls);
    }
}

#[derive(Debug, Default)]
struct Queue {
    work: Work,
    /// Whether the writer sleeps: only then is waking it worth a system call.
    idle: bool,
    /// Whether it sleeps for a moment only, waiting for an intent to share a sync with: outcomes need not
    /// wake it.
    lingering: bool,
    closing: bool,
}

impl Queue {
    /// Whether nobody waits for the writer: outcomes may be there, which nobody waits for.
    fn is_quiet(&self) -> bool {
        let Work {
            intents,
            outcomes: _,
            checkpoints,
            handovers,
            calls,
        } = &self.work;
        let asked = !(intents.is_empty() && checkpoints.is_empty() && handovers.is_empty());
        !asked && calls.is_empty() && !self.closing
    }
}

/// How long outcomes wait for an intent. Nobody waits for an outcome; a sync of its own would make
/// the next intent wait for it.
const LINGER: Duration = Duration::from_millis(5);

/// How often the writer gives way to callers that may still join a group.
const ROUNDS: usize = 8;

/// How far the journal is durable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Published {
    pub(super) head: Head,
    pub(super) generation: u64,
    /// The segment that is being written, and its durable length.
    pub(super) segment: u64,
    pub(super) length: u64,
    /// The generation of keys that the segment is under.
    pub(super) version: u32,
}

/// Hears of each durable group, for metrics. Called from the writer: must not block.
pub trait Probe: Send + Sync + std::fmt::Debug {
    /// So many records were made durable, in this time.
    fn audit_synced(&self, records: u64, took: Duration);
    /// A group could not be made durable.
    fn audit_failed(&self);
}

/// The journal behind all its handles.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) store: StoreId,
    keys: ArcSwap<JournalKeys>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) options: Options,
    pub(super) healthy: AtomicBool,
    /// For how long the writer has been at a group.
    pub(super) at_work: AtWork,
    /// Intents refused at the door since the journal was last healthy.
    pub(super) refused: AtomicU64,
    /// Outcomes that found no room in the queue.
    pub(super) lost: AtomicU64,
    pub(super) probe: OnceLock<Arc<dyn Probe>>,
    queue: Mutex<Queue>,
    wake: Condvar,
    published: Mutex<Published>,
}

/// A thread that panicked left no half-made change here: each critical section is a plain move.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything a journal is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) dir: PathBuf,
    pub(super) store: StoreId,
    pub(super) keys: JournalKeys,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) options: Options,
    /// What the journal must agree with before anything is done to it.
    pub(super) known: Option<Known>,
}

impl Shared {
    pub(super) fn new(parts: Parts, published: Published) -> Self {
        let Parts {
            dir,
            store,
            keys,
            clock,
            random,
            disk,
            options,
            known: _,
        } = parts;
        Self {
            dir,
            store,
            keys: ArcSwap::from_pointee(keys),
            clock,
            random,
            disk,
            options,
            healthy: AtomicBool::new(true),
            at_work: AtWork::default(),
            refused: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            probe: OnceLock::new(),
            queue: Mutex::default(),
            wake: Condvar::new(),
            published: Mutex::new(published),
        }
    }

    /// The keys as they are now.
    pub(super) fn keys(&self) -> Arc<JournalKeys> {
        self.keys.load_full()
    }

    /// The next keys seal and sign from here on.
    pub(super) fn follow_with(&self, next: JournalKey) {
        let keys = self.keys.load().followed_by(next);
        self.keys.store(Arc::new(keys));
    }

    pub(super) fn published(&self) -> Published {
        *lock(&self.published)
    }

    pub(super) fn publish(&self, published: Published) {
        *lock(&self.published) = published;
    }

    /// Queues an intent, unless the journal is closed, unhealthy or has too many waiting.
    pub(super) fn ask(&self, asked: Asked) -> Result<(), AuditError> {
        if !self.healthy.load(Ordering::Acquire) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(AuditError::Unavailable);
        }
        let mut queue = lock(&self.queue);
        if queue.closing || queue.work.intents.len() >= self.options.queue {
            return Err(AuditError::Unavailable);
        }
        queue.work.intents.push_back(asked);
        self.notify(queue);
        Ok(())
    }

    /// Queues an outcome. One that finds no room is counted, and the next repair names the number.
    pub(super) fn tell(&self, late: Late) {
        let mut queue = lock(&self.queue);
        if queue.closing || queue.work.outcomes.len() >= self.options.backlog {
            drop(queue);
            self.lost.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                intent = late.intent.seq,
                "an audit outcome could not be queued"
            );
            return;
        }
        queue.work.outcomes.push_back(late);
        if !queue.lingering {
            self.notify(queue);
        }
    }

    /// Queues a wish for a checkpoint.
    pub(super) fn wish(&self) -> Result<mpsc::Receiver<Result<Head, AuditError>>, AuditError> {
        let (reply, answer) = mpsc::sync_channel(1);
        let mut queue = lock(&self.queue);
        if queue.closing {
            return Err(AuditError::Unavailable);
        }
        queue.work.checkpoints.push(reply);
        self.notify(queue);
        Ok(answer)
    }

    /// Queues keys that are to take over.
    pub(super) fn hand_over(
        &self,
        next: JournalKey,
    ) -> Result<mpsc::Receiver<Result<Head, AuditError>>, AuditError> {
        let (reply, answer) = mpsc::sync_channel(1);
        let mut queue = lock(&self.queue);
        if queue.closing || !self.healthy.load(Ordering::Acquire) {
            return Err(AuditError::Unavailable);
        }
        queue.work.handovers.push_back((next, reply));
        self.notify(queue);
        Ok(answer)
    }

    /// Calls the writer: it answers when it has written what it has in hand.
    pub(super) fn call(&self) -> oneshot::Receiver<()> {
        let (call, answer) = oneshot::channel();
        let mut queue = lock(&self.queue);
        queue.work.calls.push(call);
        self.notify(queue);
        answer
    }

    /// Tells the writer to finish what is queued and end.
    pub(super) fn close(&self) {
        let mut queue = lock(&self.queue);
        queue.closing = true;
        self.notify(queue);
    }

    fn notify(&self, queue: MutexGuard<'_, Queue>) {
        let idle = queue.idle;
        drop(queue);
        if idle {
            self.wake.notify_one();
        }
    }

    /// Moves what is queued into `work`, sleeping for `patience` at most when there is nothing. With `owed`,
    /// outcomes of what was just written are about to come. Whether the journal is closing.
    pub(super) fn gather(&self, work: &mut Work, patience: Option<Duration>, owed: bool) -> bool {
        let mut queue = lock(&self.queue);
        if work.is_empty() && (owed || !queue.work.outcomes.is_empty()) {
            queue = self.linger(queue, patience);
        }
        if queue.is_quiet() && queue.work.outcomes.is_empty() {
            queue.idle = true;
            queue = match patience {
                Some(patience) => {
                    let woken = self.wake.wait_timeout(queue, patience);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self
                    .wake
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner),
            };
            queue.idle = false;
            if work.is_empty() && !queue.work.outcomes.is_empty() {
                queue = self.linger(queue, patience);
            }
        }
        queue = self.let_others_join(queue);
        work.append(&mut queue.work);
        queue.closing
    }

    /// Waits for anything but outcomes, for [`LINGER`] at most.
    fn linger<'a>(
        &'a self,
        mut queue: MutexGuard<'a, Queue>,
        patience: Option<Duration>,
    ) -> MutexGuard<'a, Queue> {
        let until = Instant::now() + patience.map_or(LINGER, |patience| patience.min(LINGER));
        while queue.is_quiet() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            (queue.idle, queue.lingering) = (true, true);
            let woken = self.wake.wait_timeout(queue, left);
            queue = woken.unwrap_or_else(PoisonError::into_inner).0;
            (queue.idle, queue.lingering) = (false, false);
        }
        queue
    }

    /// Lets callers that are about to ask do so, as long as more of them come: each that joins saves a
    /// sync. Nobody waits for it on an idle machine, where giving way takes no time.
    fn let_others_join<'a>(&'a self, mut queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        for _ in 0..ROUNDS {
            let before = queue.work.intents.len();
            if before == 0 || queue.closing {
                break;
            }
            drop(queue);
            std::thread::yield_now();
            queue = lock(&self.queue);
            if queue.work.intents.len() == before {
                break;
            }
        }
        queue
    }
}
