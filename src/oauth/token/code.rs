//! What a provider calls its errors.
//!
//! A code is stored, logged and shown, so it must not be a token that somebody put where codes stand.
//! It is one of the standard's, one of the file's own, or words that do not look like a value.

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::oauth::provider::Pointer;
use crate::oauth::provider::spec::{Map, Meaning, Response};

/// The longest code, in characters.
const MAX_CODE: usize = 64;
/// Of a code that nobody knows: the most words, the longest word, and the most digits in all. More
/// look like a value, and a value with `_` and `-` in it has many short pieces.
const MAX_WORDS: usize = 6;
const MAX_WORD: usize = 20;
const MAX_DIGITS: usize = 8;
/// What stands between words.
const SEPARATORS: [char; 5] = [' ', '_', '.', ':', '-'];
/// The longest text that is looked at, in bytes.
const MAX_TOLD: usize = 4096;

/// Codes that mean: the grant is gone, or the person must act.
pub(super) const GONE: [&str; 17] = [
    "invalid_grant",
    "bad_refresh_token",
    "invalid_refresh_token",
    "token_revoked",
    "token_expired",
    "refresh_token_reused",
    "refresh_token_expired",
    "refresh_token_invalidated",
    // Meta
    "190",
    // Microsoft
    "aadsts50173",
    "aadsts70000",
    "aadsts70008",
    "aadsts700082",
    "aadsts50078",
    "aadsts50076",
    "aadsts50079",
    "aadsts65001",
];
/// Codes that mean: the client is wrong.
pub(super) const CLIENT: [&str; 8] = [
    "invalid_client",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "incorrect_client_credentials",
    "redirect_uri_mismatch",
    "aadsts7000215",
    "aadsts7000222",
];
/// Other codes of the standards.
const OTHER: [&str; 16] = [
    "invalid_request",
    "invalid_token",
    "access_denied",
    "server_error",
    "temporarily_unavailable",
    "authorization_pending",
    "slow_down",
    "expired_token",
    "unsupported_token_type",
    "insufficient_scope",
    "interaction_required",
    "login_required",
    "consent_required",
    "account_selection_required",
    "invalid_target",
    "rate_limit_exceeded",
];

/// An error code that may be stored, logged and shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code(Box<str>);

impl Code {
    /// One of our own words.
    pub(super) fn own(word: &'static str) -> Self {
        Self(word.into())
    }

    /// What a provider said, when it may be kept.
    pub(super) fn of(told: &str, own: &Map<Meaning>) -> Option<Self> {
        if own.contains_key(told) && told.len() <= MAX_CODE {
            return Some(Self(told.into()));
        }
        let mut known = GONE.iter().chain(&CLIENT).chain(&OTHER);
        if let Some(known) = known.find(|known| **known == told) {
            return Some(Self((*known).into()));
        }
        reads_as_words(told).then(|| Self(told.to_ascii_lowercase().replace(' ', "_").into()))
    }

    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// A few words with one separator between two of them, or a small number. A token has longer
/// pieces, more of them, separators side by side, or capitals and digits anywhere.
fn reads_as_words(told: &str) -> bool {
    let digits = told.bytes().filter(u8::is_ascii_digit).count();
    // The number that some providers use may be below zero.
    let words = told.strip_prefix('-').filter(|rest| is_number(rest));
    let words = words.unwrap_or(told);
    told.len() <= MAX_CODE
        && digits <= MAX_DIGITS
        && words.split(SEPARATORS).count() <= MAX_WORDS
        && words.split(SEPARATORS).all(is_word)
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

/// `word`, `WORD` or `Word`, with digits at one of its ends only, as people write; or a number.
fn is_word(text: &str) -> bool {
    let letters = text.trim_matches(|letter: char| letter.is_ascii_digit());
    let ends = [text.strip_prefix(letters), text.strip_suffix(letters)];
    let rest = letters.trim_start_matches(|letter: char| letter.is_ascii_uppercase());
    let is_small = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase());
    (1..=MAX_WORD).contains(&text.len())
        && ends.iter().any(Option::is_some)
        && is_small(rest)
        && (rest.is_empty() || letters.len() - rest.len() <= 1)
}

/// The codes of an answer as they stand there, in the order of the file's pointers; behind them
/// those of Microsoft, which stand in a description.
pub(super) fn codes_in(response: &Response, document: &Value) -> Vec<String> {
    let told = response.error_pointers.iter();
    let mut codes: Vec<_> = told
        .filter_map(|pointer| scalar(pointer.get(document)?))
        .collect();
    codes.extend(aadsts(document));
    codes
}

fn scalar(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if !number.is_f64() => number.to_string(),
        _ => return None,
    };
    (1..=MAX_TOLD).contains(&text.len()).then_some(text)
}

/// `AADSTS700082: The refresh token has expired …`, and `error_codes` beside it.
fn aadsts(document: &Value) -> Vec<String> {
    let description = Pointer::member("error_description");
    let description = description.get(document).and_then(Value::as_str);
    let described = description.into_iter().flat_map(|text| {
        text.split("AADSTS").skip(1).filter_map(|rest| {
            let end = rest.find(|letter: char| !letter.is_ascii_digit());
            rest.get(..end.unwrap_or(rest.len()))
        })
    });
    let listed = Pointer::member("error_codes");
    let listed = listed.get(document).and_then(Value::as_array);
    let listed = listed.into_iter().flatten().filter_map(Value::as_u64);
    let numbers = described.map(str::to_owned);
    let numbers = numbers.chain(listed.map(|number| number.to_string()));
    let short = numbers.filter(|number| (1..=MAX_DIGITS).contains(&number.len()));
    short
        .take(8)
        .map(|number| format!("aadsts{number}"))
        .collect()
}
