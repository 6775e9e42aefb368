//! OAuth clients: as whom the broker speaks to a provider.
//!
//! An organisation may bring a client of its own for a provider; where it has none, the
//! installation's is used, which the operator set. Both are sealed like any secret. A connection
//! remembers which client made it, because only that client can refresh it: so the credentials of a
//! client that was replaced stay until the last connection that it made is gone.

mod choice;
mod shelf;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::provider::{Bound, Provider};
use super::token::{self, Endpoints, Via};
use crate::clock::Timestamp;
use crate::id::OrgId;
use crate::name::ProviderId;
use crate::secret::Secret;

pub use choice::{ClientError, NewClient, NewSecret, chosen, reopen};
pub use shelf::ClientShelf;

/// Whose a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientOwner {
    /// The organisation brought it.
    Organization,
    /// It is the installation's, for every organisation without one of its own.
    Instance,
}

/// Which client: whose, and its id at the provider. The id is no secret, and stands on disk sealed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientRef {
    /// Whose it is.
    pub owner: ClientOwner,
    /// The provider's name for it.
    pub client_id: String,
}

/// A client of a provider's, and the organisation whose own it is: the installation's is nobody's own.
pub(super) type ClientKey = (Option<OrgId>, ProviderId, ClientRef);

impl ClientRef {
    /// What tells this client from every other, where `org` uses it.
    pub(super) fn key(&self, org: OrgId, provider: &ProviderId) -> ClientKey {
        let org = match self.owner {
            ClientOwner::Organization => Some(org),
            ClientOwner::Instance => None,
        };
        (org, provider.clone(), self.clone())
    }
}

/// A client that is ready to be used.
#[derive(Debug)]
pub struct Client {
    /// Which one.
    pub reference: ClientRef,
    /// Its secret; `None` for a public client.
    pub secret: Option<Secret>,
}

impl Client {
    /// What requests to a provider's endpoints are made by, with this client.
    pub(super) fn via<'v>(
        &'v self,
        provider: &'v Provider,
        bound: &'v Bound,
        (endpoints, now): (Option<&'v Endpoints>, Timestamp),
    ) -> Via<'v> {
        Via {
            provider,
            bound,
            client: token::Client {
                id: &self.reference.client_id,
                secret: self.secret.as_ref(),
            },
            redirect_uri: None,
            now,
            endpoints,
        }
    }
}

/// What an organisation, or the operator, said of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientInfo {
    /// The provider.
    pub provider: ProviderId,
    /// The provider's name for the client.
    pub client_id: String,
    /// The scopes that every flow asks for besides the provider's own.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The hosts that it is for, where a provider lets people choose one: parameter by parameter. Its secret
    /// goes to no other.
    #[serde(default)]
    pub hosts: BTreeMap<String, String>,
    /// Whether it has a secret.
    pub confidential: bool,
    /// When it was first set.
    pub created: Timestamp,
    /// When it was last set.
    pub updated: Timestamp,
}

/// The longest client id, in characters.
pub const MAX_CLIENT_ID: usize = 512;
