//! The vault: what is kept, sealed, and for whom.
//!
//! ```text
//! root key ── wraps ──▶ organisation key ── wraps ──▶ owner key ── wraps ──▶ data key ── seals ──▶ value
//! (ring)                (one per organisation)        (one per member,       (one per version)
//!                                                      one for what is shared)
//! ```
//!
//! A [`Vault`] exists only while it is unsealed: it is made of the root key, holds every key opened
//! since, and wipes them when it is dropped. The [`Gate`] in front of it hands out [`Unsealed`]; there
//! is no other way to a vault, so nothing can be done to a sealed one.
//!
//! Three proofs meet here. A [`Permit`](crate::policy::Permit) says that the caller may. A
//! [`Recorded`](crate::audit::Recorded) says that the journal already has it on disk. Only with both is
//! a value opened or a change committed.
//!
//! Where to look: for keys, `keyring`, `org_keys`, `owner_keys`, `generations` and `rotation`; for values, `secrets`,
//! `write`, `value`, `pointer` and `metadata`; for their ends, `removal`, `shred`, `shred_org` and `lockdown`; for how it
//! begins, `lifecycle`, `sealing`, `gate`, `slots`, `system` and `acceptance`.

mod acceptance;
mod credential;
mod cursor;
mod custodians;
mod draft;
mod error;
mod examination;
mod gate;
mod generations;
mod key_record;
mod keyring;
mod last_shred;
mod lifecycle;
mod loans;
mod lockdown;
mod memo;
mod metadata;
mod named;
mod org_keys;
mod owner_keys;
mod places;
mod pointer;
mod removal;
mod rotation;
mod sealing;
mod secrets;
mod shred;
mod shred_org;
mod slots;
mod spooled;
mod state;
mod system;
mod tally;
mod value;
mod write;

#[cfg(test)]
mod tests_moves;
#[cfg(test)]
pub(crate) mod tests_rig;

pub use acceptance::{Setback, backup_signers, examine_setback};
pub use draft::Condition;
pub use error::{Counted, VaultError};
pub use examination::{Examination, examine};
pub use gate::{Closing, Gate, Unsealed};
pub use generations::Generations;
pub use keyring::OrgKeys;
pub use last_shred::LastShred;
pub use lifecycle::{Lifecycle, Probes};
pub use metadata::{SecretInfo, check_description, check_value, parse_expiry, span_seconds};
pub use places::Places;
pub use pointer::Etag;
pub use removal::Deleted;
pub use rotation::{Phase, Rotation, Turned};
pub use secrets::{Found, Page};
pub use shred::{Extent, Shredded};
pub use slots::{Opener, Purpose};
pub use spooled::SpooledFiles;
pub use tally::Quotas;
pub(crate) use tally::Room;
pub use value::StoredValue;
pub use write::Change;

use std::sync::Arc;

use crate::audit::Journal;
use crate::clock::{Clock, Timestamp};
use crate::crypto::Random;
use crate::id::StoreId;
use crate::store::{Spool, Store};

/// An unsealed vault. Reached through [`Gate::unsealed`] only.
#[derive(Debug)]
pub struct Vault {
    id: StoreId,
    store: Store,
    spool: Spool,
    journal: Journal,
    keyring: keyring::Keyring,
    memo: memo::Memo,
    tally: tally::Tally,
    rotations: rotation::Rotations,
    void_until: lockdown::VoidUntil,
    quotas: Quotas,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    retention_days: i64,
    /// Whether those inside are to leave.
    closing: tokio::sync::watch::Sender<bool>,
}

impl Vault {
    /// The journal.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Where sealed records go that the store does not take.
    #[must_use]
    pub const fn spool(&self) -> &Spool {
        &self.spool
    }

    /// The store's id.
    #[must_use]
    pub const fn id(&self) -> StoreId {
        self.id
    }

    /// The present instant.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The generator of this vault.
    #[must_use]
    pub fn random(&self) -> &dyn Random {
        &*self.random
    }
}
