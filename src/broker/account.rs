//! The last place where a credential is looked for: the caller's connected account.
//!
//! Which account is a decision of its caller's: the one that is named, the default, the only one; never
//! a guess among several. Looking refreshes nothing. The token is lent, fresh, when the call is ready
//! but for its connection, and goes to the hosts of the provider's API only, over https (T11).

use std::sync::Arc;

use crate::audit::Recorded;
use crate::clock::Timestamp;
use crate::id::ConnectionId;
use crate::name::{FieldName, HostPattern, ProviderId};
use crate::oauth::connection::{Connection, MAIN};
use crate::oauth::provider::Provider;
use crate::oauth::{AccessFault, Accounts, Lent, Pick};
use crate::policy::Principal;
use crate::tools::{Binding, OAuthSpec, Scheme, Slot};
use crate::vault::Unsealed;

use super::{BrokerError, Misfit};

/// An account that can fill a field.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) connection: Arc<Connection>,
    pub(super) set: String,
    pub(super) hosts: Vec<HostPattern>,
    /// When its token ends by itself, where nothing refreshes it.
    pub(super) until: Option<Timestamp>,
    provider: Arc<Provider>,
}

/// Why none can, as a word for an explanation and as what a run is refused with.
pub(super) struct Unfit {
    pub(super) outcome: &'static str,
    pub(super) refusal: BrokerError,
}

fn unfit(refusal: BrokerError) -> Unfit {
    Unfit {
        outcome: refusal.code(),
        refusal,
    }
}

/// Looks for the account that fills a field with `member` of its token answer.
pub(super) async fn look(
    vault: &Unsealed,
    accounts: &Accounts,
    principal: &Principal,
    (spec, member): (&OAuthSpec, &str),
    named: Option<&str>,
) -> Result<Result<Chosen, Unfit>, BrokerError> {
    let id = spec.provider.clone();
    let who = (principal.org(), principal.user());
    let misfit = |misfit| {
        let provider = spec.provider.clone();
        Ok(Err(unfit(BrokerError::Misfit { provider, misfit })))
    };
    let Some(provider) = accounts.catalog().get(&id).cloned() else {
        return misfit(Misfit::Provider);
    };
    let connection = match accounts.pick(vault, who, &id, named).await? {
        Pick::One(connection) => connection,
        Pick::None if named.is_some() => {
            let refusal = BrokerError::AccountUnavailable { provider: id };
            return Ok(Err(unfit(refusal)));
        }
        Pick::None => {
            let refusal = BrokerError::NeedsConnect {
                scopes: beyond(&provider, spec),
                provider: id,
                secret: None,
            };
            let outcome = "no_connection";
            return Ok(Err(Unfit { outcome, refusal }));
        }
        Pick::Ambiguous => return Ok(Err(unfit(BrokerError::AmbiguousAccount { provider: id }))),
    };
    let Some(set) = set_of(&connection, member) else {
        return misfit(Misfit::Token);
    };
    let until = match accounts.until(vault, connection.id, &set).await? {
        Ok(until) => until,
        Err(over) => {
            let refusal = refusal(id, connection.id, over, vault.now());
            return Ok(Err(unfit(refusal)));
        }
    };
    let lacks = |scope: &&String| !connection.scopes.contains(scope);
    let missing: Vec<_> = spec.scopes.iter().filter(lacks).cloned().collect();
    if !missing.is_empty() {
        let refusal = BrokerError::MissingScopes {
            provider: id,
            connection: connection.id,
            missing,
        };
        return Ok(Err(unfit(refusal)));
    }
    let hosts = provider.api_hosts(&connection.bound).unwrap_or_default();
    if hosts.is_empty() {
        return misfit(Misfit::ApiHost);
    }
    Ok(Ok(Chosen {
        connection,
        set,
        hosts,
        until,
        provider,
    }))
}

/// What a tool needs beyond what a connection always has.
fn beyond(provider: &Provider, spec: &OAuthSpec) -> Vec<String> {
    let always = &provider.spec().scopes;
    let has = |scope: &&String| always.default.contains(scope) || always.required.contains(scope);
    spec.scopes
        .iter()
        .filter(|scope| !has(scope))
        .cloned()
        .collect()
}

/// `access_token` is the main set's, `user_access_token` that of the set `user`.
fn set_of(connection: &Connection, member: &str) -> Option<String> {
    let name = match member.strip_suffix("access_token")? {
        "" => MAIN,
        named => named.strip_suffix('_')?,
    };
    let found = connection.sets.iter().find(|set| *set == name);
    found.cloned()
}

