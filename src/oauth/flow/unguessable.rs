//! Ids that nobody guesses (A1): 128 bits for a flow, 256 for what only one browser knows. All come
//! from the operating system's generator, and are found by their hashes.

use std::fmt;

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::crypto::{CryptoError, Digest, Random, sha256_parts};

/// A flow, as it stands in its link: 26 lower-case letters and digits. Whoever knows it may look at
/// the flow's page, so it is shown in links only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FlowId([u8; 16]);

impl FlowId {
    /// A new one.
    ///
    /// # Errors
    /// [`CryptoError::Random`].
    pub(super) fn new(random: &dyn Random) -> Result<Self, CryptoError> {
        random.bytes().map(Self)
    }

    /// Reads the one spelling of an id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 26 || text.bytes().any(|b| b.is_ascii_uppercase()) {
            return None;
        }
        let bytes = BASE32_NOPAD
            .decode(text.to_ascii_uppercase().as_bytes())
            .ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// What the flow is found by.
    #[must_use]
    pub fn key(&self) -> FlowKey {
        FlowKey(sha256_parts(&[b"flow", &self.0]))
    }
}

impl fmt::Display for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl fmt::Debug for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FlowId(hidden)")
    }
}

/// The hash of a flow's id, or of a device attempt's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FlowKey(pub(super) Digest);

impl FlowKey {
    /// The hash itself.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.0
    }
}

/// 256 random bits in 43 characters: a state, a flow cookie, a verifier.
pub(super) struct Token(Zeroizing<String>);

impl Token {
    pub(super) fn new(random: &dyn Random) -> Result<Self, CryptoError> {
        let bytes: Zeroizing<[u8; 32]> = random.bytes().map(Zeroizing::new)?;
        Ok(Self(Zeroizing::new(
            BASE64URL_NOPAD.encode(bytes.as_slice()),
        )))
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    pub(super) fn digest(&self, what: What) -> Digest {
        digest(what, &self.0)
    }
}

/// What a token is for, so that the hash of one never passes for another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    State,
    Cookie,
    Ticket,
    Code,
    Attempt,
}

impl What {
    const fn label(self) -> &'static [u8; 7] {
        match self {
            Self::State => b"state..",
            Self::Cookie => b"cookie.",
            Self::Ticket => b"ticket.",
            Self::Code => b"code...",
            Self::Attempt => b"attempt",
        }
    }
}

/// What a text is kept as.
pub(super) fn digest(what: What, text: &str) -> Digest {
    sha256_parts(&[what.label(), text.as_bytes()])
}

/// The ticket of the browser that holds `cookie`: made of the cookie, so that nothing has to be kept
/// to show it twice, and telling nothing about it.
pub(super) fn ticket(flow: &FlowId, cookie: &str) -> Zeroizing<String> {
    let bytes = sha256_parts(&[b"ticket of ", &flow.0, cookie.as_bytes()]);
    Zeroizing::new(BASE64URL_NOPAD.encode(&bytes))
}

#[cfg(test)]
mod tests {
    use super::{FlowId, Token, What, digest, ticket};
    use crate::crypto::SystemRandom;

    #[test]
    fn an_id_has_one_spelling() {
        let id = FlowId::new(&SystemRandom).unwrap();
        let text = id.to_string();
        assert_eq!(text.len(), 26);
        assert_eq!(FlowId::parse(&text), Some(id));
        // The last letter carries three bits: others would be a second spelling.
        let last = format!("{}b", "a".repeat(25));
        for other in [
            text.to_uppercase(),
            format!("{text}a"),
            format!("1{}", "a".repeat(25)),
            last,
            String::new(),
        ] {
            assert_eq!(FlowId::parse(&other), None, "{other}");
        }
        assert_eq!(format!("{id:?}"), "FlowId(hidden)");
    }

    #[test]
    fn the_hash_of_one_kind_is_not_that_of_another() {
        let token = Token::new(&SystemRandom).unwrap();
        assert_eq!(token.text().len(), 43);
        assert_eq!(token.digest(What::State), digest(What::State, token.text()));
        assert_ne!(token.digest(What::State), token.digest(What::Cookie));
    }

    #[test]
    fn a_ticket_belongs_to_one_flow_and_one_cookie() {
        let (one, two) = (
            FlowId::new(&SystemRandom).unwrap(),
            FlowId::new(&SystemRandom).unwrap(),
        );
        assert_eq!(ticket(&one, "c"), ticket(&one, "c"));
        assert_ne!(ticket(&one, "c"), ticket(&two, "c"));
        assert_ne!(ticket(&one, "c"), ticket(&one, "d"));
    }
}
