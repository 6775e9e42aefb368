//! Where requests may go: every address that is about to be dialled is judged here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use ipnet::IpNet;

use super::{EgressError, Scheme};
use crate::name::Host;

/// Addresses of instance metadata services, which hand out the machine's own credentials.
pub(super) const METADATA: [IpAddr; 13] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), // AWS, Azure, Google, OpenStack, most others
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),   // AWS task roles
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),  // AWS pod identity
    IpAddr::V4(Ipv4Addr::new(169, 254, 42, 42)),   // Scaleway
    IpAddr::V4(Ipv4Addr::new(169, 254, 0, 23)),    // Tencent
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)), // Alibaba
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),     // Oracle
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),   // Azure's host agent, on a public address
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)), // AWS
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)), // AWS pod identity
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)), // Google
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)), // Scaleway
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe)), // OpenStack
];

/// Names of such services; refused whatever they resolve to.
const METADATA_NAMES: [&str; 7] = [
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "instance-data",
    "instance-data.ec2.internal",
    "metadata.azure.internal",
    "metadata.tencentyun.com",
];

/// Which private addresses a binding may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Private {
    /// None: public addresses only.
    Nowhere,
    /// Those in the ranges that an admin granted to the binding.
    Granted(Vec<IpNet>),
}

impl Private {
    fn covers(&self, address: IpAddr) -> bool {
        match self {
            Self::Nowhere => false,
            Self::Granted(ranges) => ranges.iter().any(|range| range.contains(&address)),
        }
    }

    /// The granted ranges in one order, so that equal grants compare equal.
    pub(super) fn ranges(&self) -> Box<[IpNet]> {
        match self {
            Self::Nowhere => Box::default(),
            Self::Granted(ranges) => {
                let mut ranges: Vec<_> = ranges.iter().map(IpNet::trunc).collect();
                ranges.sort_unstable();
                ranges.dedup();
                ranges.into()
            }
        }
    }
}

/// What kind of address it is, when it is not a public one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// `127.0.0.0/8`, `::1`.
    Loopback,
    /// RFC 1918.
    PrivateUse,
    /// `100.64.0.0/10`, behind a carrier's or an overlay's NAT.
    SharedNat,
    /// `fc00::/7`.
    UniqueLocal,
    /// `64:ff9b::/96` with a public IPv4 address inside.
    Nat64,
    /// `0.0.0.0/8`, `::`.
    Unspecified,
    /// `169.254.0.0/16`, `fe80::/10`.
    LinkLocal,
    /// `fec0::/10`, abandoned.
    SiteLocal,
    /// An IPv4 address inside an IPv6 one: mapped, compatible, translated, 6to4, Teredo, NAT64.
    Wrapped,
    /// Kept for protocols' own use, or for benchmarks.
    Protocol,
    /// Kept for documentation.
    Documentation,
    /// Multicast.
    Multicast,
    /// Not assigned to anything that could answer.
    Reserved,
}

impl fmt::Display for AddressKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "a loopback address",
            Self::PrivateUse | Self::UniqueLocal => "a private address",
            Self::SharedNat => "an address behind a shared NAT",
            Self::Nat64 => "a NAT64 address",
            Self::Unspecified => "an unspecified address",
            Self::LinkLocal => "a link-local address",
            Self::SiteLocal => "a site-local address",
            Self::Wrapped => "an IPv4 address wrapped in an IPv6 one",
            Self::Protocol => "an address kept for protocols",
            Self::Documentation => "an address kept for documentation",
            Self::Multicast => "a multicast address",
            Self::Reserved => "a reserved address",
        })
    }
}

/// What an address is to the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Anyone's; https may go there.
    Public,
    /// Someone's own network; open only to a binding with a grant that covers it.
    Private(AddressKind),
    /// Nobody's API lives there; no grant opens it.
    Never(AddressKind),
    /// An instance metadata service; no grant opens it.
    Metadata,
    /// A listener of this process; no grant opens it.
    Own,
}

/// Judges addresses. Knows the listeners of its own process.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    own: Vec<SocketAddr>,
}

impl Guard {
    /// A guard of a process that listens at `own`; `0.0.0.0` and `[::]` stand for every local address.
    #[must_use]
    pub fn new(own: Vec<SocketAddr>) -> Self {
        Self { own }
    }

    /// Says what dialling `address` would reach.
    #[must_use]
    pub fn classify(&self, address: SocketAddr) -> Verdict {
        let ip = address.ip();
        let inner = match ip {
            IpAddr::V6(v6) => embedded(v6).map(IpAddr::V4),
            IpAddr::V4(_) => None,
        };
        let reached = [Some(ip), inner];
        if reached.iter().flatten().any(|ip| METADATA.contains(ip)) {
            return Verdict::Metadata;
        }
        if reached
            .iter()
            .flatten()
            .any(|ip| self.is_own(*ip, address.port()))
        {
            return Verdict::Own;
        }
        match ip {
            IpAddr::V4(v4) => classify_v4(v4),
            IpAddr::V6(v6) => classify_v6(v6),
        }
    }

