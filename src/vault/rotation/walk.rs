//! Going through everything that a key may have sealed, page by page, in the order of the store.
//!
//! ```text
//! an owner's key         its pointers, and the versions that each names
//!                        credentials, tokens, clients: every record that names the key
//! an organisation's key  its owners' keys
//!                        every small sealed record that names the key
//! ```
//!
//! The same walk rewraps, and afterwards finds what is left: a scan, and not the word of the first walk.

use std::collections::HashMap;
use std::sync::Arc;

use crate::crypto::{Digest, Owner, Record, sha256};
use crate::store::{Class, StoreKey};
use crate::vault::generations::Generations;
use crate::vault::pointer::{Pointer, owner_prefix, version_place};
use crate::vault::value::is_wrapped_by;
use crate::vault::{OrgKeys, Vault, VaultError};

use super::rewrap::Rewrapped;

/// How many records of a list are taken at once; a secret brings its versions along.
const PAGE: usize = 128;

/// What is no list of things: keys, what belongs to the installation, and secrets, which are found by their
/// owners. Everywhere else it is the record that says whose key sealed it, so that nothing has to be
/// remembered here of a kind of record that comes to be.
const APART: [Class; 7] = [
    Class::State,
    Class::SystemKey,
    Class::OrgKey,
    Class::OwnerKey,
    Class::Rotation,
    Class::Secret,
    Class::SecretVersion,
];

/// Where things are, one class after the other.
pub(in crate::vault) fn lists() -> impl Iterator<Item = StoreKey> {
    let all = Class::ALL.iter().copied();
    let classes = all.filter(|class| !APART.contains(class));
    classes.map(|class| StoreKey::new(class, &[]))
}

/// A page of the walk.
#[derive(Debug)]
pub(super) struct Page {
    /// Its last record.
    pub(super) last: StoreKey,
    /// How many records were looked at.
    pub(super) visited: u64,
    /// What takes the place of what.
    pub(super) changes: Vec<(StoreKey, Digest, Record)>,
    /// How many an older generation sealed that do not open.
    pub(super) stuck: u64,
}

impl Page {
    fn take(&mut self, place: StoreKey, old: &Record, rewrapped: Rewrapped) {
        self.visited = self.visited.saturating_add(1);
        match rewrapped {
            Rewrapped::Nothing => {}
            Rewrapped::By(new) => self.changes.push((place, sha256(old.as_bytes()), new)),
            Rewrapped::Stuck => self.stuck = self.stuck.saturating_add(1),
        }
    }
}

/// What stands under one prefix.
#[derive(Debug)]
enum Stand {
    Pointers(Owner, Arc<Generations>),
    Credentials,
    OwnerKeys,
    States,
}

/// The walk of one rotation.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    vault: &'a Vault,
    org: &'a OrgKeys,
    /// In the order of the prefixes, which is that of the store.
    stages: Vec<(StoreKey, Stand)>,
    /// Whose keys are replaced, by the ids that boxes name.
    turned: HashMap<[u8; 16], (Owner, Arc<Generations>)>,
    /// Where owners' keys stand.
    keys: HashMap<StoreKey, Owner>,
    /// To whom a small record may belong.
    owners: Vec<Owner>,
}

impl<'a> Walk<'a> {
    /// Through what these owners' keys sealed.
    pub(super) fn of_owners(
        vault: &'a Vault,
        org: &'a OrgKeys,
        turned: Vec<(Owner, Arc<Generations>)>,
    ) -> Self {
        let secrets = turned.iter().map(|(owner, keys)| {
            let stand = Stand::Pointers(*owner, Arc::clone(keys));
            (owner_prefix(org, *owner), stand)
        });
        let others = lists().map(|list| (list, Stand::Credentials));
        let stages = secrets.chain(others).collect();
        let turned = turned.into_iter().map(|one| (one.0.id, one)).collect();
        Self::new(vault, org, stages).with(turned, Vec::new())
    }

    /// Through what the organisation's key sealed, whose owners are these.
    pub(super) fn of_org(vault: &'a Vault, org: &'a OrgKeys, owners: Vec<Owner>) -> Self {
        let states = lists().map(|list| (list, Stand::States));
        let keys = (StoreKey::new(Class::OwnerKey, &[]), Stand::OwnerKeys);
        let stages = states.chain([keys]).collect();
        Self::new(vault, org, stages).with(HashMap::new(), owners)
    }

    fn new(vault: &'a Vault, org: &'a OrgKeys, mut stages: Vec<(StoreKey, Stand)>) -> Self {
        stages.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self {
            vault,
            org,
            stages,
            turned: HashMap::new(),
            keys: HashMap::new(),
            owners: Vec::new(),
        }
    }

