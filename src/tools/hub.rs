//! The tools that a caller sees: the shipped ones, those of their organisation, their own.
//!
//! A custom tool is kept like a secret: private to the member who made it, or shared. Shipped slugs
//! cannot be taken. Specs are sealed; the parsed form is kept in memory.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::parsed::Parsed;
use super::room::make_room;
use super::{Catalog, ToolError, ToolSpec, aside};
use crate::audit::Recorded;
use crate::clock::Timestamp;
use crate::crypto::{Owner, sha256};
use crate::id::UserId;
use crate::name::ToolSlug;
use crate::policy::{
    Action as _, Permit, Principal, PublishTool, RevealSecret, ToolRef, WriteTool,
};
use crate::store::{Batch, Class, Expect, Read, StoreKey};
use crate::vault::{OrgKeys, Unsealed, VaultError};

/// A failure of the tool hub.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// There is no such tool for this caller.
    #[error("not found")]
    NotFound,
    /// The slug belongs to a shipped tool.
    #[error("that slug is taken by the broker or by a tool that is shipped with it")]
    Shipped,
    /// The spec breaks a rule.
    #[error(transparent)]
    Spec(#[from] ToolError),
    /// The vault refused or failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl From<crate::store::StoreError> for HubError {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Vault(error.into())
    }
}

/// What is known of a custom tool besides its spec.
#[derive(Clone, Copy, Debug)]
pub struct Custom {
    /// Who made it.
    pub maker: UserId,
    /// Whether every member sees it.
    pub shared: bool,
    /// Whether an admin made or published it. Only then are its private ranges granted, and only
    /// then may it be lent the organisation's secrets: otherwise any member could write a tool that
    /// sends them home.
    pub vouched: bool,
    /// In which of that admin's terms of office.
    pub(super) term: u64,
    /// Who wrote it, when their credential could show values as well. Only to them may it lend their
    /// own secrets, if these may be shown: a key that shows no value must not write a tool that does.
    pub revealer: Option<UserId>,
    /// How much memory its spec takes, roughly, in bytes.
    pub(super) size: usize,
}

/// A tool that a caller sees.
#[derive(Clone, Debug)]
pub struct Tool {
    /// What it is.
    pub spec: Arc<ToolSpec>,
    /// What is known of a custom one; `None` for a shipped one.
    pub custom: Option<Custom>,
}

impl Tool {
    /// The tool as policy looks at it.
    #[must_use]
    pub fn as_ref(&self) -> ToolRef {
        ToolRef {
            slug: self.spec.slug.clone(),
            owner: self.custom.map(|custom| custom.maker),
            shared: self.custom.is_none_or(|custom| custom.shared),
        }
    }

