//! Handles: resolving for tool code that runs elsewhere, and sending by right of one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::FieldSource;
use crate::clock::Timestamp;
use crate::id::ResolutionId;
use crate::name::{FieldName, Fields, HostPattern, SecretName, VariableName};
use crate::secret::Secret;

/// Asks for a handle to a tool's credentials.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResolveTool {
    /// The tool's slug.
    pub tool: String,
    /// Secrets to use: field → secret name.
    #[serde(default)]
    pub credential_overrides: BTreeMap<String, String>,
    /// Which connected account, where the tool takes one: its id, or what it is called.
    #[serde(default)]
    pub account: Option<String>,
    /// Where the handle is to work.
    #[serde(default)]
    pub lane: Lane,
    /// The tool call that the handle is for. Where it is named, each use names it too.
    #[serde(default)]
    pub call_id: Option<String>,
    /// How often the handle may be used: once unless said, 1000 times at most.
    #[serde(default)]
    pub max_uses: Option<u32>,
    /// For how many seconds: 60 unless said, 900 at most.
    #[serde(default)]
    pub ttl_seconds: Option<u64>,
    /// The one request that the handle is for: refused now if it would be, and the handle takes no other.
    #[serde(default)]
    pub intent: Option<Intent>,
    /// The user, by id, for whom this is asked. It must be who asks, or for whom a service does: it is
    /// compared, and gives no right.
    #[serde(default)]
    pub on_behalf_of: Option<String>,
}

/// A request that is going to be sent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Intent {
    /// The method.
    pub method: String,
    /// The whole URL. Without a query, any may be sent.
    pub url: String,
}

/// Where a handle works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// In `POST /v1/execute` and `/v1/egress/…`, for the caller alone.
    #[default]
    Egress,
    /// At the egress proxy, for whoever has it.
    Proxy,
}

/// Where the egress proxy is, and whom to trust there. The handle is the password.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxyPlace {
    /// Its address, without user and password.
    pub url: String,
    /// Its Unix socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    /// The user to name; the password decides.
    pub username: String,
    /// The authority that vouches for the hosts behind it, for this handle alone (PEM).
    pub certificate_authority: String,
    /// Every host that the tool is bound to, whatever for: also those for its declared actions alone, and
    /// those whose credential nothing fills. None is to be reached past the proxy.
    #[serde(default)]
    pub bound_hosts: Vec<String>,
}

/// A handle, and what it may be used for. Never a value.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resolved {
    /// By which the resolution is released and found in the journal. It gives no right.
    #[schema(value_type = String, format = "uuid")]
    pub id: ResolutionId,
    /// The right to use it, shown this once.
    pub handle: String,
    /// The tool.
    pub tool: String,
    /// When it ends at the latest. Unused for five minutes it ends sooner.
    #[schema(value_type = String, format = "date-time")]
    pub expires_at: Timestamp,
    /// How often it may be used.
    pub uses_left: u32,
    /// What fills each field.
    pub fields: Vec<ResolvedField>,
    /// What stands for each field's value in requests: field → placeholder.
    #[schema(value_type = BTreeMap<String, String>)]
    #[serde(serialize_with = "as_object")]
    pub placeholders: Fields<String>,
    /// Where the fields may go by right of the handle; not what is for declared actions alone.
    pub constraints: Vec<Constraint>,
    /// Where the handle works, for one of the egress proxy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxyPlace>,
}

impl fmt::Debug for Resolved {
    /// Without the handle and the placeholders: whoever has them may use the resolution.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolved")
            .field("id", &self.id)
            .field("tool", &self.tool)
            .field("expires_at", &self.expires_at)
            .field("uses_left", &self.uses_left)
            .finish_non_exhaustive()
    }
}

/// As an object also where there is no field: what has no first key could as well be a list.
fn as_object<S: Serializer, T: Serialize>(
    fields: &Fields<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(fields.iter())
}

/// What fills a field.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedField {
    /// The field.
    #[schema(value_type = String)]
    pub field: FieldName,
    /// Where it is filled from.
    pub source: FieldSource,
    /// The secret that fills it, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub secret: Option<SecretName>,
    /// The connected account that fills it, by what people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The environment variables in which programs look for it.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub env: Vec<VariableName>,
}

/// One place where fields may go.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Constraint {
    /// `https` or `http`.
    pub scheme: Cow<'static, str>,
    /// Exact hosts, or one label in front of one.
    #[schema(value_type = Vec<String>)]
    pub hosts: Vec<HostPattern>,
    /// The port.
    pub port: u16,
    /// The methods.
    pub methods: Vec<String>,
    /// The paths.
    pub paths: Vec<String>,
    /// Where each field stands in a request, the preferred slot first.
    #[schema(value_type = BTreeMap<String, Vec<String>>)]
    #[serde(serialize_with = "as_object")]
    pub slots: Fields<Vec<String>>,
    /// The most bytes that a request's body may have.
    #[serde(default)]
    pub max_body_bytes: u64,
    /// Whether a WebSocket may be opened: by a GET, in the streaming lane or through the proxy.
    #[serde(default)]
    pub websocket: bool,
}

/// A request to send by right of a handle. The credentials are put in; it names no slot.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExecuteRequest {
    /// The handle.
    #[schema(value_type = String)]
    pub handle: Secret,
    /// The tool call that it is for, where the handle was made for one.
    #[serde(default)]
    pub call_id: Option<String>,
    /// The method.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// More query parameters.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body.
    #[serde(default)]
    pub body: Option<RequestBody>,
    /// How many seconds it may take: at most as long as the operator lets any call take.
    #[serde(default)]
    pub timeout_seconds: Option<u64>,
    /// The longest answer that is wanted, in bytes: 8 MiB at most.
    #[serde(default)]
    pub max_response_bytes: Option<u64>,
}

/// A body, in one of its spellings.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum RequestBody {
    /// JSON.
    #[schema(value_type = Object)]
    Json(serde_json::Value),
    /// A text.
    Text(String),
    /// Bytes, in base64.
    Base64(String),
}

/// What an upstream answered, searched.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Exchange {
    /// The upstream's status.
    pub status: u16,
    /// Its headers; several of one name are joined with a comma and a space.
    pub headers: BTreeMap<String, String>,
    /// What it answered: JSON where it is JSON, else `{contentType, text}` or `{contentType, base64}`.
    #[schema(value_type = Object)]
    pub result: serde_json::Value,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::Resolved;

    #[test]
    fn debug_shows_neither_the_handle_nor_a_placeholder() {
        let resolved: Resolved = serde_json::from_value(serde_json::json!({
            "id": "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", "handle": "rth_canary-1", "tool": "crm",
            "expiresAt": "2026-01-01T00:00:00Z", "usesLeft": 3, "fields": [],
            "placeholders": {"key": "rtp_canary-2"}, "constraints": [],
        }))
        .unwrap();
        let shown = format!("{resolved:?}");
        assert!(
            shown.contains("crm") && !shown.contains("canary"),
            "{shown}"
        );
    }

    #[test]
    fn no_field_is_an_empty_object() {
        let sent = serde_json::json!({
            "id": "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", "handle": "rth_1", "tool": "crm",
            "expiresAt": "2026-01-01T00:00:00.000Z", "usesLeft": 3, "fields": [], "placeholders": {},
            "constraints": [{"scheme": "https", "hosts": ["api.example.com"], "port": 443, "methods": ["GET"],
                "paths": ["/x"], "slots": {}, "maxBodyBytes": 7, "websocket": false}],
        });
        let read: Resolved = serde_json::from_value(sent.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), sent);
    }
}
