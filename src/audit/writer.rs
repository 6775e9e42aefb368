//! The one thread that writes: it takes whatever has queued, seals it into one frame, syncs once,
//! and answers everybody of the group.
//!
//! A group is written or it is not. When it is not, the file is cut back to its last durable frame,
//! everybody is refused, no number is used up, and the journal refuses from then on. The writer
//! tries again on its own; the first record after that names the gap.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::disk::Identity;
use super::draft::Draft;
use super::keys::handover;
use super::recovery::repaired;
use super::room;
use super::scan::Found;
use super::segment::{Before, PREFIX, Seal, Segment};
use super::shared::{Published, Shared, Waiting, Work};
use super::{AuditError, Event, Gap, Head, Journal, JournalKey, Recorded};
use crate::failpoint::{Failpoint, reached};
use crate::waiting;

/// The writer's state.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) segment: Segment,
    pub(super) identity: Identity,
    /// The segment's durable length.
    pub(super) length: u64,
    /// The offset behind the zeros that stand ready behind it.
    pub(super) room: u64,
    pub(super) head: Head,
    pub(super) generation: u64,
    /// Records that no checkpoint covers yet.
    pub(super) uncovered: u64,
    pub(super) signed_at: Instant,
    pub(super) work: Work,
    /// What the journal itself has to record before anything else.
    pub(super) own: Option<Event>,
    pub(super) broken: bool,
    pub(super) gap: Gap,
    pub(super) plaintext: Vec<u8>,
    /// How long the last write and sync took.
    synced: Duration,
    /// Held for as long as the writer lives, so that no other process writes.
    _lock: File,
}

