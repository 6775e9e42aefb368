//! From files to an unsealed vault, and back.
//!
//! ```text
//! first start   ring + key file ─▶ system keys ─▶ journal ─▶ store          (a marker file says: not done yet)
//! later starts  ring ─slot─▶ root key ─▶ system keys ─▶ store ─▶ the journal it knows? ─▶ unsealed
//! sealing       close the gate ─▶ call those inside out ─▶ close store and journal ─▶ keys are wiped
//! ```
//!
//! The engine stays open while the vault is sealed: it holds sealed records only, and the lock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::audit::{AuditError, Head, Journal, JournalKeys, Known, Options};
use crate::clock::Clock;
use crate::crypto::{Key, MacKey, Random};
use crate::custody::{Custodians, CustodyError, NewSlot, Provider, Ring, Unattended};
use crate::failpoint::{Failpoint, reached};
use crate::id::StoreId;
use crate::store::{Batch, Engine, Spool, Store, StoreKeys};

use super::generations::Generations;
use super::keyring::Keyring;
use super::loans::Loans;
use super::lockdown::VoidUntil;
use super::memo::Memo;
use super::rotation::Rotations;
use super::slots::Gatherings;
use super::system::{SystemKeys, next_root};
use super::tally::{Quotas, Tally};
use super::{Gate, Opener, Places, Unsealed, Vault, VaultError};

/// Opens, seals and unseals one vault.
#[derive(Debug)]
pub struct Lifecycle {
    places: Places,
    pub(super) gate: Gate,
    pub(super) engine: Arc<dyn Engine>,
    /// As it stands on disk. Looked at by tasks, so never held while the disk is asked.
    ring: Mutex<Ring>,
    /// Held for one change of the ring, from the look at it to what has become of it.
    changing_ring: Mutex<()>,
    custodians: Custodians,
    pub(super) gatherings: Gatherings,
    pub(super) loans: Mutex<Loans>,
    pub(super) opened: AtomicBool,
    /// Held by whoever opens it, or decides that nobody does: from the look at the marker to the open gate. And by
    /// whoever seals it: from the closed gate to the closed journal.
    pub(super) opening: tokio::sync::Mutex<()>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    retention_days: i64,
    quotas: Quotas,
    pub(super) root_days: u32,
    audit: Options,
    probes: Probes,
}

/// Who hears of each durable group.
#[derive(Clone, Debug, Default)]
pub struct Probes {
    /// Of the store.
    pub store: Option<Arc<dyn crate::store::Probe>>,
    /// Of the journal.
    pub audit: Option<Arc<dyn crate::audit::Probe>>,
}

impl Lifecycle {
    /// Reads the ring, or makes one at the first start. The vault is still sealed after it.
    ///
    /// # Errors
    /// [`VaultError::RingGone`], [`VaultError::StoreGone`], and what custody and store report.
    pub fn open(
        places: Places,
        engine: Arc<dyn Engine>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        retention_days: i64,
        audit: Options,
        probes: Probes,
    ) -> Result<Self, VaultError> {
        let empty = engine.is_empty()?;
        let ring = match Ring::load(&places.keys) {
            Ok(ring) if empty && !places.starting()? => {
                tracing::debug!(store = %ring.store(), "the ring is there, the store is not");
                return Err(VaultError::StoreGone);
            }
            Ok(ring) => ring,
            Err(CustodyError::RingMissing(_)) if empty => {
                let file = places.key_file();
                let slot = NewSlot::new(Provider::KeyFile(&file), "first key file", clock.now());
                places.make_ring(&slot, &*random)?.0
            }
            Err(CustodyError::RingMissing(_)) => return Err(VaultError::RingGone),
            Err(error) => return Err(error.into()),
        };
        let ring = Mutex::new(ring);
        Ok(Self {
            custodians: Custodians::of(&places.keys),
            gatherings: Gatherings::default(),
            loans: Mutex::default(),
            opened: AtomicBool::new(false),
            opening: tokio::sync::Mutex::default(),
            places,
            gate: Gate::default(),
            engine,
            ring,
            changing_ring: Mutex::new(()),
            clock,
            random,
            retention_days,
            quotas: Quotas::default(),
            root_days: 0,
            audit,
            probes,
        })
    }

    /// The same with other quotas.
    #[must_use]
    pub fn with_quotas(self, quotas: Quotas) -> Self {
        Self { quotas, ..self }
    }