    /// How much memory whoever keeps it keeps with it, roughly, in bytes: none of a shipped one, which is there
    /// anyway.
    #[must_use]
    pub fn size(&self) -> usize {
        self.custom.map_or(0, |custom| custom.size)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolRecord<S> {
    maker: UserId,
    vouched: bool,
    #[serde(default)]
    term: u64,
    #[serde(default)]
    revealer: Option<UserId>,
    created: Timestamp,
    updated: Timestamp,
    spec: S,
}

/// A record whose spec was not read: that takes time, and is done beside everybody else's work.
type Stored = ToolRecord<Value>;

/// The tools.
#[derive(Debug)]
pub struct Hub {
    catalog: Catalog,
    parsed: Parsed,
}

pub(super) fn prefix(org: &OrgKeys, owner: Owner) -> StoreKey {
    let list = org
        .index()
        .hash(&[b"tools", &[owner.kind_byte()], &owner.id]);
    StoreKey::new(Class::Tool, &[list.get(..16).unwrap_or_default()])
}

fn place(org: &OrgKeys, owner: Owner, slug: &ToolSlug) -> StoreKey {
    org.place(Class::Tool, owner, ("tools", "tool"), slug.as_str())
}

impl Hub {
    /// The shipped tools, and none yet of any organisation.
    ///
    /// # Errors
    /// When a shipped file does not load, which a test rules out.
    pub fn new() -> Result<Self, ToolError> {
        Ok(Self {
            catalog: Catalog::embedded()?,
            parsed: Parsed::default(),
        })
    }

    /// Forgets every custom spec, at sealing.
    pub fn forget(&self) {
        self.parsed.forget();
    }

    /// The tool of this slug that the caller sees: a shipped one, their own, or a shared one.
    ///
    /// # Errors
    /// [`HubError::NotFound`].
    pub async fn find(
        &self,
        vault: &Unsealed,
        principal: &Principal,
        slug: &ToolSlug,
    ) -> Result<Tool, HubError> {
        if let Some(spec) = self.catalog.get(slug) {
            return Ok(Tool {
                spec: Arc::clone(spec),
                custom: None,
            });
        }
        let org = vault.org(principal.org())?;
        for owner in [principal.owner(), Owner::ORG_SHARED] {
            let place = place(&org, owner, slug);
            if let Some(read) = vault.store().read(&place).await? {
                org.exists(Class::Tool, owner, slug.as_str(), &place);
                let tool = self.parsed(vault, (&org, owner), (&place, &read)).await?;
                return Ok(tool.seen_by(principal));
            }
        }
        Err(HubError::NotFound)
    }

    async fn parsed(
        &self,
        vault: &Unsealed,
        (org, owner): (&OrgKeys, Owner),
        (place, read): (&StoreKey, &Read),
    ) -> Result<Tool, HubError> {
        if let Some(tool) = self.parsed.get(place, read.digest()) {
            return Ok(tool);
        }
        let kept: Stored = vault.open_state(org.kek(), org.id(), owner, place, read)?;
        let spec = aside(move || {
            let spec = ToolSpec::from_json(kept.spec)?;
            let size = spec.size();
            Ok::<_, ToolError>((spec, size))
        });
        let (spec, size) = spec.await.map_err(|_| VaultError::Form)?;
        let custom = Custom {
            maker: kept.maker,
            shared: owner == Owner::ORG_SHARED,
            vouched: kept.vouched,
            term: kept.term,
            revealer: kept.revealer,
            size,
        };
        Ok(self.parsed.keep(place, *read.digest(), custom, spec))
    }

    /// Every tool that the caller sees, by slug.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn all(
        &self,
        vault: &Unsealed,
        principal: &Principal,
    ) -> Result<Vec<Tool>, HubError> {
        let shipped = self.catalog.all();
        let mut tools: Vec<Tool> = shipped
            .map(|spec| Tool {
                spec: Arc::clone(spec),
                custom: None,
            })
            .collect();
        let org = vault.org(principal.org())?;
        for owner in [principal.owner(), Owner::ORG_SHARED] {
            let (prefix, mut after) = (prefix(&org, owner), None);
            loop {
                let page = vault.store().scan(&prefix, after.as_ref(), 64).await?;
                let Some((last, _)) = page.last() else { break };
                after = Some(last.clone());
                for (place, record) in page {
                    let read = Read::new(record);
                    let tool = self.parsed(vault, (&org, owner), (&place, &read)).await?;
                    let tool = tool.seen_by(principal);
                    if !tools.iter().any(|other| other.spec.slug == tool.spec.slug) {
                        tools.push(tool);
                    }
                }
            }
        }
        tools.sort_by(|a, b| a.spec.slug.cmp(&b.spec.slug));
        Ok(tools)
    }

    /// Whether a custom tool of this slug may be written, and the one there is.
    ///
    /// # Errors
    /// [`HubError::Shipped`].
    pub async fn writable(
        &self,
        vault: &Unsealed,
        principal: &Principal,
        slug: &ToolSlug,
    ) -> Result<Option<Tool>, HubError> {
        // It stands in paths where other slugs stand.
        if slug.as_str() == "custom" {
            return Err(HubError::Shipped);
        }
        match self.find(vault, principal, slug).await {
            Ok(tool) if tool.custom.is_none() => Err(HubError::Shipped),
            Ok(tool) => Ok(Some(tool)),
            Err(HubError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes or changes a custom tool: the caller's own, or a shared one when the permit says so. It
    /// stays its maker's.
    ///
    /// # Errors
    /// [`HubError::NotFound`] for a shared one that is gone; when it was changed in the meantime, or
    /// the store fails.
    pub async fn write(
        &self,
        vault: &Unsealed,
        permit: &Permit<WriteTool>,
        spec: ToolSpec,
        recorded: &Recorded,
    ) -> Result<Tool, HubError> {
        let principal = permit.principal();
        let org = vault.org(principal.org())?;
        let (owner, place) = written(permit, &org);
        let now = vault.now();
        let mut batch = Batch::new();
        // Kept to the end: what is granted counts until it is stored.
        let (maker, created, _room) = match vault.store().get(&place).await? {
            Some(old) => {
                let kept: Stored = vault.open_state(org.kek(), org.id(), owner, &place, &old)?;
                batch.expect(place.clone(), Expect::Exactly(sha256(old.as_bytes())));
                (kept.maker, kept.created, None)
            }
            None if owner == Owner::ORG_SHARED => return Err(HubError::NotFound),
            None => {
                let room = make_room(vault, &org, owner).await?;
                batch.expect(place.clone(), Expect::Absent);
                (principal.user(), now, Some(room))
            }
        };
        let reveals = principal.scopes().allow(RevealSecret::SCOPE);
        let record = ToolRecord {
            maker,
            vouched: principal.vouches(),
            term: principal.term(),
            revealer: reveals.then(|| principal.user()),
            created,
            updated: now,
            spec,
        };
        let sealed = vault.seal_state(org.kek(), org.id(), owner, &place, &record)?;
        batch.put(place.clone(), sealed.clone());
        vault.commit(batch, recorded).await?;
        let read = Read::new(sealed);
        self.parsed(vault, (&org, owner), (&place, &read)).await
    }

    /// Shows a custom tool to every member, or to its maker only. Publishing is vouching, with a
    /// credential that may.
    ///
    /// # Errors
    /// [`HubError::NotFound`] for a shipped one.
    pub async fn publish(
        &self,
        vault: &Unsealed,
        permit: &Permit<PublishTool>,
        shared: bool,
        recorded: &Recorded,
    ) -> Result<Tool, HubError> {
        let principal = permit.principal();
        let org = vault.org(principal.org())?;
        let slug = &permit.object().slug;
        let tool = self.find(vault, principal, slug).await?;
        let custom = tool.custom.ok_or(HubError::NotFound)?;
        if custom.shared == shared {
            return Ok(tool);
        }
        let maker = Owner::user(custom.maker);
        let (from, to) = if shared {
            (maker, Owner::ORG_SHARED)
        } else {
            (Owner::ORG_SHARED, maker)
        };
        let (old, new) = (place(&org, from, slug), place(&org, to, slug));
        let record = vault.store().get(&old).await?.ok_or(HubError::NotFound)?;
        let mut kept: Stored = vault.open_state(org.kek(), org.id(), from, &old, &record)?;
        // Taken back by another admin, it is a member's own tool again, whom nobody vouches for.
        kept.vouched = principal.vouches() && (shared || kept.maker == principal.user());
        (kept.term, kept.updated) = (principal.term(), vault.now());
        let _room = make_room(vault, &org, to).await?;
        let sealed = vault.seal_state(org.kek(), org.id(), to, &new, &kept)?;
        let mut batch = Batch::new();
        batch.expect(old.clone(), Expect::Exactly(sha256(record.as_bytes())));
        batch.expect(new.clone(), Expect::Absent);
        batch.delete(old);
        batch.put(new.clone(), sealed.clone());
        vault.commit(batch, recorded).await?;
        vault.gave_room(&prefix(&org, from)).await;
        let read = Read::new(sealed);
        self.parsed(vault, (&org, to), (&new, &read)).await
    }

    /// Deletes a custom tool.
    ///
    /// # Errors
    /// [`HubError::NotFound`].
    pub async fn delete(
        &self,
        vault: &Unsealed,
        permit: &Permit<WriteTool>,
        recorded: &Recorded,
    ) -> Result<(), HubError> {
        let org = vault.org(permit.principal().org())?;
        let (owner, place) = written(permit, &org);
        let old = vault.store().get(&place).await?.ok_or(HubError::NotFound)?;
        let mut batch = Batch::new();
        batch.expect(place.clone(), Expect::Exactly(sha256(old.as_bytes())));
        batch.delete(place);
        vault.commit(batch, recorded).await?;
        vault.gave_room(&prefix(&org, owner)).await;
        Ok(())
    }
}

/// Whose the tool of a permit is, and where it is kept.
fn written(permit: &Permit<WriteTool>, org: &OrgKeys) -> (Owner, StoreKey) {
    let (reference, _) = permit.object();
    let shared = reference.owner.is_some() && reference.shared;
    let owner = if shared {
        Owner::ORG_SHARED
    } else {
        permit.principal().owner()
    };
    (owner, place(org, owner, &reference.slug))
}
