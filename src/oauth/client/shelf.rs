//! Where clients are kept.
//!
//! Two records each: the credential, found by provider *and* client id, and the choice, found by
//! provider alone, which names the client in use. A new client id makes a new credential and moves
//! the choice; the older credential stays for the connections that it made.

use crate::audit::Recorded;
use crate::clock::Timestamp;
use crate::crypto::{MacKey, Owner};
use crate::id::OrgId;
use crate::name::ProviderId;
use crate::policy::{Permit, WriteClients, WriteSharedClients};
use crate::secret::Secret;
use crate::store::{Batch, Class, Expect, StoreKey};
use crate::vault::{Generations, OrgKeys, Unsealed, VaultError};

use super::choice::check;
use super::{Client, ClientError, ClientInfo, ClientOwner, ClientRef, NewClient, NewSecret};

/// What a public client's credential holds in place of a secret.
const PUBLIC: &[u8] = b"-";

/// Whose shelf: an organisation's, or the installation's.
#[derive(Clone, Copy, Debug)]
pub struct ClientShelf<'a> {
    vault: &'a Unsealed,
    org: Option<&'a OrgKeys>,
}

impl<'a> ClientShelf<'a> {
    /// The shelf of those whose clients these are.
    #[must_use]
    pub const fn of(owner: ClientOwner, vault: &'a Unsealed, org: &'a OrgKeys) -> Self {
        match owner {
            ClientOwner::Organization => Self::of_org(vault, org),
            ClientOwner::Instance => Self::of_installation(vault),
        }
    }

    /// The clients that an organisation brought.
    #[must_use]
    pub const fn of_org(vault: &'a Unsealed, org: &'a OrgKeys) -> Self {
        Self {
            vault,
            org: Some(org),
        }
    }

    /// The installation's clients.
    #[must_use]
    pub const fn of_installation(vault: &'a Unsealed) -> Self {
        Self { vault, org: None }
    }

    const fn owner(&self) -> ClientOwner {
        match self.org {
            Some(_) => ClientOwner::Organization,
            None => ClientOwner::Instance,
        }
    }

