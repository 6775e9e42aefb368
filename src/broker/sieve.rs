//! What goes out in pieces, and lets no placeholder out.
//!
//! A text is searched as it is and, since somebody who hides a placeholder may percent-encode any of its
//! letters, once more without its percent escapes. Of either reading only what may still become a mark is
//! held back, so that no piece of one has gone when it is found.

use bytes::{Bytes, BytesMut};

use super::placeholder::marks;
use super::scrub::{Hits, Scrubbed, Scrubber};

/// Searches one text, in pieces of any size.
pub(super) struct Sieve {
    plain: Scrubber,
    encoded: Encoded,
    hits: Hits,
}

/// Something stands in it that must not pass.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a placeholder stands in it")]
pub(super) struct Blocked;

impl Sieve {
    /// `None` if no mark could be found, so that nothing may pass at all.
    pub(super) fn new() -> Option<Self> {
        let marks = marks()?;
        let hits = marks.hits();
        Some(Self {
            plain: Scrubber::counting(marks, hits.clone()),
            encoded: Encoded::new(Scrubber::counting(marks, hits.clone())),
            hits,
        })
    }

    /// What may pass of the text, of which `piece` is the next part.
    pub(super) fn push(&mut self, piece: Bytes) -> Result<Bytes, Blocked> {
        let decided = self.encoded.push(bytes_of(self.plain.push(piece)));
        self.found_nothing().map(|()| decided)
    }

    /// The rest, because nothing may follow for long. What does is searched together with it.
    pub(super) fn pause(&mut self) -> Result<Bytes, Blocked> {
        let decided = self.encoded.push(bytes_of(self.plain.pause()));
        let decided = join(decided, self.encoded.pause());
        self.found_nothing().map(|()| decided)
    }

    fn found_nothing(&self) -> Result<(), Blocked> {
        if self.hits.total() > 0 {
            return Err(Blocked);
        }
        Ok(())
    }
}

/// A text without its percent escapes.
struct Encoded {
    /// Searches the letters that the text stands for.
    letters: Scrubber,
    /// The beginning of an escape, which is no letter yet: a percent sign, and perhaps a digit.
    open: Bytes,
    /// What was not handed on: `open`, and what stands for the letters that are held back.
    held: Bytes,
}

impl Encoded {
    const fn new(letters: Scrubber) -> Self {
        Self {
            letters,
            open: Bytes::new(),
            held: Bytes::new(),
        }
    }

    /// What of the text is decided, with `piece` after what is held.
    fn push(&mut self, piece: Bytes) -> Bytes {
        // Of an escape that a pause was in, some has gone.
        let gone = self.open.len().saturating_sub(self.held.len());
        let before = self.open.slice(..gone);
        let (letters, open) = decode(join(self.open.clone(), piece.clone()));
        self.open = open;
        // Only counted: what is handed on is the text that they stand for.
        drop(self.letters.push(letters));
        let mut text = join(std::mem::take(&mut self.held), piece);
        let whole = join(before, text.clone());
        let whole = whole.slice(..whole.len() - self.open.len());
        let kept = begins(&whole, self.letters.held()).saturating_sub(gone);
        self.held = text.split_off(kept);
        text
    }

    fn pause(&mut self) -> Bytes {
        drop(self.letters.pause());
        std::mem::take(&mut self.held)
    }
}

/// The letters that `text` stands for, and the escape at its end that may go on.
fn decode(text: Bytes) -> (Bytes, Bytes) {
    if memchr::memchr(b'%', &text).is_none() {
        return (text, Bytes::new());
    }
    let mut letters = BytesMut::with_capacity(text.len());
    let mut rest = &*text;
    loop {
        let (same, escape) = rest.split_at(memchr::memchr(b'%', rest).unwrap_or(rest.len()));
        letters.extend_from_slice(same);
        rest = escape;
        rest = match escape {
            [_, high, low, after @ ..] if is_digit(*high) && is_digit(*low) => {
                let three = escape.get(..3).unwrap_or_default();
                letters.extend(percent_encoding::percent_decode(three));
                after
            }
            [] | [_] => break,
            [_, high] if is_digit(*high) => break,
            [sign, after @ ..] => {
                letters.extend_from_slice(&[*sign]);
                after
            }
        };
    }
    let open = text.slice_ref(rest);
    (letters.freeze(), open)
}

/// Where the last so many letters of `text`, which ends with no part of an escape, begin in it.
fn begins(text: &[u8], letters: usize) -> usize {
    let mut rest = text;
    for _ in 0..letters {
        rest = match rest {
            [before @ .., b'%', high, low] if is_digit(*high) && is_digit(*low) => before,
            [before @ .., _] => before,
            // The others went before a pause.
            [] => break,
        };
    }
    rest.len()
}

