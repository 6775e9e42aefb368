//! An authority for each resolution: made in memory, for the hosts of one tool, forgotten with the handle.
//!
//! The tool code that trusts it trusts it for these hosts and no others: the certificate says so itself
//! (RFC 5280, 4.2.1.10), so that one who steals a key can be nobody else towards the code. Its key stands
//! in the handle and on no disk. The allocator wipes what is freed.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType, SerialNumber,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::leaves::Leaves;
use crate::broker::{Authority, NoAuthority, Reach};
use crate::clock::Clock;
use crate::id::ResolutionId;
use crate::name::{Host, HostPattern};

/// How far clocks may be apart, and how long after its handle an authority is still good: what is open
/// then may finish.
const SLACK: Duration = Duration::from_hours(1);

/// The serial number of an authority's first certificate.
const FIRST: u64 = 1;

/// What all leaves share.
pub(super) struct LeafKey {
    pair: KeyPair,
    signing: Arc<dyn SigningKey>,
}

impl LeafKey {
    /// One key for all certificates of a broker: making a key costs three times what signing does.
    pub(super) fn draw() -> Result<Self, NoAuthority> {
        let pair = KeyPair::generate().map_err(|_| NoAuthority)?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialized_der()));
        let signing = ring::sign::any_ecdsa_type(&der).map_err(|_| NoAuthority)?;
        Ok(Self { pair, signing })
    }
}

/// The authority of one resolution.
pub(super) struct OwnAuthority {
    /// Tells it from all others in what is kept of its certificates.
    number: u64,
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    /// Unix seconds.
    validity: (u64, u64),
    serial: AtomicU64,
    leaves: Arc<Leaves>,
}

impl OwnAuthority {
    pub(super) fn draw(
        id: ResolutionId,
        reach: &[Reach],
        life: Duration,
        clock: &dyn Clock,
        leaves: Arc<Leaves>,
    ) -> Result<Self, NoAuthority> {
        let now = u64::try_from(clock.now().millis() / 1000).unwrap_or_default();
        let slack = SLACK.as_secs();
        let validity = (
            now.saturating_sub(slack),
            now.saturating_add(life.as_secs()).saturating_add(slack),
        );
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.name_constraints = Some(only(reach));
        // A name of its own: of several in one bundle, a client finds the right one by it.
        let name = &mut params.distinguished_name;
        name.push(DnType::OrganizationName, "RunTools Broker");
        name.push(DnType::CommonName, format!("Resolution {id}"));
        set_validity(&mut params, validity);
        let key = KeyPair::generate().map_err(|_| NoAuthority)?;
        let certificate = params.self_signed(&key).map_err(|_| NoAuthority)?.pem();
        Ok(Self {
            number: leaves.next_number(),
            issuer: Issuer::new(params, key),
            certificate,
            validity,
            serial: AtomicU64::new(FIRST),
            leaves,
        })
    }

    /// A certificate for exactly `host`.
    fn leaf(&self, host: &Host) -> Result<CertificateDer<'static>, NoAuthority> {
        let mut params = CertificateParams::default();
        let name = match host {
            Host::Name(name) => {
                SanType::DnsName(name.to_string().try_into().map_err(|_| NoAuthority)?)
            }
            Host::Address(address) => SanType::IpAddress(*address),
        };
        params.subject_alt_names = vec![name];
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "RunTools Broker");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        params.serial_number = Some(SerialNumber::from(serial));
        set_validity(&mut params, self.validity);
        let signed = params.signed_by(&self.leaves.key().pair, &self.issuer);
        Ok(signed.map_err(|_| NoAuthority)?.der().clone())
    }

    fn mint(&self, host: &Host) -> Result<Arc<ServerConfig>, NoAuthority> {
        let key = Arc::clone(&self.leaves.key().signing);
        let certified = Arc::new(CertifiedKey::new(vec![self.leaf(host)?], key));
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| NoAuthority)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Always(certified)));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // No session outlives its connection: what is resumed would not be looked at again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}

impl Authority for OwnAuthority {
    fn certificate(&self) -> &str {
        &self.certificate
    }

    fn server(&self, host: &Host) -> Result<Arc<ServerConfig>, NoAuthority> {
        self.leaves.of((self.number, host), || self.mint(host))
    }
}

impl Drop for OwnAuthority {
    fn drop(&mut self) {
        // All are searched for its own, which takes a while: most handles never open a tunnel.
        if *self.serial.get_mut() > FIRST {
            self.leaves.forget(self.number);
        }
    }
}

/// The one certificate there is.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// The names that the authority may vouch for. A kind of which there are none is ruled out whole.
fn only(reach: &[Reach]) -> NameConstraints {
    let mut permitted = Vec::new();
    let mut excluded = Vec::new();
    let (mut names, mut addresses) = (false, false);
    for pattern in reach.iter().flat_map(|reach| &reach.hosts) {
        let subtree = match pattern {
            HostPattern::Exact(Host::Address(address)) => {
                addresses = true;
                let bits = if address.is_ipv4() { 32 } else { 128 };
                GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(*address, bits))
            }
            HostPattern::Exact(Host::Name(name)) | HostPattern::OneLabel(name) => {
                names = true;
                GeneralSubtree::DnsName(name.to_string())
            }
        };
        if !permitted.contains(&subtree) {
            permitted.push(subtree);
        }
    }
    if !names {
        // Reserved for names that there are none of (RFC 6761, 6.4).
        permitted.push(GeneralSubtree::DnsName("invalid".to_owned()));
    }
    if !addresses {
        let every = [
            CidrSubnet::from_addr_prefix(Ipv4Addr::UNSPECIFIED.into(), 0),
            CidrSubnet::from_addr_prefix(Ipv6Addr::UNSPECIFIED.into(), 0),
        ];
        excluded.extend(every.map(GeneralSubtree::IpAddress));
    }
    NameConstraints {
        permitted_subtrees: permitted,
        excluded_subtrees: excluded,
    }
}

