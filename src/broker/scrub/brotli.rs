//! Brotli, with windows of the size RFC 7932 allows (16 MiB).

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use bytes::{Buf, Bytes};

use super::ScrubError;
use super::decoder::{Stage, Step};

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
