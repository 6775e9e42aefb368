//! What can go wrong on the way out, in words that quote neither the caller nor the upstream.

use std::fmt;

use super::AddressKind;

/// Why a request did not go out, or its answer did not come back whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The text is no URL in its one accepted spelling.
    #[error("not a URL that may be used: {reason}")]
    BadUrl {
        /// Which rule it broke.
        reason: UrlFault,
    },
    /// An address, written or resolved, lies where outbound requests do not go.
    #[error("the host has {kind}, and requests do not go there")]
    Refused {
        /// What kind of address it is.
        kind: AddressKind,
    },
    /// The host is a cloud's instance metadata service.
    #[error("the host is an instance metadata service, and no grant opens those")]
    Metadata,
    /// The host is this broker.
    #[error("the host is this broker itself")]
    Circular,
    /// `http://` to anywhere but a granted private range.
    #[error("cleartext http is allowed only inside a private range granted to the binding")]
    Cleartext,
    /// The name has no address.
    #[error("the host's name has no address")]
    NameNotFound,
    /// No connection came about.
    #[error("no address of the host accepted a connection")]
    Connect,
    /// A limit of time was reached.
    #[error("the upstream took too long: {phase}")]
    Timeout {
        /// What was being waited for.
        phase: Phase,
    },
    /// The peer did not prove that it is the host.
    #[error("the upstream did not prove who it is: {reason}")]
    Tls {
        /// Why not.
        reason: TlsFault,
    },
    /// TRACE, TRACK or CONNECT.
    #[error("TRACE, TRACK and CONNECT are not sent")]
    Method,
    /// A header value that must not be sent, or a credential header given twice.
    #[error("a header cannot be sent as it is")]
    HeaderValue,
    /// The request's own body ended with an error.
    #[error("the request's body broke off before it was sent whole")]
    Upload,
    /// The upstream closed the connection, and the request may have reached it.
    #[error("the upstream closed the connection before its answer was complete")]
    Closed,
    /// The answer is no HTTP/1.1, or switches to another protocol unasked.
    #[error("the upstream's answer is not HTTP/1.1")]
    UpstreamProtocol,
    /// The head of the answer, or a body read whole, is over its limit.
    #[error("the upstream's answer is larger than allowed")]
    TooLarge,
    /// All connections, or all turns to look up a name, are in use.
    #[error("all outbound connections or name look-ups are in use")]
    Busy,
    /// The organisation has as many connections open, or names looked up, as one may at a time.
    #[error("the organisation has as many outbound connections or name look-ups as one may")]
    Share,
    /// One of the operator's extra roots is no certificate.
    #[error("an extra root is not a certificate that can be trusted")]
    Root,
}

impl EgressError {
    /// A stable word for machines.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadUrl { .. } => "bad_url",
            Self::Refused { .. } => "address_refused",
            Self::Metadata => "metadata_refused",
            Self::Circular => "circular",
            Self::Cleartext => "cleartext_refused",
            Self::NameNotFound => "name_not_found",
            Self::Connect => "connect_failed",
            Self::Timeout { .. } => "upstream_timeout",
            Self::Tls { .. } => "tls_failed",
            Self::Method => "method_refused",
            Self::HeaderValue => "header_refused",
            Self::Upload => "upload_failed",
            Self::Closed => "upstream_closed",
            Self::UpstreamProtocol => "upstream_protocol",
            Self::TooLarge => "upstream_too_large",
            Self::Busy => "egress_busy",
            Self::Share => "egress_share",
            Self::Root => "bad_root",
        }
    }

    /// What to do next.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::BadUrl { reason } => reason.hint(),
            Self::Refused { .. } => {
                "use the host's public address, or ask an admin to grant its private range to this binding"
            }
            Self::Metadata => {
                "fetch instance credentials outside the broker and store them as secrets"
            }
            Self::Circular => "call the broker's API directly instead of through it",
            Self::Cleartext => "write the URL with https://",
            Self::NameNotFound => "check the host's spelling and the broker's DNS",
            Self::Connect => "check that the host is up and that the broker's network reaches it",
            Self::Timeout { .. } => {
                "try again later; if the request changes something, check whether it took effect first"
            }
            Self::Tls { reason } => reason.hint(),
            Self::Method => "use another method",
            Self::HeaderValue => {
                "remove line breaks, control and non-ASCII characters, and store the credential again without a trailing newline"
            }
            Self::Upload => "send the request again with its whole body",
            Self::Closed => "check whether the request took effect before sending it again",
            Self::UpstreamProtocol => "check that the URL names an HTTP API",
            Self::TooLarge => "ask the API for less at a time",
            Self::Share => {
                "wait until calls of your organisation have ended, then try again; the operator sets how many: egress.connections_per_org in the settings"
            }
            Self::Busy => {
                "try again in a moment; the operator sets how many connections there are: egress.connections in the settings"
            }
            Self::Root => "list PEM certificates of certificate authorities",
        }
    }
}

