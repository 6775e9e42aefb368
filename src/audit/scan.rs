//! Reading the last segment at start: verify it, and find a write that a crash left unfinished. Nothing is
//! changed until [`Found::repair`].

use std::path::Path;

use super::checker::Checker;
use super::segment::{FRAME_HEADER, MAX_BOX, Seal, Segment};
use super::{AuditError, Head, JournalKeys};
use crate::failpoint::{Failpoint, reached};

/// The last segment, ready to be written on.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) segment: Segment,
    /// The offset behind its last whole frame.
    pub(super) length: u64,
    pub(super) head: Head,
    pub(super) generation: u64,
    /// Records that no checkpoint of this segment covers.
    pub(super) uncovered: u64,
    /// The offset behind the zeros that stand ready behind it.
    pub(super) room: u64,
    /// How many bytes of an unfinished write stand behind it, to be cut off.
    pub(super) cut: Option<u64>,
}

impl Found {
    /// A segment without frames.
    pub(super) fn empty(segment: Segment) -> Self {
        Self {
            length: segment.start,
            head: segment.before.head,
            generation: segment.before.generation,
            uncovered: 0,
            room: segment.start,
            cut: None,
            segment,
        }
    }

    /// Cuts off the unfinished write, if there is one.
    pub(super) fn repair(&self) -> Result<(), AuditError> {
        let Some(bytes) = self.cut else {
            return Ok(());
        };
        let cutting = AuditError::io("repair an audit segment");
        let file = &self.segment.file;
        file.set_len(self.length).map_err(&cutting)?;
        reached(Failpoint::RepairCut);
        file.sync_all().map_err(&cutting)?;
        reached(Failpoint::RepairDone);
        let seq = self.head.seq.saturating_add(1);
        tracing::warn!(seq, bytes, "cut off an unfinished audit write");
        Ok(())
    }
}

/// The keys, with those in force that the last segment is under.
pub(super) fn in_force(keys: &JournalKeys, last: &Segment) -> Result<JournalKeys, AuditError> {
    keys.with_active(last.version).ok_or(AuditError::OtherKey {
        segment: last.first,
    })
}

/// Opens and verifies the segment whose first record is `first`, and judges its tail.
pub(super) fn last_segment(dir: &Path, first: u64, seal: Seal<'_>) -> Result<Found, AuditError> {
    judged(Segment::open(dir, first, seal)?, seal)
}

/// Verifies an open segment, and judges its tail.
pub(super) fn judged(segment: Segment, seal: Seal<'_>) -> Result<Found, AuditError> {
    let mut found = Found::empty(segment);
    let look = AuditError::io("look at an audit segment");
    let size = found.segment.file.metadata().map_err(&look)?.len();
    read_frames(&mut found, size, seal)?;
    judge_tail(&mut found, size)?;
    Ok(found)
}

/// Reads whole, sound frames, and stops before the first that is not.
fn read_frames(found: &mut Found, size: u64, seal: Seal<'_>) -> Result<(), AuditError> {
    let other = AuditError::OtherKey {
        segment: found.segment.first,
    };
    let signer = seal.keys.version(found.segment.version).ok_or(other)?;
    let public = signer.public();
    let mut checker = Checker::new(public, seal.store, found.head);
    while let Some(at) = found.segment.frame_at(found.length, size) {
        let Some(frame) = found.segment.read(at, seal) else {
            break;
        };
        let damaged = AuditError::Damaged {
            segment: found.segment.first,
            seq: at.first,
        };
        // It opens, so it is no torn write: whatever is wrong with it was done on purpose.
        if frame.before.head != checker.head() || frame.before.generation < found.generation {
            return Err(damaged);
        }
        for line in frame.lines() {
            checker.line(line).map_err(|fault| AuditError::Damaged {
                segment: found.segment.first,
                seq: fault.first,
            })?;
        }
        found.generation = frame.before.generation;
        found.length = at.end();
    }
    let head = checker.head();
    let covered = checker
        .covered()
        .map_or(found.head.seq, |checkpoint| checkpoint.head.seq);
    found.uncovered = head.seq.saturating_sub(covered);
    found.head = head;
    Ok(())
}

/// A tail of zeros is room that was made ahead. One that does not open is an unfinished write when it
/// is no longer than one, no other frame comes after it, and whatever is missing from it is whole
/// sectors. Anything else is damage, and damage is never cut away.
fn judge_tail(found: &mut Found, size: u64) -> Result<(), AuditError> {
    let segment = &found.segment;
    let looking = AuditError::io("look at an audit segment");
    let end = segment.end_of_bytes(found.length, size);
    let end = end.ok_or_else(|| looking(std::io::ErrorKind::UnexpectedEof.into()))?;
    if end == found.length {
        found.room = size;
        return Ok(());
    }
    let seq = found.head.seq.saturating_add(1);
    let damaged = AuditError::Damaged {
        segment: segment.first,
        seq,
    };
    let header = u64::try_from(FRAME_HEADER).unwrap_or(u64::MAX);
    let tail = end.saturating_sub(found.length);
    let longest = u64::try_from(MAX_BOX)
        .unwrap_or(u64::MAX)
        .saturating_add(header);
    if tail > longest
        || segment.is_headless_at(found.length, end) != Some(false)
        || segment.has_box_in(found.length + header + 1, end) != Some(false)
    {
        return Err(damaged);
    }
    found.room = found.length;
    found.cut = Some(tail);
    Ok(())
}
