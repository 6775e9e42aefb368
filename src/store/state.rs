//! What the store knows of itself, and how that is written down: in the state record, sealed, and in
//! the anchor file, under a MAC.

use super::{StoreError, StoreKey, parse_record};
use crate::crypto::{self, Context, Digest, Key, MultisetDigest, Purpose, Random, Record};
use crate::id::{ObjectId, StoreId};

/// How far the audit journal had come: what the store remembers of it, so that neither of the two can
/// be set back alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalMark {
    /// The number of the journal's newest record.
    pub seq: u64,
    /// The hash of the chain up to it.
    pub head: [u8; 32],
}

impl JournalMark {
    /// Before the first record.
    pub const GENESIS: Self = Self::new(0, [0; 32]);

    /// The mark of a record and the chain up to it.
    #[must_use]
    pub const fn new(seq: u64, head: [u8; 32]) -> Self {
        Self { seq, head }
    }
}

/// The number of records, and the keyed digest of all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    pub(super) count: u64,
    pub(super) digest: MultisetDigest,
}

impl Census {
    pub(super) fn take_in(&mut self, member: &Digest) {
        self.count = self.count.saturating_add(1);
        self.digest.add(member);
    }

    pub(super) fn take_out(&mut self, member: &Digest) {
        self.count = self.count.saturating_sub(1);
        self.digest.remove(member);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.digest.merge(&other.digest);
    }
}

/// The state after a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// How many group commits there were; the one that makes the store is 1.
    pub(super) generation: u64,
    pub(super) census: Census,
    pub(super) mark: JournalMark,
}

/// Which object the state record is, in its sealing context.
const STATE_OBJECT: ObjectId = ObjectId::from_bytes(*b"store-state-rec\0");

impl State {
    /// Before anything was stored.
    pub(super) fn nothing() -> Self {
        Self {
            generation: 0,
            census: Census::default(),
            mark: JournalMark::GENESIS,
        }
    }

    /// Length of the encoded state.
    pub(super) const LENGTH: usize = 8 + 8 + 32 + 8 + 32;

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::LENGTH);
        out.extend_from_slice(&self.generation.to_be_bytes());
        out.extend_from_slice(&self.census.count.to_be_bytes());
        out.extend_from_slice(&self.census.digest.bytes());
        out.extend_from_slice(&self.mark.seq.to_be_bytes());
        out.extend_from_slice(&self.mark.head);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (generation, rest) = bytes.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let (digest, rest) = rest.split_first_chunk()?;
        let (seq, rest) = rest.split_first_chunk()?;
        let (head, rest) = rest.split_first_chunk()?;
        rest.is_empty().then(|| Self {
            generation: u64::from_be_bytes(*generation),
            census: Census {
                count: u64::from_be_bytes(*count),
                digest: MultisetDigest::from_bytes(digest),
            },
            mark: JournalMark::new(u64::from_be_bytes(*seq), *head),
        })
    }

    /// The state as the record that stands under [`StoreKey::STATE`].
    pub(super) fn seal(
        &self,
        store: StoreId,
        key: &Key,
        random: &dyn Random,
    ) -> Result<Record, StoreError> {
        let context = Context::system(store, STATE_OBJECT, 0);
        crypto::seal(key, Purpose::State, &context, &self.encode(), random)
            .map(|sealed| Record::of(&sealed))
            .map_err(|_| StoreError::Sealing)
    }

    /// Opens the state record.
    pub(super) fn open(store: StoreId, key: &Key, bytes: &[u8]) -> Result<Self, StoreError> {
        let damaged = StoreError::Damaged {
            what: "the state record does not open",
        };
        let record = parse_record(bytes)?;
        let mut reader = record.reader();
        let context = Context::system(store, STATE_OBJECT, 0);
        reader
            .sealed()
            .and_then(|sealed| crypto::open(key, Purpose::State, &context, &sealed))
            .and_then(|plain| reader.end().map(|()| plain))
            .ok()
            .and_then(|plain| plain.expose(Self::decode))
            .ok_or(damaged)
    }
}

/// Whether a key is the state record's, which is no member of the set it describes.
pub(super) fn is_state_key(key: &[u8]) -> bool {
    key == StoreKey::STATE
}
