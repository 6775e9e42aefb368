//! `[identity]`: whose account it is.

use serde::Deserialize;

use super::pointer::Pointer;
use super::spec::Map;
use super::spec_token::Method;
use super::template::Template;

/// Whose account it is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Where that is said.
    #[serde(default)]
    pub source: IdentitySource,
    /// The method of the request.
    #[serde(default = "get")]
    pub method: Method,
    /// Where it is asked. Absent only with discovery, or when nothing is asked.
    pub url: Option<Template>,
    /// Whether a secret may stand in its query.
    #[serde(default)]
    pub query_secrets_ok: bool,
    /// More headers.
    #[serde(default)]
    pub headers: Map<Template>,
    /// The whole body of the request: a GraphQL question, or empty.
    pub body: Option<String>,
    /// The word before the token in `Authorization`; empty for the token alone.
    #[serde(default = "bearer")]
    pub auth_scheme: String,
    /// The account's id: a pointer, or a template of several (`{/team/id}:{/user/id}`).
    pub id: String,
    /// What to call it; the first that says something.
    #[serde(default)]
    pub name: Vec<Pointer>,
    /// Its e-mail address.
    #[serde(default)]
    pub email: Vec<Pointer>,
    /// Its picture.
    #[serde(default)]
    pub avatar: Vec<Pointer>,
    /// Sites, tenants or accounts inside the account.
    pub resources: Option<Resources>,
}

/// Where the identity is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentitySource {
    /// In the answer to a request.
    #[default]
    Request,
    /// In the ID token.
    IdToken,
    /// In the token answer.
    TokenResponse,
    /// In the callback.
    Callback,
}

/// Sites, tenants or accounts inside an account.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Where they are listed; absent when the identity's own answer lists them.
    pub url: Option<Template>,
    /// Where the list stands.
    pub items: Pointer,
    /// The id of one.
    pub id: Pointer,
    /// The name of one.
    pub name: Option<Pointer>,
    /// The address of one.
    pub url_pointer: Option<Pointer>,
    /// Which is taken.
    #[serde(default)]
    pub pick: Pick,
    /// For `default_flag`: where the flag stands.
    pub flag: Option<Pointer>,
}

/// Which resource is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pick {
    /// The first.
    #[default]
    First,
    /// The one with the flag.
    DefaultFlag,
    /// All are kept.
    All,
}

fn get() -> Method {
    Method::Get
}

fn bearer() -> String {
    "Bearer".to_owned()
}
