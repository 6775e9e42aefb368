//! What the guard makes of addresses and names.

use std::net::IpAddr;

use super::guard::METADATA;
use super::{AddressKind as Kind, EgressError, Guard, Private, Scheme, Verdict};
use crate::name::Host;

fn verdict(ip: &str) -> Verdict {
    Guard::default().classify((ip.parse::<IpAddr>().unwrap(), 443).into())
}

/// Addresses by what they are, every range of them at both ends where that says something.
pub(super) const RANGES: &[(Verdict, &str)] = &[
    (
        Verdict::Private(Kind::Loopback),
        "127.0.0.1 127.255.255.255 ::1",
    ),
    (
        Verdict::Private(Kind::PrivateUse),
        "10.0.0.0 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.0 192.168.255.255",
    ),
    (
        Verdict::Private(Kind::SharedNat),
        "100.64.0.1 100.127.255.255",
    ),
    (Verdict::Private(Kind::UniqueLocal), "fc00::1 fdff:ffff::1"),
    (
        Verdict::Private(Kind::Nat64),
        "64:ff9b::8.8.8.8 64:ff9b::808:808",
    ),
    (
        Verdict::Never(Kind::Unspecified),
        "0.0.0.0 0.255.255.255 ::",
    ),
    (
        Verdict::Never(Kind::LinkLocal),
        "169.254.0.1 169.254.255.255 fe80::1 fe90::1 fea0::1 feb0::1 febf:ffff::1",
    ),
    (Verdict::Never(Kind::SiteLocal), "fec0::1 feff:ffff::1"),
    (
        Verdict::Never(Kind::Protocol),
        "192.0.0.1 192.0.0.255 198.18.0.1 198.19.255.255 192.88.99.1 192.31.196.1 192.52.193.1 \
         192.175.48.1 2001:1::1 2001:10::1 2001:20::1 2001:1ff::1",
    ),
    (
        Verdict::Never(Kind::Documentation),
        "192.0.2.1 198.51.100.1 203.0.113.1 2001:db8::1 2001:db8:ffff::1 3fff::1 3fff:fff::1",
    ),
    (
        Verdict::Never(Kind::Multicast),
        "224.0.0.1 239.255.255.255 ff00::1 ff02::1 ffff::1",
    ),
    (
        Verdict::Never(Kind::Reserved),
        "240.0.0.1 255.255.255.254 255.255.255.255 100::1 5f00::1 4000::1 1::1 e000::1",
    ),
    (
        Verdict::Never(Kind::Wrapped),
        "::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:8.8.8.8 ::ffff:0:127.0.0.1 ::127.0.0.1 ::8.8.8.8 \
         64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b:1::1 64:ff9b:1::8.8.8.8 2002:7f00:1:: \
         2002:a00:1::1 2002:808:808:: 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2",
    ),
    (
        Verdict::Public,
        "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 \
         128.0.0.1 169.253.1.1 169.255.0.1 172.15.255.255 172.32.0.0 192.0.1.1 192.167.1.1 \
         192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 2606:4700::1111 \
         2001:4860:4860::8888 2001:200::1 2a00::1 3ffe::1 3fff:1000::1",
    ),
];

#[test]
fn ss_1_every_range_that_is_not_public_is_known() {
    for (expected, addresses) in RANGES {
        for address in addresses.split_whitespace() {
            assert_eq!(verdict(address), *expected, "{address}");
        }
    }
}

#[test]
fn ss_2_metadata_services_are_refused_under_any_grant_and_in_any_wrapping() {
    let all = Private::Granted(vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()]);
    let wrapped = [
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "2001:0:1:2:3:4:5601:5601",
        "64:ff9b::100.100.100.200",
        "::ffff:0:a9fe:a9fe",
    ];
    let wrapped = wrapped.map(|ip| ip.parse().unwrap());
    for ip in METADATA.into_iter().chain(wrapped) {
        for scheme in [Scheme::Http, Scheme::Https] {
            let checked = Guard::default().check(scheme, (ip, 80).into(), &all);
            assert_eq!(checked, Err(EgressError::Metadata), "{ip}");
        }
    }
    for name in [
        "metadata.google.internal",
        "METADATA.google.internal",
        "instance-data",
    ] {
        let host = Host::parse(name).unwrap();
        assert_eq!(
            Guard::check_name(&host),
            Err(EgressError::Metadata),
            "{name}"
        );
    }
}

#[test]
fn ss_5_a_listener_on_every_address_is_met_at_every_local_address() {
    let guard = |own: &str| Guard::new(vec![own.parse().unwrap()]);
    let verdict = |guard: Guard, to: &str| guard.classify(to.parse().unwrap());
    for own in ["0.0.0.0:7700", "[::]:7700"] {
        for to in [
            "127.0.0.1:7700",
            "127.9.9.9:7700",
            "[::1]:7700",
            "[::ffff:127.0.0.1]:7700",
        ] {
            assert_eq!(verdict(guard(own), to), Verdict::Own, "{own} {to}");
        }
        assert_ne!(verdict(guard(own), "127.0.0.1:7701"), Verdict::Own);
        assert_eq!(verdict(guard(own), "8.8.8.8:7700"), Verdict::Public);
    }
    assert_eq!(
        verdict(guard("127.0.0.1:7700"), "127.0.0.1:7700"),
        Verdict::Own
    );
    assert_eq!(verdict(guard("9.9.9.9:7700"), "9.9.9.9:7700"), Verdict::Own);
    assert_ne!(
        verdict(guard("127.0.0.1:7700"), "127.0.0.2:7700"),
        Verdict::Own
    );
}

#[test]
fn dc_14_a_grant_opens_private_ranges_only_and_cleartext_nowhere_else() {
    let guard = Guard::default();
    let check = |scheme, ip: &str, range: &str| {
        let private = Private::Granted(vec![range.parse().unwrap()]);
        guard.check(scheme, (ip.parse::<IpAddr>().unwrap(), 80).into(), &private)
    };
    assert_eq!(check(Scheme::Http, "10.1.2.3", "10.0.0.0/8"), Ok(()));
    assert_eq!(check(Scheme::Https, "10.1.2.3", "10.0.0.0/8"), Ok(()));
    assert_eq!(check(Scheme::Https, "8.8.8.8", "10.0.0.0/8"), Ok(()));
    assert_eq!(
        check(Scheme::Http, "8.8.8.8", "0.0.0.0/0"),
        Err(EgressError::Cleartext)
    );
    let kind = Kind::PrivateUse;
    let refused = check(Scheme::Https, "192.168.1.1", "10.0.0.0/8");
    assert_eq!(refused, Err(EgressError::Refused { kind }));
    let kind = Kind::LinkLocal;
    let refused = check(Scheme::Https, "169.254.1.1", "0.0.0.0/0");
    assert_eq!(refused, Err(EgressError::Refused { kind }));
}
