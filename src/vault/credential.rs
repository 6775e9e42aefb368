//! Values that stand alone: credentials stored for an installed tool, OAuth clients, tokens. As a
//! secret's version, but with one version that is replaced in place, found by the place itself.
//!
//! Most belong to an owner within an organisation. A few belong to the installation: they are sealed
//! under the key of its own records, in a context without an organisation.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::audit::Recorded;
use crate::clock::Timestamp;
use crate::crypto::{Commitment, Owner, Record, sha256};
use crate::id::{ObjectId, OrgId};
use crate::secret::Secret;
use crate::store::{Batch, Expect, StoreKey};

use super::value::{StoredValue, VersionPlace, open_version, seal_version};
use super::{OrgKeys, Vault, VaultError, check_value};

/// The organisation of what belongs to none.
const NO_ORG: OrgId = OrgId::from_bytes([0; 16]);

impl Vault {
    /// A credential's object is its place: put under another key, it does not open.
    pub(super) fn credential_place(
        &self,
        org: OrgId,
        owner: Owner,
        place: &StoreKey,
    ) -> VersionPlace {
        let digest = sha256(place.as_bytes());
        let object = digest.first_chunk().map_or([0; 16], |half| *half);
        VersionPlace {
            store: self.id,
            org,
            owner,
            object: ObjectId::from_bytes(object),
            version: 1,
            created: Timestamp::from_millis(0),
        }
    }

    /// Puts a sealed credential into `batch`.
    ///
    /// # Errors
    /// [`VaultError::Rule`] for a bad value.
    pub(crate) async fn put_credential<M: Serialize + Clone>(
        &self,
        batch: &mut Batch,
        (org, owner, place): (&OrgKeys, Owner, StoreKey),
        metadata: &M,
        value: &Secret,
        recorded: &Recorded,
    ) -> Result<(), VaultError> {
        let whose = (org, owner, &place);
        let record = self
            .seal_credential(whose, metadata, value, recorded)
            .await?;
        // Without its key, which may be destroyed by now, nobody could ever open it.
        batch.expect(org.owner_place(owner), Expect::Present);
        batch.put(place, record);
        Ok(())
    }

    /// Seals a credential for `place`.
    ///
    /// # Errors
    /// [`VaultError::Rule`] for a bad value.
    pub(crate) async fn seal_credential<M: Serialize + Clone>(
        &self,
        (org, owner, place): (&OrgKeys, Owner, &StoreKey),
        metadata: &M,
        value: &Secret,
        recorded: &Recorded,
    ) -> Result<Record, VaultError> {
        check_value(value)?;
        let key = self.owner_key_or_new(org, owner, recorded).await?;
        let at = self.credential_place(org.id(), owner, place);
        let (record, _) = seal_version(&key, &at, metadata.clone(), value, self.random())?;
        Ok(record)
    }

    /// The credential that `record` is, if it was sealed for `place`.
    ///
    /// # Errors
    /// When the record was altered, or the store fails.
    pub(crate) async fn open_credential<M: DeserializeOwned>(
        &self,
        (org, owner, place): (&OrgKeys, Owner, &StoreKey),
        record: &Record,
    ) -> Result<StoredValue<M>, VaultError> {
        let key = self.owner_key(org, owner).await?.ok_or(VaultError::Form)?;
        let at = self.credential_place(org.id(), owner, place);
        open_version(&key, &at, record)
    }

    /// Puts a sealed credential of the installation into `batch`.
    ///
    /// # Errors
    /// [`VaultError::Rule`] for a bad value.
    pub(crate) fn put_installation_credential<M: Serialize + Clone>(
        &self,
        batch: &mut Batch,
        place: StoreKey,
        metadata: &M,
        value: &Secret,
    ) -> Result<(), VaultError> {
        check_value(value)?;
        let at = self.credential_place(NO_ORG, Owner::SYSTEM, &place);
        let key = self.system_key();
        let (record, _) = seal_version(key, &at, metadata.clone(), value, self.random())?;
        batch.put(place, record);
        Ok(())
    }

    /// The installation's credential at `place`, if there is one.
    ///
    /// # Errors
    /// When the record was altered, or the store fails.
    pub(crate) async fn installation_credential<M: DeserializeOwned>(
        &self,
        place: &StoreKey,
    ) -> Result<Option<StoredValue<M>>, VaultError> {
        let Some(record) = self.store.get(place).await? else {
            return Ok(None);
        };
        let at = self.credential_place(NO_ORG, Owner::SYSTEM, place);
        Ok(Some(open_version(self.system_key(), &at, &record)?))
    }

    /// The credential at `place`, if there is one, with what tells it from any other that was or will be
    /// there: the fingerprint of its data key, which stays when that key is wrapped anew.
    ///
    /// # Errors
    /// When the record was altered, or the store fails.
    pub(crate) async fn credential<M: DeserializeOwned>(
        &self,
        org: &OrgKeys,
        owner: Owner,
        place: &StoreKey,
    ) -> Result<Option<(StoredValue<M>, Commitment)>, VaultError> {
        let Some(read) = self.store.read(place).await? else {
            return Ok(None);
        };
        let opened = self.open_credential((org, owner, place), &read).await?;
        let mut parts = read.reader();
        parts.sealed()?;
        let fingerprint = parts.commitment()?;
        Ok(Some((opened, fingerprint)))
    }
}
