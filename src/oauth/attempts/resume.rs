//! Taking up again what was under way when the vault was sealed, or the broker ended (D4).

use std::sync::Arc;

use super::Attempts;
use super::stored::{CodeOf, Waiting};
use crate::audit::{Action, Outcome as Ended, Recorded};
use crate::clock::Timestamp;
use crate::crypto::{Owner, Record};
use crate::directory::DirectoryError;
use crate::oauth::client::{Client, ClientError, reopen};
use crate::oauth::connection::{Kept, pages, places};
use crate::oauth::device::DeviceGrant;
use crate::oauth::flow::{DeviceAsk, DeviceShown, Failure};
use crate::oauth::provider::Provider;
use crate::secret::Secret;
use crate::store::{StoreError, StoreKey};
use crate::vault::{OrgKeys, Unsealed, VaultError};

impl Attempts {
    /// Takes up what was under way, when this is the first to ask since unsealing.
    ///
    /// # Errors
    /// When the journal or the store fails. What was not taken up then is taken up by the next who asks.
    pub async fn resume(self: &Arc<Self>, vault: &Unsealed) -> Result<(), VaultError> {
        let resumed = self.resumed.load_full();
        let taking = || Box::pin(self.take_all_up(vault));
        resumed.get_or_try_init(taking).await?;
        Ok(())
    }

    async fn take_all_up(self: &Arc<Self>, vault: &Unsealed) -> Result<(), VaultError> {
        let mut found = Vec::new();
        for id in vault.org_ids() {
            let org = vault.org(id)?;
            for (place, record) in pages(vault, &places::device_attempts(&org)).await? {
                match open(vault, &org, &place, &record) {
                    Ok(kept) => found.push(kept),
                    // One that was altered holds up no other.
                    Err(error) => tracing::warn!(%error, "a device flow on disk does not open"),
                }
            }
        }
        // Where there is room for fewer than there are, the oldest give way.
        found.sort_by_key(|kept: &Kept<Waiting>| kept.value.begun);
        for kept in found {
            self.take_up(vault, kept).await?;
        }
        Ok(())
    }

    /// Takes one up, or ends it.
    async fn take_up(
        self: &Arc<Self>,
        vault: &Unsealed,
        kept: Kept<Waiting>,
    ) -> Result<(), VaultError> {
        let (waiting, key) = (Arc::clone(&kept.value), kept.value.key);
        if self.on_disk().contains_key(&key) {
            return Ok(());
        }
        let event = waiting.event(vault, Action::OauthStart);
        let recorded = vault.journal().record(event.code("device_resumed")).await?;
        let going_on = self.go_on(vault, &waiting, &recorded).await?;
        self.on_disk().insert(key, kept);
        let why = match going_on {
            Ok((ask, grant)) => {
                let shown = shown(&waiting, vault.now());
                match self.book.take_up(key, ask, shown, grant, vault.now()) {
                    Ok(_) => {
                        recorded.outcome(Ended::success());
                        self.set_out(key);
                        return Ok(());
                    }
                    Err(_) => Failure::Superseded,
                }
            }
            Err(why) => why,
        };
        recorded.outcome(Ended::failed(why.code()));
        let event = waiting.event(vault, Action::OauthDeny).denied(why.code());
        if let Err(error) = self.deny(vault, key, event).await {
            // Whoever looks next finds it again.
            self.cleared(key);
            return Err(error);
        }
        Ok(())
    }

    /// What is asked, and with what; or why it is over.
    async fn go_on(
        &self,
        vault: &Unsealed,
        waiting: &Waiting,
        recorded: &Recorded,
    ) -> Result<Result<(DeviceAsk, DeviceGrant), Failure>, VaultError> {
        let now = vault.now();
        if now.millis_since(waiting.ends(now)) >= 0 {
            return Ok(Err(Failure::Expired));
        }
        // Whoever began it may have been whom the lockdown was meant for.
        if vault.is_void(waiting.begun) {
            return Ok(Err(Failure::Cancelled));
        }
        let provider = self.accounts.provider(&waiting.provider);
        let Some(provider) = provider.filter(|provider| provider.spec().device.is_some()) else {
            return Ok(Err(Failure::NotEnabled));
        };
        let (org, user) = (waiting.org, waiting.user);
        match self.directory.is_member(vault, org, user).await {
            Ok(true) => {}
            Ok(false) => return Ok(Err(Failure::NotMember)),
            Err(DirectoryError::Vault(error)) => return Err(error),
            Err(_) => return Err(VaultError::Form),
        }
        let keys = vault.org(org)?;
        let Some(handle) = handle(vault, &keys, waiting, recorded).await? else {
            return Ok(Err(Failure::Internal));
        };
        let Some(client) = client(vault, &keys, (&provider, waiting), recorded).await? else {
            return Ok(Err(Failure::Client));
        };
        let grant = DeviceGrant::again(&shown(waiting, now), handle, client);
        let ask = DeviceAsk {
            org,
            user,
            provider,
            bound: waiting.bound.clone(),
            scopes: waiting.scopes.clone(),
            client: waiting.client.clone(),
            replaces: waiting.replaces,
        };
        Ok(Ok((ask, grant)))
    }
}

fn shown(waiting: &Waiting, now: Timestamp) -> DeviceShown {
    DeviceShown {
        expires_at: waiting.ends(now),
        ..waiting.shown.clone()
    }
}

fn open(
    vault: &Unsealed,
    org: &OrgKeys,
    place: &StoreKey,
    record: &Record,
) -> Result<Kept<Waiting>, VaultError> {
    let waiting: Waiting = vault.open_state(org.kek(), org.id(), Owner::SYSTEM, place, record)?;
    let kept = Kept::of(waiting, record);
    let sound = kept.value.org == org.id()
        && *place == places::device_attempt(org, kept.value.key.digest());
    sound.then_some(kept).ok_or(VaultError::Form)
}

/// What the provider is asked with; none when that is gone, or does not open.
async fn handle(
    vault: &Unsealed,
    org: &OrgKeys,
    waiting: &Waiting,
    recorded: &Recorded,
) -> Result<Option<Secret>, VaultError> {
    let place = places::device_code(org, waiting.key.digest());
    let owner = Owner::user(waiting.user);
    let opened = match vault.credential::<CodeOf>(org, owner, &place).await {
        Ok(Some((stored, _))) if stored.metadata().key == waiting.key => stored.open(recorded),
        Ok(_) => return Ok(None),
        Err(error) => Err(error),
    };
    match opened {
        Ok(handle) => Ok(Some(handle)),
        Err(
            error @ (VaultError::Form
            | VaultError::Crypto(_)
            | VaultError::Store(StoreError::Damaged { .. })),
        ) => {
            tracing::warn!(%error, "what a device flow asks with does not open");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The client that it was begun with; none when that is gone.
async fn client(
    vault: &Unsealed,
    org: &OrgKeys,
    (provider, waiting): (&Provider, &Waiting),
    recorded: &Recorded,
) -> Result<Option<Client>, VaultError> {
    match reopen(vault, org, provider.id(), &waiting.client, recorded).await {
        Ok(client) => Ok(Some(client)),
        Err(ClientError::Vault(error)) => Err(error),
        Err(_) => Ok(None),
    }
}
