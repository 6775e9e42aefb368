//! A veil over blinded names: what stands on disk in place of a keyed hash.
//!
//! Keyed hashes cannot be moved under another key without knowing what was hashed. A veil can: it is a
//! permutation of 16-byte blocks (AES-256), laid over hashes and lifted from them again. Under another veil
//! every name on disk is another, and who knows the key of the hashes alone, or an older veil, finds nothing
//! by a name that they guess.
//!
//! Each block is covered by itself, so that what begins alike still begins alike, and a list is found by the
//! first block of its names. The blocks are halves of HMACs: no two of them are the same by chance.

use std::fmt;
use std::sync::Arc;

use aes_gcm::KeyInit;
use aes_gcm::aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt};
use aes_gcm::aes::{Aes256, Block};

use super::shelter::{wipe_little_stack, wipe_stack};
use super::{CryptoError, Key};

const BLOCK: usize = 16;

/// A permutation of names, which its key chooses. Wiped when dropped.
#[derive(Clone)]
pub struct Veil(Aes256);

impl Veil {
    /// The one that `key` chooses: on the heap, for what it is begins with the key. What making it leaves on the stack
    /// is wiped.
    #[must_use]
    pub fn new(key: &Key) -> Arc<Self> {
        let veil = Self::made(key);
        wipe_stack();
        veil
    }

    /// Never a part of who calls it, so that what it leaves is below them on the stack.
    #[inline(never)]
    fn made(key: &Key) -> Arc<Self> {
        Arc::new(Self(key.expose(|key| Aes256::new(&Array::from(*key)))))
    }

    /// Lays it over `name`.
    ///
    /// # Errors
    /// [`CryptoError::Form`] for what is not made of whole blocks.
    pub fn cover(&self, name: &mut [u8]) -> Result<(), CryptoError> {
        let covered = each_block(name, |block| self.0.encrypt_block(block));
        wipe_little_stack();
        covered
    }

    /// Lifts it from `name`.
    ///
    /// # Errors
    /// As [`Veil::cover`].
    pub fn uncover(&self, name: &mut [u8]) -> Result<(), CryptoError> {
        let uncovered = each_block(name, |block| self.0.decrypt_block(block));
        wipe_little_stack();
        uncovered
    }
}

/// Never a part of who calls it: a cipher leaves its key on the stack, and that is to be below them.
#[inline(never)]
fn each_block(name: &mut [u8], change: impl Fn(&mut Block)) -> Result<(), CryptoError> {
    if !name.len().is_multiple_of(BLOCK) {
        return Err(CryptoError::Form);
    }
    for chunk in name.chunks_exact_mut(BLOCK) {
        change(chunk.try_into().map_err(|_| CryptoError::Form)?);
    }
    Ok(())
}

impl fmt::Debug for Veil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Veil(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Veil;
    use crate::crypto::{Key, KeyRef};
    use crate::id::ObjectId;

    fn veil(byte: u8) -> Arc<Veil> {
        let id = ObjectId::from_bytes([8; 16]);
        Veil::new(&Key::from_bytes(KeyRef { id, version: 1 }, &mut [byte; 32]).unwrap())
    }

    #[test]
    fn what_is_covered_is_uncovered_by_the_same_veil_only_and_begins_alike() {
        let name: Vec<u8> = (0..48).collect();
        let mut covered = name.clone();
        veil(1).cover(&mut covered).unwrap();
        assert_ne!(covered, name);
        let mut first = name[..16].to_vec();
        veil(1).cover(&mut first).unwrap();
        assert!(covered.starts_with(&first));
        let mut other = covered.clone();
        veil(2).uncover(&mut other).unwrap();
        assert_ne!(other, name);
        veil(1).uncover(&mut covered).unwrap();
        assert_eq!(covered, name);
        assert!(veil(1).cover(&mut [0; 17]).is_err());
        assert!(veil(1).cover(&mut []).is_ok());
    }

    #[test]
    fn it_is_aes() {
        // FIPS 197, appendix C.3.
        let id = ObjectId::from_bytes([8; 16]);
        let mut key: Vec<u8> = (0..32).collect();
        let key = Key::from_bytes(KeyRef { id, version: 1 }, &mut key).unwrap();
        let mut block: Vec<u8> = (0..16).map(|byte| byte * 0x11).collect();
        Veil::new(&key).cover(&mut block).unwrap();
        let expected = "8ea2b7ca516745bfeafc49904b496089";
        assert_eq!(data_encoding::HEXLOWER.encode(&block), expected);
    }
}
