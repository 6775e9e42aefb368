//! The text of an API key: `rt_live_` or `rt_test_`, 32 random letters and digits, and a checksum of
//! six, so that leak scanners can tell a real key from a look-alike, offline.

use crate::crypto::{
    CHECK_LETTERS, CryptoError, Digest, MacKey, Random, check_letters, draw_letters,
};
use crate::secret::Secret;

const BODY: usize = 32;
const PREFIX: usize = 8;

/// A key's text that has the right form and checksum. Whether such a key exists is another question.
#[derive(Debug)]
pub struct Token(Secret);

impl Token {
    /// Draws a new key.
    ///
    /// # Errors
    /// When no randomness is to be had.
    pub fn generate(test: bool, random: &dyn Random) -> Result<Self, CryptoError> {
        let mut letters = Vec::with_capacity(PREFIX + BODY + CHECK_LETTERS);
        letters.extend_from_slice(if test { b"rt_test_" } else { b"rt_live_" });
        draw_letters(random, BODY, &mut letters)?;
        let check = check_letters(&letters);
        letters.extend_from_slice(&check);
        Ok(Self(Secret::take(letters)))
    }

    /// Checks the form of a key's text; `None` when it cannot be a key.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        is_sound(text).then(|| Self(Secret::copy_of(text)))
    }

    /// What the store knows the key by.
    #[must_use]
    pub fn hash(&self, index: &MacKey) -> Digest {
        self.0.expose(|text| hashed(text, index))
    }

    /// What the store would know a key of this text by, without a copy of it; `None` when it cannot be
    /// a key.
    #[must_use]
    pub fn hash_of(text: &[u8], index: &MacKey) -> Option<Digest> {
        is_sound(text).then(|| hashed(text, index))
    }

    /// The first twelve characters: enough to tell keys apart, not enough to guess one (28 remain).
    #[must_use]
    pub fn prefix(&self) -> String {
        self.0.expose(|text| {
            String::from_utf8_lossy(text.get(..PREFIX + 4).unwrap_or_default()).into_owned()
        })
    }

    /// The text, to be shown once.
    #[must_use]
    pub fn into_secret(self) -> Secret {
        self.0
    }
}

fn is_sound(text: &[u8]) -> bool {
    let Some((body, check)) = text.split_at_checked(PREFIX + BODY) else {
        return false;
    };
    let Some((prefix, letters)) = body.split_at_checked(PREFIX) else {
        return false;
    };
    (prefix == b"rt_live_" || prefix == b"rt_test_")
        && letters.iter().all(u8::is_ascii_alphanumeric)
        && check == check_letters(body)
}

fn hashed(text: &[u8], index: &MacKey) -> Digest {
    index.hash(&[b"api-key", text])
}

#[cfg(test)]
mod tests {
    use super::Token;
    use crate::crypto::SystemRandom;

    #[test]
    fn a_token_reads_back_and_a_changed_one_does_not() {
        let token = Token::generate(false, &SystemRandom).unwrap();
        assert_eq!(token.prefix().len(), 12);
        token.0.expose(|text| {
            assert_eq!(text.len(), 46);
            assert!(Token::parse(text).is_some());
            for index in 0..text.len() {
                let mut other = text.to_vec();
                other[index] ^= 1;
                assert!(Token::parse(&other).is_none(), "byte {index}");
            }
            assert!(Token::parse(&text[..45]).is_none());
            assert!(Token::parse(&[text, b"0"].concat()).is_none());
        });
        assert!(
            Token::generate(true, &SystemRandom)
                .unwrap()
                .prefix()
                .starts_with("rt_test_")
        );
    }
}
