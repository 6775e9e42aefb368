//! Where tests stop a refresh dead (R5). Outside of tests nothing can, and nothing of it is compiled in.

use crate::id::ConnectionId;
use crate::oauth::accounts::Accounts;

/// The places, in the order of a refresh. Names as in the manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::oauth) enum Point {
    /// Before the attempt is written.
    P1,
    /// After it was.
    P2,
    /// Before the request is sent.
    P3,
    /// After the answer arrived.
    P4,
    /// Before the new tokens are committed.
    P5,
    /// After they were.
    P6,
    /// Before callers are told.
    P7,
}

/// Told at each [`Point`]. One that never returns is a crash at that place.
#[cfg(test)]
pub(in crate::oauth) trait Stops: Send + Sync + std::fmt::Debug {
    /// The refresh of `connection` is at `point`.
    fn at(
        &self,
        point: Point,
        connection: ConnectionId,
    ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

impl Accounts {
    #[cfg(test)]
    pub(super) async fn stop_at(&self, point: Point, connection: ConnectionId) {
        if let Some(stops) = &self.stops {
            stops.at(point, connection).await;
        }
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "in tests it stops there")]
    pub(super) fn stop_at(&self, _: Point, _: ConnectionId) -> std::future::Ready<()> {
        std::future::ready(())
    }
}
