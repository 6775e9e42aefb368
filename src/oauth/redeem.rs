//! From an answer to a connection: code, tokens, whose account, kept.
//!
//! The code is redeemed once, whatever comes of it (B11). From the moment that tokens have arrived,
//! whatever fails afterwards has them revoked: nothing that was granted is left lying about (B14).

use super::accounts::Accounts;
use super::adopt::{AdoptFault, Grant};
use super::client::{Client, ClientError, ClientRef, reopen};
use super::connection::{MAIN, Subject};
use super::flow::{Failure, FlowKey, Outcome, PendingFlow};
use super::identify::{Identified, brought};
use super::outbound::Silence;
use super::provider::{Bound, Provider};
use super::token::{
    self, CodeGrant, Endpoints, Reply, Subject as Answers, TokenReply, TokenRequest, Tokens, Told,
    Via, classify, code_request, exchange_hops, exchange_request, missing_scopes, read_tokens,
};
use super::unkept::Giver;
use crate::audit::Recorded;
use crate::clock::Timestamp;
use crate::id::{ConnectionId, OrgId, UserId};
use crate::vault::{Unsealed, VaultError};

/// Whose flow it is, and with what it was begun: all that a grant is settled by.
pub(super) struct Asked<'a> {
    pub(super) vault: &'a Unsealed,
    pub(super) recorded: &'a Recorded,
    pub(super) org: OrgId,
    pub(super) user: UserId,
    pub(super) provider: &'a Provider,
    pub(super) client: &'a Client,
    pub(super) redirect_uri: Option<&'a str>,
    pub(super) nonce: Option<&'a str>,
    pub(super) scopes: &'a [String],
    pub(super) replaces: Option<ConnectionId>,
    /// The device flow that ends with the grant.
    pub(super) ends: Option<FlowKey>,
    pub(super) endpoints: Option<&'a Endpoints>,
}

impl Asked<'_> {
    pub(super) fn giver(&self) -> Giver<'_> {
        Giver {
            vault: self.vault,
            provider: self.provider,
            client: self.client,
            endpoints: self.endpoints,
        }
    }

    pub(super) fn via<'v>(&'v self, bound: &'v Bound) -> Via<'v> {
        Via {
            redirect_uri: self.redirect_uri,
            ..self.giver().via(bound)
        }
    }
}

/// A failure of the vault's is no fault of the provider's.
pub(super) fn internal(error: &VaultError) -> Failure {
    match error {
        VaultError::Sealed => Failure::Sealed,
        error => {
            tracing::warn!(%error, "a connection could not be recorded or stored");
            Failure::Internal
        }
    }
}

impl Accounts {
    /// Redeems a flow's answer and keeps what was granted. That the user still is a member was asked
    /// before, and that it is done was recorded.
    ///
    /// # Errors
    /// [`Failure`]: what the person is told. Nothing was kept.
    pub async fn redeem(
        &self,
        vault: &Unsealed,
        flow: &PendingFlow,
        recorded: &Recorded,
    ) -> Result<Outcome, Failure> {
        // A code that is sent must be seen to its end; while the vault is being sealed none is sent.
        let _errand = self.errands.begin().ok_or(Failure::Sealed)?;
        let sent = vault.now();
        if sent.millis_since(flow.deadline()) >= 0 {
            return Err(Failure::Late);
        }
        let provider = flow.provider();
        let client = self.client_of(vault, (flow.org(), provider), flow.client(), recorded);
        let client = client.await?;
        let found = self.endpoints(flow.org(), (provider, flow.bound()), sent);
        let endpoints = found.await.map_err(|_| Failure::TryAgain)?;
        let asked = Asked {
            vault,
            recorded,
            org: flow.org(),
            user: flow.user(),
            provider,
            client: &client,
            redirect_uri: Some(flow.redirect_uri()),
            nonce: flow.nonce(),
            scopes: flow.scopes(),
            replaces: flow.replaces(),
            ends: None,
            endpoints: endpoints.as_deref(),
        };
        let Some(code) = flow.code() else {
            return self.keep_payload(&asked, flow.bound(), sent).await;
        };
        let grant = CodeGrant {
            code,
            verifier: flow.verifier(),
        };
        let via = asked.via(flow.bound());
        let request = code_request(&via, &grant).map_err(|_| Failure::Client)?;
        let reply = self.ask(&asked, request).await?;
        let reply = tokens_of(&asked, flow.bound(), &reply, (Answers::Token, sent))?;
        self.settle_grant(&asked, reply, sent).await
    }

