//! Taking everything of one owner away, and then the key that it is under.
//!
//! What the key wraps goes first and the key last: as long as there is a key, there may be something to go on
//! with. Afterwards nobody can open what an old copy of a record says, without an old copy of the key's record
//! and the organisation's key of that time. Old bytes stay in the store's files until they are rewritten, so
//! the honest word for what is reached is *logical*; replacing the organisation's key and compacting the
//! store takes the rest.

use crate::audit::Recorded;
use crate::crypto::{Owner, sha256};
use crate::id::OrgId;
use crate::store::{Batch, Class, Expect, StoreKey};

use super::draft::ATTEMPTS;
use super::generations::Generations;
use super::pointer::{Pointer, owner_prefix, version_place};
use super::rotation::lists;
use super::value::is_wrapped_by;
use super::{OrgKeys, Vault, VaultError};

/// How many secrets go in one commit, with all their versions.
const PAGE: usize = 32;

/// What became of what an owner had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shredded {
    /// How many records are gone.
    pub records: u64,
    /// Whether the key is.
    pub key: bool,
}

/// How much of it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Secrets and stored credentials. Tokens, which are still to be given back to their providers, stay, and
    /// so does the key.
    AllButTokens,
    /// Everything, and the key.
    WithKey,
}

impl Vault {
    /// Whether an owner has a key, and so may have something.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn has_key(&self, org: OrgId, owner: Owner) -> Result<bool, VaultError> {
        let place = self.org(org)?.owner_place(owner);
        Ok(self.store.get(&place).await?.is_some())
    }

    /// Destroys what an owner has in an organisation. Can be done again after a kill.
    ///
    /// # Errors
    /// When a record was altered, or the store fails.
    pub async fn shred_owner(
        &self,
        org: OrgId,
        owner: Owner,
        extent: Extent,
        recorded: &Recorded,
    ) -> Result<Shredded, VaultError> {
        let org = self.org(org)?;
        let mut gone = Shredded::default();
        let Some(keys) = self.owner_key(&org, owner).await? else {
            return Ok(gone);
        };
        gone.records += self.shred_secrets((&org, owner), &keys, recorded).await?;
        let lists = match extent {
            Extent::AllButTokens => vec![StoreKey::new(Class::ToolCredential, &[])],
            Extent::WithKey => lists().collect(),
        };
        for list in lists {
            let of_list = self.shred_credentials((&org, owner), &keys, &list, recorded);
            gone.records += of_list.await?;
        }
        if extent == Extent::WithKey {
            let mut batch = Batch::new();
            batch.delete(org.owner_place(owner));
            self.commit(batch, recorded).await?;
            self.keyring.forget_owner(org.id(), owner);
            gone.key = true;
        }
        self.gave_room(&owner_prefix(&org, owner)).await;
        Ok(gone)
    }

    async fn shred_secrets(
        &self,
        (org, owner): (&OrgKeys, Owner),
        keys: &Generations,
        recorded: &Recorded,
    ) -> Result<u64, VaultError> {
        let prefix = owner_prefix(org, owner);
        let (mut gone, mut tries) = (0, 0);
        loop {
            // Always the first ones: those before are gone.
            let page = self.store.scan(&prefix, None, PAGE).await?;
            if page.is_empty() {
                return Ok(gone);
            }
            let (mut batch, mut count) = (Batch::new(), 0);
            for (place, record) in page {
                let pointer: Pointer = self.open_state(keys, org.id(), owner, &place, &record)?;
                for (version, _) in &pointer.versions {
                    batch.delete(version_place(org, pointer.id, *version));
                    count += 1;
                }
                // One that got another version meanwhile is looked at again.
                batch.expect(place.clone(), Expect::Exactly(sha256(record.as_bytes())));
                batch.delete(place);
                count += 1;
            }
            if self.committed(batch, recorded).await? {
                (gone, tries) = (gone + count, 0);
            } else {
                tries += 1;
                if tries == ATTEMPTS {
                    return Err(VaultError::Stale);
                }
            }
        }
    }

    async fn shred_credentials(
        &self,
        whose: (&OrgKeys, Owner),
        keys: &Generations,
        list: &StoreKey,
        recorded: &Recorded,
    ) -> Result<u64, VaultError> {
        let ((org, owner), mut after, mut gone) = (whose, None, 0);
        loop {
            let page = self.store.scan(list, after.as_ref(), 256).await?;
            let Some((last, _)) = page.last() else {
                return Ok(gone);
            };
            after = Some(last.clone());
            let mut batch = Batch::new();
            for (place, record) in page {
                // Another organisation may have an owner of the same id.
                let named = record
                    .key()
                    .is_some_and(|name| *name.id.bytes() == owner.id);
                let at = self.credential_place(org.id(), owner, &place);
                if named && is_wrapped_by(keys, &at, &record) {
                    batch.delete(place);
                    gone += 1;
                }
            }
            if !batch.is_empty() {
                self.commit(batch, recorded).await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Extent;
    use crate::crypto::Owner;
    use crate::id::{SecretId, UserId};
    use crate::name::SecretName;
    use crate::policy::SecretRef;
    use crate::secret::Secret;
    use crate::store::{Batch, Class, Engine, StoreError, StoreKey};
    use crate::vault::metadata::SecretInfo;
    use crate::vault::pointer::Pointer;
    use crate::vault::tests_rig::Rig;
    use crate::vault::{Unsealed, VaultError};

    const ANNA: UserId = UserId::from_bytes([0x21; 16]);

    /// A new secret of Anna's, sealed and not yet committed.
    async fn secret(vault: &Unsealed, org: &super::OrgKeys) -> Batch {
        let name = SecretName::parse("LATE").unwrap();
        let info = SecretInfo::new(name.clone(), vault.now());
        let pointer = Pointer::new(SecretId::from_bytes([9; 16]), vault.now());
        let owner = Owner::user(ANNA);
        let secret = SecretRef { owner, name };
        let value = Secret::copy_of(b"what nobody could open");
        let made = vault.with_version(org, &secret, None, pointer, info, &value);
        made.await.unwrap().0
    }

    #[tokio::test]
    async fn what_is_late_is_not_stored_under_a_key_that_was_destroyed() {
        let rig = Rig::new().await;
        let org = rig.org(7).await;
        rig.set(&org, ANNA, "FIRST", "which makes the key").await;
        let (vault, recorded) = (&rig.vault, rig.recorded().await);
        let (credential, info) = (StoreKey::new(Class::ToolCredential, &[b"late"]), 7_u8);
        let mut late = vec![secret(vault, &org).await];
        let mut batch = Batch::new();
        let at = (&*org, Owner::user(ANNA), credential);
        let value = Secret::copy_of(b"another");
        let put = vault.put_credential(&mut batch, at, &info, &value, &recorded);
        put.await.unwrap();
        late.push(batch);
        let (owner, extent) = (Owner::user(ANNA), Extent::WithKey);
        let gone = vault.shred_owner(org.id(), owner, extent, &recorded).await;
        assert!(gone.unwrap().key);
        let before: BTreeSet<_> = keys(&rig);
        for batch in late {
            let refused = vault.commit(batch, &recorded).await;
            assert!(
                matches!(refused, Err(VaultError::Store(StoreError::Precondition))),
                "{refused:?}"
            );
        }
        assert_eq!(keys(&rig), before);
    }

    fn keys(rig: &Rig) -> BTreeSet<Vec<u8>> {
        let mut keys = BTreeSet::new();
        let mut look = |key: &[u8], _: &[u8]| {
            keys.insert(key.to_vec());
            Ok(())
        };
        rig.engine.visit(&[], None, &mut look).unwrap();
        keys
    }
}
