//! `[refresh]` and `[[revoke]]`: how a grant is kept alive, and how it ends.

use serde::Deserialize;

use super::spec::Map;
use super::spec_token::{Body, ClientAuth, Method};
use super::template::Template;

/// Refreshing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a line of the file")]
pub struct Refresh {
    /// How.
    pub mode: RefreshMode,
    /// Where, when not at the token URL.
    pub url: Option<Template>,
    /// The method, when not the token's.
    pub method: Option<Method>,
    /// How parameters are sent, when not as the token's.
    pub body: Option<Body>,
    /// How the client proves itself, when not as at the token URL.
    pub client_auth: Option<ClientAuth>,
    /// More parameters, in place of the token's.
    pub params: Option<Map<Template>>,
    /// Whether the redirect URI is sent.
    pub send_redirect_uri: bool,
    /// Whether scopes are sent.
    pub send_scope: bool,
    /// Whether a secret may stand in the query.
    pub query_secrets_ok: bool,
    /// Whether a refresh gives a new refresh token.
    pub rotates: Rotates,
    /// Seconds for which a spent refresh token still works.
    pub reuse_grace_s: u32,
    /// Whether the old access token dies at once: then it is lent to nobody while it is refreshed.
    pub access_dies_on_refresh: bool,
    /// Seconds that a token must be old.
    pub min_age_s: u32,
    /// Seconds before the end, in place of the general rule.
    pub lead_s: Option<u32>,
    /// Days without use after which a refresh token dies.
    pub idle_limit_days: Option<u32>,
    /// Days after which a grant ends, used or not.
    pub absolute_limit_days: Option<u32>,
    /// Whether a revoked grant is asked about twice before it is believed.
    pub confirm_invalid_grant: bool,
    /// How often may be asked for one account: failures wait at least as long as that takes.
    pub per_user_limit: Option<PerUserLimit>,
}

/// How a token is refreshed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshMode {
    /// With a refresh token.
    #[default]
    RefreshToken,
    /// By showing the access token while it is valid.
    ExchangeAccessToken,
    /// Not at all.
    None,
}

/// Whether a refresh gives a new refresh token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rotates {
    /// Each time; the old one is spent.
    Always,
    /// Perhaps.
    #[default]
    Sometimes,
    /// Never.
    Never,
}

/// How often one account may ask.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerUserLimit {
    /// Requests …
    pub requests: u32,
    /// … in so many seconds.
    pub seconds: u32,
}

/// One request that revokes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// When.
    #[serde(default)]
    pub when: RevokeWhen,
    /// Where.
    pub url: Option<Template>,
    /// The method.
    #[serde(default)]
    pub method: Method,
    /// How parameters are sent.
    #[serde(default)]
    pub body: Body,
    /// How it is authenticated.
    #[serde(default)]
    pub auth: RevokeAuth,
    /// Which token.
    #[serde(default)]
    pub token: RevokeToken,
    /// The parameter of the token.
    #[serde(default = "token")]
    pub token_param: String,
    /// Whether `token_type_hint` is sent.
    #[serde(default)]
    pub hint: bool,
    /// More headers.
    #[serde(default)]
    pub headers: Map<Template>,
    /// More parameters.
    #[serde(default)]
    pub params: Map<Template>,
    /// Statuses that mean success, besides 2xx.
    #[serde(default)]
    pub ok_statuses: Vec<u16>,
    /// What ends, where the provider says so. Only a step that says `token` is called while a connection
    /// lives on the grant.
    pub scope: Option<RevokeScope>,
    /// Whether a secret may stand in the query.
    #[serde(default)]
    pub query_secrets_ok: bool,
}

/// When a request that revokes is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokeWhen {
    /// Each time.
    #[default]
    Always,
    /// When no other connection of this account through this client is left.
    LastConnection,
}

/// How a request that revokes is authenticated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokeAuth {
    /// The client, by Basic.
    #[default]
    ClientBasic,
    /// The client, in the body.
    ClientPost,
    /// The token itself.
    Bearer,
    /// Not at all.
    None,
}

/// Which token is revoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokeToken {
    /// The refresh token, or where there is none the access token.
    #[default]
    Refresh,
    /// The access token.
    Access,
    /// The refresh token first, then the access token.
    Both,
}

/// What a revocation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokeScope {
    /// The token and what came with it, and nothing that was granted before or after.
    Token,
    /// Everything that this account granted this client.
    Grant,
    /// The app's installation.
    Install,
}

impl Default for Refresh {
    fn default() -> Self {
        Self {
            mode: RefreshMode::RefreshToken,
            url: None,
            method: None,
            body: None,
            client_auth: None,
            params: None,
            send_redirect_uri: false,
            send_scope: false,
            query_secrets_ok: false,
            rotates: Rotates::Sometimes,
            reuse_grace_s: 0,
            access_dies_on_refresh: false,
            min_age_s: 0,
            lead_s: None,
            idle_limit_days: None,
            absolute_limit_days: None,
            confirm_invalid_grant: true,
            per_user_limit: None,
        }
    }
}

fn token() -> String {
    "token".to_owned()
}
