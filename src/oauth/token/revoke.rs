//! Revoking upstream (RFC 7009): what is called, and what came of it.

use std::time::Duration;

use super::classify::{Failure, NoReply, Told};
use super::client_auth::{authenticate, prove_basic};
use super::code::{Code, GONE};
use super::reply::{Document, Reply, Subject, says_error, says_success};
use super::request::{Draft, RequestError, TokenRequest};
use super::requests::{add, place, token};
use super::retry_after::read_retry_after;
use super::via::{Held, Via};
use crate::clock::Timestamp;
use crate::oauth::provider::spec::{
    self, Body, ClientAuth, Revoke, RevokeAuth, RevokeScope, RevokeToken, RevokeWhen,
};
use crate::oauth::provider::{Provider, QuerySecrets};
use crate::secret::Secret;

/// Whether a connection lives on what the provider may take for the same grant (V4): another one to this
/// account through this client, or the one that took this one's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// None does: what ends the whole grant may be called.
    Last,
    /// One does: nothing but these tokens may end.
    Shared,
}

/// One call.
#[derive(Debug)]
pub struct RevokeRequest {
    /// Which of the file's steps it is.
    pub step: usize,
    /// Whether it is for the case that the call before it said [`Revocation::TryOther`], and is left
    /// out otherwise.
    pub fallback: bool,
    /// The request.
    pub prepared: TokenRequest,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// The token is dead, or was so before.
    Revoked,
    /// It still lives; the same again later, for a day at most (V2).
    Retry {
        /// When, where the provider says so.
        after: Option<Duration>,
    },
    /// Tokens of this kind are not revoked here: the other one is.
    TryOther,
    /// The provider has no such endpoint.
    Unsupported,
    /// It refused, and will again.
    Failed {
        /// What it calls that.
        code: Option<Code>,
    },
}

/// A token, and what the standard calls it.
#[derive(Clone, Copy)]
struct Named<'a> {
    hint: &'static str,
    token: &'a Secret,
}

/// The calls that end a connection, in order: the refresh token first, then the access token (V1).
/// None when the provider revokes nothing, or nothing alone that others live on.
///
/// # Errors
/// [`RequestError`].
pub fn revoke_requests(
    via: &Via<'_>,
    held: &Held<'_>,
    standing: Standing,
) -> Result<Vec<RevokeRequest>, RequestError> {
    let mut requests = Vec::new();
    for (index, step) in via.provider.spec().revoke.iter().enumerate() {
        if !may_be_called(step, standing) {
            continue;
        }
        for (fallback, named) in tokens(step, held) {
            let prepared = match prepare(via, step, held, named) {
                // Discovery need not have found one.
                Err(RequestError::NoEndpoint) => continue,
                prepared => prepared?,
            };
            requests.push(RevokeRequest {
                step: index,
                fallback,
                prepared,
            });
        }
    }
    Ok(requests)
}

/// Whether a step ends no more than it may. What a file does not say of a step is not hoped for where
/// a grant that somebody lives on is at stake.
fn may_be_called(step: &Revoke, standing: Standing) -> bool {
    match standing {
        Standing::Last => true,
        Standing::Shared => ends_alone(step),
    }
}

/// Whether a step ends the tokens that it names, and nothing else.
fn ends_alone(step: &Revoke) -> bool {
    step.when == RevokeWhen::Always && step.scope == Some(RevokeScope::Token)
}

/// Whether tokens of a grant can be revoked without harm to others of it.
#[must_use]
pub fn revokes_alone(provider: &Provider) -> bool {
    provider.spec().revoke.iter().any(ends_alone)
}

/// The tokens of a step, and whether each is a fallback.
fn tokens<'a>(step: &Revoke, held: &Held<'a>) -> Vec<(bool, Named<'a>)> {
    let access = Named {
        hint: "access_token",
        token: held.access,
    };
    let refresh = held.refresh.map(|token| Named {
        hint: "refresh_token",
        token,
    });
    // Where no parameter carries it, no answer speaks of its kind.
    let named = step.auth != RevokeAuth::Bearer && step.body != Body::Empty;
    match (step.token, refresh) {
        (RevokeToken::Both, Some(refresh)) => vec![(false, refresh), (false, access)],
        (RevokeToken::Refresh, Some(refresh)) if named => vec![(false, refresh), (true, access)],
        (RevokeToken::Refresh, Some(refresh)) => vec![(false, refresh)],
        (RevokeToken::Access, Some(refresh)) if named => vec![(false, access), (true, refresh)],
        _ => vec![(false, access)],
    }
}

