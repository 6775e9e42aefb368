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
use crate::egress::{EgressError, Incoming, Phase};

use super::answer::NoAnswer;
use super::flow::Flowing;
use super::scrub::{
    BodyIs, Encoding, Hits, Limits, Patterns, ScrubError, scrub_body, scrub_headers,
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

    /// Counts so many bytes that came from the upstream.
    pub(super) fn received(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.received.fetch_add(bytes, Ordering::Relaxed);
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
pub struct RelayedBody(pub(super) Flowing);

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
            body: RelayedBody(Flowing::new(body, ledger, ends, held)),
        })
    }

    /// The same, which is cut in time also when nobody reads it.
    pub(super) fn guarded(mut self) -> Self {
        self.body.0.guard();
        self
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
    pub(super) fn give_up(self, code: &'static str) {
        self.0.close(Outcome::failed(code));
    }
}

impl Body for RelayedBody {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        self.0.poll(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl fmt::Debug for RelayedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelayedBody")
    }
}
