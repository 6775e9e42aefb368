//! Successful answers, in the documented envelopes.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::wire;

use super::{ApiError, request};

/// Room for most answers, so that few are moved while they grow.
const MOST: usize = 1024;
/// The headers that an answer has in the end.
const HEADERS: usize = 12;

fn meta() -> wire::Meta {
    wire::Meta {
        request_id: request::id_text(),
        has_more: None,
        next_cursor: None,
    }
}

/// JSON with 200.
fn json<T: Serialize>(answer: &T) -> Response {
    let mut text = Vec::with_capacity(MOST);
    if serde_json::to_writer(&mut text, answer).is_err() {
        return ApiError::internal().into_response();
    }
    let mut response = Response::new(Body::from(text));
    let mut headers = HeaderMap::with_capacity(HEADERS);
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    *response.headers_mut() = headers;
    response
}

/// `{"data": …}` with 200.
pub(super) fn data<T: Serialize>(data: T) -> Response {
    json(&wire::Answer { data, meta: meta() })
}

/// `{"data": …}` with 201.
pub(super) fn created<T: Serialize>(body: T) -> Response {
    let mut response = data(body);
    *response.status_mut() = StatusCode::CREATED;
    response
}

/// `{"data": …, "message": …}` with 201, not to be kept for a repetition.
pub(super) fn created_once<T: Serialize>(data: T, message: &str) -> Response {
    let mut response = json(&wire::AnswerOnce {
        data,
        message: message.to_owned(),
        meta: meta(),
    });
    *response.status_mut() = StatusCode::CREATED;
    once(response)
}

/// A list, or a page of one.
pub(super) fn list<T: Serialize>(data: Vec<T>, next_cursor: Option<String>) -> Response {
    let has_more = next_cursor.is_some();
    let meta = wire::Meta {
        has_more: Some(has_more),
        next_cursor: next_cursor.clone(),
        ..meta()
    };
    json(&wire::List {
        data,
        meta,
        has_more,
        next_cursor,
    })
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
