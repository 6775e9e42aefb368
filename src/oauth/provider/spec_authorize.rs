//! `[authorize]` and `[callback]`: how a person is sent away, and what comes back.

use serde::Deserialize;

use super::spec::Map;
use super::template::Template;

/// The authorization request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authorize {
    /// Where it goes. Absent only with discovery.
    pub url: Option<Template>,
    /// Standard parameter → the provider's name for it.
    #[serde(default)]
    pub rename: Map<String>,
    /// Standard parameters that are left out.
    #[serde(default)]
    pub omit: Vec<String>,
    /// More parameters.
    #[serde(default)]
    pub params: Map<Template>,
    /// What stands between scopes.
    #[serde(default = "space")]
    pub scope_separator: String,
    /// The parameter of the scopes.
    #[serde(default = "scope")]
    pub scope_param: String,
    /// Further lists of scopes: list name → parameter (`user = "user_scope"`). A scope of one is written
    /// `user:chat:write`, here and wherever it is asked for; their tokens are the set of that name.
    #[serde(default)]
    pub extra_scope_params: Map<String>,
    /// Leave the parameter out when there is no scope.
    #[serde(default = "yes")]
    pub skip_empty_scope: bool,
    /// PKCE (RFC 7636), always S256.
    #[serde(default)]
    pub pkce: Pkce,
    /// How the challenge is made.
    #[serde(default)]
    pub pkce_method: PkceMethod,
    /// Why it is off.
    pub pkce_reason: Option<String>,
    /// Whether a nonce is sent; by default when `openid` is asked for.
    pub nonce: Option<bool>,
    /// How the answer comes back.
    #[serde(default)]
    pub response_mode: ResponseMode,
    /// More parameters to choose another account.
    #[serde(default)]
    pub select_account_params: Map<Template>,
    /// More parameters to connect again.
    #[serde(default)]
    pub reconnect_params: Map<Template>,
    /// The parameter that suggests an account.
    #[serde(default = "login_hint")]
    pub login_hint_param: String,
    /// What the provider demands of our redirect URI.
    #[serde(default)]
    pub redirect_uri_style: RedirectUriStyle,
}

/// PKCE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pkce {
    /// Sent; the provider demands it.
    #[default]
    Required,
    /// Sent; the provider takes it.
    Optional,
    /// Not sent, for a reason that the file gives.
    Off,
}

/// How a challenge is made. There is one way: with `plain`, who sees the challenge has the verifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum PkceMethod {
    /// SHA-256.
    #[default]
    S256,
}

/// How the answer to the authorization request comes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseMode {
    /// In the query of a GET.
    #[default]
    Query,
    /// In the body of a cross-site POST.
    FormPost,
}

/// What a provider demands of our redirect URI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedirectUriStyle {
    /// That it is the registered one.
    #[default]
    Exact,
    /// That it has no query.
    NoQuery,
    /// That it names the loopback address by number.
    LocalhostForbidden,
}

/// What comes back to us.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Callback {
    /// The parameter of the code.
    pub code_param: String,
    /// RFC 9207.
    pub iss: Iss,
    /// For `kind = "signed_payload"`: the parameter of the fragment that the payload stands in, as the
    /// base64url of a JSON object. What is captured, and what the signature covers, are its members.
    pub payload: Option<String>,
    /// A signature over the query, or the payload.
    pub signature: Option<Signature>,
    /// How long a code may be redeemed, in seconds.
    pub max_code_age_s: u32,
}

/// RFC 9207: who says that it answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Iss {
    /// A callback without it is refused.
    Required,
    /// It must be right when it is there.
    #[default]
    IfPresent,
    /// It means something else here.
    Off,
}

/// A signature over the callback's query.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// HMAC-SHA-256.
    pub alg: SignatureAlg,
    /// How it is written.
    pub encoding: SignatureEncoding,
    /// What it covers.
    pub over: SignatureOver,
    /// The parameter it stands in.
    #[serde(default = "hmac")]
    pub param: String,
    /// Parameters it does not cover.
    pub exclude: Vec<String>,
    /// What keys it.
    pub key: SignatureKey,
    /// The parameter that says when it was made, in seconds since 1970.
    pub max_age_param: String,
    /// How old it may be, in seconds; at most an hour.
    pub max_age_s: u32,
}

/// The algorithm of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum SignatureAlg {
    /// HMAC-SHA-256.
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignatureEncoding {
    /// Lower-case hex.
    Hex,
}

/// What a signature covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignatureOver {
    /// `key=value` sorted by key, joined with `&`.
    SortedQuery,
    /// The payload's members as `key=value`, sorted by key, a line each.
    PayloadLines,
}

/// What keys a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignatureKey {
    /// The client secret.
    ClientSecret,
    /// Its SHA-256.
    Sha256ClientSecret,
}

impl Default for Callback {
    fn default() -> Self {
        Self {
            code_param: "code".to_owned(),
            iss: Iss::default(),
            payload: None,
            signature: None,
            max_code_age_s: 600,
        }
    }
}

fn space() -> String {
    " ".to_owned()
}

fn scope() -> String {
    "scope".to_owned()
}

fn hmac() -> String {
    "hmac".to_owned()
}

fn login_hint() -> String {
    "login_hint".to_owned()
}

fn yes() -> bool {
    true
}