    /// The same with others who may open it at a start that nobody attends.
    #[must_use]
    pub fn with_custodians(self, custodians: Custodians) -> Self {
        Self { custodians, ..self }
    }

    /// Who may open it without a person.
    #[must_use]
    pub const fn custodians(&self) -> &Custodians {
        &self.custodians
    }

    /// The door.
    #[must_use]
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Where everything is.
    #[must_use]
    pub const fn places(&self) -> &Places {
        &self.places
    }

    /// Unseals. Answers the vault that is open already when there is one.
    ///
    /// # Errors
    /// What custody says of the opener; what journal and store report;
    /// [`VaultError::JournalMismatch`] when they do not belong together.
    pub async fn unseal(self: &Arc<Self>, opener: Opener) -> Result<Unsealed, VaultError> {
        let this = Arc::clone(self);
        // Argon2 takes a good part of a second of processor time.
        let trying = tokio::task::spawn_blocking(move || this.ring().open(opener.provider()));
        let root = trying.await.map_err(|_| VaultError::Form)??;
        self.unseal_with(root).await
    }

    /// Unseals by the root key itself, for whoever has opened the ring or made it; unless it is open by now.
    ///
    /// # Errors
    /// As [`unseal`](Self::unseal).
    pub async fn unseal_with(self: &Arc<Self>, root: Key) -> Result<Unsealed, VaultError> {
        let _turn = self.opening.lock().await;
        self.open_gate(root).await
    }

    /// The same where no person asks for it: after a lockdown nothing is opened.
    pub(super) async fn unseal_alone(
        self: &Arc<Self>,
        root: Key,
    ) -> Result<Unattended<Unsealed>, VaultError> {
        let _turn = self.opening.lock().await;
        if self.places.locked_down()?.is_some() {
            return Ok(Unattended::Waits(Vec::new()));
        }
        self.open_gate(root).await.map(Unattended::Opened)
    }

    /// Opens, in one's turn.
    async fn open_gate(self: &Arc<Self>, root: Key) -> Result<Unsealed, VaultError> {
        if let Ok(open) = self.gate.unsealed() {
            return Ok(open);
        }
        let opened = self.open_behind_gate(root).await;
        if opened.is_err() {
            self.forget_veil();
        }
        let vault = opened?;
        self.opened.store(true, Ordering::Release);
        Ok(self.gate.open(vault))
    }

    async fn open_behind_gate(self: &Arc<Self>, root: Key) -> Result<Vault, VaultError> {
        let this = Arc::clone(self);
        let opened = tokio::task::spawn_blocking(move || this.open_vault(root));
        let vault = opened.await.map_err(|_| VaultError::Form)??;
        vault.open_orgs().await?;
        vault.load_rotations().await?;
        vault.begin_after_lockdown(&self.places).await?;
        self.places.lift_lockdown()?;
        Ok(vault)
    }

    fn open_vault(&self, root: Key) -> Result<Vault, VaultError> {
        let id = self.held_ring().store();
        let opened = SystemKeys::open(&*self.engine, id, &root)?;
        let next = next_root(&*self.engine, id, &root)?;
        let (keys, first) = match opened {
            Some(keys) => (keys, None),
            None if self.places.starting()? => {
                let mut batch = Batch::new();
                let keys = SystemKeys::create(id, &root, &*self.random, &mut batch)?;
                (keys, Some(batch))
            }
            None => return Err(VaultError::StoreGone),
        };
        let journal_keys = keys.journal;
        let store_keys = StoreKeys {
            seal: keys.store,
            anchor: keys.anchor,
        };
        let (store, journal) = match first {
            Some(batch) => self.create(id, store_keys, journal_keys, batch)?,
            None => self.open_both(id, store_keys, journal_keys)?,
        };
        let roots = match next {
            Some(next) => Generations::new(next, vec![root]),
            None => Generations::of(root),
        };
        if let Some(probe) = &self.probes.store {
            store.watch(Arc::clone(probe));
        }
        if let Some(probe) = &self.probes.audit {
            journal.watch(Arc::clone(probe));
        }
        Ok(Vault {
            id,
            store,
            spool: Spool::new(self.places.spool()),
            journal,
            keyring: Keyring::new(roots, keys.state, MacKey::new(&keys.index)?),
            memo: Memo::default(),
            tally: Tally::default(),
            rotations: Rotations::default(),
            void_until: VoidUntil::default(),
            quotas: self.quotas,
            closing: tokio::sync::watch::Sender::new(false),
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
            retention_days: self.retention_days,
        })
    }

