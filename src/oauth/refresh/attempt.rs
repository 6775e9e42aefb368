//! One refresh, from the look at what stands there to the commit of what came back.

use std::sync::Arc;
use std::time::Instant;

use crate::audit::{Action, Code, Outcome, Recorded};
use crate::clock::Timestamp;
use crate::failpoint::Failpoint;
use crate::oauth::accounts::{Accounts, write_state};
use crate::oauth::client::{self, Client, ClientError, ClientOwner, ClientShelf};
use crate::oauth::connection::{Attempt, Connection, Kept, Roster, SetKey, TokenState};
use crate::oauth::event;
use crate::oauth::outbound::{DEADLINE, Silence};
use crate::oauth::provider::Provider;
use crate::oauth::provider::spec::Rotates;
use crate::oauth::token::{
    Class, NoReply, Reply, Subject, TokenReply, Told, Verdict, classify, read_tokens,
    refresh_request,
};
use crate::oauth::tokens::{SealedTokens, TokenSet};
use crate::store::StoreError;
use crate::vault::{Unsealed, VaultError};

use super::ending::Ended;
use super::pace::{NoTurn, Turn};
use super::plan::{self, is_graced};

/// How often a turn at a busy provider is asked for.
const TURN_EVERY: std::time::Duration = std::time::Duration::from_millis(20);

/// Everything that one refresh is about.
pub(super) struct Subjects<'a> {
    pub(super) vault: &'a Unsealed,
    pub(super) roster: &'a Roster,
    pub(super) provider: &'a Provider,
    pub(super) connection: Kept<Connection>,
    pub(super) recorded: &'a Recorded,
}

/// What was sent, and what was known then.
pub(super) struct Sent {
    /// The state with the attempt in it.
    pub(super) state: Kept<TokenState>,
    /// The tokens that were sent.
    pub(super) old: TokenSet,
    /// When.
    pub(super) at: Timestamp,
    /// Whether an attempt before this one was never seen to end.
    pub(super) lost: bool,
    /// When the client that it was sent with had been set.
    pub(super) client_set: Option<Timestamp>,
    /// That client, once it is open.
    pub(super) client: Option<Arc<Client>>,
}

/// How the exchange went.
pub(super) enum Exchange {
    Granted(Box<TokenReply>),
    Not(NotGranted),
}

/// Why it brought no tokens that are kept.
pub(super) enum NotGranted {
    /// `unseen`: the provider may have acted on the request, and nobody saw its answer.
    Failed { verdict: Verdict, unseen: bool },
    /// Tokens of another account, or in another issuer's name. They are in the outbox.
    Foreign,
    /// Nothing was sent, for the client's sake or the file's.
    NotSent(&'static str),
}

impl From<NotGranted> for Exchange {
    fn from(why: NotGranted) -> Self {
        Self::Not(why)
    }
}

impl Accounts {
    /// Refreshes a token set, if that is due or wanted and may be. What came of it is in the roster.
    pub(super) async fn refresh(self: Arc<Self>, vault: Unsealed, key: SetKey) {
        let started = Instant::now();
        match self.try_refresh(&vault, &key).await {
            Ok(None) => {}
            Ok(Some((provider, class))) => {
                self.meter.refreshed(&provider, class, started.elapsed());
            }
            Err(error) => tracing::warn!(%error, "a refresh could not be recorded or stored"),
        }
    }

    async fn try_refresh(
        &self,
        vault: &Unsealed,
        key: &SetKey,
    ) -> Result<Option<(crate::name::ProviderId, &'static str)>, VaultError> {
        let roster = self.roster(vault).await?;
        let (Some(connection), Some(state)) = (roster.connection(key.0), roster.state(key)) else {
            return Ok(None);
        };
        let id = connection.value.provider.clone();
        let Some(provider) = self.provider(&id) else {
            return Ok(None);
        };
        let now = vault.now();
        let file = &provider.spec().refresh;
        let blocked = plan::not_before(&state.value, file, now);
        let blocked = blocked.is_some_and(|until| until.millis_since(now) > 0);
        if blocked || !plan::can_refresh(&state.value, file) {
            return Ok(None);
        }
        let most = provider.spec().limits.concurrency;
        let host = door(&provider, &connection.value);
        let Some(turn) = self.turn(&host, most, vault).await else {
            return Ok(None);
        };
        let left = state.value.left(now).unwrap_or(0).max(0);
        self.meter
            .refreshed_with_left(std::time::Duration::from_millis(left.unsigned_abs()));
        let event = event::about(vault, Action::OauthRefresh, &connection.value);
        let recorded = vault.journal().record(event).await?;
        let subjects = Subjects {
            vault,
            roster: &roster,
            provider: &provider,
            connection,
            recorded: &recorded,
        };
        let ended = self.run(&subjects, state, &turn).await;
        drop(turn);
        let class = match &ended {
            Ok(Ended::Renewed) => "success",
            Ok(Ended::Superseded) => "superseded",
            Ok(Ended::Failed { class, .. }) => class,
            Err(_) => "not_stored",
        };
        recorded.outcome(match &ended {
            Ok(Ended::Renewed) => Outcome::success(),
            Ok(Ended::Superseded) | Err(_) => Outcome::failed(class),
            Ok(Ended::Failed { class, code }) => Outcome::failed(why(class, code)),
        });
        ended.map(|_| Some((id, class)))
    }

