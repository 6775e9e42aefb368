//! Every key that is open while the vault is unsealed, each opened once and kept.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::audit::Recorded;
use crate::crypto::{self, Commitment, Context, CryptoError, Key, KeyRef, MacKey, Owner};
use crate::crypto::{Purpose, Record};
use crate::id::{ObjectId, OrgId};
use crate::store::{Batch, Class, Expect, StoreError, StoreKey};

use super::{Vault, VaultError};

/// An organisation's keys.
pub struct OrgKeys {
    id: OrgId,
    kek: Key,
    index: MacKey,
}

impl OrgKeys {
    /// The organisation.
    #[must_use]
    pub const fn id(&self) -> OrgId {
        self.id
    }

    /// The key that wraps its owners' keys and seals its directory.
    pub(crate) const fn kek(&self) -> &Key {
        &self.kek
    }

    /// The key that blinds its names.
    #[must_use]
    pub const fn index(&self) -> &MacKey {
        &self.index
    }
}

impl fmt::Debug for OrgKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OrgKeys({})", self.id)
    }
}

type OwnerKeys = HashMap<(OrgId, Owner), Arc<Key>>;

/// The open keys. Locks are held for a look-up only, never across an await.
pub(super) struct Keyring {
    pub(super) root: Key,
    pub(super) state: Key,
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
    pub(super) fn new(root: Key, state: Key, index: MacKey) -> Self {
        Self {
            root,
            state,
            index,
            orgs: RwLock::default(),
            owners: RwLock::default(),
        }
    }

    fn adopt_org(&self, keys: OrgKeys) -> Arc<OrgKeys> {
        let keys = Arc::new(keys);
        let mut orgs = self.orgs.write().unwrap_or_else(PoisonError::into_inner);
        orgs.insert(keys.id, Arc::clone(&keys));
        keys
    }
}

