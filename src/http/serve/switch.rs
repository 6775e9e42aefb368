//! A connection that speaks another protocol after its request was answered with 101.
//!
//! What it speaks then is a future that the route made. It runs in the connection's own task, so that the
//! connection keeps its seat, is waited for when the program ends, and is cut with all others. It is no longer
//! one of the requests in flight: the route counts it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;

use super::pulse::Pulse;

/// A connection after its 101.
pub type Switched = TokioIo<Upgraded>;

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;
type Run = Box<dyn FnOnce(Switched, CancellationToken) -> Running + Send>;

/// Put into the extensions of a 101: what happens on the connection from then on.
#[derive(Clone)]
pub struct Switch(Arc<Mutex<Option<Run>>>);

impl Switch {
    /// Runs `run` once the 101 is written. Its second argument is cancelled when the program ends: the
    /// future then has [`ServeLimits::drain`](super::ServeLimits::drain) to say goodbye.
    pub fn to<F, T>(run: F) -> Self
    where
        F: FnOnce(Switched, CancellationToken) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let run: Run = Box::new(|io, ending| Box::pin(run(io, ending)));
        Self(Arc::new(Mutex::new(Some(run))))
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Switch")
    }
}

/// What a connection is about to become.
struct Waiting {
    io: OnUpgrade,
    run: Run,
}

/// Where a connection finds what it is to become, once it has written its 101.
#[derive(Clone, Default)]
pub(super) struct Next(Arc<Mutex<Option<Waiting>>>);

impl Next {
    /// Notes that the connection of `io` becomes what `switch` makes of it.
    pub(super) fn set(&self, io: Option<OnUpgrade>, switch: &Switch) {
        let run = switch
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let waiting = io.zip(run).map(|(io, run)| Waiting { io, run });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = waiting;
    }

    /// Runs what the connection has become, to its end.
    pub(super) async fn run(&self, pulse: &Pulse) {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Waiting { io, run }) = waiting else {
            return;
        };
        let Ok(io) = io.await else {
            return;
        };
        let ending = CancellationToken::new();
        let mut running = run(TokioIo::new(io), ending.clone());
        poll_fn(|cx| {
            if !ending.is_cancelled() && pulse.poll_drain(cx).is_some() {
                ending.cancel();
            }
            running.as_mut().poll(cx)
        })
        .await;
    }
}
