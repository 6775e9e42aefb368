//! What the egress proxy shares with the API: one count of who runs how much, one way to refuse.

use std::any::Any;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use crate::audit::{Action, Actor, Event};
use crate::broker::{Broker, BrokerError, HandleFault, Holder, Holding, Misplaced};
use crate::egress::EgressError;
use crate::vault::{Unsealed, VaultError};
use crate::wire;

use super::caller::stamp;
use super::error::{capital, go_with};
use super::limits::Door;
use super::serve::Peer;
use super::{ApiError, App, request};

/// Runs `work` as a request that came from `peer`, so that it has an id by which it is found.
///
/// # Errors
/// [`ApiError::internal`] without randomness.
pub(crate) async fn as_request<F: Future>(peer: Peer, work: F) -> Result<F::Output, ApiError> {
    let id = request::new_id().ok_or_else(ApiError::internal)?;
    let from = match peer {
        Peer::Tcp { addr, .. } => Some(addr.ip().to_canonical()),
        Peer::Unix { .. } => None,
    };
    Ok(request::within(id, (from, None), work).await)
}

/// An event of the holder's, in the request that runs.
pub(crate) fn event_of(vault: &Unsealed, holder: &Holder, action: Action) -> Event {
    stamp(holder.event(vault, action))
}

impl App {
    /// The vault.
    ///
    /// # Errors
    /// [`VaultError::Sealed`].
    pub(crate) fn vault(&self) -> Result<Unsealed, VaultError> {
        self.lifecycle.gate().unsealed()
    }

    /// The broker.
    pub(crate) fn lanes(&self) -> &Broker {
        &self.broker
    }

    /// Counts a request before it is known who sends it.
    ///
    /// # Errors
    /// 429 `rate_limited`.
    pub(crate) fn knocked(&self, peer: Peer) -> Result<(), ApiError> {
        self.rates
            .source(Some(peer), Door::Proxy)
            .inspect_err(|_| self.meter.rate_limited("source"))
    }

    /// Counts a request that shows no handle, where it was not counted before.
    ///
    /// # Errors
    /// 429 `rate_limited`.
    pub(crate) fn strange(&self, peer: Peer) -> Result<(), ApiError> {
        self.rates
            .stranger(Some(peer), Door::Proxy)
            .inspect_err(|_| self.meter.rate_limited("source"))
    }

    /// Counts a request of the holder's.
    ///
    /// # Errors
    /// 429 `rate_limited`.
    pub(crate) fn counted(&self, holder: &Holder) -> Result<(), ApiError> {
        self.rates
            .principal(holder.principal())
            .inspect_err(|_| self.meter.rate_limited("principal"))
    }

    /// Lets a call of the holder's begin. It runs until what is returned is dropped.
    ///
    /// # Errors
    /// 429 `too_many_running`.
    pub(crate) fn began(&self, holder: &Holder) -> Result<Box<dyn Any + Send>, ApiError> {
        let turn = self.running.enter(holder.principal())?;
        Ok(Box::new(turn))
    }

    /// Tells the meter how a call of the proxy's ended.
    pub(crate) fn metered(&self, status: Result<u16, ()>) {
        self.meter.execution(match status {
            Ok(status) if status < 400 => "success",
            Ok(_) => "failed",
            Err(()) => "refused",
        });
    }

    /// Counts and writes down that somebody sent no handle of the proxy's. As with keys, what comes too
    /// often fills no journal.
    ///
    /// # Errors
    /// 429 `rate_limited` for one too many; or when the journal fails.
    pub(crate) async fn no_handle(
        &self,
        vault: &Unsealed,
        peer: Peer,
        holding: &Holding,
    ) -> Result<(), ApiError> {
        self.meter.auth_failed("handle", "unknown");
        self.rates
            .failure(Some(peer))
            .inspect_err(|_| self.meter.rate_limited("failure"))?;
        let event = stamp(Event::new(Action::AuthFailed, Actor::Unknown));
        let event = holding.state(event).denied("handle_unknown");
        vault.journal().note(event).await?;
        Ok(())
    }

    /// What the holder hears when a request is refused. Who guesses, slows down.
    pub(crate) fn refused(&self, holder: &Holder, error: BrokerError) -> ApiError {
        let guess = matches!(
            error,
            BrokerError::Handle(HandleFault::Unknown) | BrokerError::Misplaced(Misplaced::Unknown)
        );
        if guess && let Err(slower) = self.misses.count(holder.principal().user()) {
            self.meter.rate_limited("handle");
            return slower;
        }
        error.into()
    }
}

/// A phrase of ours as a sentence.
pub(crate) fn sentence(phrase: &str) -> String {
    capital(phrase)
}

impl ApiError {
    /// A target that has no one reading, or a method that is not sent.
    pub(crate) fn target(error: EgressError) -> Self {
        let status = match error {
            EgressError::Method => StatusCode::METHOD_NOT_ALLOWED,
            _ => StatusCode::BAD_REQUEST,
        };
        let (code, message, hint) = (error.code(), error.to_string(), error.hint());
        Self::new(status, code, capital(&message), capital(hint))
    }

    /// The failure as an answer, in the same words as the API's.
    pub(crate) fn told(self) -> Response<Full<Bytes>> {
        let (status, after) = (self.status(), self.waits());
        let failure = wire::Failure {
            error: self.detail(),
        };
        let body = serde_json::to_vec(&failure).unwrap_or_default();
        let mut answer = Response::new(Full::new(Bytes::from(body)));
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        go_with(status, after, headers);
        answer
    }
}
