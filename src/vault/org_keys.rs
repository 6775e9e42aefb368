//! The records that organisations' keys stand in.

use crate::crypto::{self, Context, Key, KeyRef, MacKey, Owner, Purpose, Record, Sealed};
use crate::id::{ObjectId, OrgId};
use crate::store::{Class, StoreKey};

use super::generations::Generations;
use super::key_record::{Line, Sealeds, boxes, record};
use super::{OrgKeys, Vault, VaultError};

/// What belongs to no organisation, and what is sealed before it is known to which.
const NO_ORG: OrgId = OrgId::from_bytes([0; 16]);

/// An organisation's record: its id, its keys, and the index key under the active one.
#[derive(Clone, Debug)]
pub(super) struct OrgRecord {
    pub(super) id: Sealed,
    pub(super) sealeds: Sealeds,
    pub(super) index: Sealed,
}

impl Vault {
    pub(super) fn org_key_place(&self, org: OrgId) -> StoreKey {
        let hash = self.keyring.index.hash(&[b"org-key", org.bytes()]);
        StoreKey::new(Class::OrgKey, &[&hash])
    }

    fn org_context(&self, org: OrgId, number: u64) -> Context {
        let object = ObjectId::from_bytes(*org.bytes());
        Context {
            org,
            ..Context::system(self.id, object, number)
        }
    }

    /// What a generation of an organisation's key is bound to.
    pub(super) fn org_key_context(&self, org: OrgId, version: u32) -> Context {
        let generation = u64::from(version.saturating_sub(1));
        self.org_context(org, generation << 8 | 1)
    }

    pub(super) fn org_index_context(&self, org: OrgId) -> Context {
        self.org_context(org, 2)
    }

    /// The list of organisations is read before any id is known, so its boxes share one context.
    pub(super) fn listed_org_context(&self) -> Context {
        Context::system(self.id, ObjectId::from_bytes([0x4f; 16]), 0)
    }

    /// Opens the keys of every organisation, at unsealing.
    pub(super) async fn open_orgs(&self) -> Result<(), VaultError> {
        let prefix = StoreKey::new(Class::OrgKey, &[]);
        let mut after = None;
        loop {
            let page = self.store.scan(&prefix, after.as_ref(), 256).await?;
            for (place, record) in &page {
                let keys = self.open_org(place, record)?;
                self.keyring.adopt_org(keys);
            }
            match page.into_iter().last() {
                Some((last, _)) => after = Some(last),
                None => return Ok(()),
            }
        }
    }

    fn open_org(&self, place: &StoreKey, record: &Record) -> Result<OrgKeys, VaultError> {
        let OrgRecord { id, sealeds, index } = self.read_org_record(place, record)?;
        let context = self.listed_org_context();
        let id = self.keyring.state.open(Purpose::State, &context, &id)?;
        let id = id
            .expose(|bytes| <[u8; 16]>::try_from(bytes))
            .map_err(|_| VaultError::Form)?;
        let org = OrgId::from_bytes(id);
        let kek = self.open_org_generations(org, &sealeds)?;
        let context = self.org_index_context(org);
        let index = kek.open(Purpose::IndexKey, &context, &index)?;
        let index = MacKey::new(&Key::from_secret(kek.name(), &index)?)?;
        Ok(OrgKeys::new(org, kek, index))
    }

    fn open_org_generations(
        &self,
        org: OrgId,
        sealeds: &Sealeds,
    ) -> Result<Generations, VaultError> {
        let mut keys = Vec::with_capacity(sealeds.keys.len());
        for (version, sealed) in sealeds.line.versions().zip(&sealeds.keys) {
            keys.push(self.open_org_key(org, version, sealed)?);
        }
        let active = keys.remove(0);
        Ok(Generations::new(active, keys))
    }

    /// Opens one generation of an organisation's key.
    pub(super) fn open_org_key(
        &self,
        org: OrgId,
        version: u32,
        sealed: &Sealed,
    ) -> Result<Key, VaultError> {
        let context = self.org_key_context(org, version);
        let root = &self.keyring.root;
        let key = root.open(Purpose::OrgKey, &context, sealed)?;
        Ok(Key::from_secret(org_key_name(org, version), &key)?.sheltered())
    }

