//! Whether a handle still stands for what it was made for.
//!
//! Its owner, its tool and where each field comes from are looked at again, which opens no value. One
//! difference, and it is dead: a new version of a secret, a narrower binding, another default account, a
//! changed tool, a lost membership.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::crypto::{Digest, sha256};
use crate::directory::{Directory, Recognised};
use crate::name::FieldName;
use crate::oauth::Accounts;
use crate::policy::{self, ExecuteTool, Principal, UseHandle};
use crate::tools::{Hub, HubError, Tool};
use crate::vault::{Lifecycle, Unsealed};
use crate::wire::{FieldSource, OrgSettings};

use super::handle::{Ended, Handle, HandleFault, Owner, Purpose, Wishes};
use super::resolve::{Filling, Resolution, resolve};
use super::{Ask, BrokerError};

/// Who knows callers, tools and accounts as they are now.
#[derive(Debug)]
pub struct Judge {
    /// The callers.
    pub directory: Arc<Directory>,
    /// The tools.
    pub hub: Arc<Hub>,
    /// The connected accounts.
    pub accounts: Arc<Accounts>,
    /// Where the vault is when it is open.
    pub lifecycle: Arc<Lifecycle>,
}

/// What a handle stands for now.
pub(super) struct Standing {
    pub(super) principal: Principal,
    pub(super) tool: Tool,
    pub(super) resolution: Resolution,
    /// When something of it ends by itself, if that is known: the caller's credential, what lets a service
    /// act for them, or a secret.
    pub(super) until: Option<Timestamp>,
}

/// What was found for a tool.
pub(super) struct Found<'a> {
    pub(super) tool: &'a Tool,
    pub(super) wishes: &'a Wishes,
    /// The fields whose values the request itself brought: nothing else would fill them.
    pub(super) given: &'a BTreeSet<FieldName>,
    pub(super) fingerprint: Digest,
}

impl<'a> Found<'a> {
    fn of(purpose: &'a Purpose) -> Self {
        const NONE: &BTreeSet<FieldName> = &BTreeSet::new();
        Self {
            tool: &purpose.tool,
            wishes: &purpose.wishes,
            given: NONE,
            fingerprint: purpose.fingerprint,
        }
    }
}

impl Judge {
    pub(super) fn places(&self) -> (&Hub, &Accounts) {
        (&self.hub, &self.accounts)
    }

    /// The organisation's policy, for a tool that it does not vouch for: only there it is asked.
    pub(super) async fn policy_for(
        &self,
        vault: &Unsealed,
        principal: &Principal,
        tool: &Tool,
    ) -> Result<OrgSettings, BrokerError> {
        if tool.vouched() {
            return Ok(OrgSettings::default());
        }
        Ok(self.directory.settings(vault, principal).await?)
    }

    /// Looks again. What came out differently has ended the handle.
    ///
    /// # Errors
    /// [`HandleFault::Dead`], or when the store fails.
    pub(super) async fn again(
        &self,
        vault: &Unsealed,
        handle: &Handle,
        seen: &Recognised,
    ) -> Result<Standing, BrokerError> {
        let found = self.look(vault, handle, seen).await?;
        if found.is_none() {
            handle.end(Ended::Changed);
        }
        let dead = BrokerError::Handle(HandleFault::Dead(Ended::Changed));
        found.ok_or(dead)
    }

    async fn look(
        &self,
        vault: &Unsealed,
        handle: &Handle,
        seen: &Recognised,
    ) -> Result<Option<Standing>, BrokerError> {
        let purpose = &handle.purpose;
        let Ok(seen) = self.directory.again(vault, seen).await? else {
            return Ok(None);
        };
        let principal = seen.principal().clone();
        let same = purpose.owner == Owner::from(&principal);
        if !same || policy::check_scope::<UseHandle>(&principal).is_err() {
            return Ok(None);
        }
        let found = self.found(vault, &principal, &Found::of(purpose)).await?;
        Ok(found.map(|(tool, resolution)| {
            let until = [seen.until(), resolution.until()];
            Standing {
                principal,
                tool,
                resolution,
                until: until.into_iter().flatten().min(),
            }
        }))
    }

