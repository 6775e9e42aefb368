//! Another root key in every slot of a ring.
//!
//! A slot is sealed anew by its own key, so whoever has it must be there, or have been: the key file and the
//! custodians of the settings are asked when it is done, and everybody else lends the slot's key before. The
//! shares of several people yield that key when enough of them are together, and go on to do so: nothing is dealt
//! anew.

use std::fmt;
use std::sync::Arc;

use super::slot::{Identity, Slot};
use super::{Custodians, CustodyError, Provider, Ring, SlotKind};
use crate::crypto::{Key, Random};
use crate::id::ObjectId;

/// A slot's own key, which was shown to open it, until the slot is sealed anew.
pub struct Lent {
    slot: ObjectId,
    key: Key,
}

/// A ring with another root key, and what it is made of.
#[derive(Debug)]
pub struct Resealed {
    before: Vec<u8>,
    ring: Ring,
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lent({})", self.slot)
    }
}

impl Lent {
    /// Which slot it opens.
    #[must_use]
    pub const fn slot(&self) -> ObjectId {
        self.slot
    }
}

impl Ring {
    /// The own key of slot `id`, from whoever opens it.
    ///
    /// # Errors
    /// As [`test_slot`](Self::test_slot).
    pub fn lend(&self, provider: Provider<'_>, id: ObjectId) -> Result<Lent, CustodyError> {
        let slot = self.find(id)?;
        if !slot.is_for(&provider) {
            return Err(CustodyError::NoSlotOfKind(provider.kind()));
        }
        let key = slot.own_key(provider, self.identity.store)?;
        let key = key.ok_or_else(|| provider.refusal())?;
        let root = slot.open(&key, &self.identity)?;
        self.check_mac(&root.ok_or_else(|| provider.refusal())?)?;
        Ok(Lent { slot: id, key })
    }

    /// The ring with the root key `new` under each slot, to be put in this one's place. The key file and the
    /// custodians are asked for what was not lent, and nothing is written.
    ///
    /// # Errors
    /// [`CustodyError::SlotAway`] for the first slot that nobody opens who is there; as
    /// [`remove_slot`](Self::remove_slot).
    pub fn reseal(
        &self,
        (old, new): (&Key, &Key),
        who: &Custodians,
        lent: &[Arc<Lent>],
        random: &dyn Random,
    ) -> Result<Resealed, CustodyError> {
        self.check_root(old)?;
        let mut slots = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let by = lent.iter().find(|lent| lent.slot == slot.id);
            let resealed = match by {
                Some(lent) => slot.resealed(&lent.key, &self.identity, new, random)?,
                None => self.resealed_alone(slot, who, new, random)?,
            };
            slots.push(resealed.ok_or(CustodyError::SlotAway(slot.id))?);
        }
        let identity = Identity {
            root: new.name(),
            ..self.identity
        };
        Ok(Resealed {
            before: self.bytes.clone(),
            ring: Self::of(&self.dir, identity, slots, new)?,
        })
    }

    /// A slot, sealed anew by who opens it without a person; nothing when none of them does.
    fn resealed_alone(
        &self,
        slot: &Slot,
        who: &Custodians,
        new: &Key,
        random: &dyn Random,
    ) -> Result<Option<Slot>, CustodyError> {
        let custodian = who.for_means(&slot.means).transpose()?;
        let provider = match slot.kind() {
            SlotKind::KeyFile => Some(Provider::KeyFile(who.key_file())),
            SlotKind::Passphrase | SlotKind::Shares => None,
            SlotKind::Credential | SlotKind::Exec | SlotKind::Pkcs11 => {
                custodian.as_ref().map(Provider::Custodian)
            }
        };
        let Some(provider) = provider else {
            return Ok(None);
        };
        match slot.own_key(provider, self.identity.store)? {
            Some(key) => slot.resealed(&key, &self.identity, new, random),
            None => Ok(None),
        }
    }

    /// Puts a ring that was sealed anew in the place of this one, durably, in one rename.
    ///
    /// # Errors
    /// [`CustodyError::RingChanged`] when it was made of another one, [`CustodyError::Busy`].
    pub fn give_way_to(&mut self, next: Resealed) -> Result<(), CustodyError> {
        let _held = self.lock_unchanged()?;
        if next.before != self.bytes {
            return Err(CustodyError::RingChanged);
        }
        self.become_next(next.ring)
    }
}
