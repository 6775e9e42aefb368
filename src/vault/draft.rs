//! What every change of a secret shares: its conditions, and the batch that carries it.

use crate::audit::Recorded;
use crate::crypto::{Owner, Record};
use crate::policy::{Action, Permit, SecretRef};
use crate::secret::Secret;
use crate::store::{Batch, Expect, StoreError};

use std::sync::Arc;

use super::metadata::SecretInfo;
use super::pointer::{Pointer, ReadPointer, VERSIONS_KEPT, pointer_place, version_place};
use super::value::{StoredValue, seal_version};
use super::{Found, OrgKeys, Vault, VaultError};

/// How often a change is decided again before its caller is told that somebody else was faster.
pub(super) const ATTEMPTS: usize = 16;

/// What must hold for a change to happen (RFC 9110, 13.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition<'a> {
    /// Nothing.
    #[default]
    None,
    /// `If-Match`: what is there is in one of these states.
    Match(&'a str),
    /// `If-None-Match: *`: there is nothing of that name yet.
    New,
}

impl Condition<'_> {
    /// Whether it holds for what was read.
    pub(super) fn check(self, read: Option<&ReadPointer>) -> Result<(), VaultError> {
        match (self, read) {
            (Self::None, _) | (Self::New, None) => Ok(()),
            (Self::New, Some(read)) if read.pointer.deleted.is_some() => Ok(()),
            (Self::New, Some(_)) => Err(VaultError::Exists),
            (Self::Match(text), Some(read)) if read.pointer.etag().matches(text) => Ok(()),
            (Self::Match(_), _) => Err(VaultError::Stale),
        }
    }
}

/// The batch that takes a secret away, with every version.
pub(super) fn without_secret(org: &OrgKeys, read: &ReadPointer) -> Batch {
    let mut batch = Batch::new();
    batch.expect(read.place.clone(), Expect::Exactly(read.digest));
    batch.delete(read.place.clone());
    for (version, _) in &read.pointer.versions {
        batch.delete(version_place(org, read.pointer.id, *version));
    }
    batch
}

impl Vault {
    pub(super) fn org_and_place<'p, A: Action<Object = SecretRef>>(
        &self,
        permit: &'p Permit<A>,
    ) -> Result<(Arc<OrgKeys>, &'p SecretRef), VaultError> {
        Ok((self.org(permit.principal().org())?, permit.object()))
    }

    /// Commits, or answers false when what the batch expects is no longer there.
    pub(super) async fn committed(
        &self,
        batch: Batch,
        recorded: &Recorded,
    ) -> Result<bool, VaultError> {
        match self.commit(batch, recorded).await {
            Ok(()) => Ok(true),
            Err(VaultError::Store(StoreError::Precondition)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Seals `value` as the pointer's current version.
    pub(super) async fn seal_secret(
        &self,
        org: &OrgKeys,
        owner: Owner,
        pointer: &Pointer,
        info: SecretInfo,
        value: &Secret,
    ) -> Result<(Record, StoredValue<SecretInfo>), VaultError> {
        // None: whose it was is gone, and the key with them.
        let key = self.owner_key(org, owner).await?;
        let key = key.ok_or(VaultError::NotFound)?;
        let place = pointer.place(self.id, org, owner, pointer.current)?;
        seal_version(&key, &place, info, value, self.random())
    }

    /// The batch that replaces a pointer which was read, counting its revision up; and the pointer as it
    /// will be read after that.
    pub(super) async fn with_pointer(
        &self,
        org: &OrgKeys,
        secret: &SecretRef,
        read: &ReadPointer,
        mut pointer: Pointer,
    ) -> Result<(Batch, ReadPointer), VaultError> {
        pointer.revision += 1;
        let key = self
            .owner_key(org, secret.owner)
            .await?
            .ok_or(VaultError::Form)?;
        let record = self.seal_state(&key, org.id(), secret.owner, &read.place, &pointer)?;
        let after = ReadPointer::new(read.place.clone(), pointer, &record);
        let mut batch = Batch::new();
        batch.expect(read.place.clone(), Expect::Exactly(read.digest));
        batch.put(read.place.clone(), record);
        Ok((batch, after))
    }

    /// The batch that adds a version with this value and metadata and makes it the current one; and the
    /// secret as it will be found after that.
    pub(super) async fn with_version(
        &self,
        org: &OrgKeys,
        secret: &SecretRef,
        old: Option<&ReadPointer>,
        mut pointer: Pointer,
        info: SecretInfo,
        value: &Secret,
    ) -> Result<(Batch, Found), VaultError> {
        pointer.revision += 1;
        pointer.last += 1;
        pointer.current = pointer.last;
        pointer.versions.push((pointer.current, self.now()));
        let mut batch = Batch::new();
        while pointer.versions.len() > VERSIONS_KEPT {
            let (oldest, _) = pointer.versions.remove(0);
            batch.delete(version_place(org, pointer.id, oldest));
        }
        let (version, stored) = self
            .seal_secret(org, secret.owner, &pointer, info, value)
            .await?;
        batch.put(version_place(org, pointer.id, pointer.current), version);
        let place = pointer_place(org, secret.owner, &secret.name);
        let key = self
            .owner_key(org, secret.owner)
            .await?
            .ok_or(VaultError::Form)?;
        let record = self.seal_state(&key, org.id(), secret.owner, &place, &pointer)?;
        let expected = old.map_or(Expect::Absent, |read| Expect::Exactly(read.digest));
        let read = ReadPointer::new(place.clone(), pointer, &record);
        batch.expect(place.clone(), expected);
        batch.put(place, record);
        // Without its key, which may be destroyed by now, nobody could ever open it.
        batch.expect(org.owner_place(secret.owner), Expect::Present);
        let found = Found {
            owner: secret.owner,
            read,
            stored,
        };
        Ok((batch, found))
    }
}
