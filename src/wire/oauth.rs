//! Connected apps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::clock::Timestamp;
use crate::id::{ConnectionId, UserId};
use crate::secret::Secret;

/// A provider: who issues tokens.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Provider {
    /// Its id, such as `github`.
    pub id: String,
    /// Its name, for people.
    pub display_name: String,
    /// Its picture: the path of an SVG on a field of 24 by 24, in one colour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
    /// Whether accounts can be connected now: there is a client.
    pub configured: bool,
    /// Whose client is used: `organization` or `instance`; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Whether it can be connected in a browser.
    pub browser: bool,
    /// Whether it can be connected with a device code.
    pub device: bool,
    /// `verified`, `unverified` or `deprecated`: how sure its file is.
    pub status: String,
    /// The scopes that are asked for when nothing is said.
    pub default_scopes: Vec<String>,
    /// The scopes that may be asked for besides, with what they allow.
    pub scopes: BTreeMap<String, String>,
    /// What whoever connects must tell.
    pub params: Vec<ProviderParam>,
    /// Its documentation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docs_url: Option<String>,
    /// What it is for, such as `developer` or `commerce`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// What it takes away on a day that it named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sunset: Option<ProviderSunset>,
}

/// Something that a provider takes away.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderSunset {
    /// The day, `2027-02-16`.
    pub date: String,
    /// What follows.
    pub note: String,
}

/// Something that whoever connects must tell: a shop, a region, a host.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderParam {
    /// Its name.
    pub name: String,
    /// What to call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// For example.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
    /// Whether it must be told.
    pub required: bool,
    /// The values there are; none for any that fits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
}

/// A flow that was begun.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartedFlow {
    /// The page to open in a browser.
    pub auth_url: String,
    /// The flow, for `GET /v1/oauth/flows/{id}`.
    pub flow: String,
    /// The provider.
    pub provider: String,
    /// What the page asks for (`XXXX-XXXX`), where the browser proves by it that it is yours. Never
    /// send it to anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// How far a flow is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Flow {
    /// The flow.
    pub flow: String,
    /// The provider.
    pub provider: String,
    /// `waiting`, `opened`, `confirmed`, `returned`, `connected`, `failed` or `expired`.
    pub status: String,
    /// The connection that came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub connection_id: Option<ConnectionId>,
    /// What the provider calls the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Required scopes that were not granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_scopes: Vec<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// Finishes a flow that came back to the terminal or the dashboard where it was begun. It wipes itself.
#[derive(Serialize, Deserialize, ToSchema, Zeroize, ZeroizeOnDrop)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FinishFlow {
    /// What the browser brought back.
    pub ticket: String,
}

impl std::fmt::Debug for FinishFlow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FinishFlow").finish_non_exhaustive()
    }
}

/// A connected account. No token is ever shown.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    pub id: ConnectionId,
    /// The provider.
    pub provider: String,
    /// Whose it is.
    #[schema(value_type = String, format = "uuid")]
    pub user_id: UserId,
    /// The provider's id for the account.
    pub account_id: String,
    /// What people call the account.
    pub account: String,
    /// Its e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The sites, tenants or accounts inside it, where the provider has such: requests to its API name one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ConnectionResource>,
    /// `active`, `limited`, `degraded`, `config_error` or `revoked`.
    pub status: String,
    /// Why it is not `active`: for `revoked` one of `user_revoked`, `expired`, `rotation_lost`,
    /// `reuse_detected`, `provider_said`; else the code of the last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The scopes that were granted.
    pub scopes: Vec<String>,
    /// Required scopes that were not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_scopes: Vec<String>,
    /// Whether it is used when none is named.
    pub is_default: bool,
    /// Whose client made it: `organization` or `instance`.
    pub client: String,
    /// When its access token ends; it is refreshed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When its grant ends unless the account is connected again, as far as is known: no refresh puts that off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub grant_expires_at: Option<Timestamp>,
    /// When it was last refreshed or authorised.
    #[schema(value_type = String, format = DateTime)]
    pub refreshed_at: Timestamp,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A site, tenant or account inside a connected account.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionResource {
    /// The provider's id for it.
    pub id: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// What became of a connection that was forgotten.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Disconnected {
    /// Always true: here it is forgotten, whatever the provider says.
    pub success: bool,
    /// What the provider says: `revoked`, `unsupported` (it offers no way), `shared` (another connection
    /// lives on the same grant, and is not ended), `pending` (it could not be reached, and is tried again
    /// for a day) or `failed`.
    pub upstream: String,
}

