//! Drafting a group: the journal's own record, outcomes, intents, a checkpoint, as one plaintext.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use super::checkpoint::Checkpoint;
use super::line::{Late, MAX_LINE, time_text, write_event, write_outcome};
use super::recovery::repaired;
use super::segment::PREFIX;
use super::shared::Asked;
use super::writer::Writer;
use super::{AuditError, Event, Gap, Head, export};
use crate::clock::Timestamp;

/// A group ends when its lines reach this many bytes.
const GROUP_BYTES: usize = 1 << 20;

/// A group that is about to be written. Its lines are in the writer's buffer.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) head: Head,
    pub(super) generation: u64,
    pub(super) signed: bool,
    pub(super) own: Option<Event>,
    pub(super) outcomes: VecDeque<Late>,
    pub(super) intents: Vec<(Asked, Head)>,
}

impl Writer {
    pub(super) fn draft(&mut self, sign: bool) -> Draft {
        if self.own.is_none()
            && let lost @ 1.. = self.shared.lost.swap(0, Ordering::Relaxed)
        {
            let gap = Gap {
                outcomes_lost: lost,
                ..Gap::default()
            };
            self.own = Some(repaired("outcomes_lost", gap));
        }
        let now = self.shared.clock.now();
        let time = time_text(now);
        self.plaintext.clear();
        self.plaintext.extend_from_slice(&self.head.hash);
        self.plaintext.extend_from_slice(&[0; 8]);
        let mut draft = Draft {
            head: self.head,
            generation: self.generation,
            signed: false,
            own: self.own.take(),
            outcomes: VecDeque::new(),
            intents: Vec::new(),
        };
        if let Some(event) = &draft.own {
            let seq = draft.head.seq.saturating_add(1);
            let start = self.plaintext.len();
            if write_event(&mut self.plaintext, seq, &time, event).is_some() {
                draft.head = after(draft.head, &self.plaintext, start);
            }
        }
        self.draft_outcomes(&mut draft, &time);
        self.draft_intents(&mut draft, &time);
        self.draft_checkpoint(&mut draft, now, sign);
        let generation = self.plaintext.get_mut(32..PREFIX);
        if let Some(generation) = generation {
            generation.copy_from_slice(&draft.generation.to_be_bytes());
        }
        draft
    }

    fn draft_outcomes(&mut self, draft: &mut Draft, time: &str) {
        while self.plaintext.len() < GROUP_BYTES {
            let Some(late) = self.work.outcomes.pop_front() else {
                break;
            };
            let seq = draft.head.seq.saturating_add(1);
            let start = self.plaintext.len();
            if write_outcome(&mut self.plaintext, seq, time, &late).is_some() {
                draft.head = after(draft.head, &self.plaintext, start);
            }
            draft.outcomes.push_back(late);
        }
    }

    fn draft_intents(&mut self, draft: &mut Draft, time: &str) {
        while self.plaintext.len() < GROUP_BYTES {
            let Some(asked) = self.work.intents.pop_front() else {
                break;
            };
            // Who has given up by now has told the caller that nothing happened.
            if asked.reply.is_unheard() {
                continue;
            }
            let seq = draft.head.seq.saturating_add(1);
            let start = self.plaintext.len();
            if write_event(&mut self.plaintext, seq, time, &asked.event).is_none() {
                let too_long = AuditError::TooLong { limit: MAX_LINE };
                asked.reply.answer(Err(too_long));
                continue;
            }
            draft.head = after(draft.head, &self.plaintext, start);
            draft.generation = draft.generation.max(asked.event.store_generation);
            draft.intents.push((asked, draft.head));
        }
    }

    fn draft_checkpoint(&mut self, draft: &mut Draft, now: Timestamp, sign: bool) {
        let options = &self.shared.options;
        let added = draft.head.seq.saturating_sub(self.head.seq);
        let uncovered = self.uncovered.saturating_add(added);
        let written = u64::try_from(self.plaintext.len()).unwrap_or(u64::MAX);
        let due = sign
            || !self.work.checkpoints.is_empty()
            || uncovered >= options.checkpoint_every
            || self.length.saturating_add(written) >= options.segment_bytes;
        if !due || uncovered == 0 {
            return;
        }
        let checkpoint = Checkpoint {
            store: self.shared.store,
            head: draft.head,
            time: now,
        };
        let keys = self.shared.keys();
        // Keys that do not sign are never in force.
        let Some(key) = keys.active().signs() else {
            return;
        };
        let note = checkpoint.sign(key);
        draft.signed = export::write_checkpoint(&mut self.plaintext, &note).is_some();
    }
}

/// The chain after the line that was appended at `start`, without its line break.
fn after(head: Head, lines: &[u8], start: usize) -> Head {
    let line = lines.get(start..).unwrap_or_default();
    head.after(line.strip_suffix(b"\n").unwrap_or(line))
}