    fn index(&self) -> &'a MacKey {
        match self.org {
            Some(org) => org.index(),
            None => self.vault.system_index(),
        }
    }

    fn sealing(&self) -> (&'a Generations, OrgId) {
        match self.org {
            Some(org) => (org.kek(), org.id()),
            None => (self.vault.system_key(), OrgId::from_bytes([0; 16])),
        }
    }

    fn list(&self) -> StoreKey {
        let list = self.index().hash(&[b"own-clients"]);
        StoreKey::new(Class::OwnClient, &[list.get(..16).unwrap_or_default()])
    }

    fn choice_place(&self, provider: &ProviderId) -> StoreKey {
        let list = self.index().hash(&[b"own-clients"]);
        let one = self
            .index()
            .hash(&[b"own-client", provider.as_str().as_bytes()]);
        StoreKey::new(
            Class::OwnClient,
            &[list.get(..16).unwrap_or_default(), &one],
        )
    }

    fn place(&self, provider: &ProviderId, client_id: &str) -> StoreKey {
        let parts = [
            b"client",
            provider.as_str().as_bytes(),
            client_id.as_bytes(),
        ];
        StoreKey::new(Class::Client, &[&self.index().hash(&parts)])
    }

    /// The client in use for a provider.
    ///
    /// # Errors
    /// When the record was altered, or the store fails.
    pub async fn info(&self, provider: &ProviderId) -> Result<Option<ClientInfo>, ClientError> {
        Ok(self.chosen(&self.choice_place(provider)).await?)
    }

    async fn chosen(&self, place: &StoreKey) -> Result<Option<ClientInfo>, VaultError> {
        let Some(record) = self.vault.store().get(place).await? else {
            return Ok(None);
        };
        let (key, org) = self.sealing();
        let info = self
            .vault
            .open_state(key, org, Owner::SYSTEM, place, &record)?;
        Ok(Some(info))
    }

    /// When a client was last set, if it is the one in use for a provider.
    ///
    /// # Errors
    /// When the record was altered, or the store fails.
    pub async fn set_at(
        &self,
        provider: &ProviderId,
        client_id: &str,
    ) -> Result<Option<Timestamp>, VaultError> {
        let place = self.choice_place(provider);
        let chosen = self.chosen(&place).await?;
        let same = chosen.filter(|info| info.client_id == client_id);
        Ok(same.map(|info| info.updated))
    }

    /// Every client in use, in no order.
    ///
    /// # Errors
    /// When a record was altered, or the store fails.
    pub async fn all(&self) -> Result<Vec<ClientInfo>, ClientError> {
        let (prefix, mut after, mut found) = (self.list(), None, Vec::new());
        let (key, org) = self.sealing();
        loop {
            let page = self
                .vault
                .store()
                .scan(&prefix, after.as_ref(), 256)
                .await?;
            let Some((last, _)) = page.last() else {
                return Ok(found);
            };
            after = Some(last.clone());
            for (place, record) in &page {
                found.push(
                    self.vault
                        .open_state(key, org, Owner::SYSTEM, place, record)?,
                );
            }
        }
    }

    /// A client with its secret. That it is used is in the journal.
    ///
    /// # Errors
    /// [`ClientError::NotFound`]; when the record was altered, or the store fails.
    pub async fn open(
        &self,
        provider: &ProviderId,
        client_id: &str,
        recorded: &Recorded,
    ) -> Result<Client, ClientError> {
        let place = self.place(provider, client_id);
        let stored = match self.org {
            Some(org) => self
                .vault
                .credential::<ClientInfo>(org, Owner::ORG_SHARED, &place)
                .await?
                .map(|(stored, _)| stored),
            None => self.vault.installation_credential(&place).await?,
        };
        let stored = stored.ok_or(ClientError::NotFound)?;
        let info = stored.metadata();
        if info.provider != *provider || info.client_id != client_id {
            return Err(VaultError::Form.into());
        }
        let secret = if info.confidential {
            Some(stored.open(recorded)?)
        } else {
            None
        };
        Ok(Client {
            reference: ClientRef {
                owner: self.owner(),
                client_id: client_id.to_owned(),
            },
            secret,
        })
    }

    /// Sets the organisation's own client.
    ///
    /// # Errors
    /// [`ClientError`]; nothing was changed.
    pub async fn set(
        &self,
        _permit: &Permit<WriteClients>,
        new: NewClient,
        recorded: &Recorded,
    ) -> Result<ClientInfo, ClientError> {
        self.put(new, recorded).await
    }

    /// Sets a client of the installation.
    ///
    /// # Errors
    /// [`ClientError`]; nothing was changed.
    pub async fn set_shared(
        &self,
        _permit: &Permit<WriteSharedClients>,
        new: NewClient,
        recorded: &Recorded,
    ) -> Result<ClientInfo, ClientError> {
        self.put(new, recorded).await
    }

    async fn put(&self, new: NewClient, recorded: &Recorded) -> Result<ClientInfo, ClientError> {
        check(&new)?;
        let old = self.info(&new.provider).await?;
        let place = self.place(&new.provider, &new.client_id);
        let stored = self.vault.store().get(&place).await?;
        let now = self.vault.now();
        let same = old.as_ref().filter(|old| old.client_id == new.client_id);
        let mut info = ClientInfo {
            created: old.as_ref().map_or(now, |old| old.created),
            updated: now,
            confidential: true,
            hosts: new.hosts,
            scopes: match new.scopes {
                Some(scopes) => scopes,
                None => old.as_ref().map_or(Vec::new(), |old| old.scopes.clone()),
            },
            provider: new.provider,
            client_id: new.client_id,
        };
        let mut batch = Batch::new();
        match new.secret {
            NewSecret::Keep => {
                // The credential of a client id that was in use before may still be there; what counts
                // is whether the one in use has this id.
                let kept = same.filter(|_| stored.is_some());
                info.confidential = kept.ok_or(ClientError::SecretNeeded)?.confidential;
                batch.expect(place, Expect::Present);
            }
            NewSecret::Set(secret) => {
                self.put_secret(&mut batch, place, &info, &secret, recorded)
                    .await?;
            }
            NewSecret::None => {
                info.confidential = false;
                let nothing = Secret::copy_of(PUBLIC);
                self.put_secret(&mut batch, place, &info, &nothing, recorded)
                    .await?;
            }
        }
        let choice = self.choice_place(&info.provider);
        let (key, org) = self.sealing();
        let sealed = self
            .vault
            .seal_state(key, org, Owner::SYSTEM, &choice, &info)?;
        batch.put(choice, sealed);
        self.vault.commit(batch, recorded).await?;
        Ok(info)
    }

    async fn put_secret(
        &self,
        batch: &mut Batch,
        place: StoreKey,
        info: &ClientInfo,
        secret: &Secret,
        recorded: &Recorded,
    ) -> Result<(), ClientError> {
        match self.org {
            Some(org) => {
                let at = (org, Owner::ORG_SHARED, place);
                self.vault
                    .put_credential(batch, at, info, secret, recorded)
                    .await?;
            }
            None => self
                .vault
                .put_installation_credential(batch, place, info, secret)?,
        }
        Ok(())
    }

    /// Stops using the organisation's own client. Its credentials stay while `in_use` says that a
    /// connection needs them.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] when there is none.
    pub async fn remove(
        &self,
        _permit: &Permit<WriteClients>,
        provider: &ProviderId,
        in_use: impl Fn(&ClientRef) -> bool,
        recorded: &Recorded,
    ) -> Result<(), ClientError> {
        self.take_away(provider, in_use, recorded).await
    }

    /// The same for a client of the installation.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] when there is none.
    pub async fn remove_shared(
        &self,
        _permit: &Permit<WriteSharedClients>,
        provider: &ProviderId,
        in_use: impl Fn(&ClientRef) -> bool,
        recorded: &Recorded,
    ) -> Result<(), ClientError> {
        self.take_away(provider, in_use, recorded).await
    }

    async fn take_away(
        &self,
        provider: &ProviderId,
        in_use: impl Fn(&ClientRef) -> bool,
        recorded: &Recorded,
    ) -> Result<(), ClientError> {
        let info = self.info(provider).await?.ok_or(ClientError::NotFound)?;
        let reference = ClientRef {
            owner: self.owner(),
            client_id: info.client_id,
        };
        let mut batch = Batch::new();
        batch.delete(self.choice_place(provider));
        if !in_use(&reference) {
            batch.delete(self.place(provider, &reference.client_id));
        }
        Ok(self.vault.commit(batch, recorded).await?)
    }

    /// Puts into `batch` that the credentials of a client go which is not in use any more, once its
    /// last connection goes.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn sweep(
        &self,
        batch: &mut Batch,
        provider: &ProviderId,
        client_id: &str,
    ) -> Result<(), ClientError> {
        let chosen = self.info(provider).await?;
        if chosen.is_none_or(|info| info.client_id != client_id) {
            batch.delete(self.place(provider, client_id));
        }
        Ok(())
    }
}