const fn is_digit(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

/// What was decided; nothing where nothing was.
pub(super) fn bytes_of(decided: Option<Scrubbed>) -> Bytes {
    decided.map(Scrubbed::into_bytes).unwrap_or_default()
}

/// The one, and the other behind it.
pub(super) fn join(one: Bytes, two: Bytes) -> Bytes {
    if one.is_empty() {
        return two;
    }
    if two.is_empty() {
        return one;
    }
    let mut both = BytesMut::with_capacity(one.len() + two.len());
    both.extend_from_slice(&one);
    both.extend_from_slice(&two);
    both.freeze()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::{Blocked, Sieve};
    use crate::broker::placeholder::Placeholder;
    use crate::crypto::SystemRandom;

    /// What passes of `pieces`, and whether that is all of them. After each that has `true`, nothing is held.
    fn through(pieces: &[(&[u8], bool)]) -> (Vec<u8>, Result<(), Blocked>) {
        let (mut sieve, mut passed) = (Sieve::new().unwrap(), Vec::new());
        for (piece, pause) in pieces {
            let decided = sieve.push(Bytes::copy_from_slice(piece));
            let rest = decided.and_then(|decided| {
                passed.extend_from_slice(&decided);
                if *pause {
                    sieve.pause()
                } else {
                    Ok(Bytes::new())
                }
            });
            match rest {
                Ok(rest) => passed.extend_from_slice(&rest),
                Err(blocked) => return (passed, Err(blocked)),
            }
        }
        (passed, Ok(()))
    }

    /// Each letter percent-encoded or not, as `choices` say, in either case.
    fn spelled(text: &str, choices: u64) -> String {
        let letters =
            text.bytes()
                .enumerate()
                .map(|(at, byte)| match choices >> ((2 * at) % 64) & 3 {
                    0 => format!("%{byte:02x}"),
                    1 => format!("%{byte:02X}"),
                    _ => char::from(byte).to_string(),
                });
        letters.collect()
    }

    proptest! {
        #[test]
        fn a_placeholder_is_found_however_it_is_spelled_and_cut_and_nothing_of_its_mark_passes(
            choices in any::<u64>(),
            before in "[a-z%0-9]{0,30}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let placeholder = Placeholder::draw(None, &SystemRandom).unwrap();
            let text = format!("{before} {} and more", spelled(placeholder.text(), choices));
            let mut places: Vec<_> = cuts.iter().map(|at| at.index(text.len())).collect();
            places.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for at in places {
                pieces.push((&text.as_bytes()[from..at], false));
                from = at;
            }
            pieces.push((&text.as_bytes()[from..], true));
            let (passed, end) = through(&pieces);
            prop_assert_eq!(end, Err(Blocked));
            let most = before.len() + 1;
            prop_assert!(passed.len() <= most, "{}", String::from_utf8_lossy(&passed));
        }

        #[test]
        fn what_has_no_placeholder_in_it_passes_as_it_is(
            pieces in prop::collection::vec(("[%0-9a-frtPlcehd]{0,20}", any::<bool>()), 0..9),
        ) {
            let whole: String = pieces.iter().map(|(piece, _)| &**piece).collect();
            prop_assume!(!crate::broker::placeholder::any_in(whole.as_bytes()));
            let mut pieces: Vec<_> = pieces.iter().map(|(piece, pause)| (piece.as_bytes(), *pause)).collect();
            pieces.push((b"", true));
            let (passed, end) = through(&pieces);
            prop_assert_eq!(end, Ok(()));
            prop_assert_eq!(String::from_utf8(passed).unwrap(), whole);
        }
    }

    #[test]
    fn only_what_may_become_a_mark_is_held_back() {
        for (text, passes) in [
            ("hello", "hello"),
            ("hello %", "hello "),
            ("hello %7", "hello "),
            ("hello %72tP%6", "hello "),
            ("hello rtP%6c", "hello "),
            ("100% of it", "100% of it"),
            ("%zz %7g", "%zz %7g"),
        ] {
            assert_eq!(
                through(&[(text.as_bytes(), false)]).0,
                passes.as_bytes(),
                "{text}"
            );
            assert_eq!(
                through(&[(text.as_bytes(), true)]).0,
                text.as_bytes(),
                "{text}"
            );
        }
    }

    #[test]
    fn what_passed_in_a_pause_is_searched_together_with_what_follows() {
        for (one, two) in [
            ("rtPl", "aceh0lder"),
            ("%72tPl", "aceh0lder"),
            ("%72tPl%", "61ceh0lder"),
            ("%72tPl%6", "1ceh0lder"),
            ("rtPl", "%61ceh0lder"),
        ] {
            let pieces = [(one.as_bytes(), true), (two.as_bytes(), true)];
            let (passed, end) = through(&pieces);
            assert_eq!(
                (&*passed, end),
                (one.as_bytes(), Err(Blocked)),
                "{one} {two}"
            );
        }
    }
}
