//! Opening a WebSocket by right of a handle.

use std::time::Duration;

use http::header::{CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT};

use crate::crypto::Random;
use crate::egress::SocketKey;
use crate::vault::{Unsealed, VaultError};

use super::super::guard::Misplaced;
use super::super::relay::clean;
use super::super::scrub::{BodyIs, scrub_headers};
use super::super::sending::Arrived;
use super::super::{BrokerError, LaneLimits};
use super::gate::Gate;
use super::{Handshake, Opened, RelayedSocket};

/// What a conversation cannot do without: had before anything is sent, so that none is opened and then not
/// searched.
pub(in crate::broker) struct Beginnings {
    key: SocketKey,
    gate: Gate,
    handshake: Handshake,
    idle: Duration,
}

impl Beginnings {
    /// What the WebSocket begins with that `handshake` asks for.
    pub(in crate::broker) fn of(
        vault: &Unsealed,
        handshake: Handshake,
        limits: &LaneLimits,
    ) -> Result<Self, BrokerError> {
        let random: &dyn Random = vault.random();
        Ok(Self {
            key: SocketKey::draw(random).map_err(VaultError::Crypto)?,
            // What cannot be searched may have a placeholder anywhere.
            gate: Gate::blocking().ok_or(Misplaced::Placement)?,
            handshake,
            idle: limits.socket_idle,
        })
    }

    /// The broker's own key for the upstream.
    pub(in crate::broker) fn key(&self) -> SocketKey {
        self.key.clone()
    }
}

impl Arrived {
    /// As the WebSocket that the upstream agreed to; as its answer, if it did not, or was not asked.
    pub(in crate::broker) fn opened(mut self) -> Result<Opened, BrokerError> {
        let agreed = self.incoming.socket.take();
        let Some((upstream, beginnings)) = agreed.zip(self.beginnings.take()) else {
            return Ok(Opened::Answer(Box::new(self.relayed()?.guarded())));
        };
        let Self {
            incoming,
            patterns,
            mut ledger,
            ends,
            held,
            ..
        } = self;
        let hits = patterns.hits();
        ledger.answered(incoming.status, &hits);
        let headers = scrub_headers(incoming.headers, &patterns, BodyIs::AsSent, &hits);
        // The upstream agreed with the broker; what it agreed to is no business of the caller's.
        let mut headers = clean(headers.into_map());
        headers.remove(SEC_WEBSOCKET_ACCEPT);
        // Nor has a 101 a body (RFC 9110, 15.2).
        headers.remove(CONTENT_LENGTH);
        beginnings.handshake.agree(&mut headers);
        let gates = (beginnings.gate, Gate::masking(&patterns, &hits));
        let socket = RelayedSocket {
            headers,
            upstream,
            gates,
            ledger,
            ends,
            idle: beginnings.idle,
            _held: held,
        };
        Ok(Opened::Socket(Box::new(socket)))
    }
}
