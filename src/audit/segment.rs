//! A segment: one file of the journal, named after its first record.
//!
//! ```text
//! file    "RTAUDIT1" │ store id 16 │ first seq u64 │ box length u32 │ box of the beginning │ frames… │ zeros
//! frame   box length u32 │ first seq u64 │ box: previous hash 32 │ generation u64 │ lines
//! ```
//!
//! A frame is what one group commit wrote: one box, one fdatasync. Boxes are OBX1 (purpose `State`,
//! version = first seq), so a frame opens at its own place in its own journal only. `generation` is
//! the highest store generation any record carries up to the end of the frame. A frame of
//! checkpoints alone has the number of the record that will come next.
//!
//! Zeros stand behind the frames of the last segment while it is written ([`super::room`]), and after
//! a crash; a length of zero ends the frames. Every other segment ends with its last frame.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::disk::{self, Disk};
use super::{AuditError, Head, JournalKeys};
use crate::crypto::{self, Context, CryptoError, Purpose, Random, Sealed};
use crate::failpoint::{Failpoint, reached};
use crate::id::{ObjectId, StoreId};

const MAGIC: &[u8; 8] = b"RTAUDIT1";
const FRAME: ObjectId = ObjectId::from_bytes(*b"audit-journal-v1");
const BEGINNING: ObjectId = ObjectId::from_bytes(*b"audit-segment-v1");
const FILE_HEADER: usize = 8 + 16 + 8 + 4;
/// The part of a frame before its box.
pub(super) const FRAME_HEADER: usize = 4 + 8;
/// The part of a frame's plaintext before the lines.
pub(super) const PREFIX: usize = 32 + 8;
/// No frame's box is longer: a group ends at one mebibyte and at most one line more.
pub(super) const MAX_BOX: usize = 4 << 20;
/// The part of a box that names its key and purpose, the same in each box of a journal.
const BOX_HEADER: usize = 28;
/// What a disk writes as a whole or not at all.
const SECTOR: u64 = 512;
/// How many bytes are looked at at once when zeros are skipped.
const LOOK: u64 = 1 << 20;

/// What all segments of a journal have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seal<'a> {
    pub(super) store: StoreId,
    pub(super) keys: &'a JournalKeys,
}

impl Seal<'_> {
    fn close(
        &self,
        object: ObjectId,
        first: u64,
        plaintext: &[u8],
        random: &dyn Random,
    ) -> Result<Sealed, CryptoError> {
        let context = Context::system(self.store, object, first);
        let key = self.keys.active().seal();
        crypto::seal_padded(key, Purpose::State, &context, plaintext, random)
    }

    fn open(&self, object: ObjectId, first: u64, bytes: &[u8]) -> Option<Vec<u8>> {
        let sealed = Sealed::parse(bytes).ok()?;
        let context = Context::system(self.store, object, first);
        let key = self.keys.opener(sealed.key()?)?;
        let opened = crypto::open_padded(key, Purpose::State, &context, &sealed);
        opened
            .ok()
            .map(|plaintext| plaintext.expose(<[u8]>::to_vec))
    }

    /// Encodes the frame whose plaintext this is: [`PREFIX`] bytes, then lines.
    pub(super) fn frame(
        &self,
        first: u64,
        plaintext: &[u8],
        random: &dyn Random,
    ) -> Result<Vec<u8>, CryptoError> {
        let sealed = self.close(FRAME, first, plaintext, random)?;
        let length = u32::try_from(sealed.as_bytes().len()).map_err(|_| CryptoError::TooLong)?;
        let mut out = Vec::with_capacity(FRAME_HEADER + sealed.as_bytes().len());
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&first.to_be_bytes());
        out.extend_from_slice(sealed.as_bytes());
        Ok(out)
    }
}

/// What stands at the start of a segment, and at the start of a frame's plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Before {
    /// The chain before the first record.
    pub(super) head: Head,
    /// The highest store generation: of a segment, before it; of a frame, at its end.
    pub(super) generation: u64,
}

/// Where a frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameAt {
    offset: u64,
    length: u32,
    /// The sequence number of its first record.
    pub(super) first: u64,
}

impl FrameAt {
    /// The offset behind the frame.
    pub(super) fn end(&self) -> u64 {
        let header = u64::try_from(FRAME_HEADER).unwrap_or(u64::MAX);
        self.offset
            .saturating_add(header)
            .saturating_add(self.length.into())
    }
}

/// An opened frame.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) before: Before,
    plaintext: Vec<u8>,
}

