//! What is searched for: every spelling of a set of lent values.
//!
//! Only the first six bytes of each spelling, its *anchor*, go into the vector searcher; what
//! follows an anchor is then compared byte by byte. That keeps building cheap (no automaton over
//! whole values), lets spellings that begin alike share one anchor, and allows hex digits of
//! either case at the price of a few more anchors. Spellings longer than [`WINDOW`] are searched
//! for in pieces of that size, so no more than that is ever held back, or compared at one place.
//!
//! Spellings with escapes are not listed, since a writer may escape any character or none: a text in
//! which there are any is searched a second time without them ([`Plain`]). Both searches know the same
//! pieces: of a long value in which one character is escaped, all the others stand there as they are,
//! perhaps in a chunk of their own without any escape.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::anchors::{ANCHOR, Anchors, Found};
use super::forms::{self, Form};
use super::plain::{self, Plain};
use super::{Hits, ScrubError};
use crate::broker::turns::Room;
use crate::secret::Secret;

/// The shortest value that can be scrubbed, in bytes, white space at both ends not counted.
///
/// No spelling is shorter than the value: of base64 the part that does not depend on neighbours
/// has seven characters for six bytes. So a value that is an ordinary word is masked wherever
/// that word stands, and a random one of six letters about once in twenty gigabytes of letters.
pub const MIN_VALUE_BYTES: usize = 6;

/// Longer spellings are searched for in pieces of this many bytes. With escapes such a piece is six times as
/// long, and may be thirteen times.
pub(super) const WINDOW: usize = 512;

/// A letter of an anchor that may be of either case doubles the number of anchors; beyond this
/// many such letters only all-upper and all-lower are searched for.
const MAX_SOFT_LETTERS: u32 = 4;

/// How far the beginning of a piece may be moved to avoid a line end, in bytes.
const LINE_END_STEPS: usize = 8;
/// The most bytes of one piece.
pub(super) const LONGEST: usize = WINDOW + LINE_END_STEPS;

/// Everything to look for in the answers of one exchange, or of all exchanges of one lease.
///
/// Building takes tens to hundreds of microseconds, a clone nothing: build it once and keep it with
/// the lease. The spellings wipe themselves when the last clone goes; the vector searcher's own
/// copies of the anchors, six bytes per spelling, are plain memory and count on the zero-on-free
/// allocator.
#[derive(Clone)]
pub struct Patterns(pub(super) Arc<Inner>);

pub(super) struct Inner {
    text: Anchors,
    /// For a text without its escapes.
    plain: Anchors,
    names: Anchors,
    values: usize,
    /// The memory that it is counted with.
    pub(super) room: Option<Room>,
}

