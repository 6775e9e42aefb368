//! The one type a secret value may live in.
//!
//! A [`Secret`] cannot be shown, cloned, serialised or compared with `==`, and it wipes itself.
//! Reading it takes a closure, [`Secret::expose`], so that a search for that word finds every place
//! where a value is touched; `tests/architecture.rs` pins the list of files that may do so.
//!
//! Bytes are held in one exact-size block: nothing grows, so nothing is left behind by growing.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// The largest value that may be stored, in bytes (64 KiB). Larger ones are refused at the edge.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;

/// A secret value: bytes that wipe themselves and cannot be printed, copied or compared carelessly.
pub struct Secret(Zeroizing<Box<[u8]>>);

impl Secret {
    /// Copies `bytes` into a block of exactly their size. The caller still owns, and wipes, its own.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(Box::from(bytes)))
    }

    /// Takes over `bytes`; whatever spare room the vector had is wiped before it is given back.
    #[must_use]
    pub fn take(mut bytes: Vec<u8>) -> Self {
        let secret = Self::copy_of(&bytes);
        bytes.zeroize();
        secret
    }

    /// Takes over a block that is of exactly the value's size already; nothing is copied.
    pub(crate) fn take_whole(bytes: Zeroizing<Box<[u8]>>) -> Self {
        Self(bytes)
    }

    /// Lends the bytes for the length of `read`.
    ///
    /// ```
    /// use runtools_broker::secret::Secret;
    /// let secret = Secret::copy_of(b"crm_yyy");
    /// assert_eq!(secret.expose(<[u8]>::len), 7);
    /// ```
    pub fn expose<R>(&self, read: impl FnOnce(&[u8]) -> R) -> R {
        read(&self.0)
    }

    /// How many bytes the value has. A length is a fingerprint of a token type: do not log it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no byte at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether both hold the same bytes, in time that depends on their lengths only.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// Reads a JSON string straight into an exact-size block. Error text never quotes the input.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret::copy_of(text.as_bytes()))
            }
            fn visit_string<E: de::Error>(self, text: String) -> Result<Secret, E> {
                Ok(Secret::take(text.into_bytes()))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_shows_a_fixed_word() {
        assert_eq!(
            format!("{:?}", Secret::copy_of(b"canary")),
            "Secret(hidden)"
        );
    }

    #[test]
    fn equality_is_of_all_bytes() {
        let a = Secret::copy_of(b"one");
        assert!(a.same_as(&Secret::take(b"one".to_vec())));
        assert!(!a.same_as(&Secret::copy_of(b"onf")));
        assert!(!a.same_as(&Secret::copy_of(b"on")));
    }

    #[test]
    fn a_json_string_is_read_with_its_escapes() {
        let secret: Secret = serde_json::from_str(r#""a\u0062\n""#).unwrap();
        assert!(secret.same_as(&Secret::copy_of(b"ab\n")));
        assert!(serde_json::from_str::<Secret>("7").is_err());
    }
}
