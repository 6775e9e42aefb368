//! What a caller was when they were recognised, and what they are now.
//!
//! A body may take half a minute to arrive, and an answer of the store its time. Meanwhile a key can be
//! revoked and a member demoted or removed; whoever drips a request in must not outlive that. So each
//! recognition carries the epoch of the directory that it was made in: while that one lasts it holds, and
//! after it the records are read again.

use tokio::sync::MutexGuard;

use super::authenticate::Directory;
use super::memory::{Bearer, Epoch};
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
    epoch: Epoch,
    ends: Option<Timestamp>,
}

impl Recognised {
    pub(super) fn at(epoch: Epoch, (principal, ends): Bearer) -> Self {
        Self {
            principal,
            epoch,
            ends,
        }
    }

    /// One that was recognised before anything changed.
    #[cfg(test)]
    pub(crate) fn long_ago(principal: Principal) -> Self {
        Self::at(Epoch::default(), (principal, None))
    }

    /// Who it was.
    #[must_use]
    pub const fn principal(&self) -> &Principal {
        &self.principal
    }

    /// When their credential, or what lets a service act for them, ends by itself, if that is known.
    #[must_use]
    pub const fn until(&self) -> Option<Timestamp> {
        self.ends
    }

    /// In which epoch that was read.
    pub(super) const fn epoch(&self) -> Epoch {
        self.epoch
    }
}

impl Directory {
    /// Who the caller is now. While nothing of their organisation changed, nothing is read; after a change
    /// their records are read once, however often it is asked.
    ///
    /// # Errors
    /// When the store fails; a caller who is refused now is `Ok(Err(_))`.
    pub async fn again(
        &self,
        vault: &Unsealed,
        seen: &Recognised,
    ) -> Result<Result<Recognised, Refused>, DirectoryError> {
        let epoch = match self.memory.again(seen, vault.now()) {
            Ok(still) => return Ok(Ok(still)),
            Err(epoch) => epoch,
        };
        let bearer = self.as_stored(vault, &seen.principal).await?;
        Ok(bearer.map(|bearer| self.memory.keep_again(epoch, bearer)))
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
        permit.still_holds(&now.0)?;
        Ok(turn)
    }

    /// The same caller, by what the store says.
    async fn as_stored(
        &self,
        vault: &Unsealed,
        principal: &Principal,
    ) -> Result<Result<Bearer, Refused>, DirectoryError> {
        let (org, user, via) = (principal.org(), principal.user(), principal.via());
        if let Via::ApiKey(id) = via {
            return self.bearer_of(vault, (org, id), vault.now()).await;
        }
        if let Via::Service(acting) = via {
            return self.still_acting(vault, (org, user), acting).await;
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
                let now = if principal.is_operator() {
                    now.operating()
                } else {
                    now
                };
                Ok((now, None))
            }
            None => Err(Rejected::NotAMember.into()),
        })
    }
}
