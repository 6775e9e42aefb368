//! A vault for tests: the memory engine, a clock that stands still, and hands on the raw records.

use std::sync::Arc;

use super::pointer::{pointer_place, version_place};
use super::system::{SystemPlace, Which};
use super::{Change, Condition, Lifecycle, OrgKeys, Places, Probes, Unsealed, VaultError};
use crate::audit::{Action, Actor, Event, Options, Recorded};
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::crypto::{Key, Owner, SystemRandom};
use crate::id::{OrgId, UserId};
use crate::name::SecretName;
use crate::policy::{self, Principal, ReadSecret, Scopes, SecretRef, SetSecret, Via};
use crate::secret::Secret;
use crate::store::{Batch, Engine, MemoryEngine, StoreKey, Write};
use crate::wire::Role;

/// What a start makes of these places, before anybody unseals.
pub(crate) fn loaded(
    places: Places,
    engine: Arc<dyn Engine>,
    clock: Arc<dyn Clock>,
) -> Result<Lifecycle, VaultError> {
    Lifecycle::open(
        places,
        engine,
        clock,
        Arc::new(SystemRandom),
        30,
        Options::default(),
        Probes::default(),
    )
}

/// A new vault over `engine`, unsealed by its key file. All else of it is in `folder`.
pub(crate) async fn opened(
    folder: &tempfile::TempDir,
    engine: Arc<dyn Engine>,
    clock: Arc<dyn Clock>,
) -> (Arc<Lifecycle>, Unsealed) {
    let places = Places {
        data: folder.path().join("data"),
        keys: folder.path().join("keys"),
        external_anchor: None,
    };
    std::fs::create_dir(&places.data).unwrap();
    let lifecycle = Arc::new(loaded(places, engine, clock).unwrap());
    let vault = lifecycle.unseal_unattended().await.unwrap();
    let vault = vault.opened().unwrap();
    (lifecycle, vault)
}

/// An unsealed vault over memory, and what is needed to open it again. Its anchor, journal, ring and
/// key file are in a folder that goes with it.
pub(crate) struct Rig {
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) engine: Arc<MemoryEngine>,
    pub(crate) clock: ManualClock,
    pub(crate) vault: Unsealed,
    pub(crate) folder: Arc<tempfile::TempDir>,
}

impl Rig {
    /// A vault of its own, without an organisation.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = Arc::new(MemoryEngine::new());
        let start = Timestamp::parse("2026-11-23T09:30:00Z").unwrap();
        let clock = ManualClock::at(start);
        let shared = Arc::<MemoryEngine>::clone(&engine);
        let (lifecycle, vault) = opened(&folder, shared, Arc::new(clock.clone())).await;
        Self {
            lifecycle,
            engine,
            clock,
            vault,
            folder: Arc::new(folder),
        }
    }

    /// Seals and unseals again, so that nothing is known but what is stored.
    pub(crate) async fn reopen(self) -> Result<Self, VaultError> {
        let Self {
            lifecycle,
            engine,
            clock,
            vault,
            folder,
        } = self;
        drop(vault);
        assert!(lifecycle.seal(std::time::Duration::from_secs(5)).await);
        let vault = lifecycle.unseal_unattended().await?.opened().unwrap();
        Ok(Self {
            lifecycle,
            engine,
            clock,
            vault,
            folder,
        })
    }

    /// A new organisation's keys, committed.
    pub(crate) async fn org(&self, number: u8) -> Arc<OrgKeys> {
        let recorded = self.recorded().await;
        let mut batch = Batch::new();
        let org = OrgId::from_bytes([number; 16]);
        let keys = self.vault.draw_org_keys(org, &mut batch).unwrap();
        self.vault.commit(batch, &recorded).await.unwrap();
        self.vault.adopt_org(keys)
    }

    /// Leaves so many generations of the journal's keys behind as a broker does over the years; their numbers are
    /// far from those that come next.
    pub(crate) async fn grow_old(&self, generations: u32) {
        let (root, recorded) = (self.vault.keyring.root.active(), self.recorded().await);
        let (public, store) = (self.vault.journal().public_key(), self.vault.id());
        let versions: Vec<u32> = (1_000_000..1_000_000 + generations).collect();
        for some in versions.chunks(500) {
            let mut batch = Batch::new();
            for version in some {
                let seal = SystemPlace::new(Which::JournalSeal, *version);
                let key = Key::generate(seal.name(), &SystemRandom).unwrap();
                let key = seal.seal(store, &root, &key, &SystemRandom);
                let sign = SystemPlace::new(Which::JournalSign, *version);
                let gone = sign.seal_gone(store, &root, public, &SystemRandom);
                batch.put(seal.key(), key.unwrap());
                batch.put(sign.key(), gone.unwrap());
            }
            self.vault.commit(batch, &recorded).await.unwrap();
        }
    }

    /// A proof that something is in the journal.
    pub(crate) async fn recorded(&self) -> Recorded {
        let event = Event::new(Action::SecretSet, Actor::System);
        self.vault.journal().record(event).await.unwrap()
    }

    /// Sets a secret of `user`'s own.
    pub(crate) async fn set(&self, org: &OrgKeys, user: UserId, name: &str, value: &str) {
        let principal = admin(org.id(), user);
        let permit = policy::check::<SetSecret>(&principal, secret(user, name)).unwrap();
        let value = Secret::copy_of(value.as_bytes());
        let recorded = self.recorded().await;
        let change = Change::default();
        self.vault
            .set_secret(&permit, &value, &change, Condition::None, &recorded)
            .await
            .unwrap();
    }

    /// The value of a secret of `user`'s own.
    pub(crate) async fn get(
        &self,
        org: &OrgKeys,
        user: UserId,
        name: &str,
    ) -> Result<String, VaultError> {
        let principal = admin(org.id(), user);
        let permit = policy::check::<ReadSecret>(&principal, secret(user, name))?;
        let found = self.vault.read_secret(&permit).await?;
        let value = found.lend(&self.recorded().await)?;
        Ok(value.expose(|bytes| String::from_utf8(bytes.to_vec()).unwrap()))
    }

    /// Where the secret's pointer stands, and its version `version`.
    pub(crate) async fn places(
        &self,
        org: &OrgKeys,
        user: UserId,
        name: &str,
        version: u64,
    ) -> (StoreKey, StoreKey) {
        let name = SecretName::parse(name).unwrap();
        let found = self.vault.find_secret(org, Owner::user(user), &name).await;
        let id = found.unwrap().unwrap().id();
        let pointer = pointer_place(org, Owner::user(user), &name);
        (pointer, version_place(org, id, version))
    }

    /// What the engine holds there.
    pub(crate) fn raw(&self, place: &StoreKey) -> Vec<u8> {
        self.engine.get(place.as_bytes()).unwrap().unwrap()
    }

    /// Writes into the engine behind the store's back, which has read nothing of late.
    pub(crate) fn put_raw(&self, place: &StoreKey, bytes: &[u8]) {
        let write = Write::Put(place.as_bytes(), bytes);
        self.engine.apply(&[write]).unwrap();
        self.vault.store().forget_read();
    }
}

fn secret(user: UserId, name: &str) -> SecretRef {
    SecretRef {
        owner: Owner::user(user),
        name: SecretName::parse(name).unwrap(),
    }
}

pub(crate) fn admin(org: OrgId, user: UserId) -> Principal {
    let via = Via::Local { uid: 0 };
    Principal::recognised(org, user, Role::Admin, via, Arc::new(Scopes::all()))
}
