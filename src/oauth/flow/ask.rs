//! What a flow is begun with.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{FlowId, Tell};
use crate::clock::Timestamp;
use crate::crypto::CryptoError;
use crate::egress::Url;
use crate::id::{ConnectionId, OrgId, UserId};
use crate::name::ProviderId;
use crate::oauth::client::ClientRef;
use crate::oauth::provider::{
    AuthorizeAsk, AuthorizeFault, Bound, Provider, Purpose, authorize_url, authorize_url_at,
};

/// Who connects what to which organisation. All of it was checked: parameters by
/// [`Provider::bind`], scopes by [`Provider::allowed_scopes`], the address in `tell` by
/// [`ReturnTo::judge`](super::ReturnTo::judge).
#[derive(Clone, Debug)]
pub struct FlowAsk {
    /// The organisation the account will belong to.
    pub org: OrgId,
    /// The user it will be attached to.
    pub user: UserId,
    /// What the user is called, for the page.
    pub user_name: String,
    /// What the organisation is called, for the page.
    pub org_name: String,
    /// Who issues the tokens.
    pub provider: Arc<Provider>,
    /// What the person told.
    pub bound: Bound,
    /// The scopes.
    pub scopes: Vec<String>,
    /// Scopes of the provider's further lists, by list.
    pub extra_scopes: BTreeMap<String, Vec<String>>,
    /// What discovery found, for a provider whose file leaves it to that.
    pub found: Option<Found>,
    /// The client that asks.
    pub client: ClientRef,
    /// What for.
    pub purpose: FlowPurpose,
    /// Which account to suggest.
    pub login_hint: Option<String>,
    /// How the answer is told.
    pub tell: Tell,
}

/// What an issuer says of itself.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its authorization endpoint.
    pub page: Url,
    /// Whether its answers name it (`authorization_response_iss_parameter_supported`, RFC 9207).
    pub names_itself: bool,
}

/// What a flow is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowPurpose {
    /// A first account.
    Connect,
    /// One more account.
    Another,
    /// The account of this connection, again.
    Reconnect(ConnectionId),
}

/// A flow that was begun.
#[derive(Debug)]
pub struct Started {
    /// The flow.
    pub flow: FlowId,
    /// Our own page, where a person agrees. Never the provider's (rule 3.3, 1).
    pub auth_url: String,
    /// The code to show, for [`Tell::Code`].
    pub code: Option<String>,
    /// When the link ends.
    pub expires: Timestamp,
}

/// Why no flow was begun.
#[derive(Debug, thiserror::Error)]
pub enum FlowFault {
    /// The provider has no page that a person could be sent to, or does not take what would be sent.
    #[error("no one can be sent to the provider: {0}")]
    Authorize(#[from] AuthorizeFault),
    /// The provider would send no state of ours back.
    #[error(
        "the provider's file sends no state, so that no answer could be told from a forged one"
    )]
    NoState,
    /// Too many flows are under way.
    #[error("too many accounts are being connected at this moment")]
    Full,
    /// Too many flows of one organisation are under way.
    #[error("too many accounts of your organisation are being connected at this moment")]
    OrgFull,
    /// No random bytes.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// What a flow is about, for records.
#[derive(Clone, Debug)]
pub struct FlowFacts {
    /// The flow.
    pub flow: FlowId,
    /// The organisation.
    pub org: OrgId,
    /// The user.
    pub user: UserId,
    /// The provider.
    pub provider: ProviderId,
    /// The client.
    pub client: ClientRef,
    /// The connection that is to be made anew.
    pub replaces: Option<ConnectionId>,
}

/// What is made for one trip to the provider.
pub(super) struct Trip<'a> {
    pub redirect_uri: &'a str,
    pub state: &'a str,
    pub challenge: Option<&'a str>,
    pub nonce: Option<&'a str>,
}

impl FlowAsk {
    /// The address of the provider's page.
    pub(super) fn authorize_url(&self, trip: &Trip<'_>) -> Result<String, AuthorizeFault> {
        let ask = AuthorizeAsk {
            client_id: &self.client.client_id,
            redirect_uri: trip.redirect_uri,
            state: trip.state,
            challenge: trip.challenge,
            nonce: trip.nonce,
            scopes: &self.scopes,
            extra_scopes: &self.extra_scopes,
            purpose: match self.purpose {
                FlowPurpose::Connect => Purpose::Connect,
                FlowPurpose::Another => Purpose::SelectAccount,
                FlowPurpose::Reconnect(_) => Purpose::Reconnect,
            },
            login_hint: self.login_hint.as_deref(),
        };
        match &self.found {
            Some(found) => authorize_url_at(&self.provider, &self.bound, &ask, &found.page),
            None => authorize_url(&self.provider, &self.bound, &ask),
        }
    }

    /// The connection that is to be made anew.
    pub(super) const fn replaces(&self) -> Option<ConnectionId> {
        match self.purpose {
            FlowPurpose::Reconnect(connection) => Some(connection),
            FlowPurpose::Connect | FlowPurpose::Another => None,
        }
    }

    pub(super) fn facts(&self, flow: FlowId) -> FlowFacts {
        FlowFacts {
            flow,
            org: self.org,
            user: self.user,
            provider: self.provider.id().clone(),
            client: self.client.clone(),
            replaces: self.replaces(),
        }
    }
}
