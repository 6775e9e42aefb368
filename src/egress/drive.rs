//! Who moves a connection's bytes: the one who waits for them.
//!
//! hyper's connection is a future that somebody has to poll. In a task of its own it costs each exchange
//! half a dozen switches between two tasks, and on an idle machine a thread that is woken for most of
//! them. So whoever waits for an answer, or for the next piece of one, polls it. While nobody waits nothing
//! moves, and nothing has to: what came meanwhile is seen by the next look.
//!
//! Where something has to move that nobody waits for, the connection gets a task of its own after all
//! ([`Drive::leave`]): an upload that goes on behind its answer, and a connection that becomes another one.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// How often one poll goes on because something happened in it. Whoever wants more gives way first.
const ROUNDS: usize = 16;

/// A connection, and the bell that its parts were given.
pub(super) struct Drive {
    driver: Driver,
    bell: Arc<Bell>,
    waker: Waker,
}

/// Who polls the connection.
enum Driver {
    /// Whoever waits for something of it.
    Waiter(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// A task, which ends with this.
    Task(AbortHandle),
    /// Nobody: it has ended.
    Over,
}

impl Drive {
    pub(super) fn of(connection: impl Future<Output = ()> + Send + 'static) -> Self {
        let bell = Arc::new(Bell::default());
        Self {
            driver: Driver::Waiter(Box::pin(connection)),
            waker: Waker::from(Arc::clone(&bell)),
            bell,
        }
    }

    /// Waits for `wanted` of this connection, and moves its bytes meanwhile.
    pub(super) fn until<T>(
        &mut self,
        mut wanted: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> impl Future<Output = T> {
        poll_fn(move |cx| self.poll(cx, &mut wanted))
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
            if let Driver::Waiter(connection) = &mut self.driver
                && connection.as_mut().poll(inside).is_ready()
            {
                self.driver = Driver::Over;
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
        if let Driver::Waiter(_) = self.driver {
            let cx = &mut Context::from_waker(Waker::noop());
            let _nothing: Poll<()> = self.poll(cx, |_| Poll::Pending);
            self.bell.leave();
        }
    }

    /// Has the connection move by itself from here on.
    pub(super) fn leave(&mut self) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if let Driver::Waiter(_) = self.driver
            && let Driver::Waiter(connection) = std::mem::replace(&mut self.driver, Driver::Over)
        {
            self.driver = Driver::Task(runtime.spawn(connection).abort_handle());
        }
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        if let Driver::Task(task) = &self.driver {
            task.abort();
        }
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
        let waits = heard.waiting.as_ref();
        if waits.is_some_and(|waiting| waiting.will_wake(waker)) {
            return false;
        }
        let gone = heard.waiting.replace(waker.clone());
        drop(heard);
        // Not under the lock: a waker may be the last to hold a task, and with it whatever that holds.
        drop(gone);
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
    use std::ops::Range;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};
    use std::time::Duration;

    use tokio::sync::{mpsc, oneshot};
    use tokio::time::timeout;

    use super::{Drive, Driver, ROUNDS};

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

    /// One turn of whoever waits: so many pieces in order, each in time.
    async fn take(
        (mut drive, mut passed): (Drive, mpsc::UnboundedReceiver<u32>),
        pieces: Range<u32>,
    ) -> (Drive, mpsc::UnboundedReceiver<u32>) {
        for piece in pieces {
            let next = drive.until(|cx| passed.poll_recv(cx));
            let next = timeout(Duration::from_secs(20), next).await;
            assert_eq!(next.expect("a ring is lost"), Some(piece));
        }
        (drive, passed)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_ring_from_another_thread_is_lost_whenever_it_comes_and_whoever_waits() {
        const PIECES: u32 = 20_000;
        const TURN: u32 = 10;
        let (send, mut come) = mpsc::channel(1);
        let (pass, passed) = mpsc::unbounded_channel();
        let sender = std::thread::spawn(move || {
            for piece in 0..PIECES {
                // At another moment of the poll each time.
                (0..piece % 97 * 8).for_each(|_| std::hint::spin_loop());
                send.blocking_send(piece).unwrap();
            }
        });
        let drive = Drive::of(async move {
            while let Some(piece) = come.recv().await {
                pass.send(piece).unwrap();
            }
        });
        let mut waiting = (drive, passed);
        for turn in 0..PIECES / TURN {
            let pieces = turn * TURN..(turn + 1) * TURN;
            waiting = tokio::spawn(take(waiting, pieces)).await.unwrap();
            if turn % 3 == 0 {
                waiting.0.look();
            }
        }
        sender.join().unwrap();
        let (mut drive, mut passed) = waiting;
        assert_eq!(drive.until(|cx| passed.poll_recv(cx)).await, None);
    }

    #[tokio::test]
    async fn what_was_left_moves_by_itself_and_ends_with_its_link() {
        let (come, news) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let held = Arc::new(());
        let holds = Arc::clone(&held);
        let mut drive = Drive::of(async move {
            news.await.unwrap();
            tell.send(7).unwrap();
            std::future::pending::<()>().await;
            drop(holds);
        });
        drive.look();
        drive.leave();
        come.send(()).unwrap();
        assert_eq!(told.await, Ok(7), "though nobody polls it");
        drop(drive);
        while Arc::strong_count(&held) > 1 {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn what_came_while_nobody_waited_is_seen_by_a_look() {
        let (come, news) = oneshot::channel::<()>();
        let mut drive = Drive::of(async move { news.await.unwrap() });
        drive.look();
        assert!(matches!(drive.driver, Driver::Waiter(_)));
        come.send(()).unwrap();
        drive.look();
        assert!(matches!(drive.driver, Driver::Over));
    }
}
