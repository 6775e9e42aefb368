//! Placeholders: what tool code holds in place of a value.
//!
//! ```text
//! sk-  rtPlaceh0lder  k3Jq…25 random letters…  8fQz1a
//! │    │              │                        └ checksum over all before it
//! │    │              └ 148 bits, drawn anew for each field of each resolution
//! │    └ the mark by which any of them is found, in any spelling
//! └ how keys of this vendor begin, where their libraries look
//! ```
//!
//! Letters and digits only, so that no encoding of a URL, a form or JSON changes one. A placeholder is
//! no secret: whoever has it can do nothing with it but show it back to the resolution that it was made
//! for. All of them share one mark, so that one searcher, built once, finds those of every resolution.

use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use percent_encoding::percent_decode;

use crate::crypto::{CHECK_LETTERS, CryptoError, Random, check_letters, draw_letters};
use crate::secret::Secret;

use super::scrub::{Patterns, ScrubError};

/// What every placeholder has in it, and nothing else has.
const MARK: &str = "rtPlaceh0lder";
const DRAWN: usize = 25;
/// How long a placeholder is, besides what stands before its mark.
pub(crate) const PLACEHOLDER_LETTERS: usize = MARK.len() + DRAWN + CHECK_LETTERS;

/// The placeholder of one field in one resolution.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Placeholder(Box<str>);

impl Placeholder {
    /// Draws one that begins with `prefix`.
    pub(crate) fn draw(prefix: Option<&str>, random: &dyn Random) -> Result<Self, CryptoError> {
        let prefix = prefix.unwrap_or_default();
        let mut text = Vec::with_capacity(prefix.len() + PLACEHOLDER_LETTERS);
        text.extend_from_slice(prefix.as_bytes());
        text.extend_from_slice(MARK.as_bytes());
        draw_letters(random, DRAWN, &mut text)?;
        let check = check_letters(&text);
        text.extend_from_slice(&check);
        let text = String::from_utf8(text).map_err(|_| CryptoError::Random)?;
        Ok(Self(text.into()))
    }

    /// The text that tool code is given.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Whether `text` is this placeholder, whole.
    pub(crate) fn is(&self, text: &[u8]) -> bool {
        self.0.as_bytes() == text
    }

    /// Where it stands in `hay` as it is.
    pub(crate) fn at(&self, hay: &[u8]) -> Vec<Range<usize>> {
        let found = memchr::memmem::find_iter(hay, self.0.as_bytes());
        found.map(|at| at..at + self.0.len()).collect()
    }

    /// Whether it stands in `hay` in any spelling.
    pub(crate) fn is_in(&self, hay: &[u8]) -> Result<bool, ScrubError> {
        let own = Secret::copy_of(self.0.as_bytes());
        Ok(stands_in(hay, &Patterns::for_values([&own], [])?))
    }
}

/// Not a secret, and no business of a log either.
impl fmt::Debug for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Placeholder")
    }
}

/// What finds the mark of every placeholder, whoever's: as it is, percent-encoded, in JSON escapes, in
/// base64 wherever it begins, in hex. `None` only if no searcher can be built: then nothing may go out.
pub(crate) fn marks() -> Option<&'static Patterns> {
    static MARKS: LazyLock<Option<Patterns>> = LazyLock::new(|| {
        let mark = Secret::copy_of(MARK.as_bytes());
        Patterns::for_values([&mark], []).ok()
    });
    MARKS.as_ref()
}

/// Whether any placeholder, or the mark of one, stands in `hay` in any spelling.
pub(crate) fn any_in(hay: &[u8]) -> bool {
    marks().is_none_or(|marks| stands_in(hay, marks))
}

/// Also where letters are percent-encoded that need not be, which no answer of an upstream's has and
/// somebody who hides a placeholder may.
fn stands_in(hay: &[u8], patterns: &Patterns) -> bool {
    let found = |hay: &[u8]| !patterns.occurrences(hay).is_empty();
    found(hay) || (hay.contains(&b'%') && found(&percent_decode(hay).collect::<Vec<u8>>()))
}

#[cfg(test)]
#[path = "tests_placeholder.rs"]
mod tests;
