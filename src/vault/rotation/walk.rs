//! Going through everything that a key may have sealed, page by page, in the order of the store.
//!
//! ```text
//! an owner's key         its pointers, and the versions that each names
//!                        credentials, tokens, clients: every record that names the key
//! an organisation's key  its owners' keys
//!                        every small sealed record that names the key
//! ```
//!
//! Pointers stand in the order of names, and the versions that they name anywhere. So a lot of pointers is gone
//! through first, and then their versions in the order in which they stand: neighbours are in one page of the
//! engine, which is read once and written once, where each by itself would have to be fetched and be put away again.
//!
//! The same walk rewraps, and afterwards finds what is left: a scan, and not the word of the first walk.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use crate::crypto::{Owner, Record};
use crate::store::{Class, StoreKey};
use crate::vault::generations::Generations;
use crate::vault::pointer::{owner_prefix, version_place};
use crate::vault::value::{VersionPlace, is_wrapped_by};
use crate::vault::{OrgKeys, Vault, VaultError};

use super::rewrap::Rewrapped;

/// How many records are taken at once, and about how many bytes of them. Few where that is tested, so that a few
/// secrets are several pages and lots.
const PAGE: usize = if cfg!(test) { 8 } else { 128 };
const BYTES: usize = 256 << 10;
/// After how many versions a lot of pointers is closed. So many are named in memory, at some 200 bytes each, and
/// looked at again after a kill.
const LOT: usize = if cfg!(test) { 24 } else { 32 * 1024 };

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

/// A record and where it stands.
type Pair = (StoreKey, Record);

/// A page of the walk.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Where the walk has come to, if nothing before that is still to be looked at.
    pub(super) reached: Option<StoreKey>,
    /// How many records were looked at.
    pub(super) visited: u64,
    /// What takes the place of what.
    pub(super) changes: Vec<(StoreKey, Record, Record)>,
    /// How many an older generation sealed that do not open.
    pub(super) stuck: u64,
}

impl Page {
    fn take(&mut self, place: StoreKey, old: Record, rewrapped: Rewrapped) {
        self.visited = self.visited.saturating_add(1);
        match rewrapped {
            Rewrapped::Nothing => {}
            Rewrapped::By(new) => self.changes.push((place, old, new)),
            Rewrapped::Stuck => self.stuck = self.stuck.saturating_add(1),
        }
    }
}

/// A version that a pointer names.
#[derive(Debug)]
struct Named {
    place: StoreKey,
    at: VersionPlace,
    /// At which stage its pointer stands.
    stage: usize,
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
    /// The last record of the lists that was looked at.
    after: Option<StoreKey>,
    /// The versions of a lot that are still to be looked at; the last one comes first, once it is closed.
    named: Vec<Named>,
    closed: bool,
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
            after: None,
            named: Vec::new(),
            closed: false,
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

    /// Goes on from `after`.
    pub(super) fn go_on_from(&mut self, after: Option<StoreKey>) {
        (self.after, self.closed) = (after, false);
        self.named.clear();
    }

    /// What comes next; nothing at the end.
    ///
    /// # Errors
    /// When the store fails, or a record that must open does not.
    pub(super) async fn page(&mut self) -> Result<Option<Page>, VaultError> {
        if !self.closed && self.named.len() < LOT {
            let next = self.next_of_lists().await?;
            let fits = |stage: usize| self.named.is_empty() || self.are_pointers(stage);
            if let Some((stage, found)) = next.filter(|(stage, _)| fits(*stage)) {
                return self.look(stage, found).await.map(Some);
            }
            if self.named.is_empty() {
                return Ok(None);
            }
        }
        self.versions().await.map(Some)
    }

    fn are_pointers(&self, stage: usize) -> bool {
        let stand = self.stages.get(stage).map(|(_, stand)| stand);
        matches!(stand, Some(Stand::Pointers(..)))
    }

    /// What comes next in the lists, and at which stage.
    async fn next_of_lists(&self) -> Result<Option<(usize, Vec<Pair>)>, VaultError> {
        let after = self.after.as_ref();
        for (at, (prefix, _)) in self.stages.iter().enumerate() {
            let within = |key: &&StoreKey| key.as_bytes().starts_with(prefix.as_bytes());
            let from = after.filter(within);
            if from.is_none() && after.is_some_and(|after| after > prefix) {
                continue;
            }
            let found = self.vault.store().scan(prefix, from, PAGE).await?;
            if !found.is_empty() {
                return Ok(Some((at, found)));
            }
        }
        Ok(None)
    }

    async fn look(&mut self, stage: usize, found: Vec<Pair>) -> Result<Page, VaultError> {
        let (vault, org) = (self.vault, self.org);
        let mut page = Page::default();
        self.after = found.last().map(|(place, _)| place.clone());
        let Some((_, stand)) = self.stages.get(stage) else {
            return Ok(page);
        };
        for (place, record) in found {
            let rewrapped = match stand {
                Stand::Pointers(owner, keys) => {
                    let whose = (&**keys, org.id(), *owner);
                    let (pointer, rewrapped) = vault.rewrap_pointer(whose, &place, &record)?;
                    for (version, _) in &pointer.versions {
                        self.named.push(Named {
                            place: version_place(org, pointer.id, *version),
                            at: pointer.place(vault.id(), org, *owner, *version)?,
                            stage,
                        });
                    }
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
            page.take(place, record, rewrapped);
        }
        if self.named.is_empty() {
            page.reached.clone_from(&self.after);
        }
        Ok(page)
    }

    /// Versions of the lot at hand, which is closed with that.
    async fn versions(&mut self) -> Result<Page, VaultError> {
        let vault = self.vault;
        if !self.closed {
            self.closed = true;
            let place = |named: &Named| vault.store().rank(&named.place);
            self.named.sort_by_cached_key(|named| Reverse(place(named)));
        }
        let (mut page, mut bytes) = (Page::default(), 0_usize);
        for _ in 0..PAGE {
            let Some(Named { place, at, stage }) = self.named.pop() else {
                break;
            };
            let Some((_, Stand::Pointers(_, keys))) = self.stages.get(stage) else {
                continue;
            };
            // Gone meanwhile with the pointer that named it.
            let Some(record) = vault.store().get(&place).await? else {
                continue;
            };
            bytes = bytes.saturating_add(record.as_bytes().len());
            let rewrapped = vault.rewrap_version(keys, &at, &record)?;
            page.take(place, record, rewrapped);
            if bytes > BYTES {
                break;
            }
        }
        if self.named.is_empty() {
            self.closed = false;
            page.reached.clone_from(&self.after);
        }
        Ok(page)
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
