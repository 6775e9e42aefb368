//! Tokens that the store did not take (step 7). The provider gave them once, and what it gave before may
//! be spent: so they go, sealed, into a file beside the store, and from there into the store as soon as that
//! takes anything again, which after a failed write is after the next start or unsealing.
//!
//! Those that are not to be kept (the connection was forgotten or renewed, they are somebody else's) go the
//! same way to where they are revoked. Where the file cannot be written either, the provider is asked at once.

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::attempt::{Subjects, vault_org};
use super::success::Said;
use crate::audit::{Action, Outcome, Recorded};
use crate::crypto::{Owner, Record};
use crate::id::{OrgId, UserId};
use crate::oauth::accounts::{Accounts, put_connection, put_state};
use crate::oauth::client::Client;
use crate::oauth::connection::{Connection, Roster, SetKey, TokenInfo, TokenState};
use crate::oauth::event;
use crate::oauth::tokens::{SealedTokens, TokenSet, info};
use crate::oauth::unkept::{Giver, Unstored};
use crate::store::{Batch, Class, SpoolName, StoreError, StoreKey};
use crate::vault::{OrgKeys, Unsealed, VaultError};

/// How often a state is read again that somebody else has written to.
const TRIES: u32 = 20;

/// What stands beside tokens in the spool.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    /// The connection, as it was when they were asked for.
    connection: Connection,
    /// The set that they are of.
    set: String,
    /// The state that they make; none for tokens that are to be revoked.
    state: Option<TokenState>,
    /// What their answer said of the connection.
    said: Said,
}

fn note_place(name: &SpoolName) -> StoreKey {
    StoreKey::new(Class::Spooled, &[b"note", name])
}

fn tokens_place(name: &SpoolName) -> StoreKey {
    StoreKey::new(Class::Spooled, &[b"tokens", name])
}

impl Accounts {
    /// Puts tokens that are to be kept into the spool: where they are, if that could be done.
    pub(super) async fn spool(
        &self,
        about: &Subjects<'_>,
        (state, said): (&TokenState, &Said),
        tokens: &TokenSet,
    ) -> Option<SpoolName> {
        let note = Note {
            connection: (*about.connection.value).clone(),
            set: state.set.clone(),
            state: Some(state.clone()),
            said: said.clone(),
        };
        let written = write(about, &note, tokens).await;
        written
            .inspect_err(|error| tracing::warn!(%error, "new tokens could not be spooled"))
            .ok()
    }

    /// They are where they belong.
    pub(super) async fn unspool(&self, about: &Subjects<'_>, spooled: Option<SpoolName>) {
        if let Some(name) = spooled {
            forget(about.vault, name).await;
        }
    }

    /// Has tokens revoked that a refresh brought and that are not kept: by the outbox, by way of the spool, or
    /// at once, in this order.
    ///
    /// # Errors
    /// When none of it could be done, nor the provider be asked: then they live on upstream until they end.
    pub(super) async fn give_up(
        &self,
        about: &Subjects<'_>,
        (set, client): (&str, Option<&Client>),
        tokens: TokenSet,
    ) -> Result<(), VaultError> {
        let connection = (*about.connection.value).clone();
        let sets = [(set.to_owned(), tokens)];
        let discarded = self.discard(about.vault, connection.clone(), &sets, about.recorded);
        let Err(error) = discarded.await else {
            return Ok(());
        };
        tracing::warn!(%error, "tokens that are to be revoked could not be stored");
        let note = Note {
            connection,
            set: set.to_owned(),
            state: None,
            said: Said::default(),
        };
        let [(_, tokens)] = &sets;
        let Err(worse) = write(about, &note, tokens).await else {
            self.meter.unstored();
            return Ok(());
        };
        tracing::warn!(error = %worse, "nor could they be spooled");
        let Some(client) = client else {
            self.meter.unstored();
            return Err(error);
        };
        let (provider, now) = (about.provider, about.vault.now());
        let connection = note.connection;
        let place = (provider, &connection.bound);
        let endpoints = self.endpoints(connection.org, place, now).await;
        let endpoints = endpoints.unwrap_or_default();
        let giver = Giver {
            vault: about.vault,
            provider,
            client,
            endpoints: endpoints.as_deref(),
        };
        let unstored = Unstored {
            error,
            connection: connection.clone(),
            sets: Vec::from(sets),
        };
        let told = self.take_back(&giver, unstored).await;
        tracing::warn!(code = told.code(), "they were given back");
        Ok(())
    }

