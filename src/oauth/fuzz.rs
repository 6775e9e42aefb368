//! What providers answer, what comes back from a browser, and the files that say how to read them.

use std::sync::LazyLock;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue};

use super::flow::{CallbackQuery, one_line};
use super::provider::{Bound, Catalog, Payload, Pointer, Provider, Reach, Template};
use super::token::{
    Expected, Proof, Reply, Subject, Told, check_id_token, classify, read_identity, read_metadata,
    read_retry_after, read_revocation, read_tokens,
};
use crate::clock::Timestamp;
use crate::secret::Secret;

static SHIPPED: LazyLock<Option<Catalog>> = LazyLock::new(|| Catalog::shipped().ok());
const NOW: Timestamp = Timestamp::from_millis(1_795_435_200_000);

/// An answer: a provider's number, a status, a line for its headers, a body.
pub(crate) fn answer(bytes: &[u8]) {
    let (Some((&[number, status], rest)), Some(shipped)) = (bytes.split_first_chunk(), &*SHIPPED)
    else {
        return;
    };
    let line = rest.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (line, body) = rest.split_at(line);
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(line) {
        headers.insert(CONTENT_TYPE, value.clone());
        headers.insert(RETRY_AFTER, value);
    }
    let all = [200, 201, 400, 401, 403, 429, 500, 503];
    let status = all.get(usize::from(status % 8)).copied().unwrap_or(200);
    let reply = Reply::new(status, &headers, body.trim_ascii_start().to_vec());
    let count = shipped.iter().count();
    let Some(provider) = shipped.iter().nth(usize::from(number) % count.max(1)) else {
        return;
    };
    read(provider, &reply);
    let _metadata = read_metadata("https://issuer.example", body, &Reach::public());
    if let Ok(text) = str::from_utf8(line) {
        let _after = read_retry_after(text, NOW);
    }
}

fn read(provider: &Provider, reply: &Reply) {
    for subject in [Subject::Token, Subject::Refresh, Subject::Revoke] {
        let _read = read_tokens(provider, &Bound::default(), reply, subject, NOW);
        let _verdict = classify(provider, Told::Reply { reply, subject }, NOW);
    }
    let _identity = read_identity(provider, reply);
    let subject = Subject::Revoke;
    let _revoked = read_revocation(provider, 0, Told::Reply { reply, subject }, NOW);
}

/// What a browser brings back, and what a person is shown of it.
pub(crate) fn callback(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    let _query = CallbackQuery::read(text);
    let _payload = Payload::read(text);
    let shown = one_line(text, 80);
    assert!(!shown.contains(['\n', '\r', '\u{1b}']), "{shown:?}");
}

/// A provider's file, and the small languages in it.
pub(crate) fn provider(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    let _provider = Provider::read("example.toml", text, &Reach::public());
    if let Ok(template) = Template::parse(text) {
        assert_eq!(template.as_str(), text);
    }
    if let Ok(pointer) = Pointer::parse(text) {
        let _found = pointer.get(&serde_json::json!({"a": [{"b": 1}]}));
    }
}

/// An ID token is never believed without a key.
pub(crate) fn id_token(bytes: &[u8]) {
    let expected = Expected {
        issuer: "https://issuer.example",
        client_id: "client",
        nonce: None,
        access_token: None,
        now: NOW,
    };
    let keys = crate::crypto::Jwks::parse(b"{\"keys\":[]}");
    let Ok(keys) = keys else {
        return;
    };
    let refused = check_id_token(&Secret::copy_of(bytes), Proof::Keys(&keys), &expected);
    assert!(refused.is_err());
}
