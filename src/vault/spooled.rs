//! What stands beside the store, asked for without holding up anybody else.

use crate::crypto::Record;
use crate::store::{Spool, SpoolName};

use super::{Vault, VaultError};

/// Every file of the spool, with what is in it where that can be read.
pub type SpooledFiles = Vec<(SpoolName, Option<Vec<Record>>)>;

impl Vault {
    /// Everything in the spool.
    ///
    /// # Errors
    /// When its folder cannot be read.
    pub async fn spooled(&self) -> Result<SpooledFiles, VaultError> {
        self.with_spool(Spool::all).await
    }

    /// Removes what a kill left half written. To be called while nobody writes there.
    ///
    /// # Errors
    /// What the operating system refuses.
    pub async fn sweep_spool(&self) -> Result<(), VaultError> {
        self.with_spool(Spool::sweep).await
    }

    async fn with_spool<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Spool) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, VaultError> {
        let spool = self.spool.clone();
        let done = tokio::task::spawn_blocking(move || work(&spool)).await;
        let done = done.map_err(|_| VaultError::Form)?;
        done.map_err(|error| VaultError::Io {
            what: "the spool",
            kind: error.kind(),
        })
    }
}
