//! The store's files, as its operator sees them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /v1/operator/store`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreInfo {
    /// The engine that keeps it: `sled` or `redb`.
    pub engine: String,
    /// How many records it has.
    pub records: u64,
    /// The room that its files take on disk, in bytes.
    pub bytes: u64,
    /// The compaction that is running, or the last one since the start.
    pub compaction: Compaction,
}

/// A compaction: what is live is copied into fresh files, which then take the place of the old ones.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Compaction {
    /// Whether it runs, and how it ended.
    pub state: CompactionState,
    /// How many records are copied.
    pub done: u64,
    /// About how many there are.
    pub total: u64,
    /// The room that the files took before it, in bytes; 0 until it has ended well.
    pub bytes_before: u64,
    /// The room that they took after it, in bytes; 0 until it has ended well.
    pub bytes_after: u64,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What to do about that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Whether a compaction runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CompactionState {
    /// There was none since the start.
    Idle,
    /// It runs.
    Running,
    /// It has ended well.
    Done,
    /// It has failed, or was stopped: the store is where it was.
    Failed,
}
