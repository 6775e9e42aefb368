//! What a provider signs in place of a code: a JSON object, as the base64url of its text.

use data_encoding::{BASE64URL, BASE64URL_NOPAD};
use serde_json::Value;

use crate::crypto::unambiguous_json;

/// The most members, and the longest name or value, in bytes.
const MAX_MEMBERS: usize = 64;
const MAX_TEXT: usize = 2 * 1024;

/// A payload that can be read in one way only.
#[derive(Clone)]
pub struct Payload(Vec<(String, String)>);

impl Payload {
    /// Reads it. Each member is there once, and is a text, a number or a truth; none has a control character
    /// in it, so that what is signed line by line cannot be cut differently.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let whole = BASE64URL_NOPAD.decode(text.as_bytes());
        let bytes = whole.or_else(|_| BASE64URL.decode(text.as_bytes())).ok()?;
        let document = unambiguous_json(&bytes)?;
        let members = document.as_object()?;
        if members.len() > MAX_MEMBERS {
            return None;
        }
        let pairs = members.iter().map(|(name, value)| {
            let value = match value {
                Value::String(text) => text.clone(),
                // As it is written, which is how it is signed.
                Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
                Value::Bool(truth) => truth.to_string(),
                Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => return None,
            };
            let plain = |text: &str| text.len() <= MAX_TEXT && !text.chars().any(char::is_control);
            let sound = plain(name) && plain(&value) && !name.contains('=');
            sound.then(|| (name.clone(), value))
        });
        let mut pairs: Vec<_> = pairs.collect::<Option<_>>()?;
        pairs.sort();
        Some(Self(pairs))
    }

    /// Its members, sorted by name.
    #[must_use]
    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }
}

/// They are somebody's name and picture.
impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Payload(hidden)")
    }
}