    /// Keeps the account that a signed payload tells of. There is no token, so nothing could be revoked.
    async fn keep_payload(
        &self,
        asked: &Asked<'_>,
        bound: &Bound,
        sent: Timestamp,
    ) -> Result<Outcome, Failure> {
        let account = brought(asked.provider, bound)?;
        let grant = Grant {
            org: asked.org,
            user: asked.user,
            client: asked.client.reference.clone(),
            asked: asked.scopes.to_vec(),
            account,
            resources: Vec::new(),
            subject: None,
            missing: Vec::new(),
            replaces: asked.replaces,
            ends: asked.ends,
            sent,
            bound: bound.clone(),
            scopes: None,
            sets: Vec::new(),
        };
        self.keep_grant(asked, grant).await
    }

    /// A client with its secret, for a flow.
    pub(super) async fn client_of(
        &self,
        vault: &Unsealed,
        (org, provider): (OrgId, &Provider),
        client: &ClientRef,
        recorded: &Recorded,
    ) -> Result<Client, Failure> {
        let keys = vault.org(org).map_err(|error| internal(&error))?;
        let opened = reopen(vault, &keys, provider.id(), client, recorded).await;
        opened.map_err(|error| match error {
            ClientError::Vault(error) => internal(&error),
            _ => Failure::Client,
        })
    }

    /// One exchange with a provider; it is not repeated, since what it carries may be spent.
    pub(super) async fn ask(
        &self,
        asked: &Asked<'_>,
        request: TokenRequest,
    ) -> Result<Reply, Failure> {
        let sent = self.outbound.send(asked.org, request).await;
        sent.map_err(|silence| {
            let (Silence::Unsent(kind) | Silence::Unknown(kind)) = silence;
            tracing::info!(provider = %asked.provider.id(), kind = kind.as_str(), "a provider did not answer");
            Failure::TryAgain
        })
    }

    /// Second hops, ID token, identity; then the grant is kept, or revoked.
    pub(super) async fn settle_grant(
        &self,
        asked: &Asked<'_>,
        first: TokenReply,
        sent: Timestamp,
    ) -> Result<Outcome, Failure> {
        let (reply, hopped) = self.hop(asked, first, sent).await;
        let identified = match hopped {
            Ok(()) => self.identify(asked, &reply, sent).await,
            Err(failure) => Err(failure),
        };
        let missing = missing_scopes(asked.provider, &reply.main);
        let scopes = granted(asked, &reply);
        let bound = reply.bound;
        let mut sets = vec![(MAIN.to_owned(), reply.main)];
        sets.extend(reply.secondary);
        match identified {
            Ok(Identified {
                account,
                subject,
                resources,
            }) => {
                let grant = Grant {
                    org: asked.org,
                    user: asked.user,
                    client: asked.client.reference.clone(),
                    asked: asked.scopes.to_vec(),
                    account,
                    resources,
                    subject,
                    missing,
                    replaces: asked.replaces,
                    ends: asked.ends,
                    sent,
                    bound,
                    scopes,
                    sets,
                };
                self.keep_grant(asked, grant).await
            }
            Err(failure) => {
                self.revoke_unkept(asked, bound, sets, sent).await?;
                Err(failure)
            }
        }
    }

