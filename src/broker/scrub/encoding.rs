//! Which encoding a body has, read from its head.
//!
//! None was asked for. An upstream that encodes nevertheless does so once: more encodings on top of each
//! other have no use, and each takes memory to undo.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, TRANSFER_ENCODING};

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
    /// identity, more than one, or a transfer encoding other than `chunked`; [`ScrubError::Charset`] when
    /// the body is a text in which ASCII does not look like ASCII, UTF-16 or UTF-32.
    pub fn of(headers: &HeaderMap) -> Result<Self, ScrubError> {
        for transfer in tokens(headers, &TRANSFER_ENCODING) {
            if !matches!(transfer?.as_str(), "chunked" | "identity") {
                return Err(ScrubError::Unscannable);
            }
        }
        if !charsets(headers).all(|charset| is_searchable(&charset)) {
            return Err(ScrubError::Charset);
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

/// The charsets that a body is said to have, in lower case; what is no text has none that matches.
fn charsets(headers: &HeaderMap) -> impl Iterator<Item = String> + use<'_> {
    let said = headers.get_all(CONTENT_TYPE).into_iter();
    said.flat_map(|line| line.as_bytes().split(|byte| *byte == b';').skip(1))
        .filter_map(|parameter| {
            let equals = parameter.iter().position(|byte| *byte == b'=')?;
            let (name, value) = parameter.split_at_checked(equals)?;
            let value = String::from_utf8_lossy(value).to_ascii_lowercase();
            let value =
                value.trim_matches(|c: char| c.is_whitespace() || matches!(c, '=' | '"' | '\''));
            let is_charset = name.trim_ascii().eq_ignore_ascii_case(b"charset");
            (is_charset && !value.is_empty()).then(|| value.to_owned())
        })
}

/// Whether an ASCII value has its own bytes in this charset, or those with zeros between them. Not in
/// EBCDIC, UTF-7, and those that shift between alphabets.
fn is_searchable(charset: &str) -> bool {
    const WHOLE: [&str; 14] = [
        "ascii",
        "us-ascii",
        "ansi_x3.4-1968",
        "binary",
        "cp866",
        "ibm866",
        "macintosh",
        "shift_jis",
        "shift-jis",
        "sjis",
        "tis-620",
        "ucs-2",
        "x-sjis",
        "ks_c_5601-1987",
    ];
    const BEGINNINGS: [&str; 17] = [
        "big5",
        "cp125",
        "euc-",
        "gb",
        "iso-8859-",
        "iso8859",
        "iso_8859",
        "koi8-",
        "latin",
        "utf-16",
        "utf-32",
        "utf-8",
        "utf16",
        "utf32",
        "utf8",
        "windows-",
        "x-mac-",
    ];
    WHOLE.contains(&charset) || BEGINNINGS.iter().any(|begin| charset.starts_with(begin))
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

    #[test]
    fn a_text_in_a_charset_in_which_ascii_is_not_ascii_is_withheld() {
        let typed = |charset: &'static str| of(&[("content-type", charset)]);
        for charset in [
            "text/html",
            "text/html; charset=utf-8",
            "text/html; charset=\"UTF-8\"; boundary=x",
            "application/json;charset=UTF-16LE",
            "text/plain; CHARSET = ISO-8859-15",
            "text/plain; charset=windows-1252",
            "text/plain; charset=Shift_JIS",
            "text/plain; charset=",
            "multipart/mixed; boundary=utf-7",
        ] {
            assert!(typed(charset).is_ok(), "{charset}");
        }
        for charset in [
            "text/html; charset=ibm037",
            "application/json; charset=cp1047",
            "text/html; charset=\"utf-7\"",
            "text/html; boundary=x; charset=UTF-7",
            "text/html; charset=hz-gb-2312",
            "text/html; charset=iso-2022-kr",
            "text/html; charset=nobody-knows",
            "text/html; charset=utf-8; charset=ibm500",
        ] {
            assert_eq!(typed(charset), Err(ScrubError::Charset), "{charset}");
        }
    }
}
