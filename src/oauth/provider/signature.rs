//! The signature over a callback, or over what it brings (B16): who sent the person back.

use percent_encoding::percent_decode_str;

use super::Provider;
use super::payload::Payload;
use super::spec::{Signature, SignatureKey, SignatureOver};
use crate::clock::Timestamp;
use crate::crypto::{Digest, digests_match, hmac_of, hmac_under_hash_of};
use crate::secret::Secret;

/// The longest query, in bytes, and the most members of one.
const MAX_QUERY: usize = 16 * 1024;
const MAX_MEMBERS: usize = 64;
/// How far ahead of ours the provider's clock may be.
pub(in crate::oauth) const MAX_AHEAD_S: i64 = 60;

/// Why a callback is not the provider's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// The file says nothing of a signature.
    #[error("the provider does not sign callbacks")]
    None,
    /// The query cannot be read in one way only.
    #[error("the callback's query is too long, is no text, or names something twice")]
    Query,
    /// There is no signature, or it is not written as one.
    #[error("the callback carries no signature")]
    Missing,
    /// It is somebody else's.
    #[error("the callback's signature is not the provider's")]
    Wrong,
    /// It is too old, or from the future.
    #[error("the callback's signature is too old, or does not say when it was made")]
    Age,
}

/// Checks the signature over a callback's query, `raw_query` as it arrived and without the `?`.
/// The one use of each is for the flow to see to, by the state that is signed with the rest.
///
/// # Errors
/// [`SignatureFault`].
pub fn check_signature(
    provider: &Provider,
    raw_query: &str,
    secret: &Secret,
    now: Timestamp,
) -> Result<(), SignatureFault> {
    let rule = rule(provider)?;
    check_pairs(rule, &read(raw_query)?, secret, now).map(drop)
}

/// Checks the signature of a payload, and what it is known by. No state is signed with it, so that it counts
/// once is for whoever takes it to see to.
///
/// # Errors
/// [`SignatureFault`].
pub fn check_payload(
    provider: &Provider,
    payload: &Payload,
    secret: &Secret,
    now: Timestamp,
) -> Result<Signed, SignatureFault> {
    let rule = rule(provider)?;
    check_pairs(rule, payload.pairs(), secret, now)
}

/// When a payload was signed, and the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    /// When, as the provider says.
    pub made: Timestamp,
    /// Until when it counts.
    pub until: Timestamp,
    /// The signature: no two payloads have the same.
    pub mac: Digest,
}

fn rule(provider: &Provider) -> Result<&Signature, SignatureFault> {
    let rule = provider.spec().callback.signature.as_ref();
    rule.ok_or(SignatureFault::None)
}

fn check_pairs(
    rule: &Signature,
    pairs: &[(String, String)],
    secret: &Secret,
    now: Timestamp,
) -> Result<Signed, SignatureFault> {
    let given = value(pairs, &rule.param).and_then(digest);
    let given = given.ok_or(SignatureFault::Missing)?;
    let message = message(rule, pairs);
    let expected = match rule.key {
        SignatureKey::ClientSecret => hmac_of(secret, message.as_bytes()),
        SignatureKey::Sha256ClientSecret => hmac_under_hash_of(secret, message.as_bytes()),
    };
    if !digests_match(&given, &expected) {
        return Err(SignatureFault::Wrong);
    }
    let made = check_age(rule, pairs, now)?;
    Ok(Signed {
        made,
        until: made.plus_seconds(i64::from(rule.max_age_s)),
        mac: expected,
    })
}

/// The decoded members, sorted by name, none of them twice.
fn read(query: &str) -> Result<Vec<(String, String)>, SignatureFault> {
    if query.len() > MAX_QUERY {
        return Err(SignatureFault::Query);
    }
    let members = query.split('&').filter(|member| !member.is_empty());
    let pairs = members.map(|member| {
        let (name, value) = member.split_once('=').unwrap_or((member, ""));
        Some((decode(name)?, decode(value)?))
    });
    let mut pairs: Vec<_> = pairs.collect::<Option<_>>().ok_or(SignatureFault::Query)?;
    pairs.sort();
    let mut names = pairs.iter().zip(pairs.iter().skip(1));
    let twice = names.any(|((one, _), (other, _))| one == other);
    if twice || pairs.len() > MAX_MEMBERS {
        return Err(SignatureFault::Query);
    }
    Ok(pairs)
}

/// A control character has no business in an answer.
fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
    let clean = !decoded.chars().any(char::is_control);
    clean.then(|| decoded.into_owned())
}

fn value<'p>(pairs: &'p [(String, String)], name: &str) -> Option<&'p str> {
    let found = pairs.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str())
}

fn message(rule: &Signature, pairs: &[(String, String)]) -> String {
    let covered = pairs
        .iter()
        .filter(|(name, _)| *name != rule.param && !rule.exclude.contains(name));
    match rule.over {
        // Shopify escapes what separates, so that one value cannot pose as two members.
        SignatureOver::SortedQuery => {
            let members = covered.map(|(name, value)| {
                format!("{}={}", plain(name).replace('=', "%3D"), plain(value))
            });
            members.collect::<Vec<_>>().join("&")
        }
        // A line cannot pose as two: no member of a payload has a line break in it.
        SignatureOver::PayloadLines => {
            let lines = covered.map(|(name, value)| format!("{name}={value}"));
            lines.collect::<Vec<_>>().join("\n")
        }
    }
}

fn plain(text: &str) -> String {
    text.replace('%', "%25").replace('&', "%26")
}

/// 64 lower-case hex digits.
fn digest(text: &str) -> Option<Digest> {
    let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?;
    bytes.try_into().ok()
}

fn check_age(
    rule: &Signature,
    pairs: &[(String, String)],
    now: Timestamp,
) -> Result<Timestamp, SignatureFault> {
    let made =
        value(pairs, &rule.max_age_param).filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    let made: i64 = made
        .and_then(|text| text.parse().ok())
        .ok_or(SignatureFault::Age)?;
    let made = Timestamp::default().plus_seconds(made);
    let age = now.millis_since(made);
    let window = MAX_AHEAD_S.saturating_mul(-1000)..=i64::from(rule.max_age_s).saturating_mul(1000);
    window
        .contains(&age)
        .then_some(made)
        .ok_or(SignatureFault::Age)
}
