//! Hashes, keyed hashes, and a digest of a whole set.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{CryptoError, Key};
use crate::secret::Secret;

/// A SHA-256 value.
pub type Digest = [u8; 32];

/// SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}

/// SHA-256 of several parts, one after another. Callers see to it that the parts cannot be cut
/// differently: all but one have a fixed length.
#[must_use]
pub fn sha256_parts(parts: &[&[u8]]) -> Digest {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// SHA-1 of `bytes`, for protocols that ask for it where nothing depends on its strength: a WebSocket's
/// opening (RFC 6455, 1.3) only tells that the other side speaks that protocol.
#[must_use]
pub fn sha1(bytes: &[u8]) -> [u8; 20] {
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
    let mut out = [0; 20];
    for (to, from) in out.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    out
}

/// Whether two digests are the same, in constant time.
#[must_use]
pub fn digests_match(a: &Digest, b: &Digest) -> bool {
    a.ct_eq(b).into()
}

/// A key for HMAC-SHA-256, with its first blocks already taken in: a hash costs two compressions less.
#[derive(Clone)]
pub struct MacKey(Hmac<Sha256>);

impl MacKey {
    /// Prepares `key` for hashing.
    ///
    /// # Errors
    /// None in practice: HMAC takes keys of every length.
    pub fn new(key: &Key) -> Result<Self, CryptoError> {
        key.expose(|bytes| Hmac::new_from_slice(bytes))
            .map(Self)
            .map_err(|_| CryptoError::Form)
    }

    /// HMAC of several parts, each preceded by its length, so that parts cannot be cut differently.
    #[must_use]
    pub fn hash(&self, parts: &[&[u8]]) -> Digest {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// HMAC-SHA-256 of a message whose form is somebody else's, under a secret shared with them.
#[must_use]
pub fn hmac_of(secret: &Secret, message: &[u8]) -> Digest {
    secret.expose(|key| plain_hmac(key, message))
}

/// The same under the SHA-256 of the secret.
#[must_use]
pub fn hmac_under_hash_of(secret: &Secret, message: &[u8]) -> Digest {
    secret.expose(|secret| {
        let key = Zeroizing::new(sha256(secret));
        plain_hmac(key.as_slice(), message)
    })
}

/// HMAC-SHA-512 of such a message.
#[must_use]
pub fn hmac_sha512_of(secret: &Secret, message: &[u8]) -> [u8; 64] {
    secret.expose(|key| {
        let mut block = Zeroizing::new([0; 128]);
        let hashed: Zeroizing<[u8; 64]> = Zeroizing::new(Sha512::digest(key).into());
        let key = if key.len() > block.len() {
            hashed.as_slice()
        } else {
            key
        };
        for (byte, key) in block.iter_mut().zip(key) {
            *byte = *key;
        }
        let mut mac = Hmac::<Sha512>::new((&*block).into());
        mac.update(message);
        mac.finalize().into_bytes().into()
    })
}

/// A chain of HMAC-SHA-256: `prefix` and the secret are the key of the first message, each result the
/// key of the next (as in AWS Signature Version 4). What lies between is wiped.
#[must_use]
pub fn hmac_chain(prefix: &[u8], secret: &Secret, first: &[u8], then: &[&[u8]]) -> Digest {
    let key = secret.expose(|secret| Zeroizing::new([prefix, secret].concat()));
    let mut digest = Zeroizing::new(plain_hmac(&key, first));
    for message in then {
        *digest = plain_hmac(digest.as_slice(), message);
    }
    *digest
}

/// RFC 2104: a key longer than a block is hashed, a shorter one is filled up with zeros. Keys of
/// every length are taken, so the door that may refuse one is not used.
fn plain_hmac(key: &[u8], message: &[u8]) -> Digest {
    let mut block = Zeroizing::new([0; 64]);
    let hashed = Zeroizing::new(sha256(key));
    let key = if key.len() > block.len() {
        hashed.as_slice()
    } else {
        key
    };
    for (byte, key) in block.iter_mut().zip(key) {
        *byte = *key;
    }
    let mut mac = Hmac::<Sha256>::new((&*block).into());
    mac.update(message);
    mac.finalize().into_bytes().into()
}

impl std::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MacKey(hidden)")
    }
}

/// A digest of a set that is kept up to date in constant time per change: the sum modulo 2^256 of
/// each member's keyed hash. Order does not matter; adding and removing a member cancel out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MultisetDigest([u64; 4]);

impl MultisetDigest {
    /// The digest whose 32 bytes these are.
    #[must_use]
    pub fn from_bytes(bytes: &Digest) -> Self {
        let mut limbs = [0; 4];
        for (limb, chunk) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
            *limb = chunk
                .first_chunk()
                .map_or(0, |chunk| u64::from_be_bytes(*chunk));
        }
        Self(limbs)
    }

    /// The 32 bytes, most significant first.
    #[must_use]
    pub fn bytes(&self) -> Digest {
        let mut out = [0; 32];
        for (chunk, limb) in out.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&limb.to_be_bytes());
        }
        out
    }

    /// Takes a member in.
    pub fn add(&mut self, member: &Digest) {
        let mut carry = false;
        for (limb, other) in self.0.iter_mut().zip(Self::from_bytes(member).0).rev() {
            let (sum, first) = limb.overflowing_add(other);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            (*limb, carry) = (sum, first || second);
        }
    }

    /// Takes a member out.
    pub fn remove(&mut self, member: &Digest) {
        let mut borrow = false;
        for (limb, other) in self.0.iter_mut().zip(Self::from_bytes(member).0).rev() {
            let (difference, first) = limb.overflowing_sub(other);
            let (difference, second) = difference.overflowing_sub(u64::from(borrow));
            (*limb, borrow) = (difference, first || second);
        }
    }

    /// The digest of both sets together.
    pub fn merge(&mut self, other: &Self) {
        self.add(&other.bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MultisetDigest, hmac_chain, hmac_of, hmac_sha512_of};
    use crate::secret::Secret;

    /// RFC 4231, test cases 2 and 6.
    #[test]
    fn keys_of_every_length_are_taken() {
        let hex = |digest: [u8; 32]| data_encoding::HEXLOWER.encode(&digest);
        assert_eq!(
            hex(hmac_of(
                &Secret::copy_of(b"Jefe"),
                b"what do ya want for nothing?"
            )),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        let long = Secret::copy_of(&[0xaa; 131]);
        let message = b"Test Using Larger Than Block-Size Key - Hash Key First";
        assert_eq!(
            hex(hmac_of(&long, message)),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
        let hex = |digest: [u8; 64]| data_encoding::HEXLOWER.encode(&digest);
        assert_eq!(
            hex(hmac_sha512_of(
                &Secret::copy_of(b"Jefe"),
                b"what do ya want for nothing?"
            )),
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
        );
        assert_eq!(
            hex(hmac_sha512_of(&long, message)),
            "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598"
        );
    }

    /// The example of AWS' guide to Signature Version 4: the key of a day, a region and a service.
    #[test]
    fn a_chain_makes_each_result_the_next_key() {
        let secret = Secret::copy_of(b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let rest: [&[u8]; 3] = [b"us-east-1", b"iam", b"aws4_request"];
        let key = hmac_chain(b"AWS4", &secret, b"20150830", &rest);
        assert_eq!(
            data_encoding::HEXLOWER.encode(&key),
            "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
        );
    }

    proptest! {
        #[test]
        fn members_cancel_out_in_any_order(members in prop::collection::vec(any::<[u8; 32]>(), 0..8)) {
            let mut digest = MultisetDigest::default();
            for member in &members {
                digest.add(member);
            }
            let mut reversed = MultisetDigest::default();
            for member in members.iter().rev() {
                reversed.add(member);
            }
            prop_assert_eq!(digest, reversed);
            prop_assert_eq!(MultisetDigest::from_bytes(&digest.bytes()), digest);
            for member in &members {
                digest.remove(member);
            }
            prop_assert_eq!(digest, MultisetDigest::default());
        }
    }
}