    /// Whether the caller of a declared action may still run it, with what was found for it: it may have taken
    /// long to find the way there.
    ///
    /// # Errors
    /// [`BrokerError::Changed`], or when the store fails.
    pub(super) async fn still(
        &self,
        vault: &Unsealed,
        seen: &Recognised,
        found: Option<&Found<'_>>,
    ) -> Result<(), BrokerError> {
        let Ok(seen) = self.directory.again(vault, seen).await? else {
            return Err(BrokerError::Changed);
        };
        let principal = seen.principal();
        if policy::check_scope::<ExecuteTool>(principal).is_err() {
            return Err(BrokerError::Changed);
        }
        let Some(found) = found else {
            return Ok(());
        };
        match self.found(vault, principal, found).await? {
            Some(_) => Ok(()),
            None => Err(BrokerError::Changed),
        }
    }

    /// The tool and what fills its fields, if both are what they were.
    async fn found(
        &self,
        vault: &Unsealed,
        principal: &Principal,
        before: &Found<'_>,
    ) -> Result<Option<(Tool, Resolution)>, BrokerError> {
        let slug = &before.tool.spec.slug;
        let tool = match self.hub.find(vault, principal, slug).await {
            Ok(tool) => tool.seen_by(principal),
            Err(HubError::NotFound) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if !is_same(&tool, before.tool) {
            return Ok(None);
        }
        let settings = self.policy_for(vault, principal, &tool).await?;
        let ask = Ask::again(before.wishes, settings);
        let resolution = resolve(vault, self.places(), principal, &tool, ask).await?;
        if fingerprint(&resolution, before.given) != before.fingerprint {
            return Ok(None);
        }
        Ok(Some((tool, resolution)))
    }
}

/// Whether two are the same tool, with the same people behind it.
fn is_same(one: &Tool, other: &Tool) -> bool {
    let word = |tool: &Tool| {
        tool.custom
            .map(|custom| (custom.maker, custom.shared, custom.vouched, custom.revealer))
    };
    let spec = Arc::ptr_eq(&one.spec, &other.spec) || one.spec == other.spec;
    spec && word(one) == word(other)
}

/// What is the same as long as the same versions of the same things fill the same fields, but for those that are
/// `given`.
pub(super) fn fingerprint(resolution: &Resolution, given: &BTreeSet<FieldName>) -> Digest {
    let mut text = Vec::with_capacity(128);
    let filled = resolution.filled.iter();
    for (field, filled) in filled.filter(|(field, _)| !given.contains(*field)) {
        // Each part is of one length, or ends where the next cannot begin: no two findings are the same text.
        text.extend_from_slice(field.as_str().as_bytes());
        text.extend_from_slice(&[0, rank(filled.source)]);
        match &filled.filling {
            Filling::Secret(found) => text.extend_from_slice(&found.etag().bytes()),
            Filling::Stored(stored) => text.extend_from_slice(stored.1.bytes()),
            Filling::Account(chosen) => {
                text.extend_from_slice(chosen.connection.id.bytes());
                text.extend_from_slice(chosen.set.as_bytes());
                text.push(0);
            }
            // A handle is made of neither: values do not wait, and tokens change.
            Filling::Request(_) | Filling::Token(_) => {}
        }
    }
    sha256(&text)
}

const fn rank(source: FieldSource) -> u8 {
    match source {
        FieldSource::Request => 1,
        FieldSource::Override => 2,
        FieldSource::Stored => 3,
        FieldSource::UserSecret => 4,
        FieldSource::OrgSecret => 5,
        FieldSource::Connection => 6,
        FieldSource::Missing => 7,
    }
}
