//! Deleting an organisation, or a person everywhere.
//!
//! An organisation that is deleted has no members from that commit on, whatever their records say: nobody is
//! recognised in it, no service acts in it, and its name is free. Everything else follows, and is gone on with
//! after a kill for as long as that mark stands: it goes last, with the organisation's key.

use serde::Deserialize;

use crate::audit::Recorded;
use crate::crypto::{Owner, Record, sha256};
use crate::id::{OrgId, UserId};
use crate::name::OrgSlug;
use crate::policy::{DeleteOrg, DeleteUser, Permit};
use crate::store::{Batch, Class, Expect, StoreKey};
use crate::vault::{OrgKeys, Unsealed, Vault, VaultError};
use crate::wire::{MemberStatus, Role};

use super::members::MemberEntry;
use super::organizations::put_member;
use super::place::{
    OrgRecord, local_place, member_place, open_index, org_place, read_index, slug_place,
};
use super::{Directory, DirectoryError};

/// How many records go in one commit.
const PAGE: usize = 256;

/// What a record leads to that belongs to no organisation: to something of one, or to one itself.
#[derive(Deserialize)]
#[serde(untagged)]
enum Lead {
    Into { org: OrgId },
    To(OrgId),
}

impl Directory {
    /// The organisation that an id or a slug means.
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`].
    pub async fn org_to_delete(
        &self,
        vault: &Unsealed,
        _permit: &Permit<DeleteOrg>,
        text: &str,
    ) -> Result<OrgId, DirectoryError> {
        if let Ok(id) = OrgId::parse(text) {
            let known = vault.org_ids().contains(&id);
            return known.then_some(id).ok_or(DirectoryError::NotFound);
        }
        let slug = OrgSlug::parse(text).map_err(|_| DirectoryError::NotFound)?;
        let place = slug_place(vault.system_index(), slug.as_str());
        let found = read_index(vault, &place).await?;
        found.ok_or(DirectoryError::NotFound)
    }

    /// Marks an organisation as deleted: from now on it has no members. Nothing happens when it was deleted
    /// before. `operator` is the user id that the broker runs as.
    ///
    /// # Errors
    /// [`DirectoryError::Rule`] for the organisation by which the operator is recognised.
    pub async fn delete_org(
        &self,
        vault: &Unsealed,
        permit: &Permit<DeleteOrg>,
        org: OrgId,
        operator: u32,
        recorded: &Recorded,
    ) -> Result<(), DirectoryError> {
        let _turn = self.turn(vault, permit).await?;
        let org = vault.org(org)?;
        let members = self.all_members(vault, &org).await?;
        if members.iter().any(|member| member.uid() == Some(operator))
            || org.id() == permit.principal().org()
        {
            return Err(DirectoryError::Rule(
                "this is the organisation by which its operator is recognised: without it nobody could run this installation",
            ));
        }
        let place = org_place(&org);
        let old = vault.store().get(&place).await?;
        let old = old.ok_or(DirectoryError::NotFound)?;
        let mut record = open(vault, &org, &place, &old)?;
        if record.deleted.is_some() {
            return Ok(());
        }
        record.deleted = Some(vault.now());
        let sealed = vault.seal_state(org.kek(), org.id(), Owner::SYSTEM, &place, &record)?;
        let mut batch = Batch::new();
        batch.expect(place.clone(), Expect::Exactly(sha256(old.as_bytes())));
        batch.put(place, sealed);
        batch.delete(slug_place(vault.system_index(), &record.slug));
        for uid in members.iter().filter_map(MemberEntry::uid) {
            batch.delete(local_place(vault.system_index(), uid));
        }
        Ok(self.commit(vault, org.id(), batch, recorded).await?)
    }

    /// Whether an organisation is deleted, and not gone yet.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn is_deleted(&self, vault: &Vault, org: &OrgKeys) -> Result<bool, DirectoryError> {
        let place = org_place(org);
        let Some(record) = vault.store().read(&place).await? else {
            return Ok(true);
        };
        Ok(open(vault, org, &place, &record)?.deleted.is_some())
    }

    /// Destroys what is left of an organisation that was deleted, when its owners have nothing any more: what
    /// leads to it, its records, and its key last. Answers how many records went.
    ///
    /// # Errors
    /// When the store fails, or a record was altered: it can be done again.
    pub async fn forget_org(
        &self,
        vault: &Unsealed,
        org: OrgId,
        recorded: &Recorded,
    ) -> Result<u64, DirectoryError> {
        let keys = vault.org(org)?;
        let mut gone = 0;
        for class in [
            Class::ApiKeyIndex,
            Class::ServiceIndex,
            Class::LocalUser,
            Class::Organization,
        ] {
            gone += forget_leads(vault, org, class, recorded).await?;
        }
        gone += vault.shred_org(org, org_place(&keys), recorded).await?;
        self.memory.forget();
        Ok(gone)
    }

    /// Removes somebody from every organisation, or from none. Answers from which. `operator` is as for
    /// [`Directory::set_role`].
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`] for one who is a member nowhere; [`DirectoryError::LastAdmin`] where nobody
    /// else could run one of their organisations; [`DirectoryError::Rule`] for the operator.
    pub async fn delete_user(
        &self,
        vault: &Unsealed,
        permit: &Permit<DeleteUser>,
        user: UserId,
        operator: u32,
        recorded: &Recorded,
    ) -> Result<Vec<OrgId>, DirectoryError> {
        let _turn = self.turn(vault, permit).await?;
        let mut found = Vec::new();
        for id in vault.org_ids() {
            let org = vault.org(id)?;
            let members = self.all_members(vault, &org).await?;
            let mut active = members;
            active.retain(|member| member.0.status == MemberStatus::Active);
            let Some(member) = active.iter().find(|member| member.user() == user) else {
                continue;
            };
            if member.uid() == Some(operator) {
                return Err(DirectoryError::Rule(
                    "this is who its operator is: without them nobody could run this installation",
                ));
            }
            let admins = active.iter().filter(|one| one.0.role == Role::Admin);
            if member.0.role == Role::Admin && admins.count() == 1 {
                return Err(DirectoryError::LastAdmin);
            }
            found.push((org, member.0.clone()));
        }
        if found.is_empty() {
            return Err(DirectoryError::NotFound);
        }
        let mut orgs = Vec::with_capacity(found.len());
        for (org, old) in found {
            let mut new = old.clone();
            (new.status, new.uid) = (MemberStatus::Removed, None);
            new.term += u64::from(old.role == Role::Admin);
            let place = member_place(&org, user);
            let read = vault.store().get(&place).await?;
            let read = read.ok_or(DirectoryError::NotFound)?;
            let mut batch = Batch::new();
            batch.expect(place, Expect::Exactly(sha256(read.as_bytes())));
            put_member(vault, &org, &new, &mut batch)?;
            if let Some(uid) = old.uid {
                batch.delete(local_place(vault.system_index(), uid));
            }
            self.commit(vault, org.id(), batch, recorded).await?;
            orgs.push(org.id());
        }
        Ok(orgs)
    }
}

fn open(
    vault: &Vault,
    org: &OrgKeys,
    place: &StoreKey,
    record: &Record,
) -> Result<OrgRecord, DirectoryError> {
    Ok(vault.open_state(org.kek(), org.id(), Owner::SYSTEM, place, record)?)
}

/// Removes what of `class` leads to an organisation.
async fn forget_leads(
    vault: &Vault,
    org: OrgId,
    class: Class,
    recorded: &Recorded,
) -> Result<u64, VaultError> {
    let (prefix, mut after, mut gone) = (StoreKey::new(class, &[]), None, 0);
    loop {
        let page = vault.store().scan(&prefix, after.as_ref(), PAGE).await?;
        let Some((last, _)) = page.last() else {
            return Ok(gone);
        };
        after = Some(last.clone());
        let mut batch = Batch::new();
        for (place, record) in page {
            if !vault.is_of_installation(&record) {
                continue;
            }
            let (Lead::Into { org: to } | Lead::To(to)) = open_index(vault, &place, &record)?;
            if to == org {
                batch.delete(place);
                gone += 1;
            }
        }
        if !batch.is_empty() {
            vault.commit(batch, recorded).await?;
        }
    }
}
