//! AWS as far as a signature goes: verified from what arrived, by another hand than signed it.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use http::Response;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

use crate::harness::{Seen, Upstream};

const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Keys that the upstream knows.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) token: String,
}

fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hash(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

fn respelled(text: &str) -> String {
    let decoded = percent_decode_str(text).decode_utf8().unwrap();
    utf8_percent_encode(&decoded, PLAIN).to_string()
}

/// What stands between `begin` and the next comma.
fn member<'t>(text: &'t str, begin: &str) -> Option<&'t str> {
    let rest = &text[text.find(begin)? + begin.len()..];
    rest.split(',').next()
}

/// The request as the signature sees it.
fn canonical(seen: &Seen, service: &str, names: &str) -> String {
    let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
    let mut path: Vec<String> = path.split('/').map(respelled).collect();
    if service != "s3" {
        let escape = |part: &String| utf8_percent_encode(part, PLAIN).to_string();
        path = path.iter().map(escape).collect();
    }
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(String, String)> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (respelled(name), respelled(value)))
        .collect();
    pairs.sort();
    let query: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let headers: String = names
        .split(';')
        .map(|name| format!("{name}:{}\n", seen.header(name).trim()))
        .collect();
    format!(
        "{}\n{}\n{}\n{headers}\n{names}\n{}",
        seen.method,
        path.join("/"),
        query.join("&"),
        hash(&seen.body)
    )
}

/// Why the request is refused, if it is: the checks of a server that trusts nothing.
pub(crate) fn refusal(
    seen: &Seen,
    keys: &Keys,
    (region, service): (&str, &str),
) -> Option<&'static str> {
    let says = seen.header("authorization");
    let Some(rest) = says.strip_prefix("AWS4-HMAC-SHA256 ") else {
        return Some("IncompleteSignature");
    };
    let (Some(credential), Some(names), Some(signature)) = (
        member(rest, "Credential="),
        member(rest, "SignedHeaders="),
        member(rest, "Signature="),
    ) else {
        return Some("IncompleteSignature");
    };
    let time = seen.header("x-amz-date");
    let day = &time[..8];
    let scope = format!("{day}/{region}/{service}/aws4_request");
    if credential != format!("{}/{scope}", keys.id) {
        return Some("InvalidClientTokenId");
    }
    if seen.header("x-amz-security-token") != keys.token {
        return Some("InvalidToken");
    }
    if seen.header("x-amz-content-sha256") != hash(&seen.body) {
        return Some("XAmzContentSHA256Mismatch");
    }
    let must = |name: &str| name == "host" || name == "content-type" || name.starts_with("x-amz-");
    let signed: Vec<&str> = names.split(';').collect();
    if seen
        .headers
        .keys()
        .any(|name| must(name.as_str()) && !signed.contains(&name.as_str()))
    {
        return Some("UnsignedHeader");
    }
    let canonical = canonical(seen, service, names);
    let message = format!(
        "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
        hash(canonical.as_bytes())
    );
    let mut key = format!("AWS4{}", keys.secret).into_bytes();
    for step in [day, region, service, "aws4_request"] {
        key = hmac(&key, step);
    }
    (HEXLOWER.encode(&hmac(&key, &message)) != signature).then_some("SignatureDoesNotMatch")
}

/// STS and S3 behind one port. Whoever is let in sees the whole request again.
pub(crate) fn start(keys: &Keys) -> Upstream {
    let keys = keys.clone();
    Upstream::plain(move |seen| {
        let service = if seen.method == "POST" { "sts" } else { "s3" };
        let (status, text) = match refusal(seen, &keys, ("us-east-1", service)) {
            None => (200, seen.echo().to_string()),
            Some(code) => (
                403,
                format!("<Error><Code>{code}</Code>{}</Error>", seen.echo()),
            ),
        };
        Response::builder()
            .status(status)
            .header("content-type", "application/xml")
            .header("x-echo", seen.headers.get("authorization").unwrap())
            .body(Bytes::from(text))
            .unwrap()
    })
}
