//! The page of a flow, and what happens when somebody agrees to it.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::connect_page::{Asked, connect_page};
use super::form::{Form, FormSecret, cookie_headers, is_ahead};
use super::frame::Frame;
use super::refusal::Refusal;
use super::respond::{Leave, page, see_other, with_cookie};
use super::result_page::failed;
use super::{PagesState, words};
use crate::oauth::flow::{ConfirmFault, Failure, FlowCookies, FlowId, Invitation, PublicUrl};

/// Says what would be connected. A link scanner may look: nothing changes but that it is on record, once,
/// that somebody did, and from where. A browser that loads ahead is nobody yet.
pub(super) async fn show(
    State(state): State<PagesState>,
    Path(flow): Path<String>,
    headers: HeaderMap,
) -> Response {
    let flow = FlowId::parse(&flow).ok_or(Refusal::Unknown);
    if let Ok(flow) = &flow
        && !is_ahead(&headers)
    {
        let cookies = FlowCookies::read(cookie_headers(&headers), state.book.public_url());
        if let Some(facts) = state.book.opened(flow, &cookies, state.now()) {
            state.redeemer.opened(&facts).await;
        }
    }
    let shown = flow.and_then(|flow| ask(&state, &headers, &flow, None));
    shown.unwrap_or_else(|refusal| state.refuse(refusal))
}

/// The question, with how often the code may still be wrong if it was.
fn ask(
    state: &PagesState,
    headers: &HeaderMap,
    flow: &FlowId,
    left: Option<u8>,
) -> Result<Response, Refusal> {
    let url = state.book.public_url();
    let cookies = FlowCookies::read(cookie_headers(headers), url);
    let invitation = state.book.invitation(flow, &cookies, state.now());
    let invitation = invitation.ok_or(Refusal::Unknown)?;
    let secret = FormSecret::of(headers, url, &*state.random);
    let secret = secret.map_err(|_| Refusal::Internal)?;
    let asked = Asked {
        invitation: &invitation,
        token: &secret.token(flow),
        left,
    };
    let title = asked.title();
    let frame = Frame {
        title: &title,
        place: url.as_str(),
        again: false,
    };
    let leave = Leave {
        form_to: invitation.ways.clone(),
        script: None,
        opener: invitation.popup,
    };
    let status = match left {
        None => StatusCode::OK,
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let response = page(status, frame.around(&connect_page(&asked)), &leave);
    with_cookie(response, &secret.cookie(url)).ok_or(Refusal::Internal)
}

/// Sends the browser to the provider.
pub(super) async fn agree(
    State(state): State<PagesState>,
    Path(flow): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let agreed = depart(&state, &flow, &headers, body).await;
    agreed.unwrap_or_else(|refusal| state.refuse(refusal))
}

async fn depart(
    state: &PagesState,
    flow: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let (book, url) = (&state.book, state.book.public_url());
    let flow = FlowId::parse(flow).ok_or(Refusal::Unknown)?;
    let form = Form::read(headers, body, url, &flow).await;
    let form = form.ok_or(Refusal::Form)?;
    let typed = form.code.as_ref().map(|code| code.as_str());
    let cookies = FlowCookies::read(cookie_headers(headers), url);
    let invitation = book.invitation(&flow, &cookies, state.now());
    let invitation = invitation.ok_or(Refusal::Unknown)?;
    let facts = match book.admit(&flow, &cookies, typed, state.now()) {
        Ok(facts) => facts,
        Err(ConfirmFault::TooManyTries(facts)) => {
            state.redeemer.ended(&facts, Failure::Tries).await;
            return Ok(not_sent(&invitation, Failure::Tries, url));
        }
        Err(ConfirmFault::WrongCode { left }) => {
            return ask(state, headers, &flow, Some(left));
        }
        Err(fault) => return Err(refusal(&fault)),
    };
    // On record before anybody is sent anywhere.
    match state.redeemer.confirming(&facts).await {
        Ok(()) => {}
        Err(Failure::Sealed) => return Err(Refusal::Sealed),
        Err(Failure::Internal) => return Err(Refusal::Internal),
        Err(failure) => return Ok(not_sent(&invitation, failure, url)),
    }
    let departure = book.confirm(&flow, &cookies, typed, state.now(), &*state.random);
    let departure = departure.map_err(|fault| refusal(&fault))?;
    let response = see_other(&departure.url, invitation.popup);
    let response = response.and_then(|response| with_cookie(response, &departure.cookie));
    response.ok_or(Refusal::Internal)
}

/// Why somebody who agreed is not sent to the provider.
fn not_sent(invitation: &Invitation, failure: Failure, url: &PublicUrl) -> Response {
    let words = words::words(failure, &invitation.provider, &invitation.org);
    failed(&words, failure, None, None, url)
}

fn refusal(fault: &ConfirmFault) -> Refusal {
    match fault {
        ConfirmFault::Gone | ConfirmFault::WrongCode { .. } | ConfirmFault::TooManyTries(_) => {
            Refusal::Unknown
        }
        ConfirmFault::Authorize(_) | ConfirmFault::Crypto(_) => {
            tracing::error!(error = %fault, "nobody could be sent to the provider");
            Refusal::Internal
        }
    }
}
