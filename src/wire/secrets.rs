//! Secrets: metadata in answers, values in requests, and one answer that reveals.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::id::{SecretId, UserId};
use crate::name::{HostPattern, SecretName};
use crate::secret::Secret;

/// What kind of thing a secret is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// A key of a model or service provider.
    #[default]
    Provider,
    /// A credential of a tool.
    Tool,
    /// Anything else.
    Custom,
}

/// Where a secret may be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretScope {
    /// Everywhere.
    #[default]
    All,
    /// By agents only.
    Agents,
    /// By tools only.
    Tools,
    /// In sandboxes only.
    Sandboxes,
}

/// Whose a secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretOwner {
    /// One member's.
    User,
    /// The organisation's.
    Org,
}

/// A secret without its value.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretMetadata {
    /// The secret's id.
    #[schema(value_type = String, format = "uuid")]
    pub id: SecretId,
    /// Its name.
    #[schema(value_type = String)]
    pub name: SecretName,
    /// Whose it is.
    pub owner: SecretOwner,
    /// Whether it is the organisation's.
    pub org_wide: bool,
    /// The member whose it is, for private ones.
    #[schema(value_type = Option<String>, format = "uuid")]
    pub owner_user_id: Option<UserId>,
    /// What it is for.
    pub category: Category,
    /// Where it may be used.
    pub scope: SecretScope,
    /// What its owner wrote about it.
    pub description: Option<String>,
    /// The only hosts it may be sent to; empty when the tool's own binding decides alone.
    #[schema(value_type = Vec<String>)]
    pub hosts: Vec<HostPattern>,
    /// Whether its value can be revealed where policy allows.
    pub revealable: bool,
    /// The version in use; the first is 1.
    pub version: u64,
    /// When it stops being usable, if it does.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When it was first set.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When anything about it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// When its value last changed, if it ever did.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_rotated_at: Option<Timestamp>,
    /// When it was deleted; it can be restored until `purgeAt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deleted_at: Option<Timestamp>,
    /// When a deleted secret is destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub purge_at: Option<Timestamp>,
    /// What to send in `If-Match`.
    pub etag: String,
}

/// Makes a secret, or rotates the one of that name. Metadata that is left out stays as it was.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetSecret {
    /// Its name: a letter, then letters, digits and underscores; folded to upper case.
    pub name: String,
    /// Its value: 1 to 65,536 printable ASCII characters.
    #[schema(value_type = String, format = Password)]
    pub value: Secret,
    /// Whether it is the organisation's. Admins only.
    #[serde(default, alias = "org_wide", skip_serializing_if = "Option::is_none")]
    pub org_wide: Option<bool>,
    /// What it is for. Default: `provider`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    /// Where it may be used. Default: `all`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<SecretScope>,
    /// Free text, 500 characters at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The only hosts it may be sent to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub hosts: Option<Vec<HostPattern>>,
    /// Whether its value can be revealed where policy allows. Default: yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revealable: Option<bool>,
    /// When it stops being usable: an RFC 3339 time, or a span such as `90d`, or `never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// The answer to setting a secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SecretWasSet {
    /// The secret.
    #[serde(flatten)]
    pub secret: SecretMetadata,
    /// Whether it is new; otherwise an existing one was rotated.
    pub created: bool,
}

/// Changes a secret's metadata. What is left out stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateSecret {
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    /// Where it may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<SecretScope>,
    /// Free text, or null for none.
    #[serde(
        default,
        deserialize_with = "super::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub description: Option<Option<String>>,
    /// The only hosts it may be sent to; an empty list lifts the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub hosts: Option<Vec<HostPattern>>,
    /// Whether its value can be revealed where policy allows. Only an owner or admin may set it.
    /// Once false it stays false: only setting the secret anew, with a new value and `revealable`
    /// true, makes it true again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revealable: Option<bool>,
    /// An RFC 3339 time, a span such as `90d`, or `never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// Gives a secret a new value.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotateSecret {
    /// The new value.
    #[schema(value_type = String, format = Password)]
    pub value: Secret,
    /// Whether the organisation's secret of that name is meant.
    #[serde(default, alias = "org_wide", skip_serializing_if = "Option::is_none")]
    pub org_wide: Option<bool>,
}

/// The one answer that holds a value.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevealedSecret<'a> {
    /// The secret's name.
    #[schema(value_type = String)]
    pub name: SecretName,
    /// Its value.
    #[schema(value_type = String, format = Password)]
    pub value: &'a str,
    /// The version that was revealed.
    pub version: u64,
}

impl fmt::Debug for RevealedSecret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RevealedSecret");
        shown
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// The answer to deleting a secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretDeletion {
    /// Always true.
    pub success: bool,
    /// `recoverable`, or `logical`: gone from every answer, while old bytes of the database may hold
    /// its ciphertext until they are overwritten and keys rotated.
    pub level: DeletionLevel,
    /// Until when it can be restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub purge_at: Option<Timestamp>,
}

/// How gone a secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeletionLevel {
    /// Restorable for a while.
    Recoverable,
    /// No answer can ever return it.
    Logical,
    /// Nor can anybody open what old bytes of the database hold of it, who has not the key ring of that time and
    /// what opened it.
    Database,
    /// Nor does what opens the ring now open that ring: only the key of a slot of that time does.
    Provider,
}

/// One version of a secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretVersion {
    /// Its number; the first is 1.
    pub version: u64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Whether it is the one in use.
    pub current: bool,
}
