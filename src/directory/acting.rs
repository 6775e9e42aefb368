//! Recognising a service, and for whom it acts.
//!
//! Two things must hold at once: that it is the service, by its key or its certificate, and that the user
//! it names let it, by a token of theirs that came along, or that an admin did. What comes of it is the
//! user, with those of their rights that take credentials to use and none that show or change any. A
//! service that was broken into acts for nobody who does not call it.

use std::sync::Arc;

use crate::audit::{Acting, Word};
use crate::clock::Timestamp;
use crate::crypto::{Digest, Owner, sha256_parts};
use crate::id::{ApiKeyId, OrgId, ServiceCredentialId, ServiceId, UserId};
use crate::policy::{Principal, Scopes, Via};
use crate::vault::{OrgKeys, Unsealed, VaultError};
use crate::wire::MemberStatus;

use super::memory::Bearer;
use super::place::read_index;
use super::refused::{Refused, Rejected, Unfit};
use super::service_records::{
    ServiceIndex, ServiceRecord, certificate_hash, index_place, service_place,
};
use super::standing::Recognised;
use super::{Directory, DirectoryError, Token};

/// What a service shows of itself.
#[derive(Clone, Copy, Debug)]
pub enum Shown<'a> {
    /// A key's text.
    Key(&'a [u8]),
    /// The SHA-256 of the certificate whose key it proved to have.
    Certificate(Digest),
}

/// For whom a service says it acts.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// For nobody.
    Nobody,
    /// For whose token this is.
    Token(&'a [u8]),
    /// For this user, with no token of theirs.
    User(UserId),
}

/// A service that is the one it says.
struct Proved {
    org: Arc<OrgKeys>,
    service: ServiceId,
    credential: ServiceCredentialId,
    ends: Option<Timestamp>,
}

impl Proved {
    fn acting(&self, word: Option<Word>) -> Acting {
        Acting {
            id: self.service,
            credential: self.credential,
            word,
        }
    }

    /// The refusal of its subject.
    fn refuses(&self, why: Unfit) -> Refused {
        Refused {
            why: Rejected::Subject(why),
            key: None,
            service: Some((self.org.id(), self.acting(None))),
        }
    }
}

impl Directory {
    /// Recognises a service and the user it acts for.
    ///
    /// # Errors
    /// When the store fails; a service or subject that is refused is `Ok(Err(_))`.
    pub async fn by_service(
        &self,
        vault: &Unsealed,
        shown: Shown<'_>,
        subject: Subject<'_>,
    ) -> Result<Result<Recognised, Refused>, DirectoryError> {
        let index = vault.system_index();
        let hash = match shown {
            Shown::Key(text) => Token::hash_of_service(text, index),
            Shown::Certificate(print) => Some(certificate_hash(index, &print)),
        };
        let Some(hash) = hash else {
            return Ok(Err(Rejected::Malformed.into()));
        };
        let about = match subject {
            Subject::Nobody => None,
            Subject::Token(text) => Token::hash_of(text, index),
            Subject::User(user) => Some(index.hash(&[b"subject", user.bytes()])),
        };
        let Some(about) = about else {
            let proved = match self.proved_by(vault, &hash).await? {
                Ok(proved) => proved,
                Err(refused) => return Ok(Err(refused)),
            };
            let why = match subject {
                Subject::Nobody => Unfit::Nobody,
                Subject::Token(_) | Subject::User(_) => Unfit::Malformed,
            };
            return Ok(Err(proved.refuses(why)));
        };
        let mark = sha256_parts(&[&hash, &about]);
        let epoch = match self.memory.seen(&mark, vault.now()) {
            Ok(seen) => return Ok(Ok(seen)),
            Err(epoch) => epoch,
        };
        let proved = match self.proved_by(vault, &hash).await? {
            Ok(proved) => proved,
            Err(refused) => return Ok(Err(refused)),
        };
        let bearer = match subject {
            Subject::User(user) => self.for_member(vault, &proved, user).await?,
            Subject::Nobody | Subject::Token(_) => self.for_bearer(vault, &proved, &about).await?,
        };
        Ok(bearer.map(|bearer| self.remember(epoch, mark, bearer, vault.now())))
    }

    /// The user that a service acted for, as the store says now.
    pub(super) async fn still_acting(
        &self,
        vault: &Unsealed,
        (org, user): (OrgId, UserId),
        acting: Acting,
    ) -> Result<Result<Bearer, Refused>, DirectoryError> {
        let index = ServiceIndex {
            org,
            service: acting.id,
            credential: acting.credential,
        };
        let proved = match self.proved(vault, index).await? {
            Ok(proved) => proved,
            Err(refused) => return Ok(Err(refused)),
        };
        match acting.word {
            Some(Word::ApiKey(key)) => self.for_key(vault, &proved, (org, key)).await,
            Some(Word::Delegation(_)) => self.for_member(vault, &proved, user).await,
            None => Ok(Err(proved.refuses(Unfit::Nobody))),
        }
    }

