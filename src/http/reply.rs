//! Successful answers, in the documented envelopes.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::wire;

use super::request;

fn meta() -> wire::Meta {
    wire::Meta {
        request_id: request::id_text(),
        has_more: None,
        next_cursor: None,
    }
}

/// `{"data": …}` with 200.
pub(super) fn data<T: Serialize>(data: T) -> Response {
    Json(wire::Answer { data, meta: meta() }).into_response()
}

/// `{"data": …}` with 201.
pub(super) fn created<T: Serialize>(body: T) -> Response {
    (StatusCode::CREATED, data(body)).into_response()
}

/// A list, or a page of one.
pub(super) fn list<T: Serialize>(data: Vec<T>, next_cursor: Option<String>) -> Response {
    let has_more = next_cursor.is_some();
    let meta = wire::Meta {
        has_more: Some(has_more),
        next_cursor: next_cursor.clone(),
        ..meta()
    };
    Json(wire::List {
        data,
        meta,
        has_more,
        next_cursor,
    })
    .into_response()
}

/// The same answer with an `ETag`.
pub(super) fn tagged(mut response: Response, etag: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(etag) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

/// The same answer, not to be kept for a repetition: it shows something once.
pub(super) fn once(mut response: Response) -> Response {
    response
        .extensions_mut()
        .insert(super::idempotency::ShownOnce);
    response
}
