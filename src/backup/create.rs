//! Making a backup of a store that serves.

use std::io::Write;
use std::path::Path;

use super::envelope;
use super::frame::{Frames, Kind};
use super::open::GONE;
use super::shape::{End, Head};
use super::{BackupError, Outer, Recipients};
use crate::audit::{Extent, Piece, backup_message};
use crate::clock::Timestamp;
use crate::crypto::{PublicKey, sha256};
use crate::custody::{CustodyError, Ring};
use crate::store::{Progress, Snapshot, StoreError, Write as Change};
use crate::vault::Vault;

/// A frame of records is written when it has this many bytes (256 KiB).
const FULL: usize = 256 << 10;

/// What a backup is to be.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Who may open it.
    pub recipients: Recipients,
    /// When its key is to be destroyed, if at any time.
    pub expires: Option<Timestamp>,
    /// The settings file that the broker was started with.
    pub settings: Option<String>,
}

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// What it says to everybody.
    pub outer: Outer,
    /// The moment that it holds.
    pub end: End,
    /// How long the file is, in bytes.
    pub bytes: u64,
}

/// Writes a backup of `vault`, whose ring is in `keys`, to `out`, while everybody is served. Memory stays
/// flat; the store is held up for one moment only, however slow `out` is. Blocks.
///
/// # Errors
/// [`StoreError::Rewriting`], before anything is written; [`StoreError::Restless`],
/// [`StoreError::Stopped`]; what the store, the journal, the ring and `out` report. What was written then is
/// no backup, and nobody takes it for one.
pub fn write(
    vault: &Vault,
    keys: &Path,
    wish: &Wish,
    progress: &Progress,
    out: impl Write,
) -> Result<Made, BackupError> {
    let store = vault.store();
    let outer = Outer {
        store: vault.id(),
        made: vault.now(),
        expires: wish.expires,
        key: wish.recipients.key(),
    };
    let signer = vault.journal().public_key();
    let head = Head {
        outer,
        signer,
        engine: store.engine_kind().unwrap_or_default(),
        release: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let mut making = Making {
        head,
        wish,
        out: Some(Counted { out, bytes: 0 }),
        frames: None,
        records: Vec::with_capacity(FULL),
    };
    let mut trouble = None;
    let (journal, keys) = (vault.journal().clone(), keys.to_owned());
    let moment = store.snapshot(
        progress,
        move || (Ring::file(&keys), journal.extent()),
        &mut |change| {
            making.change(change).map_err(|error| {
                trouble = Some(error);
                StoreError::Stopped
            })
        },
    );
    let moment = trouble
        .map_or(Ok(()), Err)
        .and(moment.map_err(BackupError::from))?;
    let (end, mut out) = finish(vault, signer, making.finish()?, moment)?;
    out.flush().map_err(BackupError::io("writing the backup"))?;
    let bytes = out.bytes;
    Ok(Made { outer, end, bytes })
}

/// Writes what is of the store's moment and not of the store: the ring, the journal, the end.
fn finish<W: Write>(
    vault: &Vault,
    begun_by: PublicKey,
    mut frames: Frames<W>,
    moment: Snapshot<(Result<Vec<u8>, CustodyError>, Extent)>,
) -> Result<(End, W), BackupError> {
    let (ring, extent) = moment.beside;
    let ring = ring?;
    frames.write(Kind::Ring, &ring)?;
    let mut body = Vec::new();
    let mut piece_of = |piece: Piece<'_>| -> Result<(), BackupError> {
        body.clear();
        body.extend_from_slice(&piece.segment.to_be_bytes());
        body.extend_from_slice(&piece.offset.to_be_bytes());
        body.extend_from_slice(piece.bytes);
        frames.write(Kind::Segment, &body)
    };
    vault.journal().copy(&extent, &mut piece_of)?;
    let end = End {
        generation: moment.generation,
        records: moment.records,
        digest: moment.digest,
        mark: moment.mark,
        journal: extent.head(),
        ring: sha256(&ring),
    };
    // Whose signature it has stands at its beginning.
    let signer = vault.journal().signer();
    let signs = signer.signs().filter(|key| key.public() == begun_by);
    let signs = signs.ok_or(StoreError::Restless)?;
    let out = frames.end(&end.encode(), |digest| signs.sign(&backup_message(digest)))?;
    Ok((end, out))
}

/// A backup of which nothing is written before there is something to write: what is refused at once
/// leaves no beginning behind.
struct Making<'a, W: Write> {
    head: Head,
    wish: &'a Wish,
    out: Option<W>,
    frames: Option<Frames<W>>,
    records: Vec<u8>,
}

impl<W: Write> Making<'_, W> {
    fn change(&mut self, change: Change<'_>) -> Result<(), BackupError> {
        let (key, value) = match change {
            Change::Put(key, value) => (key, Some(value)),
            Change::Delete(key) => (key, None),
        };
        let out = &mut self.records;
        out.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(key);
        let length = value.map_or(Ok(GONE), |value| u32::try_from(value.len()));
        out.extend_from_slice(&length.unwrap_or(GONE).to_be_bytes());
        out.extend_from_slice(value.unwrap_or_default());
        if self.records.len() >= FULL {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), BackupError> {
        if self.frames.is_none()
            && let Some(out) = self.out.take()
        {
            let sealed = envelope::seal(&self.head.outer, &self.wish.recipients, out)?;
            let mut frames = Frames::begin(sealed)?;
            frames.write(Kind::Head, &self.head.encode())?;
            if let Some(settings) = &self.wish.settings {
                frames.write(Kind::Settings, settings.as_bytes())?;
            }
            self.frames = Some(frames);
        }
        if let Some(frames) = &mut self.frames {
            frames.write(Kind::Records, &self.records)?;
        }
        self.records.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<Frames<W>, BackupError> {
        self.flush()?;
        // It was made by the flush: every store has records.
        self.frames.ok_or(BackupError::Store(StoreError::Damaged {
            what: "it has no records",
        }))
    }
}

struct Counted<W> {
    out: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes = self
            .bytes
            .saturating_add(u64::try_from(written).unwrap_or(u64::MAX));
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}
