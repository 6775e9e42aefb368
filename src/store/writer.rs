//! What the commit writer and those who wait for it see of each other.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::copying::Changed;
use super::recent::Recent;
use super::rewraps::Rewraps;
use super::state::State;
use super::{Batch, JournalMark, Store, StoreError};
use crate::waiting::{AtWork, Reply};

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

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Commit(_) => "Commit",
            Self::Pause(_) => "Pause",
        })
    }
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
    /// For how long the writer has been writing a group, or at something between two of them.
    pub(super) at_work: AtWork,
    /// And for how long it has been making the next one ready.
    pub(super) gathering: AtWork,
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
pub trait Probe: Send + Sync + fmt::Debug {
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
            gathering: AtWork::default(),
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

    pub(super) fn publish(&self, state: State) {
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
            let began = self.began();
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

    /// Since when the writer has been at what it is at, of both the longer. Gathering is asked first, since it ends
    /// after writing has begun.
    fn began(&self) -> Option<Instant> {
        let both = [self.gathering.began(), self.at_work.began()];
        both.into_iter().flatten().min()
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

impl Store {
    /// For how long the writer has been at the group that it is at, or at what it does between two of them.
    #[must_use]
    pub fn busy_for(&self) -> Duration {
        let began = self.shared().began();
        began.map_or(Duration::ZERO, |began| began.elapsed())
    }
}
