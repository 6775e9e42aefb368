//! The one way from here to a provider: through egress, once, with a limit on everything.
//!
//! No redirect is followed (T3: egress never does). An exchange has one deadline, from the first look
//! at the host's address to the last byte of the answer, and a cap on the bytes that are kept (T4).
//! Cleartext goes only into ranges of addresses that the operator named for providers of their own.

use std::time::Duration;

use http_body_util::BodyExt;
use ipnet::IpNet;
use tokio::time::timeout;

use super::token::{NoReply, Reply, TokenRequest};
use crate::egress::{Egress, EgressError, Incoming, Private};
use crate::id::OrgId;

/// The longest that any exchange with a provider takes.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Sends requests to providers.
#[derive(Clone, Debug)]
pub struct Outbound {
    egress: Egress,
    private: Private,
}

/// Nothing came back that could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The request did not leave: sending it again is safe.
    Unsent(NoReply),
    /// It may have arrived, and been acted upon.
    Unknown(NoReply),
}

impl Silence {
    /// What happened.
    #[must_use]
    pub const fn kind(self) -> NoReply {
        match self {
            Self::Unsent(kind) | Self::Unknown(kind) => kind,
        }
    }
}

impl Outbound {
    /// Goes out through `egress`; besides public addresses into the `private` ranges.
    #[must_use]
    pub fn new(egress: Egress, private: &[IpNet]) -> Self {
        let private = if private.is_empty() {
            Private::Nowhere
        } else {
            Private::Granted(private.to_vec())
        };
        Self { egress, private }
    }

    /// Sends `request` on behalf of an organisation, and reads the whole answer.
    ///
    /// # Errors
    /// [`Silence`]: whether it may have arrived is the difference.
    pub async fn send(&self, org: OrgId, request: TokenRequest) -> Result<Reply, Silence> {
        let accepts = request.accepts;
        let egress = self.egress.for_org(org);
        let mut left = false;
        let exchange = async {
            let target = egress.admit(request.url.clone(), &self.private).await?;
            let peer = egress.connect(target).await?;
            let outgoing = request.outgoing().map_err(|_| EgressError::HeaderValue)?;
            left = true;
            let incoming = peer.send(outgoing).await?;
            read(incoming, accepts.max_body).await
        };
        let ended = timeout(accepts.timeout.min(DEADLINE), exchange).await;
        match ended {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) if left => Err(Silence::Unknown(NoReply::from(&error))),
            Ok(Err(error)) => Err(Silence::Unsent(NoReply::from(&error))),
            Err(_) if left => Err(Silence::Unknown(NoReply::Timeout)),
            Err(_) => Err(Silence::Unsent(NoReply::Timeout)),
        }
    }
}

async fn read(incoming: Incoming, max_body: usize) -> Result<Reply, EgressError> {
    let Incoming {
        status,
        headers,
        mut body,
        ..
    } = incoming;
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame?.into_data() else {
            continue;
        };
        if bytes.len().saturating_add(piece.len()) > max_body {
            return Err(EgressError::TooLarge);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Reply::new(status, &headers, std::mem::take(&mut *bytes)))
}
