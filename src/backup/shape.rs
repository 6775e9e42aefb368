//! The first frame and the last one: fixed offsets, every length checked before it is used.

use crate::audit::Head as JournalHead;
use crate::clock::Timestamp;
use crate::crypto::{Digest, PublicKey, Signature};
use crate::id::{ObjectId, StoreId};
use crate::store::{EngineKind, JournalMark};

use super::Outer;

/// The longest name of a release.
const MAX_RELEASE: usize = 64;

/// What a backup says of itself inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// What it says outside as well.
    pub outer: Outer,
    /// Whose signature it has: the key that signs the journal's checkpoints.
    pub signer: PublicKey,
    /// The engine that kept the store.
    pub engine: EngineKind,
    /// The release of the broker that made it.
    pub release: String,
}

impl Head {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = self.outer.store.bytes().to_vec();
        out.extend_from_slice(&self.outer.made.millis().to_be_bytes());
        let expires = self.outer.expires.map_or(0, Timestamp::millis);
        out.extend_from_slice(&expires.to_be_bytes());
        out.extend_from_slice(self.outer.key.bytes());
        out.extend_from_slice(&self.signer.0);
        out.push(match self.engine {
            EngineKind::Sled => 1,
            EngineKind::Redb => 2,
        });
        out.extend_from_slice(self.release.as_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = Rest(bytes);
        let store = StoreId::from_bytes(*rest.chunk()?);
        let made = Timestamp::from_millis(i64::from_be_bytes(*rest.chunk()?));
        let expires = i64::from_be_bytes(*rest.chunk()?);
        let key = ObjectId::from_bytes(*rest.chunk()?);
        let signer = PublicKey(*rest.chunk()?);
        let engine = match *rest.chunk()? {
            [1] => EngineKind::Sled,
            [2] => EngineKind::Redb,
            _ => return None,
        };
        let release = std::str::from_utf8(rest.0).ok()?;
        let plain = release.bytes().all(|byte| byte.is_ascii_graphic());
        (expires >= 0 && plain && release.len() <= MAX_RELEASE).then(|| Self {
            outer: Outer {
                store,
                made,
                expires: (expires > 0).then(|| Timestamp::from_millis(expires)),
                key,
            },
            signer,
            engine,
            release: release.to_owned(),
        })
    }
}

/// What a backup says of itself when all of it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The store's generation.
    pub generation: u64,
    /// How many records it has.
    pub records: u64,
    /// The keyed digest of all of them.
    pub digest: Digest,
    /// How far the journal had come at the store's newest commit.
    pub mark: JournalMark,
    /// The journal's last record.
    pub journal: JournalHead,
    /// SHA-256 of the ring.
    pub ring: Digest,
}

impl End {
    const LENGTH: usize = 8 + 8 + 32 + 40 + 40 + 32;

    /// All but the signature.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::LENGTH + 64);
        out.extend_from_slice(&self.generation.to_be_bytes());
        out.extend_from_slice(&self.records.to_be_bytes());
        out.extend_from_slice(&self.digest);
        for (seq, hash) in [
            (self.mark.seq, &self.mark.head),
            (self.journal.seq, &self.journal.hash),
        ] {
            out.extend_from_slice(&seq.to_be_bytes());
            out.extend_from_slice(hash);
        }
        out.extend_from_slice(&self.ring);
        out
    }

    /// It, its bytes without the signature, and that.
    pub(super) fn decode(bytes: &[u8]) -> Option<(Self, &[u8], Signature)> {
        let (signed, signature) = bytes.split_last_chunk::<64>()?;
        let mut rest = Rest(signed);
        let end = Self {
            generation: rest.number()?,
            records: rest.number()?,
            digest: *rest.chunk()?,
            mark: JournalMark::new(rest.number()?, *rest.chunk()?),
            journal: JournalHead {
                seq: rest.number()?,
                hash: *rest.chunk()?,
            },
            ring: *rest.chunk()?,
        };
        rest.0.is_empty().then_some((end, signed, *signature))
    }
}

/// What has not been read yet.
pub(super) struct Rest<'a>(pub(super) &'a [u8]);

impl<'a> Rest<'a> {
    pub(super) fn chunk<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(chunk)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        self.chunk().map(|bytes| u64::from_be_bytes(*bytes))
    }

    pub(super) fn run(&mut self, length: usize) -> Option<&'a [u8]> {
        let (run, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(run)
    }
}
