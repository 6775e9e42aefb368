//! When the journal could not be written: refuse, keep the outcomes, and try again until it can.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::disk::Identity;
use super::segment;
use super::writer::Writer;
use super::{Action, Actor, AuditError, Code, Event, Gap};

/// How many bytes are copied at once when a segment is put back.
const COPY: usize = 1 << 20;

impl Writer {
    /// While the journal cannot be written: nobody waits in vain, and outcomes wait in bounds.
    pub(super) fn refuse_the_rest(&mut self) {
        if !self.broken {
            return;
        }
        for asked in self.work.intents.drain(..) {
            self.gap.refused = self.gap.refused.saturating_add(1);
            asked.reply.answer(Err(AuditError::Unavailable));
        }
        let handovers = self.work.handovers.drain(..).map(|(_, reply)| reply);
        for reply in self.work.checkpoints.drain(..).chain(handovers) {
            drop(reply.try_send(Err(AuditError::Unavailable)));
        }
        let over = self
            .work
            .outcomes
            .len()
            .saturating_sub(self.shared.options.backlog);
        self.work.outcomes.truncate(self.shared.options.backlog);
        let over = u64::try_from(over).unwrap_or(u64::MAX);
        self.gap.outcomes_lost = self.gap.outcomes_lost.saturating_add(over);
    }

    /// Tries to write again, beginning with a record of what could not be written.
    pub(super) fn recover(&mut self) {
        let Ok(code) = self.reattach() else { return };
        let refused = self.shared.refused.swap(0, Ordering::Relaxed);
        let lost = self.shared.lost.swap(0, Ordering::Relaxed);
        self.gap.refused = self.gap.refused.saturating_add(refused);
        self.gap.outcomes_lost = self.gap.outcomes_lost.saturating_add(lost);
        self.own = Some(repaired(code, self.gap));
        if self.commit(true).is_ok() {
            self.gap = Gap::default();
            self.broken = false;
            self.shared.healthy.store(true, Ordering::Release);
            tracing::info!("the audit journal can be written again");
        }
    }

    /// Sees to it that the segment stands at its path and ends with its last durable frame.
    pub(super) fn reattach(&mut self) -> io::Result<&'static str> {
        if self.segment.file.metadata()?.len() < self.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // Asked first: a segment whose whole directory is away, or comes back at this moment, is not gone.
        std::fs::metadata(&self.shared.dir)?;
        if Identity::at(&self.segment.path)? == Some(self.identity) {
            self.cut_back()?;
            return Ok("write_failed");
        }
        // The name is gone or stands for something else, but the file is still open: put it back.
        let shared = Arc::clone(&self.shared);
        let (source, length) = (&self.segment.file, self.length);
        let file = segment::place(
            &shared.dir,
            &self.segment.path,
            shared.disk.as_ref(),
            |file| {
                let mut buffer = vec![0; COPY];
                let mut offset = 0;
                while offset < length {
                    let left = usize::try_from(length - offset)
                        .unwrap_or(usize::MAX)
                        .min(COPY);
                    let chunk = buffer.get_mut(..left).ok_or(io::ErrorKind::InvalidInput)?;
                    source.read_exact_at(chunk, offset)?;
                    shared.disk.write(file, chunk, offset)?;
                    offset += u64::try_from(left).unwrap_or(u64::MAX);
                }
                Ok(())
            },
        )?;
        self.identity = Identity::of(&file)?;
        self.segment.file = file;
        self.room = length;
        Ok("segment_restored")
    }
}

/// What the journal records about itself when it goes on after a failure.
pub(super) fn repaired(code: &'static str, gap: Gap) -> Event {
    let mut event = Event::new(Action::AuditRepaired, Actor::System).code(Code::from(code));
    event.gap = Some(gap);
    event
}