impl Patterns {
    /// Every spelling of `values`, and of the Basic blobs of `basic` (user and value).
    ///
    /// [`Hits::of`] counts by position: first `values`, then `basic`.
    ///
    /// # Errors
    /// [`ScrubError::TooShort`] when a value has fewer than [`MIN_VALUE_BYTES`];
    /// [`ScrubError::TooMuch`] when no searcher can be built for so many.
    pub fn for_values<'a>(
        values: impl IntoIterator<Item = &'a Secret>,
        basic: impl IntoIterator<Item = (&'a [u8], &'a Secret)>,
    ) -> Result<Self, ScrubError> {
        let mut all = Pieces::default();
        for value in values {
            value.expose(|bytes| all.add_value(bytes))?;
        }
        for (user, value) in basic {
            value.expose(|bytes| all.add_basic(user, bytes))?;
        }
        let values = all.values;
        let (text, plain) = (distinct(all.text), distinct(all.plain));
        let tokens = text.iter().filter(|pattern| pattern.is_token());
        Ok(Self(Arc::new(Inner {
            names: Anchors::build(tokens.map(Pattern::folded).collect())?,
            text: Anchors::build(text)?,
            plain: Anchors::build(plain)?,
            values,
            room: None,
        })))
    }

    /// Where values stand in `hay`, which is whole, in order of their beginnings.
    #[must_use]
    pub fn occurrences(&self, hay: &[u8]) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        self.search(hay, true, |one| found.push(one.at));
        found
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.text.is_empty()
    }

    /// How many different spellings are searched for, besides all those with escapes: a dozen or two for
    /// each value.
    #[must_use]
    pub fn spellings(&self) -> usize {
        self.0.text.count()
    }

    /// How much memory it takes, in bytes, roughly.
    pub(in crate::broker) fn size(&self) -> usize {
        let Inner {
            text, plain, names, ..
        } = &*self.0;
        text.size() + plain.size() + names.size()
    }

    /// Counters for one exchange, all zero.
    #[must_use]
    pub fn hits(&self) -> Hits {
        Hits::new(self.0.values)
    }

    /// Reports every occurrence in `hay` that is decided, in order of its beginning: as it stands there,
    /// and in any spelling with escapes. Returns where the bytes begin that more input could turn into
    /// one, or the end of `hay` when it is the `last` or when there are none.
    pub(super) fn search(&self, hay: &[u8], last: bool, mut report: impl FnMut(Found)) -> usize {
        let (text, unescaped) = (&self.0.text, &self.0.plain);
        let plain = if self.is_empty() {
            None
        } else {
            Plain::of(hay, last)
        };
        let Some(plain) = plain else {
            return text.scan(hay, last, report);
        };
        let mut all = Vec::new();
        let mut held = text.scan(hay, last, |found| all.push((found, false)));
        let undecided = unescaped.scan(&plain.bytes, last, |found| {
            if let Some(at) = plain.wrapped(&found.at) {
                let value = found.value;
                all.push((Found { at, value }, true));
            }
        });
        held = held.min(plain.begins(undecided));
        // What begins in the bytes that are held back is found again when they are decided.
        all.retain(|(found, _)| found.at.start < held);
        all.sort_by_key(|(found, _)| (found.at.start, std::cmp::Reverse(found.at.end)));
        let mut covered = 0;
        for (found, unescaped) in all {
            // The same one, found a second time.
            if unescaped && found.at.end <= covered {
                continue;
            }
            covered = covered.max(found.at.end);
            report(found);
        }
        held
    }

    /// For header names, which the HTTP library hands over in lower case.
    pub(super) fn names(&self) -> &Anchors {
        &self.0.names
    }
}

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Patterns(hidden)")
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inner(hidden)")
    }
}

/// One piece of one spelling. What searches for it turns the bytes of a loose one to lower case.
pub(super) struct Pattern {
    pub(super) bytes: Zeroizing<Box<[u8]>>,
    /// Of the first bytes: where the case of a letter does not matter.
    soft: [bool; ANCHOR],
    /// Whether there is any such letter in all of it. Then all letters are compared without case: that
    /// masks a little more than need be, and never less.
    pub(super) loose: bool,
    /// Which value it is a spelling of.
    pub(super) value: usize,
}

impl Pattern {
    #[cfg(test)]
    pub(super) fn of_test(bytes: &[u8], loose: bool) -> Self {
        Self {
            bytes: Zeroizing::new(Box::from(bytes)),
            soft: [loose; ANCHOR],
            loose,
            value: 0,
        }
    }

    /// Whether `here`, no longer than the pattern, is it or begins it.
    pub(super) fn matches(&self, here: &[u8]) -> bool {
        let own = self.bytes.get(..here.len()).unwrap_or_default();
        if self.loose {
            own.eq_ignore_ascii_case(here)
        } else {
            own == here
        }
    }

    /// The first bytes, in every case in which they are searched for.
    pub(super) fn anchors(&self) -> Vec<[u8; ANCHOR]> {
        let Some(first) = self.bytes.first_chunk::<ANCHOR>() else {
            return Vec::new();
        };
        let mut letters = [false; ANCHOR];
        for ((letter, byte), soft) in letters.iter_mut().zip(first).zip(self.soft) {
            *letter = soft && byte.is_ascii_alphabetic();
        }
        let count: u32 = letters.iter().map(|letter| u32::from(*letter)).sum();
        let choices: Vec<u32> = if count > MAX_SOFT_LETTERS {
            vec![0, u32::MAX]
        } else {
            (0..1 << count).collect()
        };
        choices
            .into_iter()
            .map(|choice| cased(*first, letters, choice))
            .collect()
    }

    /// The same in lower case, to be found in either.
    fn folded(&self) -> Self {
        Self {
            bytes: Zeroizing::new(self.bytes.to_ascii_lowercase().into_boxed_slice()),
            soft: [false; ANCHOR],
            loose: true,
            value: self.value,
        }
    }

    /// Whether it could stand in a header name.
    fn is_token(&self) -> bool {
        let may = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
        self.bytes.iter().all(may)
    }
}

