//! Tools: what they are, what they need, and running one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::secret::Secret;

/// The largest specification of a custom tool, in bytes.
pub const MAX_SPEC_BYTES: usize = 256 * 1024;

/// Who can see a custom tool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Its owner.
    #[default]
    Private,
    /// Every member of the organisation.
    Org,
}

/// How a tool gets its credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CredentialMode {
    /// From a connected account, or secrets.
    Oauth,
    /// From secrets.
    Secret,
    /// It needs none.
    None,
}

/// A tool in a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolSummary {
    /// Its slug.
    pub slug: String,
    /// Its display name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// A word to group it by.
    pub category: String,
    /// Whether the caller installed it.
    pub installed: bool,
    /// Whether the organisation made it.
    pub custom: bool,
    /// Who can see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
    /// How it gets its credentials.
    pub credential_mode: CredentialMode,
    /// The names of its actions.
    pub actions: Vec<String>,
}

/// The answer to installing a tool.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolInstalled {
    /// The tool.
    pub slug: String,
    /// Always true.
    pub installed: bool,
    /// Whether it needs any credential.
    pub credentials_required: bool,
    /// How it gets them.
    pub credential_mode: CredentialMode,
    /// The fields it cannot do without.
    pub required_credential_fields: Vec<String>,
}

/// Stores credentials for an installed tool: field → value.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(value_type = BTreeMap<String, String>)]
pub struct StoreCredentials(pub BTreeMap<String, Secret>);

/// Which fields of an installed tool have a stored credential. Never a value, length or digest.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialStatus {
    /// The tool.
    pub slug: String,
    /// Whether every required field can be filled without a connected account.
    pub complete: bool,
    /// Each field.
    pub fields: Vec<CredentialFieldStatus>,
}

/// One field.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialFieldStatus {
    /// The field.
    pub field: String,
    /// Whether the tool cannot do without it.
    pub required: bool,
    /// Whether a credential is stored for it.
    pub stored: bool,
}

/// Runs a tool.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExecuteTool {
    /// Which action.
    pub action: String,
    /// What to run it with, by the action's schema.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub params: serde_json::Map<String, serde_json::Value>,
    /// Values for this run only: field → value.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub credentials: BTreeMap<String, Secret>,
    /// Secrets for this run only: field → secret name.
    #[serde(default)]
    pub credential_overrides: BTreeMap<String, String>,
    /// Which connected account, where the tool takes one: its id, or what it is called.
    #[serde(default)]
    pub account: Option<String>,
}

/// Asks where a run would take its credentials from.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExplainTool {
    /// Fields that the request would bring; the values are not looked at.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub credentials: BTreeMap<String, Secret>,
    /// Secrets that the request would name.
    #[serde(default)]
    pub credential_overrides: BTreeMap<String, String>,
    /// The connected account that the request would name.
    #[serde(default)]
    pub account: Option<String>,
}

/// Where a credential field is filled from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldSource {
    /// The request's `credentials`.
    Request,
    /// The request's `credentialOverrides`.
    Override,
    /// The credential stored for the installed tool.
    Stored,
    /// The caller's own secret.
    UserSecret,
    /// The organisation's secret.
    OrgSecret,
    /// A connected account.
    Connection,
    /// Nothing has it.
    Missing,
}

/// One field of an explanation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldExplanation {
    /// The field.
    pub field: String,
    /// Whether the tool cannot do without it.
    pub required: bool,
    /// What fills it.
    pub source: FieldSource,
    /// The secret that fills it, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// What was looked at, in order, and what came of it.
    pub looked_for: Vec<Looked>,
}

/// One place that was looked at.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Looked {
    /// The place.
    pub source: FieldSource,
    /// What was looked for there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `found`, `absent`, `expired`, `scope`, `not_vouched`, `not_revealable`, `policy_denied`,
    /// `missing_scope`, `tool_changed`, `no_connection`, …
    pub outcome: String,
}

/// Where a run would take its credentials from.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The tool.
    pub slug: String,
    /// Whether a run would have what it needs.
    pub ready: bool,
    /// Each field.
    pub fields: Vec<FieldExplanation>,
}

/// What a run came to.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    /// Whether the upstream answered with success.
    pub success: bool,
    /// What it answered: JSON where it is JSON, else `{contentType, text}` or `{contentType, base64}`.
    #[schema(value_type = Object)]
    pub result: serde_json::Value,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ExecutionError>,
}

/// Why a run failed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionError {
    /// A stable code.
    pub code: String,
    /// What happened.
    pub message: String,
    /// The upstream's HTTP status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_code: Option<u16>,
}

/// Changes who can see a custom tool.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateVisibility {
    /// Who can see it.
    pub visibility: Visibility,
}
