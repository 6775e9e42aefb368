//! The last steps of a request by right of a handle: values in, out with it, and what ends it.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::audit::{Outcome, Recorded};
use crate::egress::{Incoming, VerifiedPeer};
use crate::vault::Unsealed;

use super::BrokerError;
use super::answer::NoAnswer;
use super::exchange::cut_off;
use super::execute::Broker;
use super::handle::Handle;
use super::lane::{Loaded, Ready};
use super::relay::{Cut, Ends, Ledger, Relayed};
use super::scrub::Patterns;
use super::socket::Beginnings;
use super::stopped::unused;
use super::upload::Progress;

/// An upstream's answer of which nothing was searched, and what goes on with it.
pub(super) struct Arrived {
    pub(super) incoming: Incoming,
    pub(super) patterns: Patterns,
    pub(super) ledger: Ledger,
    pub(super) ends: Ends,
    /// What a WebSocket begins with, where it was asked for.
    pub(super) beginnings: Option<Beginnings>,
    /// What lives as long as the exchange does.
    pub(super) held: Box<dyn std::any::Any + Send>,
}

impl Broker {
    /// Opens, places, and sends.
    pub(super) async fn sent(
        &self,
        vault: &Unsealed,
        (ready, beginnings): (Ready<'_>, Option<Beginnings>),
        (recorded, started): (Recorded, Instant),
        mut ends: Ends,
        held: Box<dyn std::any::Any + Send>,
    ) -> Result<Arrived, BrokerError> {
        let loaded = {
            let loading = pin!(self.load(ready, &recorded));
            tokio::select! {
                biased;
                cut = &mut ends => Err(cut_off(cut)),
                loaded = loading => loaded.map_err(BrokerError::from),
            }
        };
        let Loaded {
            outgoing,
            peer,
            patterns,
            lent,
            kept,
            progress,
        } = match loaded {
            Ok(loaded) => loaded,
            Err(error) => return Err(unused(recorded, error)),
        };
        let outgoing = match &beginnings {
            Some(beginnings) => outgoing.to_socket(beginnings.key()),
            None => outgoing,
        };
        let mut ledger = Ledger::new(recorded, started, Arc::clone(&progress.sent));
        let answered = tokio::select! {
            biased;
            cut = &mut ends => Err(cut_off(cut)),
            answered = send(peer, outgoing, &progress) => answered,
        };
        let incoming = match answered {
            Ok(incoming) => incoming,
            Err(error) => {
                ledger.close(Outcome::failed(error.code()));
                return Err(error);
            }
        };
        if let Some(recorded) = ledger.recorded() {
            let tokens = (lent, kept);
            self.answered(vault, &tokens, incoming.status, recorded)
                .await;
        }
        Ok(Arrived {
            incoming,
            patterns,
            ledger,
            ends,
            beginnings,
            held,
        })
    }
}

impl Arrived {
    /// As an answer whose body is searched as it streams.
    pub(super) fn relayed(self) -> Result<Relayed, BrokerError> {
        let Self {
            incoming,
            patterns,
            ledger,
            ends,
            held,
            ..
        } = self;
        Ok(Relayed::new(incoming, &patterns, ledger, ends, held)?)
    }
}

async fn send(
    peer: VerifiedPeer,
    outgoing: crate::egress::Outgoing,
    progress: &Progress,
) -> Result<Incoming, BrokerError> {
    peer.send(outgoing)
        .await
        .map_err(|error| match progress.refused.get() {
            Some(refused) => refused.error(),
            None => BrokerError::NoAnswer(NoAnswer::Egress(error)),
        })
}

/// Completes when an exchange must end. Keeps neither the vault open nor the handle alive.
pub(super) fn ends(vault: &Unsealed, handle: &Handle, patience: Duration) -> Ends {
    let (closing, ending) = (vault.closing(), handle.ending());
    Box::pin(async move {
        tokio::select! {
            () = closing.called() => Cut::Sealed,
            () = ending.cancelled() => Cut::Handle,
            () = tokio::time::sleep(patience) => Cut::Late,
        }
    })
}
