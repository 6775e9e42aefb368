//! Whose account it is: asked before anything is kept (B13).

use super::accounts::Accounts;
use super::connection::{self, Resource, Subject};
use super::flow::Failure;
use super::provider::spec::IdentitySource;
use super::provider::{Bound, Provider};
use super::redeem::{Asked, subject_of};
use super::token::{
    self, Account, Document, Expected, IdClaims, Proof, TokenReply, check_id_token,
    identity_request, issuer_of, read_account, read_identity, read_listed, read_resources,
    resources_request,
};
use crate::clock::Timestamp;

/// How often an identity is asked for before that is given up (B14).
const TRIES: u32 = 2;

/// The longest text of an account that is kept, in characters.
const MAX_TEXT: usize = 256;

/// Whose account it is.
pub(super) struct Identified {
    pub(super) account: connection::Account,
    pub(super) subject: Option<Subject>,
    pub(super) resources: Vec<Resource>,
}

impl Accounts {
    /// Checks the ID token, where there is one, and asks whose account the tokens are of.
    pub(super) async fn identify(
        &self,
        asked: &Asked<'_>,
        reply: &TokenReply,
        now: Timestamp,
    ) -> Result<Identified, Failure> {
        let identity = asked.provider.spec().identity.as_ref();
        let source = identity.ok_or(Failure::NoIdentity)?.source;
        let claims = self.claims(asked, reply, now).await?;
        let mut told = None;
        let account = match source {
            IdentitySource::Request => {
                let (account, document) = self.ask_identity(asked, reply, claims.as_ref()).await?;
                told = Some(document);
                account
            }
            IdentitySource::IdToken => {
                let claims = claims.as_ref().ok_or(Failure::NoIdentity)?;
                read(read_account(asked.provider, claims.value()))?
            }
            IdentitySource::TokenResponse => {
                read(read_account(asked.provider, reply.document.value()))?
            }
            IdentitySource::Callback => {
                let captured = captured(&reply.bound)?;
                read(read_account(asked.provider, &captured))?
            }
        };
        let resources = self.resources(asked, reply, told.as_ref()).await;
        Ok(Identified {
            account: kept(account),
            subject: claims.as_ref().map(subject_of),
            resources,
        })
    }

    /// The claims of the ID token. One that was asked for (by a nonce) and is wrong refuses the whole.
    async fn claims(
        &self,
        asked: &Asked<'_>,
        reply: &TokenReply,
        now: Timestamp,
    ) -> Result<Option<IdClaims>, Failure> {
        let Some(id_token) = &reply.main.id_token else {
            return Ok(None);
        };
        let issuer = match asked.endpoints {
            Some(endpoints) => Some(endpoints.issuer.clone()),
            None => issuer_of(asked.provider, &reply.bound).map_err(|_| Failure::Protocol)?,
        };
        // A file that names no issuer says nothing about ID tokens, and nothing is taken from one.
        let Some(issuer) = issuer else {
            return Ok(None);
        };
        let expected = Expected {
            issuer: &issuer,
            client_id: &asked.client.reference.client_id,
            nonce: asked.nonce,
            access_token: Some(&reply.main.access),
            now,
        };
        for missing in [false, true] {
            let keys = match asked.endpoints {
                Some(endpoints) => self.keys(asked.org, endpoints, missing, now).await,
                None => Ok(None),
            };
            let keys = keys.map_err(|_| Failure::TryAgain)?;
            let proof = keys.as_deref().map_or(Proof::Direct, Proof::Keys);
            match check_id_token(id_token, proof, &expected) {
                Ok(claims) => return Ok(Some(claims)),
                Err(error) if !missing && error.may_need_newer_keys() => {}
                Err(_) => return Err(Failure::Protocol),
            }
        }
        Err(Failure::Protocol)
    }

    async fn ask_identity(
        &self,
        asked: &Asked<'_>,
        reply: &TokenReply,
        claims: Option<&IdClaims>,
    ) -> Result<(Account, Document), Failure> {
        for _ in 0..TRIES {
            let via = asked.via(&reply.bound);
            let request = identity_request(&via, &reply.main.held());
            let Ok(request) = request else {
                return Err(Failure::NoIdentity);
            };
            let Ok(answer) = self.outbound.send(asked.org, request).await else {
                continue;
            };
            let Ok((account, document)) = read_identity(asked.provider, &answer) else {
                continue;
            };
            // The same person as in the ID token (OpenID Connect Core 5.3.2).
            let same = claims.is_none_or(|claims| {
                claims.agrees_with_userinfo(document.value()).is_ok() || !speaks_of(&document)
            });
            return if same {
                Ok((account, document))
            } else {
                Err(Failure::Protocol)
            };
        }
        Err(Failure::NoIdentity)
    }

    /// The sites, tenants or accounts inside the account, where its provider has such: in the identity's own
    /// answer, or asked for. An account whose list is not to be had is connected all the same.
    async fn resources(
        &self,
        asked: &Asked<'_>,
        reply: &TokenReply,
        told: Option<&Document>,
    ) -> Vec<Resource> {
        let mut found = None;
        for _ in 0..TRIES {
            let via = asked.via(&reply.bound);
            found = match resources_request(&via, &reply.main.held()) {
                Ok(None) => told.map(|told| read_resources(asked.provider, told.value())),
                Ok(Some(request)) => {
                    let sent = self.outbound.send(asked.org, request).await;
                    sent.ok()
                        .and_then(|sent| read_listed(asked.provider, &sent))
                }
                Err(_) => None,
            };
            if found.is_some() {
                break;
            }
        }
        let found = found.unwrap_or_default().into_iter();
        found.map(listed).collect()
    }
}

/// The account that the callback named.
pub(super) fn brought(provider: &Provider, bound: &Bound) -> Result<connection::Account, Failure> {
    read(read_account(provider, &captured(bound)?)).map(kept)
}

fn captured(bound: &Bound) -> Result<serde_json::Value, Failure> {
    serde_json::to_value(bound.meta()).map_err(|_| Failure::NoIdentity)
}

fn listed(resource: token::Resource) -> Resource {
    let token::Resource { id, name, url } = resource;
    let url = url.filter(|url| url.len() <= MAX_TEXT);
    Resource { id, name, url }
}

/// Whether an identity's answer names a subject at all: an API of the provider's own need not.
fn speaks_of(document: &Document) -> bool {
    document.value().get("sub").is_some()
}

fn read<E>(account: Result<Account, E>) -> Result<Account, Failure> {
    account.map_err(|_| Failure::NoIdentity)
}

/// An account as it is kept: texts of a bounded length.
pub(super) fn kept(account: Account) -> connection::Account {
    let short = |text: String| match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned(),
        None => text,
    };
    connection::Account {
        id: account.id,
        label: account.name.map(short),
        email: account.email.map(short),
    }
}
