//! The pointer: one record per secret, found by owner and name, saying which version is in use.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::crypto::{Digest, Owner, Record, sha256};
use crate::id::{ObjectId, SecretId, StoreId};
use crate::name::SecretName;
use crate::store::{Class, StoreKey};

use super::value::VersionPlace;
use super::{OrgKeys, VaultError};

/// How many versions of a secret are kept; the oldest goes when one more is made.
pub(super) const VERSIONS_KEPT: usize = 10;

/// What the pointer record says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pointer {
    pub(super) id: SecretId,
    /// Counts every change, for the `ETag`.
    pub(super) revision: u64,
    /// The version in use.
    pub(super) current: u64,
    /// The highest version ever made.
    pub(super) last: u64,
    /// The versions that are kept, oldest first, with when each was made.
    pub(super) versions: Vec<(u64, Timestamp)>,
    pub(super) created: Timestamp,
    pub(super) rotated: Option<Timestamp>,
    pub(super) deleted: Option<Timestamp>,
}

impl Pointer {
    pub(super) const fn new(id: SecretId, now: Timestamp) -> Self {
        Self {
            id,
            revision: 0,
            current: 0,
            last: 0,
            versions: Vec::new(),
            created: now,
            rotated: None,
            deleted: None,
        }
    }

    /// When version `version` was made.
    pub(super) fn made(&self, version: u64) -> Option<Timestamp> {
        self.versions
            .iter()
            .find(|(kept, _)| *kept == version)
            .map(|(_, made)| *made)
    }

    /// Where version `version` stands.
    pub(super) fn place(
        &self,
        store: StoreId,
        org: &OrgKeys,
        owner: Owner,
        version: u64,
    ) -> Result<VersionPlace, VaultError> {
        let created = self.made(version).ok_or(VaultError::NotFound)?;
        let object = ObjectId::from_bytes(*self.id.bytes());
        Ok(VersionPlace {
            store,
            org: org.id(),
            owner,
            object,
            version,
            created,
        })
    }

    pub(super) fn etag(&self) -> Etag {
        Etag {
            id: self.id,
            revision: self.revision,
        }
    }
}

/// Names one state of one secret (RFC 9110, 8.8.3): changes with every change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Etag {
    id: SecretId,
    revision: u64,
}

impl Etag {
    /// The same as bytes.
    #[must_use]
    pub fn bytes(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        let (id, revision) = bytes.split_at_mut(16);
        id.copy_from_slice(self.id.bytes());
        revision.copy_from_slice(&self.revision.to_be_bytes());
        bytes
    }

    /// Whether `text`, an `If-Match` header's value, names this state. `*` names any.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let own = self.to_string();
        text.split(',')
            .map(str::trim)
            .any(|one| one == "*" || one == own)
    }
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}.{}\"", self.id, self.revision)
    }
}

/// A pointer as it was read: with its place, and the digest that a commit expects to find there.
#[derive(Clone, Debug)]
pub(super) struct ReadPointer {
    pub(super) place: StoreKey,
    pub(super) pointer: Pointer,
    pub(super) digest: Digest,
}

impl ReadPointer {
    pub(super) fn new(place: StoreKey, pointer: Pointer, record: &Record) -> Self {
        Self {
            place,
            pointer,
            digest: sha256(record.as_bytes()),
        }
    }
}

/// All secrets of an owner share this prefix, so that they can be listed.
pub(super) fn owner_prefix(org: &OrgKeys, owner: Owner) -> StoreKey {
    StoreKey::new(Class::Secret, &[&owner_hash(org, owner)])
}

/// Where the pointer of `name` stands.
pub(super) fn pointer_place(org: &OrgKeys, owner: Owner, name: &SecretName) -> StoreKey {
    org.place(Class::Secret, owner, ("secrets", "secret"), name.as_str())
}

fn owner_hash(org: &OrgKeys, owner: Owner) -> [u8; 16] {
    let hash = org
        .index()
        .hash(&[b"secrets", &[owner.kind_byte()], &owner.id]);
    hash.first_chunk().map_or([0; 16], |half| *half)
}

/// Where version `version` of the object `id` stands.
pub(super) fn version_place(org: &OrgKeys, id: SecretId, version: u64) -> StoreKey {
    let hash = org
        .index()
        .hash(&[b"version", id.bytes(), &version.to_be_bytes()]);
    StoreKey::new(Class::SecretVersion, &[&hash])
}
