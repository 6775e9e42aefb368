//! What a box is bound to: 179 bytes at fixed offsets, no optional parts, nothing parsed.

use super::key::Commitment;
use super::sealed::{HEADER, LABEL, Purpose, SUITE};
use crate::clock::Timestamp;
use crate::id::{ObjectId, OrgId, StoreId, UserId};

/// What kind of owner an object has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OwnerKind {
    /// The installation itself: root keys, audit, anchors.
    System,
    /// One organisation, shared by its members.
    OrgShared,
    /// One member of an organisation, private.
    User,
}

/// Who an object belongs to, within its organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// What kind of owner.
    pub kind: OwnerKind,
    /// Which one; zero for `System` and `OrgShared`.
    pub id: [u8; 16],
}

impl Owner {
    /// The installation itself.
    pub const SYSTEM: Self = Self {
        kind: OwnerKind::System,
        id: [0; 16],
    };
    /// The organisation's shared objects.
    pub const ORG_SHARED: Self = Self {
        kind: OwnerKind::OrgShared,
        id: [0; 16],
    };

    /// One member's private objects.
    #[must_use]
    pub const fn user(id: UserId) -> Self {
        Self {
            kind: OwnerKind::User,
            id: *id.bytes(),
        }
    }

    /// The kind as it stands in contexts.
    #[must_use]
    pub const fn kind_byte(self) -> u8 {
        match self.kind {
            OwnerKind::System => 0,
            OwnerKind::OrgShared => 1,
            OwnerKind::User => 2,
        }
    }
}

/// Everything that a box is bound to, besides its own header. Unused parts are zero.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The store.
    pub store: StoreId,
    /// The organisation; zero for what belongs to the installation.
    pub org: OrgId,
    /// The owner within it.
    pub owner: Owner,
    /// The object.
    pub object: ObjectId,
    /// The object's version.
    pub version: u64,
    /// The commitment of the data key, for the boxes sealed under one.
    pub data_key: Commitment,
    /// SHA-256 of the metadata plaintext, for the value's box.
    pub metadata: [u8; 32],
    /// When the object's version was made.
    pub created: Timestamp,
}

/// Length of the encoded context.
pub(super) const LENGTH: usize = 179;

impl Context {
    /// A context of the installation itself, with all other parts zero.
    #[must_use]
    pub const fn system(store: StoreId, object: ObjectId, version: u64) -> Self {
        Self {
            store,
            org: OrgId::from_bytes([0; 16]),
            owner: Owner::SYSTEM,
            object,
            version,
            data_key: Commitment::NONE,
            metadata: [0; 32],
            created: Timestamp::from_millis(0),
        }
    }

    /// The 179 bytes: the box's first 28, then the fields in order.
    pub(super) fn encode(&self, header: &[u8; HEADER], purpose: Purpose) -> [u8; LENGTH] {
        let version = self.version.to_be_bytes();
        let created = self.created.millis().to_be_bytes();
        join([
            header.as_slice(),
            self.store.bytes(),
            self.org.bytes(),
            &[self.owner.kind_byte()],
            &self.owner.id,
            self.object.bytes(),
            &version,
            self.data_key.bytes(),
            &self.metadata,
            &created,
            LABEL,
            &[purpose.byte()],
            &[SUITE],
        ])
    }
}

/// The parts, one after the other: `N` bytes together. Copied as blocks, since this is done for each box.
#[inline]
pub(super) fn join<const N: usize, const M: usize>(parts: [&[u8]; M]) -> [u8; N] {
    let mut out = [0; N];
    let mut rest = out.as_mut_slice();
    for part in parts {
        let (head, tail) = rest.split_at_mut(part.len());
        head.copy_from_slice(part);
        rest = tail;
    }
    debug_assert!(rest.is_empty(), "the parts are {N} bytes long");
    out
}
