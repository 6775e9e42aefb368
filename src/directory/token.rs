//! The text of a key: `rt_live_` or `rt_test_` of a user, `rt_svc_` of a service, then 32 random letters
//! and digits, and a checksum of six, so that leak scanners can tell a real key from a look-alike, offline.

use crate::crypto::{
    CHECK_LETTERS, CryptoError, Digest, MacKey, Random, check_letters, draw_letters,
};
use crate::secret::Secret;

const BODY: usize = 32;
/// How many characters of a key are shown to tell it from others.
const SHOWN: usize = 12;

/// Whose key it is, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A user's.
    Live,
    /// A user's, for tests.
    Test,
    /// A service's.
    Service,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Live, Self::Test, Self::Service];

    const fn begins(self) -> &'static [u8] {
        match self {
            Self::Live => b"rt_live_",
            Self::Test => b"rt_test_",
            Self::Service => b"rt_svc_",
        }
    }

    /// Under what such keys are hashed: no user's key is ever found where services' are.
    const fn domain(self) -> &'static [u8] {
        match self {
            Self::Live | Self::Test => b"api-key",
            Self::Service => b"service-key",
        }
    }
}

/// A key's text that has the right form and checksum. Whether such a key exists is another question.
#[derive(Debug)]
pub struct Token {
    kind: Kind,
    text: Secret,
}

impl Token {
    /// Draws a new key.
    ///
    /// # Errors
    /// When no randomness is to be had.
    pub fn generate(kind: Kind, random: &dyn Random) -> Result<Self, CryptoError> {
        let begins = kind.begins();
        let mut letters = Vec::with_capacity(begins.len() + BODY + CHECK_LETTERS);
        letters.extend_from_slice(begins);
        draw_letters(random, BODY, &mut letters)?;
        let check = check_letters(&letters);
        letters.extend_from_slice(&check);
        let text = Secret::take(letters);
        Ok(Self { kind, text })
    }

    /// Whether a text begins like a service's key. Whether it is one is another question.
    #[must_use]
    pub fn is_of_service(text: &[u8]) -> bool {
        text.starts_with(Kind::Service.begins())
    }

    /// What the store knows the key by.
    #[must_use]
    pub fn hash(&self, index: &MacKey) -> Digest {
        self.text.expose(|text| hashed(self.kind, text, index))
    }

    /// What the store would know a user's key of this text by, without a copy of it; `None` when it cannot
    /// be one.
    #[must_use]
    pub fn hash_of(text: &[u8], index: &MacKey) -> Option<Digest> {
        let kind = kind_of(text).filter(|kind| *kind != Kind::Service)?;
        Some(hashed(kind, text, index))
    }

    /// The same for a service's key.
    #[must_use]
    pub fn hash_of_service(text: &[u8], index: &MacKey) -> Option<Digest> {
        let kind = kind_of(text).filter(|kind| *kind == Kind::Service)?;
        Some(hashed(kind, text, index))
    }

    /// The first twelve characters: enough to tell keys apart, not enough to guess one (27 at least remain).
    #[must_use]
    pub fn prefix(&self) -> String {
        self.text.expose(|text| {
            String::from_utf8_lossy(text.get(..SHOWN).unwrap_or_default()).into_owned()
        })
    }

    /// The text, to be shown once.
    #[must_use]
    pub fn into_secret(self) -> Secret {
        self.text
    }
}

/// Which kind of key a text is, if it has the form of one.
fn kind_of(text: &[u8]) -> Option<Kind> {
    let kind = Kind::ALL
        .into_iter()
        .find(|kind| text.starts_with(kind.begins()))?;
    let (body, check) = text.split_at_checked(kind.begins().len() + BODY)?;
    let letters = body.strip_prefix(kind.begins())?;
    let sound = letters.iter().all(u8::is_ascii_alphanumeric) && check == check_letters(body);
    sound.then_some(kind)
}

fn hashed(kind: Kind, text: &[u8], index: &MacKey) -> Digest {
    index.hash(&[kind.domain(), text])
}

#[cfg(test)]
mod tests {
    use super::{Kind, Token, kind_of};
    use crate::crypto::SystemRandom;
    use crate::damage::Harm;

    #[test]
    fn a_token_reads_back_and_a_changed_one_does_not() {
        for (kind, begins, length) in [
            (Kind::Live, "rt_live_", 46),
            (Kind::Test, "rt_test_", 46),
            (Kind::Service, "rt_svc_", 45),
        ] {
            let token = Token::generate(kind, &SystemRandom).unwrap();
            assert_eq!(token.prefix().len(), 12);
            assert!(token.prefix().starts_with(begins));
            token.text.expose(|text| {
                assert_eq!(text.len(), length);
                assert_eq!(kind_of(text), Some(kind));
                assert_eq!(Token::is_of_service(text), kind == Kind::Service);
                for harm in Harm::every(text.len()) {
                    assert_eq!(kind_of(&harm.of(text)), None, "{harm:?}");
                }
            });
        }
    }
}
