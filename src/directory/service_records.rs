//! The records of services and of their delegations: where they stand, and their form.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::crypto::{Digest, MacKey, Owner, sha256};
use crate::id::{DelegationId, OrgId, ServiceCredentialId, ServiceId, UserId};
use crate::name::ServiceName;
use crate::store::{Batch, Class, StoreKey};
use crate::vault::{OrgKeys, Vault};

use super::DirectoryError;
use super::place::{all, half};

/// A service. One that was removed stays, so that a use of its key can still be told of.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceRecord {
    pub(super) id: ServiceId,
    pub(super) name: ServiceName,
    /// What it is recognised by, the newest last. The oldest that are over are forgotten.
    pub(super) credentials: Vec<Credential>,
    pub(super) created: Timestamp,
    pub(super) removed: Option<Timestamp>,
}

/// What a service is recognised by. Of a key, the record holds neither text nor hash.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credential {
    pub(super) id: ServiceCredentialId,
    pub(super) kind: CredentialKind,
    pub(super) created: Timestamp,
    /// When it ends: a replaced one after its grace, a certificate with its validity.
    pub(super) ends: Option<Timestamp>,
    #[serde(default)]
    pub(super) last_used: Option<Timestamp>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum CredentialKind {
    /// A key that begins like this.
    Key(String),
    /// A certificate of this SHA-256, in hex.
    Certificate(String),
}

/// Which credential a hash belongs to.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceIndex {
    pub(super) org: OrgId,
    pub(super) service: ServiceId,
    pub(super) credential: ServiceCredentialId,
}

/// That a service may act for a member without a token of theirs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DelegationRecord {
    pub(super) id: DelegationId,
    pub(super) service: ServiceId,
    pub(super) user: UserId,
    /// The admin who said so.
    pub(super) by: UserId,
    pub(super) created: Timestamp,
    pub(super) expires: Option<Timestamp>,
}

pub(super) fn services_prefix(org: &OrgKeys) -> StoreKey {
    StoreKey::new(Class::Service, &[half(&org.index().hash(&[b"services"]))])
}

pub(super) fn service_place(org: &OrgKeys, id: ServiceId) -> StoreKey {
    let list = org.index().hash(&[b"services"]);
    let one = org.index().hash(&[b"service", id.bytes()]);
    StoreKey::new(Class::Service, &[half(&list), &one])
}

/// Where the hash of a service's key, or of its certificate, leads to it.
pub(super) fn index_place(hash: &Digest) -> StoreKey {
    StoreKey::new(Class::ServiceIndex, &[hash])
}

/// What the store knows a certificate by: nobody who reads the store learns whose it is.
pub(super) fn certificate_hash(index: &MacKey, fingerprint: &Digest) -> Digest {
    index.hash(&[b"service-certificate", fingerprint])
}

pub(super) fn delegations_prefix(org: &OrgKeys) -> StoreKey {
    let list = org.index().hash(&[b"delegations"]);
    StoreKey::new(Class::Delegation, &[half(&list)])
}

/// A member's delegations stand together, so that they can be shown to them.
pub(super) fn delegations_of(org: &OrgKeys, user: UserId) -> StoreKey {
    let list = org.index().hash(&[b"delegations"]);
    let theirs = org.index().hash(&[b"delegations-of", user.bytes()]);
    StoreKey::new(Class::Delegation, &[half(&list), half(&theirs)])
}

pub(super) fn delegation_place(org: &OrgKeys, service: ServiceId, user: UserId) -> StoreKey {
    let list = org.index().hash(&[b"delegations"]);
    let theirs = org.index().hash(&[b"delegations-of", user.bytes()]);
    let one = org.index().hash(&[b"delegation", service.bytes()]);
    let parts: [&[u8]; 3] = [half(&list), half(&theirs), &one];
    StoreKey::new(Class::Delegation, &parts)
}

/// A service that is there.
pub(super) async fn read_service(
    vault: &Vault,
    org: &OrgKeys,
    id: ServiceId,
) -> Result<(ServiceRecord, Digest), DirectoryError> {
    let place = service_place(org, id);
    let record = vault.store().get(&place).await?;
    let record = record.ok_or(DirectoryError::NotFound)?;
    let service: ServiceRecord =
        vault.open_state(org.kek(), org.id(), Owner::SYSTEM, &place, &record)?;
    if service.removed.is_some() {
        return Err(DirectoryError::NotFound);
    }
    Ok((service, sha256(record.as_bytes())))
}

/// Every service of the organisation that is there, oldest first.
pub(super) async fn all_services(
    vault: &Vault,
    org: &OrgKeys,
) -> Result<Vec<ServiceRecord>, DirectoryError> {
    let mut services = every_service(vault, org).await?;
    services.retain(|service| service.removed.is_none());
    services.sort_by_key(|service| (service.created, service.id));
    Ok(services)
}

/// Every service of the organisation, those included that were removed.
pub(super) async fn every_service(
    vault: &Vault,
    org: &OrgKeys,
) -> Result<Vec<ServiceRecord>, DirectoryError> {
    all(vault, org, &services_prefix(org)).await
}

/// Every delegation that stands under `prefix`.
pub(super) async fn all_delegations(
    vault: &Vault,
    org: &OrgKeys,
    prefix: &StoreKey,
) -> Result<Vec<DelegationRecord>, DirectoryError> {
    let mut delegations: Vec<DelegationRecord> = all(vault, org, prefix).await?;
    delegations.sort_by_key(|delegation| (delegation.created, delegation.user));
    Ok(delegations)
}

pub(super) fn put_service(
    vault: &Vault,
    org: &OrgKeys,
    record: &ServiceRecord,
    batch: &mut Batch,
) -> Result<(), DirectoryError> {
    let place = service_place(org, record.id);
    let sealed = vault.seal_state(org.kek(), org.id(), Owner::SYSTEM, &place, record)?;
    batch.put(place, sealed);
    Ok(())
}
