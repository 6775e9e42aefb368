//! API keys.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::id::{ApiKeyId, UserId};

/// Whether a key can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ApiKeyStatus {
    /// It can.
    Active,
    /// It was revoked, or replaced and its grace is over.
    Revoked,
    /// Its time is over.
    Expired,
}

/// An API key, without its secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    /// The key's id.
    #[schema(value_type = String, format = "uuid")]
    pub id: ApiKeyId,
    /// What its owner calls it.
    pub name: String,
    /// The first characters, enough to tell keys apart.
    pub key_prefix: String,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// The project it is filed under.
    pub project_id: Option<String>,
    /// When it ends, if it does.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked, or when the grace of a replaced key ends.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Whether it can be used now.
    pub status: ApiKeyStatus,
    /// Whose it is.
    #[schema(value_type = String, format = "uuid")]
    pub owner_user_id: UserId,
    /// Their display name.
    pub owner_display_name: String,
    /// Their e-mail address.
    pub owner_email: Option<String>,
}

/// Makes an API key.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateApiKey {
    /// What to call it, 1 to 100 characters.
    pub name: String,
    /// What it may be used for; empty or left out means everything its owner may do (`*`).
    #[serde(default)]
    pub scopes: Vec<String>,
    /// `30d`, `90d`, `1y`, any number of `d`, `m` (30 days) or `y`, or `never`.
    #[serde(default, alias = "expires_in", skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
    /// Whether the key's text begins with `rt_test_`.
    #[serde(default, alias = "is_test", skip_serializing_if = "Option::is_none")]
    pub is_test: Option<bool>,
    /// The project to file it under.
    #[serde(default, alias = "project_id", skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
}

/// Changes an API key. What is left out stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateApiKey {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// New scopes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// Another project, or null for none.
    #[serde(
        default,
        alias = "project_id",
        deserialize_with = "super::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub project_id: Option<Option<String>>,
}

/// Replaces an API key by a new one.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotateApiKey {
    /// The new key's name; the old one's when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How long the old key still works, in seconds, 0 (default) to 604,800 (7 days).
    #[serde(
        default,
        alias = "grace_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub grace_seconds: Option<u32>,
}

/// A key that was just made: the only answer that ever holds its text.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedApiKey {
    /// The key.
    #[serde(flatten)]
    pub api_key: ApiKey,
    /// The key's text. Shown this once.
    pub key: String,
}

impl fmt::Debug for CreatedApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("CreatedApiKey");
        shown
            .field("api_key", &self.api_key)
            .finish_non_exhaustive()
    }
}
