//! Services: made by the operator, shown, given new credentials, removed.

use crate::audit::Recorded;
use crate::clock::Timestamp;
use crate::crypto::Digest;
use crate::id::{OrgId, ServiceCredentialId, ServiceId};
use crate::name::{OrgSlug, ServiceName};
use crate::policy::{
    Action, OperateServices, Permit, ReadAllServices, ReadServices, RemoveService, Scopes,
};
use crate::secret::Secret;
use crate::store::{Batch, Expect, StoreError};
use crate::vault::{OrgKeys, Unsealed, VaultError};
use crate::wire::{self, ServiceCredentialKind};

use super::last_used::Used;
use super::place::{put_index, read_index, slug_place};
use super::service_records::{
    Credential, CredentialKind, ServiceIndex, ServiceRecord, all_delegations, all_services,
    certificate_hash, delegation_place, delegations_prefix, every_service, index_place,
    put_service, read_service, service_place,
};
use super::token::Kind;
use super::{Directory, DirectoryError, Token};

/// The most services of one organisation.
const MOST: usize = 100;
/// The most credentials that a record remembers, those included that are over.
const REMEMBERED: usize = 8;
/// The longest grace of replaced credentials, in seconds (7 days).
const MAX_GRACE: u32 = 604_800;

/// A client certificate by which a service is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The SHA-256 of the certificate.
    pub fingerprint: Digest,
    /// When the certificate ends.
    pub ends: Timestamp,
}

/// A service that was just made, or given a new credential.
#[derive(Debug)]
pub struct MadeService {
    /// The service.
    pub service: wire::Service,
    /// The text of its new key, to be shown once; none when it has a certificate.
    pub text: Option<Secret>,
}

/// What leads to a new credential, and what is shown of it.
struct Drawn {
    credential: Credential,
    hash: Digest,
    text: Option<Secret>,
}

impl Directory {
    /// Draws the id of a service that is to be made, so that it can be recorded before it is.
    ///
    /// # Errors
    /// When no randomness is to be had.
    pub fn draw_service_id(vault: &Unsealed) -> Result<ServiceId, DirectoryError> {
        Ok(ServiceId::from_random(vault.random().bytes()?))
    }

