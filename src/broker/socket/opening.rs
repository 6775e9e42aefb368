//! Opening a WebSocket by right of a handle.

use std::any::Any;

use http::header::{CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT};

use crate::audit::Event;
use crate::crypto::Random;
use crate::egress::SocketKey;
use crate::vault::{Unsealed, VaultError};

use super::super::execute::Broker;
use super::super::guard::Misplaced;
use super::super::relay::clean;
use super::super::scrub::{BodyIs, scrub_headers};
use super::super::sending::Arrived;
use super::super::{BrokerError, Errand, Holder, Used};
use super::gate::Gate;
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
        held: Box<dyn Any + Send>,
    ) -> Result<Opened, BrokerError> {
        let (gate, key) = beginnings(vault)?;
        let arrived = self.arrived(vault, used, (errand, Some(key)), event, held);
        arrived.await?.opened(gate)
    }

    /// The same by right of the holder's handle.
    ///
    /// # Errors
    /// As [`Broker::relay_socket`].
    pub async fn relay_socket_for(
        &self,
        vault: &Unsealed,
        holder: &Holder,
        errand: Errand,
        event: Event,
        held: Box<dyn Any + Send>,
    ) -> Result<Opened, BrokerError> {
        let (gate, key) = beginnings(vault)?;
        let arrived = self.arrived_by(vault, holder.by(), (errand, Some(key)), event, held);
        arrived.await?.opened(gate)
    }
}

/// What a conversation cannot do without: had before anything is sent, so that none is opened and then not
/// searched.
fn beginnings(vault: &Unsealed) -> Result<(Gate, SocketKey), BrokerError> {
    let random: &dyn Random = vault.random();
    let key = SocketKey::draw(random).map_err(VaultError::Crypto)?;
    // What cannot be searched may have a placeholder anywhere.
    let gate = Gate::blocking().ok_or(Misplaced::Placement)?;
    Ok((gate, key))
}

impl Arrived {
    /// As the WebSocket that the upstream agreed to, in which `gate` lets no placeholder out; as its answer,
    /// if it did not.
    fn opened(mut self, gate: Gate) -> Result<Opened, BrokerError> {
        let Some(upstream) = self.incoming.socket.take() else {
            return self
                .relayed()
                .map(|relayed| Opened::Answer(Box::new(relayed)));
        };
        let Self {
            incoming,
            patterns,
            mut ledger,
            ends,
            held,
        } = self;
        let hits = patterns.hits();
        ledger.answered(incoming.status, &hits);
        let headers = scrub_headers(incoming.headers, &patterns, BodyIs::AsSent, &hits);
        // The upstream agreed with the broker; what it agreed to is no business of the caller's.
        let mut headers = clean(headers.into_map());
        headers.remove(SEC_WEBSOCKET_ACCEPT);
        // Nor has a 101 a body (RFC 9110, 15.2).
        headers.remove(CONTENT_LENGTH);
        let gates = (gate, Gate::masking(&patterns, &hits));
        let socket = RelayedSocket::new((headers, upstream), gates, (ledger, ends), held);
        Ok(Opened::Socket(Box::new(socket)))
    }
}
