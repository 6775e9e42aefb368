//! The other side of the protocol: what a child process of our own is asked, and tells.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use super::Refusal;
use super::protocol::VERSION;
use crate::secret::Secret;

/// Room for the longest answer.
const MAX_ANSWER: usize = 16 * 1024;

/// A question.
pub(super) enum Asked {
    /// Seal this, for this context.
    Wrap { context: String, plaintext: Secret },
    /// Open this, which was sealed with this key for this context.
    Unwrap {
        context: String,
        key_id: String,
        ciphertext: Vec<u8>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Question {
    version: u32,
    operation: String,
    context: String,
    plaintext: Option<Secret>,
    key_id: Option<String>,
    ciphertext: Option<String>,
}

impl Asked {
    /// Reads a question; nothing when it is none.
    pub(super) fn read(question: &[u8]) -> Option<Self> {
        let question: Question = serde_json::from_slice(question).ok()?;
        match question {
            Question {
                version: VERSION,
                operation,
                context,
                plaintext: Some(plaintext),
                key_id: None,
                ciphertext: None,
            } if operation == "wrap" => Some(Self::Wrap { context, plaintext }),
            Question {
                version: VERSION,
                operation,
                context,
                plaintext: None,
                key_id: Some(key_id),
                ciphertext: Some(ciphertext),
            } if operation == "unwrap" => Some(Self::Unwrap {
                context,
                key_id,
                ciphertext: BASE64.decode(ciphertext.as_bytes()).ok()?,
            }),
            _ => None,
        }
    }
}

/// An answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told {
    version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext: Option<Opened>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

/// A key in letters, which wipes itself.
struct Opened(Zeroizing<String>);

impl Serialize for Opened {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Told {
    const NOTHING: Self = Self {
        version: VERSION,
        key_id: None,
        ciphertext: None,
        plaintext: None,
        error: None,
    };

    /// What was sealed, with which key.
    pub(super) fn sealed(key_id: String, ciphertext: &[u8]) -> Self {
        Self {
            key_id: Some(key_id),
            ciphertext: Some(BASE64.encode(ciphertext)),
            ..Self::NOTHING
        }
    }

    /// What was opened, with which key.
    pub(super) fn opened(key_id: String, plaintext: &[u8]) -> Self {
        Self {
            key_id: Some(key_id),
            plaintext: Some(Opened(Zeroizing::new(BASE64.encode(plaintext)))),
            ..Self::NOTHING
        }
    }

    /// No.
    pub(super) fn no(why: Refusal) -> Self {
        Self {
            error: Some(why.word()),
            ..Self::NOTHING
        }
    }

    /// The document.
    pub(super) fn written(&self) -> Zeroizing<Vec<u8>> {
        let mut text = Zeroizing::new(Vec::with_capacity(MAX_ANSWER));
        if serde_json::to_writer(&mut *text, self).is_err() {
            text.clear();
        }
        text
    }
}
