//! The ring: opening it, and changing its slots.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::form::{self, Parsed};
use super::slot::{Identity, MAX_SLOTS, Slot};
use super::unattended::Unattended;
use super::{
    Custodian, Custodians, CustodyError, FileFault, NewSlot, Provider, SlotInfo, SlotKind, disk,
};
use crate::crypto::{Digest, Key, KeyRef, MacKey, Random, digests_match};
use crate::id::{ObjectId, StoreId};

/// The ring's name in the keys directory.
pub const RING_FILE: &str = "root.ring";
/// The usual name of the key file, in the keys directory.
pub const KEY_FILE: &str = "root.key";

/// Separates the header's key from everything else that the root key is used for.
const HEADER_LABEL: &[u8] = b"root.ring header";

/// A ring file that was read: the root key, sealed once per slot.
#[derive(Clone, Debug)]
pub struct Ring {
    pub(super) dir: PathBuf,
    /// The whole file as it stands on disk.
    pub(super) bytes: Vec<u8>,
    pub(super) identity: Identity,
    pub(super) slots: Vec<Slot>,
    mac: Digest,
}

impl Ring {
    /// Draws a root key for `store` and writes a ring with one slot to `dir`, which is made when it
    /// is missing. Returns once both are durable; a kill before leaves no ring.
    ///
    /// # Errors
    /// [`CustodyError::RingExists`] when there is one; [`CustodyError::File`] when others may enter
    /// `dir`; what the provider refuses.
    pub fn create(
        dir: &Path,
        store: StoreId,
        first: &NewSlot<'_>,
        random: &dyn Random,
    ) -> Result<(Self, Key), CustodyError> {
        first.check()?;
        let held = disk::directory_made(dir)?;
        disk::lock(dir, &held)?;
        let path = dir.join(RING_FILE);
        if path.symlink_metadata().is_ok() {
            return Err(CustodyError::RingExists(path));
        }
        let name = KeyRef {
            id: ObjectId::from_random(random.bytes()?),
            version: 1,
        };
        let root = Key::generate(name, random)?.sheltered();
        let slot = Slot::make(first, store, &root, random)?;
        let identity = Identity { store, root: name };
        let ring = Self::of(dir, identity, vec![slot], &root)?;
        if disk::write_new(&path, &ring.bytes)? {
            Ok((ring, root))
        } else {
            Err(CustodyError::RingExists(path))
        }
    }

    /// Reads the ring in `dir`. Nothing is trusted yet: the MAC is checked when a slot opens.
    ///
    /// # Errors
    /// [`CustodyError::RingMissing`]; [`CustodyError::File`] when others may enter `dir` or read
    /// the ring; [`CustodyError::RingForm`] and [`CustodyError::RingVersion`] for what is no ring
    /// of ours.
    pub fn load(dir: &Path) -> Result<Self, CustodyError> {
        let bytes = match disk::directory(dir) {
            Err(CustodyError::File {
                fault: FileFault::Missing,
                ..
            }) => Err(CustodyError::RingMissing(dir.join(RING_FILE))),
            Err(error) => Err(error),
            Ok(_) => read(dir),
        }?;
        Self::parse(dir, bytes)
    }

    /// The ring whose file has these bytes, and stands in `dir` or is to.
    pub(super) fn parse(dir: &Path, bytes: Vec<u8>) -> Result<Self, CustodyError> {
        let Parsed {
            identity,
            slots,
            mac,
        } = form::parse(&bytes)?;
        Ok(Self {
            dir: dir.to_owned(),
            bytes,
            identity,
            slots,
            mac,
        })
    }

    /// The whole file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The store that this ring's root key belongs to.
    #[must_use]
    pub const fn store(&self) -> StoreId {
        self.identity.store
    }

    /// The root key's public name; its version is the ring's epoch.
    #[must_use]
    pub const fn root(&self) -> KeyRef {
        self.identity.root
    }

    /// What may be shown of the slots, oldest first. Vouched for only once a slot has opened.
    #[must_use]
    pub fn slots(&self) -> Vec<SlotInfo> {
        self.slots.iter().map(Slot::info).collect()
    }

