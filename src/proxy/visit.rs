//! A connection to the proxy, up to the tunnel that may come of it.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1::UpgradeableConnection;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::answer::{self, Answer};
use super::credential::handle_of;
use super::exchange::{Came, exchange};
use super::limits::{HEAD, ProxyLimits, STRANGE, times};
use super::passing::Passing;
use super::seats::Seat;
use super::switch::{Next, talk};
use super::target;
use super::tempo::{Open, Tempo, timed};
use super::tunnel::{Duplex, Tunnel, http1_builder};
use crate::audit::Action;
use crate::broker::{BrokerError, Holder, NotHeld, RelayedSocket};
use crate::egress::{EgressError, Origin, Passage, Scheme, Url};
use crate::http::serve::{Peer, Shutdown};
use crate::http::{ApiError, App, as_request, event_of};
use crate::vault::Unsealed;

/// One connection.
#[derive(Debug)]
pub(super) struct Visit {
    app: App,
    passing: Arc<Passing>,
    limits: ProxyLimits,
    peer: Peer,
    shutdown: Shutdown,
    seat: Mutex<Seat>,
    tempo: Arc<Tempo>,
    next: Next<Becomes>,
}

/// What the connection becomes.
#[derive(Debug)]
enum Becomes {
    Tunnel(Box<Tunnel>),
    Socket(Box<RelayedSocket>),
}

/// What a request comes to.
enum Done {
    Granted,
    Came(Box<Came>),
}

impl Visit {
    pub(super) fn new(
        (app, passing, limits): (App, Arc<Passing>, ProxyLimits),
        (peer, seat): (Peer, Seat),
        shutdown: Shutdown,
    ) -> Arc<Self> {
        Arc::new(Self {
            app,
            passing,
            limits,
            peer,
            shutdown,
            seat: Mutex::new(seat),
            tempo: Tempo::start(times(HEAD)),
            next: Next::default(),
        })
    }

    /// Serves `stream`, and the tunnel that it becomes. A stranger is told by `leave` to go.
    pub(super) async fn run(self: Arc<Self>, stream: impl Duplex, leave: CancellationToken) {
        let this = Arc::clone(&self);
        let service = service_fn(move |request| Arc::clone(&this).answer(request));
        let stream = TokioIo::new(timed(stream, Arc::clone(&self.tempo)));
        let connection = http1_builder().serve_connection(stream, service);
        {
            let connection = pin!(connection.with_upgrades());
            let over = (|| false, self.shutdown.ending());
            let stop = UpgradeableConnection::graceful_shutdown;
            tokio::select! {
                biased;
                () = self.tempo.lead(connection, over, stop) => {}
                () = self.outstayed(leave) => return,
            }
        }
        match self.next.reached().await {
            Some((io, Becomes::Tunnel(tunnel))) => tunnel.run(io).await,
            Some((io, Becomes::Socket(socket))) => talk(io, socket, &self.shutdown).await,
            None => {}
        }
    }

    /// Completes when one who has shown no handle must go: another one comes, or their time is over.
    async fn outstayed(&self, leave: CancellationToken) {
        // Either is as good.
        drop(timeout(STRANGE, leave.cancelled()).await);
        if !self.seat().is_strangers() {
            pending::<()>().await;
        }
    }

