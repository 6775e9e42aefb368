//! Organisations.

use std::sync::Arc;

use crate::audit::Recorded;
use crate::crypto::{Owner, Record, sha256};
use crate::id::{MemberId, OrgId, UserId};
use crate::name::OrgSlug;
use crate::policy::{CreateOrg, OperateVault, Permit, Principal, ReadOrg, UpdateOrg};
use crate::store::{Batch, Expect, StoreKey};
use crate::vault::{OrgKeys, Unsealed, Vault, VaultError};
use crate::wire::{self, MemberStatus, OrgSettings, Role};

use super::place::{
    LocalIndex, MemberRecord, OrgRecord, local_place, member_place, org_place, put_index,
    slug_place,
};
use super::{Directory, DirectoryError};

/// An organisation, without the caller's role in it.
#[derive(Clone, Debug)]
pub struct OrgEntry(pub(super) OrgRecord);

impl OrgEntry {
    /// Its policy.
    #[must_use]
    pub const fn settings(&self) -> &OrgSettings {
        &self.0.settings
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> OrgId {
        self.0.id
    }

    /// Its display name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The organisation as a caller of this role sees it.
    #[must_use]
    pub fn to_wire(&self, role: Role) -> wire::Organization {
        let OrgRecord {
            id,
            name,
            slug,
            settings,
            created,
            deleted: _,
        } = self.0.clone();
        let plan = "free".to_owned();
        let (role, org_role) = (role, role);
        wire::Organization {
            id,
            name,
            slug,
            plan,
            role,
            org_role,
            settings,
            created_at: created,
        }
    }
}

/// Who the first admin of a new organisation is.
pub(super) struct Founder {
    pub(super) user: UserId,
    pub(super) name: String,
    pub(super) email: Option<String>,
    pub(super) uid: Option<u32>,
}

pub(super) fn check_name(name: &str) -> Result<(), DirectoryError> {
    let length = name.chars().count();
    let sound =
        (1..=100).contains(&length) && name.trim() == name && !name.chars().any(char::is_control);
    if sound {
        Ok(())
    } else {
        Err(DirectoryError::Rule(
            "a name has 1 to 100 characters, no control characters, and no space at either end",
        ))
    }
}

/// A legal slug made of a name.
pub(super) fn slug_of(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars().take(60) {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() {
        "organization".to_owned()
    } else {
        slug.to_owned()
    }
}

impl Directory {
    /// Makes an organisation; the caller becomes its admin.
    ///
    /// # Errors
    /// [`DirectoryError::Exists`] when the slug is taken, [`DirectoryError::Rule`] for a bad name.
    pub async fn create_org(
        &self,
        vault: &Unsealed,
        permit: &Permit<CreateOrg>,
        request: &wire::CreateOrganization,
        recorded: &Recorded,
    ) -> Result<OrgEntry, DirectoryError> {
        check_name(&request.name)?;
        let slug = request
            .slug
            .clone()
            .unwrap_or_else(|| slug_of(&request.name));
        OrgSlug::parse(&slug).map_err(|_| {
            DirectoryError::Rule("a slug is 1 to 64 lower-case letters, digits and hyphens")
        })?;
        let _turn = self.turn(vault, permit).await?;
        let own = self
            .member(vault, permit.principal().org(), permit.principal().user())
            .await?;
        let own = own.ok_or(DirectoryError::NotFound)?.0;
        let founder = Founder {
            user: own.user,
            name: own.name,
            email: own.email,
            uid: None,
        };
        self.found(vault, &request.name, &slug, founder, recorded)
            .await
    }

    pub(super) async fn found(
        &self,
        vault: &Unsealed,
        name: &str,
        slug: &str,
        founder: Founder,
        recorded: &Recorded,
    ) -> Result<OrgEntry, DirectoryError> {
        let id = OrgId::from_random(vault.random().bytes()?);
        let mut batch = Batch::new();
        let keys = vault.draw_org_keys(id, &mut batch)?;
        let record = OrgRecord {
            id,
            name: name.to_owned(),
            slug: slug.to_owned(),
            settings: OrgSettings::default(),
            created: vault.now(),
            deleted: None,
        };
        let place = org_place(&keys);
        let sealed = vault.seal_state(keys.kek(), id, Owner::SYSTEM, &place, &record)?;
        batch.put(place, sealed);
        let place = slug_place(vault.system_index(), slug);
        put_index(vault, place, &id, &mut batch)?;
        let member = MemberRecord {
            id: MemberId::from_random(vault.random().bytes()?),
            user: founder.user,
            name: founder.name,
            email: founder.email,
            role: Role::Admin,
            status: MemberStatus::Active,
            uid: founder.uid,
            joined: vault.now(),
            term: 0,
        };
        put_member(vault, &keys, &member, &mut batch)?;
        if let Some(uid) = founder.uid {
            put_local(
                vault,
                uid,
                LocalIndex {
                    org: id,
                    user: founder.user,
                },
                &mut batch,
            )?;
        }
        self.commit(vault, id, batch, recorded)
            .await
            .map_err(|error| match error {
                VaultError::Store(crate::store::StoreError::Precondition) => {
                    DirectoryError::Exists("an organisation of that slug exists already")
                }
                error => error.into(),
            })?;
        vault.adopt_org(keys);
        Ok(OrgEntry(record))
    }

    /// The caller's organisation.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn current_org(
        &self,
        vault: &Unsealed,
        permit: &Permit<ReadOrg>,
    ) -> Result<OrgEntry, DirectoryError> {
        self.org_of(vault, permit.principal()).await
    }

    /// The policy of the caller's organisation.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn settings(
        &self,
        vault: &Unsealed,
        principal: &Principal,
    ) -> Result<OrgSettings, DirectoryError> {
        let epoch = match self.memory.policy(principal.org()) {
            Ok(settings) => return Ok(settings),
            Err(epoch) => epoch,
        };
        let settings = self.org_of(vault, principal).await?.0.settings;
        let kept = settings.clone();
        self.memory.keep_policy(principal.org(), epoch, kept);
        Ok(settings)
    }

