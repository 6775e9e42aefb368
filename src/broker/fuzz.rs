//! What tool code sends, and what upstreams send back.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};

use super::scrub::{Decoder, Encoding, Limits, Patterns, Scrubber, scrub_bytes, scrub_json};
pub(crate) use super::socket::fuzz::frames;
use super::{placeholder, scrub};
use crate::secret::Secret;

/// A value, and an answer in which it may stand: the length of the value, the value, the size of the pieces
/// in which the answer comes, the answer.
pub(crate) fn scrubber(bytes: &[u8]) {
    let Some((&length, rest)) = bytes.split_first() else {
        return;
    };
    let length = usize::from(length).max(scrub::MIN_VALUE_BYTES);
    let Some((value, rest)) = rest.split_at_checked(length) else {
        return;
    };
    let Some((&piece, answer)) = rest.split_first() else {
        return;
    };
    let Ok(patterns) = Patterns::for_values([&Secret::copy_of(value)], []) else {
        return;
    };
    let (whole, hits) = scrub_bytes(&patterns, Bytes::copy_from_slice(answer));
    let whole = whole.into_bytes();
    assert_eq!(whole.len(), answer.len());
    assert_eq!(hits == 0, whole == answer);
    if !value.contains(&scrub::MASK) {
        assert!(memchr::memmem::find(&whole, value).is_none());
    }
    let mut stream = Scrubber::new(&patterns);
    let mut pieces = BytesMut::new();
    for chunk in answer.chunks(usize::from(piece).max(1)) {
        let decided = stream.push(Bytes::copy_from_slice(chunk));
        pieces.extend(decided.map(scrub::Scrubbed::into_bytes));
    }
    pieces.extend(stream.finish().map(scrub::Scrubbed::into_bytes));
    assert_eq!(pieces, whole, "in pieces as in one");
    if let Ok(mut document) = serde_json::from_slice(answer) {
        scrub_json(&mut document, &patterns, &patterns.hits());
    }
}

/// A compressed body: the first byte says how.
pub(crate) fn decoder(bytes: &[u8]) {
    let Some((&coding, body)) = bytes.split_first() else {
        return;
    };
    let names = ["gzip", "deflate", "br", "zstd"];
    let name = names.get(usize::from(coding % 4)).copied().unwrap_or("br");
    let mut headers = HeaderMap::new();
    headers.insert(
        http::header::CONTENT_ENCODING,
        HeaderValue::from_static(name),
    );
    let limits = Limits {
        decoded: 1 << 20,
        ..Limits::default()
    };
    let Ok(mut decoder) = Encoding::of(&headers).and_then(|it| Decoder::new(&it, limits)) else {
        return;
    };
    let mut yielded = 0;
    for chunk in body.chunks(97) {
        decoder.push(Bytes::copy_from_slice(chunk));
        loop {
            match decoder.pull() {
                Ok(Some(piece)) => yielded += piece.len(),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    assert!(yielded <= 1 << 20);
    let _ended = decoder.finish();
}

/// Marks of placeholders, in whatever is to go out.
pub(crate) fn placeholders(bytes: &[u8]) {
    let found = placeholder::any_in(bytes);
    if memchr::memmem::find(bytes, b"rtPlaceh0lder").is_some() {
        assert!(found);
    }
    if let Some(marks) = placeholder::marks() {
        assert!(marks.occurrences(bytes).is_empty() || found);
    }
}