    fn create(
        &self,
        id: StoreId,
        keys: StoreKeys,
        journal: JournalKeys,
        first: Batch,
    ) -> Result<(Store, Journal), VaultError> {
        self.places.set_journal_aside()?;
        let journal = self.open_journal(id, journal, None)?;
        reached(Failpoint::StartJournal);
        let (engine, random) = (Arc::clone(&self.engine), Arc::clone(&self.random));
        let store = Store::create(engine, id, keys, self.places.anchors(), random, first)?;
        reached(Failpoint::StartStore);
        self.places.end_start()?;
        Ok((store, journal))
    }

    /// The store first: it knows which journal belongs to it, before anything is done to one.
    fn open_both(
        &self,
        id: StoreId,
        keys: StoreKeys,
        journal: JournalKeys,
    ) -> Result<(Store, Journal), VaultError> {
        let (engine, random) = (Arc::clone(&self.engine), Arc::clone(&self.random));
        let store = Store::open(engine, id, keys, self.places.anchors(), random)?;
        let mark = store.journal_mark();
        let known = Known {
            head: Head {
                seq: mark.seq,
                hash: mark.head,
            },
            generation: store.generation(),
        };
        let journal = self.open_journal(id, journal, Some(known))?;
        // A first start that was cut short after its last step but this one.
        self.places.end_start()?;
        Ok((store, journal))
    }

    fn open_journal(
        &self,
        id: StoreId,
        keys: JournalKeys,
        known: Option<Known>,
    ) -> Result<Journal, VaultError> {
        let (clock, random) = (Arc::clone(&self.clock), Arc::clone(&self.random));
        let dir = self.places.audit();
        let opened = Journal::open(&dir, id, keys, clock, random, self.audit, known);
        opened.map_err(|error| match error {
            AuditError::Mismatch { store, journal } => {
                VaultError::JournalMismatch { store, journal }
            }
            error => error.into(),
        })
    }

    /// The ring as it is now. To open a slot can take seconds, in which the ring is not locked.
    pub(crate) fn ring(&self) -> Ring {
        self.held_ring().clone()
    }

    /// The ring, for a look at it or to say what it is now.
    pub(super) fn held_ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the ring on disk, on a copy: who looks at it meanwhile does not wait. Who changes it does.
    pub(super) fn change_ring<R>(
        &self,
        change: impl FnOnce(&mut Ring) -> Result<R, VaultError>,
    ) -> Result<R, VaultError> {
        let turn = &self.changing_ring;
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ring = self.ring();
        let before = ring.bytes().to_vec();
        let changed = change(&mut ring);
        self.stands_now(&before, ring);
        changed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::store::MemoryEngine;
    use crate::vault::VaultError;
    use crate::vault::tests_rig::{Rig, loaded};

    #[tokio::test]
    async fn a_marker_beside_an_anchor_in_use_is_no_leave_to_begin_afresh() {
        let rig = Rig::new().await;
        let org = rig.org(7).await;
        let user = crate::id::UserId::from_bytes([1; 16]);
        rig.set(&org, user, "MINE", "the value of mine").await;
        drop(org);
        let places = rig.lifecycle.places().clone();
        std::fs::write(places.data.join("first-start"), b"").unwrap();
        let rig = rig.reopen().await.unwrap();
        assert!(!places.data.join("first-start").exists(), "stale");
        std::fs::write(places.data.join("first-start"), b"").unwrap();
        let Rig {
            lifecycle,
            vault,
            folder,
            clock,
            ..
        } = rig;
        drop(vault);
        assert!(lifecycle.seal(std::time::Duration::from_secs(5)).await);
        let journal = |dir: &std::path::Path| {
            let mut files: Vec<_> = std::fs::read_dir(dir)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .map(|path| (path.clone(), std::fs::read(path).unwrap()))
                .collect();
            files.sort();
            files
        };
        let before = journal(&places.audit());
        assert!(matches!(places.refuse_gone(), Err(VaultError::StoreGone)));
        let engine = Arc::new(MemoryEngine::new());
        let opened = loaded(places.clone(), engine, Arc::new(clock));
        assert!(matches!(opened, Err(VaultError::StoreGone)));
        assert_eq!(journal(&places.audit()), before);
        drop(folder);
    }
}
