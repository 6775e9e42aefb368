//! Services, and for whom they may act.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::id::{OrgId, ServiceCredentialId, ServiceId, UserId};

/// A service: a program of an organisation that acts for its members.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    pub id: ServiceId,
    /// Whose it is.
    #[schema(value_type = String, format = "uuid")]
    pub organization_id: OrgId,
    /// What it is called.
    pub name: String,
    /// What it may do for a user, as far as they may themselves.
    pub scopes: Vec<String>,
    /// What it is recognised by, the newest last.
    pub credentials: Vec<ServiceCredential>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// What a service is recognised by.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceCredential {
    /// Its id, as the journal names it.
    #[schema(value_type = String, format = "uuid")]
    pub id: ServiceCredentialId,
    /// What it is.
    pub kind: ServiceCredentialKind,
    /// What tells it from others: the first characters of a key, the SHA-256 of a certificate in hex.
    pub shown: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
    /// When it ends: a replaced one after its grace, a certificate with its validity.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

/// What kind of credential a service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServiceCredentialKind {
    /// A key: `rt_svc_…`.
    Key,
    /// A client certificate.
    Certificate,
}

/// Makes a service.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddService {
    /// What to call it: 1 to 64 lower-case letters, digits and hyphens.
    pub name: String,
    /// Whose it is to be: an organisation's id or slug. The caller's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// The client certificate (PEM) to recognise it by, instead of a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// Gives a service a new key, or a new certificate.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotateService {
    /// How long what it had still works, in seconds, 0 (default) to 604,800 (7 days).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<u32>,
    /// The client certificate (PEM) to recognise it by from now on, instead of a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// A service with its new key, where it has one: the only answer that ever holds its text.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MadeService {
    /// The service.
    #[serde(flatten)]
    pub service: Service,
    /// The key's text. Shown this once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl fmt::Debug for MadeService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("MadeService");
        shown
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

/// Lets a service act for a member without a token of theirs.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delegate {
    /// The member: their user id.
    pub user_id: String,
    /// `30d`, `90d`, `1y`, any number of `d`, `m` (30 days) or `y`, or `never` (default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
}

/// That a service may act for a member without a token of theirs.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delegation {
    /// The service.
    #[schema(value_type = String, format = "uuid")]
    pub service_id: ServiceId,
    /// What it is called.
    pub service_name: String,
    /// The member.
    #[schema(value_type = String, format = "uuid")]
    pub user_id: UserId,
    /// Their display name.
    pub user_name: String,
    /// The admin who let it.
    #[schema(value_type = String, format = "uuid")]
    pub granted_by: UserId,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Until when, if that was said.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}
