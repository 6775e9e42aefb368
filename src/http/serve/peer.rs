//! Who is at the other end of a connection, as the kernel tells it and not as a header claims.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The other end of a connection. Every request carries it in its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A process of this machine, over the Unix socket.
    Unix {
        /// Its effective user id when it connected.
        uid: u32,
        /// Its effective group id when it connected.
        gid: u32,
        /// Its process id, where the system tells it. Never decide by it: ids are reused.
        pid: Option<i32>,
    },
    /// A client over TCP.
    Tcp {
        /// Where it connects from.
        addr: SocketAddr,
        /// Whether the connection is encrypted.
        tls: bool,
    },
}

/// What connections, and credentials that fail, are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::http) enum Source {
    User(u32),
    Network(IpAddr),
}

impl Peer {
    /// One client of the network commonly owns a whole IPv6 /64, so that is what is counted.
    pub(in crate::http) fn source(&self) -> Source {
        match self {
            Self::Unix { uid, .. } => Source::User(*uid),
            Self::Tcp { addr, .. } => Source::Network(match addr.ip().to_canonical() {
                IpAddr::V6(ip) => {
                    let network = ip.to_bits() & (u128::MAX << 64);
                    IpAddr::V6(Ipv6Addr::from_bits(network))
                }
                v4 @ IpAddr::V4(_) => v4,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Peer;

    fn from(addr: &str) -> super::Source {
        Peer::Tcp {
            addr: addr.parse().unwrap(),
            tls: false,
        }
        .source()
    }

    #[test]
    fn an_ipv6_client_is_counted_by_its_network() {
        assert_eq!(from("[2001:db8::1]:9"), from("[2001:db8::ffff:2]:1"));
        assert_ne!(from("[2001:db8::1]:9"), from("[2001:db8:0:1::1]:9"));
    }

    #[test]
    fn an_ipv4_client_is_counted_by_its_address_however_it_is_written() {
        assert_eq!(from("192.0.2.1:1"), from("[::ffff:192.0.2.1]:2"));
        assert_ne!(from("192.0.2.1:1"), from("192.0.2.2:1"));
    }
}
