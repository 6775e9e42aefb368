//! The body of an answer, where two can reach it: who hands it on, and who cuts it.
//!
//! A server asks for more of a body when there is room for it. While a caller reads nothing nobody asks, so that
//! an end that is only heard of when somebody does would come as late as the caller likes; meanwhile the
//! upstream's connection would be open, with the head of the request in its buffers, and the rest of an
//! upload on its way. So whoever streams has somebody beside them who waits for the end alone.

use std::any::Any;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::audit::Outcome;
use crate::egress::UpstreamBody;

use super::answer::NoAnswer;
use super::relay::{Cut, Ends, Ledger, RelayError, clean};
use super::scrub::{ScrubError, ScrubbedBody};

type Frames = ScrubbedBody<UpstreamBody>;

/// What a body says when it is asked for more.
type Said = Option<Result<Frame<Bytes>, ScrubError>>;

/// How many pieces of a body are looked at ahead, to see whether it is whole: what there is of a short one, and
/// its end.
const AHEAD: usize = 2;

/// A body, until it is cut.
pub(super) struct Flow {
    body: Option<Frames>,
    /// What the body has said already, and nobody was told yet.
    said: VecDeque<Said>,
    /// Whether its length was not known before anybody looked ahead: it is framed as it was sent, so that
    /// what comes after it has a place.
    chunked: bool,
    ledger: Ledger,
    /// Why it was cut, until who reads it was told.
    cut: Option<Cut>,
    /// Who waits for more.
    reader: Option<Waker>,
    /// What lives as long as the exchange does.
    held: Option<Box<dyn Any + Send>>,
}

/// One end of a body: who reads it.
pub(super) struct Flowing {
    flow: Arc<Mutex<Flow>>,
    /// What ends it, where whoever reads it is who hears of that.
    ends: Option<Ends>,
    /// Else what tells the task that does that nobody reads it any more.
    guard: Option<oneshot::Sender<Infallible>>,
}

impl Flowing {
    pub(super) fn new(body: Frames, ledger: Ledger, ends: Ends, held: Box<dyn Any + Send>) -> Self {
        let flow = Flow {
            body: Some(body),
            said: VecDeque::new(),
            chunked: false,
            ledger,
            cut: None,
            reader: None,
            held: Some(held),
        };
        Self {
            flow: Arc::new(Mutex::new(flow)),
            ends: Some(ends),
            guard: None,
        }
    }

    /// Has it cut in time whether or not anybody reads it. One that is whole already needs nobody for that.
    pub(super) fn guard(&mut self) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if self.flow().is_whole() {
            return;
        }
        if let Some(ends) = self.ends.take() {
            let (guard, gone) = oneshot::channel();
            runtime.spawn(cut_at(ends, gone, Arc::clone(&self.flow)));
            self.guard = Some(guard);
        }
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let mut flow = locked(&self.flow);
        if let Some(cut) = flow.cut.take() {
            return Poll::Ready(Some(Err(cut.into())));
        }
        if flow.ledger.recorded().is_none() {
            return Poll::Ready(None);
        }
        // Asked first: an upstream that always has more must not outrun it.
        if let Some(ends) = &mut self.ends
            && let Poll::Ready(cut) = ends.as_mut().poll(cx)
        {
            flow.ledger.close(Outcome::failed(cut.code()));
            return Poll::Ready(Some(Err(cut.into())));
        }
        flow.poll(cx)
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.flow().is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.flow().size_hint()
    }

    /// Ends the record of it.
    pub(super) fn close(&self, outcome: Outcome) {
        self.flow().ledger.close(outcome);
    }

    fn flow(&self) -> MutexGuard<'_, Flow> {
        locked(&self.flow)
    }
}

