//! A store that a start refuses, and that its operator wants to go on with.

use std::sync::Arc;

use super::DaemonError;
use super::parts::places;
use super::prepare::{data_and_keys, refuse_unfinished};
use crate::audit::Options;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::crypto::{Key, SystemRandom};
use crate::custody::Ring;
use crate::store::{DiskEngine, OlderStore, StoreError, engine_at};
use crate::vault::{Places, Setback, VaultError, examine_setback};

/// A store that is held, and its key ring.
#[derive(Debug)]
pub struct Refused {
    places: Places,
    engine: Arc<DiskEngine>,
    ring: Ring,
    options: Options,
}

/// The same, looked into.
#[derive(Debug)]
pub struct Examined {
    places: Places,
    found: Setback,
    options: Options,
}

impl Refused {
    /// Takes the lock of the store that `config` names, whichever engine keeps it.
    ///
    /// # Errors
    /// [`StoreError::NotCreated`] where there is none yet; what a start reports of folders, lock, format
    /// and ring.
    pub fn open(config: &Config) -> Result<Self, DaemonError> {
        refuse_unfinished(config)?;
        let places = places(config);
        let (engine, _) = engine_at(&places.store())?.ok_or(StoreError::NotCreated)?;
        data_and_keys(config, &places)?;
        let cache = config.store.cache_mb << 20;
        let engine = DiskEngine::open(&places.store(), engine, cache)?;
        Ok(Self {
            ring: Ring::load(&places.keys).map_err(VaultError::from)?,
            engine: Arc::new(engine),
            options: Options {
                segment_bytes: config.audit.segment_mb << 20,
                ..Options::default()
            },
            places,
        })
    }

    /// Its key ring, which yields the root key to whoever opens a slot.
    #[must_use]
    pub const fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Checks that the store is whole, and looks at what its anchor says of it.
    ///
    /// # Errors
    /// What is damaged, or of another key.
    pub fn examine(self, root: &Key) -> Result<Examined, DaemonError> {
        let found = examine_setback(root, self.ring.store(), self.engine, self.places.anchors())?;
        Ok(Examined {
            places: self.places,
            found,
            options: self.options,
        })
    }
}

impl Examined {
    /// What was found.
    #[must_use]
    pub const fn store(&self) -> &OlderStore {
        &self.found.store
    }

    /// Goes on with it, for this reason. Answers its generation from now on.
    ///
    /// # Errors
    /// [`VaultError::InOrder`], [`VaultError::JournalMismatch`], what journal and store report.
    pub async fn accept(self, reason: &str) -> Result<u64, DaemonError> {
        let uid = rustix::process::geteuid().as_raw();
        let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
        let audit = self.places.audit();
        let accepted = self
            .found
            .accept(&audit, self.options, uid, reason, clock, random);
        Ok(accepted.await?)
    }
}
