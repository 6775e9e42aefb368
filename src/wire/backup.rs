//! Backups, as the operator sees them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::id::ObjectId;

/// `POST /v1/operator/backup`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateBackup {
    /// Who may open it: age recipients, as `age-keygen` shows them. Without any, those of the settings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// When its key is to be destroyed: a time, a span such as `90d`, or `never`. Without it, as the settings say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// `GET /v1/operator/backup`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupInfo {
    /// The newest backup that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<BackupMade>,
    /// The keys that backups were made for.
    pub keys: Vec<BackupKey>,
    /// Why the last try since the start failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<BackupFailure>,
    /// What the broker makes by itself, if the settings say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<BackupSchedule>,
}

/// A backup that was made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupMade {
    /// When it was begun.
    #[schema(value_type = String, format = DateTime)]
    pub made_at: Timestamp,
    /// When its key is to be destroyed, if at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// The name of its key.
    #[schema(value_type = String, format = "uuid")]
    pub key: ObjectId,
    /// The store's generation in it.
    pub generation: u64,
    /// How many records are in it.
    pub records: u64,
    /// How long it is, in bytes.
    pub bytes: u64,
}

/// A key that backups were made for: those of its recipients together.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupKey {
    /// Its name.
    #[schema(value_type = String, format = "uuid")]
    pub key: ObjectId,
    /// How many backups were made for it.
    pub backups: u64,
    /// When the newest of them was.
    #[schema(value_type = String, format = DateTime)]
    pub newest_at: Timestamp,
    /// When the last of them ends. Without it, one of them never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
}

/// A try that failed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupFailure {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The stable code.
    pub code: String,
    /// Why.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// What the broker makes by itself.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupSchedule {
    /// The folder.
    pub to: String,
    /// Hours between two of them.
    pub every_hours: u32,
    /// How many are kept.
    pub keep: usize,
    /// When the next one is due, or was while the vault is sealed: none is made then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_at: Option<Timestamp>,
}
