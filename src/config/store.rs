//! How the store is kept.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::store::{DEFAULT_CACHE_BYTES, EngineKind};

/// The store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// The engine that keeps it.
    pub engine: EngineKind,
    /// Memory for cached records, in MiB.
    pub cache_mb: u64,
    /// One more anchor file, on another disk.
    pub external_anchor: Option<PathBuf>,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            engine: EngineKind::default(),
            cache_mb: DEFAULT_CACHE_BYTES >> 20,
            external_anchor: None,
        }
    }
}
