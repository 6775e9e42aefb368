//! The canonical URL: read once, then used for policy, dialling, TLS name, `Host` header and logs.

use std::fmt;

use percent_encoding::percent_decode_str;

use super::{EgressError, UrlFault};
use crate::name::Host;

/// The longest URL, in bytes.
pub const MAX_URL_BYTES: usize = 8 * 1024;

/// How bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// In clear.
    Http,
    /// Inside TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that is meant when none is written.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Scheme, host and port: what a connection is made to. Shown as `https://host`, with the port only
/// when it is not the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// How bytes travel.
    pub scheme: Scheme,
    /// Where to.
    pub host: Host,
    /// On which port.
    pub port: u16,
}

impl Origin {
    /// Host and port as the `Host` header has them: without the scheme's default port.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority())
    }
}

/// A URL that has one reading.
///
/// Refused rather than repaired: user info, fragments, backslashes, spaces, controls, anything
/// outside ASCII, dot and empty segments, `;` parameters, escapes of `/`, `\`, `;`, controls or of
/// what needs none, double encoding, and whatever the `url` crate reads differently. Two things are
/// folded: the letter case of scheme and host, and that of the hex digits of escapes in the path.
///
/// Path and query may carry a placeholder or a secret: [`Debug`](fmt::Debug) shows the origin only.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    origin: Origin,
    path: Box<str>,
    query: Option<Box<str>>,
}

impl Url {
    /// Reads an absolute `http` or `https` URL.
    ///
    /// # Errors
    /// [`EgressError::BadUrl`] with the rule that was broken.
    pub fn parse(text: &str) -> Result<Self, EgressError> {
        if text.len() > MAX_URL_BYTES {
            return Err(UrlFault::Long.into());
        }
        if text.bytes().any(|b| !b.is_ascii_graphic() || b == b'\\') {
            return Err(UrlFault::Character.into());
        }
        if text.contains('#') {
            return Err(UrlFault::Fragment.into());
        }
        let (scheme, rest) = split_scheme(text)?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end).ok_or(UrlFault::Host)?;
        let (host, port) = split_authority(authority)?;
        let (path, query) = split_query(rest);
        let path = if path.is_empty() { "/" } else { path };
        check_path(path)?;
        query.map_or(Ok(()), check_query)?;
        let url = Self {
            origin: Origin {
                scheme,
                host,
                port: port.unwrap_or(scheme.default_port()),
            },
            path: fold_escapes(path).into(),
            query: query.map(Into::into),
        };
        if url.second_reading_agrees(text, path) {
            Ok(url)
        } else {
            Err(UrlFault::Reading.into())
        }
    }

    /// How bytes travel.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.origin.scheme
    }

    /// The host.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.origin.host
    }

    /// The port, written or meant.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.origin.port
    }

    /// The path, `/` at least, with its escapes.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What follows the `?`, as it was written.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Path and query as a request line has them.
    #[must_use]
    pub fn path_and_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.to_string(),
        }
    }

    /// Host and port as the `Host` header has them: without the scheme's default port.
    #[must_use]
    pub fn authority(&self) -> String {
        self.origin.authority()
    }

    /// Scheme, host and port.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether the WHATWG parser of most tool code sees the same URL.
    fn second_reading_agrees(&self, text: &str, path: &str) -> bool {
        let Ok(other) = url::Url::parse(text) else {
            return false;
        };
        let host = match other.host() {
            Some(url::Host::Domain(name)) => Host::Name(name.into()),
            Some(url::Host::Ipv4(address)) => Host::Address(address.into()),
            Some(url::Host::Ipv6(address)) => Host::Address(address.into()),
            None => return false,
        };
        // That parser encodes an apostrophe in a query; both spellings are the same character.
        let query = self.query.as_ref().map(|query| query.replace('\'', "%27"));
        other.scheme() == self.scheme().as_str()
            && host == self.origin.host
            && other.port_or_known_default() == Some(self.port())
            && other.path() == path
            && other.query() == query.as_deref()
            && other.username().is_empty()
            && other.password().is_none()
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({}/…)", self.origin)
    }
}

/// Applies the rules of path and query to a request line that was filled in after parsing, so that
/// a value placed in it cannot reach another path.
pub(super) fn check_path_and_query(text: &str) -> Result<(), UrlFault> {
    if text.len() > MAX_URL_BYTES {
        return Err(UrlFault::Long);
    }
    let (path, query) = split_query(text);
    check_path(path)?;
    query.map_or(Ok(()), check_query)
}

