//! The two ends of a rotation: a new generation becomes the active one, and the old one goes. Each is one
//! record, so that it has happened or has not.

use std::sync::Arc;

use crate::crypto::{self, Key, Owner, Purpose, Record, sha256};
use crate::store::{Batch, Expect};
use crate::vault::generations::Generations;
use crate::vault::org_keys::org_key_name;
use crate::vault::owner_keys::owner_key_name;
use crate::vault::{OrgKeys, Vault, VaultError};

impl Vault {
    /// The owners whose keys are to be replaced: those who have one, with it.
    pub(super) async fn keys_of(
        &self,
        org: &OrgKeys,
        owners: &[Owner],
    ) -> Result<Vec<(Owner, Arc<Generations>)>, VaultError> {
        let mut found = Vec::new();
        for owner in owners {
            if let Some(keys) = self.owner_key(org, *owner).await? {
                found.push((*owner, keys));
            }
        }
        Ok(found)
    }

    /// Puts an owner's next generation into `batch`; it is in force once that is committed and the
    /// generations are told.
    pub(super) async fn put_next_owner_key(
        &self,
        org: &OrgKeys,
        owner: Owner,
        batch: &mut Batch,
    ) -> Result<Option<Key>, VaultError> {
        let place = org.owner_place(owner);
        // Destroyed meanwhile, with all that it sealed.
        let Some(old) = self.store.get(&place).await? else {
            return Ok(None);
        };
        let mut sealeds = self.read_owner_record(org, owner, &place, &old)?;
        sealeds.line = sealeds.line.turned()?;
        let key = Key::generate(owner_key_name(owner, sealeds.line.active), self.random())?;
        sealeds
            .keys
            .insert(0, self.seal_owner_key(org, owner, &key)?);
        let new = self.write_owner_record(org, owner, &place, &sealeds)?;
        batch.expect(place.clone(), Expect::Exactly(sha256(old.as_bytes())));
        batch.put(place, new);
        Ok(Some(key))
    }

    /// Puts an owner's key into `batch` without its older generations.
    pub(super) async fn put_retired_owner_key(
        &self,
        org: &OrgKeys,
        owner: Owner,
        batch: &mut Batch,
    ) -> Result<(), VaultError> {
        let place = org.owner_place(owner);
        let Some(old) = self.store.get(&place).await? else {
            return Ok(());
        };
        let mut sealeds = self.read_owner_record(org, owner, &place, &old)?;
        let mut gone = Vec::new();
        let all: Vec<_> = sealeds.line.versions().zip(&sealeds.keys).collect();
        for (version, sealed) in all.into_iter().skip(1) {
            gone.push(self.open_owner_key(org, owner, version, sealed)?);
        }
        sealeds.line = sealeds.line.retired(&gone, self.now());
        sealeds.keys.truncate(1);
        let new = self.write_owner_record(org, owner, &place, &sealeds)?;
        batch.expect(place.clone(), Expect::Exactly(sha256(old.as_bytes())));
        batch.put(place, new);
        Ok(())
    }

    /// Puts an organisation's next generation into `batch`, with its index key under it.
    pub(super) async fn put_next_org_key(
        &self,
        org: &OrgKeys,
        batch: &mut Batch,
    ) -> Result<Key, VaultError> {
        let place = self.org_key_place(org.id());
        let old = self.store.get(&place).await?.ok_or(VaultError::Form)?;
        let mut record = self.read_org_record(&place, &old)?;
        self.renew_under_root(org.id(), &mut record.sealeds)?;
        record.sealeds.line = record.sealeds.line.turned()?;
        let version = record.sealeds.line.active;
        let random = self.random();
        let key = Key::generate(org_key_name(org.id(), version), random)?.sheltered();
        let sealed = self.seal_org_key(org.id(), &key)?;
        record.sealeds.keys.insert(0, sealed);
        let context = self.org_index_context(org.id());
        let index = org.kek().open(Purpose::IndexKey, &context, &record.index)?;
        let sealed =
            index.expose(|index| crypto::seal(&key, Purpose::IndexKey, &context, index, random));
        record.index = sealed?;
        let new = self.write_org_record(&place, &record)?;
        batch.expect(place.clone(), Expect::Exactly(sha256(old.as_bytes())));
        batch.put(place, new);
        Ok(key)
    }

    /// Puts an organisation's key into `batch` without its older generations.
    pub(super) async fn put_retired_org_key(
        &self,
        org: &OrgKeys,
        batch: &mut Batch,
    ) -> Result<(), VaultError> {
        let place = self.org_key_place(org.id());
        let old: Record = self.store.get(&place).await?.ok_or(VaultError::Form)?;
        let mut record = self.read_org_record(&place, &old)?;
        self.renew_under_root(org.id(), &mut record.sealeds)?;
        let sealeds = &mut record.sealeds;
        let mut gone = Vec::new();
        let all: Vec<_> = sealeds.line.versions().zip(&sealeds.keys).collect();
        for (version, sealed) in all.into_iter().skip(1) {
            gone.push(self.open_org_key(org.id(), version, sealed)?);
        }
        sealeds.line = sealeds.line.clone().retired(&gone, self.now());
        sealeds.keys.truncate(1);
        let new = self.write_org_record(&place, &record)?;
        batch.expect(place.clone(), Expect::Exactly(sha256(old.as_bytes())));
        batch.put(place, new);
        Ok(())
    }
}
