//! `[token.response]`: where the answer of a token endpoint says what.

use serde::Deserialize;

use super::pointer::Pointer;

/// The answer of a token endpoint. Pointers stand under the root.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Response {
    /// How it is written.
    pub format: Format,
    /// Where it may begin; the first that has a token counts.
    pub root: Vec<Pointer>,
    /// The access token.
    pub access_token: Pointer,
    /// The refresh token.
    pub refresh_token: Pointer,
    /// The ID token.
    pub id_token: Pointer,
    /// The granted scopes.
    pub scope: Pointer,
    /// The type of the token.
    pub token_type: Pointer,
    /// What it may say, in any letter case, to mean a bearer token.
    pub token_types: Vec<String>,
    /// How scopes are written.
    pub scope_form: ScopeForm,
    /// What stands between scopes, where it is not a space or a comma.
    pub scope_separator: Option<String>,
    /// The end of the access token; the first that is there counts.
    pub expires: Vec<Expiry>,
    /// Whether 0 means that it has no end.
    pub zero_means_never: bool,
    /// Seconds that a token without a stated end really lives.
    pub default_lifetime_s: Option<u32>,
    /// Seconds that a token without a stated end is taken to live, to be on the safe side.
    pub assume_lifetime_s: Option<u32>,
    /// The end of the refresh token; the first that is there counts.
    pub refresh_expires: Vec<Expiry>,
    /// Before when it may not be refreshed.
    pub not_before_refresh: Option<Expiry>,
    /// What an answer must say to be one of success.
    pub success: Option<Success>,
    /// Where an error code may stand: one that is there makes any answer a failure.
    pub error_pointers: Vec<Pointer>,
    /// Further sets of tokens, stored and refreshed on their own.
    pub secondary: Vec<Secondary>,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// As its content type says.
    #[default]
    Auto,
    /// JSON.
    Json,
    /// A form.
    Form,
}

/// How scopes are written in an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeForm {
    /// A text or a list.
    #[default]
    Either,
    /// A text.
    String,
    /// A list.
    Array,
}

/// Where an end stands, and how it is counted. Numbers may be texts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expiry {
    /// Where.
    pub pointer: Pointer,
    /// How.
    #[serde(default)]
    pub unit: Unit,
}

/// How an end is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Seconds from now.
    #[default]
    S,
    /// Milliseconds from now.
    Ms,
    /// Seconds since 1970.
    EpochS,
    /// Milliseconds since 1970.
    EpochMs,
    /// RFC 3339.
    Rfc3339,
}

/// What an answer must say to be one of success.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Success {
    /// Where.
    pub pointer: Pointer,
    /// What.
    pub equals: toml::Value,
}

/// A further set of tokens in one answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secondary {
    /// Its name, such as `user`.
    pub name: String,
    /// Where it begins.
    pub root: Pointer,
    /// Whether it may be missing.
    #[serde(default)]
    pub optional: bool,
}

impl Default for Response {
    fn default() -> Self {
        let seconds = |name| Expiry {
            pointer: Pointer::member(name),
            unit: Unit::S,
        };
        Self {
            format: Format::Auto,
            root: vec![Pointer::root()],
            access_token: Pointer::member("access_token"),
            refresh_token: Pointer::member("refresh_token"),
            id_token: Pointer::member("id_token"),
            scope: Pointer::member("scope"),
            token_type: Pointer::member("token_type"),
            token_types: vec!["bearer".to_owned()],
            scope_form: ScopeForm::Either,
            scope_separator: None,
            expires: vec![seconds("expires_in")],
            zero_means_never: false,
            default_lifetime_s: None,
            assume_lifetime_s: None,
            refresh_expires: vec![
                seconds("refresh_token_expires_in"),
                seconds("x_refresh_token_expires_in"),
                seconds("refresh_expires_in"),
                // draft-ietf-oauth-refresh-token-expiration
                seconds("refresh_token_timeout"),
                seconds("authorization_expires_in"),
            ],
            not_before_refresh: None,
            success: None,
            error_pointers: vec![Pointer::member("error")],
            secondary: Vec::new(),
        }
    }
}
