//! One slot: who opens it, and the root key sealed for them.

use zeroize::Zeroizing;

use super::custodian::CustodianName;
use super::means::{Means, Provider, SlotKind};
use super::passphrase::{self, Cost};
use super::protocol::Place;
use super::shares::Split;
use super::{Custodian, CustodyError};
use crate::clock::Timestamp;
use crate::crypto::{Context, CryptoError, Key, KeyRef, Purpose, Random, Sealed, open, seal};
use crate::id::{ObjectId, StoreId};
use crate::secret::Secret;

/// The most slots of one ring.
pub(super) const MAX_SLOTS: usize = 16;
/// The longest label, in bytes.
pub(super) const MAX_LABEL_BYTES: usize = 64;

/// What may be shown of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotInfo {
    /// Which slot.
    pub id: ObjectId,
    /// What opens it.
    pub kind: SlotKind,
    /// The operator's name for it, 1 to 64 bytes without control characters. Stands in the clear.
    pub label: String,
    /// When it was added.
    pub created: Timestamp,
    /// What its custodian is called, if it has one.
    pub name: Option<CustodianName>,
    /// How its key was dealt, if it was.
    pub split: Option<Split>,
}

/// A slot to be added.
#[derive(Clone, Copy, Debug)]
pub struct NewSlot<'a> {
    provider: Provider<'a>,
    label: &'a str,
    created: Timestamp,
    cost: Cost,
}

impl<'a> NewSlot<'a> {
    /// A slot that `provider` opens, called `label`, added at `created`.
    #[must_use]
    pub const fn new(provider: Provider<'a>, label: &'a str, created: Timestamp) -> Self {
        Self {
            provider,
            label,
            created,
            cost: Cost::DEFAULT,
        }
    }

    /// The same with the least cost, so that tests can try passphrases often.
    #[cfg(test)]
    pub(crate) const fn cheap(self) -> Self {
        Self {
            cost: Cost::LEAST,
            ..self
        }
    }

    /// Whether the label and the passphrase are within their bounds.
    ///
    /// # Errors
    /// [`CustodyError::Label`], [`CustodyError::PassphraseLength`].
    pub(super) fn check(&self) -> Result<(), CustodyError> {
        if !is_label(self.label) {
            return Err(CustodyError::Label);
        }
        match self.provider {
            Provider::KeyFile(_) | Provider::Shares(_) | Provider::Custodian(_) => Ok(()),
            Provider::Passphrase(words) => passphrase::check(words),
        }
    }
}

impl NewSlot<'_> {
    /// Refuses what would be the same way in as one of `slots`, and look like another: the path of
    /// a key file that is there already, whatever it is, and a credential that opens one of them.
    ///
    /// # Errors
    /// [`CustodyError::KeyFileExists`], [`CustodyError::CredentialInUse`].
    pub(super) fn refuse_double(&self, slots: &[Slot]) -> Result<(), CustodyError> {
        match self.provider {
            Provider::KeyFile(path) if path.symlink_metadata().is_ok() => {
                Err(CustodyError::KeyFileExists(path.to_owned()))
            }
            Provider::Custodian(Custodian::Credential(credential))
                if slots.iter().any(|slot| slot.is_for(&self.provider)) =>
            {
                Err(CustodyError::CredentialInUse(credential.name().clone()))
            }
            _ => Ok(()),
        }
    }

    /// Whom it is for.
    pub(super) const fn provider(&self) -> Provider<'_> {
        self.provider
    }

    /// What trying a passphrase is to cost.
    pub(super) const fn cost(&self) -> Cost {
        self.cost
    }
}

/// Whether `text` may be a label.
pub(super) fn is_label(text: &str) -> bool {
    (1..=MAX_LABEL_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Which root key a ring holds, and of which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) store: StoreId,
    pub(super) root: KeyRef,
}

/// One slot of a ring.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) id: ObjectId,
    pub(super) created: Timestamp,
    pub(super) label: String,
    pub(super) means: Means,
    pub(super) sealed: Sealed,
}

impl Slot {
    /// Seals `root` for a new slot that was [checked](NewSlot::check).
    ///
    /// # Errors
    /// What the provider refuses.
    pub(super) fn make(
        new: &NewSlot<'_>,
        store: StoreId,
        root: &Key,
        random: &dyn Random,
    ) -> Result<Self, CustodyError> {
        let id = ObjectId::from_random(random.bytes()?);
        let (means, key) = Means::make(new, place(store, id), random)?;
        let key = key.sheltered();
        let context = Context::system(store, id, u64::from(root.name().version));
        let sealed = root.expose(|root| seal(&key, Purpose::OrgKey, &context, root, random))?;
        Ok(Self {
            id,
            created: new.created,
            label: new.label.to_owned(),
            means,
            sealed,
        })
    }

    /// What opens this slot.
    pub(super) const fn kind(&self) -> SlotKind {
        self.means.kind()
    }

    /// Whether `provider` is one that this slot may be opened by.
    pub(super) fn is_for(&self, provider: &Provider<'_>) -> bool {
        self.means.is_for(provider)
    }

    /// What may be shown of this slot.
    pub(super) fn info(&self) -> SlotInfo {
        SlotInfo {
            id: self.id,
            kind: self.kind(),
            label: self.label.clone(),
            created: self.created,
            name: self.means.custodian().cloned(),
            split: self.means.split(),
        }
    }

    /// The slot's own key as `provider` has it, which may open it or not; nothing when `provider` is for another.
    ///
    /// # Errors
    /// When the provider cannot be asked: a key file that is missing or not to be trusted.
    pub(super) fn own_key(
        &self,
        provider: Provider<'_>,
        store: StoreId,
    ) -> Result<Option<Key>, CustodyError> {
        let key = self.means.key(provider, place(store, self.id))?;
        Ok(key.map(Key::sheltered))
    }

    /// The root key, or nothing when `key` does not open this slot.
    ///
    /// # Errors
    /// When what it opens is no key.
    pub(super) fn open(&self, key: &Key, ring: &Identity) -> Result<Option<Key>, CustodyError> {
        let context = Context::system(ring.store, self.id, u64::from(ring.root.version));
        match open(key, Purpose::OrgKey, &context, &self.sealed) {
            Ok(root) => root_key(&root, ring.root).map(Some),
            Err(CryptoError::Open) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The same slot with the root key `new` in it, by the slot's own key; nothing when `key` does not open it.
    ///
    /// # Errors
    /// When no randomness is to be had.
    pub(super) fn resealed(
        &self,
        key: &Key,
        ring: &Identity,
        new: &Key,
        random: &dyn Random,
    ) -> Result<Option<Self>, CustodyError> {
        if self.open(key, ring)?.is_none() {
            return Ok(None);
        }
        let context = Context::system(ring.store, self.id, u64::from(new.name().version));
        let sealed = new.expose(|root| seal(key, Purpose::OrgKey, &context, root, random))?;
        Ok(Some(Self {
            sealed,
            ..self.clone()
        }))
    }
}

/// The name of the key that seals in slot `id`.
pub(super) const fn name_in(id: ObjectId) -> KeyRef {
    KeyRef { id, version: 1 }
}

const fn place(store: StoreId, id: ObjectId) -> Place {
    Place {
        store,
        slot: name_in(id),
    }
}

fn root_key(opened: &Secret, name: KeyRef) -> Result<Key, CustodyError> {
    let mut copy = opened.expose(|bytes| Zeroizing::new(bytes.to_vec()));
    Ok(Key::from_bytes(name, &mut copy)?.sheltered())
}
