//! Reading request bodies and queries. What is refused is described, never repeated: serde's own
//! messages quote the input, so they are read for their kind and thrown away.

use std::pin::pin;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use http::request::Parts;
use http::{HeaderMap, StatusCode, Uri, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;
use zeroize::{Zeroize, Zeroizing};

use crate::name::is_name_like;
use crate::vault::Closing;

use super::ApiError;
use super::error::capital;
use super::objects::Objects;
use super::serve::BodyError;

/// The longest body of an ordinary request: a value of 64 KiB with every byte escaped, and room.
const MAX_BODY: usize = 160 * 1024;
/// The longest body of a custom tool's spec.
pub(super) const MAX_SPEC: usize = 512 * 1024;
/// The deepest nesting.
const MAX_DEPTH: usize = 32;
/// The most strings, names of fields too. Others draw the line at 1,000, which would cut off what is
/// sent in good faith: a shipped tool of 13 actions has close to 800, and a page of 100 blocks, as
/// the parameters of one action, more than 1,000.
const MAX_STRINGS: usize = 4_000;

/// A JSON body, read into one buffer that is wiped afterwards.
#[derive(Debug)]
pub(super) struct Input<T>(pub(super) T);

/// A JSON body that may be left out.
#[derive(Debug)]
pub(super) struct OptionalInput<T>(pub(super) T);

/// The query string.
#[derive(Debug)]
pub(super) struct QueryString<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Input<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        json_only(&parts.headers)?;
        let bytes = read(body, MAX_BODY, parts.extensions.remove()).await?;
        parse(&bytes).map(Self)
    }
}

impl<S: Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalInput<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let bytes = read(body, MAX_BODY, parts.extensions.remove()).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        json_only(&parts.headers)?;
        parse(&bytes).map(Self)
    }
}

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for QueryString<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        // Most requests have none, and most queries may be left out.
        if parts.uri.query().is_none_or(str::is_empty)
            && let Ok(nothing) = T::deserialize(no_fields())
        {
            return Ok(Self(nothing));
        }
        read_query(&parts.uri).map(Self)
    }
}

/// Refuses a query of which there should be none, by the name of its first field.
pub(super) fn no_query(uri: &Uri) -> Result<(), ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    read_query::<Nothing>(uri).map(drop)
}

fn read_query<T: DeserializeOwned>(uri: &Uri) -> Result<T, ApiError> {
    let found = axum::extract::Query::<T>::try_from_uri(uri);
    found.map(|query| query.0).map_err(|error| {
        let text = std::error::Error::source(&error).map(ToString::to_string);
        ApiError::bad_request(describe_query(&text.unwrap_or_default()))
    })
}

type NoFields = std::iter::Empty<(&'static str, &'static str)>;

fn no_fields() -> MapDeserializer<'static, NoFields, serde::de::value::Error> {
    MapDeserializer::new(std::iter::empty())
}

pub(super) fn json_only(headers: &HeaderMap) -> Result<(), ApiError> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let kind = kind
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "The body of this request is JSON.",
        "Send Content-Type: application/json.",
    ))
}

/// Reads the body into a buffer of its announced size, which wipes itself. With `closing`, a caller who
/// is inside the vault while the body arrives leaves when it is sealed.
pub(super) async fn read(
    body: Body,
    limit: usize,
    closing: Option<Closing>,
) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    let Some(closing) = closing else {
        return read_all(body, limit).await;
    };
    closing.while_open(pin!(read_all(body, limit))).await?
}

async fn read_all(mut body: Body, limit: usize) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    let too_large = || {
        ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            format!("The body is longer than {limit} bytes."),
            "Send less; a secret's value has at most 65,536 bytes.",
        )
    };
    let announced = body
        .size_hint()
        .exact()
        .and_then(|size| usize::try_from(size).ok());
    if announced.is_some_and(|size| size > limit) {
        return Err(too_large());
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(announced.unwrap_or(4096)));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken_off(&error))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > limit {
            return Err(too_large());
        }
        if bytes.len() + data.len() > bytes.capacity() {
            // Growing copies: the block that is left behind is wiped by hand.
            let mut grown = Zeroizing::new(Vec::with_capacity(
                (bytes.capacity() * 2).max(bytes.len() + data.len()),
            ));
            grown.extend_from_slice(&bytes);
            std::mem::replace(&mut bytes, grown).zeroize();
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

fn broken_off(error: &(dyn std::error::Error + 'static)) -> ApiError {
    match BodyError::behind(error) {
        Some(_) => ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            "The body did not arrive in time.",
            "Send it without pauses, or in a smaller piece.",
        ),
        None => ApiError::bad_request("The body broke off."),
    }
}

/// Parses a JSON object within bounds of depth and number. No object in it may be given as a list.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    within_bounds(bytes)?;
    let begins = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if matches!(
        begins,
        Some(b'[' | b'"' | b'n' | b't' | b'f' | b'-' | b'0'..=b'9')
    ) {
        return Err(ApiError::bad_request(
            "The body is not a JSON object: it begins with {.",
        ));
    }
    let mut source = serde_json::Deserializer::from_slice(bytes);
    let parsed = T::deserialize(Objects(&mut source));
    let whole = parsed.and_then(|parsed| source.end().map(|()| parsed));
    whole.map_err(|error| {
        use serde_json::error::Category;
        match error.classify() {
            Category::Data => ApiError::bad_request(describe(&error.to_string(), "The body")),
            Category::Io | Category::Syntax | Category::Eof => ApiError::bad_request(format!(
                "The body is not valid JSON (line {}, column {}).",
                error.line(),
                error.column()
            )),
        }
    })
}

