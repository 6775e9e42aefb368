//! Organisations and their members.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::id::{MemberId, OrgId, UserId};

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Organisation-wide secrets, members, policy, audit.
    Admin,
    /// Their own secrets, and the use of shared ones.
    Member,
}

/// Whether a membership counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MemberStatus {
    /// Counts.
    Active,
    /// Removed: every key of theirs is refused.
    Removed,
}

/// An organisation's policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrgSettings {
    /// Whether values can be revealed at all. Default: yes.
    pub reveal_enabled: bool,
    /// Whether members may reveal organisation-wide secrets. Default: no.
    pub members_reveal_shared: bool,
    /// Whether accounts may be connected by a code that is typed on another device (RFC 8628, section 5.4, tells
    /// why one may not want that). Default: yes.
    #[serde(default = "yes")]
    pub device_flows: bool,
}

const fn yes() -> bool {
    true
}

impl Default for OrgSettings {
    fn default() -> Self {
        Self {
            reveal_enabled: true,
            members_reveal_shared: false,
            device_flows: true,
        }
    }
}

/// An organisation, as its caller sees it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Organization {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    pub id: OrgId,
    /// Its display name.
    pub name: String,
    /// Its slug.
    pub slug: String,
    /// Always `free`: kept for clients of the hosted platform.
    pub plan: String,
    /// The caller's role.
    pub role: Role,
    /// The caller's role again, under its other documented name.
    pub org_role: Role,
    /// Its policy.
    pub settings: OrgSettings,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// An organisation of this installation, as its operator sees it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstalledOrganization {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    pub id: OrgId,
    /// Its display name.
    pub name: String,
    /// Its slug.
    pub slug: String,
    /// How many members it has.
    pub members: u64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// Makes an organisation; the caller becomes its admin.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateOrganization {
    /// Display name, 1 to 100 characters.
    pub name: String,
    /// Slug; made of the name when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slug: Option<String>,
    /// Also make an API key for its admin, the caller, shown once in the answer: the only way to
    /// act in it.
    #[serde(default, alias = "create_key", skip_serializing_if = "Option::is_none")]
    pub create_key: Option<bool>,
}

/// An organisation that was just made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedOrganization {
    /// The organisation.
    #[serde(flatten)]
    pub organization: Organization,
    /// Its admin's first API key, when one was asked for. Shown this once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Changes an organisation. What is left out stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateOrganization {
    /// A new display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Policy changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<UpdateOrgSettings>,
}

/// Policy changes. What is left out stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateOrgSettings {
    /// Whether values can be revealed at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reveal_enabled: Option<bool>,
    /// Whether members may reveal organisation-wide secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members_reveal_shared: Option<bool>,
    /// Whether accounts may be connected by a code that is typed on another device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_flows: Option<bool>,
}

/// A member of an organisation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// The membership's id.
    #[schema(value_type = String, format = "uuid")]
    pub id: MemberId,
    /// The person's id.
    #[schema(value_type = String, format = "uuid")]
    pub user_id: UserId,
    /// E-mail address, when known.
    pub email: Option<String>,
    /// Display name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Whether the membership counts.
    pub status: MemberStatus,
    /// The user id of the machine that is recognised over the Unix socket, when set.
    pub uid: Option<u32>,
    /// When they joined.
    #[schema(value_type = String, format = DateTime)]
    pub joined_at: Timestamp,
}

/// Adds a member.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddMember {
    /// Display name, 1 to 100 characters.
    pub name: String,
    /// E-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// What they may do. Default: member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Recognise this user id of the machine over the Unix socket. Operator only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Also make an API key for them, shown once in the answer. The caller's own key must have
    /// every scope (`*`).
    #[serde(default, alias = "create_key", skip_serializing_if = "Option::is_none")]
    pub create_key: Option<bool>,
}

/// A member that was just added.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddedMember {
    /// The member.
    #[serde(flatten)]
    pub member: Member,
    /// Their first API key, when one was asked for. Shown this once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl fmt::Debug for AddedMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("AddedMember");
        shown.field("member", &self.member).finish_non_exhaustive()
    }
}

/// Changes a member's role.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateMember {
    /// The new role.
    pub role: Role,
}

/// `DELETE /v1/organizations/{id}/members/{member}`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemovedMember {
    /// Always true: a failure is a [`Failure`](super::Failure).
    pub success: bool,
    /// `logical`: what the member had is gone from every answer, while old bytes of the database may hold it
    /// until the organisation's key is replaced and the store compacted.
    pub level: super::DeletionLevel,
    /// Whether the key is destroyed that it was under. If not yet, tokens of theirs are still to be given back
    /// to their providers, or the store failed: then it is done later, by itself.
    pub key_destroyed: bool,
}

/// An organisation was deleted.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeletedOrganization {
    /// Always true.
    pub success: bool,
    /// The organisation.
    #[schema(value_type = String, format = "uuid")]
    pub id: OrgId,
    /// `logical`: nobody is recognised in it, and what it had is gone from every answer, while old bytes of the
    /// database may hold it until `runtools-broker shred`.
    pub level: super::DeletionLevel,
    /// Whether its keys are destroyed. If not yet, tokens are still to be given back to their providers, or the
    /// store failed: then it is done later, by itself.
    pub key_destroyed: bool,
}

/// Somebody was removed from every organisation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeletedUser {
    /// Always true.
    pub success: bool,
    /// Those that they were a member of.
    #[schema(value_type = Vec<String>)]
    pub organizations: Vec<OrgId>,
    /// As of an organisation that is deleted.
    pub level: super::DeletionLevel,
    /// Whether the keys are destroyed that what they had was under, in each of them.
    pub key_destroyed: bool,
}
