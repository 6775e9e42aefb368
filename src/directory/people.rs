//! Who somebody is, asked by the broker itself and not by a caller.

use crate::id::{OrgId, UserId};
use crate::policy::Principal;
use crate::vault::Unsealed;
use crate::wire::MemberStatus;

use super::{Directory, DirectoryError};

/// What people call a member and their organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The member.
    pub user: String,
    /// The organisation.
    pub org: String,
}

impl Directory {
    /// Whether `user` is a member of `org` at this moment: what was begun by one who left since is not
    /// finished for them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn is_member(
        &self,
        vault: &Unsealed,
        org: OrgId,
        user: UserId,
    ) -> Result<bool, DirectoryError> {
        let member = self.member(vault, org, user).await?;
        Ok(member.is_some_and(|member| member.0.status == MemberStatus::Active))
    }

    /// The caller's name and their organisation's, for a page that says who connects what to which
    /// organisation.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn names(
        &self,
        vault: &Unsealed,
        principal: &Principal,
    ) -> Result<Names, DirectoryError> {
        let member = self.myself(vault, principal).await?;
        let org = self.org_of(vault, principal).await?;
        Ok(Names {
            user: member.name().to_owned(),
            org: org.name().to_owned(),
        })
    }
}
