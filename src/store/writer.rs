//! The commit writer: one thread, one batch per group, one state record per batch.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::anchors::Anchors;
use super::copying::Changed;
use super::group::Group;
use super::lookout::Lookout;
use super::recent::Recent;
use super::rewraps::Rewraps;
use super::state::State;
use super::{Batch, Engine, JournalMark, Store, StoreError, StoreKey, Write};
use crate::crypto::{Key, MacKey, Random, Record};
use crate::failpoint::{Failpoint, reached};
use crate::id::StoreId;
use crate::waiting::{self, AtWork, Reply};

/// How many commits share one sync at most.
const GROUP: usize = 256;
/// After how many bytes of records a group is closed (1 MiB): large values wait for few others, and the
/// engine's log does not outgrow what one sync can make safe (see the size of sled's segments).
const GROUP_BYTES: usize = 1 << 20;

/// How often the writer gives way to commits that may still join a group.
const ROUNDS: usize = 8;

/// After how many groups of those who wait long work comes on, however many wait.
const GROUPS: usize = 4;

/// For how long the writer may be at one thing. After that the store has failed, and everybody hears so: below
/// the time that a request has, which would otherwise end without a word of what is the matter.
pub(super) const LIMIT: Duration = Duration::from_secs(25);

/// And how often it must have been found at that: most of the looks that there is time for.
const LOOKS: u32 = 80;

/// How often whoever waits on a thread of its own looks whether that is given up.
const LOOK: Duration = Duration::from_millis(200);

/// What the writer is to do.
pub(super) enum Order {
    /// A commit.
    Commit(Job),
    /// Something between two groups, while nothing changes; it is shown the state.
    Pause(Box<dyn FnOnce(&State) + Send>),
}

/// One caller's commit.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) batch: Batch,
    pub(super) mark: JournalMark,
    pub(super) reply: Reply<Result<u64, StoreError>>,
    /// Whether it is part of long work, which gives way to those who wait for an answer.
    pub(super) long: bool,
}

/// What the writer and the readers both see.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Apart from the state, for it is looked at by every read: a [`Health`] as a number.
    health: AtomicU8,
    /// For how long the writer has been at a group, or at something between two of them.
    pub(super) at_work: AtWork,
    /// Whether nobody waits for the writer any more.
    pub(super) given_up: CancellationToken,
    pub(super) probe: OnceLock<Arc<dyn Probe>>,
    /// For a copy that is being made while commits go on.
    pub(super) changed: Changed,
    /// What readers read lately; the writer says what it has written.
    pub(super) recent: Recent,
    /// What stands for what was read before it was rewrapped.
    pub(super) rewraps: Rewraps,
}

/// Hears of each durable group, for metrics. Called from the commit writer: must not block.
pub trait Probe: Send + Sync + std::fmt::Debug {
    /// A group was made durable, in this time.
    fn store_synced(&self, took: Duration);
}

/// Whether the store may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// What is in memory is what is on disk.
    Sound,
    /// A write failed; nobody knows how much of it is on disk.
    Failed,
    /// Closed.
    Closed,
}

impl Health {
    const fn number(self) -> u8 {
        match self {
            Self::Sound => 0,
            Self::Failed => 1,
            Self::Closed => 2,
        }
    }

    const fn of(number: u8) -> Self {
        match number {
            0 => Self::Sound,
            2 => Self::Closed,
            _ => Self::Failed,
        }
    }
}

impl Shared {
    pub(super) fn new(state: State) -> Self {
        Self {
            state: Mutex::new(state),
            health: AtomicU8::new(Health::Sound.number()),
            at_work: AtWork::default(),
            given_up: CancellationToken::new(),
            probe: OnceLock::new(),
            changed: Changed::default(),
            recent: Recent::default(),
            rewraps: Rewraps::default(),
        }
    }

    pub(super) fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn health(&self) -> Health {
        Health::of(self.health.load(Ordering::Acquire))
    }

