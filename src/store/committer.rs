//! The commit writer: two threads that take turns, one batch per group, one state record per batch.
//!
//! A group's way to the disk takes as long as the disk does, and whoever has to wait for it can as well make the
//! next group ready: check what its commits expect, reckon its state, seal it. So of two threads one gathers while
//! the other writes, and they change over; what it gathers is held against the records as they will be once the
//! group before is durable. Commits join a group until the disk is free for it.
//!
//! ```text
//! one    gathers 1 │ writes 1 ────────│ gathers 3 ───────│ writes 3 ──────
//! other            │ gathers 2 ───────│ writes 2 ────────│ gathers 4 ─────
//! ```
//!
//! Only one of them writes at any time, and none is answered before its own group is durable, nor refused before
//! that one is which stood in its way.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwapOption;

use super::anchors::Anchors;
use super::group::{Changes, Finished, Group, UnderWay};
use super::lookout::Lookout;
use super::queue::Queue;
use super::state::State;
use super::writer::{Health, Job, Order, Shared};
use super::{Engine, StoreError, StoreKey, Write};
use crate::crypto::{Key, MacKey, Random, Record};
use crate::failpoint::{Failpoint, reached};
use crate::id::StoreId;
use crate::waiting::{self, Reply};

/// How many commits share one sync at most.
const GROUP: usize = 256;
/// After how many bytes of records a group is closed (1 MiB): large values wait for few others, and the
/// engine's log does not outgrow what one sync can make safe (see the size of sled's segments).
const GROUP_BYTES: usize = 1 << 20;

/// How often the writer gives way to commits that may still join a group.
const ROUNDS: usize = 8;

/// After how many groups of those who wait long work comes on, however many wait.
const GROUPS: usize = 4;

/// All that a commit needs.
#[derive(Debug)]
pub(super) struct Committer {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) store: StoreId,
    pub(super) seal: Key,
    pub(super) mac: MacKey,
    pub(super) random: Arc<dyn Random>,
    pub(super) shared: Arc<Shared>,
}

/// What both threads work on.
#[derive(Debug)]
pub(super) struct Turns {
    committer: Committer,
    /// Whoever has it may write.
    disk: Mutex<Anchors>,
    queue: Arc<Queue>,
    gathering: Mutex<Gathering>,
    /// The changes of the group that is being written. Nobody has them for longer: whoever replaces a key waits until
    /// nothing that it sealed is on its way.
    under_way: ArcSwapOption<UnderWay>,
    lookout: Lookout,
}

/// What whoever gathers has, and hands on.
#[derive(Debug)]
struct Gathering {
    /// After the group that was gathered last.
    state: State,
    /// Orders that were taken and found no room in it.
    left: VecDeque<Order>,
    /// Parts of long work.
    long: VecDeque<Job>,
    /// How many groups of others came before them.
    passed: usize,
}

/// Who waits for a group, and for what.
#[derive(Debug, Default)]
struct Waiters {
    accepted: Vec<Reply<Result<u64, StoreError>>>,
    refused: Vec<(Reply<Result<u64, StoreError>>, StoreError)>,
    /// Who changes nothing, and only wants to know that the writer came round.
    calls: Vec<Reply<Result<u64, StoreError>>>,
    count: usize,
    weight: usize,
}

/// A group on its way to the disk.
struct Ready {
    state: State,
    record: Record,
    changes: Arc<UnderWay>,
}

impl Waiters {
    fn join(&mut self, group: &mut Group<'_>, job: Job) {
        self.count += 1;
        self.weight = self.weight.saturating_add(job.batch.weight());
        if job.batch.is_empty() {
            self.calls.push(job.reply);
            return;
        }
        match group.join(job.batch, job.mark) {
            Ok(()) => self.accepted.push(job.reply),
            Err(error) => self.refused.push((job.reply, error)),
        }
    }

