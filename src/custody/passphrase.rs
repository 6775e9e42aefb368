//! The passphrase provider: Argon2id, with the cost standing in the slot.

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use super::CustodyError;
use crate::crypto::{Key, KeyRef, Random};
use crate::secret::Secret;

/// The shortest passphrase that may lock a slot, in characters.
pub(super) const MIN_PASSPHRASE_CHARS: usize = 12;
/// The longest passphrase, in bytes.
pub(super) const MAX_PASSPHRASE_BYTES: usize = 1024;
/// What a ring file may ask for at most: 1 GiB, 10 passes, 4 lanes. Whoever can write the file
/// could otherwise spend our memory and time before the MAC can tell.
const MAX_MEMORY_KIB: u32 = 1024 * 1024;
const MAX_PASSES: u32 = 10;
const MAX_LANES: u32 = 4;
const SALT: usize = 16;

/// What trying a passphrase costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    /// 64 MiB, 3 passes, 1 lane: 0.2 s on an idle core of a small machine, 0.4 s on a busy one.
    pub(super) const DEFAULT: Self = Self {
        memory_kib: 64 * 1024,
        passes: 3,
        lanes: 1,
    };

    /// The least that Argon2 takes, so that tests can try often.
    #[cfg(test)]
    pub(super) const LEAST: Self = Self {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };

    fn argon2(self) -> Option<Argon2<'static>> {
        let within = self.memory_kib <= MAX_MEMORY_KIB
            && self.passes <= MAX_PASSES
            && self.lanes <= MAX_LANES;
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).ok()?;
        within.then(|| Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
    }
}

/// How a slot's key comes from a passphrase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    salt: [u8; SALT],
    cost: Cost,
}

impl Stretch {
    /// Draws a salt.
    ///
    /// # Errors
    /// [`CustodyError::Crypto`] without randomness.
    pub(super) fn draw(cost: Cost, random: &dyn Random) -> Result<Self, CustodyError> {
        let salt = random.bytes()?;
        Ok(Self { salt, cost })
    }

    /// Reads a slot's parameters: whole, and within the bounds.
    pub(super) fn parse(params: &[u8]) -> Option<Self> {
        let (salt, rest) = params.split_first_chunk()?;
        let (memory, rest) = rest.split_first_chunk()?;
        let (passes, rest) = rest.split_first_chunk()?;
        let (lanes, rest) = rest.split_first_chunk()?;
        let cost = Cost {
            memory_kib: u32::from_be_bytes(*memory),
            passes: u32::from_be_bytes(*passes),
            lanes: u32::from_be_bytes(*lanes),
        };
        let sound = rest.is_empty() && cost.argon2().is_some();
        sound.then_some(Self { salt: *salt, cost })
    }

    /// A slot's parameters.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.salt);
        for number in [self.cost.memory_kib, self.cost.passes, self.cost.lanes] {
            out.extend_from_slice(&number.to_be_bytes());
        }
    }

    /// The key that `passphrase` yields here.
    ///
    /// # Errors
    /// [`CustodyError::Memory`] when there is too little to try it.
    pub(super) fn key(&self, passphrase: &Secret, name: KeyRef) -> Result<Key, CustodyError> {
        let argon2 = self.cost.argon2().ok_or(CustodyError::RingForm)?;
        let mut out = Zeroizing::new([0; 32]);
        passphrase
            .expose(|bytes| argon2.hash_password_into(bytes, &self.salt, out.as_mut_slice()))
            .map_err(|_| CustodyError::Memory)?;
        Ok(Key::from_bytes(name, out.as_mut_slice())?)
    }
}

/// Refuses a passphrase that is too short to lock a slot.
///
/// # Errors
/// [`CustodyError::PassphraseLength`].
pub fn check(passphrase: &Secret) -> Result<(), CustodyError> {
    // Characters of UTF-8: every byte but the continuing ones.
    let chars =
        passphrase.expose(|bytes| bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count());
    if chars >= MIN_PASSPHRASE_CHARS && passphrase.len() <= MAX_PASSPHRASE_BYTES {
        Ok(())
    } else {
        Err(CustodyError::PassphraseLength)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cost, Stretch, check};
    use crate::crypto::KeyRef;
    use crate::id::ObjectId;
    use crate::secret::Secret;

    fn params(memory_kib: u32, passes: u32, lanes: u32) -> Vec<u8> {
        let mut out = vec![];
        let cost = Cost {
            memory_kib,
            passes,
            lanes,
        };
        Stretch {
            salt: [7; 16],
            cost,
        }
        .encode(&mut out);
        out
    }

    #[test]
    fn a_file_that_asks_for_too_much_or_for_nonsense_is_refused() {
        let most = params(1024 * 1024, 10, 4);
        assert!(Stretch::parse(&most).is_some());
        for (memory_kib, passes, lanes) in [
            (1024 * 1024 + 1, 3, 1),
            (u32::MAX, 3, 1),
            (65536, 11, 1),
            (65536, u32::MAX, 1),
            (65536, 3, 5),
            (65536, 3, u32::MAX),
            (7, 1, 1),
            (16, 1, 4),
            (65536, 0, 1),
            (65536, 3, 0),
            (0, 0, 0),
        ] {
            assert!(
                Stretch::parse(&params(memory_kib, passes, lanes)).is_none(),
                "{memory_kib} {passes} {lanes}"
            );
        }
        for length in 0..most.len() {
            assert!(Stretch::parse(&most[..length]).is_none());
        }
        assert!(Stretch::parse(&[&most[..], &[0]].concat()).is_none());
    }

    #[test]
    fn a_passphrase_is_counted_in_characters() {
        for (text, good) in [
            ("", false),
            ("eleven char", false),
            ("twelve chars", true),
            ("éééééééééééé", true),
            ("ééééééééééé", false),
        ] {
            assert_eq!(
                check(&Secret::copy_of(text.as_bytes())).is_ok(),
                good,
                "{text}"
            );
        }
        assert!(check(&Secret::take(vec![b'a'; 1024])).is_ok());
        assert!(check(&Secret::take(vec![b'a'; 1025])).is_err());
    }

    /// Computed with the reference implementation; see `tests/fixtures/obx1/check.py`.
    #[test]
    fn the_key_is_argon2id_version_13_of_the_passphrase() {
        let name = KeyRef {
            id: ObjectId::from_bytes([1; 16]),
            version: 1,
        };
        let stretch = Stretch::parse(&params(64, 3, 1)).unwrap();
        let passphrase = Secret::copy_of(b"correct horse battery staple");
        let key = stretch.key(&passphrase, name).unwrap();
        let hex = key.expose(|bytes| data_encoding::HEXLOWER.encode(bytes));
        assert_eq!(
            hex,
            "42e698046d9cee51214f7eb6a61264706d24c6cfc67183d3c20a15db0bcd5fc2"
        );
    }
}
