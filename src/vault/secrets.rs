//! Reading secrets: find, list, versions, lend.

use crate::audit::Recorded;
use crate::clock::Timestamp;
use crate::crypto::{Owner, Record};
use crate::name::SecretName;
use crate::policy::{ListSecrets, Listing, Permit, ReadSecret, RevealSecret, SecretRef};
use crate::secret::Secret;
use crate::store::{Class, Read, StoreError, StoreKey};
use crate::wire;

use super::cursor;
use super::generations::Generations;
use super::metadata::SecretInfo;
use super::pointer::{Pointer, ReadPointer, owner_prefix, pointer_place, version_place};
use super::value::{StoredValue, open_version, recall_version};
use super::{Etag, OrgKeys, Vault, VaultError};

/// A secret that was found: its metadata is open, its value is not.
#[derive(Debug)]
pub struct Found {
    pub(super) owner: Owner,
    pub(super) read: ReadPointer,
    pub(super) stored: StoredValue<SecretInfo>,
}

/// One page of a list.
#[derive(Debug)]
pub struct Page {
    /// The secrets.
    pub secrets: Vec<wire::SecretMetadata>,
    /// Where the next page begins, as an opaque text; `None` at the end.
    pub next: Option<String>,
}

impl Found {
    /// Its metadata.
    #[must_use]
    pub fn info(&self) -> &SecretInfo {
        self.stored.metadata()
    }

    /// Whose it is.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        self.owner
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> crate::id::SecretId {
        self.read.pointer.id
    }

    /// The version in use.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.read.pointer.current
    }

    /// Its state's name.
    #[must_use]
    pub fn etag(&self) -> Etag {
        self.read.pointer.etag()
    }

    /// Its metadata, as it is shown.
    #[must_use]
    pub fn to_wire(&self, retention_days: i64) -> wire::SecretMetadata {
        describe(self.owner, &self.read.pointer, self.info(), retention_days)
    }

    /// Opens the value for one use that is on disk in the journal.
    ///
    /// # Errors
    /// When the record was altered.
    pub fn lend(&self, recorded: &Recorded) -> Result<Secret, VaultError> {
        self.stored.open(recorded)
    }
}

fn describe(
    owner: Owner,
    pointer: &Pointer,
    info: &SecretInfo,
    retention_days: i64,
) -> wire::SecretMetadata {
    use crate::crypto::OwnerKind;
    use crate::id::UserId;
    let shared = owner.kind == OwnerKind::OrgShared;
    wire::SecretMetadata {
        id: pointer.id,
        name: info.name.clone(),
        owner: if shared {
            wire::SecretOwner::Org
        } else {
            wire::SecretOwner::User
        },
        org_wide: shared,
        owner_user_id: (!shared).then(|| UserId::from_bytes(owner.id)),
        category: info.category,
        scope: info.scope,
        description: info.description.clone(),
        hosts: info.hosts.clone(),
        revealable: info.revealable,
        version: pointer.current,
        expires_at: info.expires,
        created_at: pointer.created,
        updated_at: info.updated,
        last_rotated_at: pointer.rotated,
        deleted_at: pointer.deleted,
        purge_at: pointer
            .deleted
            .map(|at| at.plus_seconds(retention_days * 86_400)),
        etag: pointer.etag().to_string(),
    }
}

impl Vault {
    /// A secret's metadata.
    ///
    /// # Errors
    /// [`VaultError::NotFound`] when there is none, or it was deleted.
    pub async fn read_secret(&self, permit: &Permit<ReadSecret>) -> Result<Found, VaultError> {
        let org = self.org(permit.principal().org())?;
        let SecretRef { owner, name } = permit.object();
        self.find_secret(&org, *owner, name)
            .await?
            .ok_or(VaultError::NotFound)
    }

