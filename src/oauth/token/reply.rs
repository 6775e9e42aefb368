//! A provider's answer: as it arrived, and as a document.

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER};
use serde_json::{Map, Value};
use zeroize::Zeroize;

use crate::oauth::provider::Pointer;
use crate::oauth::provider::spec::{Format, Response};
use crate::secret::Secret;

/// The longest header value that is kept, in bytes.
const MAX_HEADER: usize = 256;

/// An answer as it arrived, read whole.
#[derive(Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// How its body is written.
    pub content_type: Option<String>,
    /// When to come again.
    pub retry_after: Option<String>,
    /// The body: it may hold tokens.
    pub body: Secret,
}

/// Which request was answered: different parts of the file read the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A code was redeemed.
    Token,
    /// A token was refreshed.
    Refresh,
    /// This second hop was taken.
    Exchange(usize),
    /// A device flow began, or was asked about.
    Device,
    /// The account was asked for.
    Identity,
    /// A token was revoked.
    Revoke,
}

/// A parsed answer. Its texts wipe themselves, because some of them are tokens.
pub struct Document(Value);

impl Reply {
    /// What a sender has: status, headers, and the whole body.
    #[must_use]
    pub fn new(status: u16, headers: &HeaderMap, body: Vec<u8>) -> Self {
        let header = |name: HeaderName| {
            let value = headers.get(name)?.to_str().ok()?;
            (value.len() <= MAX_HEADER).then(|| value.to_owned())
        };
        Self {
            status,
            content_type: header(CONTENT_TYPE),
            retry_after: header(RETRY_AFTER),
            body: Secret::take(body),
        }
    }

    /// Whether the status is one of success (T6: any of them).
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// The content type without its parameters, in lower case.
    fn kind(&self) -> String {
        let kind = self.content_type.as_deref().unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default();
        kind.trim().to_ascii_lowercase()
    }
}

impl Document {
    /// Reads an answer whose form the file does not speak of.
    #[must_use]
    pub fn read(reply: &Reply) -> Option<Self> {
        Self::read_as(reply, Format::Auto)
    }

    /// Reads an answer. What begins like JSON is JSON, whatever its content type says: errors often
    /// are where a success is a form.
    pub(super) fn read_as(reply: &Reply, format: Format) -> Option<Self> {
        let kind = reply.kind();
        let form = match format {
            Format::Json => false,
            Format::Form => true,
            Format::Auto => matches!(
                kind.as_str(),
                "application/x-www-form-urlencoded" | "text/plain" | ""
            ),
        };
        reply.body.expose(|bytes| {
            let text = std::str::from_utf8(bytes).ok()?;
            let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim();
            if text.starts_with(['{', '[']) {
                return serde_json::from_str(text).ok().map(Self);
            }
            (form && is_form(text))
                .then(|| Self::of_form(text))
                .flatten()
        })
    }

    /// An object of texts. A name that is there twice could be read in two ways.
    fn of_form(text: &str) -> Option<Self> {
        let mut document = Self(Value::Object(Map::new()));
        let members = document.0.as_object_mut()?;
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            let value = Value::String(value.into_owned());
            if members.insert(name.into_owned(), value).is_some() {
                return None;
            }
        }
        Some(document)
    }

    /// The document.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.0
    }
}

impl Drop for Document {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Document(hidden)")
    }
}

/// The depth is bounded: the reader of JSON stops at 128.
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// `a=b&c=d` and nothing that a form would have encoded, so that a page is none.
fn is_form(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() && !b"<>\"'`{}\\^".contains(&b);
    text.contains('=') && text.bytes().all(plain)
}

/// The part of the file that reads the answer to `subject`.
pub(super) fn response_of(
    spec: &crate::oauth::provider::spec::Spec,
    subject: Subject,
) -> Option<&Response> {
    let token = spec.token.as_ref()?;
    match subject {
        Subject::Exchange(hop) => token.exchange.get(hop).map(|hop| &hop.response),
        _ => Some(&token.response),
    }
}

/// Whether an error pointer hits: a code, or anything else that is more than an empty sign.
pub(super) fn says_error(response: &Response, document: &Value) -> bool {
    let hits = |pointer: &Pointer| match pointer.get(document) {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Bool(true)) => true,
        Some(Value::Number(number)) => number.as_i64() != Some(0),
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(members)) => !members.is_empty(),
    };
    response.error_pointers.iter().any(hits)
}

/// Whether the answer says what the file demands of one of success.
pub(super) fn says_success(response: &Response, document: &Value) -> bool {
    let Some(success) = &response.success else {
        return true;
    };
    match (success.pointer.get(document), &success.equals) {
        (Some(Value::Bool(found)), toml::Value::Boolean(wanted)) => found == wanted,
        (Some(Value::String(found)), toml::Value::String(wanted)) => found == wanted,
        (Some(Value::Number(found)), toml::Value::Integer(wanted)) => {
            found.as_i64() == Some(*wanted)
        }
        _ => false,
    }
}
