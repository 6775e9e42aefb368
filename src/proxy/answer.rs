//! Answers: the proxy's own, and those that are handed on.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, HeaderName, HeaderValue, PROXY_AUTHENTICATE};
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use super::tempo::Open;
use crate::broker::{RelayError, Relayed, RelayedBody};
use crate::http::ApiError;

/// Stands in answers that are an upstream's; what the broker itself answers has none.
const ANSWER: HeaderName = HeaderName::from_static("x-runtools-answer");

/// An answer's body, and the request that is open until it is sent.
#[derive(Debug)]
pub(super) struct Answer {
    inner: Inner,
    open: Open,
}

#[derive(Debug)]
enum Inner {
    Own(Full<Bytes>),
    Relayed(Box<RelayedBody>),
}

/// The proxy's own answer. `last` closes the connection after it.
pub(super) fn refusal(error: ApiError, open: Open, last: bool) -> Response<Answer> {
    let status = error.status();
    let mut response = error.told().map(|body| Answer {
        inner: Inner::Own(body),
        open,
    });
    let headers = response.headers_mut();
    if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        let basic = HeaderValue::from_static("Basic realm=\"runtools\"");
        headers.insert(PROXY_AUTHENTICATE, basic);
    }
    if last {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The answer to a CONNECT that is granted.
pub(super) fn granted(open: Open) -> Response<Answer> {
    Response::new(Answer {
        inner: Inner::Own(Full::default()),
        open,
    })
}

/// The answer to who asked for a WebSocket that the upstream agreed to.
pub(super) fn agreed(headers: HeaderMap, open: Open) -> Response<Answer> {
    let mut response = granted(open);
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    response
        .headers_mut()
        .insert(ANSWER, HeaderValue::from_static("upstream"));
    response
}

/// An upstream's answer.
pub(super) fn relayed(relayed: Relayed, open: Open) -> Response<Answer> {
    let Relayed {
        status,
        headers,
        body,
        ..
    } = relayed;
    let Ok(status) = StatusCode::from_u16(status) else {
        return refusal(ApiError::internal(), open, false);
    };
    let mut response = Response::new(Answer {
        inner: Inner::Relayed(Box::new(body)),
        open,
    });
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
        .headers_mut()
        .insert(ANSWER, HeaderValue::from_static("upstream"));
    response
}

impl Body for Answer {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let this = &mut *self;
        this.open.asked();
        let frame = match &mut this.inner {
            Inner::Own(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Inner::Relayed(body) => Pin::new(body).poll_frame(cx),
        };
        if frame.is_ready() {
            this.open.given();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Own(body) => body.is_end_stream(),
            Inner::Relayed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Own(body) => body.size_hint(),
            Inner::Relayed(body) => body.size_hint(),
        }
    }
}
