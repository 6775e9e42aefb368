//! What stands between the two sides: every byte of every payload passes it.

use bytes::Bytes;

use super::super::scrub::{Hits, Patterns, Scrubber};
use super::super::sieve::{Blocked, Sieve, bytes_of, join};

/// Searches what goes one way.
///
/// A message is searched as one text, however it is cut into frames. At its end it is handed on whole, and
/// what follows is still searched together with its end: of a value that is spread over messages, all is
/// masked but what had gone before.
pub(super) struct Gate {
    messages: Search,
    /// Pings, pongs and the reason of an end, which may stand in the middle of a message.
    controls: Search,
}

enum Search {
    Masking(Box<Scrubber>),
    Blocking(Box<Sieve>),
}

impl Gate {
    /// Masks what is found of `patterns`, counting into `hits`.
    pub(super) fn masking(patterns: &Patterns, hits: &Hits) -> Self {
        let scrubber = || Box::new(Scrubber::counting(patterns, hits.clone()));
        Self {
            messages: Search::Masking(scrubber()),
            controls: Search::Masking(scrubber()),
        }
    }

    /// Lets no placeholder pass; `None` if none could be found, so that nothing may pass at all.
    pub(super) fn blocking() -> Option<Self> {
        Some(Self {
            messages: Search::Blocking(Box::new(Sieve::new()?)),
            controls: Search::Blocking(Box::new(Sieve::new()?)),
        })
    }

    /// What may pass of a message, of which `piece` is the next and perhaps the `last` part.
    pub(super) fn message(&mut self, piece: Bytes, last: bool) -> Result<Bytes, Blocked> {
        self.messages.next(piece, last)
    }

    /// What may pass of the payload of a frame that is no part of a message.
    pub(super) fn control(&mut self, payload: Bytes) -> Result<Bytes, Blocked> {
        self.controls.next(payload, true)
    }
}

impl Search {
    fn next(&mut self, piece: Bytes, last: bool) -> Result<Bytes, Blocked> {
        let (first, rest) = match self {
            Self::Masking(scrubber) => {
                let first = scrubber.push(piece);
                let rest = last.then(|| scrubber.pause()).flatten();
                (bytes_of(first), bytes_of(rest))
            }
            Self::Blocking(sieve) => {
                let first = sieve.push(piece)?;
                let rest = if last { sieve.pause()? } else { Bytes::new() };
                (first, rest)
            }
        };
        Ok(join(first, rest))
    }
}
