//! Shredding: what was destroyed is taken out of reach of old bytes, too.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::DeletionLevel;
use crate::clock::Timestamp;
use crate::id::ObjectId;
use crate::secret::Secret;

/// `POST /v1/operator/shred`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BeginShred {
    /// The passphrase of the slots that have one, and whose key is not lent.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password)]
    pub passphrase: Option<Secret>,
}

/// The shredding that is under way, or what the last one has reached by now.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Shred {
    /// Whether it runs, and how it ended.
    pub state: ShredState,
    /// What it is at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<ShredStep>,
    /// How much of that step is done.
    pub done: u64,
    /// About how much there is.
    pub total: u64,
    /// The level that was reached, of everything that was destroyed before it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<DeletionLevel>,
    /// The slots of the key ring, and what is left to do with each.
    pub slots: Vec<ShredSlot>,
    /// What was destroyed before this has the level `provider`, by this shredding or one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub gone_before: Option<Timestamp>,
    /// Why it did not get further, in a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What to do about that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Whether a shredding runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShredState {
    /// There was none.
    #[default]
    Idle,
    /// It runs.
    Running,
    /// It has reached the level that it states.
    Done,
    /// It has ended before it came to the files: the level is no other than before.
    Failed,
}

/// What a shredding is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShredStep {
    /// The keys of owners are replaced, in one organisation after the other.
    Owners,
    /// The keys of organisations are.
    Organizations,
    /// The root key is.
    Root,
    /// What opens the ring is, where nobody is needed for it.
    Slots,
    /// What is live is copied into fresh files, under other names, and the old ones are removed.
    Files,
}

/// A slot of the key ring, after a shredding.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShredSlot {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    pub id: ObjectId,
    /// What opens it.
    pub kind: String,
    /// What its operator calls it.
    pub label: String,
    /// Whether it has another key than the ring of before opens with.
    pub renewed: bool,
    /// What its operator has to do for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub todo: Option<String>,
}
