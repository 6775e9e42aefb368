//! The JSON shapes that server and client share: no behaviour, only form.
//!
//! camelCase throughout; unknown fields in a request are refused. A success is
//! `{"data": …, "meta": {"requestId": …}}`, a list adds `hasMore` and `nextCursor` (in `meta` and
//! beside `data`, because both are documented for this API), an error is
//! `{"error": {"code", "message", "hint", "requestId"}}`.

mod api_keys;
mod audit;
mod backup;
mod broker;
mod oauth;
mod organizations;
mod rotation;
mod secrets;
mod services;
mod shred;
mod store;
mod system;
mod tools;

pub use api_keys::*;
pub use audit::*;
pub use backup::*;
pub use broker::*;
pub use oauth::*;
pub use organizations::*;
pub use rotation::*;
pub use secrets::*;
pub use services::*;
pub use shred::*;
pub use store::*;
pub use system::*;
pub use tools::*;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What stands beside `data`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// Names this request in logs and audit: `req_` and a UUID.
    pub request_id: String,
    /// Lists only: whether there is more after this page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_more: Option<bool>,
    /// Lists only: what to send as `cursor` for the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A successful answer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Answer<T> {
    /// What was asked for.
    pub data: T,
    /// The request's id.
    pub meta: Meta,
}

/// A successful answer that shows something once, and says so.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AnswerOnce<T> {
    /// What was asked for.
    pub data: T,
    /// A sentence for people: what is shown here is not shown again.
    pub message: String,
    /// The request's id.
    pub meta: Meta,
}

/// A successful answer with a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct List<T> {
    /// One page.
    pub data: Vec<T>,
    /// The request's id, and the paging again.
    pub meta: Meta,
    /// Whether there is more after this page.
    pub has_more: bool,
    /// What to send as `cursor` for the next page.
    pub next_cursor: Option<String>,
}

/// A refusal or failure.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// What happened.
    pub error: FailureDetail,
}

/// What happened, why, and what to do next.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailureDetail {
    /// A stable code in `snake_case`.
    pub code: String,
    /// What happened, in a sentence. Never repeats input.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What an account that has to be connected, or connected again, is connected with: a path of this API,
    /// to be read (GET) by the same caller; its `authUrl` is the page to open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub connect_url: Option<Box<str>>,
    /// Names this request in logs and audit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// A change that has nothing more to say.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// Always true: a failure is a [`Failure`].
    pub success: bool,
}

impl Done {
    /// The one value.
    pub const OK: Self = Self { success: true };
}

/// Tells a field that was left out (`None`) from one that is null (`Some(None)`).
#[expect(
    clippy::option_option,
    reason = "left out, null and set are three answers"
)]
pub(crate) fn present<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}
