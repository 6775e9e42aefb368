//! Lending an access token: fresh enough, or an honest reason why not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::audit::Recorded;
use crate::clock::Timestamp;
use crate::crypto::{Digest, sha256_parts};
use crate::id::ConnectionId;
use crate::oauth::accounts::{Accounts, write_state};
use crate::oauth::connection::{Connection, Health, Kept, Revoked, Roster, SetKey, TokenState};
use crate::oauth::provider::spec::RefreshMode;
use crate::oauth::tokens::SealedTokens;
use crate::secret::Secret;
use crate::vault::{Unsealed, VaultError};

use super::plan::{Plan, ends_by_itself, plan};

/// How long a caller waits for a refresh.
const PATIENCE: Duration = Duration::from_secs(25);

/// How often, and after which time, tokens are looked for again that do not fit their state.
const MOST_LOOKS: u8 = 100;
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A token that was refreshed so many milliseconds ago is as good as any that could be had.
const FRESH: i64 = 60_000;

/// Why there is no access token.
#[derive(Debug, thiserror::Error)]
pub enum AccessFault {
    /// The connection is gone.
    #[error("there is no such connection")]
    Gone,
    /// The grant is over.
    #[error("the grant is over: {}", .0.code())]
    Reauth(Revoked),
    /// Its access token ended, and nothing refreshes it.
    #[error("the access token has ended, and the provider gave nothing to refresh it with")]
    Ended,
    /// The client that made it does not work any more.
    #[error("the client that made the connection is refused by the provider")]
    Client,
    /// The provider could not be reached, or refuses for now.
    #[error("the token could not be refreshed for now")]
    Unavailable {
        /// When it is tried again.
        again: Option<Timestamp>,
    },
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl AccessFault {
    /// A stable word.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Gone => "connection_gone",
            Self::Reauth(why) => why.code(),
            Self::Ended => "expired",
            Self::Client => "client_config",
            Self::Unavailable { .. } => "token_unavailable",
            Self::Vault(_) => "vault",
        }
    }
}

/// An access token that may be lent, still sealed.
#[derive(Debug)]
pub struct Lent {
    /// Whose connection it is of.
    pub connection: Arc<Connection>,
    sealed: SealedTokens,
    set: String,
    version: u64,
}

impl Lent {
    /// Opens it. That it is used is in the journal.
    ///
    /// # Errors
    /// When the record was altered.
    pub fn open(&self, recorded: &Recorded) -> Result<Secret, VaultError> {
        Ok(self.sealed.open(recorded)?.access)
    }

    /// The token set that it is of.
    pub(super) fn key(&self) -> SetKey {
        (self.connection.id, self.set.clone())
    }

    /// Which of its tokens.
    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    /// What changes with the tokens, and only with them.
    #[must_use]
    pub fn identity(&self) -> Digest {
        let version = self.version.to_be_bytes();
        sha256_parts(&[self.connection.id.bytes(), self.set.as_bytes(), &version])
    }
}

impl Accounts {
    /// The access token of a connection's set, refreshed first where it must be.
    ///
    /// # Errors
    /// [`AccessFault`]: which of "again later", "an admin must act" and "connect again" it is.
    pub async fn lend(
        self: &Arc<Self>,
        vault: &Unsealed,
        id: ConnectionId,
        set: &str,
    ) -> Result<Lent, AccessFault> {
        let roster = self.roster(vault).await?;
        let key: SetKey = (id, set.to_owned());
        let (connection, state) = both(&roster, &key)?;
        let provider = self.provider(&connection.provider);
        let provider = provider.ok_or(AccessFault::Client)?;
        let file = &provider.spec().refresh;
        let dies = file.access_dies_on_refresh;
        let waiting = match plan(&state.value, file, vault.now()) {
            // One that dies of the refresh that is under way is not lent.
            Plan::Use => match dies.then(|| self.flights.join(&key)).flatten() {
                Some(refresh) => Some(refresh),
                None => return lent(vault, &roster, &key).await,
            },
            Plan::UseAndRefresh => {
                // Nobody waits for its end.
                drop(self.start(vault, &key));
                return lent(vault, &roster, &key).await;
            }
            Plan::RefreshFirst | Plan::Refresh => Some(self.start(vault, &key)),
            Plan::Wait(_) | Plan::Over => None,
        };
        if let Some(waiting) = waiting {
            let began = Instant::now();
            waiting.ended(PATIENCE).await;
            self.meter.waited(began.elapsed());
        }
        let (_, state) = both(&roster, &key)?;
        if dies && self.flights.join(&key).is_some() {
            // It is still under way, and the token dies of it.
            return Err(AccessFault::Unavailable { again: None });
        }
        match plan(&state.value, file, vault.now()) {
            Plan::Use | Plan::UseAndRefresh | Plan::RefreshFirst => {
                lent(vault, &roster, &key).await
            }
            Plan::Refresh => Err(AccessFault::Unavailable { again: None }),
            Plan::Wait(again) => Err(ended(&state.value, Some(again))),
            Plan::Over => Err(ended(&state.value, None)),
        }
    }