fn split_scheme(text: &str) -> Result<(Scheme, &str), UrlFault> {
    let (scheme, rest) = text.split_once("://").ok_or(UrlFault::Scheme)?;
    if scheme.eq_ignore_ascii_case("https") {
        Ok((Scheme::Https, rest))
    } else if scheme.eq_ignore_ascii_case("http") {
        Ok((Scheme::Http, rest))
    } else {
        Err(UrlFault::Scheme)
    }
}

fn split_authority(text: &str) -> Result<(Host, Option<u16>), UrlFault> {
    if text.contains('@') {
        return Err(UrlFault::UserInfo);
    }
    let (host, port) = match text.rsplit_once(']') {
        // Brackets hold an IPv6 address; without them a colon can only be the port's.
        Some((inner, "")) => (format!("{inner}]"), None),
        Some((inner, port)) => (
            format!("{inner}]"),
            Some(port.strip_prefix(':').ok_or(UrlFault::Host)?),
        ),
        None => match text.split_once(':') {
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (text.to_owned(), None),
        },
    };
    let host = Host::parse(&host).map_err(|_| UrlFault::Host)?;
    Ok((host, port.map(read_port).transpose()?))
}

fn read_port(text: &str) -> Result<u16, UrlFault> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    match text.parse() {
        Ok(port) if plain => Ok(port),
        _ => Err(UrlFault::Port),
    }
}

fn split_query(text: &str) -> (&str, Option<&str>) {
    match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    }
}

/// RFC 3986 `pchar` and `/`, without the `;` that some servers cut a segment at.
const fn is_path_byte(b: u8) -> bool {
    is_unreserved(b)
        || matches!(
            b,
            b'/' | b'%'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b'='
                | b':'
                | b'@'
        )
}

const fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')
}

fn check_path(path: &str) -> Result<(), UrlFault> {
    // Characters that some servers fold into dots and slashes (Unicode NFKC) after decoding.
    const FOLDED: [char; 6] = [
        '\u{2024}', '\u{2025}', '\u{2026}', '\u{ff0e}', '\u{ff0f}', '\u{ff3c}',
    ];
    if path.contains(';') {
        return Err(UrlFault::Parameter);
    }
    if !path.bytes().all(is_path_byte) {
        return Err(UrlFault::Character);
    }
    let segments = path.strip_prefix('/').ok_or(UrlFault::Character)?;
    let mut segments = segments.split('/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => return Err(UrlFault::DotSegment),
            "" if segments.peek().is_some() => return Err(UrlFault::EmptySegment),
            _ => (),
        }
    }
    for (at, _) in path.match_indices('%') {
        let byte = read_escape(path, at).ok_or(UrlFault::Escape)?;
        let twice = byte == b'%' && read_escape(path, at + 2).is_some();
        if twice || is_unreserved(byte) || byte.is_ascii_control() || b"/\\;".contains(&byte) {
            return Err(UrlFault::Escape);
        }
    }
    // Overlong and otherwise broken UTF-8 is no UTF-8.
    let decoded = percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| UrlFault::Escape)?;
    if decoded.contains(FOLDED) {
        return Err(UrlFault::Escape);
    }
    Ok(())
}

/// In a query, escapes are data: only broken ones and NUL are refused.
fn check_query(query: &str) -> Result<(), UrlFault> {
    let out_of_place = |b: u8| !b.is_ascii_graphic() || b"\"#<>\\".contains(&b);
    if query.bytes().any(out_of_place) {
        return Err(UrlFault::Character);
    }
    for (at, _) in query.match_indices('%') {
        if matches!(read_escape(query, at), None | Some(0)) {
            return Err(UrlFault::Escape);
        }
    }
    Ok(())
}

/// The byte that the two hex digits after position `at` stand for.
fn read_escape(text: &str, at: usize) -> Option<u8> {
    let digits = text.get(at.checked_add(1)?..at.checked_add(3)?)?;
    let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    hex.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

fn fold_escapes(path: &str) -> String {
    let mut digits = 0;
    path.chars()
        .map(|c| match (c, digits) {
            ('%', _) => {
                digits = 2;
                c
            }
            (_, 0) => c,
            _ => {
                digits -= 1;
                c.to_ascii_uppercase()
            }
        })
        .collect()
}