    /// Seals one generation of an organisation's key under the root key.
    pub(super) fn seal_org_key(&self, org: OrgId, key: &Key) -> Result<Sealed, VaultError> {
        let context = self.org_key_context(org, key.name().version);
        let (root, random) = (self.keyring.root.active(), self.random());
        Ok(key.expose(|key| crypto::seal(&root, Purpose::OrgKey, &context, key, random))?)
    }

    /// Seals each generation of an organisation's key anew, under the root key that is active now. Whoever writes
    /// a record of them does this: a box that was read may be of a root key that is being replaced, and one
    /// that was sealed just now keeps that one waiting until it is on disk.
    pub(super) fn renew_under_root(
        &self,
        org: OrgId,
        sealeds: &mut Sealeds,
    ) -> Result<(), VaultError> {
        let versions: Vec<_> = sealeds.line.versions().collect();
        for (version, sealed) in versions.into_iter().zip(&mut sealeds.keys) {
            let key = self.open_org_key(org, version, sealed)?;
            *sealed = self.seal_org_key(org, &key)?;
        }
        Ok(())
    }

    /// Takes an organisation's record apart.
    pub(super) fn read_org_record(
        &self,
        place: &StoreKey,
        record: &Record,
    ) -> Result<OrgRecord, VaultError> {
        let mut rest = boxes(record)?.into_iter();
        let (Some(id), Some(second), Some(index)) = (rest.next(), rest.next(), rest.next_back())
        else {
            return Err(VaultError::Form);
        };
        let sealeds = if second.is_of(Purpose::OrgKey) {
            Sealeds::first(second, rest)
        } else {
            let state = &self.keyring.state;
            let line = self.open_state_box(state, NO_ORG, Owner::SYSTEM, place, &second)?;
            Sealeds::of(line, rest)
        };
        let sealeds = sealeds?;
        Ok(OrgRecord { id, sealeds, index })
    }

    /// Puts an organisation's record together. What the installation's key seals in it is sealed anew: a box that
    /// was read may be of a key that is being replaced, and one that was sealed just now keeps that one waiting
    /// until it is on disk.
    pub(super) fn write_org_record(
        &self,
        place: &StoreKey,
        org: &OrgRecord,
    ) -> Result<Record, VaultError> {
        let OrgRecord { id, sealeds, index } = org;
        let (state, context) = (&self.keyring.state, self.listed_org_context());
        let opened = state.open(Purpose::State, &context, id)?;
        let (active, random) = (state.active(), self.random());
        let id = opened.expose(|id| crypto::seal(&active, Purpose::State, &context, id, random))?;
        let id = &id;
        if let ([only], true) = (sealeds.keys.as_slice(), sealeds.line == Line::first()) {
            return Ok(record([id, only, index]));
        }
        let line = self.seal_state_box(state, NO_ORG, Owner::SYSTEM, place, &sealeds.line)?;
        let before = [id, &line].into_iter();
        Ok(record(before.chain(&sealeds.keys).chain([index])))
    }
}

/// What a generation of an organisation's key is called.
pub(super) const fn org_key_name(org: OrgId, version: u32) -> KeyRef {
    KeyRef {
        id: ObjectId::from_bytes(*org.bytes()),
        version,
    }
}

impl Sealeds {
    /// The only key of a record without a line.
    pub(super) fn first(
        key: Sealed,
        mut rest: impl Iterator<Item = Sealed>,
    ) -> Result<Self, VaultError> {
        if rest.next().is_some() {
            return Err(VaultError::Form);
        }
        Ok(Self {
            line: Line::first(),
            keys: vec![key],
        })
    }

    /// The keys of a line: all of them, and nothing more.
    pub(super) fn of(line: Line, keys: impl Iterator<Item = Sealed>) -> Result<Self, VaultError> {
        let keys: Vec<_> = keys.collect();
        if keys.len() == line.versions().count() {
            Ok(Self { line, keys })
        } else {
            Err(VaultError::Form)
        }
    }
}