    fn has_room(&self) -> bool {
        self.count < GROUP && self.weight < GROUP_BYTES
    }

    fn answer(self, outcome: &Result<u64, StoreError>) {
        let round = self.accepted.into_iter().chain(self.calls);
        let round = round.map(|reply| (reply, outcome.clone()));
        waiting::answer_all(round.collect());
        let refused = self.refused.into_iter().map(|(reply, error)| {
            // What stood in their way is not there, either, where the store has failed.
            let error = outcome.as_ref().err().cloned().unwrap_or(error);
            (reply, Err(error))
        });
        waiting::answer_all(refused.collect());
    }
}

impl Committer {
    /// Makes a group durable, and then tells the anchor and the readers. `record` is the state, sealed.
    pub(super) fn commit(
        &self,
        anchor: &mut Anchors,
        (state, record): (&State, &Record),
        changes: &Changes,
    ) -> Result<u64, StoreError> {
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
            anchor.write(state)
        });
        match done {
            Ok(()) => {
                self.shared.changed.note(changes.keys());
                self.shared.recent.written(changes.keys());
                self.shared.publish(*state);
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

    /// The state as a record. Nothing is touched before this: a store that cannot seal is not failed.
    pub(super) fn sealed(&self, state: &State) -> Result<Record, StoreError> {
        state.seal(self.store, &self.seal, &*self.random)
    }
}

/// A thread of the writer, until it ends. Where it breaks, nobody waits for it: neither those whose orders are in the
/// queue nor the other thread, which waits for the disk.
struct Ending<'a>(&'a Turns);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.shared().end(Health::Failed);
            self.0.queue.abandon();
        }
    }
}

impl Turns {
    pub(super) fn new(
        (committer, anchor): (Committer, Anchors),
        queue: Arc<Queue>,
        lookout: Lookout,
    ) -> Self {
        let gathering = Gathering {
            state: committer.shared.state(),
            left: VecDeque::new(),
            long: VecDeque::new(),
            passed: 0,
        };
        Self {
            committer,
            disk: Mutex::new(anchor),
            queue,
            gathering: Mutex::new(gathering),
            under_way: ArcSwapOption::empty(),
            lookout,
        }
    }

    /// Takes turns until the queue is closed and empty, then syncs the anchor.
    pub(super) fn run(&self) {
        let _whatever_comes = Ending(self);
        while self.turn() {}
        // At worst the anchor lags, and the store is as durable as it was.
        self.disk().sync().unwrap_or_default();
    }

    fn shared(&self) -> &Shared {
        &self.committer.shared
    }