impl Frame {
    /// The lines, without their line breaks.
    pub(super) fn lines(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        let lines = self.plaintext.get(PREFIX..).unwrap_or_default();
        lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
    }
}

/// A segment that is open.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// The sequence number of its first record.
    pub(super) first: u64,
    pub(super) before: Before,
    /// The offset of its first frame.
    pub(super) start: u64,
    /// The generation of keys that seals and signs it.
    pub(super) version: u32,
}

/// The path of the segment whose first record this is.
pub(super) fn path_of(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.log"))
}

/// The first sequence numbers of all segments in `dir`, in order.
pub(super) fn list(dir: &Path) -> io::Result<Vec<u64>> {
    let mut found: Vec<_> = ending(dir, ".log")?.into_iter().map(|it| it.0).collect();
    found.sort_unstable();
    Ok(found)
}

/// Removes segments that a kill kept from getting their names: others may have taken their places.
pub(super) fn sweep(dir: &Path) -> io::Result<()> {
    let mut left = ending(dir, ".tmp")?.into_iter();
    left.try_for_each(|(_, path)| std::fs::remove_file(path))
}

/// The files of segments whose names end so, with the number that stands before that.
fn ending(dir: &Path, end: &str) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(end));
        let number = number.filter(|number| number.len() == 20);
        let number = number.and_then(|number| number.parse::<u64>().ok());
        found.extend(number.map(|number| (number, entry.path())));
    }
    Ok(found)
}

impl Segment {
    /// Makes a segment. It appears under its name once its beginning is durable, never before.
    pub(super) fn create(
        dir: &Path,
        seal: Seal<'_>,
        before: Before,
        random: &dyn Random,
        disk: &dyn Disk,
    ) -> Result<Self, AuditError> {
        let first = before.head.seq.saturating_add(1);
        let mut plaintext = before.head.hash.to_vec();
        plaintext.extend_from_slice(&before.generation.to_be_bytes());
        let sealed = seal.close(BEGINNING, first, &plaintext, random)?;
        let length = u32::try_from(sealed.as_bytes().len()).map_err(|_| CryptoError::TooLong)?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(seal.store.bytes());
        bytes.extend_from_slice(&first.to_be_bytes());
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(sealed.as_bytes());
        let start = u64::try_from(bytes.len()).map_err(|_| CryptoError::TooLong)?;
        let path = path_of(dir, first);
        let file = place(dir, &path, disk, |file| disk.write(file, &bytes, 0))
            .map_err(AuditError::io("make an audit segment"))?;
        Ok(Self {
            file,
            path,
            first,
            before,
            start,
            version: seal.keys.active().version(),
        })
    }

    /// Opens the segment whose first record is `first`.
    pub(super) fn open(dir: &Path, first: u64, seal: Seal<'_>) -> Result<Self, AuditError> {
        let path = path_of(dir, first);
        let file =
            disk::open_file(&path, false).map_err(AuditError::io("open an audit segment"))?;
        Self::of(file, path, first, seal)
    }

    /// The segment in an open file, whose first record is `first`.
    pub(super) fn of(
        file: File,
        path: PathBuf,
        first: u64,
        seal: Seal<'_>,
    ) -> Result<Self, AuditError> {
        let damaged = AuditError::Damaged {
            segment: first,
            seq: first,
        };
        let Some((store, length)) = read_file_header(&file, first) else {
            return Err(damaged);
        };
        if store != seal.store {
            return Err(AuditError::OtherStore { segment: first });
        }
        let (Some(bytes), Some(start)) = (
            read_at(&file, size(FILE_HEADER), length),
            size(FILE_HEADER).checked_add(size(length)),
        ) else {
            return Err(damaged);
        };
        let name = Sealed::parse(&bytes).ok().and_then(|sealed| sealed.key());
        let Some(plaintext) = seal.open(BEGINNING, first, &bytes) else {
            let other = name.is_some_and(|name| seal.keys.opener(name).is_none());
            return Err(if other {
                AuditError::OtherKey { segment: first }
            } else {
                damaged
            });
        };
        let before = read_before(&plaintext, first).ok_or(damaged)?;
        Ok(Self {
            file,
            path,
            first,
            before,
            start,
            version: name.map_or(0, |name| name.version),
        })
    }

