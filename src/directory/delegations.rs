//! Delegations: an admin lets a service act for a member without a token of theirs.

use std::collections::HashMap;

use crate::audit::Recorded;
use crate::crypto::Owner;
use crate::id::{DelegationId, ServiceId, UserId};
use crate::policy::{Delegate, Permit, Principal, ReadServices};
use crate::store::{Batch, StoreKey};
use crate::vault::{OrgKeys, Unsealed, parse_expiry};
use crate::wire::{self, MemberStatus};

use super::service_records::{
    DelegationRecord, all_delegations, all_services, delegation_place, delegations_of,
    delegations_prefix, read_service,
};
use super::{Directory, DirectoryError};

impl Directory {
    /// Lets the permit's service act for the permit's member, until `expires_in` if that is said. Of a
    /// delegation that holds, the time is changed.
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`] when the organisation has no such service or member,
    /// [`DirectoryError::Rule`] for a bad expiry.
    pub async fn delegate(
        &self,
        vault: &Unsealed,
        permit: &Permit<Delegate>,
        expires_in: Option<&str>,
        recorded: &Recorded,
    ) -> Result<wire::Delegation, DirectoryError> {
        let (service, user) = *permit.object();
        let now = vault.now();
        let expires = match expires_in {
            Some(text) => parse_expiry(text, now)?,
            None => None,
        };
        let _turn = self.turn(vault, permit).await?;
        let org = vault.org(permit.principal().org())?;
        let (found, _) = read_service(vault, &org, service).await?;
        let member = self.member(vault, org.id(), user).await?;
        let member = member.filter(|member| member.0.status == MemberStatus::Active);
        let member = member.ok_or(DirectoryError::NotFound)?;
        // One that holds goes on: what runs by right of it is not cut off. One that ended does not.
        let there = self.delegated(vault, &org, (service, user)).await?;
        let (id, created) = match there {
            Some(there) => (there.id, there.created),
            None => (DelegationId::from_random(vault.random().bytes()?), now),
        };
        let record = DelegationRecord {
            id,
            service,
            user,
            by: permit.principal().user(),
            created,
            expires,
        };
        let place = delegation_place(&org, service, user);
        let sealed = vault.seal_state(org.kek(), org.id(), Owner::SYSTEM, &place, &record)?;
        let mut batch = Batch::new();
        batch.put(place, sealed);
        self.commit(vault, org.id(), batch, recorded).await?;
        let (service, user) = (found.name.to_string(), member.name().to_owned());
        Ok(shown(&record, service, user))
    }

    /// Ends a delegation, at once.
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`] when there is none.
    pub async fn end_delegation(
        &self,
        vault: &Unsealed,
        permit: &Permit<Delegate>,
        recorded: &Recorded,
    ) -> Result<(), DirectoryError> {
        let (service, user) = *permit.object();
        let _turn = self.turn(vault, permit).await?;
        let org = vault.org(permit.principal().org())?;
        let place = delegation_place(&org, service, user);
        let there = vault.store().get(&place).await?;
        there.ok_or(DirectoryError::NotFound)?;
        let mut batch = Batch::new();
        batch.delete(place);
        Ok(self.commit(vault, org.id(), batch, recorded).await?)
    }

    /// For whom a service of the caller's organisation may act without a token.
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`] when there is no such service.
    pub async fn delegations(
        &self,
        vault: &Unsealed,
        permit: &Permit<ReadServices>,
        service: ServiceId,
    ) -> Result<Vec<wire::Delegation>, DirectoryError> {
        let org = vault.org(permit.principal().org())?;
        read_service(vault, &org, service).await?;
        let mut found = self.listed(vault, &org, &delegations_prefix(&org)).await?;
        found.retain(|delegation| delegation.service_id == service);
        Ok(found)
    }

    /// Which services may act for the caller without a token.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn own_delegations(
        &self,
        vault: &Unsealed,
        caller: &Principal,
    ) -> Result<Vec<wire::Delegation>, DirectoryError> {
        let org = vault.org(caller.org())?;
        let prefix = delegations_of(&org, caller.user());
        self.listed(vault, &org, &prefix).await
    }

    /// The delegations under `prefix` that hold now.
    async fn listed(
        &self,
        vault: &Unsealed,
        org: &OrgKeys,
        prefix: &StoreKey,
    ) -> Result<Vec<wire::Delegation>, DirectoryError> {
        let now = vault.now();
        let mut records = all_delegations(vault, org, prefix).await?;
        records.retain(|record| record.expires.is_none_or(|end| end > now));
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let services = all_services(vault, org).await?;
        let services: HashMap<ServiceId, String> = services
            .into_iter()
            .map(|service| (service.id, service.name.to_string()))
            .collect();
        let mut found = Vec::with_capacity(records.len());
        for record in records {
            let member = self.member(vault, org.id(), record.user).await?;
            let member = member.filter(|member| member.0.status == MemberStatus::Active);
            let service = services.get(&record.service).cloned();
            if let (Some(service), Some(member)) = (service, member) {
                found.push(shown(&record, service, member.name().to_owned()));
            }
        }
        Ok(found)
    }

    /// Whether a service may act for a member now, and until when.
    pub(super) async fn delegated(
        &self,
        vault: &Unsealed,
        org: &OrgKeys,
        (service, user): (ServiceId, UserId),
    ) -> Result<Option<DelegationRecord>, DirectoryError> {
        let place = delegation_place(org, service, user);
        let Some(record) = vault.store().get(&place).await? else {
            return Ok(None);
        };
        let record: DelegationRecord =
            vault.open_state(org.kek(), org.id(), Owner::SYSTEM, &place, &record)?;
        let holds = record.expires.is_none_or(|end| end > vault.now());
        Ok(holds.then_some(record))
    }
}

fn shown(record: &DelegationRecord, service: String, user: String) -> wire::Delegation {
    wire::Delegation {
        service_id: record.service,
        service_name: service,
        user_id: record.user,
        user_name: user,
        granted_by: record.by,
        created_at: record.created,
        expires_at: record.expires,
    }
}
