//! Undoing an encoding piece by piece, within limits.
//!
//! Input is pushed, output is pulled in pieces of at most [`PIECE`], so that a body that grows a
//! thousandfold costs no more memory than one that does not grow.

use std::fmt;

use bytes::{Bytes, BytesMut};
use tokio::sync::{Semaphore, SemaphorePermit};

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

/// Memory for decoders, in pieces of [`PIECE`] bytes. A window is as large as the upstream says, so without a
/// bound in common a hundred answers could take a gigabyte.
pub(super) struct Memory(Semaphore);

/// 256 MiB for the whole process.
static MEMORY: Memory = Memory::of(4_096);

impl Memory {
    pub(super) const fn of(pieces: usize) -> Self {
        Self(Semaphore::const_new(pieces))
    }

    fn take(&'static self, coding: Coding) -> Result<SemaphorePermit<'static>, ScrubError> {
        let pieces = match coding {
            Coding::Gzip | Coding::Deflate => 2,
            // A window of 4 MiB, and tables.
            Coding::Brotli => 96,
            // A window of 8 MiB in a buffer that doubles as it grows, and a block.
            Coding::Zstd => 272,
        };
        let taken = self.0.try_acquire_many(pieces);
        taken.map_err(|_| ScrubError::Crowded)
    }
}

/// The encoding of one body being undone.
pub struct Decoder {
    /// None for a body that is as it is.
    stage: Option<Box<dyn Stage>>,
    limits: Limits,
    /// Bytes pushed so far.
    taken: u64,
    /// Bytes pulled so far.
    yielded: u64,
    /// The last pushed chunk, as far as it has not been used.
    input: Bytes,
    room: BytesMut,
    _memory: Option<SemaphorePermit<'static>>,
}

impl Decoder {
    /// A decoder for a body with this encoding.
    ///
    /// # Errors
    /// [`ScrubError::Crowded`] when there is no memory for one more.
    pub fn new(encoding: &Encoding, limits: Limits) -> Result<Self, ScrubError> {
        Self::within(&MEMORY, encoding, limits)
    }

    pub(super) fn within(
        memory: &'static Memory,
        encoding: &Encoding,
        limits: Limits,
    ) -> Result<Self, ScrubError> {
        let coding = encoding.coding();
        let memory = coding.map(|coding| memory.take(coding)).transpose()?;
        Ok(Self {
            stage: coding.map(|coding| -> Box<dyn Stage> {
                match coding {
                    Coding::Gzip => Box::new(Gzip::new()),
                    Coding::Deflate => Box::new(Deflate::default()),
                    Coding::Brotli => Box::new(Brotli::new()),
                    Coding::Zstd => Box::new(Zstd::new()),
                }
            }),
            limits,
            taken: 0,
            yielded: 0,
            input: Bytes::new(),
            room: BytesMut::new(),
            _memory: memory,
        })
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
    /// [`ScrubError::Malformed`] when the data does not decode, [`ScrubError::Unscannable`] when it needs
    /// too large a window; [`ScrubError::Bomb`] when it grows beyond the limits.
    pub fn pull(&mut self) -> Result<Option<Bytes>, ScrubError> {
        let allowed = self.allowed();
        let Some(stage) = &mut self.stage else {
            let chunk = std::mem::take(&mut self.input);
            return Ok((!chunk.is_empty()).then_some(chunk));
        };
        self.room.resize(PIECE, 0);
        match stage.step(&mut self.input, &mut self.room)? {
            Step::Wrote(written) => {
                self.yielded += u64::try_from(written).unwrap_or(u64::MAX);
                if self.yielded > allowed {
                    return Err(ScrubError::Bomb);
                }
                Ok(Some(self.room.split_to(written).freeze()))
            }
            Step::Starved => Ok(None),
        }
    }

    /// Ends the body, after everything was pulled.
    ///
    /// # Errors
    /// [`ScrubError::Truncated`] when the encoded data is not at its end.
    pub fn finish(&self) -> Result<(), ScrubError> {
        let may_end = self.stage.as_ref().is_none_or(|stage| stage.may_end());
        if self.taken == 0 || may_end {
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
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decoder")
    }
}
