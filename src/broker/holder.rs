//! Handles of the egress proxy: whoever holds one may use it, there and nowhere else.
//!
//! Tool code has no credential of its own. So a handle of this lane stands for the caller who asked for it,
//! who is looked at again at each use, and brings what a connection through the proxy needs: which hosts
//! it may reach, and an authority whose certificates the tool code trusts for these hosts. The authority
//! lives in the handle, and goes when that is forgotten, which is within three minutes of its end.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use crate::audit::{Action, Event, Target, TargetKind};
use crate::directory::Recognised;
use crate::egress::{Origin, Scheme};
use crate::id::ResolutionId;
use crate::name::{Host, HostPattern};
use crate::policy::Principal;
use crate::vault::Unsealed;
use crate::wire;

use super::BrokerError;
use super::errand::Errand;
use super::execute::Broker;
use super::handle::{Handle, MAX_LIFE, USUAL_LIFE};
use super::handles::Missing;
use super::socket::Opened;

/// The proxy, as far as a resolution for it goes.
pub trait Gateway: Send + Sync + fmt::Debug {
    /// An authority for the hosts of one resolution, for as long as its handle may live.
    ///
    /// # Errors
    /// [`NoAuthority`].
    fn authority(
        &self,
        id: ResolutionId,
        reach: &[Reach],
        life: Duration,
    ) -> Result<Arc<dyn Authority>, NoAuthority>;

    /// Where tool code finds the proxy, with this authority's certificate; and what it is `bound` to, so that
    /// it goes there no other way.
    fn place(&self, authority: &dyn Authority, bound: &[HostPattern]) -> wire::ProxyPlace;

    /// Where the proxy listens: its address, and its Unix socket.
    fn listens(&self) -> (String, String);
}

/// Vouches for hosts towards the holder of one handle. Its key is nowhere but in here.
pub trait Authority: Send + Sync + fmt::Debug {
    /// Its certificate, PEM.
    fn certificate(&self) -> &str;

    /// What a connection for `host` is answered with.
    ///
    /// # Errors
    /// [`NoAuthority`].
    fn server(&self, host: &Host) -> Result<Arc<ServerConfig>, NoAuthority>;
}

/// A certificate or its key could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a certificate could not be made")]
pub struct NoAuthority;

/// Hosts that the credentials of a resolution may go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// How bytes travel there.
    pub scheme: Scheme,
    /// The hosts.
    pub hosts: Vec<HostPattern>,
    /// The port.
    pub port: u16,
}

/// What a handle of the proxy has besides.
#[derive(Debug)]
pub(crate) struct Proxied {
    /// Who asked for it.
    pub(crate) seen: Recognised,
    /// Where free requests may bring its fields.
    pub(crate) reach: Vec<Reach>,
    /// Every host that its tool is bound to, whatever for.
    pub(crate) bound: Vec<HostPattern>,
    pub(crate) authority: Arc<dyn Authority>,
}

/// Somebody with a handle of the proxy that could be used when this was made.
#[derive(Clone)]
pub struct Holder {
    handle: Arc<Handle>,
    proxied: Arc<Proxied>,
}

/// Why nobody was let in.
#[derive(Debug)]
pub enum NotHeld {
    /// There is no such handle of the proxy. The journal may hear whose it is, where it is of another lane.
    Unknown(Holding),
    /// There is one, which cannot be used.
    Refused(Holder, BrokerError),
}

/// What is known of a handle that is none of the proxy's.
#[derive(Debug)]
pub struct Holding(Missing);

impl Holding {
    /// States it, as an event of the organisation whose handle it is.
    #[must_use]
    pub fn state(&self, event: Event) -> Event {
        match self.0.owner() {
            Some(owner) => self.0.state(event.org(owner.org)),
            None => event,
        }
    }
}

impl Holder {
    /// The resolution.
    #[must_use]
    pub fn id(&self) -> ResolutionId {
        self.handle.id
    }

