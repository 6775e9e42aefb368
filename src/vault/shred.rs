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
