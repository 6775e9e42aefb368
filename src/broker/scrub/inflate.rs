//! gzip and deflate.

use bytes::{Buf, Bytes};
use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::ScrubError;
use super::decoder::{Stage, Step};

/// The longest gzip member header, with its comments, in bytes.
const MAX_HEADER: usize = 8 * 1024;

/// Runs `inner` once. Returns how much was written, and whether the data has ended.
fn inflate(
    inner: &mut Decompress,
    input: &mut Bytes,
    output: &mut [u8],
) -> Result<(usize, bool), ScrubError> {
    let (taken, given) = (inner.total_in(), inner.total_out());
    let status = inner
        .decompress(input, output, FlushDecompress::None)
        .map_err(|_| ScrubError::Malformed)?;
    let size = |bytes: u64| usize::try_from(bytes).map_err(|_| ScrubError::Malformed);
    let (taken, given) = (
        size(inner.total_in() - taken)?,
        size(inner.total_out() - given)?,
    );
    let stuck = taken == 0 && given == 0 && !input.is_empty();
    input.advance(taken);
    let ended = status == Status::StreamEnd;
    if stuck && !ended {
        return Err(ScrubError::Malformed);
    }
    Ok((given, ended))
}

/// gzip, of one or several members, with its checksum.
pub(super) struct Gzip {
    phase: Phase,
    /// Bytes of an unfinished header or trailer.
    part: Vec<u8>,
    inner: Decompress,
    sum: Crc,
}

enum Phase {
    /// Between members; the input may end here.
    Between,
    Header,
    Body,
    Trailer,
}

impl Gzip {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Between,
            part: Vec::new(),
            inner: Decompress::new(false),
            sum: Crc::new(),
        }
    }

    fn header(&mut self, input: &mut Bytes) -> Result<(), ScrubError> {
        let before = self.part.len();
        self.part.extend_from_slice(input);
        match gzip_header_len(&self.part)? {
            Some(len) => {
                input.advance(len.saturating_sub(before));
                self.part.clear();
                self.inner.reset(false);
                self.sum.reset();
                self.phase = Phase::Body;
            }
            None if self.part.len() > MAX_HEADER => return Err(ScrubError::Malformed),
            None => input.clear(),
        }
        Ok(())
    }

    fn trailer(&mut self, input: &mut Bytes) -> Result<(), ScrubError> {
        let missing = 8_usize.saturating_sub(self.part.len()).min(input.len());
        self.part.extend_from_slice(&input.split_to(missing));
        if let Some((sum, rest)) = self.part.split_first_chunk::<4>()
            && let Some(size) = rest.first_chunk::<4>()
        {
            let right = u32::from_le_bytes(*sum) == self.sum.sum()
                && u32::from_le_bytes(*size) == self.sum.amount();
            if !right {
                return Err(ScrubError::Malformed);
            }
            self.part.clear();
            self.phase = Phase::Between;
        }
        Ok(())
    }
}

impl Stage for Gzip {
    fn step(&mut self, input: &mut Bytes, output: &mut [u8]) -> Result<Step, ScrubError> {
        loop {
            if let Phase::Body = self.phase {
                let (written, ended) = inflate(&mut self.inner, input, output)?;
                self.sum.update(output.get(..written).unwrap_or_default());
                if ended {
                    self.phase = Phase::Trailer;
                }
                if written > 0 {
                    return Ok(Step::Wrote(written));
                }
            }
            if input.is_empty() {
                return Ok(Step::Starved);
            }
            match self.phase {
                Phase::Between => self.phase = Phase::Header,
                Phase::Header => self.header(input)?,
                Phase::Body => {}
                Phase::Trailer => self.trailer(input)?,
            }
        }
    }

    fn may_end(&self) -> bool {
        matches!(self.phase, Phase::Between)
    }
}

/// The length of the member header (RFC 1952, 2.3) that `bytes` begins with, if it is all there.
fn gzip_header_len(bytes: &[u8]) -> Result<Option<usize>, ScrubError> {
    let wrong = |index: usize, right: u8| bytes.get(index).is_some_and(|byte| *byte != right);
    if wrong(0, 0x1f) || wrong(1, 0x8b) || wrong(2, 8) {
        return Err(ScrubError::Malformed);
    }
    let (Some(flags), Some(mut rest)) = (bytes.get(3), bytes.get(10..)) else {
        return Ok(None);
    };
    if flags & 0xe0 != 0 {
        return Err(ScrubError::Malformed);
    }
    let mut skip = |len: usize| match rest.split_at_checked(len) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    };
    if flags & 4 != 0 {
        let Some(size) = bytes.get(10..).and_then(<[u8]>::first_chunk::<2>) else {
            return Ok(None);
        };
        if !skip(2 + usize::from(u16::from_le_bytes(*size))) {
            return Ok(None);
        }
    }
    for text in [8, 16] {
        if flags & text != 0 {
            let Some(end) = rest.iter().position(|byte| *byte == 0) else {
                return Ok(None);
            };
            rest = rest.get(end + 1..).unwrap_or_default();
        }
    }
    if flags & 2 != 0 {
        let Some(after) = rest.get(2..) else {
            return Ok(None);
        };
        rest = after;
    }
    Ok(Some(bytes.len() - rest.len()))
}

/// deflate as the standard means it, in a zlib wrapper, and as some servers send it, without.
#[derive(Default)]
pub(super) struct Deflate {
    /// The first bytes, until there are two to tell the kinds apart.
    first: Vec<u8>,
    inner: Option<Decompress>,
    ended: bool,
}

impl Deflate {
    /// Chooses the kind; the bytes looked at are put back before `input`.
    fn choose(&mut self, input: &mut Bytes) {
        self.first.extend_from_slice(input);
        input.clear();
        if let Some([method, flags]) = self.first.first_chunk::<2>() {
            let check = u16::from_be_bytes([*method, *flags]) % 31 == 0;
            let zlib = check && method & 0x0f == 8 && method >> 4 <= 7;
            self.inner = Some(Decompress::new(zlib));
            *input = Bytes::from(std::mem::take(&mut self.first));
        }
    }
}

impl Stage for Deflate {
    fn step(&mut self, input: &mut Bytes, output: &mut [u8]) -> Result<Step, ScrubError> {
        if self.ended {
            return if input.is_empty() {
                Ok(Step::Starved)
            } else {
                Err(ScrubError::Malformed)
            };
        }
        loop {
            let Some(inner) = &mut self.inner else {
                if input.is_empty() {
                    return Ok(Step::Starved);
                }
                self.choose(input);
                continue;
            };
            let (written, ended) = inflate(inner, input, output)?;
            self.ended = ended;
            if written > 0 {
                return Ok(Step::Wrote(written));
            }
            if ended && !input.is_empty() {
                return Err(ScrubError::Malformed);
            }
            if input.is_empty() {
                return Ok(Step::Starved);
            }
        }
    }

    fn may_end(&self) -> bool {
        self.ended || (self.inner.is_none() && self.first.is_empty())
    }
}
