//! The accept loops, and how they end.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::limits::ProxyLimits;
use super::passing::Passing;
use super::seats::Seats;
use super::visit::Visit;
use crate::http::App;
use crate::http::serve::{Accepted, Drained, Listener, Peer, Shutdown};

/// How long an accept loop waits after it failed: out of descriptors, most likely.
const PAUSE: Duration = Duration::from_millis(200);

/// The proxy, before it serves.
#[derive(Debug)]
pub struct Proxy {
    app: App,
    passing: Arc<Passing>,
    limits: ProxyLimits,
    shutdown: Shutdown,
    /// How long open requests get to finish.
    drain: Duration,
    seats: Arc<Seats>,
    tasks: TaskTracker,
    cut: CancellationToken,
}

impl Proxy {
    /// A proxy in front of `app`, within `limits`. At the end, open requests get `drain` to finish.
    #[must_use]
    pub fn new(
        app: App,
        passing: Passing,
        limits: ProxyLimits,
        (shutdown, drain): (Shutdown, Duration),
    ) -> Self {
        Self {
            app,
            passing: Arc::new(passing),
            limits,
            shutdown,
            drain,
            seats: Arc::new(Seats::within(limits)),
            tasks: TaskTracker::new(),
            cut: CancellationToken::new(),
        }
    }

    /// Serves every client of `listeners` until it is told to end: then takes no more, lets open requests
    /// finish, and cuts what is left.
    pub async fn serve(self, listeners: Vec<Listener>) -> Drained {
        let proxy = Arc::new(self);
        let mut doors = JoinSet::new();
        for listener in listeners {
            doors.spawn(Arc::clone(&proxy).take(listener));
        }
        while doors.join_next().await.is_some() {}
        proxy.drain().await
    }

    async fn take(self: Arc<Self>, listener: Listener) {
        loop {
            let accepted = tokio::select! {
                () = self.shutdown.ending() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.open(stream, peer),
                Err(error) => {
                    tracing::warn!(kind = %error.kind(), "the proxy cannot accept");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn open(&self, stream: Accepted, peer: Peer) {
        let (seat, leave) = self.seats.stranger();
        let visit = Visit::new(
            (self.app.clone(), Arc::clone(&self.passing), self.limits),
            (peer, seat),
            self.shutdown.clone(),
        );
        let cut = self.cut.clone();
        self.tasks.spawn(async move {
            let visiting = async {
                match stream {
                    Accepted::Tcp(stream) => visit.run(stream, leave).await,
                    Accepted::Unix(stream) => visit.run(stream, leave).await,
                    // The proxy has no such listener: TLS to it would hide nothing on this machine.
                    Accepted::Tls(..) => {}
                }
            };
            tokio::select! {
                () = visiting => {}
                () = cut.cancelled() => {}
            }
        });
    }

    async fn drain(&self) -> Drained {
        self.tasks.close();
        tokio::select! {
            () = self.tasks.wait() => {}
            () = sleep(self.drain) => {}
            () = self.shutdown.cutting() => {}
        }
        let cut = self.tasks.len();
        self.cut.cancel();
        if timeout(Duration::from_secs(1), self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("a connection to the proxy did not end when it was cut");
        }
        Drained { cut }
    }
}