    /// The root key, by the first slot that `provider` opens.
    ///
    /// # Errors
    /// [`CustodyError::WrongPassphrase`], [`CustodyError::WrongKeyFile`] and their like when it opens none,
    /// [`CustodyError::RingAltered`] when a slot opens and the ring's MAC is wrong.
    pub fn open(&self, provider: Provider<'_>) -> Result<Key, CustodyError> {
        self.open_one_of(self.slots.iter(), provider)
    }

    /// The root key for a start that nobody attends: by the key file, else by the first custodian whose
    /// slot opens. Where a person can open the ring, the broker starts sealed when nobody else has a
    /// slot, and when those who have are lost: a start that failed would shut out that person. So it does
    /// while a program that holds a key gives none: it may give it later.
    ///
    /// # Errors
    /// As [`open`](Self::open). [`CustodyError::File`] when others may read or own a key, or it is no
    /// file: that is a danger and no loss, and is told whatever else opens the ring.
    pub fn open_unattended(&self, who: &Custodians) -> Result<Unattended<Key>, CustodyError> {
        let mut lost = Vec::new();
        match self.open(Provider::KeyFile(who.key_file())) {
            Err(CustodyError::NoSlotOfKind(_)) => {}
            Err(error) if error.is_loss() => lost.push(error),
            outcome => return outcome.map(Unattended::Opened),
        }
        for slot in &self.slots {
            let Some(custodian) = who.for_means(&slot.means) else {
                continue;
            };
            let ask = |custodian: Custodian| {
                let provider = Provider::Custodian(&custodian);
                self.open_one_of(std::iter::once(slot), provider)
            };
            match custodian.and_then(ask) {
                Err(error) if error.is_loss() || error.may_pass() => lost.push(error),
                outcome => return outcome.map(Unattended::Opened),
            }
        }
        // Somebody may come, or come back.
        let person = self.slots.iter().any(|slot| slot.kind().takes_a_person());
        if person || lost.iter().any(CustodyError::may_pass) {
            return Ok(Unattended::Waits(lost));
        }
        match lost.into_iter().next() {
            Some(first) => Err(first),
            None => Ok(Unattended::Waits(Vec::new())),
        }
    }

    /// Whether a slot of this kind is in the ring.
    #[must_use]
    pub fn has(&self, kind: SlotKind) -> bool {
        self.slots.iter().any(|slot| slot.kind() == kind)
    }

    /// Whether `provider` opens slot `id`: to be asked before another slot is removed.
    ///
    /// # Errors
    /// [`CustodyError::NoSlot`]; as [`open`](Self::open).
    pub fn test_slot(&self, provider: Provider<'_>, id: ObjectId) -> Result<(), CustodyError> {
        let slot = self.find(id)?;
        self.open_one_of(std::iter::once(slot), provider).map(drop)
    }

    /// Adds a slot, durably, and returns its id. A key file is made for it, and none is used that is
    /// there: two slots of one file would be one way in, and look like two.
    ///
    /// # Errors
    /// [`CustodyError::KeyFileExists`], [`CustodyError::CredentialInUse`], [`CustodyError::TooManySlots`], what the provider refuses; as
    /// [`remove_slot`](Self::remove_slot).
    pub fn add_slot(
        &mut self,
        root: &Key,
        new: &NewSlot<'_>,
        random: &dyn Random,
    ) -> Result<ObjectId, CustodyError> {
        new.check()?;
        self.check_root(root)?;
        if self.slots.len() >= MAX_SLOTS {
            return Err(CustodyError::TooManySlots);
        }
        let held = self.lock_unchanged()?;
        new.refuse_double(&self.slots)?;
        let slot = Slot::make(new, self.identity.store, root, random)?;
        let id = slot.id;
        let mut slots = self.slots.clone();
        slots.push(slot);
        self.replace(&held, slots, root)?;
        Ok(id)
    }

