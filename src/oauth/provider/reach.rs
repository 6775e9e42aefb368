//! Where a provider may be, besides public hosts over https.

use std::sync::Arc;

use ipnet::IpNet;

use super::template_place::is_loopback;
use crate::name::Host;

/// The private address ranges that the operator named for providers of their own (`oauth.private`). In
/// them plain http is spoken, too; nowhere else. The shipped files have none.
///
/// An address that a file, an answer or an issuer writes is judged here. A name is judged when it is
/// connected to, by the address that it turns out to have: egress lets cleartext into these ranges only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach(Arc<[IpNet]>);

impl Reach {
    /// Public hosts over https, and nothing else.
    #[must_use]
    pub fn public() -> Self {
        Self::default()
    }

    /// These ranges as well.
    #[must_use]
    pub fn within(ranges: &[IpNet]) -> Self {
        Self(ranges.into())
    }

    /// Whether there is a range at all.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `host` may be one of the operator's own, and plain http be spoken with it.
    #[must_use]
    pub fn covers(&self, host: &Host) -> bool {
        match host {
            Host::Address(address) => self.0.iter().any(|range| range.contains(address)),
            Host::Name(_) if is_loopback(host) => {
                self.0.iter().any(|range| range.addr().is_loopback())
            }
            Host::Name(_) => !self.is_public(),
        }
    }

    /// Whether `host` is one of the operator's own by its very spelling: an address, or this machine.
    #[must_use]
    pub fn names(&self, host: &Host) -> bool {
        let spelled = matches!(host, Host::Address(_)) || is_loopback(host);
        spelled && self.covers(host)
    }
}

#[cfg(test)]
mod tests {
    use super::Reach;
    use crate::name::Host;

    #[test]
    fn cleartext_reaches_the_ranges_that_were_named_and_nothing_else() {
        let host = |text: &str| Host::parse(text).unwrap();
        let ranges = ["10.1.0.0/16".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let own = Reach::within(&ranges);
        for (text, covered, named) in [
            ("10.1.2.3", true, true),
            ("10.2.0.1", false, false),
            ("127.0.0.1", false, false),
            ("localhost", false, false),
            ("93.184.216.34", false, false),
            // Where a name leads is looked at when it is connected to.
            ("keycloak.internal", true, false),
        ] {
            assert_eq!(own.covers(&host(text)), covered, "{text}");
            assert_eq!(own.names(&host(text)), named, "{text}");
            assert!(!Reach::public().covers(&host(text)), "{text}");
        }
        let local = Reach::within(&["127.0.0.1/32".parse().unwrap()]);
        assert!(local.names(&host("127.0.0.1")) && local.names(&host("localhost")));
        assert!(!local.covers(&host("127.0.0.2")));
    }
}