    /// The secret of `owner` called `name`; deleted ones are not found.
    ///
    /// # Errors
    /// When a record was altered, or the store fails.
    pub(crate) async fn find_secret(
        &self,
        org: &OrgKeys,
        owner: Owner,
        name: &SecretName,
    ) -> Result<Option<Found>, VaultError> {
        let Some(read) = self.read_pointer(org, owner, name).await? else {
            return Ok(None);
        };
        if read.pointer.deleted.is_some() {
            return Ok(None);
        }
        self.open_current(org, owner, read).await.map(Some)
    }

    /// The pointer of `name`, deleted or not.
    pub(super) async fn read_pointer(
        &self,
        org: &OrgKeys,
        owner: Owner,
        name: &SecretName,
    ) -> Result<Option<ReadPointer>, VaultError> {
        let Some(key) = self.owner_key(org, owner).await? else {
            return Ok(None);
        };
        let place = pointer_place(org, owner, name);
        let Some(read) = self.store.read(&place).await? else {
            return Ok(None);
        };
        org.exists(Class::Secret, owner, name.as_str(), &place);
        self.open_pointer(&key, org, owner, place, &read).map(Some)
    }

    /// Opens a pointer, unless this very record was opened before.
    pub(super) fn open_pointer(
        &self,
        key: &Generations,
        org: &OrgKeys,
        owner: Owner,
        place: StoreKey,
        read: &Read,
    ) -> Result<ReadPointer, VaultError> {
        let digest = *read.digest();
        let remembered = (org.id(), owner, place);
        let pointer = if let Some(pointer) = self.memo.pointer(&remembered, &digest) {
            pointer
        } else {
            let pointer: Pointer = self.open_state(key, org.id(), owner, &remembered.2, read)?;
            self.memo
                .keep_pointer(remembered.clone(), digest, pointer.clone());
            pointer
        };
        Ok(ReadPointer {
            place: remembered.2,
            pointer,
            digest,
        })
    }

    /// Whether `owner` has a secret called `name` that is not deleted.
    ///
    /// # Errors
    /// When a record was altered, or the store fails.
    pub async fn has_secret(
        &self,
        org: &OrgKeys,
        owner: Owner,
        name: &SecretName,
    ) -> Result<bool, VaultError> {
        let read = self.read_pointer(org, owner, name).await?;
        Ok(read.is_some_and(|read| read.pointer.deleted.is_none()))
    }

    /// Whether there is a secret of this name, or was one whose record is still kept.
    ///
    /// # Errors
    /// When a record was altered, or the store fails.
    pub async fn knows_secret(
        &self,
        org: &OrgKeys,
        owner: Owner,
        name: &SecretName,
    ) -> Result<bool, VaultError> {
        Ok(self.read_pointer(org, owner, name).await?.is_some())
    }

    pub(super) async fn open_current(
        &self,
        org: &OrgKeys,
        owner: Owner,
        read: ReadPointer,
    ) -> Result<Found, VaultError> {
        let stored = self
            .open_secret_version(org, owner, &read.pointer, read.pointer.current)
            .await?;
        Ok(Found {
            owner,
            read,
            stored,
        })
    }

    pub(super) async fn open_secret_version(
        &self,
        org: &OrgKeys,
        owner: Owner,
        pointer: &Pointer,
        version: u64,
    ) -> Result<StoredValue<SecretInfo>, VaultError> {
        let key = self.owner_key(org, owner).await?.ok_or(VaultError::Form)?;
        let place = pointer.place(self.id, org, owner, version)?;
        let read = self
            .store
            .read(&version_place(org, pointer.id, version))
            .await?
            .ok_or(VaultError::Form)?;
        if let Some(described) = self.memo.described(&place, read.digest()) {
            return recall_version(&key, &place, read, described);
        }
        let stored = open_version(&key, &place, &read)?;
        self.memo
            .keep_described(place, *read.digest(), stored.described());
        Ok(stored)
    }