impl From<UrlFault> for EgressError {
    fn from(reason: UrlFault) -> Self {
        Self::BadUrl { reason }
    }
}

/// The rule that a URL broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlFault {
    /// More than 8 KiB.
    Long,
    /// A space, a control, a backslash, or a character outside ASCII or out of place.
    Character,
    /// No `http://` or `https://` in front.
    Scheme,
    /// A user name or password.
    UserInfo,
    /// The host has no canonical spelling.
    Host,
    /// The port is no number from 1 to 65535, or is written oddly.
    Port,
    /// A `#`.
    Fragment,
    /// A `.` or `..` segment.
    DotSegment,
    /// Two slashes in a row.
    EmptySegment,
    /// A `;` in the path.
    Parameter,
    /// A percent sign that starts no escape, or an escape of what servers read in two ways.
    Escape,
    /// Two parsers read the text differently.
    Reading,
}

impl UrlFault {
    const fn hint(self) -> &'static str {
        match self {
            Self::Long => "shorten the URL, or send the data in the body",
            Self::Character => "percent-encode the character",
            Self::Scheme => "start the URL with https://",
            Self::UserInfo => "take the user name and password out of the URL",
            Self::Host => "write a DNS name in ASCII (xn-- form for others) or an IP address",
            Self::Port => "write the port as a plain number, or leave it out",
            Self::Fragment => "leave out everything from the # on",
            Self::DotSegment => "write the path that is meant",
            Self::EmptySegment => "write single slashes",
            Self::Parameter => "leave the path parameter out",
            Self::Escape => {
                "leave letters, digits and -._~ unencoded, and encode everything else once"
            }
            Self::Reading => "write the URL in its plainest form",
        }
    }
}

impl fmt::Display for UrlFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Long => "it has more than 8192 characters",
            Self::Character => "it has a character that must be percent-encoded",
            Self::Scheme => "it does not start with http:// or https://",
            Self::UserInfo => "it carries user info",
            Self::Host => "its host has no canonical spelling",
            Self::Port => "its port is not a plain number from 1 to 65535",
            Self::Fragment => "it has a fragment",
            Self::DotSegment => "its path has a dot segment",
            Self::EmptySegment => "its path has an empty segment",
            Self::Parameter => "its path has a parameter",
            Self::Escape => "it has a percent sign that is read in more than one way",
            Self::Reading => "parsers read it in different ways",
        })
    }
}

/// What was being waited for when time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The name's addresses.
    Resolve,
    /// A TCP connection.
    Connect,
    /// The TLS handshake.
    Handshake,
    /// The head of the answer.
    Head,
    /// The next piece of the answer's body.
    Body,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "no answer from DNS",
            Self::Connect => "no connection",
            Self::Handshake => "no TLS handshake",
            Self::Head => "no response head",
            Self::Body => "no further body data",
        })
    }
}

/// Why a peer's certificate, or the handshake, was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// The certificate is for other hosts.
    WrongName,
    /// The certificate's time has passed.
    Expired,
    /// The certificate's time has not come.
    NotYetValid,
    /// No known root vouches for it; self-signed certificates are among these.
    UnknownIssuer,
    /// Anything else: no common version, a broken handshake, a revoked or malformed certificate.
    Other,
}

impl TlsFault {
    const fn hint(self) -> &'static str {
        match self {
            Self::WrongName => "use the host name that the certificate is for",
            Self::Expired => "the host's owner must renew its certificate",
            Self::NotYetValid => "check the clocks of the host and of this machine",
            Self::UnknownIssuer => {
                "if the issuer is yours, add its root to the broker's extra roots"
            }
            Self::Other => "check that the host speaks TLS 1.2 or 1.3 with a valid certificate",
        }
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongName => "its certificate is for another host",
            Self::Expired => "its certificate has expired",
            Self::NotYetValid => "its certificate is not valid yet",
            Self::UnknownIssuer => "its certificate comes from an unknown issuer",
            Self::Other => "the TLS handshake failed",
        })
    }
}
