//! Masking a stream, whatever its chunks.
//!
//! Every byte of every occurrence is masked, overlapping occurrences included, and the outcome does
//! not depend on how the stream is cut. Only a suffix that is the beginning of some spelling is
//! held back, so an event is handed on as soon as it is whole. A chunk with nothing in it and
//! nothing before it is handed on as it is, without a copy.

use std::fmt;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use zeroize::Zeroizing;

use super::anchors::Found;
use super::{Hits, Patterns};

/// What stands in place of each byte of a value: the length stays, so framing does too.
pub const MASK: u8 = b'*';

/// Upstream bytes that were searched, and masked where needed. Made only in this module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed(Bytes);

impl Scrubbed {
    /// The bytes, to be handed on.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl AsRef<[u8]> for Scrubbed {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The state of one stream of upstream bytes.
///
/// Holds back little more than half a kibibyte; of a text that wraps each letter into as many escapes
/// and zeros as are taken off, a hundred times as much.
pub struct Scrubber {
    patterns: Patterns,
    hits: Hits,
    /// The bytes held back, unmasked.
    carry: Zeroizing<Vec<u8>>,
    /// How many bytes of the carry belong to occurrences that began before it.
    masked: usize,
    /// How many bytes of the carry were handed on in a pause.
    told: usize,
}

impl Scrubber {
    /// A stream that counts for itself.
    #[must_use]
    pub fn new(patterns: &Patterns) -> Self {
        Self::counting(patterns, patterns.hits())
    }

    /// A stream that counts into `hits`, which may be shared with others.
    #[must_use]
    pub fn counting(patterns: &Patterns, hits: Hits) -> Self {
        Self {
            patterns: patterns.clone(),
            hits,
            carry: Zeroizing::default(),
            masked: 0,
            told: 0,
        }
    }

    /// Searches `chunk`; what is decided, if anything is.
    #[must_use]
    pub fn push(&mut self, chunk: Bytes) -> Option<Scrubbed> {
        self.advance(chunk, false)
    }

    /// What was held back, if anything was, because nothing may follow for long: a message is at its end. What
    /// follows is searched together with it, so that of an occurrence on both sides of the pause all is
    /// masked that was not handed on before.
    #[must_use]
    pub fn pause(&mut self) -> Option<Scrubbed> {
        if self.carry.len() <= self.told {
            return None;
        }
        let carry = Bytes::copy_from_slice(&self.carry);
        let mut masks = Masks::starting_with(self.masked);
        self.patterns.search(&carry, true, |found| {
            self.count(&found);
            masks.add(found.at);
        });
        let rest = masks.apply(carry).split_off(self.told);
        self.told = self.carry.len();
        Some(Scrubbed(rest))
    }

    /// Counts an occurrence, unless it was handed on whole, and counted, before a pause.
    fn count(&self, found: &Found) {
        if found.at.end > self.told {
            self.hits.count(found.value);
        }
    }

    /// Ends the stream; what was held back, if anything was.
    #[must_use]
    pub fn finish(mut self) -> Option<Scrubbed> {
        self.advance(Bytes::new(), true)
    }

    /// The counters so far.
    #[must_use]
    pub fn hits(&self) -> &Hits {
        &self.hits
    }

    /// How many bytes are held back.
    #[must_use]
    pub fn held(&self) -> usize {
        self.carry.len() - self.told
    }

    fn advance(&mut self, chunk: Bytes, last: bool) -> Option<Scrubbed> {
        let mut work = self.join(chunk);
        let mut masks = Masks::starting_with(self.masked);
        let held = self.patterns.search(&work, last, |found| {
            self.count(&found);
            masks.add(found.at);
        });
        let tail = work.split_off(held);
        self.carry.clear();
        self.carry.extend_from_slice(&tail);
        drop(tail);
        self.masked = masks.end.saturating_sub(held);
        let told = self.told.min(work.len());
        self.told -= told;
        (work.len() > told).then(|| Scrubbed(masks.apply(work).split_off(told)))
    }

    /// What was held back, and `chunk` after it.
    fn join(&self, chunk: Bytes) -> Bytes {
        if self.carry.is_empty() {
            return chunk;
        }
        let mut work = BytesMut::with_capacity(self.carry.len() + chunk.len());
        work.extend_from_slice(&self.carry);
        work.extend_from_slice(&chunk);
        work.freeze()
    }
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrubber(hidden)")
    }
}

/// Searches one whole text: a reason phrase, a frame, a body that is at hand. Returns it masked,
/// and how many occurrences there were.
#[must_use]
pub fn scrub_bytes(patterns: &Patterns, bytes: Bytes) -> (Scrubbed, u64) {
    let hits = patterns.hits();
    let scrubbed = scrub_counting(patterns, bytes, &hits);
    (scrubbed, hits.total())
}

/// Like [`scrub_bytes`], counting into `hits`.
#[must_use]
pub fn scrub_counting(patterns: &Patterns, bytes: Bytes, hits: &Hits) -> Scrubbed {
    let mut masks = Masks::default();
    patterns.search(&bytes, true, |found| {
        hits.count(found.value);
        masks.add(found.at);
    });
    Scrubbed(masks.apply(bytes))
}

/// Ranges to be masked, in order, merged where they touch.
#[derive(Default)]
pub(super) struct Masks {
    ranges: Vec<Range<usize>>,
    /// Where the last one ends.
    end: usize,
}

impl Masks {
    fn starting_with(masked: usize) -> Self {
        let mut masks = Self::default();
        if masked > 0 {
            masks.add(0..masked);
        }
        masks
    }

    /// Adds a range that begins no earlier than the one before it.
    pub(super) fn add(&mut self, range: Range<usize>) {
        self.end = self.end.max(range.end);
        match self.ranges.last_mut() {
            Some(before) if range.start <= before.end => before.end = self.end,
            _ => self.ranges.push(range),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// `bytes` with the ranges masked, as far as they lie in it; copied only if there are any and
    /// someone else still holds the bytes.
    pub(super) fn apply(self, bytes: Bytes) -> Bytes {
        if self.is_empty() {
            return bytes;
        }
        let mut owned = bytes
            .try_into_mut()
            .unwrap_or_else(|shared| BytesMut::from(shared.as_ref()));
        self.fill(&mut owned);
        owned.freeze()
    }

    /// Masks the ranges in place, as far as they lie in `bytes`.
    pub(super) fn fill(self, bytes: &mut [u8]) {
        let len = bytes.len();
        for range in self.ranges {
            let range = range.start.min(len)..range.end.min(len);
            if let Some(part) = bytes.get_mut(range) {
                part.fill(MASK);
            }
        }
    }
}