    async fn keep_grant(&self, asked: &Asked<'_>, grant: Grant) -> Result<Outcome, Failure> {
        let shown = grant.account.shown().to_owned();
        let missing = grant.missing.clone();
        let adopted = self
            .adopt(asked.vault, asked.provider, grant, asked.recorded)
            .await;
        match adopted {
            Ok(adopted) => Ok(Outcome::Connected {
                connection: adopted.connection,
                account: shown,
                renewed: adopted.renewed,
                missing,
            }),
            Err(AdoptFault::Mismatch) => Err(Failure::Mismatch),
            Err(AdoptFault::Gone) => Err(Failure::Superseded),
            Err(AdoptFault::Full) => Err(Failure::TooMany),
            Err(AdoptFault::Unstored(unstored)) => {
                Err(self.take_back(&asked.giver(), *unstored).await)
            }
        }
    }

    /// Second hops (`[[token.exchange]]`): each gives the token that counts. What was there before is
    /// handed back when one fails, to be revoked.
    async fn hop(
        &self,
        asked: &Asked<'_>,
        mut reply: TokenReply,
        sent: Timestamp,
    ) -> (TokenReply, Result<(), Failure>) {
        for hop in 0..exchange_hops(asked.provider) {
            let request = {
                let via = asked.via(&reply.bound);
                exchange_request(&via, hop, &reply.main.held())
            };
            let Ok(request) = request else {
                return (reply, Err(Failure::Client));
            };
            let answer = match self.ask(asked, request).await {
                Ok(answer) => answer,
                Err(failure) => return (reply, Err(failure)),
            };
            let what = (Answers::Exchange(hop), sent);
            let next = match tokens_of(asked, &reply.bound, &answer, what) {
                Ok(next) => next,
                Err(failure) => return (reply, Err(failure)),
            };
            let main = Tokens {
                refresh: next.main.refresh.or(reply.main.refresh),
                id_token: next.main.id_token.or(reply.main.id_token),
                scopes: next.main.scopes.or(reply.main.scopes),
                ..next.main
            };
            reply = TokenReply {
                main,
                bound: next.bound,
                ..reply
            };
        }
        (reply, Ok(()))
    }
}

/// The scopes that were granted, those of further sets with the set's name before them.
fn granted(asked: &Asked<'_>, reply: &TokenReply) -> Option<Vec<String>> {
    let mut all = reply.main.scopes.clone();
    for (set, tokens) in &reply.secondary {
        let told = tokens.scopes.iter().flatten();
        let told: Vec<_> = told.map(|scope| format!("{set}:{scope}")).collect();
        if !told.is_empty() {
            // What the main set has is as asked for where the answer does not say.
            all.get_or_insert_with(|| asked.scopes.to_vec())
                .extend(told);
        }
    }
    all
}

/// The tokens of an answer, or what its failure means for the person.
pub(super) fn tokens_of(
    asked: &Asked<'_>,
    bound: &Bound,
    reply: &Reply,
    (subject, sent): (Answers, Timestamp),
) -> Result<TokenReply, Failure> {
    let read = read_tokens(asked.provider, bound, reply, subject, sent);
    read.map_err(|_| {
        let told = Told::Reply { reply, subject };
        let verdict = classify(asked.provider, told, asked.vault.now());
        let code = verdict.code.as_ref().map(ToString::to_string);
        tracing::info!(
            provider = %asked.provider.id(),
            status = reply.status,
            class = verdict.class.as_str(),
            code = code.as_deref().unwrap_or("none"),
            "a provider gave no tokens"
        );
        match verdict.class {
            token::Class::Transient => Failure::TryAgain,
            token::Class::Client => Failure::Client,
            token::Class::RevokedCandidate => Failure::Refused,
            token::Class::Suspicious => Failure::Protocol,
        }
    })
}

/// Whom an ID token speaks of.
pub(super) fn subject_of(claims: &token::IdClaims) -> Subject {
    Subject {
        issuer: claims.issuer().to_owned(),
        subject: claims.subject().to_owned(),
    }
}