    async fn proved_by(
        &self,
        vault: &Unsealed,
        hash: &Digest,
    ) -> Result<Result<Proved, Refused>, DirectoryError> {
        match read_index(vault, &index_place(hash)).await? {
            Some(index) => self.proved(vault, index).await,
            None => Ok(Err(Rejected::Unknown.into())),
        }
    }

    /// Whether a credential of a service is good now.
    async fn proved(
        &self,
        vault: &Unsealed,
        index: ServiceIndex,
    ) -> Result<Result<Proved, Refused>, DirectoryError> {
        // One that was destroyed meanwhile has none.
        let Ok(org) = vault.org(index.org) else {
            return Ok(Err(Rejected::Unknown.into()));
        };
        let place = service_place(&org, index.service);
        let record = vault.store().get(&place).await?.ok_or(VaultError::Form)?;
        let record: ServiceRecord =
            vault.open_state(org.kek(), org.id(), Owner::SYSTEM, &place, &record)?;
        let mut credentials = record.credentials.into_iter();
        let credential = credentials.find(|credential| credential.id == index.credential);
        let credential = credential.filter(|_| record.removed.is_none());
        let mut proved = Proved {
            org,
            service: index.service,
            credential: index.credential,
            ends: None,
        };
        let refused = |proved: &Proved, why| Refused {
            why,
            key: None,
            service: Some((proved.org.id(), proved.acting(None))),
        };
        // Of a removed service, and of one that has had many others since: it is over either way.
        let Some(credential) = credential else {
            return Ok(Err(refused(&proved, Rejected::Revoked)));
        };
        if vault.is_void(credential.created) {
            return Ok(Err(refused(&proved, Rejected::Revoked)));
        }
        if credential.ends.is_some_and(|end| end <= vault.now()) {
            return Ok(Err(refused(&proved, Rejected::Expired)));
        }
        proved.ends = credential.ends;
        Ok(Ok(proved))
    }

    /// The user whose token the service brought.
    async fn for_bearer(
        &self,
        vault: &Unsealed,
        proved: &Proved,
        hash: &Digest,
    ) -> Result<Result<Bearer, Refused>, DirectoryError> {
        match self.key_of(vault, hash).await? {
            Some(index) => self.for_key(vault, proved, (index.org, index.id)).await,
            None => Ok(Err(proved.refuses(Unfit::Unknown))),
        }
    }

    async fn for_key(
        &self,
        vault: &Unsealed,
        proved: &Proved,
        (org, key): (OrgId, ApiKeyId),
    ) -> Result<Result<Bearer, Refused>, DirectoryError> {
        // What is another organisation's is not looked at: this one's journal tells nothing of it.
        if org != proved.org.id() {
            return Ok(Err(proved.refuses(Unfit::Elsewhere)));
        }
        let (user, ends) = match self.bearer_of(vault, (org, key), vault.now()).await? {
            Ok(bearer) => bearer,
            Err(refused) => {
                let why = match refused.why {
                    Rejected::Revoked => Unfit::Revoked,
                    Rejected::Expired => Unfit::Expired,
                    Rejected::NotAMember => Unfit::NotAMember,
                    Rejected::Malformed
                    | Rejected::Unknown
                    | Rejected::UnknownUid
                    | Rejected::Subject(_) => Unfit::Unknown,
                };
                let refused = Refused {
                    key: Some((org, key)),
                    ..proved.refuses(why)
                };
                return Ok(Err(refused));
            }
        };
        let scopes = user.scopes().cut_to_services();
        let via = Via::Service(proved.acting(Some(Word::ApiKey(key))));
        let principal = Principal::recognised(org, user.user(), user.role(), via, Arc::new(scopes));
        let ends = [ends, proved.ends].into_iter().flatten().min();
        Ok(Ok((principal.in_term(user.term()), ends)))
    }

    /// The member for whom an admin lets the service act.
    async fn for_member(
        &self,
        vault: &Unsealed,
        proved: &Proved,
        user: UserId,
    ) -> Result<Result<Bearer, Refused>, DirectoryError> {
        let whom = (proved.service, user);
        let Some(delegation) = self.delegated(vault, &proved.org, whom).await? else {
            return Ok(Err(proved.refuses(Unfit::NotDelegated)));
        };
        let org = proved.org.id();
        let member = self.member(vault, org, user).await?;
        let Some(member) = member.filter(|member| member.0.status == MemberStatus::Active) else {
            return Ok(Err(proved.refuses(Unfit::NotAMember)));
        };
        let via = Via::Service(proved.acting(Some(Word::Delegation(delegation.id))));
        let scopes = Arc::new(Scopes::of_services());
        let principal = Principal::recognised(org, user, member.0.role, via, scopes);
        let ends = [delegation.expires, proved.ends].into_iter().flatten();
        Ok(Ok((principal.in_term(member.0.term), ends.min())))
    }
}
