//! What a program is asked, and what it may answer: one JSON document each way.
//!
//! The manual has it for those who write such a program (`manual/custodians.md`). What is not in it is
//! refused, so that a newer protocol is never half understood.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::child::Program;
use super::{CustodianFault, Refusal};
use crate::crypto::{Key, KeyRef};
use crate::id::StoreId;
use crate::secret::Secret;

pub(super) const VERSION: u32 = 1;
/// The longest name of a key, and the longest sealed key, that a slot keeps, in bytes.
const MAX_KEY_ID: usize = 256;
pub(super) const MAX_CIPHERTEXT: usize = 4096;
/// Room for the longest question.
const MAX_QUESTION: usize = 16 * 1024;
const KEY: usize = 32;

/// Where a key belongs: it is to open nowhere else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) store: StoreId,
    pub(super) slot: KeyRef,
}

/// A slot's key as somebody else sealed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrapped {
    /// Which of their keys they used, in their words.
    key_id: String,
    ciphertext: Vec<u8>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a> {
    version: u32,
    operation: &'static str,
    context: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrapAnswer {
    version: u32,
    key_id: String,
    ciphertext: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UnwrapAnswer {
    version: u32,
    key_id: String,
    plaintext: Secret,
}

/// A refusal may have more in it, a message for one: it is for whoever runs the program by hand.
#[derive(Deserialize)]
struct RefusedAnswer {
    version: u32,
    error: String,
}

/// Has `program` seal a slot's key.
///
/// # Errors
/// [`CustodianFault`].
pub(super) fn wrap(program: &Program, key: &Key, at: Place) -> Result<Wrapped, CustodianFault> {
    let mut plaintext = Zeroizing::new(String::with_capacity(KEY * 2));
    key.expose(|bytes| BASE64.encode_append(bytes, &mut plaintext));
    let answer = ask(
        program,
        &Question {
            operation: "wrap",
            plaintext: Some(&plaintext),
            ..Question::at(at)
        },
    )?;
    let WrapAnswer {
        version: VERSION,
        key_id,
        ciphertext,
    } = read(&answer)?
    else {
        return Err(CustodianFault::Answer);
    };
    let ciphertext = BASE64.decode(ciphertext.as_bytes());
    let ciphertext = ciphertext.map_err(|_| CustodianFault::Answer)?;
    Wrapped::new(key_id, ciphertext).ok_or(CustodianFault::Answer)
}

/// Has `program` open what it sealed.
///
/// # Errors
/// [`CustodianFault`].
pub(super) fn unwrap(
    program: &Program,
    wrapped: &Wrapped,
    at: Place,
) -> Result<Key, CustodianFault> {
    let answer = ask(
        program,
        &Question {
            operation: "unwrap",
            key_id: Some(&wrapped.key_id),
            ciphertext: Some(BASE64.encode(&wrapped.ciphertext)),
            ..Question::at(at)
        },
    )?;
    let UnwrapAnswer {
        version: VERSION,
        key_id,
        plaintext,
    } = read(&answer)?
    else {
        return Err(CustodianFault::Answer);
    };
    if key_id != wrapped.key_id {
        return Err(CustodianFault::OtherKey);
    }
    plaintext
        .expose(|text| key_of(text, at.slot))
        .ok_or(CustodianFault::Answer)
}

fn ask(program: &Program, question: &Question<'_>) -> Result<Zeroizing<Vec<u8>>, CustodianFault> {
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_QUESTION));
    serde_json::to_writer(&mut *text, question).map_err(|_| CustodianFault::Answer)?;
    text.push(b'\n');
    program.ask(&text)
}

fn read<'a, T: Deserialize<'a>>(answer: &'a [u8]) -> Result<T, CustodianFault> {
    match serde_json::from_slice(answer) {
        Ok(answer) => Ok(answer),
        Err(_) => Err(refusal_in(answer).map_or(CustodianFault::Answer, CustodianFault::Refused)),
    }
}

/// The refusal that an answer states, if it is one.
pub(super) fn refusal_in(answer: &[u8]) -> Option<Refusal> {
    let refused: RefusedAnswer = serde_json::from_slice(answer).ok()?;
    (refused.version == VERSION).then(|| Refusal::parse(&refused.error))
}

fn key_of(text: &[u8], name: KeyRef) -> Option<Key> {
    // Base64 of 32 bytes has a length of its own, and room for one byte more.
    if text.len() != BASE64.encode_len(KEY) {
        return None;
    }
    let mut bytes = Zeroizing::new([0; KEY + 1]);
    let length = BASE64.decode_mut(text, bytes.as_mut_slice()).ok()?;
    Key::from_bytes(name, bytes.get_mut(..length)?).ok()
}

impl Question<'_> {
    fn at(place: Place) -> Self {
        Self {
            version: VERSION,
            operation: "",
            context: format!(
                "runtools-broker root.ring {} {}",
                place.store, place.slot.id
            ),
            plaintext: None,
            key_id: None,
            ciphertext: None,
        }
    }
}

impl Wrapped {
    fn new(key_id: String, ciphertext: Vec<u8>) -> Option<Self> {
        let plain = !key_id.chars().any(char::is_control);
        let short = key_id.len() <= MAX_KEY_ID && ciphertext.len() <= MAX_CIPHERTEXT;
        (plain && short && !ciphertext.is_empty()).then_some(Self { key_id, ciphertext })
    }

    /// Reads what a slot keeps.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (key_id, ciphertext) = rest.split_at_checked(length)?;
        let key_id = str::from_utf8(key_id).ok()?.to_owned();
        Self::new(key_id, ciphertext.to_vec())
    }

    /// What a slot keeps.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let length = u16::try_from(self.key_id.len()).unwrap_or_default();
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(self.key_id.as_bytes());
        out.extend_from_slice(&self.ciphertext);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MAX_CIPHERTEXT, MAX_KEY_ID, Wrapped, refusal_in};
    use crate::custody::Refusal;

    #[test]
    fn a_refusal_is_a_word_that_is_known_and_nothing_of_its_text_is_kept() {
        let of = |text: &str| refusal_in(text.as_bytes());
        assert_eq!(
            of(r#"{"version":1,"error":"denied"}"#),
            Some(Refusal::Denied)
        );
        let told = r#"{"version":1,"error":"unavailable","message":"hunter2 is wrong"}"#;
        assert_eq!(of(told), Some(Refusal::Unavailable));
        assert_eq!(
            of(r#"{"version":1,"error":"hunter2"}"#),
            Some(Refusal::Other)
        );
        for none in [r#"{"version":2,"error":"denied"}"#, "{}", "denied", ""] {
            assert_eq!(of(none), None);
        }
    }

    #[test]
    fn what_a_slot_keeps_is_bounded() {
        let wrapped = |key_id: usize, ciphertext: usize| {
            Wrapped::new("k".repeat(key_id), vec![7; ciphertext]).is_some()
        };
        assert!(wrapped(MAX_KEY_ID, MAX_CIPHERTEXT) && wrapped(0, 1));
        assert!(!wrapped(MAX_KEY_ID + 1, 1) && !wrapped(1, MAX_CIPHERTEXT + 1));
        assert!(!wrapped(1, 0));
        assert!(Wrapped::new("\u{1b}[31m".into(), vec![1]).is_none());
    }

    proptest! {
        #[test]
        fn what_a_slot_keeps_is_read_as_it_was_written(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(wrapped) = Wrapped::parse(&bytes) {
                let mut again = Vec::new();
                wrapped.encode(&mut again);
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
