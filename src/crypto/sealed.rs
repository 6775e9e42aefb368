//! The bytes of a sealed box, and of a record made of several.
//!
//! ```text
//!  0  4  magic OBX1          28 32  salt
//!  4  1  suite (1)           60 12  nonce
//!  5  1  purpose             72 32  commitment
//!  6  2  flags (0)          104  4  length of what follows
//!  8 16  key id             108  n  ciphertext, then a 16-byte tag
//! 24  4  key version
//! ```

use super::key::Hold;
use super::{Commitment, CryptoError, KeyRef};
use crate::id::ObjectId;

pub(super) const MAGIC: &[u8; 4] = b"OBX1";
pub(super) const LABEL: &[u8; 4] = b"obx1";
pub(super) const SUITE: u8 = 1;
/// The part of a box that names its key: all before the salt.
pub(super) const HEADER: usize = 28;
pub(super) const BODY: usize = 108;
pub(super) const TAG: usize = 16;
/// Bytes that a box has more than its plaintext.
pub const OVERHEAD: usize = BODY + TAG;
/// The longest plaintext of one box (16 MiB): far above any record, far below a length overflow.
pub(super) const MAX_PLAINTEXT: usize = 16 << 20;

/// What a box holds. Part of its header and of its context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// An organisation's key, or the root key in its ring slot.
    OrgKey,
    /// An owner's key.
    OwnerKey,
    /// The data key of one version.
    DataKey,
    /// Metadata of a version.
    Metadata,
    /// A value.
    Value,
    /// A key that blinds names.
    IndexKey,
    /// A key of the audit journal or of the anchor.
    AuditKey,
    /// State: pointers, directory records, journal frames, counters.
    State,
    /// A backup.
    Backup,
}

impl Purpose {
    /// The purpose as it stands in the header.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::OrgKey => 1,
            Self::OwnerKey => 2,
            Self::DataKey => 3,
            Self::Metadata => 4,
            Self::Value => 5,
            Self::IndexKey => 6,
            Self::AuditKey => 7,
            Self::State => 8,
            Self::Backup => 9,
        }
    }
}

/// One sealed box. Only [`seal`](super::seal) makes one from a plaintext; [`Sealed::parse`] checks the
/// form of one that was read back, and nothing but [`open`](super::open) looks inside.
#[derive(Clone, Debug)]
pub struct Sealed(Box<[u8]>, Option<Hold>);

/// Holds are no part of what they are in.
impl PartialEq for Sealed {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Sealed {}

impl Sealed {
    pub(super) fn from_sealing(bytes: Vec<u8>, key: Hold) -> Self {
        Self(bytes.into(), Some(key))
    }

    /// Checks lengths and fixed fields of a box read from disk. Trailing bytes are refused.
    ///
    /// # Errors
    /// [`CryptoError::Form`] for anything that is no whole box of a known suite.
    pub fn parse(bytes: &[u8]) -> Result<Self, CryptoError> {
        Self::check(bytes).map(|()| Self(bytes.into(), None))
    }

    fn check(bytes: &[u8]) -> Result<(), CryptoError> {
        let parts = Parts::of(bytes).ok_or(CryptoError::Form)?;
        let length = parts.ciphertext.len();
        let sound = (TAG..=MAX_PLAINTEXT + TAG).contains(&length)
            && u32::try_from(length).is_ok_and(|length| length.to_be_bytes() == *parts.length);
        if sound {
            Ok(())
        } else {
            Err(CryptoError::Form)
        }
    }

    /// The whole box.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name of the key that sealed it.
    #[must_use]
    pub fn key(&self) -> Option<KeyRef> {
        key_of(&self.0)
    }

    /// Whether it says that it holds such a thing. Opening it decides.
    #[must_use]
    pub fn is_of(&self, purpose: Purpose) -> bool {
        self.0.get(5) == Some(&purpose.byte())
    }
}

fn key_of(sealed: &[u8]) -> Option<KeyRef> {
    let parts = Parts::of(sealed)?;
    let (id, version) = parts.header.get(8..)?.split_first_chunk::<16>()?;
    let version = u32::from_be_bytes(*version.first_chunk()?);
    Some(KeyRef {
        id: ObjectId::from_bytes(*id),
        version,
    })
}

/// A box cut at its fixed offsets.
pub(super) struct Parts<'a> {
    pub(super) header: &'a [u8; HEADER],
    pub(super) salt: &'a [u8; 32],
    pub(super) nonce: &'a [u8; 12],
    pub(super) commitment: &'a [u8; 32],
    pub(super) length: &'a [u8; 4],
    pub(super) ciphertext: &'a [u8],
}

impl<'a> Parts<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk()?;
        let (salt, rest) = rest.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let (commitment, rest) = rest.split_first_chunk()?;
        let (length, ciphertext) = rest.split_first_chunk()?;
        let known = header.starts_with(MAGIC)
            && header.get(4) == Some(&SUITE)
            && header.get(6..8) == Some(&[0, 0]);
        known.then_some(Self {
            header,
            salt,
            nonce,
            commitment,
            length,
            ciphertext,
        })
    }
}

