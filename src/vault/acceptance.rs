//! Going on with a store that is older than its anchor or its journal, because a person says so.

use std::path::Path;
use std::sync::Arc;

use super::VaultError;
use super::system::SystemKeys;
use crate::audit::{
    Action, Actor, AuditError, Event, Head, Journal, JournalKey, JournalKeys, Known, Options,
    Outcome, Target, TargetKind,
};
use crate::clock::Clock;
use crate::crypto::{Key, PublicKey, Random};
use crate::failpoint::{Failpoint, reached};
use crate::id::StoreId;
use crate::store::{AnchorFiles, Engine, OlderStore, StoreKeys};

/// A store that was looked into, and the keys of its journal.
#[derive(Debug)]
pub struct Setback {
    id: StoreId,
    /// What was found.
    pub store: OlderStore,
    journal: JournalKeys,
}

/// Looks into a store that a start refuses. Changes nothing but what an engine changes when it opens.
/// Blocks.
///
/// # Errors
/// [`VaultError::StoreGone`] when it is empty; [`VaultError::Crypto`] when it is another root key's; what
/// is damaged in the store itself.
pub fn examine_setback(
    root: &Key,
    id: StoreId,
    engine: Arc<dyn Engine>,
    anchors: AnchorFiles,
) -> Result<Setback, VaultError> {
    let keys = SystemKeys::open(&*engine, id, root)?.ok_or(VaultError::StoreGone)?;
    let store_keys = StoreKeys {
        seal: keys.store,
        anchor: keys.anchor,
    };
    Ok(Setback {
        id,
        store: OlderStore::examine(engine, id, store_keys, anchors)?,
        journal: keys.journal,
    })
}

/// Whose signature a backup of the store in `engine` may have, if it is this root key's: those of the journal's
/// keys that sign. There is one of them, unless it is handing over.
///
/// # Errors
/// As [`examine_setback`].
pub fn backup_signers(
    root: &Key,
    id: StoreId,
    engine: &dyn Engine,
) -> Result<Vec<PublicKey>, VaultError> {
    let keys = SystemKeys::open(engine, id, root)?.ok_or(VaultError::StoreGone)?;
    let signing = keys.journal.signing().map(JournalKey::public);
    Ok(signing.collect())
}

impl Setback {
    /// Takes the store as it is, recorded before and after, with the operator's reason. The journal still
    /// has to have what the store remembers of it. Answers the store's generation from now on.
    ///
    /// # Errors
    /// [`VaultError::InOrder`] when a start would open it; [`VaultError::JournalMismatch`]; what journal and
    /// store report.
    pub async fn accept(
        self,
        audit: &Path,
        options: Options,
        uid: u32,
        reason: &str,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<u64, VaultError> {
        let found = Target::new(TargetKind::Object)
            .name(reason)
            .version(self.store.generation());
        let event = Event::new(Action::StoreAcceptRollback, Actor::Operator { uid }).target(found);
        self.accept_as(event, audit, options, clock, random).await
    }

    /// The same as [`accept`](Self::accept), recorded as `event`.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub async fn accept_as(
        self,
        event: Event,
        audit: &Path,
        options: Options,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<u64, VaultError> {
        let mark = self.store.journal_mark();
        let known = Known {
            head: Head {
                seq: mark.seq,
                hash: mark.head,
            },
            // That the journal has seen a later state of the store is what is accepted.
            generation: u64::MAX,
        };
        let (shared, keys) = (Arc::clone(&random), self.journal);
        let opened = Journal::open(audit, self.id, keys, clock, shared, options, Some(known));
        let journal = opened.map_err(|error| match error {
            AuditError::Mismatch { store, journal } => {
                VaultError::JournalMismatch { store, journal }
            }
            error => error.into(),
        })?;
        let seen = journal.last_store_generation();
        if self.store.is_in_order(seen) {
            journal.close();
            return Err(VaultError::InOrder);
        }
        let recorded = journal.record(event.store_generation(seen)).await?;
        reached(Failpoint::AcceptRecorded);
        let accepted = self.store.accept(seen, &*random);
        reached(Failpoint::AcceptEnds);
        recorded.outcome(match &accepted {
            Ok(_) => Outcome::success(),
            Err(_) => Outcome::failed("store_unavailable"),
        });
        journal.close();
        Ok(accepted?)
    }
}
