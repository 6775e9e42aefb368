//! What can go wrong in the directory.

use crate::policy::Denied;
use crate::vault::VaultError;

/// A failure of the directory.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// There is nothing of that id that the caller may know of.
    #[error("not found")]
    NotFound,
    /// It exists already.
    #[error("{0}")]
    Exists(&'static str),
    /// The organisation would have no admin left.
    #[error("an organisation needs at least one admin, and this is the last one")]
    LastAdmin,
    /// The caller is not recognised any more: their key or their membership ended meanwhile.
    #[error("the caller is not recognised any more")]
    Unrecognised,
    /// An input breaks a rule; the text states the rule, never the input.
    #[error("{0}")]
    Rule(&'static str),
    /// Policy forbids it.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The vault refused or failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl From<crate::store::StoreError> for DirectoryError {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Vault(error.into())
    }
}

impl From<crate::crypto::CryptoError> for DirectoryError {
    fn from(error: crate::crypto::CryptoError) -> Self {
        Self::Vault(error.into())
    }
}
