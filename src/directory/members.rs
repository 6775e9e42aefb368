//! Members.

use crate::audit::{Action, Actor, Event, Outcome, Recorded};
use crate::crypto::{Owner, sha256};
use crate::id::{MemberId, OrgId, UserId};
use crate::policy::{BindLocalUser, Denied, ManageMembers, Permit, ReadMembers};
use crate::store::{Batch, Expect, StoreError};
use crate::vault::{OrgKeys, Unsealed, Vault, VaultError};
use crate::wire::{self, MemberStatus, Role};

use super::organizations::{check_name, put_local, put_member};
use super::place::{LocalIndex, MemberRecord, all, local_place, member_place, members_prefix};
use super::{Directory, DirectoryError};

/// A member.
#[derive(Clone, Debug)]
pub struct MemberEntry(pub(super) MemberRecord);

impl MemberEntry {
    /// The person.
    #[must_use]
    pub const fn user(&self) -> UserId {
        self.0.user
    }

    /// Their display name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Their e-mail address.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        self.0.email.as_deref()
    }

    /// The membership.
    #[must_use]
    pub const fn id(&self) -> MemberId {
        self.0.id
    }

    /// The user id of the machine that is recognised as them.
    #[must_use]
    pub const fn uid(&self) -> Option<u32> {
        self.0.uid
    }

    /// The same as no member any more, when their organisation is `deleted`.
    fn unless(mut self, deleted: bool) -> Self {
        if deleted {
            self.0.status = MemberStatus::Removed;
        }
        self
    }

    /// The member as it is shown.
    #[must_use]
    pub fn to_wire(&self) -> wire::Member {
        let MemberRecord {
            id,
            user,
            name,
            email,
            role,
            status,
            uid,
            joined,
            term: _,
        } = self.0.clone();
        wire::Member {
            id,
            user_id: user,
            email,
            name,
            role,
            status,
            uid,
            joined_at: joined,
        }
    }
}

pub(super) fn check_email(email: &str) -> Result<(), DirectoryError> {
    let sound = email.len() <= 254
        && email.bytes().all(|b| b.is_ascii_graphic())
        && email.split_once('@').is_some_and(|(user, host)| {
            !user.is_empty() && host.contains('.') && !host.contains('@')
        });
    if sound {
        Ok(())
    } else {
        Err(DirectoryError::Rule("that is no e-mail address"))
    }
}

impl Directory {
    pub(super) async fn member(
        &self,
        vault: &Vault,
        org: OrgId,
        user: UserId,
    ) -> Result<Option<MemberEntry>, DirectoryError> {
        // One that was destroyed meanwhile has none.
        let Ok(org) = vault.org(org) else {
            return Ok(None);
        };
        let place = member_place(&org, user);
        let Some(record) = vault.store().get(&place).await? else {
            return Ok(None);
        };
        let member = vault.open_state(org.kek(), org.id(), Owner::SYSTEM, &place, &record)?;
        let deleted = self.is_deleted(vault, &org).await?;
        Ok(Some(MemberEntry(member).unless(deleted)))
    }

