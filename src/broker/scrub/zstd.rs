//! Zstandard, with windows of the size RFC 9659 allows (8 MiB).
//!
//! Frames and blocks are told apart here, so that the decoder sees one whole block at a time: given
//! more, it would decode all of it at once, and three bytes can stand for 128 KiB.

use std::io::Read;

use bytes::Bytes;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::ScrubError;
use super::decoder::{Stage, Step};

/// The largest window, in bytes.
const MAX_WINDOW: u64 = 8 * 1024 * 1024;

/// The largest block, in bytes (RFC 8878, 3.1.1.2.4).
const MAX_BLOCK: usize = 128 * 1024;

/// A sequence of Zstandard frames being decoded.
pub(super) struct Zstd {
    decoder: FrameDecoder,
    /// The unit being gathered: a header, or a block with its header.
    unit: Vec<u8>,
    phase: Phase,
    /// Whether the frame has a checksum after its last block.
    has_sum: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Before a frame; the input may end here if nothing was gathered.
    Header,
    Block,
    /// Bytes of a frame that is to be skipped.
    Skip(usize),
}

impl Zstd {
    pub(super) fn new() -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_WINDOW);
        Self {
            decoder,
            unit: Vec::new(),
            phase: Phase::Header,
            has_sum: false,
        }
    }

    /// Moves bytes from `input` until the unit is whole.
    fn gather(&mut self, input: &mut Bytes) -> Result<bool, ScrubError> {
        loop {
            let wanted = match self.phase {
                Phase::Header => header_len(&self.unit)?,
                _ => block_len(&self.unit, self.has_sum)?,
            };
            let missing = wanted.saturating_sub(self.unit.len());
            if missing == 0 {
                return Ok(true);
            }
            if input.is_empty() {
                return Ok(false);
            }
            let taken = input.split_to(missing.min(input.len()));
            self.unit.extend_from_slice(&taken);
        }
    }

    /// Hands the whole unit to the decoder.
    fn take_unit(&mut self) -> Result<(), ScrubError> {
        if self.phase == Phase::Header {
            if let Some(size) = skippable(&self.unit) {
                self.phase = Phase::Skip(size);
            } else {
                self.has_sum = self.unit.get(4).is_some_and(|flags| flags & 4 != 0);
                let header = self.unit.as_slice();
                self.decoder
                    .reset(header)
                    .map_err(|_| ScrubError::Malformed)?;
                self.phase = Phase::Block;
            }
        } else {
            let one = BlockDecodingStrategy::UptoBlocks(1);
            let block = self.unit.as_slice();
            let last = self
                .decoder
                .decode_blocks(block, one)
                .map_err(|_| ScrubError::Malformed)?;
            if last {
                self.phase = Phase::Header;
            }
        }
        self.unit.clear();
        Ok(())
    }
}

impl Stage for Zstd {
    fn step(&mut self, input: &mut Bytes, output: &mut [u8]) -> Result<Step, ScrubError> {
        loop {
            let written = self
                .decoder
                .read(output)
                .map_err(|_| ScrubError::Malformed)?;
            if written > 0 {
                return Ok(Step::Wrote(written));
            }
            if let Phase::Skip(left) = self.phase {
                let skipped = input.split_to(left.min(input.len())).len();
                self.phase = match left - skipped {
                    0 => Phase::Header,
                    more => Phase::Skip(more),
                };
                if input.is_empty() {
                    return Ok(Step::Starved);
                }
                continue;
            }
            if !self.gather(input)? {
                return Ok(Step::Starved);
            }
            self.take_unit()?;
        }
    }

    fn may_end(&self) -> bool {
        self.phase == Phase::Header && self.unit.is_empty()
    }
}

/// How long the frame header is that `unit` begins with, as far as that can be told: a longer
/// `unit` may ask for more (RFC 8878, 3.1.1.1).
fn header_len(unit: &[u8]) -> Result<usize, ScrubError> {
    if skippable_magic(unit) {
        return Ok(8);
    }
    let magic = [0x28, 0xb5, 0x2f, 0xfd];
    if unit.len() >= 4 && !unit.starts_with(&magic) {
        return Err(ScrubError::Malformed);
    }
    let Some(flags) = unit.get(4) else {
        return Ok(if unit.len() < 4 { 4 } else { 5 });
    };
    let single = flags & 0x20 != 0;
    let dictionary = [0, 1, 2, 4].get(usize::from(flags & 3));
    let size = match flags >> 6 {
        0 => usize::from(single),
        1 => 2,
        2 => 4,
        _ => 8,
    };
    Ok(5 + usize::from(!single) + dictionary.copied().unwrap_or_default() + size)
}

fn skippable_magic(unit: &[u8]) -> bool {
    unit.first().is_some_and(|first| first >> 4 == 5) && unit.get(1..4) == Some(&[0x2a, 0x4d, 0x18])
}

/// The size of the content of a skippable frame, if `unit` is the header of one.
fn skippable(unit: &[u8]) -> Option<usize> {
    let size = unit.get(4..)?.first_chunk::<4>()?;
    skippable_magic(unit)
        .then(|| usize::try_from(u32::from_le_bytes(*size)).ok())
        .flatten()
}

/// How long the block is that `unit` begins with, with its header and the checksum after it.
fn block_len(unit: &[u8], has_sum: bool) -> Result<usize, ScrubError> {
    let Some([a, b, c]) = unit.first_chunk::<3>() else {
        return Ok(3);
    };
    let header = u32::from_le_bytes([*a, *b, *c, 0]);
    let size = usize::try_from(header >> 3).map_err(|_| ScrubError::Malformed)?;
    let content = match header >> 1 & 3 {
        1 => 1,
        0 | 2 => size,
        _ => return Err(ScrubError::Malformed),
    };
    if size > MAX_BLOCK {
        return Err(ScrubError::Malformed);
    }
    let sum = if has_sum && header & 1 == 1 { 4 } else { 0 };
    Ok(3 + content + sum)
}
