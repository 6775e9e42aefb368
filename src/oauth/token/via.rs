//! What every request of one connection has in common.

use super::metadata::Endpoints;
use crate::clock::Timestamp;
use crate::oauth::provider::{Bound, Provider, Vars};
use crate::secret::Secret;

/// The OAuth client that a connection was made with. It refreshes and revokes with no other.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// Its id, which is public.
    pub id: &'a str,
    /// Its secret; a public client has none.
    pub secret: Option<&'a Secret>,
}

/// Through which client, at which provider.
#[derive(Clone, Copy, Debug)]
pub struct Via<'a> {
    /// The provider.
    pub provider: &'a Provider,
    /// What was told and captured for this connection.
    pub bound: &'a Bound,
    /// The client.
    pub client: Client<'a>,
    /// The redirect URI, byte for byte as in the authorization request (A4).
    pub redirect_uri: Option<&'a str>,
    /// The time, for what is signed.
    pub now: Timestamp,
    /// What discovery found, where the file says that there is something to find.
    pub endpoints: Option<&'a Endpoints>,
}

/// Tokens that one has.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// The access token.
    pub access: &'a Secret,
    /// The refresh token, where there is one.
    pub refresh: Option<&'a Secret>,
    /// The ID token, where there is one.
    pub id_token: Option<&'a Secret>,
}

impl<'a> Via<'a> {
    /// The same with another redirect URI: that of a code that was handed over.
    #[must_use]
    pub const fn with_redirect_uri(mut self, uri: &'a str) -> Self {
        self.redirect_uri = Some(uri);
        self
    }

    /// The names of every template.
    pub(super) fn vars(&self) -> Vars<'a> {
        let mut vars = Vars::of(self.bound).text("client_id", self.client.id);
        if let Some(secret) = self.client.secret {
            vars = vars.secret("client_secret", secret);
        }
        if let Some(uri) = self.redirect_uri {
            vars = vars.text("redirect_uri", uri);
        }
        vars
    }

    /// The same, and the tokens.
    pub(super) fn vars_with(&self, held: &Held<'a>) -> Vars<'a> {
        let mut vars = self.vars().secret("access_token", held.access);
        if let Some(refresh) = held.refresh {
            vars = vars.secret("refresh_token", refresh);
        }
        if let Some(id_token) = held.id_token {
            vars = vars.secret("id_token", id_token);
        }
        vars
    }
}