    /// Nothing when the store may be used.
    pub(super) fn usable(&self) -> Result<(), StoreError> {
        match self.health() {
            Health::Sound => Ok(()),
            Health::Failed => Err(StoreError::Failed),
            Health::Closed => Err(StoreError::Closed),
        }
    }

    fn publish(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// A failed store stays failed.
    pub(super) fn end(&self, health: Health) {
        let sound = Health::Sound.number();
        let order = (Ordering::AcqRel, Ordering::Acquire);
        self.health
            .compare_exchange(sound, health.number(), order.0, order.1)
            .unwrap_or_default();
    }
}

impl Shared {
    /// Looks, each time it is called, whether the writer still comes round. Answers whether it is at work.
    pub(super) fn looked_after(self: Arc<Self>) -> impl FnMut() -> bool + Send + 'static {
        let (mut before, mut looks) = (None, 0_u32);
        move || {
            let began = self.at_work.began();
            looks = if began == before { looks + 1 } else { 0 };
            before = began;
            let time = began.map_or(Duration::ZERO, |began| began.elapsed());
            // A process that was stopped for so long did not look meanwhile, and gave the disk nothing to answer to.
            let is_stuck = time >= LIMIT && looks >= LOOKS;
            if is_stuck && !self.given_up.is_cancelled() {
                tracing::error!(
                    seconds = time.as_secs(),
                    "the disk does not answer: the store has failed"
                );
                self.give_up();
            }
            began.is_some()
        }
    }

    /// The store has failed, whatever the writer still comes to: who waits for it is told so.
    pub(super) fn give_up(&self) {
        self.end(Health::Failed);
        self.given_up.cancel();
    }

    /// What the writer answers to something that it does between two groups.
    pub(super) fn hear<T>(
        &self,
        answer: &Receiver<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        loop {
            match answer.recv_timeout(LOOK) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Timeout) if !self.given_up.is_cancelled() => {}
                Err(_) => return Err(StoreError::Failed),
            }
        }
    }
}

/// All that a commit needs. There is one, and it moves to the writer thread.
#[derive(Debug)]
pub(super) struct Committer {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) store: StoreId,
    pub(super) seal: Key,
    pub(super) mac: MacKey,
    pub(super) anchor: Anchors,
    pub(super) random: Arc<dyn Random>,
    pub(super) shared: Arc<Shared>,
}

impl Store {
    /// For how long the writer has been at the group that it is at, or at what it does between two of them.
    #[must_use]
    pub fn busy_for(&self) -> Duration {
        self.shared().at_work.time()
    }
}

impl Committer {
    /// Serves until every sender is gone and the queue is empty, then syncs the anchor.
    ///
    /// A part of long work is a group of its own: who waits for an answer waits for one of them at most, and
    /// shares no sync with them.
    pub(super) fn run(mut self, queue: &Receiver<Order>, lookout: &Lookout) {
        let (mut left, mut long, mut passed) = (None, VecDeque::new(), 0);
        loop {
            let next = left.take().or_else(|| {
                if long.is_empty() {
                    queue.recv().ok()
                } else if passed < GROUPS {
                    queue.try_recv().ok()
                } else {
                    None
                }
            });
            match next {
                Some(Order::Commit(job)) if job.long => long.push_back(job),
                Some(Order::Commit(first)) => {
                    let (jobs, next) = gather(first, queue, &mut long);
                    self.serve(jobs, lookout);
                    left = next;
                    passed = if long.is_empty() { 0 } else { passed + 1 };
                }
                Some(Order::Pause(work)) => {
                    let _working = self.shared.at_work.begin();
                    lookout.wake();
                    work(&self.shared.state());
                }
                None => {
                    let Some(job) = long.pop_front() else { break };
                    self.serve(vec![job], lookout);
                    passed = 0;
                }
            }
        }
        // At worst the anchor lags, and the store is as durable as it was.
        self.anchor.sync().unwrap_or_default();
    }

