//! AWS Signature Version 4.
//!
//! The payload's hash is computed here, region and service are the binding's. Path and query are sent
//! in the one spelling that is signed, so that there is no second one to disagree about: each segment,
//! name and value escaped but for the unreserved characters, and the query sorted.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};
use percent_encoding::{percent_decode_str, percent_encode};
use zeroize::Zeroizing;

use super::{ENCODED, Surroundings, Unsigned, of};
use crate::broker::BrokerError;
use crate::broker::place::Values;
use crate::clock::Timestamp;
use crate::crypto::{hmac_chain, sha256};
use crate::egress::credential_value;
use crate::secret::Secret;
use crate::tools::SigV4;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Whether the body is in chunks of AWS's own, which carry signatures or a trailer.
pub(super) fn is_in_pieces(headers: &HeaderMap) -> bool {
    let says = |name: &str, word: &str| {
        let mut all = headers.get_all(name).iter();
        all.any(|value| {
            value
                .to_str()
                .is_ok_and(|text| text.to_ascii_lowercase().contains(word))
        })
    };
    says("content-encoding", "aws-chunked") || says("x-amz-content-sha256", "streaming-")
}

/// Signs the request. Returns the signature.
pub(super) fn sign(
    request: &mut Unsigned<'_>,
    signer: &SigV4,
    (key, values): (&Secret, &Values),
    around: &Surroundings<'_>,
) -> Result<Vec<Secret>, BrokerError> {
    let path = spelled_path(request.path)?;
    *request.path = path;
    *request.query = spelled_query(request.query)?;
    let payload = HEXLOWER.encode(&sha256(request.body));
    let time = basic_time(around.now);
    let [date, hash, token] = SigV4::HEADERS.map(HeaderName::from_static);
    place(request.headers, date, time.as_bytes())?;
    place(request.headers, hash, payload.as_bytes())?;
    // A session token that the keys do not have is none of the request's either.
    request.headers.remove(&token);
    if let Some(field) = &signer.session_token
        && let Some(value) = values.get(field)
    {
        value.expose(|value| place(request.headers, token, value))?;
    }
    let headers = signed_headers(request.headers, around.authority, is_read)?;
    let names = names_of(&headers);
    let path = match &*signer.service {
        // Its paths are names of objects, and escaped once.
        "s3" => request.path.clone(),
        _ => escaped_path(request.path),
    };
    let canonical = canonical_request(
        (request.method.as_str(), &path, request.query),
        &headers,
        &payload,
    );
    let day = time.get(..8).unwrap_or_default();
    let scope = format!("{day}/{}/{}/aws4_request", signer.region, signer.service);
    let message = string_to_sign(&time, &scope, &canonical);
    let rest: [&[u8]; 4] = [
        signer.region.as_bytes(),
        signer.service.as_bytes(),
        b"aws4_request",
        message.as_bytes(),
    ];
    let signature = HEXLOWER.encode(&hmac_chain(b"AWS4", key, day.as_bytes(), &rest));
    let id = of(values, &signer.access_key)?;
    let value = id.expose(|id| {
        let parts: [&[u8]; 9] = [
            ALGORITHM.as_bytes(),
            b" Credential=",
            id,
            b"/",
            scope.as_bytes(),
            b", SignedHeaders=",
            names.as_bytes(),
            b", Signature=",
            signature.as_bytes(),
        ];
        credential_value(&Zeroizing::new(parts.concat()))
    });
    let value = value.map_err(BrokerError::Egress)?;
    request.headers.insert(AUTHORIZATION, value);
    Ok(vec![Secret::take(signature.into_bytes())])
}

fn place(headers: &mut HeaderMap, name: HeaderName, value: &[u8]) -> Result<(), BrokerError> {
    let value = credential_value(value).map_err(BrokerError::Egress)?;
    headers.insert(name, value);
    Ok(())
}

/// `20150830T123600Z`.
fn basic_time(now: Timestamp) -> String {
    let text = now.to_string();
    let whole = text.get(..19).unwrap_or(&text);
    let mut basic: String = whole.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    basic.push('Z');
    basic
}

/// Whether AWS reads the header. The rest is between here and the next proxy, and not signed.
fn is_read(name: &HeaderName) -> bool {
    *name == CONTENT_TYPE || name == "content-md5" || name.as_str().starts_with("x-amz-")
}

