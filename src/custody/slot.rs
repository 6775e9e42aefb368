//! One slot: who opens it, and the root key sealed for them.

use std::fmt;
use std::path::Path;

use zeroize::Zeroizing;

use super::CustodyError;
use super::key_file;
use super::passphrase::{self, Cost, Stretch};
use crate::clock::Timestamp;
use crate::crypto::{Context, CryptoError, Key, KeyRef, Purpose, Random, Sealed, open, seal};
use crate::id::{ObjectId, StoreId};
use crate::secret::Secret;

/// The most slots of one ring.
pub(super) const MAX_SLOTS: usize = 16;
/// The longest label, in bytes.
pub(super) const MAX_LABEL_BYTES: usize = 64;

/// Who opens a slot, or is to open a new one.
#[derive(Clone, Copy, Debug)]
pub enum Provider<'a> {
    /// Whoever has the file at this path: 32 random bytes, mode 0600. For a new slot it is made
    /// when there is none.
    KeyFile(&'a Path),
    /// Whoever knows these words: for a new slot at least 12 characters, at most 1024 bytes.
    Passphrase(&'a Secret),
}

impl Provider<'_> {
    /// What kind of slot this provider opens.
    #[must_use]
    pub const fn kind(&self) -> SlotKind {
        match self {
            Self::KeyFile(_) => SlotKind::KeyFile,
            Self::Passphrase(_) => SlotKind::Passphrase,
        }
    }
}

/// What opens a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotKind {
    /// A file of 32 random bytes.
    KeyFile,
    /// A passphrase, stretched with Argon2id.
    Passphrase,
}

impl SlotKind {
    /// The kind as it stands in the ring file.
    pub(super) const fn byte(self) -> u8 {
        match self {
            Self::KeyFile => 1,
            Self::Passphrase => 2,
        }
    }
}

impl fmt::Display for SlotKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyFile => "key-file",
            Self::Passphrase => "passphrase",
        })
    }
}

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
            Provider::KeyFile(_) => Ok(()),
            Provider::Passphrase(words) => passphrase::check(words),
        }
    }
}

impl NewSlot<'_> {
    /// Refuses the path of a key file that is there already, whatever it is.
    ///
    /// # Errors
    /// [`CustodyError::KeyFileExists`].
    pub(super) fn refuse_known_file(&self) -> Result<(), CustodyError> {
        match self.provider {
            Provider::KeyFile(path) if path.symlink_metadata().is_ok() => {
                Err(CustodyError::KeyFileExists(path.to_owned()))
            }
            Provider::KeyFile(_) | Provider::Passphrase(_) => Ok(()),
        }
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

/// How a slot's own key is come by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Means {
    KeyFile,
    Passphrase(Stretch),
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
        let (means, key) = match new.provider {
            Provider::KeyFile(path) => {
                let key = key_file::read_or_make(path, name_in(id), random)?;
                (Means::KeyFile, key)
            }
            Provider::Passphrase(words) => {
                let stretch = Stretch::draw(new.cost, random)?;
                let key = stretch.key(words, name_in(id))?;
                (Means::Passphrase(stretch), key)
            }
        };
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
        match self.means {
            Means::KeyFile => SlotKind::KeyFile,
            Means::Passphrase(_) => SlotKind::Passphrase,
        }
    }

    /// What may be shown of this slot.
    pub(super) fn info(&self) -> SlotInfo {
        SlotInfo {
            id: self.id,
            kind: self.kind(),
            label: self.label.clone(),
            created: self.created,
        }
    }

    /// The root key, or nothing when `provider` does not open this slot.
    ///
    /// # Errors
    /// When the provider cannot be asked: a key file that is missing or not to be trusted.
    pub(super) fn open(
        &self,
        provider: Provider<'_>,
        ring: &Identity,
    ) -> Result<Option<Key>, CustodyError> {
        let key = match (&self.means, provider) {
            (Means::KeyFile, Provider::KeyFile(path)) => key_file::read(path, name_in(self.id))?,
            (Means::Passphrase(stretch), Provider::Passphrase(words)) => {
                stretch.key(words, name_in(self.id))?
            }
            _ => return Ok(None),
        };
        let context = Context::system(ring.store, self.id, u64::from(ring.root.version));
        match open(&key, Purpose::OrgKey, &context, &self.sealed) {
            Ok(root) => root_key(&root, ring.root).map(Some),
            Err(CryptoError::Open) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The name of the key that seals in slot `id`.
pub(super) const fn name_in(id: ObjectId) -> KeyRef {
    KeyRef { id, version: 1 }
}

fn root_key(opened: &Secret, name: KeyRef) -> Result<Key, CustodyError> {
    let mut copy = opened.expose(|bytes| Zeroizing::new(bytes.to_vec()));
    Ok(Key::from_bytes(name, &mut copy)?)
}