/// From when to when, in Unix seconds.
fn set_validity(params: &mut CertificateParams, (from, until): (u64, u64)) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(from);
    params.not_after = epoch + Duration::from_secs(until);
}

impl fmt::Debug for OwnAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnAuthority")
    }
}

impl fmt::Debug for LeafKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeafKey")
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::crypto::ring;
    use rustls::{CertificateError, Error, RootCertStore};
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

    use super::{LeafKey, Leaves, OwnAuthority};
    use crate::broker::{Authority, Reach};
    use crate::clock::SystemClock;
    use crate::egress::Scheme;
    use crate::id::ResolutionId;
    use crate::name::{Host, HostPattern};

    fn draw(hosts: &[&str], leaves: &Arc<Leaves>) -> OwnAuthority {
        let reach = Reach {
            scheme: Scheme::Https,
            hosts: hosts
                .iter()
                .map(|it| HostPattern::parse(it).unwrap())
                .collect(),
            port: 443,
        };
        let id = ResolutionId::from_bytes([7; 16]);
        let life = Duration::from_mins(1);
        OwnAuthority::draw(id, &[reach], life, &SystemClock, Arc::clone(leaves)).unwrap()
    }

    /// What a client that trusts `authority` alone says to a certificate of its for `host`, when it means
    /// `meant`.
    fn verified(authority: &OwnAuthority, host: &str, meant: &str) -> Result<(), Error> {
        let leaf = authority.leaf(&Host::parse(host).unwrap()).unwrap();
        let root = CertificateDer::from_pem_slice(authority.certificate().as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(root).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = verifier.build().unwrap();
        let name = match meant.parse::<IpAddr>() {
            Ok(address) => ServerName::IpAddress(address.into()),
            Err(_) => ServerName::try_from(meant.to_owned()).unwrap(),
        };
        verifier
            .verify_server_cert(&leaf, &[], &name, &[], UnixTime::now())
            .map(drop)
    }

    #[test]
    fn an_authority_vouches_for_addresses_as_for_names() {
        let leaves = Arc::new(Leaves::new(LeafKey::draw().unwrap()));
        let both = draw(
            &["192.0.2.7", "[2001:db8::7]", "api.test", "*.many.test"],
            &leaves,
        );
        for (host, meant) in [
            ("192.0.2.7", "192.0.2.7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("api.test", "api.test"),
            ("one.many.test", "one.many.test"),
        ] {
            assert_eq!(verified(&both, host, meant), Ok(()), "{host}");
        }
        assert!(verified(&both, "192.0.2.7", "192.0.2.8").is_err());
        assert!(verified(&both, "192.0.2.7", "api.test").is_err());
    }

    #[test]
    fn what_an_authority_vouches_for_beyond_its_tool_is_believed_by_nobody() {
        let leaves = Arc::new(Leaves::new(LeafKey::draw().unwrap()));
        let both = draw(&["192.0.2.7", "api.test"], &leaves);
        let names = draw(&["api.test"], &leaves);
        let addresses = draw(&["192.0.2.7"], &leaves);
        for (authority, host, meant) in [
            (&both, "192.0.2.8", "192.0.2.8"),
            (&both, "[2001:db8::7]", "2001:db8::7"),
            (&both, "evil.test", "evil.test"),
            (&names, "192.0.2.7", "192.0.2.7"),
            (&names, "[2001:db8::7]", "2001:db8::7"),
            (&names, "evil.test", "evil.test"),
            (&addresses, "api.test", "api.test"),
            (&addresses, "192.0.2.8", "192.0.2.8"),
            (&addresses, "[2001:db8::7]", "2001:db8::7"),
        ] {
            let said = verified(authority, host, meant).unwrap_err();
            let Error::InvalidCertificate(CertificateError::Other(other)) = said else {
                panic!("{host}: {said:?}");
            };
            let told = format!("{other:?}");
            assert!(told.contains("NameConstraintViolation"), "{host}: {told}");
        }
    }

    #[test]
    fn what_it_made_goes_with_it() {
        let leaves = Arc::new(Leaves::new(LeafKey::draw().unwrap()));
        let (one, two) = (draw(&["api.test"], &leaves), draw(&["api.test"], &leaves));
        let host = Host::parse("api.test").unwrap();
        let first = Arc::downgrade(&one.server(&host).unwrap());
        let second = Arc::downgrade(&two.server(&host).unwrap());
        drop(one);
        assert_eq!((first.strong_count(), second.strong_count()), (0, 1));
        drop(two);
        assert_eq!(second.strong_count(), 0);
    }
}
