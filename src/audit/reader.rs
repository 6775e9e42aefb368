//! Reading what is durable: containment, export and verification of the live segments.

use std::io::Write;
use std::sync::Arc;

use super::checker::{Checker, Fault, Problem};
use super::export;
use super::line::Start;
use super::segment::{self, Frame, FrameAt, Seal, Segment};
use super::shared::{Published, Shared};
use super::{AuditError, Head, JournalKey, JournalKeys, VerifyReport};
use crate::crypto::PublicKey;

/// The journal as it stood when the reading began.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    shared: &'a Shared,
    keys: Arc<JournalKeys>,
    pub(super) end: Published,
    segments: Vec<u64>,
}

/// A segment and its frames.
#[derive(Debug)]
pub(super) struct Indexed {
    pub(super) segment: Segment,
    pub(super) frames: Vec<FrameAt>,
    /// Whether the frames reach to the end of the segment.
    whole: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(shared: &'a Shared) -> Result<Self, AuditError> {
        let end = shared.published();
        let listing = AuditError::io("list the audit segments");
        let mut segments = segment::list(&shared.dir).map_err(listing)?;
        segments.retain(|first| *first <= end.segment);
        Ok(Self {
            shared,
            keys: shared.keys(),
            end,
            segments,
        })
    }

    fn seal(&self) -> Seal<'_> {
        Seal {
            store: self.shared.store,
            keys: &self.keys,
        }
    }

    /// The segments' first records, oldest first.
    pub(super) fn segments(&self) -> &[u64] {
        &self.segments
    }

    pub(super) fn index(&self, first: u64) -> Result<Indexed, AuditError> {
        let segment = Segment::open(&self.shared.dir, first, self.seal())?;
        let looking = AuditError::io("look at an audit segment");
        let until = if first == self.end.segment {
            self.end.length
        } else {
            segment.file.metadata().map_err(looking)?.len()
        };
        let (frames, reached) = segment.index(until);
        Ok(Indexed {
            segment,
            frames,
            whole: reached == until,
        })
    }

    pub(super) fn frame(&self, indexed: &Indexed, at: FrameAt) -> Result<Frame, AuditError> {
        let frame = indexed.segment.read(at, self.seal());
        frame.ok_or(AuditError::Damaged {
            segment: indexed.segment.first,
            seq: at.first,
        })
    }

    /// Whether `head` is a position of this journal.
    pub(super) fn contains(&self, head: &Head) -> Result<bool, AuditError> {
        if head.seq == 0 || head.seq >= self.end.head.seq {
            return Ok(*head == Head::GENESIS || *head == self.end.head);
        }
        let Some(first) = self.segments.iter().rfind(|first| **first <= head.seq) else {
            return Ok(false);
        };
        let indexed = self.index(*first)?;
        let Some(at) = indexed.frames.iter().rfind(|at| at.first <= head.seq) else {
            return Ok(false);
        };
        let frame = self.frame(&indexed, *at)?;
        let mut position = frame.before.head;
        for line in frame.lines().filter(|line| Start::of(line).is_some()) {
            position = position.after(line);
            if position.seq == head.seq {
                return Ok(position == *head);
            }
        }
        Ok(false)
    }

    /// Writes an export of all records from `since` on. The last position that was written.
    pub(super) fn export(&self, since: u64, out: &mut dyn Write) -> Result<Head, AuditError> {
        let since = since.clamp(1, self.end.head.seq.saturating_add(1));
        let writing = AuditError::io("write the export");
        let mut header_written = false;
        let mut buffer = Vec::new();
        let mut position = Head::GENESIS;
        let begin = self
            .segments
            .iter()
            .rposition(|first| *first <= since)
            .unwrap_or(0);
        for first in self.segments.iter().skip(begin) {
            let indexed = self.index(*first)?;
            let version = indexed.segment.version;
            let start = indexed
                .frames
                .iter()
                .rposition(|at| at.first <= since)
                .unwrap_or(0);
            for at in indexed.frames.iter().skip(start) {
                let frame = self.frame(&indexed, *at)?;
                buffer.clear();
                position = frame.before.head;
                for line in frame.lines() {
                    let is_record = Start::of(line).is_some();
                    if !header_written && position.seq.saturating_add(1) == since {
                        header_written = true;
                        self.push_header(&mut buffer, position, version)?;
                    }
                    if is_record {
                        position = position.after(line);
                    }
                    if !header_written {
                        continue;
                    }
                    if is_record {
                        export::write_record(&mut buffer, &position, line);
                    } else {
                        buffer.extend_from_slice(line);
                        buffer.push(b'\n');
                    }
                }
                out.write_all(&buffer).map_err(&writing)?;
            }
        }
        if !header_written {
            buffer.clear();
            self.push_header(&mut buffer, self.end.head, self.end.version)?;
            out.write_all(&buffer).map_err(&writing)?;
        }
        Ok(position)
    }

    /// The generation that the segment is under whose first record this is.
    fn version_of(&self, first: u64) -> Result<u32, AuditError> {
        Ok(Segment::open(&self.shared.dir, first, self.seal())?.version)
    }

    /// Who signs in the segments of the generation `version`.
    fn signer_of(&self, version: u32) -> PublicKey {
        let found = self.keys.version(version);
        found.unwrap_or_else(|| self.keys.active()).public()
    }

    /// The generation whose key vouches for the chain: that of the last segment. A kill may have left nothing of
    /// that one but its beginning, so that its key has signed nothing yet; then it is the one before, for as long as
    /// that still signs. One that signs no more has handed over, and what its successor signed was cut off. Nobody
    /// can rewrite what is before the beginning, which was sealed with the hash of all that.
    fn vouching(&self) -> u32 {
        let last = self.end.version;
        let [.., before, first] = *self.segments else {
            return last;
        };
        // One that does not open is found in its turn.
        let opened = |first| Segment::open(&self.shared.dir, first, self.seal()).ok();
        let is_begun = opened(first).is_some_and(|begun| begun.start == self.end.length);
        let before = opened(before).filter(|_| is_begun);
        let key = before.and_then(|before| self.keys.version(before.version));
        let signs = key.filter(|key| key.signs().is_some());
        signs.map_or(last, JournalKey::version)
    }

    fn push_header(
        &self,
        buffer: &mut Vec<u8>,
        from: Head,
        version: u32,
    ) -> Result<(), AuditError> {
        let public = self.signer_of(version);
        let header = export::header(self.shared.store, from, &public);
        buffer.extend_from_slice(&header.ok_or(AuditError::Unavailable)?);
        Ok(())
    }

    /// Follows the chain through all segments.
    pub(super) fn verify(&self, known: Option<Head>) -> Result<VerifyReport, AuditError> {
        // Keys may take over meanwhile: those count that the last segment of this moment is under. A segment that
        // does not open is found in its turn.
        let signs = |first| match self.version_of(first) {
            Ok(version) => self.signer_of(version),
            Err(_) => self.keys.active().public(),
        };
        let public = self.signer_of(self.vouching());
        let checker = Checker::new(public, self.shared.store, Head::GENESIS).expecting(known);
        // Who signed first is not asked: the keys in force vouch for all before them.
        let signer = self.segments.first().map_or(public, |first| signs(*first));
        let mut checker = checker.beginning_with(signer);
        for first in &self.segments {
            if let Some(fault) = self.verify_segment(&mut checker, *first)? {
                return Ok(checker.end(Some(fault), true));
            }
        }
        let cut = (checker.head() != self.end.head).then(|| Fault {
            last: self.end.head.seq.max(checker.head().seq),
            ..checker.fault(Problem::Known)
        });
        Ok(checker.end(cut, true))
    }

    fn verify_segment(
        &self,
        checker: &mut Checker,
        first: u64,
    ) -> Result<Option<Fault>, AuditError> {
        let expected = checker.head();
        if first != expected.seq.saturating_add(1) {
            return Ok(Some(checker.fault(Problem::Sequence { found: first })));
        }
        let indexed = match self.index(first) {
            Ok(indexed) => indexed,
            Err(AuditError::Io { doing, kind }) => return Err(AuditError::Io { doing, kind }),
            Err(_) => return Ok(Some(checker.fault(Problem::Frame))),
        };
        if indexed.segment.before.head != expected {
            return Ok(Some(checker.fault(Problem::Frame)));
        }
        for at in &indexed.frames {
            let frame = indexed.segment.read(*at, self.seal());
            let Some(frame) = frame.filter(|frame| frame.before.head == checker.head()) else {
                return Ok(Some(checker.fault(Problem::Frame)));
            };
            for line in frame.lines() {
                if let Err(fault) = checker.line(line) {
                    return Ok(Some(fault));
                }
            }
        }
        Ok((!indexed.whole).then(|| checker.fault(Problem::Frame)))
    }
}
