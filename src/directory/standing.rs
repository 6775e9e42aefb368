//! What a caller was when they were recognised, and what they are now.
//!
//! A body may take half a minute to arrive, and an answer of the store its time. Meanwhile a key can be
//! revoked and a member demoted or removed; whoever drips a request in must not outlive that. So each
//! recognition carries the epoch of the directory that it was made in: while that one lasts it holds, and
//! after it the records are read again.

use std::sync::PoisonError;

use tokio::sync::MutexGuard;

use super::authenticate::{Bearer, Directory};
use super::refused::{Refused, Rejected};
use super::{DirectoryError, place};
use crate::clock::Timestamp;
use crate::policy::{Action, Permit, Principal, Scopes, Via};
use crate::vault::Unsealed;
use crate::wire::MemberStatus;

/// A caller as they were recognised, and for how long that is known to hold.
#[derive(Clone, Debug)]
pub struct Recognised {
    principal: Principal,
    epoch: u64,
    ends: Option<Timestamp>,
}

impl Recognised {
    pub(super) fn at(epoch: u64, (principal, ends): Bearer) -> Self {
        Self {
            principal,
            epoch,
            ends,
        }
    }

    /// Who it was.
    #[must_use]
    pub const fn principal(&self) -> &Principal {
        &self.principal
    }
}

impl Directory {
    /// The epoch that lasts until the next change of the directory.
    pub(super) fn epoch(&self) -> u64 {
        let cache = self.cache.read().unwrap_or_else(PoisonError::into_inner);
        cache.epoch
    }

    /// Who the caller is now. While nothing changed, nothing is read.
    ///
    /// # Errors
    /// When the store fails; a caller who is refused now is `Ok(Err(_))`.
    pub async fn again(
        &self,
        vault: &Unsealed,
        seen: &Recognised,
    ) -> Result<Result<Principal, Refused>, DirectoryError> {
        let lasts = {
            let cache = self.cache.read().unwrap_or_else(PoisonError::into_inner);
            cache.changing == 0 && cache.epoch == seen.epoch
        };
        if lasts && seen.ends.is_none_or(|end| end > vault.now()) {
            return Ok(Ok(seen.principal.clone()));
        }
        self.as_stored(vault, &seen.principal).await
    }

    /// Waits for one's turn to change the directory, and decides again in it: nobody else changes what the
    /// caller is before the turn is over.
    ///
    /// # Errors
    /// [`DirectoryError::Unrecognised`], [`DirectoryError::Denied`].
    pub(super) async fn turn<A: Action>(
        &self,
        vault: &Unsealed,
        permit: &Permit<A>,
    ) -> Result<MutexGuard<'_, ()>, DirectoryError> {
        let turn = self.changes.lock().await;
        let now = self.as_stored(vault, permit.principal()).await?;
        let now = now.map_err(|_| DirectoryError::Unrecognised)?;
        permit.still_holds(&now)?;
        Ok(turn)
    }

    /// The same caller, by what the store says.
    async fn as_stored(
        &self,
        vault: &Unsealed,
        principal: &Principal,
    ) -> Result<Result<Principal, Refused>, DirectoryError> {
        let (org, user, via) = (principal.org(), principal.user(), principal.via());
        if let Via::ApiKey(id) = via {
            let bearer = self.bearer_of(vault, (org, id), vault.now()).await?;
            return Ok(bearer.map(|(principal, _)| principal));
        }
        if let Via::Service(acting) = via {
            let bearer = self.still_acting(vault, (org, user), acting).await?;
            return Ok(bearer.map(|(principal, _)| principal));
        }
        // A user id of the machine that went to somebody else is theirs from now on: this member has
        // lost it with the membership.
        let member = self.member(vault, org, user).await?;
        let member = member.map(|member| member.0);
        let active = |member: &place::MemberRecord| {
            member.status == MemberStatus::Active && member.uid.is_some()
        };
        Ok(match member.filter(active) {
            Some(member) => {
                let scopes = Scopes::all().into();
                let now = Principal::recognised(org, user, member.role, via, scopes);
                let now = now.in_term(member.term);
                Ok(if principal.is_operator() {
                    now.operating()
                } else {
                    now
                })
            }
            None => Err(Rejected::NotAMember.into()),
        })
    }
}