    /// The caller's own membership.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn myself(
        &self,
        vault: &Unsealed,
        principal: &crate::policy::Principal,
    ) -> Result<MemberEntry, DirectoryError> {
        let member = self
            .member(vault, principal.org(), principal.user())
            .await?;
        member.ok_or(DirectoryError::NotFound)
    }

    /// Every member of the caller's organisation, by time of joining; removed ones too.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn members(
        &self,
        vault: &Unsealed,
        permit: &Permit<ReadMembers>,
    ) -> Result<Vec<MemberEntry>, DirectoryError> {
        let org = vault.org(permit.principal().org())?;
        self.all_members(vault, &org).await
    }

    pub(crate) async fn all_members(
        &self,
        vault: &Vault,
        org: &OrgKeys,
    ) -> Result<Vec<MemberEntry>, DirectoryError> {
        let records = all(vault, org, &members_prefix(org)).await?;
        let deleted = self.is_deleted(vault, org).await?;
        let members = records.into_iter().map(MemberEntry);
        let mut members: Vec<_> = members.map(|member| member.unless(deleted)).collect();
        members.sort_by_key(|member| (member.0.joined, member.0.id));
        Ok(members)
    }

    /// Whoever may own something in an organisation: those who are or were its members, and all together.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn owners(&self, vault: &Unsealed, org: OrgId) -> Result<Vec<Owner>, DirectoryError> {
        let members = self.all_members(vault, &*vault.org(org)?).await?;
        let users = members.iter().map(|member| Owner::user(member.user()));
        Ok([Owner::ORG_SHARED].into_iter().chain(users).collect())
    }

    /// Those who were members of an organisation and are none any more.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn departed(
        &self,
        vault: &Unsealed,
        org: OrgId,
    ) -> Result<Vec<UserId>, DirectoryError> {
        let mut members = self.all_members(vault, &*vault.org(org)?).await?;
        members.retain(|member| member.0.status == MemberStatus::Removed);
        Ok(members.iter().map(MemberEntry::user).collect())
    }

    /// Draws the ids of a member who is to be added, so that they can be recorded before.
    ///
    /// # Errors
    /// When no randomness is to be had.
    pub fn draw_member_ids(vault: &Unsealed) -> Result<(MemberId, UserId), DirectoryError> {
        let member = MemberId::from_random(vault.random().bytes()?);
        Ok((member, UserId::from_random(vault.random().bytes()?)))
    }

    /// Adds a member. `local` must permit it when the request ties them to a user id of the machine.
    ///
    /// # Errors
    /// [`DirectoryError::Rule`] for a bad name or address, [`DirectoryError::Exists`] for a uid that
    /// belongs to somebody.
    pub async fn add_member(
        &self,
        vault: &Unsealed,
        permit: &Permit<ManageMembers>,
        local: Option<&Permit<BindLocalUser>>,
        (id, user): (MemberId, UserId),
        request: &wire::AddMember,
        recorded: &Recorded,
    ) -> Result<MemberEntry, DirectoryError> {
        check_name(&request.name)?;
        if let Some(email) = &request.email {
            check_email(email)?;
        }
        let _turn = self.turn(vault, permit).await?;
        let org = vault.org(permit.principal().org())?;
        let member = MemberRecord {
            id,
            user,
            name: request.name.clone(),
            email: request.email.clone(),
            role: request.role.unwrap_or(Role::Member),
            status: MemberStatus::Active,
            uid: request.uid.filter(|_| local.is_some()),
            joined: vault.now(),
            term: 0,
        };
        let mut batch = Batch::new();
        put_member(vault, &org, &member, &mut batch)?;
        if let Some(uid) = member.uid {
            put_local(
                vault,
                uid,
                LocalIndex {
                    org: org.id(),
                    user: member.user,
                },
                &mut batch,
            )?;
        }
        self.commit(vault, org.id(), batch, recorded)
            .await
            .map_err(|error| match error {
                VaultError::Store(StoreError::Precondition) => DirectoryError::Exists(
                    "that user id of the machine belongs to a member already",
                ),
                error => error.into(),
            })?;
        Ok(MemberEntry(member))
    }

    /// Changes a member's role. `operator` is the user id that the broker runs as: only its operator may
    /// take anything from that member, or the socket would have no way back in.
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`], [`DirectoryError::LastAdmin`], [`DirectoryError::Denied`].
    pub async fn set_role(
        &self,
        vault: &Unsealed,
        permit: &Permit<ManageMembers>,
        (id, role): (MemberId, Role),
        operator: u32,
        recorded: &Recorded,
    ) -> Result<MemberEntry, DirectoryError> {
        self.change_member(vault, permit, id, operator, recorded, |member| {
            member.role = role;
        })
        .await
    }

    /// Removes a member: every key of theirs is refused from now on, and the uid is free again.
    /// `operator` is as for [`Directory::set_role`].
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`], [`DirectoryError::LastAdmin`], [`DirectoryError::Denied`].
    pub async fn remove_member(
        &self,
        vault: &Unsealed,
        permit: &Permit<ManageMembers>,
        id: MemberId,
        operator: u32,
        recorded: &Recorded,
    ) -> Result<MemberEntry, DirectoryError> {
        self.change_member(vault, permit, id, operator, recorded, |member| {
            member.status = MemberStatus::Removed;
            member.uid = None;
        })
        .await
    }

    async fn change_member(
        &self,
        vault: &Unsealed,
        permit: &Permit<ManageMembers>,
        id: MemberId,
        operator: u32,
        recorded: &Recorded,
        change: impl FnOnce(&mut MemberRecord),
    ) -> Result<MemberEntry, DirectoryError> {
        let org = vault.org(permit.principal().org())?;
        let _turn = self.turn(vault, permit).await?;
        let members = self.all_members(vault, &org).await?;
        let counts = |member: &MemberRecord| {
            member.role == Role::Admin && member.status == MemberStatus::Active
        };
        let admins = members.iter().filter(|member| counts(&member.0)).count();
        let member = members
            .into_iter()
            .map(|member| member.0)
            .find(|member| member.id == id);
        let old = member.filter(|member| member.status == MemberStatus::Active);
        let old = old.ok_or(DirectoryError::NotFound)?;
        let mut new = old.clone();
        change(&mut new);
        new.term += u64::from(counts(&old) != counts(&new));
        if counts(&old) && !counts(&new) && admins == 1 {
            return Err(DirectoryError::LastAdmin);
        }
        let loses = new.status != old.status || (counts(&old) && !counts(&new));
        if loses && old.uid == Some(operator) && !permit.principal().is_operator() {
            return Err(Denied::OperatorOnly.into());
        }
        let place = member_place(&org, old.user);
        let read = vault
            .store()
            .get(&place)
            .await?
            .ok_or(DirectoryError::NotFound)?;
        let mut batch = Batch::new();
        batch.expect(place, Expect::Exactly(sha256(read.as_bytes())));
        put_member(vault, &org, &new, &mut batch)?;
        if let (Some(uid), None) = (old.uid, new.uid) {
            batch.delete(local_place(vault.system_index(), uid));
        }
        self.commit(vault, org.id(), batch, recorded).await?;
        Ok(MemberEntry(new))
    }

    /// Destroys deleted secrets whose time is over, in every organisation.
    ///
    /// # Errors
    /// When the store or the journal fails.
    pub async fn purge_deleted(&self, vault: &Unsealed) -> Result<usize, DirectoryError> {
        let mut purged = 0;
        for id in vault.org_ids() {
            for owner in self.owners(vault, id).await? {
                if !vault.has_overdue(id, owner).await? {
                    continue;
                }
                let event = Event::new(Action::SecretDestroy, Actor::System).org(id);
                let event = event
                    .code("retention_over")
                    .store_generation(vault.store().generation());
                let recorded = vault
                    .journal()
                    .record(event)
                    .await
                    .map_err(VaultError::from)?;
                purged += vault.purge_deleted(id, owner, &recorded).await?;
                recorded.outcome(Outcome::success());
            }
        }
        Ok(purged)
    }
}