fn org_context(vault: &Vault, org: OrgId, purpose: u64) -> Context {
    let object = ObjectId::from_bytes(*org.bytes());
    Context {
        org,
        ..Context::system(vault.id, object, purpose)
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
    pub(crate) fn system_key(&self) -> &Key {
        &self.keyring.state
    }

    /// The root key, for the ring's slots.
    pub(crate) fn root_key(&self) -> &Key {
        &self.keyring.root
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
        let kek = Key::generate(name, self.random())?;
        let index = Key::generate(name, self.random())?;
        let random = self.random();
        let id = crypto::seal(
            &self.keyring.state,
            Purpose::State,
            &self.listed_org_context(),
            org.bytes(),
            random,
        )?;
        let wrapped = kek.expose(|bytes| {
            let context = org_context(self, org, 1);
            crypto::seal(&self.keyring.root, Purpose::OrgKey, &context, bytes, random)
        })?;
        let blind = index.expose(|bytes| {
            crypto::seal(
                &kek,
                Purpose::IndexKey,
                &org_context(self, org, 2),
                bytes,
                random,
            )
        })?;
        let hash = self.keyring.index.hash(&[b"org-key", org.bytes()]);
        let key = StoreKey::new(Class::OrgKey, &[&hash]);
        batch.expect(key.clone(), Expect::Absent);
        batch.put(key, Record::of(&id).with_box(&wrapped).with_box(&blind));
        Ok(OrgKeys {
            id: org,
            kek,
            index: MacKey::new(&index)?,
        })
    }

    /// Takes the keys of an organisation whose records were committed.
    pub(crate) fn adopt_org(&self, keys: OrgKeys) -> Arc<OrgKeys> {
        self.keyring.adopt_org(keys)
    }

    /// The list of organisations is read before any id is known, so its boxes share one context.
    fn listed_org_context(&self) -> Context {
        Context::system(self.id, ObjectId::from_bytes([0x4f; 16]), 0)
    }

    /// Opens the keys of every organisation, at unsealing.
    pub(super) async fn open_orgs(&self) -> Result<(), VaultError> {
        let prefix = StoreKey::new(Class::OrgKey, &[]);
        let mut after = None;
        loop {
            let page = self.store.scan(&prefix, after.as_ref(), 256).await?;
            for (_, record) in &page {
                let keys = self.open_org(record)?;
                self.keyring.adopt_org(keys);
            }
            match page.into_iter().last() {
                Some((last, _)) => after = Some(last),
                None => return Ok(()),
            }
        }
    }

    fn open_org(&self, record: &Record) -> Result<OrgKeys, VaultError> {
        let mut reader = record.reader();
        let context = self.listed_org_context();
        let id = crypto::open(
            &self.keyring.state,
            Purpose::State,
            &context,
            &reader.sealed()?,
        )?;
        let id = id
            .expose(|bytes| <[u8; 16]>::try_from(bytes))
            .map_err(|_| VaultError::Form)?;
        let org = OrgId::from_bytes(id);
        let name = KeyRef {
            id: ObjectId::from_bytes(id),
            version: 1,
        };
        let wrapped = reader.sealed()?;
        let context = org_context(self, org, 1);
        let kek = crypto::open(&self.keyring.root, Purpose::OrgKey, &context, &wrapped)?;
        let kek = Key::from_secret(name, &kek)?;
        let blind = reader.sealed()?;
        let index = crypto::open(&kek, Purpose::IndexKey, &org_context(self, org, 2), &blind)?;
        let index = MacKey::new(&Key::from_secret(name, &index)?)?;
        reader.end()?;
        Ok(OrgKeys {
            id: org,
            kek,
            index,
        })
    }

    pub(super) fn owner_place(&self, org: &OrgKeys, owner: Owner) -> (StoreKey, Context) {
        let hash = org
            .index
            .hash(&[b"owner-key", &[owner.kind_byte()], &owner.id]);
        let context = Context {
            store: self.id,
            org: org.id,
            owner,
            data_key: Commitment::NONE,
            ..Context::system(self.id, ObjectId::from_bytes(owner.id), 1)
        };
        (StoreKey::new(Class::OwnerKey, &[&hash]), context)
    }

    /// An owner's key, if the owner has ever stored anything.
    pub(crate) async fn owner_key(
        &self,
        org: &OrgKeys,
        owner: Owner,
    ) -> Result<Option<Arc<Key>>, VaultError> {
        let cached = {
            let owners = self
                .keyring
                .owners
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            owners.get(&(org.id, owner)).cloned()
        };
        if cached.is_some() {
            return Ok(cached);
        }
        let (place, context) = self.owner_place(org, owner);
        let Some(record) = self.store.get(&place).await? else {
            return Ok(None);
        };
        let sealed = record.reader().sealed()?;
        let key = crypto::open(&org.kek, Purpose::OwnerKey, &context, &sealed)?;
        let name = sealed_owner_name(owner);
        Ok(Some(self.adopt_owner(
            org.id,
            owner,
            Key::from_secret(name, &key)?,
        )))
    }

    fn adopt_owner(&self, org: OrgId, owner: Owner, key: Key) -> Arc<Key> {
        let key = Arc::new(key);
        let mut owners = self
            .keyring
            .owners
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(owners.entry((org, owner)).or_insert(key))
    }

    /// An owner's key, drawn and committed when this is the first thing they store.
    pub(crate) async fn owner_key_or_new(
        &self,
        org: &OrgKeys,
        owner: Owner,
        recorded: &Recorded,
    ) -> Result<Arc<Key>, VaultError> {
        if let Some(key) = self.owner_key(org, owner).await? {
            return Ok(key);
        }
        let (place, context) = self.owner_place(org, owner);
        let key = Key::generate(sealed_owner_name(owner), self.random())?;
        let sealed = key.expose(|bytes| {
            crypto::seal(&org.kek, Purpose::OwnerKey, &context, bytes, self.random())
        })?;
        let mut batch = Batch::new();
        batch.expect(place.clone(), Expect::Absent);
        batch.put(place, Record::of(&sealed));
        match self.commit(batch, recorded).await {
            Ok(()) => Ok(self.adopt_owner(org.id, owner, key)),
            // Somebody else was first: theirs is the key.
            Err(VaultError::Store(StoreError::Precondition)) => {
                self.owner_key(org, owner).await?.ok_or(VaultError::Form)
            }
            Err(error) => Err(error),
        }
    }
}

fn sealed_owner_name(owner: Owner) -> KeyRef {
    KeyRef {
        id: ObjectId::from_bytes(owner.id),
        version: 1,
    }
}
