//! Where providers send people back to. Whatever comes, the browser leaves this address at once: it has
//! a code and a state in it (B8).

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, Method};
use zeroize::Zeroizing;

use super::PagesState;
use super::form::{MAX_POSTED, cookie_headers, is_ahead, read_body};
use super::fragment::fragment_page;
use super::refusal::Refusal;
use super::respond::see_other;
use crate::name::ProviderId;
use crate::oauth::flow::{
    Arrival, CallbackQuery, FlowCookies, PendingFlow, SignedFlow, Taken, complete,
};

/// How long the browser waits for an answer to be redeemed. It goes on without the browser.
const PATIENCE: Duration = Duration::from_secs(15);

/// Takes a provider's answer.
pub(super) async fn arrive(
    State(state): State<PagesState>,
    Path(provider): Path<String>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> Response {
    // It has a code in it.
    let query = Zeroizing::new(query.unwrap_or_default());
    let taken = if method == Method::GET {
        take(&state, &provider, &query, &headers).await
    } else {
        Err(Refusal::Method)
    };
    taken.unwrap_or_else(|refusal| refuse(refusal, &state))
}

/// The refusal's page, which stands elsewhere where the browser would keep the answer in its address.
fn refuse(refusal: Refusal, state: &PagesState) -> Response {
    let (url, refusal) = (state.book.public_url(), state.said(refusal));
    let sent_on = refusal.place(url).and_then(|place| on(&place));
    sent_on.unwrap_or_else(|| refusal.page(url))
}

/// Sends an answer that came as a form of another site's (response mode `form_post`) once more, as a
/// navigation: only those carry our cookies.
pub(super) async fn bounce(
    State(state): State<PagesState>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let url = state.book.public_url();
    let posted = read_body(&headers, body, MAX_POSTED).await;
    let posted = posted.filter(|posted| CallbackQuery::read(posted).is_ok());
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&b);
    let posted = posted.filter(|posted| posted.bytes().all(plain));
    let (Ok(provider), Some(posted)) = (ProviderId::parse(&provider), posted) else {
        return refuse(Refusal::Callback, &state);
    };
    let target = format!("{}?{}", url.redirect_uri(&provider), *posted);
    on(&target).unwrap_or_else(|| refuse(Refusal::Callback, &state))
}

async fn take(
    state: &PagesState,
    provider: &str,
    query: &str,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    // Nobody asked yet, and an answer counts once (B15).
    if is_ahead(headers) {
        return Err(Refusal::Ahead);
    }
    let provider = ProviderId::parse(provider).map_err(|_| Refusal::Unknown)?;
    let query = CallbackQuery::read(query).map_err(|fault| {
        tracing::info!(%provider, reason = %fault, "a callback was not looked at");
        Refusal::Callback
    })?;
    let cookies = FlowCookies::read(cookie_headers(headers), state.book.public_url());
    let mut taken = state.book.take(&provider, query, &cookies, state.now());
    if let Taken::Signed(signed) = taken {
        taken = check(state, signed).await;
    }
    match taken {
        Taken::Unknown | Taken::Signed(_) => Err(Refusal::Unknown),
        Taken::InFragment(member) => Ok(fragment_page(&member, state.book.public_url())),
        Taken::WrongBrowser => Err(Refusal::WrongBrowser),
        Taken::OtherProvider(facts) => {
            let failure = crate::oauth::flow::Failure::OtherProvider;
            state.redeemer.ended(&facts, failure).await;
            Err(Refusal::Unknown)
        }
        Taken::Failed {
            facts,
            failure,
            onward,
        } => {
            tracing::info!(%provider, code = failure.code(), "a flow ended at its callback");
            state.redeemer.ended(&facts, failure).await;
            on(&onward).ok_or(Refusal::Internal)
        }
        Taken::Pending(pending) => settle(state, pending).await,
    }
}

/// On to somewhere else, with an empty fragment: an address without one inherits what the provider put
/// there (RFC 9110 section 10.2.2), which may be a token that nobody asked for (A7, B8).
fn on(url: &str) -> Option<Response> {
    see_other(&format!("{url}#"), true)
}

async fn check(state: &PagesState, signed: SignedFlow) -> Taken {
    let facts = signed.facts();
    match state.redeemer.signing_secret(&facts).await {
        Ok(secret) => state.book.check(signed, &secret, state.now()),
        Err(failure) => state.book.abandon(&signed, failure, state.now()),
    }
}

/// An answer waits for whoever began, or is redeemed: in a task of its own, because a browser that
/// goes away must not end what cannot be begun again.
async fn settle(state: &PagesState, pending: PendingFlow) -> Result<Response, Refusal> {
    let onward = match state.book.arrive(pending, state.now()) {
        Arrival::Onward(onward) => onward,
        Arrival::Redeem(pending) => {
            let result = state.book.public_url().result(pending.flow());
            let state = state.clone();
            let work = tokio::spawn(async move {
                complete(&state.book, *pending, &*state.redeemer, &*state.clock).await
            });
            if tokio::time::timeout(PATIENCE, work).await.is_err() {
                tracing::info!("a browser was sent on before its flow was done");
            }
            result
        }
    };
    on(&onward).ok_or(Refusal::Internal)
}