    fn seat(&self) -> MutexGuard<'_, Seat> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Answer>, Infallible> {
        let open = self.tempo.begin();
        // On the heap by itself, as in tunnels.
        let work = Box::pin(self.handle(request));
        let done = as_request(self.peer, work).await;
        Ok(self.told(done.flatten(), open))
    }

    fn told(&self, done: Result<Done, ApiError>, open: Open) -> Response<Answer> {
        match done {
            Ok(Done::Granted) => answer::granted(open),
            Ok(Done::Came(came)) => {
                let (response, becoming) = came.told(open);
                if let Some((upgraded, socket)) = becoming {
                    self.next.set(upgraded, Becomes::Socket(socket));
                }
                response
            }
            Err(error) => {
                let code = error.code();
                tracing::info!(code, "refused at the proxy");
                answer::refusal(error, open, false)
            }
        }
    }

    async fn handle(&self, request: Request<Incoming>) -> Result<Done, ApiError> {
        self.app.knocked(self.peer)?;
        if request.method() != Method::CONNECT && request.uri().authority().is_none() {
            return Err(no_proxy_request());
        }
        let vault = self.app.vault()?;
        let holder = self.holder(&vault, &request).await?;
        self.app.counted(&holder)?;
        self.settle(&holder)?;
        if request.method() == Method::CONNECT {
            self.connect(&vault, holder, request).await?;
            return Ok(Done::Granted);
        }
        let url = self.plain(&vault, &holder, &request).await?;
        // The exchange asks for the vault itself, as those in tunnels do.
        drop(vault);
        let came = exchange(&self.app, &holder, url, request).await?;
        Ok(Done::Came(Box::new(came)))
    }

    /// Takes the connection for one of the holder's.
    fn settle(&self, holder: &Holder) -> Result<(), ApiError> {
        self.seat().settle(holder.into())
    }

    /// Who sends the request; before anything of it is looked at.
    async fn holder(
        &self,
        vault: &Unsealed,
        request: &Request<Incoming>,
    ) -> Result<Holder, ApiError> {
        let Some(text) = handle_of(request.headers()) else {
            self.app.strange(self.peer)?;
            return Err(no_handle());
        };
        match self.app.lanes().holder(vault, &text).await {
            Ok(holder) => Ok(holder),
            Err(NotHeld::Unknown(holding)) => {
                self.app.strange(self.peer)?;
                self.app.no_handle(vault, self.peer, &holding).await?;
                Err(no_handle())
            }
            Err(NotHeld::Refused(holder, error)) => {
                // Who has a handle that is over has their share all the same, of the rate and the journal.
                self.app.counted(&holder)?;
                self.refuse(vault, &holder, not_usable(error)).await
            }
        }
    }

    async fn connect(
        &self,
        vault: &Unsealed,
        holder: Holder,
        mut request: Request<Incoming>,
    ) -> Result<(), ApiError> {
        let origin = match target::connect(request.uri()) {
            Ok(origin) => origin,
            Err(error) => return self.refuse(vault, &holder, ApiError::target(error)).await,
        };
        // A name that is slow to resolve must not hold up the sealing.
        let passage = match vault.while_open(self.way(&holder, &origin)).await? {
            Ok(passage) => passage,
            Err(error) => return self.refuse(vault, &holder, error).await,
        };
        let tunnel = Tunnel {
            app: self.app.clone(),
            peer: self.peer,
            holder,
            origin,
            passage,
            limits: self.limits,
            shutdown: self.shutdown.clone(),
        };
        let upgraded = hyper::upgrade::on(&mut request);
        self.next.set(upgraded, Becomes::Tunnel(Box::new(tunnel)));
        Ok(())
    }

    /// Whether a tunnel may go to `origin`, and, where it passes unread, by which addresses.
    async fn way(&self, holder: &Holder, origin: &Origin) -> Result<Option<Passage>, ApiError> {
        if holder.reaches(origin) {
            return Ok(None);
        }
        if !self.passing.admits(holder, origin) {
            return Err(not_bound(holder, origin));
        }
        let egress = self.app.lanes().egress();
        match self.passing.passage(egress, holder, origin).await {
            Ok(passage) => Ok(Some(passage)),
            Err(error @ (EgressError::NameNotFound | EgressError::Timeout { .. })) => {
                Err(BrokerError::NoAnswer(error.into()).into())
            }
            Err(error) => Err(BrokerError::Egress(error).into()),
        }
    }

    /// The URL of a request in absolute form. It travels in clear to the proxy, which is on this machine;
    /// where it goes in clear from there, a binding must say so.
    async fn plain(
        &self,
        vault: &Unsealed,
        holder: &Holder,
        request: &Request<Incoming>,
    ) -> Result<Url, ApiError> {
        let url = match Url::parse(&request.uri().to_string()) {
            Ok(url) => url,
            Err(error) => return self.refuse(vault, holder, ApiError::target(error)).await,
        };
        if url.scheme() == Scheme::Https {
            return self.refuse(vault, holder, needs_tunnel()).await;
        }
        if !holder.reaches(url.origin()) {
            let error = not_bound(holder, url.origin());
            return self.refuse(vault, holder, error).await;
        }
        Ok(url)
    }

    /// Writes a refusal down. The host comes from the caller, who may have put anything there: it is not
    /// in the journal.
    async fn refuse<T>(
        &self,
        vault: &Unsealed,
        holder: &Holder,
        error: ApiError,
    ) -> Result<T, ApiError> {
        let event = event_of(vault, holder, Action::BrokerConnect);
        let event = holder.stated(event).denied(error.code());
        vault.journal().note(event).await?;
        Err(error)
    }
}

fn no_handle() -> ApiError {
    ApiError::new(
        StatusCode::PROXY_AUTHENTICATION_REQUIRED,
        "handle_unknown",
        "The proxy takes a handle that was made for it, and the request carries none that is good.",
        "Resolve with \"lane\": \"proxy\" (POST /v1/resolve), and send the handle as the password: http://runtools:HANDLE@address. A handle does not outlive a restart.",
    )
}

/// A handle that is over asks for another one, as an unknown one does.
fn not_usable(error: BrokerError) -> ApiError {
    match error {
        BrokerError::Handle(_) => ApiError::new(
            StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            error.code(),
            crate::http::sentence(&error.to_string()),
            error.hint(),
        ),
        error => error.into(),
    }
}

fn no_proxy_request() -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "proxy_only",
        "This is the egress proxy of RunTools Broker, and this was no request to a proxy.",
        "Set HTTPS_PROXY and HTTP_PROXY to this address in the tool's environment. The API has an address of its own: runtools status shows it.",
    )
}

fn needs_tunnel() -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "needs_tunnel",
        "A host over https is reached through a tunnel.",
        "Send CONNECT first, as clients do that take the proxy from HTTPS_PROXY.",
    )
}

/// Nothing of the handle's may go there; what could, if something at that host may.
fn not_bound(holder: &Holder, origin: &Origin) -> ApiError {
    let mut others = holder.reach_of(&origin.host);
    let (message, hint) = match others.next() {
        Some(reach) if reach.scheme == Scheme::Https && origin.scheme == Scheme::Http => (
            "The credentials of this handle go to that host over https alone.",
            "Use https in the URL.",
        ),
        Some(reach) if reach.scheme == Scheme::Http && origin.scheme == Scheme::Https => (
            "The credentials of this handle go to that host over http alone.",
            "Use http in the URL; such a request is sent without CONNECT.",
        ),
        Some(_) => (
            "The credentials of this handle go to that host, on another port.",
            "Use the port that the tool is bound to: constraints in the answer to POST /v1/resolve lists it.",
        ),
        None if holder.is_bound(&origin.host) => (
            "The handle's tool is bound to that host, but free requests do not go there.",
            "It is for the tool's declared actions alone (POST /v1/tools/{slug}/execute), or for a credential that nothing fills. What passes unread never goes there either.",
        ),
        None => (
            "The handle's tool is not bound to that host.",
            "Name the host in the tool's bindings. For traffic without credentials the operator lists it in proxy.pass_through.",
        ),
    };
    ApiError::new(StatusCode::FORBIDDEN, "host_not_bound", message, hint)
}
