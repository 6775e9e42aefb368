//! The service itself: status, who am I, sealing, key slots.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Role;
use crate::clock::Timestamp;
use crate::id::{ObjectId, OrgId, UserId};
use crate::secret::Secret;

/// `GET /v1/status`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Always `ok`: the process answers.
    pub status: String,
    /// Always `runtools-broker`.
    pub service: String,
    /// The version.
    pub version: String,
    /// Whether the vault is sealed.
    pub sealed: bool,
    /// What tool code elsewhere comes by. To who asks over the Unix socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lanes: Option<Lanes>,
    /// Backups, as far as they are known while the vault is sealed. To who asks over the Unix socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupStanding>,
    /// The installation. To its operator over the Unix socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installation: Option<Installation>,
}

/// How an installation is, for the person who runs it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Installation {
    /// The root key's generation: from 1, one more each time it was replaced.
    pub root_key: u32,
    /// How many ways there are to unseal.
    pub slots: usize,
    /// When the oldest of them was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub oldest_slot_at: Option<Timestamp>,
    /// Where the journal stands. Not while the vault is sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_head: Option<super::AuditHead>,
    /// When the certificate ends, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub certificate_ends_at: Option<Timestamp>,
    /// What should be denied to the process and is not.
    pub not_enforced: Vec<String>,
    /// The connected accounts. Not while the vault is sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounts: Option<AccountsStanding>,
}

/// How many accounts are connected, and how they are.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub struct AccountsStanding {
    /// How many there are.
    pub connected: usize,
    /// How many of them cannot be refreshed now, or not any more.
    pub failing: usize,
}

/// When the last backup was made, and whether the last try failed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupStanding {
    /// When the newest was begun, if one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_at: Option<Timestamp>,
    /// The code of the last try since the start, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
}

/// What tool code elsewhere comes by.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Lanes {
    /// How many handles are kept, with those that were over minutes ago.
    pub handles: usize,
    /// The egress proxy, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ListeningProxy>,
}

/// An egress proxy that listens.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ListeningProxy {
    /// Its address.
    pub address: String,
    /// Its Unix socket.
    pub socket: String,
    /// How many tunnels are open.
    pub tunnels: usize,
}

/// `GET /readyz`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Whether requests can be served.
    pub ready: bool,
    /// Why not: `sealed`, `audit_unavailable`, `audit_stalled`, `store_failed`, `store_stalled`, `draining`.
    pub reasons: Vec<String>,
}

/// `GET /v1/me`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Me {
    /// The caller.
    #[schema(value_type = String, format = "uuid")]
    pub id: UserId,
    /// Their e-mail address.
    pub email: Option<String>,
    /// Their display name.
    pub first_name: String,
    /// Always empty: names are one field here.
    pub last_name: String,
    /// Always null.
    pub profile_picture_url: Option<String>,
    /// Whether the caller operates this installation.
    pub is_admin: bool,
    /// Always true.
    pub access_granted: bool,
    /// Always true.
    pub tutorial_completed: bool,
    /// The organisation acted for.
    #[schema(value_type = String, format = "uuid")]
    pub organization_id: OrgId,
    /// Its display name.
    pub organization_name: String,
    /// The role in it.
    pub role: Role,
    /// `api_key`, `local` or `service`.
    pub via: String,
    /// What the credential may be used for.
    pub scopes: Vec<String>,
    /// Which services an admin lets act for the caller without a token of theirs.
    #[serde(default)]
    pub delegations: Vec<super::Delegation>,
}

/// Unseals the vault: one of these; or none, for whoever opens it without a person.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Unseal {
    /// The passphrase of a slot.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password)]
    pub passphrase: Option<Secret>,
    /// One person's share; others give theirs in requests of their own.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password)]
    pub share: Option<Secret>,
    /// Whether the shares that were given so far are to be forgotten.
    #[serde(default)]
    pub forget: bool,
}

/// How far unsealing, or a test of a slot, has come.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub struct Gathered {
    /// Always true: what was given was taken.
    pub success: bool,
    /// Whether it is done. Without it more shares are needed.
    pub done: bool,
    /// How many shares were given so far, where there are not enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<u8>,
    /// How many it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needed: Option<u8>,
}

/// The vault was sealed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub struct VaultSealed {
    /// Always true: nobody gets in.
    pub success: bool,
    /// Whether everybody had left, so that the keys are wiped. If not, they are when the last one leaves.
    pub emptied: bool,
}

/// A slot of the key ring.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeySlot {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    pub id: ObjectId,
    /// `key-file`, `passphrase`, `systemd-credential`, `shares`, `exec` or `pkcs11`.
    pub kind: String,
    /// What the operator calls it.
    pub label: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// What the one is called who holds its key, if that one has a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many shares open it, if it is opened by shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u8>,
    /// How many shares there are of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shares: Option<u8>,
    /// Whether what opens it is lent, for the next replacement of the root key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lent: bool,
}

/// A slot that was added.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddedKeySlot {
    /// The slot.
    #[serde(flatten)]
    pub slot: KeySlot,
    /// Its shares, one for each person. They are shown this once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dealt: Vec<String>,
}

/// Not the shares: together they are the slot's key.
impl std::fmt::Debug for AddedKeySlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("AddedKeySlot");
        shown.field("slot", &self.slot).finish_non_exhaustive()
    }
}

/// Adds a slot to the key ring.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddKeySlot {
    /// `key-file`, `passphrase`, `systemd-credential`, `shares`, `exec` or `pkcs11`.
    pub kind: String,
    /// What to call it.
    #[serde(default)]
    pub label: String,
    /// The passphrase, for a passphrase slot.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password)]
    pub passphrase: Option<Secret>,
    /// Where the key file is to be made, for a key-file slot. Default: `root.key` in the keys directory.
    #[serde(default)]
    pub path: Option<String>,
    /// What the custodian is called, in the settings; or the credential, for a systemd-credential slot.
    /// Default for the latter: `runtools-root-key`.
    #[serde(default)]
    pub name: Option<String>,
    /// How many shares are dealt, 2 to 32, for a slot of shares.
    #[serde(default)]
    pub shares: Option<u8>,
    /// How many of them open it, 2 or more.
    #[serde(default)]
    pub threshold: Option<u8>,
}

/// Tests a slot.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TestKeySlot {
    /// The passphrase, for a passphrase slot.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password)]
    pub passphrase: Option<Secret>,
    /// One person's share; others give theirs in requests of their own.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password)]
    pub share: Option<Secret>,
    /// The key file's path, when it is not the default.
    #[serde(default)]
    pub path: Option<String>,
}
