//! Every key that is open while the vault is unsealed, each opened once and kept.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::crypto::{self, CryptoError, Key, KeyRef, MacKey, Owner, Purpose, Record};
use crate::id::{ObjectId, OrgId};
use crate::store::{Batch, Class, Expect, StoreKey};

use super::generations::Generations;
use super::named::Named;
use super::{Vault, VaultError};

/// An organisation's keys.
pub struct OrgKeys {
    id: OrgId,
    kek: Generations,
    index: MacKey,
    named: Named,
}

impl OrgKeys {
    pub(super) fn new(id: OrgId, kek: Generations, index: MacKey) -> Self {
        let named = Named::default();
        Self {
            id,
            kek,
            index,
            named,
        }
    }

    /// The organisation.
    #[must_use]
    pub const fn id(&self) -> OrgId {
        self.id
    }

    /// The key that wraps its owners' keys and seals its directory.
    pub(crate) const fn kek(&self) -> &Generations {
        &self.kek
    }

    /// The key that blinds its names.
    #[must_use]
    pub const fn index(&self) -> &MacKey {
        &self.index
    }

    /// Something of `owner`'s was found at `place`, under `name`: it is one, and may be remembered.
    pub fn exists(&self, class: Class, owner: Owner, name: &str, place: &StoreKey) {
        self.named.exists((class, owner), name, place);
    }

    /// Where what `owner` calls `name` stands among the things of a class: in the list of the owner's, whose name
    /// `list` is the first part of, by a hash that has `one` as its first part.
    #[must_use]
    pub fn place(
        &self,
        class: Class,
        owner: Owner,
        (list, one): (&str, &str),
        name: &str,
    ) -> StoreKey {
        self.named.place((class, owner), name, || {
            let (kind, name) = ([owner.kind_byte()], name.as_bytes());
            let list = self.index.hash(&[list.as_bytes(), &kind, &owner.id]);
            let one = self.index.hash(&[one.as_bytes(), &kind, &owner.id, name]);
            StoreKey::new(class, &[list.get(..16).unwrap_or_default(), &one])
        })
    }
}

impl fmt::Debug for OrgKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OrgKeys({})", self.id)
    }
}

type OwnerKeys = HashMap<(OrgId, Owner), Arc<Generations>>;

/// The open keys. Locks are held for a look-up only, never across an await.
pub(super) struct Keyring {
    pub(super) root: Generations,
    pub(super) state: Generations,
    pub(super) index: MacKey,
    orgs: RwLock<HashMap<OrgId, Arc<OrgKeys>>>,
    owners: RwLock<OwnerKeys>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring(hidden)")
    }
}

impl Keyring {
    pub(super) fn new(root: Generations, state: Generations, index: MacKey) -> Self {
        Self {
            root,
            state,
            index,
            orgs: RwLock::default(),
            owners: RwLock::default(),
        }
    }

    pub(super) fn adopt_org(&self, keys: OrgKeys) -> Arc<OrgKeys> {
        let keys = Arc::new(keys);
        let mut orgs = self.orgs.write().unwrap_or_else(PoisonError::into_inner);
        orgs.insert(keys.id, Arc::clone(&keys));
        keys
    }

    /// An owner's key, if it was opened before.
    pub(super) fn owner(&self, org: OrgId, owner: Owner) -> Option<Arc<Generations>> {
        let owners = self.owners.read().unwrap_or_else(PoisonError::into_inner);
        owners.get(&(org, owner)).cloned()
    }

    /// Keeps an owner's key that was opened, unless somebody was faster: there is one of each, so that
    /// what becomes of it becomes of it for all.
    pub(super) fn adopt_owner(
        &self,
        org: OrgId,
        owner: Owner,
        keys: Generations,
    ) -> Arc<Generations> {
        let mut owners = self.owners.write().unwrap_or_else(PoisonError::into_inner);
        let kept = owners.entry((org, owner)).or_insert_with(|| Arc::new(keys));
        Arc::clone(kept)
    }

    /// Forgets an owner's key that was destroyed.
    pub(super) fn forget_owner(&self, org: OrgId, owner: Owner) {
        let mut owners = self.owners.write().unwrap_or_else(PoisonError::into_inner);
        owners.remove(&(org, owner));
    }

    /// Forgets the keys of an organisation that were destroyed.
    pub(super) fn forget_org(&self, org: OrgId) {
        let mut orgs = self.orgs.write().unwrap_or_else(PoisonError::into_inner);
        orgs.remove(&org);
        let mut owners = self.owners.write().unwrap_or_else(PoisonError::into_inner);
        owners.retain(|(of, _), _| *of != org);
    }

