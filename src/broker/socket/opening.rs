//! Opening a WebSocket by right of a handle.

use http::header::{CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT};

use crate::audit::Event;
use crate::crypto::Random;
use crate::egress::SocketKey;
use crate::vault::{Unsealed, VaultError};

use super::super::execute::Broker;
use super::super::relay::clean;
use super::super::scrub::{BodyIs, scrub_headers};
use super::super::sending::Arrived;
use super::super::{BrokerError, Errand, Used};
use super::{Opened, RelayedSocket};

impl Broker {
    /// Opens a WebSocket by right of a handle, in all else as [`Broker::relay`]; `held` is dropped when the
    /// conversation is over.
    ///
    /// # Errors
    /// As [`Broker::relay`]; [`UpstreamProtocol`](crate::egress::EgressError::UpstreamProtocol) too when the
    /// upstream agrees to something else than what it was asked.
    pub async fn relay_socket(
        &self,
        vault: &Unsealed,
        used: Used<'_>,
        errand: Errand,
        event: Event,
        held: Box<dyn std::any::Any + Send>,
    ) -> Result<Opened, BrokerError> {
        let random: &dyn Random = vault.random();
        let key = SocketKey::draw(random).map_err(VaultError::Crypto)?;
        let arrived = self.arrived(vault, used, (errand, Some(key)), event, held);
        let mut arrived = arrived.await?;
        let Some(upstream) = arrived.incoming.socket.take() else {
            return arrived
                .relayed()
                .map(|relayed| Opened::Answer(Box::new(relayed)));
        };
        let Arrived {
            incoming,
            patterns,
            mut ledger,
            ends,
            held,
        } = arrived;
        let hits = patterns.hits();
        ledger.answered(incoming.status, &hits);
        let headers = scrub_headers(incoming.headers, &patterns, BodyIs::AsSent, &hits);
        // The upstream agreed with the broker; what it agreed to is no business of the caller's.
        let mut headers = clean(headers.into_map());
        headers.remove(SEC_WEBSOCKET_ACCEPT);
        // Nor has a 101 a body (RFC 9110, 15.2).
        headers.remove(CONTENT_LENGTH);
        let socket =
            RelayedSocket::new((headers, upstream), (patterns, hits), (ledger, ends), held);
        Ok(Opened::Socket(Box::new(socket)))
    }
}
