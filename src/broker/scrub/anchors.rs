//! The search itself: find an anchor, then compare what follows it.

use std::collections::BTreeMap;
use std::ops::Range;

use aho_corasick::packed::{self, Searcher};
use aho_corasick::{AhoCorasick, Input};
use zeroize::Zeroizing;

use super::ScrubError;
use super::groups::{Group, Verdict};
use super::patterns::{MIN_VALUE_BYTES, Pattern};

/// How many bytes of each spelling the vector searcher knows: all of the shortest.
pub(super) const ANCHOR: usize = MIN_VALUE_BYTES;

/// How many anchors one vector searcher gets. With more of them it spends its time on false
/// candidates: two passes with 64 each are several times faster than one with 128.
const PER_SEARCHER: usize = 64;

/// With more anchors than this many searchers take, as a value of tens of kibibytes has, one pass of an
/// automaton is faster than all of theirs.
const MOST_SEARCHERS: usize = 12;

/// Every pattern, found by its anchor.
pub(super) struct Anchors {
    finder: Finder,
    /// In ascending order, to tell whether some bytes begin one.
    sorted: Zeroizing<Vec<[u8; ANCHOR]>>,
    /// Whether an anchor begins with the byte.
    begins: Box<[bool; 256]>,
    /// For each of `sorted`, the patterns that begin with it.
    groups: Vec<Group>,
    patterns: Vec<Pattern>,
}

enum Finder {
    /// One for each [`PER_SEARCHER`] anchors, none when there is nothing to find.
    Packed(Vec<Searcher>),
    /// For a great many, and for processors without the vector instructions.
    Automaton(Box<AhoCorasick>),
}

/// One occurrence of a pattern.
pub(super) struct Found {
    pub(super) at: Range<usize>,
    pub(super) value: usize,
}

