//! Searching header blocks and trailers.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderName};
use http::{HeaderMap, HeaderValue};

use super::stream::Masks;
use super::{Encoding, Hits, Patterns};

/// Checksums of a body, which no longer hold for one that was decoded or masked.
const DIGESTS: [&str; 4] = ["content-digest", "content-md5", "digest", "repr-digest"];

/// A header block of an upstream's, searched. Made only by [`scrub_headers`] and
/// [`scrub_trailers`].
#[derive(Debug, Default)]
pub struct ScrubbedHeaders(HeaderMap);

impl ScrubbedHeaders {
    /// The headers, to be handed on.
    #[must_use]
    pub fn into_map(self) -> HeaderMap {
        self.0
    }
}

/// What happens to the body that the headers speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyIs {
    /// It keeps its encoding and its length.
    AsSent,
    /// Its encodings are undone, so that length, encoding and checksums no longer hold.
    Decoded,
}

impl BodyIs {
    /// What [`scrub_body`](super::scrub_body) does to a body with this encoding.
    #[must_use]
    pub fn under(encoding: &Encoding) -> Self {
        if encoding.is_identity() {
            Self::AsSent
        } else {
            Self::Decoded
        }
    }
}

/// Searches names and values, counting into `hits`.
///
/// Names are searched in either case, since they arrive in lower case. Checksums of the body go
/// when the body is decoded or when anything was found; found in the body later, a checksum
/// rightly fails.
#[must_use]
pub fn scrub_headers(
    headers: HeaderMap,
    patterns: &Patterns,
    body: BodyIs,
    hits: &Hits,
) -> ScrubbedHeaders {
    let before = hits.total();
    let mut headers = scrub_map(headers, patterns, hits);
    if body == BodyIs::Decoded {
        headers.remove(CONTENT_LENGTH);
        headers.remove(CONTENT_ENCODING);
    }
    if body == BodyIs::Decoded || hits.total() != before {
        for digest in DIGESTS {
            headers.remove(digest);
        }
    }
    ScrubbedHeaders(headers)
}

/// Searches the trailers, counting into `hits`. Checksums of the body go when it was decoded, or
/// when anything was found so far.
#[must_use]
pub fn scrub_trailers(
    trailers: HeaderMap,
    patterns: &Patterns,
    body: BodyIs,
    hits: &Hits,
) -> ScrubbedHeaders {
    let mut trailers = scrub_map(trailers, patterns, hits);
    if body == BodyIs::Decoded || hits.total() > 0 {
        for digest in DIGESTS {
            trailers.remove(digest);
        }
    }
    ScrubbedHeaders(trailers)
}

fn scrub_map(mut headers: HeaderMap, patterns: &Patterns, hits: &Hits) -> HeaderMap {
    if patterns.is_empty() {
        return headers;
    }
    for value in headers.values_mut() {
        if let Some(masked) = masked_value(value, patterns, hits) {
            *value = masked;
        }
    }
    let found = |name: &HeaderName| !masks_of(name, patterns, None).is_empty();
    if !headers.keys().any(found) {
        return headers;
    }
    let mut renamed = HeaderMap::with_capacity(headers.len());
    let mut last = None;
    for (name, value) in headers {
        // Only the first of several values of one name comes with it.
        if let Some(name) = name {
            last = scrub_name(name, patterns, hits);
        }
        if let Some(name) = &last {
            renamed.append(name.clone(), value);
        }
    }
    renamed
}

/// The value masked, if there is anything in it.
fn masked_value(value: &HeaderValue, patterns: &Patterns, hits: &Hits) -> Option<HeaderValue> {
    let mut masks = Masks::default();
    patterns.search(value.as_bytes(), true, |found| {
        hits.count(found.value);
        masks.add(found.at);
    });
    if masks.is_empty() {
        return None;
    }
    let bytes = Bytes::copy_from_slice(value.as_bytes());
    let mut masked = HeaderValue::from_maybe_shared(masks.apply(bytes))
        .unwrap_or_else(|_| HeaderValue::from_static("*"));
    masked.set_sensitive(value.is_sensitive());
    Some(masked)
}

/// The name with values masked: `*` may stand in a name. Nothing if it were no name then.
fn scrub_name(name: HeaderName, patterns: &Patterns, hits: &Hits) -> Option<HeaderName> {
    let masks = masks_of(&name, patterns, Some(hits));
    if masks.is_empty() {
        return Some(name);
    }
    let bytes = Bytes::copy_from_slice(name.as_str().as_bytes());
    HeaderName::from_bytes(&masks.apply(bytes)).ok()
}

fn masks_of(name: &HeaderName, patterns: &Patterns, hits: Option<&Hits>) -> Masks {
    let mut masks = Masks::default();
    patterns
        .names()
        .scan(name.as_str().as_bytes(), true, |found| {
            if let Some(hits) = hits {
                hits.count(found.value);
            }
            masks.add(found.at);
        });
    masks
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{BodyIs, scrub_headers};
    use crate::broker::scrub::tests_spellings::patterns;

    const VALUE: &str = "ghp_AbCdEf0123456789";

    fn scrubbed(lines: &[(&str, &str)], body: BodyIs) -> (HeaderMap, u64) {
        let patterns = patterns(VALUE);
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, value.parse().unwrap());
        }
        let hits = patterns.hits();
        let out = scrub_headers(headers, &patterns, body, &hits);
        (out.into_map(), hits.total())
    }

    #[test]
    fn values_are_masked_in_every_line_of_a_header() {
        let (out, hits) = scrubbed(
            &[
                (
                    "location",
                    "https://a.example/?token=ghp_AbCdEf0123456789#x",
                ),
                ("set-cookie", "a=1"),
                ("set-cookie", "t=6768705F416243644566303132333435363738390a"),
                ("content-md5", "xyz"),
            ],
            BodyIs::AsSent,
        );
        assert_eq!(
            out["location"],
            "https://a.example/?token=********************#x"
        );
        let cookies: Vec<_> = out.get_all("set-cookie").iter().collect();
        assert_eq!(cookies[0], "a=1");
        assert_eq!(cookies[1], format!("t={}0a", "*".repeat(40)).as_str());
        assert!(!out.contains_key("content-md5"));
        assert_eq!(hits, 2);
    }

    #[test]
    fn a_name_is_searched_in_any_case_and_keeps_its_values() {
        let (out, hits) = scrubbed(
            &[
                ("x-ghp_abcdef0123456789-y", "one"),
                ("x-other", "two"),
                ("x-ghp_abcdef0123456789-y", "three"),
            ],
            BodyIs::AsSent,
        );
        let masked: Vec<_> = out.get_all("x-********************-y").iter().collect();
        assert_eq!(masked, ["one", "three"]);
        assert_eq!(
            (out.len(), &out["x-other"], hits),
            (3, &"two".parse().unwrap(), 1)
        );
    }

    #[test]
    fn a_clean_head_stays_and_a_decoded_body_loses_its_length() {
        let lines = [
            ("content-length", "10"),
            ("content-encoding", "gzip"),
            ("etag", "\"1\""),
            ("digest", "sha-256=x"),
        ];
        let (out, hits) = scrubbed(&lines, BodyIs::AsSent);
        assert_eq!((out.len(), hits), (4, 0));
        let (out, _) = scrubbed(&lines, BodyIs::Decoded);
        assert_eq!(out.keys().collect::<Vec<_>>(), ["etag"]);
    }
}