    /// One page of the secrets that `permit` allows and that are `wanted`, one owner's in turn. Each
    /// page is in the order of blinded names: stable, and telling nothing.
    ///
    /// # Errors
    /// [`VaultError::Rule`] for a cursor that this vault did not make.
    pub async fn list_secrets(
        &self,
        permit: &Permit<ListSecrets>,
        everyone: &[Owner],
        wanted: impl Fn(&wire::SecretMetadata) -> bool,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page, VaultError> {
        let principal = permit.principal();
        let org = self.org(principal.org())?;
        let own = [principal.owner(), Owner::ORG_SHARED];
        let owners: &[Owner] = match permit.object() {
            Listing::Own => own.get(..1).unwrap_or_default(),
            Listing::Shared => own.get(1..).unwrap_or_default(),
            Listing::OwnAndShared => &own,
            Listing::Everyone => everyone,
        };
        let (skip, mut after) = match cursor {
            Some(text) => cursor::read(&org, owners, text)?,
            None => (0, None),
        };
        // Names in another order: what comes after the cursor is not what came after it.
        let given = after.clone();
        let moved = |after: Option<&StoreKey>, error| match error {
            StoreError::Moved if given.is_some() && after == given.as_ref() => cursor::RULE,
            error => error.into(),
        };
        let mut secrets = Vec::new();
        for (turn, owner) in owners.iter().enumerate().skip(skip) {
            // Who has no key has nothing, or nothing any more.
            if self.owner_key(&org, *owner).await?.is_none() {
                after = None;
                continue;
            }
            let prefix = owner_prefix(&org, *owner);
            loop {
                let page = self.store.scan(&prefix, after.as_ref(), 64).await;
                let page = page.map_err(|error| moved(after.as_ref(), error))?;
                if page.is_empty() {
                    break;
                }
                for (place, record) in page {
                    if secrets.len() == limit {
                        let next = Some(cursor::write(&org, turn, after.as_ref()));
                        return Ok(Page { secrets, next });
                    }
                    let listed = self.listed(&org, *owner, &place, record).await?;
                    let shown = listed.to_wire(self.retention_days);
                    if wanted(&shown) {
                        secrets.push(shown);
                    }
                    after = Some(place);
                }
            }
            after = None;
        }
        Ok(Page {
            secrets,
            next: None,
        })
    }

    async fn listed(
        &self,
        org: &OrgKeys,
        owner: Owner,
        place: &StoreKey,
        record: Record,
    ) -> Result<Found, VaultError> {
        let key = self.owner_key(org, owner).await?.ok_or(VaultError::Form)?;
        let read = Read::new(record);
        let read = self.open_pointer(&key, org, owner, place.clone(), &read)?;
        self.open_current(org, owner, read).await
    }

    /// The versions that are kept, newest first.
    ///
    /// # Errors
    /// [`VaultError::NotFound`] when there is no such secret.
    pub async fn secret_versions(
        &self,
        permit: &Permit<ReadSecret>,
    ) -> Result<Vec<wire::SecretVersion>, VaultError> {
        let found = self.read_secret(permit).await?;
        let pointer = &found.read.pointer;
        let shown = |&(version, created_at): &(u64, Timestamp)| wire::SecretVersion {
            version,
            created_at,
            current: version == pointer.current,
        };
        Ok(pointer.versions.iter().rev().map(shown).collect())
    }

    /// The secret to be revealed; its value is then opened by [`Found::lend`].
    ///
    /// # Errors
    /// [`VaultError::NotFound`], [`VaultError::NotRevealable`], [`VaultError::Expired`].
    pub async fn revealable_secret(
        &self,
        permit: &Permit<RevealSecret>,
    ) -> Result<Found, VaultError> {
        let org = self.org(permit.principal().org())?;
        let (SecretRef { owner, name }, _) = permit.object();
        let found = self
            .find_secret(&org, *owner, name)
            .await?
            .ok_or(VaultError::NotFound)?;
        if !found.info().revealable {
            return Err(VaultError::NotRevealable);
        }
        if found.info().expired(self.now()) {
            return Err(VaultError::Expired);
        }
        Ok(found)
    }

    /// How long a deleted secret can be restored, in days.
    #[must_use]
    pub const fn retention_days(&self) -> i64 {
        self.retention_days
    }
}
