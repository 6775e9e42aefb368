//! Looking at a journal that nobody has open, and leaving it as it is.

use std::path::Path;
use std::sync::Arc;

use super::disk::System;
use super::known;
use super::reader::Reader;
use super::scan;
use super::segment::{self, Seal};
use super::shared::{Parts, Published, Shared};
use super::{AuditError, Journal, JournalKeys, Known, Options, VerifyReport};
use crate::clock::SystemClock;
use crate::crypto::SystemRandom;
use crate::id::StoreId;

impl Journal {
    /// Whether the journal in `dir` would open, as [`Journal::open`] sees it, and whether its whole
    /// chain verifies. Nothing is repaired, signed or begun. Nothing is answered for the chain when
    /// its segments have more than `most_bytes` bytes: then the last one was read, and where the
    /// store's position is. Blocks.
    ///
    /// # Errors
    /// As [`Journal::open`]. Tampering further back is a verdict, not an error.
    pub fn examine(
        dir: &Path,
        store: StoreId,
        keys: &JournalKeys,
        known: Known,
        most_bytes: u64,
    ) -> Result<Option<VerifyReport>, AuditError> {
        let segments = segment::list(dir).map_err(AuditError::io("list the audit segments"))?;
        let gone = AuditError::Mismatch {
            store: known.head.seq,
            journal: "is gone",
        };
        let last = *segments.last().ok_or(gone)?;
        let seal = Seal { store, keys };
        let found = scan::last_segment(dir, last, seal)?;
        let keys = scan::in_force(keys, &found.segment)?;
        let published = Published {
            head: found.head,
            generation: found.generation,
            segment: found.segment.first,
            length: found.length,
            version: found.segment.version,
        };
        let parts = Parts {
            dir: dir.to_owned(),
            store,
            keys,
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            disk: Arc::new(System),
            options: Options::default(),
            known: Some(known),
        };
        let shared = Shared::new(parts, published);
        let reader = Reader::new(&shared)?;
        known::agree(&reader, &known)?;
        let looking = AuditError::io("look at an audit segment");
        let mut bytes: u64 = 0;
        for first in segments {
            let path = segment::path_of(dir, first);
            let found = std::fs::metadata(path).map_err(&looking)?;
            bytes = bytes.saturating_add(found.len());
        }
        if bytes > most_bytes {
            return Ok(None);
        }
        reader.verify(Some(known.head)).map(Some)
    }
}
