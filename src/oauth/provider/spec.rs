//! What a provider file may say, word for word. Three mechanisms only: a [`Pointer`] reads, a
//! [`Template`] writes, a closed enum decides. A key that is not here does not load.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::pointer::Pointer;
use super::template::Template;
use crate::name::ProviderId;

pub use super::spec_authorize::*;
pub use super::spec_device::*;
pub use super::spec_identity::*;
pub use super::spec_refresh::*;
pub use super::spec_response::*;
pub use super::spec_token::*;

/// A map in the order of its keys.
pub type Map<T> = BTreeMap<String, T>;

/// One provider file, as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The format of the file: 1.
    pub schema: u8,
    /// The provider's id; the file is named after it.
    pub id: ProviderId,
    /// The name people read.
    pub display_name: String,
    /// The file that this one builds on: it says only what is different.
    pub extends: Option<String>,
    /// Its picture: one path of an SVG on a field of 24 by 24, drawn in one colour. Pages draw it themselves,
    /// as they load nothing.
    pub icon: Option<String>,
    /// Where its documentation is.
    pub docs_url: Option<String>,
    /// Groups, such as `developer`.
    #[serde(default)]
    pub categories: Vec<String>,
    /// How a connection is made.
    #[serde(default)]
    pub kind: Kind,
    /// Whether its endpoints were seen to work.
    #[serde(default)]
    pub status: Status,
    /// When that was last looked at, and how sure it is: `2026-11-23 O`.
    pub verified: Option<String>,
    /// Who signs its ID tokens, and says so in `iss` (RFC 9207).
    pub issuer: Option<Template>,
    /// Where endpoints that are not written here come from.
    #[serde(default)]
    pub discovery: Discovery,
    /// When an endpoint ends, and what follows.
    pub sunset: Option<Sunset>,
    /// Why authorize and token hosts are of different domains.
    pub hosts_reason: Option<String>,
    /// Why nothing can be revoked.
    pub revoke_reason: Option<String>,
    /// What the person who connects must tell: a shop, a region, a host.
    #[serde(default)]
    pub params: Map<Param>,
    /// Values that arrive with the callback.
    #[serde(default)]
    pub callback_capture: Map<CallbackCapture>,
    /// Values that arrive with the token.
    #[serde(default)]
    pub token_capture: Map<TokenCapture>,
    /// The authorization request.
    pub authorize: Option<Authorize>,
    /// What comes back to us.
    #[serde(default)]
    pub callback: Callback,
    /// The token request and its answer.
    pub token: Option<Token>,
    /// Refreshing.
    #[serde(default)]
    pub refresh: Refresh,
    /// Connecting without a browser of ours.
    pub device: Option<Device>,
    /// What is called to revoke, in this order.
    #[serde(default)]
    pub revoke: Vec<Revoke>,
    /// Whose account it is.
    pub identity: Option<Identity>,
    /// Where a token may go, and how.
    pub api: Option<Api>,
    /// What is asked for.
    #[serde(default)]
    pub scopes: Scopes,
    /// Bounds that are tighter than the broker's.
    #[serde(default)]
    pub limits: Limits,
}

/// How a connection is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The authorization code flow.
    #[default]
    Oauth2,
    /// A device flow, and no other.
    Device,
    /// The browser brings home what the provider signed, with no code and no token in it. What ties it to
    /// its flow is the address that it is brought to, which carries the state.
    SignedPayload,
}

/// Whether a file's endpoints were seen to work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// With a real account.
    Verified,
    /// Written from documentation.
    #[default]
    Unverified,
    /// It should not be used for new connections.
    Deprecated,
}

/// Where endpoints come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Discovery {
    /// The file.
    #[default]
    None,
    /// `{issuer}/.well-known/openid-configuration`.
    Oidc,
    /// RFC 8414: the well-known path is inserted before the issuer's own.
    Rfc8414,
}

/// The end of an endpoint.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sunset {
    /// The day, `2027-02-16`.
    pub date: String,
    /// What follows.
    pub note: String,
}

/// Something the person who connects must tell.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// A regular expression that the whole value matches.
    pub pattern: Option<String>,
    /// The values there are.
    #[serde(rename = "enum", default)]
    pub choices: Vec<String>,
    /// What it is when nothing is said.
    pub default: Option<String>,
    /// Whether something must be said.
    #[serde(default)]
    pub required: bool,
    /// What to call it.
    pub label: Option<String>,
    /// For example.
    pub example: Option<String>,
    /// What is done to it before it is checked: `lower`, `trim`, `strip_suffix(.x.com)`, `host_only`.
    #[serde(default)]
    pub normalize: Vec<String>,
    /// How it may be used.
    pub position: Position,
}

/// How a parameter may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// One label of a host.
    HostLabel,
    /// A whole host: an administrator must allow it, unless it is one of the file's own.
    Host,
    /// One segment of a path.
    PathSegment,
    /// The value of a query member.
    Query,
    /// The value of a body member or a header.
    Value,
}

/// A value that arrives with the callback.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallbackCapture {
    /// The query parameter.
    pub query: String,
    /// A regular expression that the whole value matches.
    pub pattern: Option<String>,
    /// Whether the callback is refused without it.
    #[serde(default)]
    pub required: bool,
    /// What it must be.
    pub must_equal: Option<Template>,
    /// An origin or a text.
    #[serde(default)]
    pub kind: CaptureKind,
    /// For an origin: what its host must end with, each beginning with a dot.
    #[serde(default)]
    pub host_suffixes: Vec<String>,
}

/// A value that arrives with the token.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenCapture {
    /// Where it stands in the answer.
    pub pointer: Pointer,
    /// An origin or a text.
    #[serde(default)]
    pub kind: CaptureKind,
    /// For an origin: what its host must end with, each beginning with a dot.
    #[serde(default)]
    pub host_suffixes: Vec<String>,
    /// Whether the answer is refused without it.
    #[serde(default)]
    pub required: bool,
}

/// What a captured value is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureKind {
    /// Letters, digits and `-_.:`, at most 256 of them; never used as a host.
    #[default]
    Text,
    /// `https://host`: the only kind that a URL may begin with.
    Origin,
}

/// Where a token may go, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// Where its API begins.
    pub base_url: Option<Template>,
    /// The header of the token.
    #[serde(default = "authorization")]
    pub header: String,
    /// What stands in it. It names `{access_token}`.
    #[serde(default = "Template::bearer")]
    pub value: Template,
    /// The only hosts a token may go to: exact, or `*.` and a domain.
    pub hosts: Vec<Template>,
    /// Headers that every request to it needs.
    #[serde(default)]
    pub extra_headers: Map<Template>,
}

/// What is asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scopes {
    /// When nothing is said.
    pub default: Vec<String>,
    /// What a connection is limited without.
    pub required: Vec<String>,
    /// What may be asked for besides.
    pub available: Vec<AvailableScope>,
}

/// A scope that may be asked for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AvailableScope {
    /// The scope.
    pub scope: String,
    /// What it allows.
    pub label: String,
}

/// Bounds that are tighter than the broker's.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Seconds for one exchange.
    pub timeout_s: Option<u32>,
    /// KiB of an answer.
    pub max_body_kib: Option<u32>,
    /// Exchanges at a time with one token host.
    pub concurrency: Option<u32>,
}

fn authorization() -> String {
    "Authorization".to_owned()
}