    /// Waits until the group before is durable, or has failed.
    fn disk(&self) -> MutexGuard<'_, Anchors> {
        self.disk.lock().unwrap_or_else(|poisoned| {
            self.shared().end(Health::Failed);
            PoisonError::into_inner(poisoned)
        })
    }

    /// Gathers a group and makes it durable, or does what is to be done between two. Answers whether there was
    /// anything.
    fn turn(&self) -> bool {
        let mut gathering = self.gathering.lock().unwrap_or_else(|poisoned| {
            // What the other thread was at is in doubt.
            self.shared().end(Health::Failed);
            PoisonError::into_inner(poisoned)
        });
        match gathering.next(&self.queue) {
            None => return false,
            Some(Order::Pause(work)) => {
                let _disk = self.disk();
                let _working = self.shared().at_work.begin();
                self.lookout.wake();
                work(&self.shared().state());
            }
            Some(Order::Commit(job)) => self.serve(gathering, job),
        }
        true
    }

    /// Commits what can be committed of a group, and answers everyone.
    fn serve(&self, mut gathering: MutexGuard<'_, Gathering>, first: Job) {
        let committer = &self.committer;
        let begun = self.shared().gathering.begin();
        self.lookout.wake();
        let mut waiters = Waiters::default();
        let mut group = Group::new(
            (&*committer.engine, self.under_way.load_full()),
            &committer.mac,
            gathering.state,
            &self.shared().rewraps,
        );
        let alone = first.long;
        waiters.join(&mut group, first);
        if !alone {
            gathering.gather(&mut group, &mut waiters, &self.queue);
        }
        let finished = (!waiters.accepted.is_empty()).then(|| self.sealed(group.finish()));
        let mut disk = self.disk();
        let working = self.shared().at_work.begin();
        // The group that this one is gathered upon may have failed.
        let ready = finished.map(|ready| self.shared().usable().and(ready));
        if let Some(Ok(ready)) = &ready {
            gathering.state = ready.state;
            self.under_way.store(Some(Arc::clone(&ready.changes)));
        }
        self.queue.writing(true);
        drop(begun);
        drop(gathering);
        let outcome = match ready {
            None => self
                .shared()
                .usable()
                .map(|()| self.shared().state().generation),
            Some(ready) => ready.and_then(|ready| self.write(&mut disk, &ready)),
        };
        self.under_way.store(None);
        drop(working);
        self.queue.writing(false);
        drop(disk);
        waiters.answer(&outcome);
    }

    /// A group with its state sealed.
    fn sealed(&self, (state, changes): Finished) -> Result<Ready, StoreError> {
        Ok(Ready {
            state,
            record: self.committer.sealed(&state)?,
            changes: Arc::new(changes),
        })
    }

    fn write(&self, anchor: &mut Anchors, ready: &Ready) -> Result<u64, StoreError> {
        let state = (&ready.state, &ready.record);
        let changes = &ready.changes.changes;
        let generation = self.committer.commit(anchor, state, changes)?;
        self.shared().rewraps.written(&ready.changes);
        Ok(generation)
    }
}

impl Gathering {
    /// What is to be done next; nothing once the queue is closed and empty. Parts of long work come after those
    /// that somebody waits for, also after those that come until the disk is free, but not after any number of them.
    fn next(&mut self, queue: &Queue) -> Option<Order> {
        loop {
            let (has_long, is_due) = (!self.long.is_empty(), self.passed >= GROUPS);
            let next = match self.left.pop_front_if(|_| !(has_long && is_due)) {
                None if !has_long => queue.first(),
                None if !is_due => queue.next(),
                next => next,
            };
            match next {
                Some(Order::Commit(job)) if job.long => self.long.push_back(job),
                None if has_long && !is_due && self.has_come(queue) => {}
                None => {
                    self.passed = 0;
                    return self.long.pop_front().map(Order::Commit);
                }
                next => {
                    self.passed = if has_long { self.passed + 1 } else { 0 };
                    return next;
                }
            }
        }
    }

    /// Whether something has come by the time that the disk is free.
    fn has_come(&mut self, queue: &Queue) -> bool {
        self.left = queue.more();
        !self.left.is_empty()
    }

    /// Lets commits join that have queued and, as long as the disk is not free, those that come. Then the writer
    /// gives way as long as more of them come: on an idle machine that takes no time, on a busy one each commit that
    /// joins saves a sync. What is part of long work is put aside.
    fn gather(&mut self, group: &mut Group<'_>, waiters: &mut Waiters, queue: &Queue) {
        let mut rounds = 0;
        while waiters.has_room() && rounds < ROUNDS {
            let mut orders = mem::take(&mut self.left);
            if orders.is_empty() {
                orders = queue.more();
            }
            if orders.is_empty() {
                break;
            }
            while let Some(order) = orders.pop_front() {
                match order {
                    Order::Commit(job) if job.long => self.long.push_back(job),
                    Order::Commit(job) if waiters.has_room() => waiters.join(group, job),
                    order => {
                        orders.push_front(order);
                        self.left = orders;
                        return;
                    }
                }
            }
            if !queue.is_writing() {
                rounds += 1;
                std::thread::yield_now();
            }
        }
    }
}
