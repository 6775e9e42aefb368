//! The sealing construction, and everything else that touches a key.
//!
//! One construction seals every byte that this project puts on disk: **OBX1** ([`seal`], [`open`];
//! layout in [`Sealed`], context in [`Context`]). Each box has a fresh salt and nonce; HKDF-SHA-256
//! turns key, salt, nonce and context into a one-time AES-256-GCM key and a 32-byte commitment,
//! which is compared in constant time before anything is decrypted. A box that was flipped, moved,
//! swapped or opened with another key fails there, and every failure is the same error.
//!
//! What others signed is verified by [`Jws`] with their published [`Jwks`]; tokens of our own are
//! signed by a [`JwsKey`], or a [`NamedKey`] where the key says what it is.
//!
//! aes-gcm seals, because with `zeroize` it leaves no key in freed memory; ring supplies randomness
//! and Ed25519, and the provider of rustls.

mod context;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod hash;
mod jwks;
mod jws;
mod jws_jwk;
mod jws_key;
mod key;
mod key_text;
mod letters;
mod obx1;
mod pad;
mod random;
mod sealed;
mod shelter;
mod sign;
mod strict_json;
mod veil;

#[cfg(test)]
mod tests_jws;
#[cfg(test)]
mod tests_properties;
#[cfg(test)]
mod tests_refusals;
#[cfg(test)]
mod tests_vectors;

pub use context::{Context, Owner, OwnerKind};
pub use error::CryptoError;
pub use hash::{
    Digest, MacKey, MultisetDigest, digests_match, hmac_chain, hmac_of, hmac_sha512_of,
    hmac_under_hash_of, sha1, sha256, sha256_parts,
};
pub use jwks::Jwks;
pub use jws::{Jws, JwsAlg, JwsError};
pub use jws_jwk::NamedKey;
pub use jws_key::{JwsKey, JwsKeyError};
pub use key::{Commitment, Hold, Key, KeyRef};
pub use letters::{CHECK_LETTERS, check_letters, draw_letters};
pub use obx1::{open, open_padded, seal, seal_padded};
pub use pad::padded_len;
pub use random::{Ahead, Random, SystemRandom};
pub use sealed::{OVERHEAD, Purpose, Record, RecordReader, Sealed};
pub use shelter::{Shelter, shelter};
pub use sign::{PublicKey, Signature, SigningKey};
pub use strict_json::unambiguous_json;
pub use veil::Veil;
