//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::server::conn::http1::{Builder, UpgradeableConnection};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tower::Service;

use super::body::{BoxError, RequestBody};
use super::limits::ServeLimits;
use super::observer::Cut;
use super::pulse::Pulse;
use super::service::Routes;
use super::stream::Watched;

/// How long, and for how many bytes, a finished connection still listens. Closing a socket that
/// holds unread bytes resets it, and the client may then lose an answer it has not read yet.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

/// hyper's own ceiling on what it buffers for one connection.
const BUFFER_BYTES: usize = 64 * 1024;

pub(super) fn builder(limits: &ServeLimits) -> Builder {
    let mut http = Builder::new();
    http.timer(TokioTimer::new())
        // Counts waiting for the next request as well, so the pulse measures headers instead.
        .header_read_timeout(None)
        .max_headers(limits.headers)
        .max_header_size(limits.header_bytes)
        .max_buf_size(BUFFER_BYTES.max(limits.header_bytes.saturating_mul(2)));
    http
}

/// Serves `stream` until either side is done with it. Returns why it was cut, if it was.
pub(super) async fn drive<S, B>(http: Builder, stream: Watched, routes: Routes<S>) -> Option<Cut>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let pulse = routes.pulse.clone();
    let next = routes.next.clone();
    let connection = http.serve_connection(TokioIo::new(stream), routes);
    let mut connection = connection.with_upgrades();
    let mut timer = pin!(Timer::start(&pulse));
    let mut draining = false;
    let cut = poll_fn(|cx| {
        if !draining && let Some(nothing_to_finish) = pulse.poll_drain(cx) {
            if nothing_to_finish {
                return Poll::Ready(None);
            }
            draining = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        poll_connection(&mut connection, timer.as_mut(), &pulse, cx)
    })
    .await;
    match connection.into_parts() {
        Some(parts) if cut.is_none() && !pulse.has_ended() => {
            linger(parts.io.into_inner()).await;
        }
        Some(_) => {}
        None => next.run(&pulse).await,
    }
    cut
}

fn poll_connection<S, B>(
    connection: &mut UpgradeableConnection<TokioIo<Watched>, Routes<S>>,
    mut timer: Pin<&mut Timer>,
    pulse: &Pulse,
    cx: &mut Context<'_>,
) -> Poll<Option<Cut>>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    loop {
        // An error has been answered by hyper where it could be; nobody else wants to hear of it.
        if Pin::new(&mut *connection).poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        let cut = ready!(timer.as_mut().poll_late(pulse, cx));
        // The first time, the service gets a chance to answer 408.
        if cut != Cut::Request || !pulse.expire() {
            return Poll::Ready(Some(cut));
        }
    }
}

/// One timer for all limits: set again only when a limit comes nearer, or when it fires early.
struct Timer(Pin<Box<Sleep>>);

impl Timer {
    fn start(pulse: &Pulse) -> Self {
        let at = pulse.deadline().map_or_else(Instant::now, |(at, _)| at);
        Self(Box::pin(sleep_until(at)))
    }

    fn poll_late(&mut self, pulse: &Pulse, cx: &mut Context<'_>) -> Poll<Cut> {
        loop {
            let Some((at, why)) = pulse.deadline() else {
                return Poll::Pending;
            };
            if at < self.0.deadline() {
                self.0.as_mut().reset(at);
            }
            ready!(self.0.as_mut().poll(cx));
            if self.0.deadline() >= at {
                return Poll::Ready(why);
            }
            self.0.as_mut().reset(at);
        }
    }
}

/// Says goodbye, and reads what the client is still sending without looking at it.
async fn linger(mut stream: Watched) {
    let goodbye = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut scrap = [0; 4096];
        let mut left = LINGER_BYTES;
        while let Ok(read @ 1..) = stream.read(&mut scrap).await {
            match left.checked_sub(read) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Out of patience or not, the connection is closed now.
    drop(timeout(LINGER, goodbye).await);
}
