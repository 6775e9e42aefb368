//! A long answer, handed out piece by piece as it is written: memory stays flat.

use std::io::{self, Write};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderValue, header};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::vault::Closing;

use super::running::Turn;

/// How many pieces may wait for whoever reads them.
const WAITING: usize = 16;

/// Hands what is written to the response. Ends when the vault is sealed. Written to where blocking is fine.
pub(super) struct Pieces {
    sender: Sender<io::Result<Bytes>>,
    closing: Closing,
    runtime: Handle,
}

/// Where the answer must not end as if this were all.
pub(super) struct Breaker(Sender<io::Result<Bytes>>);

/// What was written, in order.
pub(super) struct Written(Receiver<io::Result<Bytes>>);

/// The two ends of an answer, and what breaks it off.
pub(super) fn pieces(closing: Closing) -> (Pieces, Breaker, Written) {
    let (sender, receiver) = channel(WAITING);
    let breaker = Breaker(sender.clone());
    let pieces = Pieces {
        sender,
        closing,
        runtime: Handle::current(),
    };
    (pieces, breaker, Written(receiver))
}

impl Breaker {
    /// Has the connection cut: what was sent is not all.
    pub(super) async fn cut(self) {
        let broken = Err(io::ErrorKind::UnexpectedEof.into());
        if self.0.send(broken).await.is_err() {
            tracing::debug!("its reader had gone");
        }
    }
}

impl Written {
    /// Waits for the first piece; `None` when it was broken off before one.
    pub(super) async fn begun(mut self) -> Option<Begun> {
        match self.0.recv().await {
            Some(Ok(first)) => Some(Begun {
                first,
                rest: self.0,
            }),
            Some(Err(_)) | None => None,
        }
    }

    /// The answer, of this type; `turn` is given back at its end.
    pub(super) fn response(self, kind: HeaderValue, turn: Turn) -> Response {
        respond(None, self.0, kind, turn)
    }
}

/// An answer whose first piece is there.
pub(super) struct Begun {
    first: Bytes,
    rest: Receiver<io::Result<Bytes>>,
}

impl Begun {
    /// The answer, of this type; `turn` is given back at its end.
    pub(super) fn response(self, kind: HeaderValue, turn: Turn) -> Response {
        respond(Some(self.first), self.rest, kind, turn)
    }
}

fn respond(
    first: Option<Bytes>,
    rest: Receiver<io::Result<Bytes>>,
    kind: HeaderValue,
    turn: Turn,
) -> Response {
    let rest = futures_util::stream::unfold((rest, turn), async |(mut rest, turn)| {
        let piece = rest.recv().await;
        piece.map(|piece| (piece, (rest, turn)))
    });
    let first = futures_util::stream::iter(first.map(Ok));
    let body = Body::from_stream(first.chain(rest));
    let mut response = ([(header::CONTENT_TYPE, kind)], body).into_response();
    response.extensions_mut().insert(super::serve::Streaming);
    response
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Ok(Bytes::copy_from_slice(bytes));
        let sent = self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.closing.clone().called() => false,
                sent = self.sender.send(piece) => sent.is_ok(),
            }
        });
        if sent {
            Ok(bytes.len())
        } else {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
