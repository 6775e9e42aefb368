//! Who moves a connection's bytes: the one who waits for them.
//!
//! hyper's connection is a future that somebody has to poll. In a task of its own it costs each exchange
//! half a dozen switches between two tasks, and on an idle machine a thread that is woken for most of
//! them. So it has no task: whoever waits for an answer, or for the next piece of one, polls it first.
//! While nobody waits nothing moves, and nothing has to: what came meanwhile is seen by the next look.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// How often one poll goes on because something happened in it. Whoever wants more gives way first.
const ROUNDS: usize = 16;

/// A connection and the waker that it was given.
pub(super) struct Drive {
    /// `None` once it has ended.
    connection: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    bell: Arc<Bell>,
    waker: Waker,
}

impl Drive {
    pub(super) fn of(connection: impl Future<Output = ()> + Send + 'static) -> Self {
        let bell = Arc::new(Bell::default());
        Self {
            connection: Some(Box::pin(connection)),
            waker: Waker::from(Arc::clone(&bell)),
            bell,
        }
    }

    /// Waits for `wanted` of this connection, and moves its bytes meanwhile.
    pub(super) async fn until<T>(
        &mut self,
        mut wanted: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> T {
        poll_fn(|cx| self.poll(cx, &mut wanted)).await
    }

    /// Polls `wanted` and the connection in turn until neither has news for the other.
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut wanted: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        for _ in 0..ROUNDS {
            self.bell.listen();
            let inside = &mut Context::from_waker(&self.waker);
            if let Poll::Ready(got) = wanted(inside) {
                self.bell.leave();
                return Poll::Ready(got);
            }
            if let Some(connection) = &mut self.connection
                && connection.as_mut().poll(inside).is_ready()
            {
                self.connection = None;
                // Who waits for it hears so now.
                continue;
            }
            if !self.bell.wait(cx.waker()) {
                return Poll::Pending;
            }
        }
        self.bell.leave();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes in what came while nobody waited: a close, or bytes that nobody asked for.
    pub(super) fn look(&mut self) {
        let cx = &mut Context::from_waker(Waker::noop());
        let _nothing: Poll<()> = self.poll(cx, |_| Poll::Pending);
        self.bell.leave();
    }
}

/// What the connection's parts ring when they have news. In the middle of a poll that is heard at once,
/// and wakes nobody: the task would only wake itself, and a thread to run it.
#[derive(Default)]
struct Bell(Mutex<Heard>);

#[derive(Default)]
struct Heard {
    /// Whether a poll is under way, and whether it was rung in it.
    listening: bool,
    rung: bool,
    /// Who waits.
    waiting: Option<Waker>,
}

impl Bell {
    fn listen(&self) {
        let mut heard = self.heard();
        (heard.listening, heard.rung) = (true, false);
    }

    /// The poll is over, and nobody waits.
    fn leave(&self) {
        let mut heard = self.heard();
        heard.listening = false;
        let gone = heard.waiting.take();
        drop(heard);
        drop(gone);
    }

    /// Ends the poll and leaves `waker` to be woken; true when it was rung meanwhile: then there is more
    /// to do first.
    fn wait(&self, waker: &Waker) -> bool {
        let mut heard = self.heard();
        if heard.rung {
            return true;
        }
        heard.listening = false;
        match &mut heard.waiting {
            Some(waiting) => waiting.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        false
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut heard = self.heard();
        if heard.listening {
            heard.rung = true;
            return;
        }
        let waiting = heard.waiting.take();
        drop(heard);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    use tokio::sync::oneshot;

    use super::{Drive, ROUNDS};

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_rings_during_a_poll_is_heard_in_it_and_wakes_nobody() {
        let turns = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&turns);
        let mut drive = Drive::of(poll_fn(move |cx| {
            counted.fetch_add(1, Ordering::Relaxed);
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let cx = &mut Context::from_waker(&waker);
        let third = |_: &mut Context<'_>| match turns.load(Ordering::Relaxed) {
            3 => Poll::Ready(()),
            _ => Poll::Pending,
        };
        assert!(drive.poll(cx, third).is_ready());
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        // Without an end it gives way, and asks to be polled again.
        assert!(drive.poll::<()>(cx, |_| Poll::Pending).is_pending());
        assert_eq!(turns.load(Ordering::Relaxed), 3 + ROUNDS);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn news_of_the_connection_wakes_who_waits() {
        let (come, news) = oneshot::channel::<()>();
        let (tell, mut told) = oneshot::channel();
        let mut drive = Drive::of(async move {
            news.await.unwrap();
            tell.send(7).unwrap();
            std::future::pending::<()>().await;
        });
        tokio::spawn(async move { come.send(()).unwrap() });
        let told = drive.until(|cx| std::pin::Pin::new(&mut told).poll(cx));
        assert_eq!(told.await, Ok(7));
    }

    #[test]
    fn what_came_while_nobody_waited_is_seen_by_a_look() {
        let (come, news) = oneshot::channel::<()>();
        let mut drive = Drive::of(async move { news.await.unwrap() });
        drive.look();
        assert!(drive.connection.is_some());
        come.send(()).unwrap();
        drive.look();
        assert!(drive.connection.is_none());
    }
}
