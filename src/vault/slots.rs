//! The ways to open a vault, and changing them while it serves.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::custody::{
    Custodian, CustodyError, Gathered, Gathering, NewSlot, Provider, Ring, Share, SlotInfo,
};
use crate::id::ObjectId;
use crate::secret::Secret;

use super::{Lifecycle, Unsealed, VaultError};

/// Who opens a slot. As [`Provider`], but owned, so that it can go to another thread.
#[derive(Debug)]
pub enum Opener {
    /// The key file at this path.
    KeyFile(PathBuf),
    /// These words.
    Passphrase(Secret),
    /// These people together.
    Shares(Vec<Share>),
    /// Whoever holds a key for the broker.
    Custodian(Custodian),
}

impl Opener {
    /// The same, lent.
    #[must_use]
    pub fn provider(&self) -> Provider<'_> {
        match self {
            Self::KeyFile(path) => Provider::KeyFile(path),
            Self::Passphrase(words) => Provider::Passphrase(words),
            Self::Shares(shares) => Provider::Shares(shares),
            Self::Custodian(custodian) => Provider::Custodian(custodian),
        }
    }
}

/// What people come together for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To unseal.
    Unseal,
    /// To show that this slot opens.
    Test(ObjectId),
    /// To lend what opens this slot.
    Lend(ObjectId),
}

/// The shares that are there, for each purpose.
#[derive(Debug, Default)]
pub(super) struct Gatherings {
    unseal: Mutex<Gathering>,
    test: Mutex<Gathering>,
    lend: Mutex<Gathering>,
}

impl Gatherings {
    fn of(&self, purpose: Purpose) -> MutexGuard<'_, Gathering> {
        let gathering = match purpose {
            Purpose::Unseal => &self.unseal,
            Purpose::Test(_) => &self.test,
            Purpose::Lend(_) => &self.lend,
        };
        gathering.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> [&Mutex<Gathering>; 3] {
        [&self.unseal, &self.test, &self.lend]
    }
}

impl Lifecycle {
    /// Takes one more share from one more person. When there are enough they are given back, to be used
    /// at once, and kept no longer.
    ///
    /// # Errors
    /// [`CustodyError::ShareForeign`] for one that opens no slot of the ring, or not the one that is
    /// meant; what [`Gathering::take`] refuses.
    pub fn gather(&self, share: &Secret, purpose: Purpose) -> Result<Gathered, VaultError> {
        let share = Share::parse(share)?;
        let is_meant = |slot: &SlotInfo| match purpose {
            Purpose::Unseal => true,
            Purpose::Test(id) | Purpose::Lend(id) => slot.id == id,
        };
        let slots = self.slots();
        let mut splits = slots.iter().filter(|slot| is_meant(slot));
        if !splits.any(|slot| slot.split.is_some_and(|split| split.has(&share))) {
            return Err(CustodyError::ShareForeign.into());
        }
        Ok(self.gatherings.of(purpose).take(share, &*self.clock)?)
    }

    /// How many shares are there to unseal with by now, for each slot that takes shares.
    #[must_use]
    pub fn given(&self) -> u8 {
        let gathering = self.gatherings.of(Purpose::Unseal);
        gathering.progress().map_or(0, |progress| progress.given)
    }

    /// Forgets the shares that people have given so far, and what they have lent.
    pub fn forget_shares(&self) {
        self.forget_loans();
        for gathering in self.gatherings.all() {
            gathering
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .forget();
        }
    }

    /// Forgets shares that have waited for others too long, and what was lent as long ago.
    pub fn forget_stale_shares(&self) {
        self.loans().forget_stale(&*self.clock);
        for gathering in self.gatherings.all() {
            let mut gathering = gathering.lock().unwrap_or_else(PoisonError::into_inner);
            gathering.forget_stale(&*self.clock);
        }
    }

    /// Draws a key and deals it, for a slot to be added.
    ///
    /// # Errors
    /// [`CustodyError::ShareCount`].
    pub fn deal(&self, count: u8, threshold: u8) -> Result<Vec<Share>, VaultError> {
        Ok(Share::deal(count, threshold, &*self.random)?)
    }

    /// What may be shown of the ring's slots.
    #[must_use]
    pub fn slots(&self) -> Vec<SlotInfo> {
        self.held_ring().slots()
    }

    /// The root key's generation: from 1, one more each time it was replaced.
    #[must_use]
    pub fn root_generation(&self) -> u32 {
        self.held_ring().root().version
    }

    /// Whether somebody has a slot who may give no key now and give it later.
    #[must_use]
    pub fn may_open_later(&self) -> bool {
        self.slots().iter().any(|slot| slot.kind.may_be_away())
    }

    /// Adds a slot, durably.
    ///
    /// # Errors
    /// [`VaultError::Sealed`], and what custody reports.
    pub fn add_slot(
        &self,
        vault: &Unsealed,
        opener: &Opener,
        label: &str,
    ) -> Result<ObjectId, VaultError> {
        let slot = NewSlot::new(opener.provider(), label, self.clock.now());
        // On a copy: a custodian may take seconds, and nobody else may change the file meanwhile.
        let mut ring = self.ring();
        let root = vault.root_key(ring.root())?;
        let before = ring.bytes().to_vec();
        let added = ring.add_slot(&root, &slot, &*self.random);
        self.stands_now(&before, ring);
        Ok(added?)
    }

    /// Whether `opener` opens slot `id`.
    ///
    /// # Errors
    /// What custody reports.
    pub fn test_slot(&self, opener: &Opener, id: ObjectId) -> Result<(), VaultError> {
        Ok(self.ring().test_slot(opener.provider(), id)?)
    }

