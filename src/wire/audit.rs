//! The audit journal, as it is shown.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The journal's head: what to keep somewhere else, so that a cut tail shows.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditHead {
    /// The last record's number.
    pub seq: u64,
    /// The chain's hash up to and including it, in hex.
    pub hash: String,
    /// The Ed25519 key that signs checkpoints, in hex.
    pub public_key: String,
}

/// What a verification found.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditVerification {
    /// `intact`, `incomplete` or `tampered`.
    pub state: String,
    /// How many records were checked.
    pub records: u64,
    /// How many checkpoints were checked.
    pub checkpoints: u64,
    /// The last record that a checkpoint covers.
    pub covered: u64,
    /// The first record that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_bad: Option<u64>,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<String>,
}