fn prepare(
    via: &Via<'_>,
    step: &Revoke,
    held: &Held<'_>,
    named: Named<'_>,
) -> Result<TokenRequest, RequestError> {
    let file = token(via)?;
    let secrets = QuerySecrets::when(step.query_secrets_ok);
    let found = via.endpoints.and_then(|found| found.revocation.as_ref());
    let limits = &via.provider.spec().limits;
    let vars = via.vars_with(held);
    let mut draft = Draft::to(
        step.method,
        step.url.as_ref(),
        found,
        &vars,
        secrets,
        limits,
    )?;
    if step.auth != RevokeAuth::Bearer && step.body != Body::Empty {
        draft.members.secret(&step.token_param, named.token)?;
        if step.hint {
            draft.members.text("token_type_hint", named.hint);
        }
    }
    match step.auth {
        RevokeAuth::Bearer => draft.bear("Bearer", named.token)?,
        RevokeAuth::ClientBasic => prove_basic(&mut draft, via, file)?,
        RevokeAuth::ClientPost => authenticate(&mut draft, via, file, ClientAuth::Post)?,
        RevokeAuth::None => {}
    }
    add(&mut draft, &step.params, &vars, place(step.body, secrets))?;
    draft.send(step.body, secrets, &step.headers, &vars)
}

/// Says what came of a call of the file's step `step`.
#[must_use]
pub fn read_revocation(
    provider: &Provider,
    step: usize,
    told: Told<'_>,
    now: Timestamp,
) -> Revocation {
    let reply = match told {
        Told::NoReply(NoReply::Refused) => {
            let code = Some(Code::own(NoReply::Refused.as_str()));
            return Revocation::Failed { code };
        }
        Told::NoReply(_) => return Revocation::Retry { after: None },
        Told::Reply { reply, .. } => reply,
    };
    let failure = Failure::of(provider, reply, Subject::Revoke);
    let retry = || {
        let header = reply.retry_after.as_deref();
        let after = header.and_then(|header| read_retry_after(header, now));
        Revocation::Retry { after }
    };
    let Some(step) = provider.spec().revoke.get(step) else {
        return Revocation::Unsupported;
    };
    let gone = ["invalid_token", "token_revoked", "token_expired"];
    match reply.status {
        status if step.ok_statuses.contains(&status) => Revocation::Revoked,
        _ if failure.is_passing() => retry(),
        200..=299 if is_accepted(provider, reply) => Revocation::Revoked,
        400 if failure.says(&["unsupported_token_type"]).is_some() => Revocation::TryOther,
        // A token that cannot be used is a token that is dead.
        401 if step.auth == RevokeAuth::Bearer => Revocation::Revoked,
        200..=299 if failure.says(&GONE).is_some() => Revocation::Revoked,
        200..=299 | 400 | 401 if failure.says(&gone).is_some() => Revocation::Revoked,
        404 | 405 => Revocation::Unsupported,
        _ => match failure.files_word() {
            Some(spec::Class::Revoked) => Revocation::Revoked,
            Some(spec::Class::Transient | spec::Class::RateLimited) => retry(),
            _ => Revocation::Failed {
                code: failure.code(),
            },
        },
    }
}

/// RFC 7009, 2.2: the body of a success means nothing. But some say in it that it is none, and some
/// demand of every success that it says so.
fn is_accepted(provider: &Provider, reply: &Reply) -> bool {
    let Some(token) = &provider.spec().token else {
        return true;
    };
    let response = &token.response;
    match Document::read(reply) {
        Some(document) => {
            let document = document.value();
            !says_error(response, document) && says_success(response, document)
        }
        None => response.success.is_none(),
    }
}
