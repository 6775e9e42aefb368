//! Brotli, with windows of at most 4 MiB: what its writers use unless they are told otherwise. RFC 7932
//! allows sixteen, and any upstream could have us set them aside.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use bytes::{Buf, Bytes};

use super::ScrubError;
use super::decoder::{Stage, Step};

/// The largest window, as an exponent of two.
const MAX_WINDOW: u8 = 22;

/// The window that a stream asks for in its first byte (RFC 7932, 9.1), as an exponent of two.
const fn window(first: u8) -> u8 {
    match (first & 1, first >> 1 & 7, first >> 4 & 7) {
        (0, ..) => 16,
        (_, 0, 0) => 17,
        (_, 0, small) => 8 + small,
        (_, large, _) => 17 + large,
    }
}

/// A Brotli stream being decoded.
pub(super) struct Brotli {
    state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>,
    total: usize,
    begun: bool,
    ended: bool,
}

impl Brotli {
    pub(super) fn new() -> Self {
        Self {
            state: Box::new(BrotliState::new_strict(
                StandardAlloc::default(),
                StandardAlloc::default(),
                StandardAlloc::default(),
            )),
            total: 0,
            begun: false,
            ended: false,
        }
    }
}

impl Stage for Brotli {
    fn step(&mut self, input: &mut Bytes, output: &mut [u8]) -> Result<Step, ScrubError> {
        if self.ended {
            return if input.is_empty() {
                Ok(Step::Starved)
            } else {
                Err(ScrubError::Malformed)
            };
        }
        if !self.begun
            && input
                .first()
                .is_some_and(|first| window(*first) > MAX_WINDOW)
        {
            return Err(ScrubError::Unscannable);
        }
        self.begun |= !input.is_empty();
        let (mut available, mut taken) = (input.len(), 0);
        let (mut room, mut written) = (output.len(), 0);
        let result = BrotliDecompressStream(
            &mut available,
            &mut taken,
            input,
            &mut room,
            &mut written,
            output,
            &mut self.total,
            &mut self.state,
        );
        input.advance(taken.min(input.len()));
        match result {
            BrotliResult::ResultFailure => return Err(ScrubError::Malformed),
            BrotliResult::ResultSuccess => self.ended = true,
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
        }
        if written > 0 {
            return Ok(Step::Wrote(written));
        }
        if input.is_empty() {
            return Ok(Step::Starved);
        }
        // Nothing written, yet input left: it stands behind the end, or there is no progress.
        Err(ScrubError::Malformed)
    }

    fn may_end(&self) -> bool {
        self.ended || !self.begun
    }
}