/// Whether a provider is connected.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderStatus {
    /// The provider.
    pub provider: String,
    /// Whether an account is there that can be used.
    pub connected: bool,
    /// How many accounts are connected.
    pub accounts: usize,
    /// The one that is used when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<Connection>,
}

/// Starts a device flow.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StartDevice {
    /// The scopes to ask for besides the provider's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// What the provider must be told, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// The connection to be made anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub reconnect: Option<ConnectionId>,
}

/// A device flow that was started.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartedDevice {
    /// The provider.
    pub provider: String,
    /// Always `device_code`.
    pub auth_type: String,
    /// Names the attempt, for `POST /v1/oauth/device/status/{provider}`.
    pub attempt_token: String,
    /// The page to open on any device.
    pub verification_uri: String,
    /// The same page with the code filled in, where the provider has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_uri_complete: Option<String>,
    /// The code to type there.
    pub user_code: String,
    /// Seconds between two looks at how it stands.
    pub interval: u32,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// Asks how a device flow stands.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceStatusOf {
    /// The attempt.
    #[serde(alias = "attempt_token")]
    pub attempt_token: String,
}

/// How a device flow stands.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceStatus {
    /// The provider.
    pub provider: String,
    /// `pending`, `connected`, `denied`, `expired` or `failed`.
    pub status: String,
    /// The provider's name, for people.
    pub display_name: String,
    /// Seconds until the next look.
    pub interval: u32,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// The connection that came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub connection_id: Option<ConnectionId>,
    /// What the provider calls the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Required scopes that were not granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_scopes: Vec<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Sets an OAuth client: an organisation's own (BYOA), or the installation's.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetOauthConfig {
    /// The provider.
    pub provider: String,
    /// The provider's name for the client.
    #[serde(alias = "client_id")]
    pub client_id: String,
    /// Its secret. Left out, empty, or the word `unchanged`: the stored one stays.
    #[serde(default, alias = "client_secret")]
    #[schema(value_type = Option<String>, format = Password)]
    pub client_secret: Option<Secret>,
    /// The client has no secret.
    #[serde(default)]
    pub public: Option<bool>,
    /// The scopes that flows ask for: a list, or a text with commas or spaces. Left out, they stay.
    #[serde(default)]
    pub scopes: Option<ScopeList>,
    /// What the provider must be told of the host that this client belongs to, by name.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
}

/// Scopes, written either way.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ScopeList {
    /// One text.
    Text(String),
    /// A list.
    List(Vec<String>),
}

impl ScopeList {
    /// The scopes one by one.
    #[must_use]
    pub fn into_scopes(self) -> Vec<String> {
        match self {
            Self::Text(text) => text
                .split([',', ' '])
                .filter(|scope| !scope.is_empty())
                .map(str::to_owned)
                .collect(),
            Self::List(scopes) => scopes,
        }
    }
}

/// An OAuth client. Its secret is never shown.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OauthConfig {
    /// The provider.
    pub provider: String,
    /// The provider's name for the client.
    pub client_id: String,
    /// Whether a secret is stored.
    pub has_secret: bool,
    /// The scopes that flows ask for; none for the provider's own.
    pub scopes: Vec<String>,
    /// What to register at the provider as redirect URI.
    pub redirect_uri: String,
    /// When it was first set.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last set.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}
