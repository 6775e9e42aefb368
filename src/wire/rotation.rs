//! Replacing an organisation's keys.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::id::{ObjectId, UserId};
use crate::secret::Secret;

/// `POST /v1/key-rotation`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotateKeys {
    /// Which keys.
    pub level: KeyLevel,
    /// For `owner`: of this member alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub user_id: Option<UserId>,
    /// For `owner`: of what the organisation shares alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
}

/// Which keys are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyLevel {
    /// Those of owners, which wrap a key for each value: of all of them, if none is named.
    Owner,
    /// The organisation's, which wraps its owners' keys and seals its directory.
    Org,
}

/// How far a rotation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RotationPhase {
    /// New keys are drawn, and used from then on.
    Prepare,
    /// What the old ones sealed is sealed anew.
    Rewrap,
    /// It is looked whether anything is left.
    Verify,
    /// The old ones are destroyed.
    Retire,
    /// It is over.
    Finished,
}

/// A rotation of keys, during which everybody is served.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyRotation {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    pub id: ObjectId,
    /// Which keys it replaces.
    pub level: KeyLevel,
    /// Whose key alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub user_id: Option<UserId>,
    /// Whether it is the key of what is shared alone.
    pub shared: bool,
    /// How far it has come.
    pub phase: RotationPhase,
    /// Whether it waits to be resumed.
    pub paused: bool,
    /// How many records this phase has looked at.
    pub done: u64,
    /// About how many there are; 0 while that is not known.
    pub total: u64,
    /// When it began.
    #[schema(value_type = String, format = "date-time")]
    pub started_at: Timestamp,
    /// When it had ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub finished_at: Option<Timestamp>,
    /// Why it does not come on; it is tried again by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// `GET /v1/key-rotation`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyRotations {
    /// The one that is under way, or the last one.
    pub rotation: Option<KeyRotation>,
}

/// `POST /v1/operator/root-rotation`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateRoot {
    /// The passphrase of the slots that have one, and whose key is not lent.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password)]
    pub passphrase: Option<Secret>,
}

/// The journal's keys were replaced.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotatedJournal {
    /// The number of the new ones.
    pub version: u32,
    /// The key that verifies what they sign from here on, in hex.
    pub public_key: String,
}

/// The key was replaced that seals what belongs to no organisation.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub struct RotatedState {
    /// The number of the new one.
    pub version: u32,
}

/// The root key was replaced.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub struct RotatedRoot {
    /// The number of the new one.
    pub version: u32,
}
