//! The patterns that begin alike, and which of them stands at a place.
//!
//! Who chooses values may have thousands of their pieces begin with the same six bytes, and an upstream may
//! answer with nothing but those. So the patterns of one anchor are not compared one after another: they
//! are in order, and the place of what is found is looked up among them.

use std::cmp::Reverse;

use zeroize::Zeroizing;

use super::patterns::{LONGEST, Pattern};

/// The patterns of one anchor.
#[derive(Default)]
pub(super) struct Group {
    exact: Row,
    /// In lower case, and found in either.
    loose: Row,
}

/// Patterns in order of their bytes, no two alike.
#[derive(Default)]
struct Row(Vec<Entry>);

struct Entry {
    pattern: usize,
    /// The longest other one in the row that this one begins with.
    within: Option<usize>,
}

/// What an anchor turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Nothing,
    /// This pattern stands here.
    Found(usize),
    /// The bytes end before a pattern is decided.
    Open,
}

impl Group {
    /// The group of those of `patterns` that have these numbers. The bytes of loose ones are in lower case.
    pub(super) fn of(patterns: &[Pattern], numbers: Vec<usize>) -> Self {
        let is_loose = |number: &usize| patterns.get(*number).is_some_and(|one| one.loose);
        let (loose, exact) = numbers.into_iter().partition(is_loose);
        Self {
            exact: Row::of(patterns, exact),
            loose: Row::of(patterns, loose),
        }
    }

    /// The longest pattern that `rest` begins with, unless a longer one may yet turn out to.
    pub(super) fn judge(&self, patterns: &[Pattern], rest: &[u8], last: bool) -> Verdict {
        let exact = self.exact.judge(patterns, rest, last);
        if self.loose.0.is_empty() {
            return exact;
        }
        let loose = if let [_] = self.loose.0.as_slice() {
            self.loose.judge(patterns, rest, last)
        } else {
            let mut folded = Zeroizing::new([0; LONGEST]);
            let (folded, _) = folded.split_at_mut(rest.len().min(LONGEST));
            for (folded, byte) in folded.iter_mut().zip(rest) {
                *folded = byte.to_ascii_lowercase();
            }
            self.loose.judge(patterns, folded, last)
        };
        let rank = |number: usize| {
            let length = patterns.get(number).map_or(0, |one| one.bytes.len());
            (length, Reverse(number))
        };
        match (exact, loose) {
            (Verdict::Open, _) | (_, Verdict::Open) => Verdict::Open,
            (Verdict::Nothing, other) | (other, Verdict::Nothing) => other,
            (Verdict::Found(one), Verdict::Found(other)) => {
                Verdict::Found(std::cmp::max_by_key(one, other, |number| rank(*number)))
            }
        }
    }

    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + (self.exact.0.len() + self.loose.0.len()) * size_of::<Entry>()
    }
}

impl Row {
    fn of(patterns: &[Pattern], mut numbers: Vec<usize>) -> Self {
        numbers.sort_by_key(|number| (bytes(patterns, *number), *number));
        numbers.dedup_by_key(|number| bytes(patterns, *number));
        let mut row: Vec<Entry> = Vec::with_capacity(numbers.len());
        for number in numbers {
            let begins =
                |entry: &Entry| bytes(patterns, number).starts_with(bytes(patterns, entry.pattern));
            // Whatever one begins with begins those in between as well.
            let mut within = row.len().checked_sub(1);
            while let Some(entry) = within.and_then(|at| row.get(at)) {
                if begins(entry) {
                    break;
                }
                within = entry.within;
            }
            row.push(Entry {
                pattern: number,
                within,
            });
        }
        Self(row)
    }

    fn judge(&self, patterns: &[Pattern], rest: &[u8], last: bool) -> Verdict {
        if let [only] = self.0.as_slice() {
            return single(patterns, only.pattern, rest, last);
        }
        let after = self
            .0
            .partition_point(|entry| bytes(patterns, entry.pattern) <= rest);
        let longer = |entry: &Entry| bytes(patterns, entry.pattern).starts_with(rest);
        if !last && self.0.get(after).is_some_and(longer) {
            return Verdict::Open;
        }
        let mut before = after.checked_sub(1);
        while let Some(entry) = before.and_then(|at| self.0.get(at)) {
            if rest.starts_with(bytes(patterns, entry.pattern)) {
                return Verdict::Found(entry.pattern);
            }
            before = entry.within;
        }
        Verdict::Nothing
    }
}

/// As most anchors have it.
fn single(patterns: &[Pattern], number: usize, rest: &[u8], last: bool) -> Verdict {
    let Some(pattern) = patterns.get(number) else {
        return Verdict::Nothing;
    };
    match rest.split_at_checked(pattern.bytes.len()) {
        Some((here, _)) if pattern.matches(here) => Verdict::Found(number),
        None if !last && pattern.matches(rest) => Verdict::Open,
        _ => Verdict::Nothing,
    }
}

fn bytes(patterns: &[Pattern], number: usize) -> &[u8] {
    patterns.get(number).map_or(&[][..], |one| &one.bytes)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::{Group, Verdict};
    use crate::broker::scrub::patterns::Pattern;

    /// One after another, the longest first.
    fn slow(patterns: &[Pattern], rest: &[u8], last: bool) -> Verdict {
        for (number, pattern) in patterns.iter().enumerate() {
            match rest.split_at_checked(pattern.bytes.len()) {
                Some((here, _)) if pattern.matches(here) => return Verdict::Found(number),
                None if !last && pattern.matches(rest) => return Verdict::Open,
                _ => {}
            }
        }
        Verdict::Nothing
    }

    fn patterns(texts: &[(String, bool)]) -> Vec<Pattern> {
        let of = |(text, loose): &(String, bool)| {
            let text = if *loose {
                text.to_ascii_lowercase()
            } else {
                text.clone()
            };
            Pattern::of_test(text.as_bytes(), *loose)
        };
        let mut all: Vec<_> = texts.iter().map(of).collect();
        all.sort_by_key(|one| std::cmp::Reverse(one.bytes.len()));
        all
    }

    proptest! {
        #[test]
        fn the_same_is_found_as_by_comparing_one_after_another(
            texts in prop::collection::vec(("[abB]{0,6}", any::<bool>()), 0..40),
            rest in "[abB]{0,9}",
            last in any::<bool>(),
        ) {
            let all = patterns(&texts);
            let group = Group::of(&all, (0..all.len()).collect());
            let rest = rest.as_bytes();
            prop_assert_eq!(group.judge(&all, rest, last), slow(&all, rest, last));
        }
    }

    #[test]
    fn thousands_that_begin_alike_cost_no_more_than_a_dozen() {
        let texts = |loose| (0..4_096).map(move |n| (format!("aaaaaa{n:04x}"), loose));
        let texts: Vec<_> = texts(false).chain(texts(true)).collect();
        let all = patterns(&texts);
        let group = Group::of(&all, (0..all.len()).collect());
        let (hay, began) = ([b'a'; 1_000], Instant::now());
        for _ in 0..200 {
            for at in 0..hay.len() - 20 {
                assert_eq!(group.judge(&all, &hay[at..], true), Verdict::Nothing);
            }
        }
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{:?}",
            began.elapsed()
        );
    }
}