    /// Removes a slot, durably. Whoever opened it before may have kept the root key, and an old
    /// copy of the file still has the slot: only a new root key shuts them out.
    ///
    /// # Errors
    /// [`CustodyError::LastSlot`], [`CustodyError::NoSlot`]; [`CustodyError::NotRoot`] for another
    /// ring's key; [`CustodyError::Busy`] and [`CustodyError::RingChanged`] when another process
    /// changes the ring, in which case nothing was done.
    pub fn remove_slot(&mut self, root: &Key, id: ObjectId) -> Result<(), CustodyError> {
        self.check_root(root)?;
        self.find(id)?;
        if self.slots.len() == 1 {
            return Err(CustodyError::LastSlot);
        }
        let held = self.lock_unchanged()?;
        let slots = self.slots.iter().filter(|slot| slot.id != id);
        let slots = slots.cloned().collect();
        self.replace(&held, slots, root)
    }

    pub(super) fn find(&self, id: ObjectId) -> Result<&Slot, CustodyError> {
        let mut slots = self.slots.iter();
        slots
            .find(|slot| slot.id == id)
            .ok_or(CustodyError::NoSlot(id))
    }

    fn open_one_of<'s>(
        &self,
        slots: impl Iterator<Item = &'s Slot>,
        provider: Provider<'_>,
    ) -> Result<Key, CustodyError> {
        let mut refusal = CustodyError::NoSlotOfKind(provider.kind());
        for slot in slots.filter(|slot| slot.is_for(&provider)) {
            let key = slot.own_key(provider, self.identity.store)?;
            let root = key.map(|key| slot.open(&key, &self.identity)).transpose()?;
            if let Some(root) = root.flatten() {
                self.check_mac(&root)?;
                return Ok(root);
            }
            refusal = provider.refusal();
        }
        Err(refusal)
    }

    pub(super) fn check_mac(&self, root: &Key) -> Result<(), CustodyError> {
        let covered = form::covered(&self.bytes).ok_or(CustodyError::RingForm)?;
        if digests_match(&mac(root, covered)?, &self.mac) {
            Ok(())
        } else {
            Err(CustodyError::RingAltered)
        }
    }

    /// Before a change: what is signed anew must have been sound.
    pub(super) fn check_root(&self, root: &Key) -> Result<(), CustodyError> {
        if root.name() != self.identity.root {
            return Err(CustodyError::NotRoot);
        }
        self.check_mac(root)
    }

    pub(super) fn lock_unchanged(&self) -> Result<File, CustodyError> {
        let held = disk::directory(&self.dir)?;
        disk::lock(&self.dir, &held)?;
        if read(&self.dir)? == self.bytes {
            Ok(held)
        } else {
            Err(CustodyError::RingChanged)
        }
    }

    /// Writes the ring with other slots. Takes the lock's file to show that it is held.
    fn replace(&mut self, _held: &File, slots: Vec<Slot>, root: &Key) -> Result<(), CustodyError> {
        let next = Self::of(&self.dir, self.identity, slots, root)?;
        self.become_next(next)
    }

    pub(super) fn of(
        dir: &Path,
        identity: Identity,
        slots: Vec<Slot>,
        root: &Key,
    ) -> Result<Self, CustodyError> {
        let mut bytes = form::encode(&identity, &slots)?;
        let mac = mac(root, &bytes)?;
        bytes.extend_from_slice(&mac);
        Ok(Self {
            dir: dir.to_owned(),
            bytes,
            identity,
            slots,
            mac,
        })
    }
}

/// The header's MAC, under a key that only the root key yields.
fn mac(root: &Key, covered: &[u8]) -> Result<Digest, CustodyError> {
    let mut derived = MacKey::new(root)?.hash(&[HEADER_LABEL]);
    let key = Key::from_bytes(root.name(), &mut derived)?;
    Ok(MacKey::new(&key)?.hash(&[covered]))
}

pub(super) fn read(dir: &Path) -> Result<Vec<u8>, CustodyError> {
    let path = dir.join(RING_FILE);
    match disk::read_private(&path, form::MAX_BYTES) {
        Err(CustodyError::File {
            fault: FileFault::Missing,
            ..
        }) => Err(CustodyError::RingMissing(path)),
        Err(CustodyError::File {
            fault: FileFault::Length,
            ..
        }) => Err(CustodyError::RingForm),
        outcome => outcome,
    }
}