fn within_bounds(bytes: &[u8]) -> Result<(), ApiError> {
    let (mut depth, mut strings, mut inside, mut escaped) = (0_usize, 0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => {
                inside = !inside;
                strings += usize::from(inside);
            }
            b'{' | b'[' if !inside => depth += 1,
            b'}' | b']' if !inside => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH || strings > MAX_STRINGS {
            return Err(ApiError::bad_request(format!(
                "The body is nested deeper than {MAX_DEPTH} levels, or has more than {MAX_STRINGS} strings."
            )));
        }
    }
    Ok(())
}

/// The same for a query string, where serde's message begins with the parameter's name: that is
/// input too, as is everything after it that does not begin as one of serde's own messages.
fn describe_query(message: &str) -> String {
    const WHAT: &str = "The query string";
    let (name, rest) = message.split_once(": ").unwrap_or_default();
    let known = ["unknown field", "missing field", "duplicate field"];
    if known.iter().any(|start| rest.starts_with(start)) {
        describe(rest, WHAT)
    } else if known.iter().any(|start| message.starts_with(start)) {
        describe(message, WHAT)
    } else if is_name(name) {
        format!("{WHAT} has a value for {name} that is not one of those it takes.")
    } else {
        format!("{WHAT} has a parameter that is not known here, or not in its form.")
    }
}

/// Whether a text has the form of a field's name, and looks like one.
fn is_name(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && is_name_like(text)
}

/// Says what serde found without repeating what it quotes. Names of fields are repeated where they
/// look like one.
fn describe(message: &str, what: &str) -> String {
    let quoted = message.split('`').nth(1).unwrap_or_default();
    let name = if is_name(quoted) {
        quoted
    } else {
        "(unreadable)"
    };
    if message.starts_with("unknown field") {
        format!("{what} has a field that is not known here: {name}.")
    } else if message.starts_with("missing field") {
        format!("{what} lacks the field {name}.")
    } else if message.starts_with("duplicate field") {
        format!("{what} has the field {name} twice.")
    } else if let Some((_, expected)) = message.rsplit_once("expected ")
        && (message.starts_with("invalid") || message.starts_with("unknown variant"))
    {
        let expected = in_words(expected.split(" at line ").next().unwrap_or_default());
        format!("{what} has a field of the wrong type or value: expected {expected}.")
    } else if message.starts_with("invalid") || message.starts_with("unknown") {
        format!("{what} has a field of the wrong type or value.")
    } else {
        // One of our own parsers, which state a rule and never quote.
        let rule = message.split(" at line ").next().unwrap_or_default();
        format!("{what} has a field that breaks a rule. {}", capital(rule))
    }
}

/// What serde expected, without our own types' names and Rust's.
fn in_words(expected: &str) -> &str {
    let begins = |word| expected.starts_with(word);
    if begins("struct ") || begins("tuple struct ") || expected == "a map" {
        "an object"
    } else if begins("enum ") {
        "one of the words it takes"
    } else if expected == "a sequence" || begins("a tuple ") {
        "a list"
    } else if begins("u64") || begins("u32") || begins("u16") || begins("usize") {
        "a whole number"
    } else {
        expected
    }
}

#[cfg(test)]
mod tests {
    use crate::wire;

    fn refusal<T: serde::de::DeserializeOwned + std::fmt::Debug>(body: &str) -> String {
        format!(
            "{:?}",
            super::parse::<T>(body.as_bytes()).map(drop).unwrap_err()
        )
    }

    #[test]
    fn a_refusal_names_the_field_and_never_the_value() {
        for body in [
            r#"{"name":"A","value":"canary-1","orgwide":true}"#,
            r#"{"name":"A","value":"x","category":"canary-1"}"#,
            r#"{"name":"A","value":"x","hosts":["canary-1:80"]}"#,
            r#"{"name":"A","value":{"canary-1":1}}"#,
            r#"{"name":"A","orgWide":"canary-1","value":"x"}"#,
            r#"{"name":"A","value":"canary-1""#,
            r#"{"name":"A","value":"x","canary-1":1}"#,
            r#"{"name":"A","value":"x","canaryxkqzvrtwpl":1}"#,
            r#""canary-1""#,
            r#"{"name":"A","orgWide":"expected canary-1","value":"x"}"#,
        ] {
            let text = refusal::<wire::SetSecret>(body);
            assert!(!text.contains("canary"), "{text}");
        }
        assert!(
            refusal::<wire::SetSecret>(r#"{"name":"A","value":"x","orgwide":1}"#)
                .contains("orgwide")
        );
        assert!(refusal::<wire::SetSecret>(r#"{"name":"A"}"#).contains("lacks the field value"));
    }

    #[test]
    fn a_refused_query_names_no_value_either() {
        let value = "c38oddhjqhtnmfdk6x4ees8jvlsojxhzmes6xyzp";
        for message in [
            format!("{value}: unknown field `{value}`, expected `all`"),
            value.to_owned(),
        ] {
            let text = super::describe_query(&message);
            assert!(!text.contains(value), "{text}");
        }
        let text = super::describe_query("lmit: unknown field `lmit`, expected `limit`");
        assert!(text.contains("not known here: lmit"), "{text}");
    }

    #[test]
    fn deep_and_crowded_bodies_are_refused() {
        let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
        assert!(refusal::<serde_json::Value>(&deep).contains("nested deeper"));
        let block = r#"{"object":"block","type":"paragraph","paragraph":{"rich_text":[{"type":"text","text":{"content":"x"}}]}}"#;
        let page = format!("{{\"blocks\":[{}{block}]}}", format!("{block},").repeat(99));
        assert!(super::parse::<serde_json::Value>(page.as_bytes()).is_ok());
        let crowded = format!("[{}\"\"]", "\"\",".repeat(5_000));
        assert!(refusal::<serde_json::Value>(&crowded).contains("more than"));
    }
}
