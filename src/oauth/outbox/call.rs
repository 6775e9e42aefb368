//! What is said to a provider so that it ends a grant, and what it answers.

use super::super::accounts::Accounts;
use super::super::client;
use super::super::connection::{Connection, Revocation, Roster, Upstream};
use super::super::outbound::Silence;
use super::super::provider::Provider;
use super::super::refresh::{NoTurn, door};
use super::super::token::{
    Revocation as Answer, RevokeRequest, Standing, Subject, Told, Via, read_revocation,
    revoke_requests, revokes_alone,
};
use super::super::tokens;
use crate::audit::Recorded;
use crate::crypto::Owner;
use crate::vault::{Unsealed, VaultError};

/// How one round of requests ended.
pub(in crate::oauth) enum Round {
    Ended(Upstream),
    Again { after: Option<i64> },
}

impl Accounts {
    pub(super) async fn call_revoke(
        &self,
        vault: &Unsealed,
        (roster, revocation): (&Roster, &Revocation),
        recorded: &Recorded,
    ) -> Result<Round, VaultError> {
        let connection = &revocation.connection;
        let org = vault.org(connection.org)?;
        let Some(provider) = self.provider(&connection.provider) else {
            return Ok(Round::Ended(Upstream::Failed));
        };
        // As it stands at this try: the account may have been connected again since (V4).
        let family = self.catalog.family(&connection.provider);
        let standing = if roster.shares_grant(connection, &family) {
            Standing::Shared
        } else {
            Standing::Last
        };
        if standing == Standing::Shared && !revokes_alone(&provider) {
            return Ok(Round::Ended(none_alone(&provider)));
        }
        let by = client::reopen(vault, &org, provider.id(), &connection.client, recorded).await;
        let by = match by {
            Ok(by) => by,
            Err(client::ClientError::Vault(error)) => return Err(error),
            Err(_) => return Ok(Round::Ended(Upstream::Failed)),
        };
        let now = vault.now();
        let bound = &connection.bound;
        let found = self
            .endpoints(connection.org, (&provider, bound), now)
            .await;
        let Ok(endpoints) = found else {
            return Ok(Round::Again { after: None });
        };
        let via = by.via(&provider, bound, (endpoints.as_deref(), now));
        let mut upstream = None;
        for set in &connection.sets {
            let owner = Owner::user(connection.user);
            let Some(sealed) = tokens::find(vault, (&org, owner), connection.id, set).await? else {
                continue;
            };
            let tokens = sealed.open(recorded)?;
            let Ok(requests) = revoke_requests(&via, &tokens.held(), standing) else {
                upstream = Some(Upstream::Failed);
                continue;
            };
            match self.send_all(connection, &via, requests, vault).await {
                Round::Ended(end) => upstream = Some(worse(upstream, end)),
                again @ Round::Again { .. } => return Ok(again),
            }
        }
        Ok(Round::Ended(upstream.unwrap_or(Upstream::Unsupported)))
    }

    /// Sends a set's requests in their order.
    pub(in crate::oauth) async fn send_all(
        &self,
        connection: &Connection,
        via: &Via<'_>,
        requests: Vec<RevokeRequest>,
        vault: &Unsealed,
    ) -> Round {
        if requests.is_empty() {
            return Round::Ended(Upstream::Unsupported);
        }
        let (mut upstream, mut try_other) = (None, false);
        for request in requests {
            if request.fallback && !try_other {
                continue;
            }
            let host = door(via.provider, connection);
            let now = vault.now();
            let turn = match self.paces.enter(&host, None, now) {
                Ok(turn) => turn,
                Err(NoTurn::Busy) => return Round::Again { after: None },
                Err(NoTurn::Resting(until)) => {
                    let after = Some(until.millis_since(now));
                    return Round::Again { after };
                }
            };
            let sent = self.outbound.send(connection.org, request.prepared).await;
            let now = vault.now();
            let told = match &sent {
                Ok(reply) => {
                    turn.answered();
                    Told::Reply {
                        reply,
                        subject: Subject::Token,
                    }
                }
                Err(Silence::Unsent(kind) | Silence::Unknown(kind)) => {
                    turn.failed(now);
                    Told::NoReply(*kind)
                }
            };
            try_other = false;
            match read_revocation(via.provider, request.step, told, now) {
                Answer::Revoked => upstream = Some(worse(upstream, Upstream::Revoked)),
                Answer::Unsupported => upstream = Some(worse(upstream, Upstream::Unsupported)),
                Answer::Failed { .. } => upstream = Some(worse(upstream, Upstream::Failed)),
                Answer::TryOther => try_other = true,
                Answer::Retry { after } => {
                    let after = after.and_then(|after| i64::try_from(after.as_millis()).ok());
                    return Round::Again { after };
                }
            }
        }
        let nothing = if try_other {
            Upstream::Failed
        } else {
            Upstream::Unsupported
        };
        Round::Ended(upstream.unwrap_or(nothing))
    }
}

/// What is said of a provider that does not revoke one connection's tokens alone.
pub(in crate::oauth) fn none_alone(provider: &Provider) -> Upstream {
    if provider.spec().revoke.is_empty() {
        Upstream::Unsupported
    } else {
        Upstream::Shared
    }
}

/// Of several answers, the one that a person must know of.
pub(in crate::oauth) fn worse(one: Option<Upstream>, other: Upstream) -> Upstream {
    let rank = |upstream: Upstream| match upstream {
        Upstream::Revoked => 0,
        Upstream::Unsupported => 1,
        Upstream::Shared => 2,
        Upstream::Pending => 3,
        Upstream::Failed => 4,
    };
    one.filter(|one| rank(*one) > rank(other)).unwrap_or(other)
}
