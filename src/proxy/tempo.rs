//! How long a connection may do nothing, and what counts as that.
//!
//! A connection waits for a request, reads the head of one, or has requests open. The first two have their
//! time. An open request may take long: its upstream and its body have limits of their own. But a client
//! that takes nothing of an answer keeps the upstream waiting, and is cut: over HTTP/2 with all its streams,
//! also when it is one of them that stands still. One look a second serves all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::io::InspectReader;

use super::tunnel::Duplex;

/// How often a connection is looked at.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// How long each may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Without a request.
    pub(super) idle: Duration,
    /// For the head of one; `None` where heads cannot be told from other traffic.
    pub(super) head: Option<Duration>,
    /// Without taking anything of an answer.
    pub(super) stall: Duration,
}

/// Where one connection stands.
#[derive(Debug)]
pub(super) struct Tempo {
    times: Times,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next: u64,
    /// Open requests, each with since when its client has had a piece and asked for no more.
    open: HashMap<u64, Option<Instant>>,
    idle: Instant,
    head: Option<Instant>,
}

/// An open request; it is over when this is dropped.
#[derive(Debug)]
pub(super) struct Open {
    tempo: Arc<Tempo>,
    number: u64,
}

impl Tempo {
    pub(super) fn start(times: Times) -> Arc<Self> {
        let state = State {
            next: 0,
            open: HashMap::new(),
            idle: Instant::now(),
            head: None,
        };
        Arc::new(Self {
            times,
            state: Mutex::new(state),
        })
    }

    /// A whole head came.
    pub(super) fn begin(self: &Arc<Self>) -> Open {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.open.insert(number, None);
        state.head = None;
        Open {
            tempo: Arc::clone(self),
            number,
        }
    }

    /// Bytes came.
    fn arrived(&self) {
        let mut state = self.lock();
        if state.open.is_empty() {
            state.head.get_or_insert_with(Instant::now);
        }
    }

    /// Whether nothing is open.
    pub(super) fn is_idle(&self) -> bool {
        self.lock().open.is_empty()
    }

    /// Whether the connection has had its time.
    fn is_late(&self, now: Instant) -> bool {
        let state = self.lock();
        let over = |since: Instant, limit| now.saturating_duration_since(since) >= limit;
        let head = state.head.zip(self.times.head);
        let stalled = |since: &Option<Instant>| since.is_some_and(|it| over(it, self.times.stall));
        let idle = state.open.is_empty() && over(state.idle, self.times.idle);
        idle || head.is_some_and(|(since, limit)| over(since, limit))
            || state.open.values().any(stalled)
    }

    /// Completes when the connection has had its time, or `is_over` says so while nothing is open.
    pub(super) async fn late(&self, is_over: impl Fn() -> bool) {
        let mut look = tokio::time::interval(LOOK);
        loop {
            look.tick().await;
            if self.is_late(Instant::now()) || (is_over() && self.is_idle()) {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// The client was given a piece.
    pub(super) fn given(&self) {
        self.note(Some(Instant::now()));
    }

    /// The client asks for more.
    pub(super) fn asked(&self) {
        self.note(None);
    }

    fn note(&self, since: Option<Instant>) {
        if let Some(noted) = self.tempo.lock().open.get_mut(&self.number) {
            *noted = since;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.tempo.lock();
        state.open.remove(&self.number);
        state.idle = Instant::now();
    }
}

/// A stream that tells the tempo what arrives.
pub(super) fn timed<S: Duplex>(stream: S, tempo: Arc<Tempo>) -> impl Duplex {
    InspectReader::new(stream, move |bytes: &[u8]| {
        // The end of the stream brings nothing.
        if !bytes.is_empty() {
            tempo.arrived();
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Tempo, Times};

    const TIMES: Times = Times {
        idle: Duration::from_mins(2),
        head: Some(Duration::from_secs(10)),
        stall: Duration::from_secs(30),
    };

    fn after(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    #[test]
    fn a_connection_that_asks_for_nothing_has_its_time() {
        let tempo = Tempo::start(TIMES);
        assert!(!tempo.is_late(after(100)));
        assert!(tempo.is_late(after(121)));
        let open = tempo.begin();
        assert!(!tempo.is_idle());
        assert!(!tempo.is_late(after(3_000)), "it has limits of its own");
        drop(open);
        assert!(tempo.is_idle());
        assert!(tempo.is_late(after(121)));
    }

    #[test]
    fn a_head_that_does_not_end_is_cut_however_it_drips() {
        let tempo = Tempo::start(TIMES);
        tempo.arrived();
        assert!(!tempo.is_late(after(5)));
        assert!(tempo.is_late(after(11)));
        tempo.arrived();
        assert!(tempo.is_late(after(11)));
        let open = tempo.begin();
        tempo.arrived();
        drop(open);
        assert!(
            !tempo.is_late(after(11)),
            "what came with a request is its own"
        );
        let other = Times {
            head: None,
            ..TIMES
        };
        let tempo = Tempo::start(other);
        tempo.arrived();
        assert!(!tempo.is_late(after(11)));
    }

    #[test]
    fn who_takes_nothing_of_an_answer_is_cut() {
        let tempo = Tempo::start(TIMES);
        let (one, two) = (tempo.begin(), tempo.begin());
        one.given();
        assert!(!tempo.is_late(after(20)));
        assert!(tempo.is_late(after(31)));
        one.asked();
        assert!(!tempo.is_late(after(3_000)), "the upstream may think");
        two.given();
        assert!(tempo.is_late(after(31)));
        drop(two);
        assert!(!tempo.is_late(after(31)));
    }

    #[tokio::test]
    async fn what_is_over_ends_as_soon_as_nothing_is_open() {
        let tempo = Tempo::start(TIMES);
        let open = tempo.begin();
        {
            let mut late = std::pin::pin!(tempo.late(|| true));
            let waited = std::future::poll_fn(|cx| {
                std::task::Poll::Ready(late.as_mut().poll(cx).is_pending())
            });
            assert!(waited.await);
        }
        drop(open);
        tempo.late(|| true).await;
    }
}