impl Anchors {
    /// # Errors
    /// [`ScrubError::TooMuch`] when the automaton's states do not suffice.
    pub(super) fn build(mut patterns: Vec<Pattern>) -> Result<Self, ScrubError> {
        patterns.sort_by_key(|pattern| std::cmp::Reverse(pattern.bytes.len()));
        let mut by_anchor: BTreeMap<[u8; ANCHOR], Vec<usize>> = BTreeMap::new();
        for (index, pattern) in patterns.iter().enumerate() {
            for anchor in pattern.anchors() {
                by_anchor.entry(anchor).or_default().push(index);
            }
        }
        for pattern in patterns.iter_mut().filter(|pattern| pattern.loose) {
            pattern.bytes.make_ascii_lowercase();
        }
        let groups = by_anchor.into_iter();
        let groups = groups.map(|(anchor, numbers)| (anchor, Group::of(&patterns, numbers)));
        let (sorted, groups): (Vec<_>, _) = groups.unzip();
        let sorted = Zeroizing::new(sorted);
        let mut begins = Box::new([false; 256]);
        for anchor in sorted.iter() {
            if let Some(slot) = begins.get_mut(usize::from(anchor[0])) {
                *slot = true;
            }
        }
        Ok(Self {
            finder: Finder::build(&sorted)?,
            sorted,
            begins,
            groups,
            patterns,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// How many patterns there are.
    pub(super) const fn count(&self) -> usize {
        self.patterns.len()
    }

    /// How much memory it takes, in bytes, roughly.
    pub(super) fn size(&self) -> usize {
        let spelled: usize = self.patterns.iter().map(|one| one.bytes.len()).sum();
        spelled
            + self.patterns.len() * size_of::<Pattern>()
            + self.sorted.len() * ANCHOR
            + self.groups.iter().map(Group::size).sum::<usize>()
            + self.finder.size()
    }

    /// Reports every occurrence that is decided, in order of its beginning, overlapping ones too;
    /// of those that begin at one place only the longest. Returns where the bytes begin that more
    /// input could turn into an occurrence, or the end of `hay` when `last` or when there are none.
    pub(super) fn scan(&self, hay: &[u8], last: bool, mut report: impl FnMut(Found)) -> usize {
        for (start, anchor) in self.finder.candidates(hay) {
            let rest = hay.get(start..).unwrap_or_default();
            let group = self.groups.get(anchor);
            match group.map(|group| group.judge(&self.patterns, rest, last)) {
                Some(Verdict::Open) => return start,
                Some(Verdict::Found(number)) => report(self.found(number, start)),
                Some(Verdict::Nothing) | None => {}
            }
        }
        if last || self.is_empty() {
            return hay.len();
        }
        let tail = hay.len().saturating_sub(ANCHOR - 1);
        (tail..hay.len())
            .find(|&start| self.begins_anchor(hay.get(start..).unwrap_or_default()))
            .unwrap_or(hay.len())
    }

    fn found(&self, number: usize, start: usize) -> Found {
        let pattern = self.patterns.get(number);
        let (len, value) = pattern.map_or((0, 0), |one| (one.bytes.len(), one.value));
        let at = start..start + len;
        Found { at, value }
    }

    fn begins_anchor(&self, tail: &[u8]) -> bool {
        let Some(first) = tail.first() else {
            return false;
        };
        if !self.begins.get(usize::from(*first)).is_some_and(|b| *b) {
            return false;
        }
        let at = self
            .sorted
            .partition_point(|anchor| anchor.as_slice() < tail);
        self.sorted
            .get(at)
            .is_some_and(|anchor| anchor.starts_with(tail))
    }
}

impl Finder {
    fn build(anchors: &[[u8; ANCHOR]]) -> Result<Self, ScrubError> {
        let packed = |some: &[[u8; ANCHOR]]| {
            let builder = packed::Config::new().builder();
            builder.clone().extend(some).build()
        };
        if anchors.len() <= MOST_SEARCHERS * PER_SEARCHER
            && let Some(searchers) = anchors.chunks(PER_SEARCHER).map(packed).collect()
        {
            return Ok(Self::Packed(searchers));
        }
        let automaton = AhoCorasick::new(anchors).map_err(|_| ScrubError::TooMuch)?;
        Ok(Self::Automaton(Box::new(automaton)))
    }

    fn size(&self) -> usize {
        match self {
            Self::Packed(searchers) => searchers.iter().map(Searcher::memory_usage).sum(),
            Self::Automaton(automaton) => automaton.memory_usage(),
        }
    }

    /// Every anchor in `hay`, in order of its beginning.
    fn candidates<'a>(&'a self, hay: &'a [u8]) -> Candidates<'a> {
        let passes = match self {
            Self::Packed(searchers) => searchers.len(),
            Self::Automaton(_) => 1,
        };
        let mut candidates = Candidates {
            finder: self,
            hay,
            ahead: Vec::new(),
        };
        // Most chunks have no candidate in any pass: then there is nothing to remember.
        for pass in 0..passes {
            if let Some((start, anchor)) = self.find(pass, hay, 0) {
                candidates.ahead.push((start, pass, anchor));
            }
        }
        candidates
    }

    /// The first anchor that one of the passes finds in `hay`, beginning at `from` or later: its
    /// beginning and its number.
    fn find(&self, pass: usize, hay: &[u8], from: usize) -> Option<(usize, usize)> {
        let found = match self {
            Self::Packed(searchers) => searchers.get(pass)?.find_in(hay, (from..hay.len()).into()),
            Self::Automaton(automaton) => automaton.find(Input::new(hay).range(from..)),
        };
        found.map(|found| {
            (
                found.start(),
                pass * PER_SEARCHER + found.pattern().as_usize(),
            )
        })
    }
}

/// The anchors that stand in some bytes, merged from all passes over them.
struct Candidates<'a> {
    finder: &'a Finder,
    hay: &'a [u8],
    /// For each pass that is not done: the beginning of its next anchor, the pass, the anchor.
    ahead: Vec<(usize, usize, usize)>,
}

impl Iterator for Candidates<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        let nearest = self
            .ahead
            .iter()
            .enumerate()
            .min_by_key(|(_, next)| **next)?
            .0;
        let (start, pass, anchor) = *self.ahead.get(nearest)?;
        match self.finder.find(pass, self.hay, start + 1) {
            Some((next, anchor)) => {
                if let Some(slot) = self.ahead.get_mut(nearest) {
                    *slot = (next, pass, anchor);
                }
            }
            None => {
                self.ahead.swap_remove(nearest);
            }
        }
        Some((start, anchor))
    }
}

#[cfg(test)]
mod tests {
    use aho_corasick::AhoCorasick;
    use proptest::prelude::*;

    use super::{ANCHOR, Finder};

    proptest! {
        #[test]
        fn both_finders_see_every_anchor_overlapping_ones_too(
            anchors in prop::collection::btree_set("[abc]{6}", 1..150),
            text in "[abc]{0,400}",
        ) {
            let anchors: Vec<[u8; ANCHOR]> = anchors
                .iter()
                .map(|anchor| *anchor.as_bytes().first_chunk().unwrap())
                .collect();
            let text = text.as_bytes();
            let slow: Vec<(usize, usize)> = text
                .windows(ANCHOR)
                .enumerate()
                .filter_map(|(at, here)| Some((at, anchors.iter().position(|a| a == here)?)))
                .collect();
            let packed = Finder::build(&anchors).unwrap();
            prop_assert_eq!(&packed.candidates(text).collect::<Vec<_>>(), &slow);
            let automaton = Finder::Automaton(Box::new(AhoCorasick::new(&anchors).unwrap()));
            prop_assert_eq!(&automaton.candidates(text).collect::<Vec<_>>(), &slow);
        }
    }
}
