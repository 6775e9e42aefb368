//! Which encoding a body has, read from its head.
//!
//! None was asked for. An upstream that encodes nevertheless does so once: more encodings on top of each
//! other have no use, and each takes memory to undo.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, HeaderName, TRANSFER_ENCODING};

use super::ScrubError;

/// One encoding that can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// The encoding of a body, if it has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoding(Option<Coding>);

impl Encoding {
    /// A body that is as it is.
    #[must_use]
    pub fn identity() -> Self {
        Self::default()
    }

    /// Reads `Content-Encoding`, and `Transfer-Encoding` for what is no framing.
    ///
    /// # Errors
    /// [`ScrubError::Unscannable`] when there is an encoding that is not gzip, deflate, br, zstd or
    /// identity, more than one, or a transfer encoding other than `chunked`.
    pub fn of(headers: &HeaderMap) -> Result<Self, ScrubError> {
        for transfer in tokens(headers, &TRANSFER_ENCODING) {
            if !matches!(transfer?.as_str(), "chunked" | "identity") {
                return Err(ScrubError::Unscannable);
            }
        }
        let mut found = None;
        for name in tokens(headers, &CONTENT_ENCODING) {
            let coding = match name?.as_str() {
                "identity" => continue,
                "gzip" | "x-gzip" => Coding::Gzip,
                "deflate" => Coding::Deflate,
                "br" => Coding::Brotli,
                "zstd" => Coding::Zstd,
                _ => return Err(ScrubError::Unscannable),
            };
            if found.replace(coding).is_some() {
                return Err(ScrubError::Unscannable);
            }
        }
        Ok(Self(found))
    }

    /// Whether the body is as it is.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.0.is_none()
    }

    pub(super) const fn coding(&self) -> Option<Coding> {
        self.0
    }
}

/// The tokens of every line of a list header, in lower case.
fn tokens<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = Result<String, ScrubError>> + use<'a> {
    headers
        .get_all(name)
        .into_iter()
        .flat_map(|line| match line.to_str() {
            Ok(text) => text.split(',').map(|token| Ok(token.trim())).collect(),
            Err(_) => vec![Err(ScrubError::Unscannable)],
        })
        .filter(|token| *token != Ok(""))
        .map(|token| token.map(str::to_ascii_lowercase))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::Encoding;
    use crate::broker::scrub::ScrubError;

    fn of(lines: &[(&'static str, &'static str)]) -> Result<Encoding, ScrubError> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        Encoding::of(&headers)
    }

    #[test]
    fn known_encodings_are_read_from_every_line_in_any_case() {
        let two = of(&[
            ("content-encoding", "identity"),
            ("content-encoding", "GZip , identity"),
        ]);
        assert_eq!(two, of(&[("content-encoding", "x-gzip")]));
        assert!(!two.unwrap().is_identity());
        assert!(of(&[]).unwrap().is_identity());
        assert!(
            of(&[
                ("transfer-encoding", "chunked"),
                ("content-encoding", "identity,")
            ])
            .unwrap()
            .is_identity()
        );
    }

    #[test]
    fn unknown_and_too_many_encodings_are_refused() {
        for value in [
            "compress",
            "gzip, aes128gcm",
            "gzip;q=1",
            "br,br",
            "gzip, br",
            "dcb",
            "\"gzip\"",
        ] {
            assert_eq!(
                of(&[("content-encoding", value)]),
                Err(ScrubError::Unscannable),
                "{value}"
            );
        }
        assert_eq!(
            of(&[("transfer-encoding", "gzip, chunked")]),
            Err(ScrubError::Unscannable)
        );
        assert_eq!(
            of(&[("content-encoding", "gzip"), ("content-encoding", "gzip")]),
            Err(ScrubError::Unscannable)
        );
        let mut headers = HeaderMap::new();
        let binary = http::HeaderValue::from_bytes(b"gz\xff").unwrap();
        headers.insert("content-encoding", binary);
        assert_eq!(Encoding::of(&headers), Err(ScrubError::Unscannable));
    }
}