    /// A turn at a provider; waited for while others have theirs, but not while it rests, and not once
    /// refreshes are to end: sealing waits for those that have asked, and has no time for more.
    async fn turn(&self, host: &str, most: Option<u32>, vault: &Unsealed) -> Option<Turn> {
        let began = Instant::now();
        loop {
            let entered = self.paces.enter(host, most, vault.now());
            if self.flights.is_closed() {
                return None;
            }
            match entered {
                Ok(turn) => return Some(turn),
                Err(NoTurn::Busy) if began.elapsed() < DEADLINE => {}
                Err(_) => return None,
            }
            tokio::time::sleep(TURN_EVERY).await;
        }
    }

    async fn run(
        &self,
        about: &Subjects<'_>,
        state: Kept<TokenState>,
        turn: &Turn,
    ) -> Result<Ended, VaultError> {
        let id = about.connection.value.id;
        self.stop_at(Failpoint::RefreshP1, id).await;
        let old = SealedTokens::find(about.vault, &about.connection.value, &state.value).await?;
        // All that may fail without a word to the provider comes before the mark that one was sent.
        let client_set = client_set(about).await?;
        let sent = about.vault.now();
        // Within the grace the old token is good, whatever became of the attempt before: a refusal then is
        // the provider's word, and nothing that we lost.
        let file = &about.provider.spec().refresh;
        let unended = |attempt: &Attempt| !is_graced(file, attempt, sent);
        let lost = state.value.lost || state.value.attempt.as_ref().is_some_and(unended);
        let fence = state.value.fence.saturating_add(1);
        let marked = TokenState {
            fence,
            attempt: Some(Attempt { fence, sent }),
            lost,
            ..(*state.value).clone()
        };
        let written = write_state(about.vault, about.roster, (marked, &state), about.recorded);
        let state = match written.await {
            Ok(state) => state,
            // Forgotten or renewed in between: there is nothing left to refresh.
            Err(VaultError::Store(StoreError::Precondition) | VaultError::NotFound) => {
                return Ok(Ended::Superseded);
            }
            Err(error) => return Err(error),
        };
        self.stop_at(Failpoint::RefreshP2, id).await;
        let mut sent = Sent {
            state,
            old: old.open(about.recorded)?,
            at: sent,
            lost,
            client_set,
            client: None,
        };
        let exchange = self.exchange(about, &mut sent, turn).await?;
        self.stop_at(Failpoint::RefreshP4, id).await;
        match exchange {
            Exchange::Granted(reply) if continues(about, &reply, sent.at) => {
                self.keep(about, sent, *reply).await
            }
            Exchange::Granted(reply) => {
                let foreign = TokenSet::renewed(reply.main, None, false);
                let about_it = (&*sent.state.value.set, sent.client.as_deref());
                self.give_up(about, about_it, foreign).await?;
                self.write_failure(about, sent, NotGranted::Foreign).await
            }
            Exchange::Not(why) => self.write_failure(about, sent, why).await,
        }
    }

    async fn exchange(
        &self,
        about: &Subjects<'_>,
        sent: &mut Sent,
        turn: &Turn,
    ) -> Result<Exchange, VaultError> {
        let connection = &about.connection.value;
        let org = vault_org(about)?;
        let provider = about.provider;
        let by = client::reopen(
            about.vault,
            &org,
            provider.id(),
            &connection.client,
            about.recorded,
        );
        let by = match by.await {
            Ok(by) => Arc::new(by),
            Err(ClientError::Vault(error)) => return Err(error),
            Err(_) => return Ok(NotGranted::NotSent("client_gone").into()),
        };
        sent.client = Some(Arc::clone(&by));
        let bound = &connection.bound;
        let found = self.endpoints(connection.org, (provider, bound), sent.at);
        let Ok(endpoints) = found.await else {
            turn.failed(about.vault.now());
            let verdict = classify(provider, Told::NoReply(NoReply::Connect), sent.at);
            let unseen = false;
            return Ok(NotGranted::Failed { verdict, unseen }.into());
        };
        let via = by.via(provider, bound, (endpoints.as_deref(), sent.at));
        let held = sent.held(sent.at);
        let Ok(request) = refresh_request(&via, &held, &connection.asked) else {
            return Ok(NotGranted::NotSent("request_not_made").into());
        };
        self.stop_at(Failpoint::RefreshP3, connection.id).await;
        let answered = self.outbound.send(connection.org, request).await;
        let now = about.vault.now();
        Ok(match answered {
            Ok(reply) => read(about, &reply, (&*sent, turn), now),
            Err(silence) => {
                turn.failed(now);
                let verdict = classify(provider, Told::NoReply(silence.kind()), now);
                let unseen = matches!(silence, Silence::Unknown(_));
                NotGranted::Failed { verdict, unseen }.into()
            }
        })
    }
}

impl Sent {
    /// The tokens to send. When the provider said that the new refresh token is no good, and the one
    /// before it still has its grace, that one is tried: perhaps the new one never counted.
    fn held(&self, now: Timestamp) -> crate::oauth::token::Held<'_> {
        let graced = self
            .state
            .value
            .previous_until
            .is_some_and(|until| until.millis_since(now) > 0);
        let doubted = self.state.value.doubted.is_some();
        match &self.old.previous {
            Some(previous) if graced && doubted => crate::oauth::token::Held {
                refresh: Some(previous),
                ..self.old.held()
            },
            _ => self.old.held(),
        }
    }
}

