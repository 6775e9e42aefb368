//! The tokens of a set as they are sealed: one text, under their owner's key.

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::connection::{Connection, Health, SetKey, TokenInfo, TokenState, places};
use super::token::{self, Held};
use crate::audit::Recorded;
use crate::clock::Timestamp;
use crate::crypto::{Owner, Record};
use crate::id::ConnectionId;
use crate::secret::Secret;
use crate::store::{Batch, StoreKey};
use crate::vault::{OrgKeys, StoredValue, Unsealed, VaultError};

/// A set of tokens that is open.
#[derive(Debug)]
pub(super) struct TokenSet {
    /// The access token.
    pub(super) access: Secret,
    /// The refresh token.
    pub(super) refresh: Option<Secret>,
    /// The refresh token before it, which works for a while longer.
    pub(super) previous: Option<Secret>,
}

/// When the tokens of a set end, without them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    expires: Option<Timestamp>,
    refresh_expires: Option<Timestamp>,
    not_before: Option<Timestamp>,
    refreshable: bool,
}

impl Times {
    /// Of an answer.
    pub(super) const fn of(new: &token::Tokens) -> Self {
        Self {
            expires: new.expires_at,
            refresh_expires: new.refresh_expires_at,
            not_before: new.not_before_refresh,
            refreshable: new.refresh.is_some(),
        }
    }

    /// The state of a set that was just granted, at `obtained`. Nothing is held against it.
    pub(super) fn state(
        self,
        (connection, set): SetKey,
        (version, fence): (u64, u64),
        obtained: Timestamp,
    ) -> TokenState {
        TokenState {
            connection,
            set,
            version,
            fence,
            health: Health::Active,
            obtained,
            expires: self.expires,
            refresh_expires: self.refresh_expires,
            refreshable: self.refreshable,
            previous_until: None,
            failures: 0,
            suspicious: 0,
            suspicious_since: None,
            doubted: None,
            next_attempt: self.not_before,
            failure: None,
            attempt: None,
            lost: false,
            access_refused: false,
        }
    }
}

/// How they are written. Dropped, the texts wipe themselves.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct Written {
    a: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    r: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    p: Option<String>,
}

/// A set of tokens that is not open: what may be lent.
#[derive(Debug)]
pub(super) struct SealedTokens(StoredValue<TokenInfo>);

impl TokenSet {
    /// The tokens of an answer, and what is kept of the ones before: an answer without a refresh token
    /// leaves the old one (R1).
    #[must_use]
    pub(super) fn renewed(new: token::Tokens, old: Option<Self>, keep_previous: bool) -> Self {
        let (old_refresh, _) = old.map_or((None, None), |old| (old.refresh, old.previous));
        match new.refresh {
            Some(refresh) => {
                let spent = old_refresh.filter(|old| keep_previous && !old.same_as(&refresh));
                Self {
                    access: new.access,
                    refresh: Some(refresh),
                    previous: spent,
                }
            }
            None => Self {
                access: new.access,
                refresh: old_refresh,
                previous: None,
            },
        }
    }

    /// Whether a token of the one is one of the other.
    #[must_use]
    pub(super) fn shares_with(&self, other: &Self) -> bool {
        let same = |one: &Option<Secret>, other: &Option<Secret>| {
            one.as_ref()
                .zip(other.as_ref())
                .is_some_and(|(one, other)| one.same_as(other))
        };
        self.access.same_as(&other.access) || same(&self.refresh, &other.refresh)
    }