    /// Commits what can be committed of a group, and answers everyone.
    fn serve(&mut self, jobs: Vec<Job>, lookout: &Lookout) {
        let shared = Arc::clone(&self.shared);
        let _working = shared.at_work.begin();
        lookout.wake();
        let mut group = Group::new(&*self.engine, &self.mac, shared.state(), &shared.rewraps);
        let (mut accepted, mut refused) = (vec![], vec![]);
        let usable = self.shared.usable();
        let (calls, jobs): (Vec<_>, Vec<_>) =
            jobs.into_iter().partition(|job| job.batch.is_empty());
        for job in jobs {
            let joined = usable
                .clone()
                .and_then(|()| group.join(job.batch, job.mark));
            match joined {
                Ok(()) => accepted.push(job.reply),
                Err(error) => refused.push((job.reply, Err(error))),
            }
        }
        if !accepted.is_empty() {
            let (state, changes, rewrapped) = group.finish();
            let outcome = self.commit(state, &changes);
            if outcome.is_ok() {
                shared.rewraps.written(&changes, &rewrapped);
            }
            let answers = accepted.into_iter().map(|reply| (reply, outcome.clone()));
            waiting::answer_all(answers.collect());
        }
        // Who changes nothing only wants to know that the writer came round.
        if !calls.is_empty() {
            let round = usable.map(|()| self.shared.state().generation);
            let answers = calls.into_iter().map(|call| (call.reply, round.clone()));
            waiting::answer_all(answers.collect());
        }
        // Only now can they read what stood in their way.
        waiting::answer_all(refused);
    }

    /// Makes a group durable, and then tells the anchor and the readers.
    pub(super) fn commit(
        &mut self,
        state: State,
        changes: &BTreeMap<StoreKey, Option<Record>>,
    ) -> Result<u64, StoreError> {
        // Nothing is touched before this: a store that cannot seal is not failed.
        let record = state.seal(self.store, &self.seal, &*self.random)?;
        let mut writes: Vec<_> = changes
            .iter()
            .map(|(key, record)| match record {
                Some(record) => Write::Put(key.as_bytes(), record.as_bytes()),
                None => Write::Delete(key.as_bytes()),
            })
            .collect();
        writes.push(Write::Put(StoreKey::STATE, record.as_bytes()));
        let started = Instant::now();
        let done = self.engine.apply(&writes).and_then(|()| {
            reached(Failpoint::CommitApplied);
            self.anchor.write(&state)
        });
        match done {
            Ok(()) => {
                self.shared.changed.note(changes.keys());
                self.shared.recent.written(changes.keys());
                self.shared.publish(state);
                if let Some(probe) = self.shared.probe.get() {
                    probe.store_synced(started.elapsed());
                }
                Ok(state.generation)
            }
            Err(error) => {
                self.shared.end(Health::Failed);
                Err(error)
            }
        }
    }
}

/// One group: what has queued, and what comes while the writer gives way. On an idle machine that
/// takes no time; on a busy one each commit that joins saves a sync. With what comes after the group, if
/// that is no commit; what is part of long work is put aside.
fn gather(
    first: Job,
    queue: &Receiver<Order>,
    long: &mut VecDeque<Job>,
) -> (Vec<Job>, Option<Order>) {
    let mut weight = first.batch.weight();
    let mut jobs = vec![first];
    for _ in 0..ROUNDS {
        let before = jobs.len();
        while jobs.len() < GROUP
            && weight < GROUP_BYTES
            && let Ok(order) = queue.try_recv()
        {
            let Order::Commit(job) = order else {
                return (jobs, Some(order));
            };
            if job.long {
                long.push_back(job);
                continue;
            }
            weight = weight.saturating_add(job.batch.weight());
            jobs.push(job);
        }
        if before == jobs.len() {
            break;
        }
        std::thread::yield_now();
    }
    (jobs, None)
}