    /// The frame that begins at `offset`, if it ends at or before `until`; `None` at zeros.
    pub(super) fn frame_at(&self, offset: u64, until: u64) -> Option<FrameAt> {
        let header = read_at(&self.file, offset, FRAME_HEADER)?;
        let (length, first) = header.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length);
        let first = u64::from_be_bytes(*first.first_chunk()?);
        let at = FrameAt {
            offset,
            length,
            first,
        };
        let fits = usize::try_from(length).is_ok_and(|length| (1..=MAX_BOX).contains(&length));
        (fits && at.end() <= until).then_some(at)
    }

    /// All frames between the segment's start and `until`, and where they end.
    pub(super) fn index(&self, until: u64) -> (Vec<FrameAt>, u64) {
        let mut found = Vec::new();
        let mut offset = self.start;
        while let Some(at) = self.frame_at(offset, until) {
            offset = at.end();
            found.push(at);
        }
        (found, offset)
    }

    /// Opens a frame; `None` when it is not what was sealed there.
    pub(super) fn read(&self, at: FrameAt, seal: Seal<'_>) -> Option<Frame> {
        let offset = at.offset.checked_add(size(FRAME_HEADER))?;
        let bytes = read_at(&self.file, offset, usize::try_from(at.length).ok()?)?;
        // Of the segment's own generation: one of another was put there.
        let name = Sealed::parse(&bytes).ok()?.key()?;
        let plaintext = seal.open(FRAME, at.first, &bytes)?;
        let before = read_before(&plaintext, at.first)?;
        (name.version == self.version).then_some(Frame { before, plaintext })
    }

    /// The offset behind the last byte of `offset..until` that is not zero, or `offset`.
    pub(super) fn end_of_bytes(&self, offset: u64, until: u64) -> Option<u64> {
        let (mut end, mut at) = (offset, offset);
        while at < until {
            let next = until.min(at.saturating_add(LOOK));
            let bytes = read_at(&self.file, at, usize::try_from(next - at).ok()?)?;
            if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
                end = at.saturating_add(size(last)).saturating_add(1);
            }
            at = next;
        }
        Some(end)
    }

    /// Whether zeros stand where a frame's header would, and something else behind them in the same
    /// sector: then the header was not lost with its sector, it was never there.
    pub(super) fn is_headless_at(&self, offset: u64, until: u64) -> Option<bool> {
        let header_end = offset.checked_add(size(FRAME_HEADER))?;
        let sector_end = (offset / SECTOR).checked_add(1)?.checked_mul(SECTOR)?;
        let end = until.min(sector_end);
        if header_end >= end {
            return Some(false);
        }
        let bytes = read_at(&self.file, offset, usize::try_from(end - offset).ok()?)?;
        let (header, rest) = bytes.split_at_checked(FRAME_HEADER)?;
        let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        Some(is_zero(header) && !is_zero(rest))
    }

    /// Whether another box of this journal stands somewhere in `offset..until`.
    pub(super) fn has_box_in(&self, offset: u64, until: u64) -> Option<bool> {
        let pattern = read_at(&self.file, size(FILE_HEADER), BOX_HEADER)?;
        let length = usize::try_from(until.saturating_sub(offset)).ok()?;
        let bytes = read_at(&self.file, offset, length)?;
        Some(bytes.windows(BOX_HEADER).any(|window| window == pattern))
    }
}

/// Writes a file under another name, makes it durable, and only then gives it its own.
pub(super) fn place(
    dir: &Path,
    path: &Path,
    disk: &dyn Disk,
    write: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<File> {
    let unfinished = path.with_extension("tmp");
    let file = disk::open_file(&unfinished, true)?;
    file.set_len(0)?;
    write(&file)?;
    disk.sync(&file)?;
    reached(Failpoint::SegmentWritten);
    std::fs::rename(&unfinished, path)?;
    reached(Failpoint::SegmentNamed);
    disk::sync_dir(dir)?;
    reached(Failpoint::SegmentMade);
    Ok(file)
}

fn size(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn read_at(file: &File, offset: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}

fn read_file_header(file: &File, first: u64) -> Option<(StoreId, usize)> {
    let header = read_at(file, 0, FILE_HEADER)?;
    let rest = header.strip_prefix(MAGIC.as_slice())?;
    let (store, rest) = rest.split_first_chunk::<16>()?;
    let (named, rest) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u32::from_be_bytes(*rest.first_chunk()?)).ok()?;
    let sound = u64::from_be_bytes(*named) == first && length <= MAX_BOX;
    sound.then_some((StoreId::from_bytes(*store), length))
}

fn read_before(plaintext: &[u8], first: u64) -> Option<Before> {
    let (hash, rest) = plaintext.split_first_chunk::<32>()?;
    let generation = u64::from_be_bytes(*rest.first_chunk::<8>()?);
    let head = Head {
        seq: first.checked_sub(1)?,
        hash: *hash,
    };
    Some(Before { head, generation })
}
