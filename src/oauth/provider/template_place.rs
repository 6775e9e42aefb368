//! The places of a template, and what may stand in each.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use zeroize::Zeroizing;

use super::template::{TemplateError, is_secret_name};
use super::vars::Value;
use crate::egress::Url;
use crate::name::Host;

/// What RFC 3986 calls unreserved stays as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Where a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The beginning of a URL: `https://host`.
    Origin,
    /// A whole host.
    Host,
    /// The labels that end a host: `com`, `com.au`.
    HostSuffix,
    /// One label of a host, or a piece of one.
    HostLabel,
    /// One segment of a path, or a piece of one.
    Path,
    /// The value of a query member.
    Query(QuerySecrets),
    /// A header's value.
    Header,
    /// A body member's value; whoever writes the body encodes it.
    Body,
}

/// Whether a query may carry a secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum QuerySecrets {
    /// It may not: URLs are logged.
    #[default]
    Refused,
    /// The file says so (`query_secrets_ok`), because the provider knows no other way.
    Allowed,
}

impl QuerySecrets {
    /// What `query_secrets_ok` says.
    #[must_use]
    pub const fn when(ok: bool) -> Self {
        if ok { Self::Allowed } else { Self::Refused }
    }
}

impl Place {
    pub(super) const fn takes_secrets(self) -> bool {
        matches!(
            self,
            Self::Header | Self::Body | Self::Query(QuerySecrets::Allowed)
        )
    }

    const fn encodes(self) -> bool {
        matches!(self, Self::Path | Self::Query(_))
    }

    fn admits(self, text: &str) -> bool {
        if text.chars().any(char::is_control) {
            return false;
        }
        match self {
            Self::Origin => is_origin(text),
            Self::Host => is_host(text),
            Self::HostSuffix => text.split('.').all(is_label),
            Self::HostLabel => is_label(text),
            Self::Path => !matches!(text, "" | "." | "..") && !text.contains(['/', '\\', ';', '%']),
            Self::Header => text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()),
            Self::Query(_) | Self::Body => true,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Origin => "the beginning of a URL",
            Self::Host => "a host",
            Self::HostSuffix => "the end of a host",
            Self::HostLabel => "a label of a host",
            Self::Path => "a path",
            Self::Query(_) => "a query",
            Self::Header => "a header",
            Self::Body => "a body",
        })
    }
}

/// Appends a value as its place needs it. `out` has the room: it never grows.
pub(super) fn write_into(
    out: &mut Zeroizing<String>,
    name: &str,
    value: Value<'_>,
    place: Place,
) -> Result<(), TemplateError> {
    let hidden = matches!(value, Value::Secret(_)) || is_secret_name(name);
    if hidden && !place.takes_secrets() {
        let name = name.into();
        return Err(TemplateError::Secret { name, place });
    }
    let admitted = value.lend(|text| {
        let text = text.filter(|text| place.admits(text));
        if let Some(text) = text {
            append(out, text, place);
        }
        text.is_some()
    });
    let name = name.into();
    admitted
        .then_some(())
        .ok_or(TemplateError::Value { name, place })
}

fn append(out: &mut Zeroizing<String>, text: &str, place: Place) {
    if place.encodes() {
        out.extend(encode(text));
    } else {
        out.push_str(text);
    }
}

impl Value<'_> {
    /// Its length in bytes.
    pub(super) fn len(self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Secret(secret) => secret.len(),
        }
    }

    /// Lends the text; none when the bytes are no text.
    fn lend<R>(self, read: impl FnOnce(Option<&str>) -> R) -> R {
        match self {
            Self::Text(text) => read(Some(text)),
            Self::Secret(secret) => secret.expose(|bytes| read(std::str::from_utf8(bytes).ok())),
        }
    }
}

/// One lower-case label in ASCII. A label in `xn--` form looks like another name to a person, and is
/// refused; so is an underscore.
pub(super) fn is_label(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(letter)
        && !text.starts_with('-')
        && !text.ends_with('-')
        && !text.starts_with("xn--")
}

/// A DNS name of at least two such labels.
pub(super) fn is_host(text: &str) -> bool {
    text.contains('.')
        && text.split('.').all(is_label)
        && matches!(Host::parse(text), Ok(Host::Name(_)))
}

/// Scheme and host in their one spelling, and nothing behind them. Which hosts is for whoever
/// captured it to decide.
pub(super) fn is_origin(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| url.origin().to_string() == text)
}

/// Whether a host is this machine by its very spelling.
pub(in crate::oauth) fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Name(name) => **name == *"localhost" || name.ends_with(".localhost"),
        Host::Address(address) => address.is_loopback(),
    }
}

/// Percent-encodes all that is not unreserved.
pub(in crate::oauth) fn encode(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, ENCODED)
}