    /// Refuses the names of metadata services, whatever they resolve to.
    pub(super) fn check_name(host: &Host) -> Result<(), EgressError> {
        match host {
            Host::Name(name) if METADATA_NAMES.contains(&&**name) => Err(EgressError::Metadata),
            _ => Ok(()),
        }
    }

    /// Accepts `address` for `scheme` under the binding's grant.
    pub(super) fn check(
        &self,
        scheme: Scheme,
        address: SocketAddr,
        private: &Private,
    ) -> Result<(), EgressError> {
        match self.classify(address) {
            Verdict::Public if scheme == Scheme::Https => Ok(()),
            Verdict::Public => Err(EgressError::Cleartext),
            Verdict::Private(_) if private.covers(address.ip()) => Ok(()),
            Verdict::Private(kind) | Verdict::Never(kind) => Err(EgressError::Refused { kind }),
            Verdict::Metadata => Err(EgressError::Metadata),
            Verdict::Own => Err(EgressError::Circular),
        }
    }

    fn is_own(&self, ip: IpAddr, port: u16) -> bool {
        self.own.iter().any(|own| {
            let listens_at = own.ip().to_canonical();
            own.port() == port
                && (listens_at == ip || (listens_at.is_unspecified() && is_local(ip)))
        })
    }
}

/// Whether `ip` is this machine's. Only a local address can be bound, and binding sends nothing.
fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified() || UdpSocket::bind((ip, 0)).is_ok()
}

fn classify_v4(address: Ipv4Addr) -> Verdict {
    use AddressKind as Kind;
    match address.octets() {
        [0, ..] => Verdict::Never(Kind::Unspecified),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Verdict::Private(Kind::PrivateUse),
        [100, 64..=127, ..] => Verdict::Private(Kind::SharedNat),
        [127, ..] => Verdict::Private(Kind::Loopback),
        [169, 254, ..] => Verdict::Never(Kind::LinkLocal),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => {
            Verdict::Never(Kind::Documentation)
        }
        [192, 0, 0, _]
        | [192, 88, 99, _]
        | [192, 31, 196, _]
        | [192, 52, 193, _]
        | [192, 175, 48, _]
        | [198, 18..=19, ..] => Verdict::Never(Kind::Protocol),
        [224..=239, ..] => Verdict::Never(Kind::Multicast),
        [240..=255, ..] => Verdict::Never(Kind::Reserved),
        _ => Verdict::Public,
    }
}

fn classify_v6(address: Ipv6Addr) -> Verdict {
    use AddressKind as Kind;
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Verdict::Never(Kind::Unspecified),
        [0, 0, 0, 0, 0, 0, 0, 1] => Verdict::Private(Kind::Loopback),
        // A network without IPv4 reaches public IPv4 hosts this way; an admin may grant the prefix.
        [0x64, 0xff9b, 0, 0, 0, 0, ..]
            if embedded(address).is_some_and(|v4| classify_v4(v4) == Verdict::Public) =>
        {
            Verdict::Private(Kind::Nat64)
        }
        [0x64, 0xff9b, ..] | [0x2002, ..] | [0x2001, 0, ..] => Verdict::Never(Kind::Wrapped),
        _ if embedded(address).is_some() => Verdict::Never(Kind::Wrapped),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0x0fff, ..] => Verdict::Never(Kind::Documentation),
        [0x2001, 0..=0x01ff, ..] => Verdict::Never(Kind::Protocol),
        [0x2000..=0x3fff, ..] => Verdict::Public,
        [0xfc00..=0xfdff, ..] => Verdict::Private(Kind::UniqueLocal),
        [0xfe80..=0xfebf, ..] => Verdict::Never(Kind::LinkLocal),
        [0xfec0..=0xfeff, ..] => Verdict::Never(Kind::SiteLocal),
        [0xff00..=0xffff, ..] => Verdict::Never(Kind::Multicast),
        // The internet's unicast addresses are 2000::/3.
        _ => Verdict::Never(Kind::Reserved),
    }
}

/// The IPv4 address that an IPv6 one carries, if its form carries any.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] // compatible, mapped
        | [0, 0, 0, 0, 0xffff, 0, high, low] // translated
        | [0x64, 0xff9b, 0 | 1, .., high, low] // NAT64
        | [0x2002, high, low, ..] => Some(join(high, low)), // 6to4
        [0x2001, 0, .., high, low] => Some(join(!high, !low)), // Teredo
        _ => None,
    }
}