    /// Takes out of the spool what the store takes now. What fails for one holds up no other, and is tried
    /// again at the next pass.
    pub(in crate::oauth) async fn empty_spool(&self, vault: &Unsealed, roster: &Roster) {
        let found = match vault.spooled().await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "the spool cannot be read");
                return;
            }
        };
        for (name, records) in found {
            let file = HEXLOWER.encode(&name);
            let Some([note, tokens]) = records.as_deref() else {
                tracing::warn!(
                    file,
                    "a file in the spool is damaged; it is left where it is"
                );
                continue;
            };
            let records = (note, tokens);
            match self.settle_spooled(vault, roster, &name, records).await {
                Ok(true) => forget(vault, name).await,
                Ok(false) => {}
                Err(error) => tracing::warn!(file, %error, "spooled tokens could not be stored"),
            }
        }
    }

    /// Stores what is in a file of the spool, or has it revoked. Whether the file is of no more use.
    async fn settle_spooled(
        &self,
        vault: &Unsealed,
        roster: &Roster,
        name: &SpoolName,
        (note, tokens): (&Record, &Record),
    ) -> Result<bool, VaultError> {
        let (org, note) = open(vault, name, note)?;
        let key: SetKey = (note.connection.id, note.set.clone());
        if self.flights.has(&key) {
            return Ok(false);
        }
        let whose = (&*org, Owner::user(note.connection.user));
        let place = tokens_place(name);
        let tokens = SealedTokens::of_record(vault, whose, &place, tokens).await?;
        let event = event::about(vault, Action::OauthRefresh, &note.connection);
        let recorded = vault.journal().record(event.code("spooled")).await?;
        let tokens = tokens.open(&recorded)?;
        let kept = self
            .place(vault, (roster, &*org), &note, (tokens, &recorded))
            .await;
        recorded.outcome(match &kept {
            Ok(true) => Outcome::success(),
            Ok(false) => Outcome::failed("superseded"),
            Err(_) => Outcome::failed("not_stored"),
        });
        kept.map(|_| true)
    }

    /// Puts tokens where they belong: whether they are kept.
    async fn place(
        &self,
        vault: &Unsealed,
        (roster, org): (&Roster, &OrgKeys),
        note: &Note,
        (tokens, recorded): (TokenSet, &Recorded),
    ) -> Result<bool, VaultError> {
        let key: SetKey = (note.connection.id, note.set.clone());
        let mut tries = 0;
        // One that was authorised anew has other tokens since, of another grant.
        let current = || {
            let found = roster.state(&key).zip(roster.connection(key.0))?;
            let same = found.1.value.authorized == note.connection.authorized;
            same.then_some(found)
        };
        while let Some((state, (old, connection))) = note.state.as_ref().zip(current()) {
            // A write that failed may have been done all the same.
            if old.value.version >= state.version {
                return Ok(true);
            }
            let new = TokenState {
                fence: old.value.fence,
                ..state.clone()
            };
            let (mut batch, place) = (Batch::new(), info(&new));
            let kept = put_state(vault, org, &mut batch, (new, Some(&old))).await?;
            let changed = note.said.connection(&connection.value);
            let changed = match changed {
                Some(changed) => {
                    let change = (changed, Some(&connection));
                    Some(put_connection(vault, org, &mut batch, change).await?)
                }
                None => None,
            };
            let whose = (org, Owner::user(note.connection.user));
            tokens
                .put(vault, whose, &mut batch, &place, recorded)
                .await?;
            match vault.commit(batch, recorded).await {
                Ok(()) => {
                    roster.update(kept, changed);
                    return Ok(true);
                }
                Err(VaultError::Store(StoreError::Precondition)) if tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
        let sets = [(note.set.clone(), tokens)];
        let connection = note.connection.clone();
        self.discard_into(vault, roster, (connection, &sets), recorded)
            .await?;
        self.wake();
        Ok(false)
    }
}

/// Whether tokens of somebody's are in the spool.
pub(in crate::oauth) async fn has_spooled(
    vault: &Unsealed,
    (org, user): (OrgId, UserId),
) -> Result<bool, VaultError> {
    let found = vault.spooled().await?;
    let theirs = |name: &SpoolName, records: &Option<Vec<Record>>| {
        let Some([note, _]) = records.as_deref() else {
            return false;
        };
        let note = open(vault, name, note).map(|(_, note)| note.connection);
        note.is_ok_and(|whose| whose.org == org && whose.user == user)
    };
    Ok(found.iter().any(|(name, records)| theirs(name, records)))
}

/// Takes a file out of the spool. One that stays is seen to be of no use at the next pass.
async fn forget(vault: &Unsealed, name: SpoolName) {
    let spool = vault.spool().clone();
    let removed = tokio::task::spawn_blocking(move || spool.remove(name)).await;
    if let Ok(Err(error)) = removed {
        tracing::warn!(%error, "a file could not be taken out of the spool");
    }
}

/// Sees to it that there is room for tokens when the disk has none.
pub(super) async fn keep_room(vault: &Unsealed) {
    let spool = vault.spool().clone();
    let kept = tokio::task::spawn_blocking(move || spool.keep_room()).await;
    if let Ok(Err(error)) = kept {
        tracing::warn!(%error, "no room could be kept for tokens that the store does not take");
    }
}

async fn write(
    about: &Subjects<'_>,
    note: &Note,
    tokens: &TokenSet,
) -> Result<SpoolName, VaultError> {
    let (vault, org) = (about.vault, vault_org(about)?);
    let name: SpoolName = vault.random().bytes()?;
    let place = note_place(&name);
    let sealed = vault.seal_state(org.kek(), org.id(), Owner::SYSTEM, &place, note)?;
    let info = TokenInfo {
        connection: note.connection.id,
        set: note.set.clone(),
        version: note.state.as_ref().map_or(0, |state| state.version),
    };
    let whose = (&*org, Owner::user(note.connection.user));
    let place = tokens_place(&name);
    let tokens = tokens
        .seal(vault, whose, &place, &info, about.recorded)
        .await?;
    let spool = vault.spool().clone();
    let put = tokio::task::spawn_blocking(move || spool.put(name, &[sealed, tokens]));
    let put = put.await.map_err(|_| VaultError::Form)?;
    put.map_err(|error| VaultError::Io {
        what: "the spool",
        kind: error.kind(),
    })?;
    tracing::warn!("tokens that the store does not take are in the spool");
    Ok(name)
}

/// What stands in a note, and whose it is. Its file does not say of which organisation it is: one key opens
/// it.
fn open(
    vault: &Unsealed,
    name: &SpoolName,
    record: &Record,
) -> Result<(std::sync::Arc<OrgKeys>, Note), VaultError> {
    let place = note_place(name);
    for id in vault.org_ids() {
        let org = vault.org(id)?;
        let opened = vault.open_state(org.kek(), id, Owner::SYSTEM, &place, record);
        if let Ok(note) = opened {
            return Ok((org, note));
        }
    }
    Err(VaultError::Form)
}
