//! The answer side.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::ext::ReasonPhrase;
use tokio::time::{Instant, Sleep, sleep};

use super::link::{Link, reason};
use super::pool::Home;
use super::socket::{SocketKey, UpstreamSocket};
use super::{EgressError, Phase};

/// An upstream's answer, unsearched: nothing in it may reach a caller before it was scrubbed.
#[derive(Debug)]
pub struct Incoming {
    /// The status code: 200 to 999, or 101 with a [`socket`](Self::socket). A redirect is an answer like
    /// any other: it is not followed.
    pub status: u16,
    /// The reason phrase, when it is not the standard one of the code.
    pub reason: Option<Bytes>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: UpstreamBody,
    /// What the connection became, when it was asked to become one and the upstream agreed.
    pub socket: Option<UpstreamSocket>,
}

impl Incoming {
    pub(super) fn new(
        response: Response<hyper::body::Incoming>,
        link: Link,
        home: Option<Home>,
        idle: Duration,
    ) -> Self {
        let (mut head, inner) = response.into_parts();
        let phrase = head.extensions.remove::<ReasonPhrase>();
        let mut body = UpstreamBody {
            inner,
            held: Some((link, home)),
            idle,
            timer: None,
            armed: false,
        };
        if body.inner.is_end_stream() {
            body.finish();
        }
        Self {
            status: head.status.as_u16(),
            reason: phrase.map(Bytes::from),
            headers: head.headers,
            body,
            socket: None,
        }
    }

    /// The answer that agrees to a WebSocket.
    pub(super) async fn switched(
        response: Response<hyper::body::Incoming>,
        link: Link,
        key: &SocketKey,
        limit: Duration,
    ) -> Result<Self, EgressError> {
        let (head, inner) = response.into_parts();
        let (head, socket) =
            UpstreamSocket::open(Response::from_parts(head, ()), link, key, limit).await?;
        let body = UpstreamBody {
            inner,
            held: None,
            idle: limit,
            timer: None,
            armed: false,
        };
        Ok(Self {
            status: head.status.as_u16(),
            reason: None,
            headers: head.headers,
            body,
            socket: Some(socket),
        })
    }
}

/// The frames of an answer's body, data and trailers.
///
/// Read to its end, its connection is used again; dropped before, the connection is closed.
pub struct UpstreamBody {
    inner: hyper::body::Incoming,
    held: Option<(Link, Option<Home>)>,
    idle: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    armed: bool,
}

impl UpstreamBody {
    fn finish(&mut self) {
        if let Some((link, Some(home))) = self.held.take() {
            home.welcome(link);
        }
    }

    /// Waits for the next piece, `idle` at most since the last one.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let idle = self.idle;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(idle)));
        if !self.armed {
            timer.as_mut().reset(Instant::now() + idle);
            self.armed = true;
        }
        timer.as_mut().poll(cx)
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let Self { inner, held, .. } = &mut *self;
        let polled = match held {
            Some((link, _)) => link.poll_frame(inner, cx),
            None => Pin::new(inner).poll_frame(cx),
        };
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.armed = false;
                if self.inner.is_end_stream() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.held = None;
                Poll::Ready(Some(Err(reason(&error))))
            }
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Pending => self.poll_idle(cx).map(|()| {
                self.held = None;
                let phase = Phase::Body;
                Some(Err(EgressError::Timeout { phase }))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl fmt::Debug for UpstreamBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UpstreamBody")
    }
}