    /// The organisation that an id or a slug means; without one, the operator's own.
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`].
    pub async fn find_org(
        &self,
        vault: &Unsealed,
        permit: &Permit<ReadAllServices>,
        text: Option<&str>,
    ) -> Result<OrgId, DirectoryError> {
        let Some(text) = text else {
            return Ok(permit.principal().org());
        };
        if let Ok(id) = OrgId::parse(text) {
            let org = vault.org(id)?;
            let deleted = self.is_deleted(vault, &org).await?;
            return (!deleted).then_some(id).ok_or(DirectoryError::NotFound);
        }
        let slug = OrgSlug::parse(text).map_err(|_| DirectoryError::NotFound)?;
        let place = slug_place(vault.system_index(), slug.as_str());
        let found = read_index(vault, &place).await?;
        found.ok_or(DirectoryError::NotFound)
    }

    /// Which organisation's a service is.
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`].
    pub async fn org_of_service(
        &self,
        vault: &Unsealed,
        _permit: &Permit<ReadAllServices>,
        id: ServiceId,
    ) -> Result<OrgId, DirectoryError> {
        for org in vault.org_ids() {
            match read_service(vault, &*vault.org(org)?, id).await {
                Ok(_) => return Ok(org),
                Err(DirectoryError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Err(DirectoryError::NotFound)
    }

    /// Makes a service of the permit's organisation, recognised by `pin` or else by a new key.
    ///
    /// # Errors
    /// [`DirectoryError::Rule`] for a bad name, [`DirectoryError::Exists`] for one that is taken or a
    /// certificate that is some service's already.
    pub async fn add_service(
        &self,
        vault: &Unsealed,
        permit: &Permit<OperateServices>,
        id: ServiceId,
        (name, pin): (&ServiceName, Option<Pin>),
        recorded: &Recorded,
    ) -> Result<MadeService, DirectoryError> {
        let _turn = self.turn(vault, permit).await?;
        let org = vault.org(*permit.object())?;
        let others = all_services(vault, &org).await?;
        if others.len() >= MOST {
            return Err(DirectoryError::Rule(
                "an organisation has at most 100 services",
            ));
        }
        if others.iter().any(|other| other.name == *name) {
            return Err(DirectoryError::Exists(
                "the organisation has a service of that name already",
            ));
        }
        let drawn = drawn(vault, pin)?;
        let record = ServiceRecord {
            id,
            name: name.clone(),
            credentials: vec![drawn.credential.clone()],
            created: vault.now(),
            removed: None,
        };
        self.write(vault, &org, record, (Batch::new(), drawn), recorded)
            .await
    }

    /// Gives a service a new credential, `pin` or else a new key; what it had works for the grace.
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`], [`DirectoryError::Rule`] for too long a grace and for too many
    /// credentials that still work, and as [`Directory::add_service`].
    pub async fn rotate_service(
        &self,
        vault: &Unsealed,
        permit: &Permit<OperateServices>,
        id: ServiceId,
        (pin, grace): (Option<Pin>, u32),
        recorded: &Recorded,
    ) -> Result<MadeService, DirectoryError> {
        if grace > MAX_GRACE {
            return Err(DirectoryError::Rule(
                "a grace is at most 604,800 seconds (7 days)",
            ));
        }
        let _turn = self.turn(vault, permit).await?;
        let org = vault.org(*permit.object())?;
        let (mut record, digest) = read_service(vault, &org, id).await?;
        let end = vault.now().plus_seconds(i64::from(grace));
        for old in &mut record.credentials {
            old.ends = Some(old.ends.map_or(end, |earlier| earlier.min(end)));
        }
        make_place(&mut record.credentials, vault.now())?;
        let drawn = drawn(vault, pin)?;
        record.credentials.push(drawn.credential.clone());
        let mut batch = Batch::new();
        batch.expect(service_place(&org, id), Expect::Exactly(digest));
        self.write(vault, &org, record, (batch, drawn), recorded)
            .await
    }

    async fn write(
        &self,
        vault: &Unsealed,
        org: &OrgKeys,
        record: ServiceRecord,
        (mut batch, drawn): (Batch, Drawn),
        recorded: &Recorded,
    ) -> Result<MadeService, DirectoryError> {
        let index = ServiceIndex {
            org: org.id(),
            service: record.id,
            credential: drawn.credential.id,
        };
        put_index(vault, index_place(&drawn.hash), &index, &mut batch)?;
        put_service(vault, org, &record, &mut batch)?;
        self.commit(vault, org.id(), batch, recorded)
            .await
            .map_err(|error| match error {
                VaultError::Store(StoreError::Precondition) => DirectoryError::Exists(
                    "that certificate is, or was, a credential of a service already",
                ),
                error => error.into(),
            })?;
        Ok(MadeService {
            service: self.shown(org.id(), record, vault.now()),
            text: drawn.text,
        })
    }

    /// The services of the caller's organisation.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn services(
        &self,
        vault: &Unsealed,
        permit: &Permit<ReadServices>,
    ) -> Result<Vec<wire::Service>, DirectoryError> {
        self.services_of(vault, permit.principal().org()).await
    }

    /// What the organisation's services are called, those included that were removed.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn service_names(
        &self,
        vault: &Unsealed,
        org: &OrgKeys,
    ) -> Result<Vec<(ServiceId, ServiceName)>, DirectoryError> {
        let records = every_service(vault, org).await?;
        let names = records.into_iter().map(|record| (record.id, record.name));
        Ok(names.collect())
    }

    /// The services of every organisation.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn all_services(
        &self,
        vault: &Unsealed,
        _permit: &Permit<ReadAllServices>,
    ) -> Result<Vec<wire::Service>, DirectoryError> {
        let mut found = Vec::new();
        for org in vault.org_ids() {
            found.extend(self.services_of(vault, org).await?);
        }
        Ok(found)
    }

    /// Removes a service of the caller's organisation: nobody is recognised by its credentials any more,
    /// and nobody is delegated to it.
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`].
    pub async fn remove_service(
        &self,
        vault: &Unsealed,
        permit: &Permit<RemoveService>,
        recorded: &Recorded,
    ) -> Result<(), DirectoryError> {
        let whose = (permit.principal().org(), *permit.object());
        self.removed(vault, permit, whose, recorded).await
    }

    /// Removes a service of the permit's organisation, as [`Directory::remove_service`].
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`].
    pub async fn retire_service(
        &self,
        vault: &Unsealed,
        permit: &Permit<OperateServices>,
        id: ServiceId,
        recorded: &Recorded,
    ) -> Result<(), DirectoryError> {
        let whose = (*permit.object(), id);
        self.removed(vault, permit, whose, recorded).await
    }

    async fn removed<A: Action>(
        &self,
        vault: &Unsealed,
        permit: &Permit<A>,
        (org, id): (OrgId, ServiceId),
        recorded: &Recorded,
    ) -> Result<(), DirectoryError> {
        let _turn = self.turn(vault, permit).await?;
        let org = vault.org(org)?;
        let (mut record, digest) = read_service(vault, &org, id).await?;
        record.removed = Some(vault.now());
        let mut batch = Batch::new();
        batch.expect(service_place(&org, id), Expect::Exactly(digest));
        put_service(vault, &org, &record, &mut batch)?;
        for delegation in all_delegations(vault, &org, &delegations_prefix(&org)).await? {
            if delegation.service == id {
                batch.delete(delegation_place(&org, id, delegation.user));
            }
        }
        Ok(self.commit(vault, org.id(), batch, recorded).await?)
    }

    async fn services_of(
        &self,
        vault: &Unsealed,
        org: OrgId,
    ) -> Result<Vec<wire::Service>, DirectoryError> {
        let services = all_services(vault, &*vault.org(org)?).await?;
        let now = vault.now();
        let shown = services
            .into_iter()
            .map(|record| self.shown(org, record, now));
        Ok(shown.collect())
    }

    /// A service as it is shown: with the credentials that work.
    fn shown(&self, org: OrgId, record: ServiceRecord, now: Timestamp) -> wire::Service {
        let works = |credential: &Credential| credential.ends.is_none_or(|end| end > now);
        let credentials = record.credentials.into_iter().filter(works);
        let credentials = credentials.map(|credential| {
            let (kind, shown) = match credential.kind {
                CredentialKind::Key(prefix) => (ServiceCredentialKind::Key, prefix),
                CredentialKind::Certificate(print) => (ServiceCredentialKind::Certificate, print),
            };
            let used = self.used_at(Used::Service(org, record.id, credential.id));
            wire::ServiceCredential {
                id: credential.id,
                kind,
                shown,
                created_at: credential.created,
                last_used_at: used.max(credential.last_used),
                expires_at: credential.ends,
            }
        });
        wire::Service {
            id: record.id,
            organization_id: org,
            name: record.name.to_string(),
            scopes: Scopes::of_services().to_strings(),
            credentials: credentials.collect(),
            created_at: record.created,
        }
    }
}

/// Makes place for one more credential: the oldest that are over are forgotten, none that works.
fn make_place(credentials: &mut Vec<Credential>, now: Timestamp) -> Result<(), DirectoryError> {
    while credentials.len() >= REMEMBERED {
        let over = |one: &Credential| one.ends.is_some_and(|end| end <= now);
        let oldest = credentials.iter().position(over);
        credentials.remove(oldest.ok_or(DirectoryError::Rule(
            "a service has at most 8 credentials that work: wait until the grace of one is over, or rotate with no grace, which ends them all",
        ))?);
    }
    Ok(())
}

fn drawn(vault: &Unsealed, pin: Option<Pin>) -> Result<Drawn, DirectoryError> {
    let id = ServiceCredentialId::from_random(vault.random().bytes()?);
    let created = vault.handed_out_now();
    let index = vault.system_index();
    if let Some(Pin { fingerprint, ends }) = pin {
        if ends <= created {
            return Err(DirectoryError::Rule("that certificate is over already"));
        }
        let credential = Credential {
            id,
            kind: CredentialKind::Certificate(data_encoding::HEXLOWER.encode(&fingerprint)),
            created,
            ends: Some(ends),
            last_used: None,
        };
        return Ok(Drawn {
            credential,
            hash: certificate_hash(index, &fingerprint),
            text: None,
        });
    }
    let token = Token::generate(Kind::Service, vault.random())?;
    let credential = Credential {
        id,
        kind: CredentialKind::Key(token.prefix()),
        created,
        ends: None,
        last_used: None,
    };
    Ok(Drawn {
        credential,
        hash: token.hash(index),
        text: Some(token.into_secret()),
    })
}