    /// Gives the slot that the broker's own key file opens another key, in that file. Answers the id that the slot
    /// has now; nothing when the file opens none. One that was cut short is gone on with.
    ///
    /// # Errors
    /// What custody reports.
    pub fn renew_key_file(&self, vault: &Unsealed) -> Result<Option<ObjectId>, VaultError> {
        let mut ring = self.ring();
        let root = vault.root_key(ring.root())?;
        let before = ring.bytes().to_vec();
        let (file, now) = (self.custodians().key_file(), self.clock.now());
        let renewed = ring.renew_key_file(&root, file, now, &*self.random);
        self.stands_now(&before, ring);
        Ok(renewed?)
    }

    /// However far a change of a copy came: what stands on disk is what it is now. Unless somebody has changed it
    /// meanwhile: then what they left stands on disk, and this has written nothing.
    pub(super) fn stands_now(&self, before: &[u8], ring: Ring) {
        let mut there = self.held_ring();
        if there.bytes() == before {
            *there = ring;
        }
    }

    /// Whether a renewal of the key file was cut short.
    #[must_use]
    pub fn is_key_file_renewing(&self) -> bool {
        Ring::is_renewing(self.custodians().key_file())
    }

    /// Removes a slot, durably; never the last one. Blocks while the disk takes its time.
    ///
    /// # Errors
    /// What custody reports.
    pub fn remove_slot(&self, vault: &Unsealed, id: ObjectId) -> Result<(), VaultError> {
        self.change_ring(|ring| {
            let root = vault.root_key(ring.root())?;
            Ok(ring.remove_slot(&root, id)?)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::sync::mpsc::channel;
    use std::sync::{Arc, Mutex};

    use crate::clock::{Clock, Timestamp};
    use crate::custody::{CustodyError, Ring};
    use crate::secret::Secret;
    use crate::store::MemoryEngine;
    use crate::vault::tests_rig::opened;
    use crate::vault::{Opener, VaultError};

    type Act = Box<dyn FnOnce() + Send>;

    /// A clock that has something done when it is looked at.
    #[derive(Default)]
    struct Meddling(Mutex<Option<Act>>);

    impl fmt::Debug for Meddling {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Meddling")
        }
    }

    impl Clock for Meddling {
        fn now(&self) -> Timestamp {
            let act = self.0.lock().unwrap().take();
            if let Some(act) = act {
                act();
            }
            Timestamp::parse("2026-11-23T09:30:00Z").unwrap()
        }
    }

    #[tokio::test]
    async fn who_looks_at_the_slots_waits_for_no_change_and_of_two_changes_none_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Arc::new(MemoryEngine::new());
        let clock = Arc::new(Meddling::default());
        let (lifecycle, vault) = opened(&folder, engine, clock).await;
        let [one, two] = [(); 2].map(|()| {
            let shares = Opener::Shares(lifecycle.deal(3, 2).unwrap());
            lifecycle.add_slot(&vault, &shares, "left").unwrap()
        });
        let ((tell, told), (free, freed)) = (channel(), channel());
        std::thread::scope(|scope| {
            let (lifecycle, vault) = (&lifecycle, &vault);
            let slow = scope.spawn(move || {
                lifecycle.change_ring(|ring| {
                    let root = vault.root_key(ring.root())?;
                    tell.send(()).unwrap();
                    freed.recv().unwrap();
                    Ok(ring.remove_slot(&root, one)?)
                })
            });
            told.recv().unwrap();
            let other = scope.spawn(move || lifecycle.remove_slot(vault, two));
            assert_eq!(lifecycle.slots().len(), 3);
            assert_eq!(lifecycle.root_generation(), 1);
            free.send(()).unwrap();
            slow.join().unwrap().unwrap();
            other.join().unwrap().unwrap();
        });
        let on_disk = Ring::load(&folder.path().join("keys")).unwrap().slots();
        assert_eq!((on_disk.len(), lifecycle.slots().len()), (1, 1));
    }

    #[tokio::test]
    async fn a_renewal_of_the_key_file_brings_no_slot_back_that_was_removed_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Meddling::default());
        let shared = Arc::<Meddling>::clone(&clock);
        let engine = Arc::new(MemoryEngine::new());
        let (lifecycle, vault) = opened(&folder, engine, shared).await;
        let words = || Opener::Passphrase(Secret::copy_of(b"correct horse battery staple"));
        let added = lifecycle.add_slot(&vault, &words(), "left").unwrap();
        let (meddler, inside) = (Arc::clone(&lifecycle), vault.clone());
        // The renewal has its copy of the ring by then.
        *clock.0.lock().unwrap() = Some(Box::new(move || {
            meddler.remove_slot(&inside, added).unwrap();
        }));
        let renewed = lifecycle.renew_key_file(&vault);
        assert!(
            matches!(renewed, Err(VaultError::Custody(CustodyError::RingChanged))),
            "{renewed:?}"
        );
        assert!(lifecycle.slots().iter().all(|slot| slot.id != added));
        assert!(lifecycle.test_slot(&words(), added).is_err());
        assert!(lifecycle.is_key_file_renewing());
        assert!(lifecycle.renew_key_file(&vault).unwrap().is_some());
        assert!(!lifecycle.is_key_file_renewing());
        let on_disk = Ring::load(&folder.path().join("keys")).unwrap().slots();
        assert_eq!(on_disk.len(), 1);
        assert_eq!(lifecycle.slots().len(), 1);
        assert_eq!(on_disk[0].id, lifecycle.slots()[0].id);
    }
}