impl Chosen {
    /// Whether a binding may carry its token: over https (in clear only to a provider that the operator
    /// placed in a range of their own), never in a query, where it would end up in logs (RFC 6750, 2.3);
    /// and by a tool that nobody but its writer vouches for only as a credential, in a header: what
    /// becomes part of a document can be read there.
    pub(super) fn may_go(&self, binding: &Binding, field: &FieldName, vouched: bool) -> bool {
        let covered = binding.scheme == Scheme::Https || !self.provider.reach().is_public();
        let mut slots = binding.slots.get(field).into_iter().flatten();
        let fit = slots.all(|slot| match slot {
            Slot::Header { .. } | Slot::Basic { .. } => true,
            Slot::Query { .. } => false,
            _ => vouched,
        });
        covered && fit
    }

    /// The token, refreshed where it must be; still sealed.
    pub(super) async fn lend(
        &self,
        vault: &Unsealed,
        accounts: &Arc<Accounts>,
    ) -> Result<Lent, BrokerError> {
        let lent = accounts.lend(vault, self.connection.id, &self.set).await;
        let (provider, now) = (self.provider.id().clone(), vault.now());
        lent.map_err(|fault| refusal(provider, self.connection.id, fault, now))
    }
}

/// What an API's answer says of these tokens. One that it refused is refreshed, or looked at, before it is
/// lent again. The call is not repeated, as it may have done something.
pub(super) async fn answered(
    vault: &Unsealed,
    accounts: &Arc<Accounts>,
    (tokens, status): (&[Lent], u16),
    recorded: &Recorded,
) {
    for lent in tokens {
        let noted = match status {
            // The credential is no good (RFC 6750, 3.1).
            401 => accounts.access_refused(vault, lent, recorded).await,
            200..=299 => accounts.access_worked(vault, lent, recorded).await,
            _ => Ok(()),
        };
        if let Err(error) = noted {
            tracing::warn!(%error, "what an API said of a token could not be written down");
        }
    }
}

/// What a run is refused with when there is no token.
fn refusal(
    provider: ProviderId,
    connection: ConnectionId,
    fault: AccessFault,
    now: Timestamp,
) -> BrokerError {
    let why = fault.code();
    let again_s = match &fault {
        AccessFault::Unavailable { again: Some(again) } => {
            // Whole seconds, upwards: whoever comes then is not a moment early.
            let millis = again.millis_since(now).max(1).unsigned_abs();
            Some(millis.div_ceil(1000))
        }
        _ => None,
    };
    match fault {
        AccessFault::Vault(error) => error.into(),
        AccessFault::Gone => BrokerError::NeedsConnect {
            scopes: Vec::new(),
            provider,
            secret: None,
        },
        AccessFault::Reauth(_) | AccessFault::Ended => BrokerError::NeedsReauth {
            provider,
            connection,
            why,
        },
        AccessFault::Client | AccessFault::Unavailable { .. } => BrokerError::TokenUnavailable {
            provider,
            why,
            again_s,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::refusal;
    use crate::broker::{BrokerError, Misfit};
    use crate::clock::Timestamp;
    use crate::id::ConnectionId;
    use crate::name::ProviderId;
    use crate::oauth::AccessFault;

    #[test]
    fn who_must_wait_hears_for_how_long_and_who_cannot_be_helped_by_waiting_does_not() {
        let provider = ProviderId::parse("issuer").unwrap();
        let (now, id) = (
            Timestamp::from_millis(1_000_000),
            ConnectionId::from_bytes([7; 16]),
        );
        let again_s = |again| {
            let fault = AccessFault::Unavailable { again };
            match refusal(provider.clone(), id, fault, now) {
                BrokerError::TokenUnavailable { again_s, .. } => again_s,
                other => panic!("{other}"),
            }
        };
        assert_eq!(again_s(Some(now.plus_millis(90_001))), Some(91));
        assert_eq!(again_s(Some(now.plus_millis(-5))), Some(1));
        assert_eq!(again_s(None), None);
        for (misfit, code, next) in [
            (Misfit::Provider, "no_such_provider", "oauth.providers_dir"),
            (Misfit::Token, "no_such_token", "credentials.oauth"),
            (Misfit::ApiHost, "no_api_host", "[api] hosts"),
        ] {
            let provider = provider.clone();
            let error = BrokerError::Misfit { provider, misfit };
            assert_eq!(error.code(), code);
            let (hint, text) = (error.hint(), error.to_string());
            assert!(hint.contains(next), "{hint}");
            assert!(!hint.contains("Try again"), "{hint}");
            assert!(!text.contains("for now"), "{text}");
        }
    }
}
