//! A token that nothing refreshes, and that an API refused before its time (401).
//!
//! A 401 may be about the call rather than the token, so another has to agree before the grant is over:
//! the provider's identity endpoint, which wants no right but the token; where it has none, the API
//! itself, a minute later, if nothing worked in between. It is asked once a minute at most, and in a task
//! of its own: nobody waits for it.

use std::sync::Arc;

use crate::audit::{Action, Outcome, Recorded};
use crate::clock::Timestamp;
use crate::oauth::accounts::{Accounts, write_state};
use crate::oauth::client::{self, ClientError};
use crate::oauth::connection::{Failure, Health, Kept, Revoked, SetKey, TokenState};
use crate::oauth::event;
use crate::oauth::provider::spec::IdentitySource;
use crate::oauth::token::{Class, Subject, Told, classify, identity_request};
use crate::oauth::tokens::SealedTokens;
use crate::store::StoreError;
use crate::vault::{Unsealed, VaultError};

use super::access::Lent;
use super::attempt::{Subjects, vault_org};

/// The code of an access token that was refused, and is not refreshed.
const REFUSED: &str = "access_refused";

/// How long after a refusal another counts, in milliseconds.
const ASK_AGAIN: i64 = 60_000;

/// What a second look says of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// It is dead.
    Dead,
    /// It works.
    Works,
    /// Nothing, for now.
    Nothing,
}

impl Accounts {
    /// Looks whether a token that an API refused, and that nothing refreshes, is dead.
    pub(super) async fn doubt(self: Arc<Self>, vault: Unsealed, key: SetKey, version: u64) {
        if let Err(error) = self.try_doubt(&vault, &key, version).await {
            tracing::warn!(%error, "a token that an API refused could not be looked at");
        }
    }

    async fn try_doubt(
        &self,
        vault: &Unsealed,
        key: &SetKey,
        version: u64,
    ) -> Result<(), VaultError> {
        let roster = self.roster(vault).await?;
        let (Some(connection), Some(state)) = (roster.connection(key.0), roster.state(key)) else {
            return Ok(());
        };
        let Some(provider) = self.provider(&connection.value.provider) else {
            return Ok(());
        };
        let (old, now) = (&state.value, vault.now());
        let early = |until: Timestamp| until.millis_since(now) > 0;
        if old.version != version || old.is_revoked() || old.next_attempt.is_some_and(early) {
            return Ok(());
        }
        let event = event::about(vault, Action::OauthRefresh, &connection.value);
        let event = event.code("token_check");
        let recorded = vault.journal().record(event).await?;
        let about = Subjects {
            vault,
            roster: &roster,
            provider: &provider,
            connection,
            recorded: &recorded,
        };
        let word = self.second_word(&about, &state).await?;
        self.believe(&about, &state, word).await?;
        recorded.outcome(match word {
            Word::Works => Outcome::success(),
            Word::Dead => Outcome::failed(REFUSED),
            Word::Nothing => Outcome::unknown(),
        });
        Ok(())
    }

    /// Asks whoever can agree that the token is dead.
    async fn second_word(
        &self,
        about: &Subjects<'_>,
        state: &Kept<TokenState>,
    ) -> Result<Word, VaultError> {
        let identity = about.provider.spec().identity.as_ref();
        if identity.is_none_or(|identity| identity.source != IdentitySource::Request) {
            let now = about.vault.now();
            let first = state.value.doubted;
            let twice = first.is_some_and(|first| now.millis_since(first) >= ASK_AGAIN);
            return Ok(if twice { Word::Dead } else { Word::Nothing });
        }
        let (connection, provider) = (&about.connection.value, about.provider);
        let (org, now) = (vault_org(about)?, about.vault.now());
        let reference = &connection.client;
        let by = client::reopen(about.vault, &org, provider.id(), reference, about.recorded).await;
        let by = match by {
            Ok(by) => by,
            Err(ClientError::Vault(error)) => return Err(error),
            Err(_) => return Ok(Word::Nothing),
        };
        let tokens = SealedTokens::find(about.vault, connection, &state.value).await?;
        let tokens = tokens.open(about.recorded)?;
        let bound = &connection.bound;
        let Ok(endpoints) = self.endpoints(connection.org, (provider, bound), now).await else {
            return Ok(Word::Nothing);
        };
        let via = by.via(provider, bound, (endpoints.as_deref(), now));
        let Ok(request) = identity_request(&via, &tokens.held()) else {
            return Ok(Word::Nothing);
        };
        let Ok(reply) = self.outbound.send(connection.org, request).await else {
            return Ok(Word::Nothing);
        };
        let subject = Subject::Identity;
        let told = Told::Reply {
            reply: &reply,
            subject,
        };
        Ok(match reply.status {
            401 => Word::Dead,
            200..=299 => Word::Works,
            _ if classify(provider, told, now).class == Class::RevokedCandidate => Word::Dead,
            _ => Word::Nothing,
        })
    }

    /// Writes down what is believed of the token now.
    async fn believe(
        &self,
        about: &Subjects<'_>,
        old: &Kept<TokenState>,
        word: Word,
    ) -> Result<(), VaultError> {
        let (now, before) = (about.vault.now(), &*old.value);
        let again = Some(now.plus_millis(ASK_AGAIN));
        let new = match word {
            Word::Dead => TokenState {
                health: Health::Revoked(Revoked::ProviderSaid),
                access_refused: true,
                doubted: None,
                next_attempt: None,
                failure: Some(Failure {
                    class: Class::RevokedCandidate.as_str().to_owned(),
                    code: REFUSED.to_owned(),
                    at: now,
                }),
                ..before.clone()
            },
            Word::Works => TokenState {
                doubted: None,
                next_attempt: again,
                ..before.clone()
            },
            Word::Nothing => TokenState {
                doubted: before.doubted.or(Some(now)),
                next_attempt: again,
                ..before.clone()
            },
        };
        let turn = self.announce(about, (before, &new)).await?;
        let written = write_state(about.vault, about.roster, (new, old), about.recorded).await;
        match written {
            Ok(_) => {
                self.turned(about.provider, turn);
                Ok(())
            }
            // Renewed or forgotten meanwhile: it was another token that was looked at.
            Err(VaultError::Store(StoreError::Precondition) | VaultError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The API took the access token: a refusal before this one was not about the token.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn access_worked(
        &self,
        vault: &Unsealed,
        lent: &Lent,
        recorded: &Recorded,
    ) -> Result<(), VaultError> {
        let roster = self.roster(vault).await?;
        let Some(state) = roster.state(&lent.key()) else {
            return Ok(());
        };
        let old = &state.value;
        let refreshed = old.refreshable || old.is_revoked();
        if old.version != lent.version() || old.doubted.is_none() || refreshed {
            return Ok(());
        }
        let new = TokenState {
            doubted: None,
            ..(**old).clone()
        };
        match write_state(vault, &roster, (new, &state), recorded).await {
            Ok(_) | Err(VaultError::Store(StoreError::Precondition) | VaultError::NotFound) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
