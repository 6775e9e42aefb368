//! The keys of owners: opened when they are first needed, drawn when an owner first stores something.

use std::sync::Arc;

use crate::audit::Recorded;
use crate::crypto::{self, Commitment, Context, Key, KeyRef, Owner, Purpose, Record, Sealed};
use crate::id::ObjectId;
use crate::store::{Batch, Class, Expect, StoreError, StoreKey};

use super::generations::Generations;
use super::key_record::{Sealeds, boxes, record};
use super::{OrgKeys, Vault, VaultError};

impl OrgKeys {
    /// Where an owner's key stands.
    pub(super) fn owner_place(&self, owner: Owner) -> StoreKey {
        let hash = self
            .index()
            .hash(&[b"owner-key", &[owner.kind_byte()], &owner.id]);
        StoreKey::new(Class::OwnerKey, &[&hash])
    }
}

impl Vault {
    /// What a generation of an owner's key is bound to.
    pub(super) fn owner_key_context(&self, org: &OrgKeys, owner: Owner, version: u32) -> Context {
        let object = ObjectId::from_bytes(owner.id);
        Context {
            store: self.id,
            org: org.id(),
            owner,
            data_key: Commitment::NONE,
            ..Context::system(self.id, object, u64::from(version))
        }
    }

    /// An owner's key, if the owner has ever stored anything.
    pub(crate) async fn owner_key(
        &self,
        org: &OrgKeys,
        owner: Owner,
    ) -> Result<Option<Arc<Generations>>, VaultError> {
        if let Some(keys) = self.keyring.owner(org.id(), owner) {
            return Ok(Some(keys));
        }
        let place = org.owner_place(owner);
        // Looked for again and again where there is none: an organisation that shares nothing, say.
        let Some(record) = self.store.read(&place).await? else {
            return Ok(None);
        };
        let sealeds = self.read_owner_record(org, owner, &place, &record)?;
        let mut keys = Vec::with_capacity(sealeds.keys.len());
        for (version, sealed) in sealeds.line.versions().zip(&sealeds.keys) {
            keys.push(self.open_owner_key(org, owner, version, sealed)?);
        }
        let active = keys.remove(0);
        let keys = Generations::new(active, keys);
        let keys = self.keyring.adopt_owner(org.id(), owner, keys);
        // Destroyed after it was read: whoever did so may have looked here before it was kept.
        if self.store.get(&place).await?.is_none() {
            self.keyring.forget_owner(org.id(), owner);
            return Ok(None);
        }
        Ok(Some(keys))
    }

    /// An owner's key, drawn and committed when this is the first thing they store.
    pub(crate) async fn owner_key_or_new(
        &self,
        org: &OrgKeys,
        owner: Owner,
        recorded: &Recorded,
    ) -> Result<Arc<Generations>, VaultError> {
        if let Some(key) = self.owner_key(org, owner).await? {
            return Ok(key);
        }
        let place = org.owner_place(owner);
        let key = Key::generate(owner_key_name(owner, 1), self.random())?;
        let sealed = self.seal_owner_key(org, owner, &key)?;
        let mut batch = Batch::new();
        batch.expect(place.clone(), Expect::Absent);
        batch.put(place, Record::of(&sealed));
        match self.commit(batch, recorded).await {
            Ok(()) => {
                let keys = Generations::of(key);
                Ok(self.keyring.adopt_owner(org.id(), owner, keys))
            }
            // Somebody else was first: theirs is the key.
            Err(VaultError::Store(StoreError::Precondition)) => {
                self.owner_key(org, owner).await?.ok_or(VaultError::Form)
            }
            Err(error) => Err(error),
        }
    }

    /// Seals one generation of an owner's key under the organisation's.
    pub(super) fn seal_owner_key(
        &self,
        org: &OrgKeys,
        owner: Owner,
        key: &Key,
    ) -> Result<Sealed, VaultError> {
        let context = self.owner_key_context(org, owner, key.name().version);
        let (kek, random) = (org.kek().active(), self.random());
        Ok(key.expose(|key| crypto::seal(&kek, Purpose::OwnerKey, &context, key, random))?)
    }

    /// Opens one generation of an owner's key.
    pub(super) fn open_owner_key(
        &self,
        org: &OrgKeys,
        owner: Owner,
        version: u32,
        sealed: &Sealed,
    ) -> Result<Key, VaultError> {
        let context = self.owner_key_context(org, owner, version);
        let key = org.kek().open(Purpose::OwnerKey, &context, sealed)?;
        Ok(Key::from_secret(owner_key_name(owner, version), &key)?)
    }

    /// Takes an owner's record apart.
    pub(super) fn read_owner_record(
        &self,
        org: &OrgKeys,
        owner: Owner,
        place: &StoreKey,
        record: &Record,
    ) -> Result<Sealeds, VaultError> {
        let mut rest = boxes(record)?.into_iter();
        let first = rest.next().ok_or(VaultError::Form)?;
        if first.is_of(Purpose::OwnerKey) {
            return Sealeds::first(first, rest);
        }
        let line = self.open_state_box(org.kek(), org.id(), owner, place, &first)?;
        Sealeds::of(line, rest)
    }

    /// Puts an owner's record together.
    pub(super) fn write_owner_record(
        &self,
        org: &OrgKeys,
        owner: Owner,
        place: &StoreKey,
        sealeds: &Sealeds,
    ) -> Result<Record, VaultError> {
        let line = self.seal_state_box(org.kek(), org.id(), owner, place, &sealeds.line)?;
        Ok(record([&line].into_iter().chain(&sealeds.keys)))
    }
}

/// What a generation of an owner's key is called.
pub(super) const fn owner_key_name(owner: Owner, version: u32) -> KeyRef {
    KeyRef {
        id: ObjectId::from_bytes(owner.id),
        version,
    }
}
