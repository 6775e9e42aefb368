//! How long a connection may do nothing, and what counts as that.
//!
//! A connection waits for a request, reads the head of one, or has requests open. The first two have their
//! time. An open request may take long: its upstream and its body have limits of their own. But a client
//! that takes nothing of an answer keeps the upstream waiting, and is cut: over HTTP/2 with all its streams,
//! also when it is one of them that stands still. One look a second serves all.
//!
//! A connection that is over while nothing is open is not dropped: of the last answer some may still be on its
//! way, and over HTTP/2 the client is told that no more is taken.

use std::collections::HashMap;
use std::pin::Pin;
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

    /// Leads a connection to its end. When it was idle for its time, or `is_over` says so while nothing is
    /// open, or the broker is `ending`, it is told to `stop`: what is open may finish, and what was answered
    /// is written. Whoever stands in the way of that is cut.
    pub(super) async fn lead<C: Future>(
        &self,
        mut connection: Pin<&mut C>,
        (is_over, ending): (impl Fn() -> bool, impl Future<Output = ()>),
        stop: impl FnOnce(Pin<&mut C>),
    ) {
        let rested = |now| self.rests(now, self.times.idle) || (is_over() && self.is_idle());
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            () = seen(|now| self.is_late(now)) => return,
            () = seen(rested) => {}
            () = ending => {}
        }
        stop(connection.as_mut());
        let stopped = Instant::now();
        let parted = |now: Instant| {
            let long = now.saturating_duration_since(stopped) >= self.times.stall;
            self.is_late(now) || (long && self.rests(now, self.times.stall))
        };
        tokio::select! {
            biased;
            _ = connection => {}
            () = seen(parted) => {}
        }
    }

    /// Whether nothing is open.
    fn is_idle(&self) -> bool {
        self.lock().open.is_empty()
    }

    /// Whether nothing has been open for so long.
    fn rests(&self, now: Instant, limit: Duration) -> bool {
        let state = self.lock();
        state.open.is_empty() && now.saturating_duration_since(state.idle) >= limit
    }

    /// Whether the client keeps others waiting for longer than it may.
    fn is_late(&self, now: Instant) -> bool {
        let state = self.lock();
        let over = |since: Instant, limit| now.saturating_duration_since(since) >= limit;
        let head = state.head.zip(self.times.head);
        let stalled = |since: &Option<Instant>| since.is_some_and(|it| over(it, self.times.stall));
        head.is_some_and(|(since, limit)| over(since, limit)) || state.open.values().any(stalled)
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

/// Completes when a look finds `what`.
async fn seen(what: impl Fn(Instant) -> bool) {
    let mut look = tokio::time::interval(LOOK);
    loop {
        look.tick().await;
        if what(Instant::now()) {
            return;
        }
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
    use std::convert::Infallible;
    use std::pin::pin;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use bytes::Bytes;
    use http::Response;
    use http_body_util::{BodyExt, Full};
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::{LOOK, Tempo, Times, timed};

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
        let rests = |seconds| tempo.rests(after(seconds), TIMES.idle);
        assert!(!rests(100) && rests(121));
        let open = tempo.begin();
        assert!(!tempo.is_idle());
        assert!(!rests(3_000) && !tempo.is_late(after(3_000)));
        drop(open);
        assert!(tempo.is_idle());
        assert!(!rests(100) && rests(121));
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

    /// A connection that answers everything with as many bytes; the client's end of it.
    fn served(answer: usize, wire: usize) -> (tokio::task::JoinHandle<()>, DuplexStream) {
        let (client, server) = duplex(wire);
        let tempo = Tempo::start(TIMES);
        let task = tokio::spawn(async move {
            let of = Arc::clone(&tempo);
            let service = service_fn(move |_| {
                let open = of.begin();
                async move {
                    let body = Full::new(Bytes::from(vec![b'x'; answer]));
                    let body = body.inspect_frame(move |_| open.given());
                    Ok::<_, Infallible>(Response::new(body))
                }
            });
            let stream = TokioIo::new(timed(server, Arc::clone(&tempo)));
            let connection = http1::Builder::new().serve_connection(stream, service);
            let connection = pin!(connection);
            let over = (|| true, std::future::pending());
            tempo
                .lead(connection, over, http1::Connection::graceful_shutdown)
                .await;
        });
        (task, client)
    }

    #[tokio::test]
    async fn what_is_over_ends_as_soon_as_nothing_is_open() {
        let (task, mut client) = served(1, 1_024);
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        task.await.unwrap();
    }

    #[tokio::test]
    async fn an_answer_that_is_on_its_way_when_all_is_over_arrives_whole() {
        // The wire takes little, so that most of the answer waits while the connection is over.
        let (task, mut client) = served(100_000, 64);
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        tokio::time::sleep(2 * LOOK).await;
        let mut all = Vec::new();
        client.read_to_end(&mut all).await.unwrap();
        let body = memchr::memchr_iter(b'x', &all).count();
        assert_eq!(body, 100_000, "{}", String::from_utf8_lossy(&all));
        task.await.unwrap();
    }
}
