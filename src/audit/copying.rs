//! The journal's files as they were at one moment, piece by piece: what is durable never changes again.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::segment;
use super::shared::Published;
use super::{AuditError, Head, Journal, disk};
use crate::crypto::Digest;

/// How many bytes are read at a time.
const PIECE: usize = 256 << 10;
/// What a backup's signature is of, before the digest: no checkpoint begins so.
const LABEL: &[u8] = b"runtools-broker backup 1\0";

/// How far the journal was durable at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Extent(Published);

impl Extent {
    /// The last record's position.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.0.head
    }
}

/// A piece of a segment's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The sequence number of the segment's first record.
    pub segment: u64,
    /// Where in the file it stands.
    pub offset: u64,
    /// It.
    pub bytes: &'a [u8],
}

/// What a backup's signer signs.
#[must_use]
pub fn backup_message(digest: &Digest) -> Vec<u8> {
    [LABEL, digest].concat()
}

/// The file of the segment whose first record this is, in the journal's directory.
#[must_use]
pub fn segment_file(dir: &Path, first: u64) -> PathBuf {
    segment::path_of(dir, first)
}

impl Journal {
    /// How far it is durable now.
    #[must_use]
    pub fn extent(&self) -> Extent {
        Extent(self.shared().published())
    }

    /// Tells `each` the segments up to `extent`, in order and without gaps. Blocks.
    ///
    /// # Errors
    /// [`AuditError::Io`] when a segment cannot be read; what `each` reports.
    pub fn copy<E: From<AuditError>>(
        &self,
        extent: &Extent,
        each: &mut dyn FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let end = extent.0;
        let dir = &self.shared().dir;
        let segments = segment::list(dir).map_err(AuditError::io("list the audit segments"))?;
        let mut buffer = vec![0; PIECE];
        for first in segments.into_iter().filter(|first| *first <= end.segment) {
            let reading = AuditError::io("read an audit segment");
            let path = segment::path_of(dir, first);
            let file = disk::open_file(&path, false).map_err(&reading)?;
            let length = if first == end.segment {
                end.length
            } else {
                file.metadata().map_err(&reading)?.len()
            };
            let mut offset = 0;
            while offset < length {
                let left = usize::try_from(length - offset).unwrap_or(PIECE);
                let piece = buffer.get_mut(..left.min(PIECE)).unwrap_or_default();
                file.read_exact_at(piece, offset).map_err(&reading)?;
                each(Piece {
                    segment: first,
                    offset,
                    bytes: piece,
                })?;
                offset += u64::try_from(piece.len()).unwrap_or(u64::MAX);
            }
        }
        Ok(())
    }
}
