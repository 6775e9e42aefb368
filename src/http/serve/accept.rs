//! The accept loops, and how they end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::server::conn::http1::Builder;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;
use tower::Service;

use super::admission::{Admission, Seat};
use super::body::{BoxError, RequestBody};
use super::client_certificate::ClientCertificate;
use super::connection::{builder, drive};
use super::limits::ServeLimits;
use super::listen::{Accepted, Listener};
use super::observer::{Cut, Observer, Rejection};
use super::pace::{Backoff, Seldom};
use super::peer::Peer;
use super::pulse::Pulse;
use super::service::Routes;
use super::shutdown::Shutdown;
use super::stream::{Stream, Watched};
use super::switch::Next;

/// At most one log line of a kind in this time, however many clients knock.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had not finished at the deadline, or at the second signal.
    pub cut: usize,
}

/// Serves `service` to every client of `listeners`, until `shutdown` ends it: then takes no more
/// connections, lets running requests finish for [`ServeLimits::drain`], and cuts what is left.
///
/// `service` is an `axum::Router`, or anything alike; it is cloned for each request. Requests carry
/// their [`Peer`] and a [`RequestDeadline`](super::RequestDeadline) in their extensions.
pub async fn serve<S, B>(
    listeners: Vec<Listener>,
    service: S,
    limits: ServeLimits,
    shutdown: Shutdown,
    observer: Arc<dyn Observer>,
) -> Drained
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let server = Arc::new(Server {
        service,
        limits,
        http: builder(&limits),
        admission: Admission::new(limits, Arc::clone(&observer)),
        in_flight: Arc::new(Semaphore::new(limits.in_flight)),
        observer,
        live: Mutex::default(),
        tasks: TaskTracker::new(),
        accept_trouble: Seldom::each(LOG_EVERY),
        rejections: Seldom::each(LOG_EVERY),
    });
    let mut doors = JoinSet::new();
    for listener in listeners {
        doors.spawn(Arc::clone(&server).take(listener, shutdown.clone()));
    }
    while doors.join_next().await.is_some() {}
    server.drain(&shutdown).await
}

struct Server<S> {
    service: S,
    limits: ServeLimits,
    http: Builder,
    admission: Arc<Admission>,
    in_flight: Arc<Semaphore>,
    observer: Arc<dyn Observer>,
    live: Mutex<Live>,
    tasks: TaskTracker,
    accept_trouble: Seldom,
    rejections: Seldom,
}

/// The open connections.
#[derive(Default)]
struct Live {
    next: u64,
    open: HashMap<u64, (Pulse, Option<AbortHandle>)>,
}

impl<S, B> Server<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Takes connections until the end is asked for; the listener closes with this future.
    async fn take(self: Arc<Self>, listener: Listener, shutdown: Shutdown) {
        let mut backoff = Backoff::default();
        loop {
            let accepted = tokio::select! {
                () = shutdown.ending() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    backoff.worked();
                    self.open(stream, peer);
                }
                Err(error) => {
                    self.observer.rejected(Rejection::Accept);
                    if let Some(held) = self.accept_trouble.now() {
                        tracing::warn!(kind = %error.kind(), held_back = held, "cannot accept");
                    }
                    // Out of descriptors, most likely: trying at once again would only spin.
                    sleep(backoff.failed()).await;
                }
            }
        }
    }

    fn open(self: &Arc<Self>, stream: Accepted, peer: Peer) {
        let seat = match self.admission.admit(peer.source()) {
            Ok(seat) => seat,
            Err(why) => {
                self.observer.rejected(why);
                if let Some(held) = self.rejections.now() {
                    let reason = why.label();
                    tracing::warn!(reason, held_back = held, "connection refused");
                }
                return;
            }
        };
        let pulse = Pulse::start(self.limits);
        let id = {
            let mut live = self.live();
            live.next += 1;
            let id = live.next;
            live.open.insert(id, (pulse.clone(), None));
            id
        };
        let leave = Leave {
            server: Arc::clone(self),
            id,
            _seat: seat,
        };
        let task = self.tasks.spawn(run(leave, stream, peer, pulse));
        if let Some((_, abort)) = self.live().open.get_mut(&id) {
            *abort = Some(task.abort_handle());
        }
    }

    async fn connection(&self, stream: Accepted, peer: Peer, pulse: Pulse) -> Option<Cut> {
        let mut certificate = None;
        let stream = match stream {
            Accepted::Tcp(stream) => Stream::Tcp(stream),
            Accepted::Unix(stream) => Stream::Unix(stream),
            Accepted::Tls(stream, acceptor) => {
                let shaking = timeout(self.limits.tls_handshake, acceptor.accept(stream));
                let Ok(Ok(stream)) = shaking.await else {
                    return Some(Cut::Handshake);
                };
                pulse.ready();
                certificate = ClientCertificate::of(stream.get_ref().1.peer_certificates());
                Stream::Tls(Box::new(stream))
            }
        };
        let routes = Routes {
            service: self.service.clone(),
            limits: self.limits,
            in_flight: Arc::clone(&self.in_flight),
            peer,
            certificate,
            pulse: pulse.clone(),
            next: Next::default(),
        };
        drive(self.http.clone(), Watched::new(stream, pulse), routes).await
    }

    async fn drain(&self, shutdown: &Shutdown) -> Drained {
        self.tasks.close();
        for (pulse, _) in self.live().open.values() {
            pulse.drain();
        }
        tokio::select! {
            () = self.tasks.wait() => {}
            () = sleep(self.limits.drain) => {}
            () = shutdown.cutting() => {}
        }
        let left: Vec<_> = self.live().open.drain().collect();
        for (_, (_, abort)) in &left {
            if let Some(abort) = abort {
                abort.abort();
            }
        }
        // Aborted tasks end at their next await; nothing of ours blocks longer than that.
        if timeout(Duration::from_secs(1), self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("a connection did not end when it was cut");
        }
        Drained { cut: left.len() }
    }
}

impl<S> Server<S> {
    fn live(&self) -> std::sync::MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn run<S, B>(leave: Leave<S>, stream: Accepted, peer: Peer, pulse: Pulse)
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let server = Arc::clone(&leave.server);
    if let Some(why) = server.connection(stream, peer, pulse).await {
        server.observer.cut(why);
        tracing::debug!(reason = why.label(), "connection cut");
    }
}

/// Takes a connection off the list however it ends, a panic of its service included.
struct Leave<S> {
    server: Arc<Server<S>>,
    id: u64,
    _seat: Seat,
}

impl<S> Drop for Leave<S> {
    fn drop(&mut self) {
        self.server.live().open.remove(&self.id);
    }
}