/// A value as the store keeps it: sealed boxes and key commitments, and nothing else.
///
/// Encoded as one tag byte per part (`1` a box, with its length in four bytes before it; `2` a
/// commitment of 32 bytes). There is no way to put plaintext into one. One whose boxes were sealed just now
/// has a [`Hold`] of each of their keys, until it is where it is kept.
#[derive(Clone, Debug, Default)]
pub struct Record(Vec<u8>, Vec<Hold>);

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Record {}

impl Record {
    /// A record of one box.
    #[must_use]
    pub fn of(sealed: &Sealed) -> Self {
        Self::default().with_box(sealed)
    }

    /// This record with one more box at its end.
    #[must_use]
    pub fn with_box(mut self, sealed: &Sealed) -> Self {
        // A box is at most 16 MiB and 124 bytes, so its length always fits.
        let length = u32::try_from(sealed.0.len()).unwrap_or(u32::MAX);
        self.0.reserve_exact(5 + sealed.0.len());
        self.0.push(1);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(&sealed.0);
        self.1.extend(sealed.1.clone());
        self
    }

    /// This record with `sealed` in place of its first part, which is a box.
    ///
    /// # Errors
    /// [`CryptoError::Form`] when it is none.
    pub fn with_first_box(&self, sealed: &Sealed) -> Result<Self, CryptoError> {
        let mut rest = self.reader();
        rest.boxed()?;
        let mut record = Self::default();
        let length = 5_usize.saturating_add(sealed.0.len());
        record.0.reserve_exact(length.saturating_add(rest.0.len()));
        let mut record = record.with_box(sealed);
        record.0.extend_from_slice(rest.0);
        record.1.extend_from_slice(&self.1);
        Ok(record)
    }

    /// This record with a commitment at its end.
    #[must_use]
    pub fn with_commitment(mut self, commitment: Commitment) -> Self {
        self.0.push(2);
        self.0.extend_from_slice(commitment.bytes());
        self
    }

    /// Checks the form of a record read from disk, to its last byte.
    ///
    /// # Errors
    /// [`CryptoError::Form`] for anything that is not a run of whole parts.
    pub fn parse(bytes: &[u8]) -> Result<Self, CryptoError> {
        Self::adopt(bytes.to_vec())
    }

    /// As [`Record::parse`], without a copy.
    ///
    /// # Errors
    /// As [`Record::parse`].
    pub fn adopt(bytes: Vec<u8>) -> Result<Self, CryptoError> {
        let record = Self(bytes, Vec::new());
        let mut reader = record.reader();
        while !reader.is_empty() {
            if reader.0.first() == Some(&2) {
                reader.commitment()?;
            } else {
                Sealed::check(reader.boxed()?)?;
            }
        }
        Ok(record)
    }

    /// The encoded record.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name of the key that sealed its first part, if that is a box.
    #[must_use]
    pub fn key(&self) -> Option<KeyRef> {
        key_of(self.reader().boxed().ok()?)
    }

    /// Reads the parts in order.
    #[must_use]
    pub fn reader(&self) -> RecordReader<'_> {
        RecordReader(&self.0)
    }
}

/// Reads a [`Record`] part by part.
#[derive(Debug)]
pub struct RecordReader<'a>(&'a [u8]);

impl<'a> RecordReader<'a> {
    /// The next part, which must be a box.
    ///
    /// # Errors
    /// [`CryptoError::Form`] when it is anything else, or missing.
    pub fn sealed(&mut self) -> Result<Sealed, CryptoError> {
        Sealed::parse(self.boxed()?)
    }

    fn boxed(&mut self) -> Result<&'a [u8], CryptoError> {
        let (tag, rest) = self.0.split_first().ok_or(CryptoError::Form)?;
        let (length, rest) = rest.split_first_chunk().ok_or(CryptoError::Form)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| CryptoError::Form)?;
        let (bytes, rest) = rest.split_at_checked(length).ok_or(CryptoError::Form)?;
        if *tag != 1 {
            return Err(CryptoError::Form);
        }
        self.0 = rest;
        Ok(bytes)
    }

    /// The next part, which must be a commitment.
    ///
    /// # Errors
    /// [`CryptoError::Form`] when it is anything else, or missing.
    pub fn commitment(&mut self) -> Result<Commitment, CryptoError> {
        let (tag, rest) = self.0.split_first().ok_or(CryptoError::Form)?;
        let (bytes, rest) = rest.split_first_chunk().ok_or(CryptoError::Form)?;
        if *tag != 2 {
            return Err(CryptoError::Form);
        }
        self.0 = rest;
        Ok(Commitment::from_bytes(*bytes))
    }

    /// Whether no part is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Ends the reading; what is left over is an error.
    ///
    /// # Errors
    /// [`CryptoError::Form`] when parts remain.
    pub fn end(self) -> Result<(), CryptoError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(CryptoError::Form)
        }
    }
}