    /// The tokens as requests take them.
    #[must_use]
    pub(super) const fn held(&self) -> Held<'_> {
        Held {
            access: &self.access,
            refresh: self.refresh.as_ref(),
            id_token: None,
        }
    }

    fn write(&self) -> Result<Secret, VaultError> {
        let written = Written {
            a: text(&self.access)?,
            r: self.refresh.as_ref().map(text).transpose()?,
            p: self.previous.as_ref().map(text).transpose()?,
        };
        let json = serde_json::to_vec(&written).map_err(|_| VaultError::Form)?;
        Ok(Secret::take(json))
    }

    /// Puts the tokens, sealed, into `batch` as version `version` of a connection's set.
    ///
    /// # Errors
    /// When a token is not printable ASCII, or sealing fails.
    pub(super) async fn put(
        &self,
        vault: &Unsealed,
        (org, owner): (&OrgKeys, Owner),
        batch: &mut Batch,
        info: &TokenInfo,
        recorded: &Recorded,
    ) -> Result<(), VaultError> {
        let place = places::value(org, info.connection, &info.set);
        let value = self.write()?;
        vault
            .put_credential(batch, (org, owner, place), info, &value, recorded)
            .await
    }

    /// Seals the tokens for another place than the store's.
    ///
    /// # Errors
    /// As [`TokenSet::put`].
    pub(super) async fn seal(
        &self,
        vault: &Unsealed,
        (org, owner): (&OrgKeys, Owner),
        place: &StoreKey,
        info: &TokenInfo,
        recorded: &Recorded,
    ) -> Result<Record, VaultError> {
        let (value, whose) = (self.write()?, (org, owner, place));
        vault.seal_credential(whose, info, &value, recorded).await
    }
}

/// Tokens are printable ASCII: the reader of answers refuses any other.
fn text(token: &Secret) -> Result<String, VaultError> {
    let text = token.expose(|bytes| std::str::from_utf8(bytes).map(str::to_owned));
    text.map_err(|_| VaultError::Form)
}

impl SealedTokens {
    /// The tokens of a set, unopened. They must be those that the state in memory speaks of: older ones
    /// that somebody put back are refused.
    ///
    /// # Errors
    /// [`VaultError::Form`] for any others; when the store fails.
    pub(super) async fn find(
        vault: &Unsealed,
        connection: &Connection,
        state: &TokenState,
    ) -> Result<Self, VaultError> {
        let org = vault.org(connection.org)?;
        let owner = Owner::user(connection.user);
        let stored = find(vault, (&org, owner), connection.id, &state.set).await?;
        let stored = stored.ok_or(VaultError::Form)?;
        let info = stored.0.metadata();
        let sound = info.connection == connection.id
            && info.set == state.set
            && info.version == state.version;
        if sound {
            Ok(stored)
        } else {
            Err(VaultError::Form)
        }
    }

    /// What [`TokenSet::seal`] sealed for `place`, unopened.
    ///
    /// # Errors
    /// When the record was altered, or the store fails.
    pub(super) async fn of_record(
        vault: &Unsealed,
        (org, owner): (&OrgKeys, Owner),
        place: &StoreKey,
        record: &Record,
    ) -> Result<Self, VaultError> {
        let opened = vault.open_credential((org, owner, place), record);
        opened.await.map(Self)
    }

    /// Opens them. That they are used is in the journal.
    ///
    /// # Errors
    /// When the record was altered.
    pub(super) fn open(&self, recorded: &Recorded) -> Result<TokenSet, VaultError> {
        let json = self.0.open(recorded)?;
        let written: Result<Written, _> = json.expose(|json| serde_json::from_slice(json));
        let mut written = Zeroizing::new(written.map_err(|_| VaultError::Form)?);
        let take = |text: &mut String| Secret::take(std::mem::take(text).into_bytes());
        Ok(TokenSet {
            access: take(&mut written.a),
            refresh: written.r.as_mut().map(take),
            previous: written.p.as_mut().map(take),
        })
    }
}

/// The tokens that stand at a connection's place, whatever their state.
pub(super) async fn find(
    vault: &Unsealed,
    (org, owner): (&OrgKeys, Owner),
    connection: ConnectionId,
    set: &str,
) -> Result<Option<SealedTokens>, VaultError> {
    let place = places::value(org, connection, set);
    let found = vault.credential::<TokenInfo>(org, owner, &place).await?;
    Ok(found.map(|(stored, _)| SealedTokens(stored)))
}

/// The tokens that belong to a state.
pub(super) fn info(state: &TokenState) -> TokenInfo {
    TokenInfo {
        connection: state.connection,
        set: state.set.clone(),
        version: state.version,
    }
}
