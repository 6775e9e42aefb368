//! What an upstream answered, searched, as a result for the caller.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::egress::{EgressError, Incoming};
use crate::wire::ExecutionError;

use super::scrub::{
    BodyIs, Encoding, Hits, Limits, Patterns, ScrubError, scrub_body, scrub_headers, scrub_json,
};
use super::sign::NoToken;

/// The longest answer that fits into a result, in bytes.
pub(super) const MAX_ANSWER: usize = 8 << 20;

/// The most parts that are parsed. Each takes some hundred bytes of memory for as few as two.
const MAX_PARTS: usize = 200_000;
/// From how many bytes on an answer is parsed beside the calls instead of among them.
const LONG: usize = 256 << 10;

/// An answer that was searched whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) hits: Hits,
}

/// Why there is no answer to show. Nothing unsearched is kept.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The way to the upstream, or back.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// It cannot be searched.
    #[error(transparent)]
    Scrub(#[from] ScrubError),
    /// The token that it needs.
    #[error(transparent)]
    Token(#[from] NoToken),
}

impl NoAnswer {
    /// A stable word for machines.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Egress(error) => error.code(),
            Self::Scrub(ScrubError::Unscannable | ScrubError::Charset) => "unscannable",
            Self::Scrub(ScrubError::Crowded) => "decoding_busy",
            Self::Scrub(ScrubError::Bomb) => "upstream_too_large",
            Self::Scrub(_) => "upstream_protocol",
            Self::Token(NoToken::Refused { .. }) => "token_refused",
            Self::Token(NoToken::Unusable) => "token_unusable",
        }
    }

    /// What to do next.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Egress(error) => error.hint(),
            Self::Scrub(ScrubError::Unscannable) => {
                "have the upstream answer without a content encoding, or with gzip, br, deflate or zstd"
            }
            Self::Scrub(ScrubError::Charset) => "have the upstream answer in UTF-8",
            Self::Scrub(ScrubError::Crowded) => {
                "have the upstream answer without a content encoding, as it was asked to; the request may have taken effect"
            }
            Self::Token(_) => {
                "check the key and its other fields, and what it may do at the provider"
            }
            Self::Scrub(_) => "check what the upstream answers; the request may have taken effect",
        }
    }

    pub(super) fn to_error(&self) -> ExecutionError {
        ExecutionError {
            code: self.code().to_owned(),
            message: self.to_string(),
            status_code: None,
        }
    }
}

/// Reads, decodes and searches the whole answer.
pub(super) async fn read(incoming: Incoming, patterns: &Patterns) -> Result<Answer, NoAnswer> {
    let announced = incoming.body.size_hint().lower();
    if !usize::try_from(announced).is_ok_and(|length| length <= MAX_ANSWER) {
        return Err(EgressError::TooLarge.into());
    }
    let hits = patterns.hits();
    let encoding = Encoding::of(&incoming.headers)?;
    let is = BodyIs::under(&encoding);
    let headers = scrub_headers(incoming.headers, patterns, is, &hits).into_map();
    let limits = Limits {
        decoded: u64::try_from(MAX_ANSWER).unwrap_or(u64::MAX),
        ..Limits::default()
    };
    let mut body = scrub_body(incoming.body, patterns, &encoding, limits, &hits)?;
    let mut whole = BytesMut::with_capacity(usize::try_from(announced).unwrap_or_default());
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame?.into_data() else {
            continue;
        };
        if whole.len() + piece.len() > MAX_ANSWER {
            return Err(EgressError::TooLarge.into());
        }
        whole.extend_from_slice(&piece);
    }
    Ok(Answer {
        status: incoming.status,
        headers,
        body: whole.freeze(),
        hits,
    })
}

fn parse(body: &[u8], patterns: &Patterns, hits: &Hits) -> Option<Value> {
    if parts(body) > MAX_PARTS {
        return None;
    }
    let mut value = serde_json::from_slice(body).ok()?;
    // Parsing undoes escapes of every mixture, so what it yields is searched again.
    scrub_json(&mut value, patterns, hits);
    Some(value)
}

/// How many bytes outside of strings begin or part something.
fn parts(json: &[u8]) -> usize {
    let (mut inside, mut escaped, mut count) = (false, false, 0);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b',' | b':' | b'[' | b'{' if !inside => count += 1,
            _ => {}
        }
    }
    count
}

impl Answer {
    /// The result as RunTools shows it: JSON where it is JSON, else its text or its bytes.
    pub(super) async fn result(&self, patterns: &Patterns, pick: Option<&str>) -> Value {
        let kind = self.headers.get(header::CONTENT_TYPE);
        let kind = kind
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        if self.body.is_empty() {
            return Value::Null;
        }
        let essence = kind
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let is_json = essence == "application/json" || essence.ends_with("+json");
        if is_json && let Some(mut value) = self.parsed(patterns).await {
            return match pick {
                Some(pointer) if self.succeeded() => {
                    value.pointer_mut(pointer).map_or(Value::Null, Value::take)
                }
                _ => value,
            };
        }
        match std::str::from_utf8(&self.body) {
            Ok(text) => json!({ "contentType": kind, "text": text }),
            Err(_) => json!({ "contentType": kind, "base64": STANDARD.encode(&self.body) }),
        }
    }

    /// The body as JSON, searched again; `None` when it is none, or of too many parts.
    async fn parsed(&self, patterns: &Patterns) -> Option<Value> {
        if self.body.len() <= LONG {
            return parse(&self.body, patterns, &self.hits);
        }
        // Long enough to keep other calls waiting.
        let (body, patterns, hits) = (self.body.clone(), patterns.clone(), self.hits.clone());
        let parsed = tokio::task::spawn_blocking(move || parse(&body, &patterns, &hits));
        parsed.await.ok().flatten()
    }

    pub(super) fn succeeded(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Why the upstream's own answer is no success.
    pub(super) fn error(&self) -> Option<ExecutionError> {
        if self.succeeded() {
            return None;
        }
        let (code, message) = match self.status {
            300..400 => (
                "upstream_redirect",
                "The upstream redirects; redirects are not followed.",
            ),
            401 | 403 => (
                "upstream_denied",
                "The upstream refused the credential or the request.",
            ),
            404 => ("upstream_not_found", "The upstream has nothing there."),
            429 => (
                "upstream_rate_limited",
                "The upstream limits the rate of requests.",
            ),
            400..500 => ("upstream_rejected", "The upstream rejected the request."),
            _ => ("upstream_failed", "The upstream failed."),
        };
        let status_code = Some(self.status);
        Some(ExecutionError {
            code: code.to_owned(),
            message: message.to_owned(),
            status_code,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn only_what_stands_outside_of_strings_counts_as_a_part() {
        assert_eq!(parts(br#"{"a": [1, 2], "b": {}}"#), 7);
        assert_eq!(parts(br#""[,:{ \" [,:{ \\""#), 0);
        assert_eq!(parts(br#"["\\", "\"", 3]"#), 3);
        assert_eq!(parts(b"[[[[[["), 6);
    }
}
