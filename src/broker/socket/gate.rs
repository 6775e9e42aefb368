//! What stands between the two sides: every byte of every payload passes it.

use bytes::{Bytes, BytesMut};

use super::super::placeholder::{any_in, marks};
use super::super::scrub::{Hits, Patterns, Scrubbed, Scrubber};

/// Searches what goes one way.
///
/// A message is searched as one text, however it is cut into frames. At its end it is handed on whole, and
/// what follows is still searched together with its end: of a value that is spread over messages, all is
/// masked but what had gone before.
pub(super) struct Gate {
    messages: Scrubber,
    /// Pings, pongs and the reason of an end, which may stand in the middle of a message.
    controls: Scrubber,
    /// What must not pass, where that ends the conversation.
    blocked: Option<Hits>,
}

/// Something stands in it that must not pass.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Blocked;

impl Gate {
    /// Masks what is found of `patterns`, counting into `hits`.
    pub(super) fn masking(patterns: &Patterns, hits: &Hits) -> Self {
        Self {
            messages: Scrubber::counting(patterns, hits.clone()),
            controls: Scrubber::counting(patterns, hits.clone()),
            blocked: None,
        }
    }

    /// Lets no placeholder pass; `None` if none could be found, so that nothing may pass at all.
    pub(super) fn blocking() -> Option<Self> {
        let marks = marks()?;
        let hits = marks.hits();
        Some(Self {
            messages: Scrubber::counting(marks, hits.clone()),
            controls: Scrubber::counting(marks, hits.clone()),
            blocked: Some(hits),
        })
    }

    /// What may pass of a message, of which `piece` is the next and perhaps the `last` part.
    pub(super) fn message(&mut self, piece: Bytes, last: bool) -> Result<Bytes, Blocked> {
        self.check(&piece)?;
        let decided = search(&mut self.messages, piece, last);
        self.found_nothing().map(|()| decided)
    }

    /// What may pass of the payload of a frame that is no part of a message.
    pub(super) fn control(&mut self, payload: Bytes) -> Result<Bytes, Blocked> {
        self.check(&payload)?;
        let decided = search(&mut self.controls, payload, true);
        self.found_nothing().map(|()| decided)
    }

    /// Looks for what percent-encodes letters that need not be, which no upstream does.
    fn check(&self, piece: &Bytes) -> Result<(), Blocked> {
        let hides = self.blocked.is_some() && piece.contains(&b'%');
        if hides && any_in(piece) {
            return Err(Blocked);
        }
        Ok(())
    }

    fn found_nothing(&self) -> Result<(), Blocked> {
        match &self.blocked {
            Some(hits) if hits.total() > 0 => Err(Blocked),
            _ => Ok(()),
        }
    }
}

fn search(scrubber: &mut Scrubber, piece: Bytes, last: bool) -> Bytes {
    let (mut first, mut rest) = (Bytes::new(), Bytes::new());
    scrubber.push(piece, &mut |scrubbed: Scrubbed| {
        first = scrubbed.into_bytes();
    });
    if last {
        scrubber.pause(&mut |scrubbed: Scrubbed| rest = scrubbed.into_bytes());
    }
    if first.is_empty() {
        return rest;
    }
    if rest.is_empty() {
        return first;
    }
    let mut both = BytesMut::with_capacity(first.len() + rest.len());
    both.extend_from_slice(&first);
    both.extend_from_slice(&rest);
    both.freeze()
}
