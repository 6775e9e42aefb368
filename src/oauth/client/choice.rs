//! What is said of a client, and which one is used.

use std::collections::BTreeMap;

use super::{Client, ClientInfo, ClientOwner, ClientRef, ClientShelf, MAX_CLIENT_ID};
use crate::audit::Recorded;
use crate::name::ProviderId;
use crate::secret::Secret;
use crate::vault::{OrgKeys, Unsealed, VaultError};

/// Why a client is not set, found or removed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is none.
    #[error("there is no such client")]
    NotFound,
    /// A new client id comes without its secret.
    #[error("a client id that is new here comes with its own secret, or none: say which")]
    SecretNeeded,
    /// A rule is broken; the text states the rule.
    #[error("{0}")]
    Rule(&'static str),
    /// The vault refused or failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl From<crate::store::StoreError> for ClientError {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Vault(error.into())
    }
}

/// What to do with the secret when a client is set.
#[derive(Debug)]
pub enum NewSecret {
    /// The one that is stored stays; for a client that is new there must be one.
    Keep,
    /// This one, in place of any other.
    Set(Secret),
    /// It has none: a public client.
    None,
}

/// What is said of a client when it is set.
#[derive(Debug)]
pub struct NewClient {
    /// The provider.
    pub provider: ProviderId,
    /// The provider's name for it.
    pub client_id: String,
    /// Its secret.
    pub secret: NewSecret,
    /// The hosts that it is for, from [`Provider::bind_hosts`](crate::oauth::provider::Provider::bind_hosts).
    pub hosts: BTreeMap<String, String>,
    /// The scopes that flows ask for when nothing else is said; `None` leaves them.
    pub scopes: Option<Vec<String>>,
}

pub(super) fn check(new: &NewClient) -> Result<(), ClientError> {
    let id = &new.client_id;
    let length = id.chars().count();
    if !(1..=MAX_CLIENT_ID).contains(&length) || id.chars().any(char::is_control) {
        return Err(ClientError::Rule(
            "a client id has 1 to 512 characters and no control characters",
        ));
    }
    let scopes = new.scopes.as_deref().unwrap_or_default();
    let sound = |scope: &String| {
        (1..=256).contains(&scope.len()) && scope.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if scopes.len() > 100 || !scopes.iter().all(sound) {
        return Err(ClientError::Rule(
            "at most 100 scopes, each of 1 to 256 visible ASCII characters",
        ));
    }
    Ok(())
}

/// The client that an organisation's new flows use for a provider, and what was said of it: its own,
/// else the installation's.
///
/// # Errors
/// [`ClientError::NotFound`] when there is neither.
pub async fn chosen(
    vault: &Unsealed,
    org: &OrgKeys,
    provider: &ProviderId,
) -> Result<(ClientRef, ClientInfo), ClientError> {
    for owner in [ClientOwner::Organization, ClientOwner::Instance] {
        let shelf = ClientShelf::of(owner, vault, org);
        if let Some(info) = shelf.info(provider).await? {
            let reference = ClientRef {
                owner,
                client_id: info.client_id.clone(),
            };
            return Ok((reference, info));
        }
    }
    Err(ClientError::NotFound)
}

/// A client that made a connection, with its secret.
///
/// # Errors
/// [`ClientError::NotFound`] when its credentials are gone.
pub async fn reopen(
    vault: &Unsealed,
    org: &OrgKeys,
    provider: &ProviderId,
    client: &ClientRef,
    recorded: &Recorded,
) -> Result<Client, ClientError> {
    let shelf = ClientShelf::of(client.owner, vault, org);
    shelf.open(provider, &client.client_id, recorded).await
}
