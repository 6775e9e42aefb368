//! Work on a store that no broker serves: it is opened and checked as by a start, and closed again.

use std::sync::Arc;
use std::time::Duration;

use super::DaemonError;
use super::parts::places;
use super::prepare::refuse_unfinished;
use super::start::open_vault;
use crate::audit::{Action, Actor, Event, Outcome};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::crypto::{Key, SystemRandom};
use crate::custody::{Ring, Unattended};
use crate::store::{EngineKind, Progress, Rewritten, StoreError, engine_at};
use crate::telemetry::Metrics;
use crate::vault::{Lifecycle, VaultError};

/// How long closing may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A store that is held for work on it.
#[derive(Debug)]
pub struct Offline {
    lifecycle: Arc<Lifecycle>,
    engine: EngineKind,
    uid: u32,
}

impl Offline {
    /// Takes the lock of the store that `config` names, whichever engine keeps it. It is still sealed.
    ///
    /// # Errors
    /// [`StoreError::NotCreated`] where there is none yet; what a start reports.
    pub fn open(config: &Config) -> Result<Self, DaemonError> {
        refuse_unfinished(config)?;
        let places = places(config);
        let found = engine_at(&places.store())?;
        let (engine, _) = found.ok_or(StoreError::NotCreated)?;
        let mut config = config.clone();
        config.store.engine = engine;
        let lifecycle = open_vault(
            (&config, config.custodians()),
            &Arc::new(Metrics::new()),
            Arc::new(SystemClock),
            Arc::new(SystemRandom),
        )?;
        Ok(Self {
            lifecycle,
            engine,
            uid: rustix::process::geteuid().as_raw(),
        })
    }

    /// The engine that keeps it.
    #[must_use]
    pub const fn engine(&self) -> EngineKind {
        self.engine
    }

    /// Unseals by the key file or a custodian, which checks store, anchor and journal. Answers whether it did:
    /// otherwise it takes a person.
    ///
    /// # Errors
    /// What a start reports.
    pub async fn unseal_unattended(&self) -> Result<bool, DaemonError> {
        let unsealed = self.lifecycle.unseal_unattended().await?;
        Ok(matches!(unsealed, Unattended::Opened(_)))
    }

    /// Its key ring, which yields the root key to whoever opens a slot.
    #[must_use]
    pub fn ring(&self) -> Ring {
        self.lifecycle.ring()
    }

    /// Unseals by the root key, which a person got from the ring.
    ///
    /// # Errors
    /// What a start reports.
    pub async fn unseal(&self, root: Key) -> Result<(), DaemonError> {
        drop(self.lifecycle.unseal_with(root).await?);
        Ok(())
    }

    /// Moves the store to the engine `to`, recorded before and after.
    ///
    /// # Errors
    /// What [`Store::rewrite`](crate::store::Store::rewrite) reports: the store is then where it was.
    pub async fn migrate(
        &self,
        to: EngineKind,
        progress: Arc<Progress>,
    ) -> Result<Rewritten, DaemonError> {
        let vault = self.lifecycle.gate().unsealed()?;
        let store = vault.store().clone();
        let event = Event::new(Action::StoreMigrate, Actor::Operator { uid: self.uid })
            .store_generation(store.generation());
        let recorded = vault.journal().record(event).await;
        let recorded = recorded.map_err(VaultError::from)?;
        drop(vault);
        let moved = tokio::task::spawn_blocking(move || store.rewrite(to, &progress)).await;
        let moved = moved.unwrap_or(Err(StoreError::Failed));
        recorded.outcome(match &moved {
            Ok(_) => Outcome::success(),
            Err(_) => Outcome::failed("store_unavailable"),
        });
        Ok(moved?)
    }

    /// Closes it: the last record is on disk, and the lock is given back.
    pub async fn close(self) {
        self.lifecycle.seal_within(PATIENCE, Duration::MAX).await;
    }
}
