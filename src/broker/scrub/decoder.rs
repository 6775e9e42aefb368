//! Undoing encodings piece by piece, within limits.
//!
//! Input is pushed, output is pulled in pieces of at most [`PIECE`], so that a body that grows a
//! thousandfold costs no more memory than one that does not grow.

use std::fmt;

use bytes::{Bytes, BytesMut};

use super::ScrubError;
use super::brotli::Brotli;
use super::encoding::{Coding, Encoding};
use super::inflate::{Deflate, Gzip};
use super::zstd::Zstd;

/// The largest piece of decoded output, in bytes.
pub(super) const PIECE: usize = 64 * 1024;

/// How far a body may grow when it is decoded. A body without encoding is not limited here.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most bytes that decoding may yield.
    pub decoded: u64,
    /// The most bytes of output for each byte of input, once `free` bytes have been yielded.
    pub ratio: u64,
    /// Bytes of output for which the ratio does not count.
    pub free: u64,
}

impl Default for Limits {
    /// 1 GiB, and 200 to 1 after the first 1 MiB.
    fn default() -> Self {
        Self {
            decoded: 1 << 30,
            ratio: 200,
            free: 1 << 20,
        }
    }
}

/// What one step of one encoding came to.
pub(super) enum Step {
    /// So many bytes were written.
    Wrote(usize),
    /// Nothing more can be written until there is more input.
    Starved,
}

/// One encoding being undone.
pub(super) trait Stage: Send {
    /// Takes from `input` and writes to the beginning of `output`, which is not empty. Asks for
    /// more only when `input` is used up.
    fn step(&mut self, input: &mut Bytes, output: &mut [u8]) -> Result<Step, ScrubError>;

    /// Whether the input may end here: at the end of the encoded data, or before its beginning.
    fn may_end(&self) -> bool;
}

/// The encodings of one body being undone, outermost first.
pub struct Decoder {
    stages: Vec<Running>,
    limits: Limits,
    /// Bytes pushed so far.
    taken: u64,
    /// The last pushed chunk, as far as it has not been used.
    input: Bytes,
    room: BytesMut,
}

struct Running {
    stage: Box<dyn Stage>,
    input: Bytes,
    yielded: u64,
}

impl Decoder {
    /// A decoder for a body with this encoding.
    #[must_use]
    pub fn new(encoding: &Encoding, limits: Limits) -> Self {
        let stages = encoding.codings().iter().rev().map(|coding| Running {
            stage: match coding {
                Coding::Gzip => Box::new(Gzip::new()),
                Coding::Deflate => Box::new(Deflate::default()),
                Coding::Brotli => Box::new(Brotli::new()),
                Coding::Zstd => Box::new(Zstd::new()),
            },
            input: Bytes::new(),
            yielded: 0,
        });
        Self {
            stages: stages.collect(),
            limits,
            taken: 0,
            input: Bytes::new(),
            room: BytesMut::new(),
        }
    }

    /// Gives the next chunk. Everything of the one before must have been pulled.
    pub fn push(&mut self, chunk: Bytes) {
        let len = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        self.taken = self.taken.saturating_add(len);
        self.input = chunk;
    }

    /// The next decoded piece of what was pushed; none when more must be pushed.
    ///
    /// # Errors
    /// [`ScrubError::Malformed`] when the data does not decode; [`ScrubError::Bomb`] when it grows
    /// beyond the limits.
    pub fn pull(&mut self) -> Result<Option<Bytes>, ScrubError> {
        let allowed = self.allowed();
        let Self {
            stages,
            input,
            room,
            ..
        } = self;
        Self::pull_from(stages, input, room, allowed)
    }

    /// Ends the body, after everything was pulled.
    ///
    /// # Errors
    /// [`ScrubError::Truncated`] when the encoded data is not at its end.
    pub fn finish(&self) -> Result<(), ScrubError> {
        if self.taken == 0 || self.stages.iter().all(|running| running.stage.may_end()) {
            return Ok(());
        }
        Err(ScrubError::Truncated)
    }

    /// Whether nothing was ever pushed.
    pub(super) fn is_untouched(&self) -> bool {
        self.taken == 0
    }

    fn allowed(&self) -> u64 {
        let by_ratio = self.taken.saturating_mul(self.limits.ratio);
        by_ratio.max(self.limits.free).min(self.limits.decoded)
    }

    /// Pulls from the last of `stages`, or from `source` when there is none.
    fn pull_from(
        stages: &mut [Running],
        source: &mut Bytes,
        room: &mut BytesMut,
        allowed: u64,
    ) -> Result<Option<Bytes>, ScrubError> {
        let Some((running, before)) = stages.split_last_mut() else {
            let chunk = std::mem::take(source);
            return Ok((!chunk.is_empty()).then_some(chunk));
        };
        loop {
            room.resize(PIECE, 0);
            match running.stage.step(&mut running.input, room)? {
                Step::Wrote(written) => {
                    running.yielded += u64::try_from(written).unwrap_or(u64::MAX);
                    if running.yielded > allowed {
                        return Err(ScrubError::Bomb);
                    }
                    return Ok(Some(room.split_to(written).freeze()));
                }
                Step::Starved => match Self::pull_from(before, source, room, allowed)? {
                    Some(piece) => running.input = piece,
                    None => return Ok(None),
                },
            }
        }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decoder")
    }
}
