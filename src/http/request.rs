//! What is known of a request wherever it is needed: its id, who sent it, how its caller stands.

use std::cell::RefCell;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::FutureExt;
use tokio::runtime::Handle;

use crate::crypto::{Random, SystemRandom};
use crate::id::RequestId;

use super::serve::Seat;
use super::standing::Standing;

/// One request.
#[derive(Debug)]
pub(super) struct Running {
    id: RequestId,
    peer: Option<IpAddr>,
    standing: Mutex<Option<Standing>>,
    /// Held until all that works for it has ended, or counts elsewhere.
    seat: Mutex<Option<Seat>>,
}

/// How long an id's text is.
const ID_TEXT: usize = 40;
/// How many ids are drawn at once: drawing is a system call.
const DRAWN: usize = 32;

thread_local! {
    /// Random bytes for ids that were not given out yet. Ids are no secrets.
    static AHEAD: RefCell<Vec<[u8; 16]>> = const { RefCell::new(Vec::new()) };
}

/// A new id; `None` when there is no randomness.
pub(super) fn new_id() -> Option<RequestId> {
    AHEAD.with_borrow_mut(|ahead| {
        if ahead.is_empty() {
            let random: &dyn Random = &SystemRandom;
            let drawn: [u8; 16 * DRAWN] = random.bytes().ok()?;
            ahead.extend_from_slice(drawn.as_chunks().0);
        }
        ahead.pop().map(RequestId::from_random)
    })
}

tokio::task_local! {
    static RUNNING: Arc<Running>;
}

/// Runs `work` as the request `id`, sent from `peer`, in its `seat`.
pub(super) fn within<F: Future>(
    id: RequestId,
    (peer, seat): (Option<IpAddr>, Option<Seat>),
    work: F,
) -> impl Future<Output = F::Output> {
    let standing = Mutex::new(None);
    let running = Arc::new(Running {
        id,
        peer,
        standing,
        seat: Mutex::new(seat),
    });
    RUNNING.scope(running, work)
}

/// Runs `work` in a task of its own as part of the running request.
pub(super) fn apart<F>(work: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    match RUNNING.try_with(Arc::clone) {
        Ok(running) => tokio::spawn(RUNNING.scope(running, work)),
        Err(_) => tokio::spawn(work),
    }
}

/// Does `work` as part of the running request, to its end also when nobody waits for it any more: then it
/// goes on in a task of its own. `None` when it panicked.
pub(super) fn to_its_end<F>(work: F) -> ToItsEnd<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    ToItsEnd(Some(Box::pin(AssertUnwindSafe(work).catch_unwind())))
}

type Caught<T> = std::thread::Result<T>;

/// Work that is not left half done.
pub(super) struct ToItsEnd<T: Send + 'static>(
    Option<Pin<Box<dyn Future<Output = Caught<T>> + Send>>>,
);

impl<T: Send + 'static> Future for ToItsEnd<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let Some(work) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let done = std::task::ready!(work.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(done.ok())
    }
}

impl<T: Send + 'static> Drop for ToItsEnd<T> {
    fn drop(&mut self) {
        if let Some(work) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            match RUNNING.try_with(Arc::clone) {
                Ok(running) => drop(runtime.spawn(RUNNING.scope(running, work))),
                Err(_) => drop(runtime.spawn(work)),
            }
        }
    }
}

/// Gives the seat back among the requests in flight, as far as who works for it holds it: it counts among the calls
/// that run from here on, and may run for long.
pub(super) fn leave_seat() {
    RUNNING
        .try_with(|running| {
            let mut seat = running.seat.lock().unwrap_or_else(PoisonError::into_inner);
            drop(seat.take());
        })
        .unwrap_or_default();
}

/// The id of the running request.
pub(super) fn id() -> Option<RequestId> {
    RUNNING.try_with(|running| running.id).ok()
}

/// The address that the running request came from, over the network.
pub(super) fn peer() -> Option<IpAddr> {
    RUNNING.try_with(|running| running.peer).ok().flatten()
}

/// Notes how the caller stands with their rate.
pub(super) fn note_standing(standing: Standing) {
    // Outside of a request there is nobody to tell.
    RUNNING
        .try_with(|running| {
            let mut noted = running
                .standing
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *noted = Some(standing);
        })
        .unwrap_or_default();
}

/// How the caller stands with their rate, once that was asked.
pub(super) fn standing() -> Option<Standing> {
    RUNNING
        .try_with(|running| {
            *running
                .standing
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        })
        .ok()
        .flatten()
}

/// The id as clients see it: `req_` and a UUID.
pub(super) fn id_text() -> String {
    let Some(id) = id() else {
        return "req_none".to_owned();
    };
    // Of exactly its size: growing would copy it, and a header could not take it over.
    let mut text = String::with_capacity(ID_TEXT);
    std::fmt::write(&mut text, format_args!("req_{id}")).unwrap_or_default();
    text
}

/// Reads an id that a client sent: our own form or a bare UUID, nothing else.
pub(super) fn parse(text: &str) -> Option<RequestId> {
    RequestId::parse(text.strip_prefix("req_").unwrap_or(text)).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::Poll;

    use tokio::sync::{Semaphore, oneshot};

    use super::{DRAWN, Seat, id, leave_seat, new_id, to_its_end, within};

    #[tokio::test]
    async fn work_goes_on_as_the_same_request_when_nobody_waits_for_it() {
        let (go, wait) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let request = new_id().unwrap();
        let seats = Arc::new(Semaphore::new(1));
        let seat = Seat::new(Arc::clone(&seats).try_acquire_owned().unwrap());
        {
            let work = to_its_end(async move {
                wait.await.unwrap();
                tell.send(id()).unwrap();
            });
            let mut work = pin!(within(request, (None, Some(seat)), work));
            assert!(poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx).is_pending())).await);
        }
        assert_eq!(seats.available_permits(), 0);
        go.send(()).unwrap();
        assert_eq!(told.await.unwrap(), Some(request));
        assert!(seats.acquire().await.is_ok());
    }

    #[tokio::test]
    async fn a_seat_is_given_back_by_what_counts_elsewhere() {
        let seats = Arc::new(Semaphore::new(1));
        let seat = Seat::new(Arc::clone(&seats).try_acquire_owned().unwrap());
        let work = async {
            assert_eq!(seats.available_permits(), 0);
            leave_seat();
            assert_eq!(seats.available_permits(), 1);
        };
        within(new_id().unwrap(), (None, Some(seat)), work).await;
        // Outside of a request there is none.
        leave_seat();
    }

    #[tokio::test]
    async fn work_that_panics_ends_there() {
        assert_eq!(to_its_end(async { 7 }).await, Some(7));
        assert_eq!(to_its_end(async { u8::try_from(300).unwrap() }).await, None);
    }

    #[test]
    fn no_id_is_given_out_twice() {
        let drawn = || {
            (0..DRAWN * 3)
                .map(|_| new_id().unwrap())
                .collect::<Vec<_>>()
        };
        let other = std::thread::spawn(drawn);
        let mut all = drawn();
        all.extend(other.join().unwrap());
        let distinct: HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), DRAWN * 6);
    }
}