/// The headers that are signed, by name, with `Host`.
fn signed_headers(
    headers: &HeaderMap,
    authority: &str,
    read: impl Fn(&HeaderName) -> bool,
) -> Result<BTreeMap<String, Zeroizing<String>>, BrokerError> {
    const UNSIGNABLE: BrokerError = BrokerError::Placement("a header cannot be signed");
    let mut signed = BTreeMap::from([("host".to_owned(), Zeroizing::new(authority.to_owned()))]);
    for name in headers.keys().filter(|name| read(name)) {
        let mut text = Zeroizing::new(String::new());
        for (index, value) in headers.get_all(name).iter().enumerate() {
            let value = value.to_str().map_err(|_| UNSIGNABLE)?;
            if index > 0 {
                text.push(',');
            }
            text.push_str(&folded(value));
        }
        signed.insert(name.to_string(), text);
    }
    Ok(signed)
}

/// Without spaces at the ends, and with one for many within.
fn folded(value: &str) -> Zeroizing<String> {
    let mut folded = Zeroizing::new(String::with_capacity(value.len()));
    for word in value.split_ascii_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.push_str(word);
    }
    folded
}

fn names_of(headers: &BTreeMap<String, Zeroizing<String>>) -> String {
    let names: Vec<&str> = headers.keys().map(String::as_str).collect();
    names.join(";")
}

fn canonical_request(
    (method, path, query): (&str, &str, &str),
    headers: &BTreeMap<String, Zeroizing<String>>,
    payload: &str,
) -> Zeroizing<String> {
    let values: usize = headers.values().map(|value| value.len()).sum();
    let names = names_of(headers);
    let room = path.len() + query.len() + 2 * names.len() + values + 2 * headers.len() + 96;
    let mut text = Zeroizing::new(String::with_capacity(room));
    text.extend([method, "\n", path, "\n", query, "\n"]);
    for (name, value) in headers {
        text.extend([name, ":", value.as_str(), "\n"]);
    }
    text.extend(["\n", &names, "\n", payload]);
    text
}

fn string_to_sign(time: &str, scope: &str, canonical: &str) -> String {
    let hash = HEXLOWER.encode(&sha256(canonical.as_bytes()));
    format!("{ALGORITHM}\n{time}\n{scope}\n{hash}")
}

/// The path with each segment in its one spelling.
fn spelled_path(path: &str) -> Result<Zeroizing<String>, BrokerError> {
    let mut spelled = Zeroizing::new(String::with_capacity(3 * path.len()));
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            spelled.push('/');
        }
        spell(segment, &mut spelled)?;
    }
    Ok(spelled)
}

/// The path, escaped once more.
fn escaped_path(path: &str) -> Zeroizing<String> {
    let mut escaped = Zeroizing::new(String::with_capacity(3 * path.len()));
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            escaped.push('/');
        }
        escaped.extend(percent_encode(segment.as_bytes(), ENCODED));
    }
    escaped
}

/// The query with each name and value in its one spelling, in order.
fn spelled_query(query: &str) -> Result<Zeroizing<String>, BrokerError> {
    let mut pairs = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let mut spelled = (Zeroizing::new(String::new()), Zeroizing::new(String::new()));
        spell(name, &mut spelled.0)?;
        spell(value, &mut spelled.1)?;
        // They would be a second signature, with a scope and a date of the caller's.
        if spelled.0.to_ascii_lowercase().starts_with("x-amz-") {
            return Err(BrokerError::Placement(
                "a signed request has no x-amz- names in its query: they are the signer's",
            ));
        }
        pairs.push(spelled);
    }
    pairs.sort_by(|(a, x), (b, y)| (a.as_str(), x.as_str()).cmp(&(b.as_str(), y.as_str())));
    let mut text = Zeroizing::new(String::with_capacity(3 * query.len() + pairs.len()));
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            text.push('&');
        }
        text.extend([name.as_str(), "=", value.as_str()]);
    }
    Ok(text)
}

/// Writes `text` with its escapes undone and made anew.
fn spell(text: &str, into: &mut Zeroizing<String>) -> Result<(), BrokerError> {
    // Some read it as a space, and some as itself.
    if text.contains('+') {
        return Err(BrokerError::Placement(
            "a signed path or query has no plus sign: write %20 for a space, %2B for a plus",
        ));
    }
    let decoded: Zeroizing<Vec<u8>> = Zeroizing::new(percent_decode_str(text).collect());
    into.extend(percent_encode(&decoded, ENCODED));
    Ok(())
}

#[cfg(test)]
#[path = "sigv4_tests.rs"]
mod tests;
