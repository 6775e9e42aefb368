//! What can go wrong in the vault.

use std::fmt;

use crate::audit::AuditError;
use crate::crypto::CryptoError;
use crate::policy::Denied;
use crate::store::StoreError;

/// What there may be only so many of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Secrets of one owner.
    Secrets,
    /// Custom tools of one owner.
    Tools,
    /// API keys of one member that are valid.
    Keys,
    /// API keys that one member made within a day.
    KeysOfADay,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secrets => "secrets, deleted ones among them,",
            Self::Tools => "custom tools",
            Self::Keys => "valid API keys of this member",
            Self::KeysOfADay => "API keys that this member made within a day",
        })
    }
}

/// A failure of the vault. Holds ids and limits, never a value.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The vault is sealed.
    #[error("the vault is sealed")]
    Sealed,
    /// There is nothing of that name or id that the caller may know of.
    #[error("not found")]
    NotFound,
    /// Policy forbids it.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The `If-Match` condition does not hold.
    #[error("it was changed by somebody else in the meantime")]
    Stale,
    /// It exists already.
    #[error("it exists already")]
    Exists,
    /// The value of this secret cannot be revealed.
    #[error("this secret was set as not revealable")]
    NotRevealable,
    /// The secret's time is over.
    #[error("this secret has expired")]
    Expired,
    /// An input breaks a rule; the text states the rule, never the input.
    #[error("{0}")]
    Rule(&'static str),
    /// There are as many of something as there may be.
    #[error("there are {limit} {what} already, and no more than that are kept")]
    Quota {
        /// What.
        what: Counted,
        /// How many there may be.
        limit: usize,
    },
    /// A rotation of this organisation's keys is not over.
    #[error("a rotation of this organisation's keys is not over")]
    Rotating,
    /// Records are left that an old generation sealed: they do not open, or wait in the spool.
    #[error("{0} records are left that an old key sealed: both keys are kept")]
    Stuck(u64),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal cannot be written: nothing happened.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// A sealed record does not open, or no randomness was to be had.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// A record opened, but is not in a form that this version knows.
    #[error("a record in the store has a form that this version does not know")]
    Form,
    /// The key ring cannot be read or opened.
    #[error(transparent)]
    Custody(#[from] crate::custody::CustodyError),
    /// The data directory is empty although the ring belongs to a store that was in use.
    #[error("the data directory is empty, but the key ring belongs to a store that was in use")]
    StoreGone,
    /// The store has data, but the ring is missing.
    #[error("the data directory holds a store, but the key ring is missing")]
    RingGone,
    /// The store and the journal disagree: one of them was cut or restored alone.
    #[error("the store remembers audit record {store}, but the journal {journal}")]
    JournalMismatch {
        /// The record that the store's last commit names.
        store: u64,
        /// What the journal has instead.
        journal: &'static str,
    },
    /// A start would open the store as it is.
    #[error("the store is as new as its anchor and its journal say, so there is nothing to accept")]
    InOrder,
    /// A file cannot be read or written.
    #[error("{what} cannot be used: {kind}")]
    Io {
        /// Which file or directory.
        what: &'static str,
        /// The kind of failure.
        kind: std::io::ErrorKind,
    },
}
