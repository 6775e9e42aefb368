//! The connector: from a URL to a peer that has proved itself, and nowhere else.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::link::Link;
use super::passage::PassageStream;
use super::peer::VerifiedPeer;
use super::pool::{Pool, PoolKey, Unused};
use super::room::{Room, Seat};
use super::tls;
use super::turns::Turns;
use super::{EgressError, Guard, Limits, Phase, Private, Resolver, Scheme, Url};
use crate::id::OrgId;
use crate::name::Host;

/// Addresses of one host that are tried. All are checked, however many there are.
const TRIED: usize = 6;

/// What a connector is made of.
#[derive(Debug)]
pub struct EgressOptions {
    /// Roots that are trusted besides the web's.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Who knows the addresses of names.
    pub resolver: Arc<dyn Resolver>,
    /// How long, how large, how many.
    pub limits: Limits,
    /// Every address that this process listens at.
    pub own: Vec<SocketAddr>,
}

/// The one connector for every outbound byte of the process. Clones share connections.
#[derive(Clone, Debug)]
pub struct Egress {
    engine: Arc<Engine>,
    org: Option<OrgId>,
}

struct Engine {
    guard: Guard,
    resolver: Arc<dyn Resolver>,
    lookups: Turns,
    tls: TlsConnector,
    pool: Arc<Pool>,
    room: Room,
    limits: Limits,
}

/// What a request is for, and the addresses at which it may be had.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) url: Url,
    private: Private,
    /// Checked ones; empty when a waiting connection made asking unnecessary.
    addresses: Vec<SocketAddr>,
    key: PoolKey,
}

/// A URL that was accepted: its host's addresses were all checked, or a connection to one that was
/// checked under the same grant is waiting. Made only by [`Egress::admit`].
#[derive(Debug)]
pub struct Target {
    route: Route,
    waiting: Option<Unused>,
}

impl Target {
    /// The URL that was accepted.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.route.url
    }
}

impl Egress {
    /// Makes the connector.
    ///
    /// # Errors
    /// [`EgressError::Root`] when an extra root is no certificate of an authority.
    pub fn new(options: EgressOptions) -> Result<Self, EgressError> {
        let limits = options.limits;
        let engine = Engine {
            guard: Guard::new(options.own),
            resolver: options.resolver,
            lookups: Turns::new(limits.resolve),
            tls: tls::connector(options.extra_roots)?,
            pool: Arc::new(Pool::new(limits.pool_idle, limits.pool_per_origin)),
            room: Room::new(&limits),
            limits,
        };
        Ok(Self {
            engine: Arc::new(engine),
            org: None,
        })
    }

    /// The same connector on behalf of an organisation, whose connections are not shared with others.
    #[must_use]
    pub fn for_org(&self, org: OrgId) -> Self {
        Self {
            engine: Arc::clone(&self.engine),
            org: Some(org),
        }
    }

    /// Closes every connection that waits to be used again, whoever dialled it; those in use are not used
    /// again.
    pub fn close_idle(&self) {
        self.engine.pool.clear();
    }

    /// Accepts `url` when every address of its host may be dialled under the binding's grant.
    ///
    /// # Errors
    /// [`EgressError::Cleartext`], [`Metadata`](EgressError::Metadata),
    /// [`Circular`](EgressError::Circular) or [`Refused`](EgressError::Refused) when one may not;
    /// [`NameNotFound`](EgressError::NameNotFound) or [`Timeout`](EgressError::Timeout) when there
    /// is none to be had; [`Share`](EgressError::Share) or [`Busy`](EgressError::Busy) when its turn to be
    /// looked up does not come in time.
    pub async fn admit(&self, url: Url, private: &Private) -> Result<Target, EgressError> {
        if url.scheme() == Scheme::Http && *private == Private::Nowhere {
            return Err(EgressError::Cleartext);
        }
        Guard::check_name(url.host())?;
        let key = PoolKey {
            org: self.org,
            origin: url.origin().clone(),
            ranges: private.ranges().into(),
        };
        let pool = &self.engine.pool;
        let waiting = pool
            .take(&key)
            .map(|link| Unused::new(link, key.clone(), Arc::clone(pool)));
        let addresses = match waiting {
            Some(_) => Vec::new(),
            None => self.checked_addresses(&url, private).await?,
        };
        let private = private.clone();
        let route = Route {
            url,
            private,
            addresses,
            key,
        };
        Ok(Target { route, waiting })
    }

    /// Takes a waiting connection, or dials one of the checked addresses and has the peer prove that
    /// it is the target's host.
    ///
    /// # Errors
    /// [`EgressError::Connect`], [`Timeout`](EgressError::Timeout), [`Tls`](EgressError::Tls),
    /// [`Busy`](EgressError::Busy) or [`Share`](EgressError::Share); when a waiting connection died in between also those of
    /// [`admit`](Self::admit). No byte of a request has left in any of these.
    pub async fn connect(&self, target: Target) -> Result<VerifiedPeer, EgressError> {
        let Target { route, waiting } = target;
        if let Some(mut unused) = waiting
            && unused.is_ready()
        {
            return VerifiedPeer::new(self.clone(), route, unused, true);
        }
        let unused = self.dial(&route).await?;
        VerifiedPeer::new(self.clone(), route, unused, false)
    }