impl Flow {
    /// Asks without waiting, and remembers what was said: whether that was all that comes of the upstream.
    fn is_whole(&mut self) -> bool {
        let Some(body) = &mut self.body else {
            return true;
        };
        self.chunked = body.size_hint().exact().is_none();
        // Whoever reads it asks again, and is woken.
        let cx = &mut Context::from_waker(Waker::noop());
        while body.needs_upstream() && self.said.len() < AHEAD {
            let Poll::Ready(said) = Pin::new(&mut *body).poll_frame(cx) else {
                return false;
            };
            let more = matches!(said, Some(Ok(_)));
            self.said.push_back(said);
            if !more {
                return true;
            }
        }
        !body.needs_upstream()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = match self.said.pop_front() {
            Some(said) => Poll::Ready(said),
            None => Pin::new(&mut *body).poll_frame(cx),
        };
        let Poll::Ready(said) = polled else {
            if !self
                .reader
                .as_ref()
                .is_some_and(|reader| reader.will_wake(cx.waker()))
            {
                self.reader = Some(cx.waker().clone());
            }
            return Poll::Pending;
        };
        match said {
            Some(Ok(frame)) => {
                self.ledger.received(frame.data_ref().map_or(0, Bytes::len));
                if self.is_end_stream() {
                    self.ledger.close(Outcome::success());
                }
                // What may not stand before an answer may not stand after it either.
                let frame = match frame.into_trailers() {
                    Ok(trailers) => Frame::trailers(clean(trailers)),
                    Err(frame) => frame,
                };
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                let failed = NoAnswer::from(error);
                self.ledger.close(Outcome::failed(failed.code()));
                let NoAnswer::Scrub(error) = failed else {
                    return Poll::Ready(None);
                };
                Poll::Ready(Some(Err(error.into())))
            }
            None => {
                self.ledger.close(Outcome::success());
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let body = self.body.as_ref();
        self.said.is_empty() && body.is_some_and(Frames::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        if self.chunked && !self.is_end_stream() {
            return SizeHint::default();
        }
        let hint = self.body.as_ref().map(Frames::size_hint);
        let mut hint = hint.unwrap_or_default();
        let said = self.said.iter().flatten().flatten();
        let said: usize = said.filter_map(Frame::data_ref).map(Bytes::len).sum();
        let said = u64::try_from(said).unwrap_or_default();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(said));
        }
        hint.set_lower(hint.lower().saturating_add(said));
        hint
    }
}

/// Cuts a body when it must end, unless it is gone by then. Where both happen at once, as in a tunnel that
/// ends with its handle, the record says why.
async fn cut_at(mut ends: Ends, gone: oneshot::Receiver<Infallible>, flow: Arc<Mutex<Flow>>) {
    let cut = tokio::select! {
        biased;
        cut = &mut ends => cut,
        _ = gone => return,
    };
    let mut open = locked(&flow);
    // Nobody needs it any more.
    if open.ledger.recorded().is_none() {
        return;
    }
    open.ledger.close(Outcome::failed(cut.code()));
    open.cut = Some(cut);
    let gone = (
        open.body.take(),
        std::mem::take(&mut open.said),
        open.held.take(),
    );
    let reader = open.reader.take();
    drop(open);
    // Without the lock: with the body its connection goes.
    drop(gone);
    if let Some(reader) = reader {
        reader.wake();
    }
}

fn locked(flow: &Mutex<Flow>) -> MutexGuard<'_, Flow> {
    flow.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Flowing {
    fn drop(&mut self) {
        let mut flow = locked(&self.flow);
        // An answer without a body is never asked for one, and one of a length for nothing after it.
        if flow.cut.is_none() && (flow.is_end_stream() || flow.size_hint().exact() == Some(0)) {
            flow.ledger.close(Outcome::success());
        }
        let gone = (flow.body.take(), flow.held.take());
        drop(flow);
        // Without the lock: with the body its connection goes.
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use http_body_util::BodyExt as _;
    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use crate::broker::relay::{Cut, Ends, Ledger, RelayError, Relayed};
    use crate::broker::scrub::Patterns;
    use crate::egress::tests_origin::{Origin, Step, fetch, plain, send};
    use crate::egress::{Limits, Url};
    use crate::secret::Secret;
    use crate::vault::tests_rig::Rig;

    /// An answer of these bytes, as it is handed on; and what lives as long as its exchange.
    async fn answered(rig: &Rig, steps: Vec<Step>, ends: Ends) -> (Relayed, Arc<()>, Origin) {
        let origin = Origin::start(None, move |_| steps.clone()).await;
        let url = Url::parse(&format!("http://{}/", origin.address)).unwrap();
        let incoming = fetch(&plain(Limits::default()), url).await.unwrap();
        let patterns = Patterns::for_values([&Secret::copy_of(b"ghp_Zq9nKo0xj7")], []).unwrap();
        let ledger = Ledger::new(rig.recorded().await, Instant::now(), Arc::default());
        let held = Arc::new(());
        let kept = Box::new(Arc::clone(&held));
        let relayed = Relayed::new(incoming, &patterns, ledger, ends, kept).unwrap();
        (relayed.guarded(), held, origin)
    }

    fn steps(text: &str, more: &[Step]) -> Vec<Step> {
        [&send(&format!("HTTP/1.1 200 OK\r\n{text}")), more].concat()
    }

    #[tokio::test]
    async fn an_answer_that_is_whole_needs_no_guard_and_loses_nothing() {
        let rig = Rig::new().await;
        for (text, body) in [
            ("content-length: 0\r\n\r\n", ""),
            ("content-length: 5\r\n\r\nghp_Z", "ghp_Z"),
            (
                "transfer-encoding: chunked\r\n\r\n5\r\nghp_Z\r\n0\r\n\r\n",
                "ghp_Z",
            ),
            (
                "content-length: 20\r\n\r\n<ghp_Zq9nKo0xj7>....",
                "<**************>....",
            ),
        ] {
            let ends = Box::pin(std::future::pending());
            let (relayed, _, _origin) = answered(&rig, steps(text, &[]), ends).await;
            let exact = http_body::Body::size_hint(&relayed.body).exact();
            assert_eq!(exact.is_none(), text.starts_with("transfer"), "{text:?}");
            assert!(relayed.body.0.guard.is_none(), "{text:?}");
            let came = relayed.body.collect().await.unwrap().to_bytes();
            assert_eq!(came, body.as_bytes());
        }
    }

    #[tokio::test]
    async fn a_stream_that_nobody_reads_lets_go_of_all_when_it_must_end() {
        let rig = Rig::new().await;
        let (end, ended) = oneshot::channel::<()>();
        let ends: Ends = Box::pin(async move {
            drop(ended.await);
            Cut::Handle
        });
        let first = "content-length: 9\r\n\r\n<1>";
        let steps = steps(first, &[Step::Wait(60_000)]);
        let (mut relayed, held, _origin) = answered(&rig, steps, ends).await;
        assert!(relayed.body.0.guard.is_some());
        assert_eq!(http_body::Body::size_hint(&relayed.body).exact(), Some(9));
        end.send(()).unwrap();
        let let_go = async {
            while Arc::strong_count(&held) > 1 {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), let_go).await.unwrap();
        assert!(relayed.body.0.flow().body.is_none());
        let told = relayed.body.frame().await.unwrap();
        assert!(matches!(told, Err(RelayError::Cut(Cut::Handle))));
        assert!(relayed.body.frame().await.is_none());
    }

    #[tokio::test]
    async fn who_waits_for_more_is_told_when_it_must_end() {
        let rig = Rig::new().await;
        let (end, ended) = oneshot::channel::<()>();
        let ends: Ends = Box::pin(async move {
            drop(ended.await);
            Cut::Sealed
        });
        let first = "content-length: 9\r\n\r\n<1>";
        let steps = steps(first, &[Step::Wait(60_000)]);
        let (mut relayed, _, _origin) = answered(&rig, steps, ends).await;
        let first = relayed.body.frame().await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "<1>");
        let waiting = tokio::spawn(async move { relayed.body.frame().await });
        tokio::task::yield_now().await;
        end.send(()).unwrap();
        let told = timeout(Duration::from_secs(10), waiting).await.unwrap();
        let told = told.unwrap().unwrap();
        assert!(matches!(told, Err(RelayError::Cut(Cut::Sealed))));
    }
}
