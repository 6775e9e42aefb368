//! The export: JSONL that anybody can verify with the public key and no other part of the broker.
//!
//! ```text
//! {"journal":{"format":1,"store":"…","seq":0,"hash":"<hex>","public_key":"<hex>"}}
//! {"hash":"<64 hex digits>","record":<the line, byte for byte as it was hashed>}
//! {"checkpoint":"<signed note>"}
//! ```
//!
//! `seq` and `hash` of the first line are the position before the first record, and `public_key` signs there. To verify: hash
//! `runtools-audit-1` ‖ previous hash (32 bytes) ‖ line for each record, compare, count `seq` up by
//! one, and check each note's signature, number and hash against the record before it. A record of
//! `audit.hand_over` names the key that signs next; once a checkpoint of the key before covers it, that one's
//! are the ones that count. The key that one was given has to be among those that sign.

use std::borrow::Cow;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::Head;
use crate::crypto::PublicKey;
use crate::id::StoreId;

const CHECKPOINT: &[u8] = br#"{"checkpoint":"#;
const HASH: &[u8] = br#"{"hash":""#;
const RECORD: &[u8] = br#"","record":"#;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    journal: Journal,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Journal {
    format: u32,
    store: StoreId,
    seq: u64,
    hash: String,
    public_key: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note<'a> {
    #[serde(borrow)]
    checkpoint: Cow<'a, str>,
}

/// One line of an export after the first.
pub(super) enum ExportLine<'a> {
    Record { hash: &'a [u8; 64], line: &'a [u8] },
    Checkpoint(Cow<'a, str>),
}

/// The first line of an export, with its line break.
pub(super) fn header(store: StoreId, from: Head, public: &PublicKey) -> Option<Vec<u8>> {
    let journal = Journal {
        format: 1,
        store,
        seq: from.seq,
        hash: HEXLOWER.encode(&from.hash),
        public_key: HEXLOWER.encode(&public.0),
    };
    let mut out = serde_json::to_vec(&Header { journal }).ok()?;
    out.push(b'\n');
    Some(out)
}

/// Reads the first line of an export: whose it is, where it begins, and who signs there.
pub(super) fn read_header(line: &[u8]) -> Option<(StoreId, Head, PublicKey)> {
    let Header { journal } = serde_json::from_slice(line).ok()?;
    let hash = HEXLOWER
        .decode(journal.hash.as_bytes())
        .ok()?
        .try_into()
        .ok()?;
    let head = Head {
        seq: journal.seq,
        hash,
    };
    let signer = HEXLOWER.decode(journal.public_key.as_bytes()).ok()?;
    let signer = PublicKey(signer.try_into().ok()?);
    (journal.format == 1).then_some((journal.store, head, signer))
}

/// Appends a record's line of an export.
pub(super) fn write_record(out: &mut Vec<u8>, head: &Head, line: &[u8]) {
    let mut hex = [0; 64];
    HEXLOWER.encode_mut(&head.hash, &mut hex);
    for part in [HASH, &hex, RECORD, line, b"}\n"] {
        out.extend_from_slice(part);
    }
}

/// Appends a checkpoint's line: the same in frames and exports.
pub(super) fn write_checkpoint(out: &mut Vec<u8>, note: &str) -> Option<()> {
    let note = Note {
        checkpoint: Cow::Borrowed(note),
    };
    let encoded = serde_json::to_vec(&note).ok()?;
    out.extend_from_slice(&encoded);
    out.push(b'\n');
    Some(())
}

/// The note of a checkpoint's line; `None` for every other line.
pub(super) fn read_checkpoint(line: &[u8]) -> Option<Cow<'_, str>> {
    if !line.starts_with(CHECKPOINT) {
        return None;
    }
    let note: Note<'_> = serde_json::from_slice(line).ok()?;
    Some(note.checkpoint)
}

/// Reads a line of an export.
pub(super) fn read_line(line: &[u8]) -> Option<ExportLine<'_>> {
    if let Some(rest) = line.strip_prefix(HASH) {
        let (hash, rest) = rest.split_first_chunk()?;
        let line = rest.strip_prefix(RECORD)?.strip_suffix(b"}")?;
        return Some(ExportLine::Record { hash, line });
    }
    read_checkpoint(line).map(ExportLine::Checkpoint)
}
