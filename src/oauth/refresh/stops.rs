//! Where tests stop a refresh dead (R5): one of their own process by `Stops`, a broker's by
//! [`failpoint`](crate::failpoint). In what ships nothing can.

use crate::failpoint::Failpoint;
use crate::id::ConnectionId;
use crate::oauth::accounts::Accounts;

/// Told at each of a refresh's places. One that never returns is a crash at that place.
#[cfg(test)]
pub(in crate::oauth) trait Stops: Send + Sync + std::fmt::Debug {
    /// The refresh of `connection` is at `place`.
    fn at(
        &self,
        place: Failpoint,
        connection: ConnectionId,
    ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

impl Accounts {
    #[cfg(test)]
    pub(super) async fn stop_at(&self, place: Failpoint, connection: ConnectionId) {
        if let Some(stops) = &self.stops {
            stops.at(place, connection).await;
        }
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "in tests it stops there")]
    pub(super) fn stop_at(&self, place: Failpoint, _: ConnectionId) -> std::future::Ready<()> {
        crate::failpoint::reached(place);
        std::future::ready(())
    }
}
