//! Host names, and the patterns that bind a credential to them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smol_str::{SmolStr, StrExt};

/// A host in its one canonical spelling: lower-case ASCII labels, or an IP address.
///
/// No trailing dot, no user info, no port, no percent sign, no character outside letters, digits,
/// hyphen and dot. Names outside ASCII are written in their `xn--` form (RFC 5891). A last label that
/// is a number (`127.1`, `0x7f.1`, `2130706433`) is refused unless the whole is a dotted IPv4
/// address, because other parsers read such names as addresses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A DNS name of at least one label.
    Name(SmolStr),
    /// A literal address; an IPv6 one stands in brackets where a URL has it.
    Address(IpAddr),
}

/// A text that is no host in canonical spelling, or no pattern of one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The text is no host.
    #[error(
        "not a host: write a DNS name in ASCII (xn-- form for others) or an IP address, without port or path"
    )]
    Host,
    /// The pattern is more than an exact host or `*.` before one of at least two labels.
    #[error("not a host pattern: write an exact host, or *.example.com for one label in front")]
    Pattern,
}

impl Host {
    /// Reads a host; upper case is folded, brackets around an IPv6 address are accepted.
    ///
    /// # Errors
    /// [`HostError::Host`] for every spelling that two parsers might read differently.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(HostError::Host)?;
            let address: Ipv6Addr = inner.parse().map_err(|_| HostError::Host)?;
            return Ok(Self::Address(address.into()));
        }
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Ok(Self::Address(address.into()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        let last = text.rsplit('.').next().unwrap_or_default();
        let numeric = last.bytes().all(|b| b.is_ascii_digit())
            || last
                .strip_prefix("0x")
                .or(last.strip_prefix("0X"))
                .is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        if text.len() > 253 || numeric || !text.split('.').all(is_label) {
            return Err(HostError::Host);
        }
        Ok(Self::Name(text.to_ascii_lowercase_smolstr()))
    }
}

/// RFC 1123 label: letters, digits, hyphens, no hyphen at either end, 63 at most. Underscore is not
/// in it: no public API lives under one.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Where a credential may go: one exact host, or exactly one label in front of a host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This host only.
    Exact(Host),
    /// One label, then `.`, then this name.
    OneLabel(SmolStr),
}

impl HostPattern {
    /// Reads `api.example.com` or `*.example.com`. The wildcard stands for exactly one label, in
    /// front of a name of at least two, so that `*.com` and `*` cannot be written.
    ///
    /// # Errors
    /// [`HostError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let Some(parent) = text.strip_prefix("*.") else {
            return Host::parse(text).map(Self::Exact);
        };
        match Host::parse(parent) {
            Ok(Host::Name(name)) if name.contains('.') => Ok(Self::OneLabel(name)),
            _ => Err(HostError::Pattern),
        }
    }

    /// Whether `host` falls under this pattern.
    #[must_use]
    pub fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Exact(exact), host) => exact == host,
            (Self::OneLabel(parent), Host::Name(name)) => name
                .split_once('.')
                .is_some_and(|(_, rest)| *rest == **parent),
            (Self::OneLabel(_), Host::Address(_)) => false,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => host.fmt(f),
            Self::OneLabel(parent) => write!(f, "*.{parent}"),
        }
    }
}

as_text!(Host, HostPattern);

#[cfg(test)]
mod tests {
    use super::{Host, HostPattern};

    #[test]
    fn a_host_has_one_spelling() {
        for (text, canonical) in [
            ("API.Good.com", "api.good.com"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("::FFFF:7f00:1", "[::ffff:127.0.0.1]"),
            ("localhost", "localhost"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(Host::parse(text).unwrap().to_string(), canonical);
        }
    }

    #[test]
    fn ambiguous_hosts_are_refused() {
        for text in [
            "",
            ".",
            "api.good.com.",
            ".good.com",
            "a..b",
            "api_good.com",
            "api.good.com:443",
            "u@h",
            "bücher.example",
            "ａpi.good.com",
            "api.good.com\\",
            "api\tgood.com",
            "api.good.com\0",
            "api%2egood.com",
            "127.1",
            "0x7f.1",
            "2130706433",
            "0177.0.0.1",
            "127.0.0.1.",
            "0x7f000001",
            "[::1",
            "::1]",
            "fe80::1%eth0",
            "[fe80::1%25eth0]",
            "-a.com",
            "a-.com",
            "a b.com",
            "*.good.com",
            "api.good.com/",
            "api\u{200b}.good.com",
            "1.2.3.4.5",
            "a.256",
        ] {
            assert!(Host::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_wildcard_is_one_label() {
        let pattern = HostPattern::parse("*.good.com").unwrap();
        let matches = |host| pattern.matches(&Host::parse(host).unwrap());
        assert!(matches("api.good.com"));
        for host in [
            "good.com",
            "a.b.good.com",
            "api-good.com",
            "api.good.com.evil.test",
        ] {
            assert!(!matches(host), "{host}");
        }
        for wrong in [
            "*",
            "*.com",
            "*.*.good.com",
            "a*.good.com",
            "good.*",
            "*.127.0.0.1",
            "*good.com",
        ] {
            assert!(HostPattern::parse(wrong).is_err(), "{wrong}");
        }
    }
}