/// `first` with the letters at the marked places in upper case where `choice` has a bit.
fn cased(first: [u8; ANCHOR], letters: [bool; ANCHOR], mut choice: u32) -> [u8; ANCHOR] {
    let mut anchor = first;
    for (byte, letter) in anchor.iter_mut().zip(letters) {
        if letter {
            let upper = choice & 1 == 1;
            *byte = if upper {
                byte.to_ascii_uppercase()
            } else {
                byte.to_ascii_lowercase()
            };
            choice >>= 1;
        }
    }
    anchor
}

/// The pieces of every spelling of the values added so far.
#[derive(Default)]
struct Pieces {
    text: Vec<Pattern>,
    plain: Vec<Pattern>,
    values: usize,
}

impl Pieces {
    fn add_value(&mut self, value: &[u8]) -> Result<(), ScrubError> {
        let value = long_enough(value)?;
        if Plain::of(value, true).is_some_and(|plain| plain.bytes.len() < MIN_VALUE_BYTES) {
            self.add_text(forms::with_escapes(value));
        }
        self.add_all(forms::of_value(value));
        if let Some(bare) = plain::bare(value) {
            self.add_plain(&Form::of(&bare));
        }
        self.values += 1;
        Ok(())
    }

    fn add_basic(&mut self, user: &[u8], value: &[u8]) -> Result<(), ScrubError> {
        let trimmed = long_enough(value)?;
        self.add_all(forms::of_basic(user, value));
        self.add_all(forms::of_basic(user, trimmed));
        self.values += 1;
        Ok(())
    }

    fn add_all(&mut self, forms: Vec<Form>) {
        for form in &forms {
            match form.plain() {
                Some(plain) => self.add_plain(&plain),
                None => add(&mut self.plain, form, self.values),
            }
        }
        self.add_text(forms);
    }

    /// Adds a spelling without its escapes, for a text without them and for one that never had any there.
    fn add_plain(&mut self, form: &Form) {
        if form.bytes.len() >= MIN_VALUE_BYTES {
            add(&mut self.plain, form, self.values);
            add(&mut self.text, form, self.values);
        }
    }

    fn add_text(&mut self, forms: Vec<Form>) {
        for form in forms {
            add(&mut self.text, &form, self.values);
        }
    }
}

/// Adds the pieces of one spelling.
fn add(to: &mut Vec<Pattern>, form: &Form, value: usize) {
    for piece in pieces(&form.bytes) {
        let bytes = form.bytes.get(piece.clone()).unwrap_or_default();
        let soft = form.soft.get(piece).unwrap_or_default();
        to.push(Pattern {
            bytes: Zeroizing::new(Box::from(bytes)),
            soft: std::array::from_fn(|at| soft.get(at).is_some_and(|soft| *soft)),
            loose: soft.contains(&true),
            value,
        });
    }
}

/// The pieces without duplicates. Of equal ones the first value's stays, soft where any is.
fn distinct(mut found: Vec<Pattern>) -> Vec<Pattern> {
    found.sort_by(|a, b| a.bytes.cmp(&b.bytes));
    found.dedup_by(|gone, kept| {
        let same = gone.bytes == kept.bytes;
        if same {
            kept.loose |= gone.loose;
            for (kept, gone) in kept.soft.iter_mut().zip(gone.soft) {
                *kept |= gone;
            }
        }
        same
    });
    found
}

fn long_enough(value: &[u8]) -> Result<&[u8], ScrubError> {
    let value = value.trim_ascii();
    if value.len() < MIN_VALUE_BYTES {
        return Err(ScrubError::TooShort {
            minimum: MIN_VALUE_BYTES,
        });
    }
    Ok(value)
}

/// Cuts a long spelling into pieces of [`WINDOW`] bytes that cover it. Each begins with the last byte of
/// the one before, so that backslashes between the two, which are no part of either, are masked too. A
/// piece does not begin with a line end if that can be helped: it would hold back the line end
/// that finishes a server-sent event. The last piece may be longer by as much.
fn pieces(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    while bytes.len() - start > LONGEST {
        found.push(start..start + WINDOW);
        let earliest = start + 1;
        start = (start + WINDOW - 1).min(bytes.len() - WINDOW);
        for _ in 0..LINE_END_STEPS {
            let line_end = matches!(bytes.get(start), Some(b'\n' | b'\r'));
            if line_end && start > earliest {
                start -= 1;
            }
        }
    }
    found.push(start..bytes.len());
    found
}