    /// Every key that has generations.
    fn all(&self) -> Vec<Arc<Generations>> {
        let owners = self.owners.read().unwrap_or_else(PoisonError::into_inner);
        owners.values().cloned().collect()
    }
}

impl Vault {
    /// The keys of an organisation.
    ///
    /// # Errors
    /// [`VaultError::NotFound`] when there is no such organisation.
    pub fn org(&self, org: OrgId) -> Result<Arc<OrgKeys>, VaultError> {
        let orgs = self
            .keyring
            .orgs
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        orgs.get(&org).cloned().ok_or(VaultError::NotFound)
    }

    /// The ids of all organisations, in no order.
    #[must_use]
    pub fn org_ids(&self) -> Vec<OrgId> {
        let orgs = self
            .keyring
            .orgs
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        orgs.keys().copied().collect()
    }

    /// The key that blinds names which belong to no organisation.
    #[must_use]
    pub fn system_index(&self) -> &MacKey {
        &self.keyring.index
    }

    /// The key that seals records which belong to no organisation.
    pub(crate) const fn system_key(&self) -> &Generations {
        &self.keyring.state
    }

    /// The root key of this name, for the ring's slots.
    pub(super) fn root_key(&self, name: KeyRef) -> Result<Arc<Key>, VaultError> {
        self.keyring.root.opener(name).ok_or(VaultError::Form)
    }

    /// Draws the keys of a new organisation and puts them, sealed, into `batch`. They are in force
    /// once [`Vault::adopt_org`] is told that the batch was committed.
    ///
    /// # Errors
    /// When no randomness is to be had.
    pub(crate) fn draw_org_keys(
        &self,
        org: OrgId,
        batch: &mut Batch,
    ) -> Result<OrgKeys, CryptoError> {
        let name = KeyRef {
            id: ObjectId::from_bytes(*org.bytes()),
            version: 1,
        };
        let kek = Key::generate(name, self.random())?.sheltered();
        let index = Key::generate(name, self.random())?;
        let random = self.random();
        let id = crypto::seal(
            &self.keyring.state.active(),
            Purpose::State,
            &self.listed_org_context(),
            org.bytes(),
            random,
        )?;
        let wrapped = kek.expose(|bytes| {
            let context = self.org_key_context(org, 1);
            crypto::seal(
                &self.keyring.root.active(),
                Purpose::OrgKey,
                &context,
                bytes,
                random,
            )
        })?;
        let blind = index.expose(|bytes| {
            crypto::seal(
                &kek,
                Purpose::IndexKey,
                &self.org_index_context(org),
                bytes,
                random,
            )
        })?;
        let key = self.org_key_place(org);
        batch.expect(key.clone(), Expect::Absent);
        batch.put(key, Record::of(&id).with_box(&wrapped).with_box(&blind));
        let index = MacKey::new(&index)?;
        Ok(OrgKeys::new(org, Generations::of(kek), index))
    }

    /// Takes the keys of an organisation whose records were committed.
    pub(crate) fn adopt_org(&self, keys: OrgKeys) -> Arc<OrgKeys> {
        self.keyring.adopt_org(keys)
    }

    /// Wipes the generations that were retired a while ago. To be called every minute.
    pub fn forget_retired_keys(&self) {
        self.store.forget_rewraps();
        self.keyring.root.forget_retired();
        self.keyring.state.forget_retired();
        for keys in self.keyring.all() {
            keys.forget_retired();
        }
        for org in self.org_ids() {
            if let Ok(org) = self.org(org) {
                org.kek.forget_retired();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::vault::tests_rig::Rig;

    #[tokio::test]
    async fn the_keys_that_open_all_others_are_sheltered_drawn_or_opened_or_replaced() {
        let mut rig = Rig::new().await;
        let id = rig.org(7).await.id();
        for round in ["drawn", "opened", "replaced"] {
            if round == "opened" {
                rig = rig.reopen().await.unwrap();
            }
            if round == "replaced" {
                let recorded = rig.recorded().await;
                let rotated = rig.lifecycle.rotate_root(&rig.vault, Vec::new(), &recorded);
                assert_eq!(rotated.await.unwrap(), 2);
            }
            let (ring, org) = (&rig.vault.keyring, rig.vault.org(id).unwrap());
            for (what, keys) in [
                ("root", &ring.root),
                ("state", &ring.state),
                ("org", org.kek()),
            ] {
                assert!(keys.active().is_sheltered(), "{what}, {round}");
            }
        }
    }
}
