//! Reading a backup, part by part: nothing of it is kept in memory, and nothing of it is trusted before
//! [`read`] has come to its end.

use std::io::Read;

use super::envelope;
use super::frame::{FrameReader, Kind};
use super::shape::{End, Head, Rest};
use super::{BackupError, Identities};
use crate::audit::{Piece, backup_message};
use crate::crypto::{Record, sha256};
use crate::store::{Class, MAX_RECORD_BYTES, Write};

/// Says that there is no record any more.
pub(super) const GONE: u32 = u32::MAX;
/// The longest key of a record.
const MAX_KEY: usize = 512;

/// A part of a backup.
#[derive(Debug)]
pub enum Part<'a> {
    /// The settings file.
    Settings(&'a [u8]),
    /// A change of the store's records.
    Record(Write<'a>),
    /// The ring's file.
    Ring(&'a [u8]),
    /// A piece of the journal.
    Journal(Piece<'a>),
}

/// A backup that was read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// What it says first.
    pub head: Head,
    /// What it says last. All of it is signed by [`Head::signer`].
    pub end: End,
}

const fn damaged(what: &'static str) -> BackupError {
    BackupError::Damaged { what }
}

/// Reads a backup and shows `each` its parts, after `begin` was shown how it begins. Whose signature it has
/// is not asked: [`Head::signer`] says it, and any who know a recipient can sign as somebody.
///
/// # Errors
/// [`BackupError::NotABackup`], [`BackupError::WrongIdentity`], [`BackupError::Damaged`],
/// [`BackupError::Version`]; what `begin`, `each` and reading report.
pub fn read(
    input: impl Read,
    identities: &Identities,
    begin: &mut dyn FnMut(&Head) -> Result<(), BackupError>,
    each: &mut dyn FnMut(Part<'_>) -> Result<(), BackupError>,
) -> Result<Opened, BackupError> {
    let (outer, inside) = envelope::open(input, identities)?;
    let mut begin = |head: &Head| {
        if head.outer != outer {
            return Err(damaged("it says one thing outside and another inside"));
        }
        begin(head)
    };
    parts(FrameReader::begin(inside)?, &mut begin, each)
}

/// Reads what is inside of the encryption.
pub(super) fn parts(
    mut frames: FrameReader<impl Read>,
    begin: &mut dyn FnMut(&Head) -> Result<(), BackupError>,
    each: &mut dyn FnMut(Part<'_>) -> Result<(), BackupError>,
) -> Result<Opened, BackupError> {
    frames.next()?;
    let head = Head::decode(frames.body()).ok_or(damaged("it begins in an unknown form"))?;
    begin(&head)?;
    frames.link(Kind::Head, frames.body().len());
    let mut journal = JournalOrder::default();
    let mut ring = None;
    loop {
        let kind = frames.next()?;
        let body = frames.body();
        match kind {
            // The order was checked: it is the first frame and no other.
            Kind::Head => return Err(damaged("it begins twice")),
            Kind::Settings => each(Part::Settings(body))?,
            Kind::Records => records(body, each)?,
            Kind::Ring => {
                ring = Some(sha256(body));
                each(Part::Ring(body))?;
            }
            Kind::Segment => each(Part::Journal(journal.piece(body)?))?,
            Kind::End => {
                let unknown = damaged("it ends in an unknown form");
                let (end, signed, signature) = End::decode(body).ok_or(unknown)?;
                let covered = signed.len();
                frames.link(Kind::End, covered);
                let digest = frames.end()?;
                if ring != Some(end.ring) {
                    return Err(damaged("its key ring is missing, or another one"));
                }
                if !head.signer.verifies(&backup_message(&digest), &signature) {
                    return Err(BackupError::Forged);
                }
                return Ok(Opened { head, end });
            }
        }
        frames.link(kind, frames.body().len());
    }
}

/// Shows the records of a frame, each of a form that the store takes.
fn records(
    body: &[u8],
    each: &mut dyn FnMut(Part<'_>) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    const FORM: BackupError = damaged("a record has an unknown form");
    let mut rest = Rest(body);
    while !rest.0.is_empty() {
        let length = u16::from_be_bytes(*rest.chunk().ok_or(FORM)?);
        let key = rest.run(length.into()).ok_or(FORM)?;
        let known = key.first().is_some_and(|byte| Class::of(*byte).is_some());
        if !known || key.len() > MAX_KEY {
            return Err(FORM);
        }
        let length = u32::from_be_bytes(*rest.chunk().ok_or(FORM)?);
        if length == GONE {
            each(Part::Record(Write::Delete(key)))?;
            continue;
        }
        let length = usize::try_from(length).map_err(|_| FORM)?;
        let value = rest.run(length).ok_or(FORM)?;
        if length > MAX_RECORD_BYTES || Record::parse(value).is_err() {
            return Err(FORM);
        }
        each(Part::Record(Write::Put(key, value)))?;
    }
    Ok(())
}

/// Sees to it that segments come in order, each from its beginning and without gaps.
#[derive(Default)]
struct JournalOrder(Option<(u64, u64)>);

impl JournalOrder {
    fn piece<'a>(&mut self, body: &'a [u8]) -> Result<Piece<'a>, BackupError> {
        const ORDER: BackupError =
            damaged("pieces of the journal are missing, or in another order");
        let mut rest = Rest(body);
        let segment = rest.number().ok_or(ORDER)?;
        let offset = rest.number().ok_or(ORDER)?;
        let goes_on = match self.0 {
            None => offset == 0,
            Some((last, end)) if last == segment => offset == end,
            Some((last, _)) => segment > last && offset == 0,
        };
        let length = u64::try_from(rest.0.len()).map_err(|_| ORDER)?;
        if !goes_on || length == 0 {
            return Err(ORDER);
        }
        self.0 = Some((segment, offset.checked_add(length).ok_or(ORDER)?));
        Ok(Piece {
            segment,
            offset,
            bytes: rest.0,
        })
    }
}