    pub(super) async fn org_of(
        &self,
        vault: &Vault,
        principal: &Principal,
    ) -> Result<OrgEntry, DirectoryError> {
        let keys = vault.org(principal.org())?;
        let place = org_place(&keys);
        let record = org_record(vault, &place).await?;
        open_org(vault, &keys, &place, &record)
    }

    /// The organisations that the caller is a member of.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn orgs_of_user(
        &self,
        vault: &Unsealed,
        permit: &Permit<ReadOrg>,
    ) -> Result<Vec<wire::Organization>, DirectoryError> {
        let user = permit.principal().user();
        let mut found = Vec::new();
        for id in vault.org_ids() {
            let Some(member) = self.member(vault, id, user).await? else {
                continue;
            };
            if member.0.status != MemberStatus::Active {
                continue;
            }
            let keys = vault.org(id)?;
            let place = org_place(&keys);
            if let Some(record) = vault.store().get(&place).await? {
                let record = vault.open_state(keys.kek(), id, Owner::SYSTEM, &place, &record)?;
                found.push(OrgEntry(record).to_wire(member.0.role));
            }
        }
        found.sort_by_key(|org| (org.created_at, org.id));
        Ok(found)
    }

    /// All organisations, the oldest first; those that are deleted are not among them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn installed_orgs(
        &self,
        vault: &Unsealed,
        _permit: &Permit<OperateVault>,
    ) -> Result<Vec<wire::InstalledOrganization>, DirectoryError> {
        let mut found = Vec::new();
        for id in vault.org_ids() {
            // One may go meanwhile.
            let Ok(keys) = vault.org(id) else { continue };
            let place = org_place(&keys);
            let Some(record) = vault.store().get(&place).await? else {
                continue;
            };
            let OrgEntry(org) = open_org(vault, &keys, &place, &record)?;
            if org.deleted.is_some() {
                continue;
            }
            let mut members = self.all_members(vault, &keys).await?;
            members.retain(|member| member.0.status == MemberStatus::Active);
            found.push(wire::InstalledOrganization {
                id,
                name: org.name,
                slug: org.slug,
                members: u64::try_from(members.len()).unwrap_or(u64::MAX),
                created_at: org.created,
            });
        }
        found.sort_by_key(|org| (org.created_at, org.id));
        Ok(found)
    }

    /// Changes the organisation's name or policy.
    ///
    /// # Errors
    /// [`DirectoryError::Rule`] for a bad name.
    pub async fn update_org(
        &self,
        vault: &Unsealed,
        permit: &Permit<UpdateOrg>,
        change: &wire::UpdateOrganization,
        recorded: &Recorded,
    ) -> Result<OrgEntry, DirectoryError> {
        if let Some(name) = &change.name {
            check_name(name)?;
        }
        let _turn = self.turn(vault, permit).await?;
        let keys: Arc<OrgKeys> = vault.org(permit.principal().org())?;
        let place = org_place(&keys);
        let old = vault
            .store()
            .get(&place)
            .await?
            .ok_or(DirectoryError::NotFound)?;
        let mut record: OrgRecord =
            vault.open_state(keys.kek(), keys.id(), Owner::SYSTEM, &place, &old)?;
        if let Some(name) = &change.name {
            record.name.clone_from(name);
        }
        if let Some(settings) = &change.settings {
            let now = &mut record.settings;
            now.reveal_enabled = settings.reveal_enabled.unwrap_or(now.reveal_enabled);
            now.members_reveal_shared = settings
                .members_reveal_shared
                .unwrap_or(now.members_reveal_shared);
            now.device_flows = settings.device_flows.unwrap_or(now.device_flows);
        }
        let sealed = vault.seal_state(keys.kek(), keys.id(), Owner::SYSTEM, &place, &record)?;
        let mut batch = Batch::new();
        batch.expect(place.clone(), Expect::Exactly(sha256(old.as_bytes())));
        batch.put(place, sealed);
        self.commit(vault, keys.id(), batch, recorded).await?;
        Ok(OrgEntry(record))
    }
}

pub(super) fn put_member(
    vault: &Vault,
    org: &OrgKeys,
    member: &MemberRecord,
    batch: &mut Batch,
) -> Result<(), DirectoryError> {
    let place = member_place(org, member.user);
    let sealed = vault.seal_state(org.kek(), org.id(), Owner::SYSTEM, &place, member)?;
    batch.put(place, sealed);
    Ok(())
}

pub(super) fn put_local(
    vault: &Vault,
    uid: u32,
    index: LocalIndex,
    batch: &mut Batch,
) -> Result<(), DirectoryError> {
    let place = local_place(vault.system_index(), uid);
    Ok(put_index(vault, place, &index, batch)?)
}

async fn org_record(vault: &Vault, place: &StoreKey) -> Result<Record, DirectoryError> {
    let record = vault.store().get(place).await?;
    record.ok_or(DirectoryError::NotFound)
}

fn open_org(
    vault: &Vault,
    keys: &OrgKeys,
    place: &StoreKey,
    record: &Record,
) -> Result<OrgEntry, DirectoryError> {
    let org = vault.open_state(keys.kek(), keys.id(), Owner::SYSTEM, place, record)?;
    Ok(OrgEntry(org))
}
