//! A segment of the journal, an export of it, and what stands in that.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, memfd_create};

use super::line::Start;
use super::segment::{Seal, Segment};
use super::{Checkpoint, JournalKey, JournalKeys, Signer, Verdict, scan, verify_export};
use crate::crypto::{Key, KeyRef, SigningKey};
use crate::id::{ObjectId, StoreId};

/// A key of the journals in `tests_rig`, whose segments and exports the corpus has.
fn key(byte: u8) -> Option<Key> {
    let id = ObjectId::from_bytes([byte; 16]);
    Key::from_bytes(KeyRef { id, version: 1 }, &mut [byte; 32]).ok()
}

fn signer() -> Option<SigningKey> {
    SigningKey::from_seed(&key(2)?).ok()
}

/// A file in memory, and the keys of the journal whose segment it may be.
fn given(bytes: &[u8]) -> Option<(File, JournalKeys)> {
    let mut file = File::from(memfd_create("segment", MemfdFlags::CLOEXEC).ok()?);
    file.write_all(bytes).ok()?;
    let only = JournalKey::new(key(1)?, Signer::Signs(signer()?));
    Some((file, JournalKeys::new(vec![only])?))
}

/// Whatever a segment is, it is refused, or what counts of it is in it, and begins where it says.
pub(crate) fn segment(bytes: &[u8]) {
    let Some((file, keys)) = given(bytes) else {
        return;
    };
    let seal = Seal {
        store: StoreId::from_random([1; 16]),
        keys: &keys,
    };
    let Ok(segment) = Segment::of(file, PathBuf::new(), 1, seal) else {
        return;
    };
    if let Ok(found) = scan::judged(segment, seal) {
        let length = usize::try_from(found.length).unwrap_or(usize::MAX);
        assert!(found.segment.start <= found.length && length <= bytes.len());
        assert!(found.head.seq >= found.segment.before.head.seq);
        assert!(found.uncovered <= found.head.seq);
        // What is behind it is room, or one write that did not end.
        let behind = bytes.get(length..).unwrap_or_default();
        assert!(found.cut.is_some() || behind.iter().all(|byte| *byte == 0));
    }
}

/// Whatever an export is, something is found; and what is intact ends where a checkpoint says.
pub(crate) fn export(bytes: &[u8]) {
    let Some(key) = signer() else {
        return;
    };
    if let Ok(report) = verify_export(bytes, &key.public())
        && report.verdict == Verdict::Intact
    {
        let covered = report.last_checkpoint.map(|last| last.head);
        assert!(report.records == 0 || covered == Some(report.head));
    }
    for line in bytes.split(|byte| *byte == b'\n') {
        Start::of(line);
    }
    if let Ok(note) = str::from_utf8(bytes) {
        let _checkpoint = Checkpoint::parse(note, &key.public());
    }
}
