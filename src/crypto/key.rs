//! Symmetric keys and their names.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::shelter::Sheltered;
use super::{CryptoError, Random};
use crate::id::ObjectId;
use crate::secret::Secret;

/// The public name of a key: which key, and which version of it. Stands in the clear in each box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyRef {
    /// Which key.
    pub id: ObjectId,
    /// Which version of it; the first is 1.
    pub version: u32,
}

/// A 256-bit key. Moving it copies no key byte, and it is wiped when dropped.
pub struct Key {
    name: KeyRef,
    bytes: Bytes,
    holds: Hold,
}

/// Where its bytes are.
enum Bytes {
    Boxed(Box<Zeroizing<[u8; 32]>>),
    Sheltered(Sheltered),
}

/// That somebody seals under a key, or has a box that was sealed under it just now and is on its way to
/// disk. Once a key is replaced, nobody holds it any more when all such boxes are where they are kept.
#[derive(Clone, Debug, Default)]
pub struct Hold(Arc<()>);

/// A key's fingerprint that reveals nothing of it: HKDF-SHA-256(key, "dek-id").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commitment([u8; 32]);

impl Commitment {
    /// What contexts hold where no data key is involved.
    pub const NONE: Self = Self([0; 32]);

    /// Takes 32 bytes that were a commitment before.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Key {
    /// Draws a new key.
    ///
    /// # Errors
    /// [`CryptoError::Random`] when there are no random bytes.
    pub fn generate(name: KeyRef, random: &dyn Random) -> Result<Self, CryptoError> {
        let mut bytes = Box::new(Zeroizing::new([0; 32]));
        random.fill(bytes.as_mut_slice())?;
        Ok(Self::of(name, bytes))
    }

    /// Takes over key bytes, wiping the caller's copy.
    ///
    /// # Errors
    /// [`CryptoError::Form`] when there are not exactly 32.
    pub fn from_bytes(name: KeyRef, raw: &mut [u8]) -> Result<Self, CryptoError> {
        let mut bytes = Box::new(Zeroizing::new([0; 32]));
        let fits = raw.len() == bytes.len();
        if fits {
            bytes.copy_from_slice(raw);
        }
        raw.zeroize();
        if fits {
            Ok(Self::of(name, bytes))
        } else {
            Err(CryptoError::Form)
        }
    }

    /// Takes the key that a box held.
    ///
    /// # Errors
    /// [`CryptoError::Form`] when there are not exactly 32 bytes.
    pub fn from_secret(name: KeyRef, secret: &Secret) -> Result<Self, CryptoError> {
        let mut bytes = Box::new(Zeroizing::new([0; 32]));
        secret.expose(|raw| {
            let raw = <&[u8; 32]>::try_from(raw).map_err(|_| CryptoError::Form)?;
            bytes.copy_from_slice(raw);
            Ok(Self::of(name, bytes))
        })
    }

    fn of(name: KeyRef, bytes: Box<Zeroizing<[u8; 32]>>) -> Self {
        Self {
            name,
            bytes: Bytes::Boxed(bytes),
            holds: Hold::default(),
        }
    }

    /// The same key, kept where nobody else looks while there is room: see [`shelter`](super::shelter()).
    /// For the few keys that open others and are open as long as the vault.
    #[must_use]
    pub fn sheltered(self) -> Self {
        let room = self.expose(Sheltered::copy_of);
        self.moved_to(room)
    }

    /// The same as long as half of the room there is free: for keys of which there may be ever more.
    #[must_use]
    pub fn sheltered_in_spare_room(self) -> Self {
        let room = self.expose(Sheltered::spare_copy_of);
        self.moved_to(room)
    }

    fn moved_to(self, room: Option<Sheltered>) -> Self {
        match room {
            Some(room) => Self {
                bytes: Bytes::Sheltered(room),
                ..self
            },
            None => self,
        }
    }

    /// Whether it is kept there.
    #[cfg(test)]
    pub(crate) const fn is_sheltered(&self) -> bool {
        matches!(self.bytes, Bytes::Sheltered(_))
    }

    /// Takes hold of the key.
    #[must_use]
    pub fn hold(&self) -> Hold {
        self.holds.clone()
    }

    /// Whether anybody has a hold of the key.
    #[must_use]
    pub fn is_held(&self) -> bool {
        let held = Arc::strong_count(&self.holds.0) > 1;
        // What they did before they let go is seen from here on.
        fence(Ordering::Acquire);
        held
    }

    /// The key's public name.
    #[must_use]
    pub const fn name(&self) -> KeyRef {
        self.name
    }

    /// Lends the 32 bytes for the length of `read`.
    pub fn expose<R>(&self, read: impl FnOnce(&[u8; 32]) -> R) -> R {
        match &self.bytes {
            Bytes::Boxed(bytes) => read(bytes),
            Bytes::Sheltered(room) => room.expose(read),
        }
    }

    /// The fingerprint that stands beside boxes sealed under this key.
    #[must_use]
    pub fn commitment(&self) -> Commitment {
        let mut out = [0; 32];
        let expanded =
            self.expose(|key| Hkdf::<Sha256>::new(None, key).expand(b"dek-id", &mut out));
        debug_assert!(
            expanded.is_ok(),
            "32 bytes are within HKDF's bound of 255 blocks"
        );
        Commitment(out)
    }

    /// Whether both are the same key, in constant time.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.expose(|one| other.expose(|other| one.ct_eq(other)))
            .into()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} v{})", self.name.id, self.name.version)
    }
}