    /// Who asked for the handle, as they were then.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        self.proxied.seen.principal()
    }

    /// Whether its credentials may go to `origin`.
    #[must_use]
    pub fn reaches(&self, origin: &Origin) -> bool {
        let there = |reach: &&Reach| reach.scheme == origin.scheme && reach.port == origin.port;
        self.reach_of(&origin.host).any(|reach| there(&reach))
    }

    /// The handle, and who asked for it.
    pub(super) fn by(&self) -> (&Arc<Handle>, &Recognised) {
        (&self.handle, &self.proxied.seen)
    }

    /// Everything that it may reach at `host`.
    pub fn reach_of(&self, host: &Host) -> impl Iterator<Item = &Reach> {
        let reach = self.proxied.reach.iter();
        reach.filter(|reach| reach.hosts.iter().any(|pattern| pattern.matches(host)))
    }

    /// Whether its tool is bound to `host`, be it for declared actions alone, or for a field that nothing
    /// fills.
    #[must_use]
    pub fn is_bound(&self, host: &Host) -> bool {
        self.proxied
            .bound
            .iter()
            .any(|pattern| pattern.matches(host))
    }

    /// What a connection for `host` is answered with.
    ///
    /// # Errors
    /// [`NoAuthority`].
    pub fn server(&self, host: &Host) -> Result<Arc<ServerConfig>, NoAuthority> {
        self.proxied.authority.server(host)
    }

    /// Completes when the handle ends before its time.
    #[must_use]
    pub fn ending(&self) -> CancellationToken {
        self.handle.ending()
    }

    /// When its time is over at the latest.
    #[must_use]
    pub fn ends(&self) -> Instant {
        self.handle.ends()
    }

    /// Whether its time is over.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.ends() <= Instant::now()
    }

    /// An event of its owner's, about it.
    #[must_use]
    pub fn event(&self, vault: &Unsealed, action: Action) -> Event {
        let principal = self.principal();
        let event = Event::new(action, principal.actor())
            .org(principal.org())
            .store_generation(vault.store().generation());
        match principal.service() {
            Some(_) => event.on_behalf_of(principal.user()),
            None => event,
        }
    }

    /// The same, with the tool and the resolution.
    #[must_use]
    pub fn stated(&self, event: Event) -> Event {
        let target = Target::new(TargetKind::Resolution).id(self.handle.id.bytes());
        event
            .tool(self.handle.purpose.tool.spec.slug.clone())
            .target(target)
    }
}

impl Broker {
    /// The broker with a proxy in front of it, so that handles for it can be asked for.
    #[must_use]
    pub fn behind(mut self, gateway: Arc<dyn Gateway>) -> Self {
        self.gateway = Some(gateway);
        self
    }

    /// What makes a handle one of the proxy's.
    pub(super) fn proxied(
        &self,
        seen: Recognised,
        id: ResolutionId,
        (reach, bound): (Vec<Reach>, Vec<HostPattern>),
        life: Option<Duration>,
    ) -> Result<Proxied, BrokerError> {
        let gateway = self.gateway.as_ref().ok_or(BrokerError::NoProxy)?;
        let life = life.unwrap_or(USUAL_LIFE).min(MAX_LIFE);
        let authority = gateway.authority(id, &reach, life)?;
        Ok(Proxied {
            seen,
            reach,
            bound,
            authority,
        })
    }

    /// What the maker of a handle is told of the proxy, where it is one of the proxy's.
    pub(super) fn place_of(&self, handle: &Handle) -> Option<wire::ProxyPlace> {
        let proxied = handle.purpose.proxied.as_ref()?;
        let gateway = self.gateway.as_ref()?;
        Some(gateway.place(&*proxied.authority, &proxied.bound))
    }

    /// Who holds the handle of this text, if it is one of the proxy's and can be used now.
    ///
    /// # Errors
    /// [`NotHeld`]; nothing is written down.
    pub async fn holder(&self, vault: &Unsealed, text: &[u8]) -> Result<Holder, NotHeld> {
        let unknown = |missing| NotHeld::Unknown(Holding(missing));
        let handle = self.handles.of_proxy(text).map_err(unknown)?;
        let proxied = handle.purpose.proxied.clone();
        let proxied = proxied.ok_or(unknown(Missing::Unknown))?;
        let holder = Holder { handle, proxied };
        let (handle, seen) = holder.by();
        let usable = match handle.check(Instant::now()) {
            Ok(()) => self.judge.again(vault, handle, seen).await.map(drop),
            Err(fault) => Err(fault.into()),
        };
        match usable {
            Ok(()) => Ok(holder),
            Err(error) => Err(NotHeld::Refused(holder, error)),
        }
    }

    /// What tool code elsewhere comes by, and how much of it there is.
    #[must_use]
    pub fn lanes(&self) -> wire::Lanes {
        let proxy = self.gateway.as_ref().map(|gateway| {
            let (address, socket) = gateway.listens();
            // One is the broker's own.
            let tunnels = Arc::strong_count(&self.tunnels) - 1;
            wire::ListeningProxy {
                address,
                socket,
                tunnels,
            }
        });
        wire::Lanes {
            handles: self.handles.count(),
            proxy,
        }
    }

    /// Looks after a tunnel of the holder's: what it was opened by is asked for again whenever
    /// something changed, until this is dropped.
    #[must_use]
    pub fn watch_over(&self, holder: &Holder) -> Box<dyn std::any::Any + Send> {
        let seen = holder.proxied.seen.clone();
        let watching = self.watch.over(Arc::clone(&holder.handle), seen);
        Box::new((watching, Arc::clone(&self.tunnels)))
    }

    /// Sends a request by right of the holder's handle; in all else as [`Broker::open`].
    ///
    /// # Errors
    /// As [`Broker::open`].
    pub async fn open_for(
        &self,
        vault: &Unsealed,
        holder: &Holder,
        errand: Errand,
        event: Event,
        held: Box<dyn std::any::Any + Send>,
    ) -> Result<Opened, BrokerError> {
        let arrived = self.arrived_by(vault, holder.by(), errand, event, held);
        arrived.await?.opened()
    }
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Holder({})", self.handle.id)
    }
}