impl Journal {
    /// For how long the writer has been at the group that it is at; no time between two of them.
    #[must_use]
    pub fn busy_for(&self) -> Duration {
        self.shared().at_work.time()
    }
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, found: Found, lock: File) -> Result<Self, AuditError> {
        let identity = Identity::of(&found.segment.file)
            .map_err(AuditError::io("look at an audit segment"))?;
        let own = found.cut.map(|bytes| {
            repaired(
                "torn_tail",
                Gap {
                    bytes,
                    ..Gap::default()
                },
            )
        });
        Ok(Self {
            shared,
            segment: found.segment,
            identity,
            length: found.length,
            room: found.room,
            head: found.head,
            generation: found.generation,
            uncovered: found.uncovered,
            signed_at: Instant::now(),
            work: Work::default(),
            own,
            broken: false,
            gap: Gap::default(),
            plaintext: Vec::new(),
            synced: Duration::ZERO,
            _lock: lock,
        })
    }

    /// Writes the start checkpoint, and the record of a repair if there was one.
    pub(super) fn begin(&mut self) -> Result<(), AuditError> {
        // A kill left nothing of the segment but its beginning: the key that it is under may have signed nothing yet.
        if self.length == self.segment.start && self.head.seq > 0 {
            self.uncovered = self.uncovered.max(1);
        }
        self.commit(true)
    }

    /// Serves until the journal is closed.
    pub(super) fn run(mut self) {
        // Whether intents were written whose outcomes are to come.
        let mut owed = false;
        loop {
            let patience = self.patience();
            let closing = Arc::clone(&self.shared).gather(&mut self.work, patience, owed);
            owed = !self.broken && !self.work.intents.is_empty();
            if self.broken {
                self.recover();
            }
            while !self.broken && self.has_something_to_do(closing) {
                let done = match self.work.handovers.pop_front() {
                    Some((next, reply)) => self.hand_over(next, &reply),
                    None => self.commit(closing || self.is_checkpoint_due()),
                };
                if let Err(error) = done {
                    tracing::error!(%error, "the audit journal cannot be written");
                }
            }
            self.refuse_the_rest();
            self.work.answer_calls();
            if closing {
                self.trim_at_the_end();
                self.shared.healthy.store(false, Ordering::Release);
                return;
            }
        }
    }

    fn patience(&self) -> Option<Duration> {
        let options = &self.shared.options;
        if self.broken {
            return Some(options.retry);
        }
        let left = options
            .checkpoint_after
            .saturating_sub(self.signed_at.elapsed());
        (self.uncovered > 0).then_some(left)
    }

    fn has_something_to_do(&self, closing: bool) -> bool {
        !self.work.is_empty() || (self.uncovered > 0 && (closing || self.is_checkpoint_due()))
    }

    fn is_checkpoint_due(&self) -> bool {
        self.signed_at.elapsed() >= self.shared.options.checkpoint_after
    }

    /// Writes one group: the journal's own record, outcomes, intents, a checkpoint.
    pub(super) fn commit(&mut self, sign: bool) -> Result<(), AuditError> {
        let shared = Arc::clone(&self.shared);
        let _working = shared.at_work.begin();
        let made = self.rotate_when_due().and_then(|()| {
            let draft = self.draft(sign);
            match self.write() {
                Ok(length) => {
                    self.length = length;
                    Ok(draft)
                }
                Err(error) => {
                    self.take_back(draft);
                    Err(error)
                }
            }
        });
        match made {
            Ok(draft) => {
                self.settle(draft);
                Ok(())
            }
            Err(error) => {
                self.shared.healthy.store(false, Ordering::Release);
                self.broken = true;
                Err(error)
            }
        }
    }

    /// Has the next keys take over: the ones in force say so, and sign that; then what is written is under
    /// the next ones.
    fn hand_over(&mut self, next: JournalKey, reply: &Waiting) -> Result<(), AuditError> {
        let mut done = Ok(());
        // It may have been announced before, and its segment not have been begun.
        if self.shared.keys().active().version() != next.version() {
            self.own = Some(handover(&next));
            done = self.commit(true);
            if done.is_ok() {
                reached(Failpoint::AuditAnnounced);
                self.shared.follow_with(next);
            }
        }
        if done.is_ok() {
            // No checkpoint of theirs covers anything yet.
            self.uncovered = self.uncovered.max(1);
            done = self.commit(true);
        }
        // Who no longer waits does not need to know.
        drop(reply.try_send(match &done {
            Ok(()) => Ok(self.head),
            Err(_) => Err(AuditError::Unavailable),
        }));
        done
    }

    /// Begins another segment when this one is full, or the keys in force are not those that it is under.
    fn rotate_when_due(&mut self) -> Result<(), AuditError> {
        let shared = Arc::clone(&self.shared);
        let keys = shared.keys();
        let full = self.length >= shared.options.segment_bytes;
        let turned = keys.active().version() != self.segment.version;
        if !(full || turned) || self.head == self.segment.before.head {
            return Ok(());
        }
        self.trim()
            .map_err(AuditError::io("finish an audit segment"))?;
        let before = Before {
            head: self.head,
            generation: self.generation,
        };
        let (random, disk) = (shared.random.as_ref(), shared.disk.as_ref());
        let (store, keys) = (shared.store, &keys);
        let seal = Seal { store, keys };
        let segment = Segment::create(&shared.dir, seal, before, random, disk)?;
        if turned {
            reached(Failpoint::AuditBegun);
        }
        self.identity =
            Identity::of(&segment.file).map_err(AuditError::io("look at an audit segment"))?;
        (self.length, self.room) = (segment.start, segment.start);
        self.segment = segment;
        Ok(())
    }

    /// Makes the buffer durable as a frame, in the file that still stands at its path. The
    /// segment's new length.
    fn write(&mut self) -> Result<u64, AuditError> {
        if self.plaintext.len() <= PREFIX {
            return Ok(self.length);
        }
        let shared = &self.shared;
        let first = self.head.seq.saturating_add(1);
        let (store, keys) = (shared.store, &shared.keys());
        let seal = Seal { store, keys };
        let frame = seal.frame(first, &self.plaintext, shared.random.as_ref())?;
        let doing = AuditError::io("write the audit journal");
        let file = &self.segment.file;
        let end = self
            .length
            .saturating_add(u64::try_from(frame.len()).unwrap_or(u64::MAX));
        let started = Instant::now();
        shared
            .disk
            .write(file, &frame, self.length)
            .map_err(&doing)?;
        self.room = room::made(shared, file, end, self.room);
        shared.disk.sync(file).map_err(&doing)?;
        self.synced = started.elapsed();
        // A record in a file that nobody can find any more is not a record.
        if Identity::at(&self.segment.path).map_err(&doing)? != Some(self.identity) {
            return Err(doing(io::ErrorKind::NotFound.into()));
        }
        Ok(end)
    }

    /// The group is durable: everybody may go on.
    fn settle(&mut self, draft: Draft) {
        let added = draft.head.seq.saturating_sub(self.head.seq);
        if let Some(probe) = self.shared.probe.get() {
            probe.audit_synced(added, self.synced);
        }
        self.uncovered = if draft.signed {
            0
        } else {
            self.uncovered.saturating_add(added)
        };
        if draft.signed {
            self.signed_at = Instant::now();
        }
        self.head = draft.head;
        self.generation = draft.generation;
        self.shared.publish(Published {
            head: self.head,
            generation: self.generation,
            segment: self.segment.first,
            length: self.length,
            version: self.segment.version,
        });
        // A caller that has gone drops the proof, which records an unknown outcome.
        let answers = draft.intents.into_iter().map(|(asked, head)| {
            let recorded = Recorded::new(Arc::clone(&self.shared), head, &asked.event);
            (asked.reply, Ok(recorded))
        });
        waiting::answer_all(answers.collect());
        if self.uncovered == 0 {
            for reply in self.work.checkpoints.drain(..) {
                // Who no longer waits does not need to know.
                drop(reply.try_send(Ok(self.head)));
            }
        }
    }

    /// The group is not durable: cut off what may have been written, refuse, keep the outcomes.
    fn take_back(&mut self, draft: Draft) {
        if let Some(probe) = self.shared.probe.get() {
            probe.audit_failed();
        }
        // Before the first refusal, so that whoever hears it finds the journal unhealthy.
        self.shared.healthy.store(false, Ordering::Release);
        if let Err(error) = self.cut_back() {
            tracing::warn!(%error, "cannot cut back the audit journal yet");
        }
        self.own = draft.own;
        for (asked, _) in draft.intents {
            self.gap.refused = self.gap.refused.saturating_add(1);
            asked.reply.answer(Err(AuditError::Unavailable));
        }
        let mut outcomes = draft.outcomes;
        outcomes.append(&mut self.work.outcomes);
        self.work.outcomes = outcomes;
    }
}
