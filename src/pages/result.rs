//! How a flow ended, for the browser that was at the provider's.

use axum::extract::{Path, State};
use axum::response::Response;
use http::HeaderMap;

use super::PagesState;
use super::form::cookie_headers;
use super::refusal::Refusal;
use super::result_page::result_page;
use crate::oauth::flow::{FlowCookies, FlowId};

/// The page. It can be looked at for ten minutes, by that browser only.
pub(super) async fn show(
    State(state): State<PagesState>,
    Path(flow): Path<String>,
    headers: HeaderMap,
) -> Response {
    let url = state.book.public_url();
    let found = FlowId::parse(&flow).and_then(|flow| {
        let cookies = FlowCookies::read(cookie_headers(&headers), url);
        state.book.result(&flow, &cookies, state.now())
    });
    match found {
        Some(view) => result_page(&view, url),
        None => state.refuse(Refusal::Unknown),
    }
}
