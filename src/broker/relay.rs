//! An upstream's answer on its way to the caller: searched as it streams, and cut when it must end.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, header};
use http_body::{Body, Frame, SizeHint};

use crate::audit::{Outcome, Recorded};
use crate::egress::{EgressError, Incoming, Phase, UpstreamBody};

use super::answer::NoAnswer;
use super::scrub::{
    BodyIs, Encoding, Hits, Limits, Patterns, ScrubError, ScrubbedBody, scrub_body, scrub_headers,
};

/// Never handed on: they speak of the connection to the upstream, or would have the caller's browser
/// take the broker for it.
const DROPPED: [&str; 10] = [
    "alt-svc",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "set-cookie",
    "strict-transport-security",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// An upstream's answer, searched.
#[derive(Debug)]
pub struct Relayed {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, which is searched as it comes.
    pub body: RelayedBody,
    pub(super) patterns: Patterns,
    pub(super) hits: Hits,
}

/// Why a stream ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cut {
    /// The vault was sealed.
    #[error("the vault was sealed")]
    Sealed,
    /// The handle that it runs with died.
    #[error("the handle died")]
    Handle,
    /// It took as long as one may.
    #[error("the exchange took too long")]
    Late,
}

impl Cut {
    /// What the journal says of it.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Handle => "handle_dead",
            Self::Late => EgressError::Timeout { phase: Phase::Body }.code(),
        }
    }
}

/// Completes when a stream must end.
pub(super) type Ends = Pin<Box<dyn Future<Output = Cut> + Send>>;

/// A failure in the middle of a body. The caller's own answer breaks off.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// It was cut.
    #[error(transparent)]
    Cut(#[from] Cut),
    /// The upstream failed, or what it sent cannot be searched.
    #[error(transparent)]
    Scrub(#[from] ScrubError),
}

/// What is known of an exchange when it is over, however it ends: dropped, it is written down.
pub(super) struct Ledger {
    recorded: Option<Recorded>,
    started: Instant,
    status: u16,
    received: Arc<AtomicU64>,
    sent: Arc<AtomicU64>,
    hits: Option<Hits>,
}

impl Ledger {
    pub(super) fn new(recorded: Recorded, started: Instant, sent: Arc<AtomicU64>) -> Self {
        Self {
            recorded: Some(recorded),
            started,
            status: 0,
            received: Arc::default(),
            sent,
            hits: None,
        }
    }

    /// The record of the intent, until the exchange is closed.
    pub(super) const fn recorded(&self) -> Option<&Recorded> {
        self.recorded.as_ref()
    }

    /// Notes what was answered, and where is counted what the answer is masked of.
    pub(super) fn answered(&mut self, status: u16, hits: &Hits) {
        self.status = status;
        self.hits = Some(hits.clone());
    }

    /// Where bytes are counted that come from the upstream, and those that go there.
    pub(super) fn counts(&self) -> (Arc<AtomicU64>, Arc<AtomicU64>) {
        (Arc::clone(&self.received), Arc::clone(&self.sent))
    }

    /// Writes down how it ended.
    pub(super) fn close(&mut self, outcome: Outcome) {
        let Some(recorded) = self.recorded.take() else {
            return;
        };
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (received, sent) = (load(&self.received), load(&self.sent));
        let mut outcome = outcome.duration_ms(millis).bytes(received, sent);
        if self.status != 0 {
            outcome = outcome.http_status(self.status);
        }
        if let Some(hits) = &self.hits {
            outcome = outcome.scrub_hits(hits.total());
        }
        recorded.outcome(outcome);
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.close(Outcome::failed("client_gone"));
    }
}

/// The body of an answer. Dropped before its end, the connection to the upstream is closed at once.
pub struct RelayedBody {
    inner: ScrubbedBody<UpstreamBody>,
    ends: Ends,
    ledger: Ledger,
    /// What lives as long as the exchange does.
    _held: Box<dyn std::any::Any + Send>,
}

impl Relayed {
    /// Searches the head of `incoming` at once, and its body as it is read.
    ///
    /// # Errors
    /// When the body has an encoding that cannot be undone, or not at this moment.
    pub(super) fn new(
        incoming: Incoming,
        patterns: &Patterns,
        mut ledger: Ledger,
        ends: Ends,
        held: Box<dyn std::any::Any + Send>,
    ) -> Result<Self, NoAnswer> {
        let hits = patterns.hits();
        ledger.answered(incoming.status, &hits);
        let begun = Encoding::of(&incoming.headers).and_then(|encoding| {
            let (body, limits) = (incoming.body, Limits::default());
            let body = scrub_body(body, patterns, &encoding, limits, &hits)?;
            Ok((BodyIs::under(&encoding), body))
        });
        let (is, body) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                let error = NoAnswer::from(error);
                ledger.close(Outcome::failed(error.code()));
                return Err(error);
            }
        };
        let headers = scrub_headers(incoming.headers, patterns, is, &hits).into_map();
        Ok(Self {
            status: incoming.status,
            headers: clean(headers),
            patterns: patterns.clone(),
            hits,
            body: RelayedBody {
                inner: body,
                ends,
                ledger,
                _held: held,
            },
        })
    }
}

/// The headers that may be handed on.
pub(super) fn clean(mut headers: HeaderMap) -> HeaderMap {
    let listed: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value: &HeaderValue| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|word| HeaderName::from_bytes(word.trim_ascii()).ok())
        .collect();
    for name in listed {
        headers.remove(name);
    }
    for name in DROPPED {
        headers.remove(name);
    }
    headers
}

impl RelayedBody {
    /// Stops reading, for this reason.
    pub(super) fn give_up(mut self, code: &'static str) {
        self.ledger.close(Outcome::failed(code));
    }

    fn cut(&mut self, cut: Cut) -> RelayError {
        self.ledger.close(Outcome::failed(cut.code()));
        cut.into()
    }
}

impl Body for RelayedBody {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let this = &mut *self;
        if this.ledger.recorded.is_none() {
            return Poll::Ready(None);
        }
        // Asked first: an upstream that always has more must not outrun it.
        if let Poll::Ready(cut) = this.ends.as_mut().poll(cx) {
            return Poll::Ready(Some(Err(this.cut(cut))));
        }
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                let length = u64::try_from(length).unwrap_or(u64::MAX);
                this.ledger.received.fetch_add(length, Ordering::Relaxed);
                if this.inner.is_end_stream() {
                    this.ledger.close(Outcome::success());
                }
                // What may not stand before an answer may not stand after it either.
                let frame = match frame.into_trailers() {
                    Ok(trailers) => Frame::trailers(clean(trailers)),
                    Err(frame) => frame,
                };
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                let failed = NoAnswer::from(error);
                this.ledger.close(Outcome::failed(failed.code()));
                let NoAnswer::Scrub(error) = failed else {
                    return Poll::Ready(None);
                };
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                this.ledger.close(Outcome::success());
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for RelayedBody {
    fn drop(&mut self) {
        // An answer without a body is never asked for one, and one of a length for nothing after it.
        if self.inner.is_end_stream() || self.inner.size_hint().exact() == Some(0) {
            self.ledger.close(Outcome::success());
        }
    }
}

impl fmt::Debug for RelayedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelayedBody")
    }
}
