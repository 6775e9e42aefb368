//! Ed25519 signatures (RFC 8032), for the audit journal's checkpoints.

use std::fmt;

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use super::{CryptoError, Key};

/// A signature.
pub type Signature = [u8; 64];

/// A key that signs; made from a 32-byte seed that is itself sealed.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// The signing key whose seed is `seed`.
    ///
    /// # Errors
    /// [`CryptoError::Form`] when the seed is refused.
    pub fn from_seed(seed: &Key) -> Result<Self, CryptoError> {
        let pair = seed.expose(|seed| Ed25519KeyPair::from_seed_unchecked(seed));
        pair.map(Self).map_err(|_| CryptoError::Form)
    }

    /// Signs `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        let mut out = [0; 64];
        for (out, byte) in out.iter_mut().zip(self.0.sign(message).as_ref()) {
            *out = *byte;
        }
        out
    }

    /// The key that verifies what this one signs.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut out = [0; 32];
        for (out, byte) in out.iter_mut().zip(self.0.public_key().as_ref()) {
            *out = *byte;
        }
        PublicKey(out)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(hidden)")
    }
}

/// A key that verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Whether `signature` is this key's over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(message, signature)
            .is_ok()
    }
}