    /// When a set's access token ends by itself, though nobody does anything to it; `None` where something
    /// refreshes it, or where that is not known. What is over already is the inner error: the grant is, or the
    /// token is and nothing refreshes it. Refreshes nothing.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn until(
        &self,
        vault: &Unsealed,
        id: ConnectionId,
        set: &str,
    ) -> Result<Result<Option<Timestamp>, AccessFault>, VaultError> {
        let roster = self.roster(vault).await?;
        let Ok((connection, state)) = both(&roster, &(id, set.to_owned())) else {
            return Ok(Err(AccessFault::Gone));
        };
        let Some(provider) = self.provider(&connection.provider) else {
            return Ok(Ok(None));
        };
        let (state, file) = (&state.value, &provider.spec().refresh);
        Ok(match plan(state, file, vault.now()) {
            Plan::Over => Err(ended(state, None)),
            _ => Ok(ends_by_itself(state, file)),
        })
    }

    /// Starts a refresh of a set, or joins the one that is under way.
    pub(super) fn start(
        self: &Arc<Self>,
        vault: &Unsealed,
        key: &SetKey,
    ) -> super::flight::Waiting {
        self.flights
            .join_or(key, || Arc::clone(self).refresh(vault.clone(), key.clone()))
    }

    /// The API refused the access token before its time (401): it is refreshed before it is lent again.
    /// Only what `lent` was lent from is meant; newer tokens are not touched. Nor is one that was
    /// refreshed a moment ago: an API that refuses that as well would refuse any. One that nothing
    /// refreshes is looked at once more, behind the caller's back.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn access_refused(
        self: &Arc<Self>,
        vault: &Unsealed,
        lent: &Lent,
        recorded: &Recorded,
    ) -> Result<(), VaultError> {
        let roster = self.roster(vault).await?;
        let key: SetKey = (lent.connection.id, lent.set.clone());
        let Ok((connection, state)) = both(&roster, &key) else {
            return Ok(());
        };
        let value = &state.value;
        if value.version != lent.version || value.access_refused {
            return Ok(());
        }
        let provider = self.provider(&connection.provider);
        let mode = provider.map(|provider| provider.spec().refresh.mode);
        let refreshed = value.refreshable && mode == Some(RefreshMode::RefreshToken);
        // What is over already needs no second word.
        if !refreshed && !value.is_revoked() {
            let (vault, version) = (vault.clone(), lent.version);
            let looking = || Arc::clone(self).doubt(vault, key.clone(), version);
            // Nobody waits for its end.
            drop(self.flights.join_or(&key, looking));
            return Ok(());
        }
        let refreshed = value.obtained.millis_since(connection.authorized) > 0;
        let age = vault.now().millis_since(value.obtained);
        if refreshed && (0..FRESH).contains(&age) {
            return Ok(());
        }
        let new = TokenState {
            access_refused: true,
            ..(*state.value).clone()
        };
        match write_state(vault, &roster, (new, &state), recorded).await {
            Ok(_) | Err(VaultError::Store(crate::store::StoreError::Precondition)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn both(roster: &Roster, key: &SetKey) -> Result<(Arc<Connection>, Kept<TokenState>), AccessFault> {
    let connection = roster.connection(key.0).ok_or(AccessFault::Gone)?;
    let state = roster.state(key).ok_or(AccessFault::Gone)?;
    Ok((connection.value, state))
}

/// The tokens of a set, unopened. Newer ones may be stored at this moment, of which the roster hears
/// right after: then it is looked again.
async fn lent(vault: &Unsealed, roster: &Roster, key: &SetKey) -> Result<Lent, AccessFault> {
    let mut looks = 0_u8;
    loop {
        let (connection, state) = both(roster, key)?;
        match SealedTokens::find(vault, &connection, &state.value).await {
            Ok(sealed) => {
                return Ok(Lent {
                    connection,
                    sealed,
                    set: key.1.clone(),
                    version: state.value.version,
                });
            }
            Err(VaultError::Form) if looks < MOST_LOOKS => looks = looks.saturating_add(1),
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn ended(state: &TokenState, again: Option<Timestamp>) -> AccessFault {
    match state.health {
        Health::Revoked(why) => AccessFault::Reauth(why),
        Health::ConfigError => AccessFault::Client,
        Health::Active | Health::Degraded if again.is_none() => AccessFault::Ended,
        Health::Active | Health::Degraded => AccessFault::Unavailable { again },
    }
}