    /// Every address of the URL's host, each of which may be dialled.
    pub(super) async fn checked(
        &self,
        url: &Url,
        private: &Private,
    ) -> Result<Vec<SocketAddr>, EgressError> {
        Guard::check_name(url.host())?;
        self.checked_addresses(url, private).await
    }

    /// A connection to one of the checked addresses, without TLS of our own.
    pub(super) async fn dial_bare(
        &self,
        addresses: &[SocketAddr],
    ) -> Result<PassageStream, EgressError> {
        let seat = self.engine.take_room(self.org)?;
        let (tcp, _) = self.engine.dial_checked(addresses).await?;
        Ok(PassageStream { tcp, _seat: seat })
    }

    async fn checked_addresses(
        &self,
        url: &Url,
        private: &Private,
    ) -> Result<Vec<SocketAddr>, EgressError> {
        let asked = self.engine.checked_addresses(self.org, (url, private));
        asked.await
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.engine.limits
    }

    /// A fresh connection, whatever is waiting.
    pub(super) async fn dial(&self, route: &Route) -> Result<Unused, EgressError> {
        let engine = &*self.engine;
        let link = if route.addresses.is_empty() {
            let addresses = self.checked_addresses(&route.url, &route.private).await?;
            engine.dial(route, &addresses).await?
        } else {
            engine.dial(route, &route.addresses).await?
        };
        Ok(Unused::new(
            link,
            route.key.clone(),
            Arc::clone(&engine.pool),
        ))
    }
}

impl Engine {
    /// All addresses of the URL's host, each of them acceptable; asks the resolver once.
    async fn checked_addresses(
        &self,
        org: Option<OrgId>,
        (url, private): (&Url, &Private),
    ) -> Result<Vec<SocketAddr>, EgressError> {
        let mut addresses = match url.host() {
            Host::Address(address) => vec![*address],
            Host::Name(name) => {
                let turn = self.lookups.take(org).await?;
                let resolver = Arc::clone(&self.resolver);
                let (name, port) = (name.clone(), url.port());
                // A task of its own: nobody can interrupt the system's resolver, so the turn lasts until it
                // has answered, and not until its caller has gone.
                let asked = tokio::spawn(async move {
                    let _turn = turn;
                    resolver.resolve(&name, port).await
                });
                let phase = Phase::Resolve;
                let found = timeout(self.limits.resolve, asked).await;
                let found = found.map_err(|_| EgressError::Timeout { phase })?;
                found
                    .map_err(|_| EgressError::NameNotFound)?
                    .map_err(|_| EgressError::NameNotFound)?
            }
        };
        addresses.sort_by_key(std::net::IpAddr::is_ipv6);
        addresses.dedup();
        if addresses.is_empty() {
            return Err(EgressError::NameNotFound);
        }
        let addresses = addresses
            .into_iter()
            .map(|ip| SocketAddr::new(ip, url.port()));
        let addresses: Vec<_> = addresses.collect();
        for address in &addresses {
            self.guard.check(url.scheme(), *address, private)?;
        }
        Ok(addresses)
    }

    async fn dial(&self, route: &Route, addresses: &[SocketAddr]) -> Result<Link, EgressError> {
        let (url, seat) = (&route.url, self.take_room(route.key.org)?);
        let (tcp, peer) = self.dial_checked(addresses).await?;
        let (limits, peer, seat) = (&self.limits, Some(peer), Some(seat));
        match url.scheme() {
            Scheme::Http => Link::start(TokioIo::new(tcp), limits, peer, seat).await,
            Scheme::Https => {
                let limit = limits.handshake;
                let stream = tls::handshake(&self.tls, url.host(), tcp, limit).await?;
                Link::start(TokioIo::new(stream), limits, peer, seat).await
            }
        }
    }

    /// A connection to one of the addresses, and to which.
    async fn dial_checked(
        &self,
        addresses: &[SocketAddr],
    ) -> Result<(TcpStream, SocketAddr), EgressError> {
        let tcp = self.dial_any(addresses).await?;
        let peer = tcp.peer_addr().map_err(|_| EgressError::Connect)?;
        if !addresses.contains(&peer) {
            return Err(EgressError::Connect);
        }
        tcp.set_nodelay(true).map_err(|_| EgressError::Connect)?;
        Ok((tcp, peer))
    }

    /// Tries the addresses in order; each gets an equal share of the time that is left.
    async fn dial_any(&self, addresses: &[SocketAddr]) -> Result<TcpStream, EgressError> {
        let end = Instant::now() + self.limits.connect;
        let mut failure = EgressError::Connect;
        let mut left = u32::try_from(addresses.len().min(TRIED)).unwrap_or(1);
        for address in addresses.iter().take(TRIED) {
            let now = Instant::now();
            let share = end.saturating_duration_since(now) / left.max(1);
            match timeout_at(now + share, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => return Ok(tcp),
                Ok(Err(_)) => failure = EgressError::Connect,
                Err(_elapsed) => {
                    let phase = Phase::Connect;
                    failure = EgressError::Timeout { phase };
                }
            }
            left = left.saturating_sub(1);
        }
        Err(failure)
    }

    /// Room for one more connection, if need be by closing one that waits: one of the organisation's own
    /// when it has its share.
    fn take_room(&self, org: Option<OrgId>) -> Result<Seat, EgressError> {
        self.room.take(org).or_else(|full| {
            let own = org.filter(|_| full == EgressError::Share);
            if self.pool.make_room(own) {
                self.room.take(org)
            } else {
                Err(full)
            }
        })
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}