/// What the journal says of a failure: its class, and the provider's or our own word.
fn why(class: &str, code: &Code) -> Code {
    let both = format!("{class}:{code}");
    // A code is ASCII, and may be as long as both are allowed to be together.
    let short = both.get(..64).unwrap_or(&both);
    Code::parse(short).unwrap_or_else(|| code.clone())
}

pub(super) fn vault_org(about: &Subjects<'_>) -> Result<Arc<crate::vault::OrgKeys>, VaultError> {
    about.vault.org(about.connection.value.org)
}

/// When the connection's client was last set, if it is still in use.
pub(super) async fn client_set(about: &Subjects<'_>) -> Result<Option<Timestamp>, VaultError> {
    let (org, connection) = (vault_org(about)?, &about.connection.value);
    let client = &connection.client;
    let shelf = ClientShelf::of(client.owner, about.vault, &org);
    shelf.set_at(&connection.provider, &client.client_id).await
}

fn read(
    about: &Subjects<'_>,
    reply: &Reply,
    (sent, turn): (&Sent, &Turn),
    now: Timestamp,
) -> Exchange {
    let (provider, bound) = (about.provider, &about.connection.value.bound);
    let told = Told::Reply {
        reply,
        subject: Subject::Refresh,
    };
    if let Ok(read) = read_tokens(provider, bound, reply, Subject::Refresh, sent.at) {
        turn.answered();
        return Exchange::Granted(Box::new(read));
    }
    let verdict = classify(provider, told, now);
    if verdict.class == Class::Transient {
        turn.failed(now);
    } else {
        turn.answered();
    }
    if verdict.rate_limited {
        let wait = verdict.retry_after.map_or(60_000, |wait| {
            i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
        });
        turn.asked_to_wait(now, wait);
    }
    let unseen = may_have_spent(provider, reply.status, verdict.code.is_some());
    NotGranted::Failed { verdict, unseen }.into()
}

/// Whether a provider whose refresh tokens change may have spent ours and made another, of which this
/// answer does not tell: a gateway gave up on it, or its own answer could not be read. Some tell their errors
/// in a 200: what names its error is no success.
fn may_have_spent(provider: &Provider, status: u16, named: bool) -> bool {
    let rotates = provider.spec().refresh.rotates != Rotates::Never;
    rotates && (matches!(status, 408 | 502 | 504) || (!named && matches!(status, 200..=299)))
}

/// Whether an ID token that came along is of the same issuer and subject as before (R13).
fn continues(about: &Subjects<'_>, reply: &TokenReply, now: Timestamp) -> bool {
    use crate::oauth::token::{Expected, IdTokenError, Proof, check_id_token};
    let connection = &about.connection.value;
    let (Some(subject), Some(id_token)) = (&connection.subject, &reply.main.id_token) else {
        return true;
    };
    let expected = Expected {
        issuer: &subject.issuer,
        client_id: &connection.client.client_id,
        nonce: None,
        access_token: None,
        now,
    };
    let checked = check_id_token(id_token, Proof::Direct, &expected)
        .and_then(|claims| claims.continue_for(&subject.issuer, &subject.subject));
    // One that is stale, or cannot be read, says nothing about whose the tokens are.
    !matches!(checked, Err(IdTokenError::Issuer | IdTokenError::Account))
}

/// At whose door a refresh knocks: the host, and the client that asks. What one client is told, or does
/// not get, is no other's business: an organisation cannot have a provider rest for all.
pub(in crate::oauth) fn door(provider: &Provider, connection: &Connection) -> String {
    let hosts = provider.token_hosts(&connection.bound).unwrap_or_default();
    let host = hosts.first().map(ToString::to_string);
    let host = host.unwrap_or_else(|| provider.id().to_string());
    let client = &connection.client;
    match client.owner {
        ClientOwner::Organization => format!("{host} {} {}", connection.org, client.client_id),
        ClientOwner::Instance => format!("{host} {}", client.client_id),
    }
}