    fn with(
        mut self,
        turned: HashMap<[u8; 16], (Owner, Arc<Generations>)>,
        owners: Vec<Owner>,
    ) -> Self {
        let place = |owner: &Owner| (self.org.owner_place(*owner), *owner);
        self.keys = owners.iter().map(place).collect();
        self.owners = [Owner::SYSTEM].into_iter().chain(owners).collect();
        self.turned = turned;
        self
    }

    /// About how many records there are to look at.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn estimate(&self) -> Result<u64, VaultError> {
        let mut count = 0_u64;
        for (prefix, stand) in &self.stages {
            let mut after = None;
            loop {
                let page = self.vault.store().scan(prefix, after.as_ref(), 512).await?;
                let Some((last, _)) = page.last() else { break };
                after = Some(last.clone());
                // A secret has a version, at least.
                let each = if matches!(stand, Stand::Pointers(..)) {
                    2
                } else {
                    1
                };
                let found = u64::try_from(page.len()).unwrap_or(u64::MAX);
                count = count.saturating_add(found.saturating_mul(each));
            }
        }
        Ok(count)
    }

    /// What comes after `after`; nothing at the end.
    ///
    /// # Errors
    /// When the store fails, or a record that must open does not.
    pub(super) async fn page(
        &mut self,
        after: Option<&StoreKey>,
    ) -> Result<Option<Page>, VaultError> {
        for at in 0..self.stages.len() {
            let Some((prefix, _)) = self.stages.get(at) else {
                break;
            };
            let within = |key: &&StoreKey| key.as_bytes().starts_with(prefix.as_bytes());
            let from = after.filter(within);
            if from.is_none() && after.is_some_and(|after| after > prefix) {
                continue;
            }
            let found = self.vault.store().scan(prefix, from, PAGE).await?;
            if let Some((last, _)) = found.last() {
                let page = Page {
                    last: last.clone(),
                    visited: 0,
                    changes: Vec::new(),
                    stuck: 0,
                };
                return self.look(at, found, page).await.map(Some);
            }
        }
        Ok(None)
    }

    async fn look(
        &mut self,
        stage: usize,
        found: Vec<(StoreKey, Record)>,
        mut page: Page,
    ) -> Result<Page, VaultError> {
        let (vault, org) = (self.vault, self.org);
        let Some((_, stand)) = self.stages.get(stage) else {
            return Ok(page);
        };
        for (place, record) in found {
            let rewrapped = match stand {
                Stand::Pointers(owner, keys) => {
                    let whose = (&**keys, org.id(), *owner);
                    let (pointer, rewrapped) = vault.rewrap_pointer(whose, &place, &record)?;
                    self.versions(*owner, keys, &pointer, &mut page).await?;
                    rewrapped
                }
                Stand::Credentials => self.credential(&place, &record).await?,
                Stand::OwnerKeys => {
                    let owner = self.keys.get(&place).copied();
                    vault.rewrap_owner_key(org, owner, &place, &record)?
                }
                Stand::States => {
                    let keys = (org.kek(), org.id());
                    vault.rewrap_state(keys, &mut self.owners, &place, &record)?
                }
            };
            page.take(place, &record, rewrapped);
        }
        Ok(page)
    }

    /// The versions that a pointer names.
    async fn versions(
        &self,
        owner: Owner,
        keys: &Generations,
        pointer: &Pointer,
        page: &mut Page,
    ) -> Result<(), VaultError> {
        let (vault, org) = (self.vault, self.org);
        for (version, _) in &pointer.versions {
            let place = version_place(org, pointer.id, *version);
            // Gone meanwhile with the pointer that named it.
            let Some(record) = vault.store().get(&place).await? else {
                continue;
            };
            let at = pointer.place(vault.id(), org, owner, *version)?;
            let rewrapped = vault.rewrap_version(keys, &at, &record)?;
            page.take(place, &record, rewrapped);
        }
        Ok(())
    }

    async fn credential(&self, place: &StoreKey, record: &Record) -> Result<Rewrapped, VaultError> {
        let id = record.key().map(|name| *name.id.bytes());
        let Some((owner, keys)) = id.and_then(|id| self.turned.get(&id)) else {
            return Ok(Rewrapped::Nothing);
        };
        let at = self.vault.credential_place(self.org.id(), *owner, place);
        match self.vault.rewrap_version(keys, &at, record)? {
            Rewrapped::Stuck if self.is_elsewhere(*owner, place, record).await? => {
                Ok(Rewrapped::Nothing)
            }
            rewrapped => Ok(rewrapped),
        }
    }

    /// Whether a record is another organisation's, which has an owner of that id too.
    async fn is_elsewhere(
        &self,
        owner: Owner,
        place: &StoreKey,
        record: &Record,
    ) -> Result<bool, VaultError> {
        let vault = self.vault;
        let others = vault.org_ids().into_iter();
        for id in others.filter(|id| *id != self.org.id()) {
            let org = vault.org(id)?;
            if let Some(keys) = vault.owner_key(&org, owner).await?
                && is_wrapped_by(&keys, &vault.credential_place(id, owner, place), record)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
