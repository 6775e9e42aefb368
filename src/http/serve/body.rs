//! Bodies with time limits: of a request while it is read, of a response while it is written.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use super::pulse::Pulse;

/// Any error, as HTTP bodies pass them on.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why a request body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// No further piece came in [`ServeLimits::body_idle`](super::ServeLimits::body_idle).
    #[error("the request body stopped coming")]
    Idle,
    /// It did not end in [`ServeLimits::whole_request`](super::ServeLimits::whole_request).
    #[error("the request body took too long")]
    TooSlow,
    /// The connection broke, or the body's framing is wrong.
    #[error("the request body is not complete")]
    Broken,
}

impl BodyError {
    /// Finds the body error behind whatever wraps it, so that a handler can answer 408 for
    /// [`BodyError::Idle`] and [`BodyError::TooSlow`], and 400 for [`BodyError::Broken`].
    #[must_use]
    pub fn behind(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut link = Some(error);
        while let Some(error) = link {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(*found);
            }
            link = error.source();
        }
        None
    }
}

/// A request body that fails with [`BodyError`] when its client is too slow.
#[derive(Debug)]
pub struct RequestBody<B = Incoming> {
    inner: B,
    idle: Duration,
    until: Instant,
    pulse: Option<Pulse>,
    /// Set only while a piece is awaited: most bodies come together with their header.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> RequestBody<B> {
    /// Limits `inner` to `idle` between two pieces, and to `until` altogether.
    pub fn new(inner: B, idle: Duration, until: Instant) -> Self {
        Self {
            inner,
            idle,
            until,
            pulse: None,
            timer: None,
        }
    }

    /// Follows the request of `pulse`: when its whole time is lifted, so is the body's.
    pub(super) fn of(mut self, pulse: Pulse) -> Self {
        self.pulse = Some(pulse);
        self
    }

    fn is_lifted(&self) -> bool {
        self.pulse.as_ref().is_some_and(Pulse::is_lifted)
    }

    fn late(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        let idle_until = Instant::now() + self.idle;
        let lifted = self.is_lifted();
        let (at, error) = match self.timer.as_ref().map(|timer| timer.deadline()) {
            Some(at) if at < self.until || lifted => (at, BodyError::Idle),
            Some(at) => (at, BodyError::TooSlow),
            None if idle_until < self.until || lifted => (idle_until, BodyError::Idle),
            None => (self.until, BodyError::TooSlow),
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(error)
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(piece) = Pin::new(&mut self.inner).poll_frame(cx) {
            self.timer = None;
            // A client that sends a byte now and then is never idle, but late all the same.
            let late = self.until <= Instant::now() && !self.is_lifted();
            return Poll::Ready(match piece {
                Some(Ok(_)) if late => Some(Err(BodyError::TooSlow)),
                Some(Ok(frame)) => Some(Ok(frame)),
                Some(Err(_)) => Some(Err(BodyError::Broken)),
                None => None,
            });
        }
        self.late(cx).map(|error| Some(Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A response body that tells the connection when it is complete.
#[derive(Debug)]
pub(super) struct ResponseBody<B> {
    inner: Inner<B>,
    _ending: Ending,
}

#[derive(Debug)]
enum Inner<B> {
    Service(B),
    Refusal(Full<Bytes>),
}

/// The right to be one of the requests in flight. Whatever works for a request holds it, also when the client is gone
/// or was told that it takes too long.
#[derive(Clone, Debug)]
pub struct Seat {
    _held: Arc<OwnedSemaphorePermit>,
}

impl Seat {
    pub(in crate::http) fn new(permit: OwnedSemaphorePermit) -> Self {
        Self {
            _held: Arc::new(permit),
        }
    }
}

/// Dropped with the response body: hyper lets go of it once its last byte is in the write buffer.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) pulse: Pulse,
    /// The right to run, held by a request that was let in.
    pub(super) in_flight: Option<Seat>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.pulse.response_ended();
        drop(self.in_flight.take());
    }
}

impl<B> ResponseBody<B> {
    pub(super) fn service(body: B, ending: Ending) -> Self {
        Self {
            inner: Inner::Service(body),
            _ending: ending,
        }
    }

    pub(super) fn refusal(body: Full<Bytes>, ending: Ending) -> Self {
        Self {
            inner: Inner::Refusal(body),
            _ending: ending,
        }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.inner {
            Inner::Service(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Inner::Refusal(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Service(body) => body.is_end_stream(),
            Inner::Refusal(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Service(body) => body.size_hint(),
            Inner::Refusal(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use bytes::Bytes;
    use http_body::{Body, Frame};
    use http_body_util::BodyExt;
    use tokio::time::{Instant, Sleep, sleep};

    use super::{BodyError, RequestBody};

    /// One byte each `every`, for ever.
    struct Drip {
        every: Duration,
        next: Pin<Box<Sleep>>,
    }

    impl Drip {
        fn each(every: Duration) -> Self {
            let next = Box::pin(sleep(every));
            Self { every, next }
        }
    }

    impl Body for Drip {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            std::task::ready!(self.next.as_mut().poll(cx));
            self.next = Box::pin(sleep(self.every));
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
        }
    }

    async fn read(every: u64, idle: u64, whole: u64) -> (BodyError, Duration) {
        let began = Instant::now();
        let body = RequestBody::new(
            Drip::each(Duration::from_millis(every)),
            Duration::from_millis(idle),
            began + Duration::from_millis(whole),
        );
        (body.collect().await.unwrap_err(), began.elapsed())
    }

    #[tokio::test]
    async fn a_body_may_pause_for_its_idle_time_and_last_for_its_whole_time() {
        let (error, took) = read(20, 10_000, 200).await;
        assert_eq!(error, BodyError::TooSlow);
        assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(2));
        let (error, took) = read(60_000, 100, 60_000).await;
        assert_eq!(error, BodyError::Idle);
        assert!(took >= Duration::from_millis(100) && took < Duration::from_secs(2));
    }

    #[test]
    fn a_body_error_is_found_behind_its_wrappers() {
        #[derive(Debug, thiserror::Error)]
        #[error("wrapped")]
        struct Wrapped(#[source] BodyError);
        let wrapped = Wrapped(BodyError::Idle);
        assert_eq!(BodyError::behind(&wrapped), Some(BodyError::Idle));
        assert_eq!(BodyError::behind(&std::fmt::Error), None);
    }
}
