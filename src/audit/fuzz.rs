//! An export of the journal, and what stands in it.

use super::line::Start;
use super::{Checkpoint, Verdict, verify_export};
use crate::crypto::{Key, KeyRef, SigningKey};
use crate::id::ObjectId;

/// The key of the journals in `tests_rig`, whose exports the corpus has.
fn signer() -> Option<SigningKey> {
    let id = ObjectId::from_bytes([2; 16]);
    let key = Key::from_bytes(KeyRef { id, version: 1 }, &mut [2; 32]).ok()?;
    SigningKey::from_seed(&key).ok()
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
