//! A long answer, handed out piece by piece as it is written: memory stays flat.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    sender: Sender<Bytes>,
    closing: Closing,
    runtime: Handle,
}

/// Who says that what was written is all. Dropped without a word, by a panic too, the connection is cut: an
/// answer does not end as if it were whole.
pub(super) struct Whole {
    said: Arc<AtomicBool>,
    /// Nothing ends before this is dropped.
    _open: Sender<Bytes>,
}

/// What was written, in order.
pub(super) struct Written {
    pieces: Receiver<Bytes>,
    whole: Arc<AtomicBool>,
}

/// The two ends of an answer, and what is said of its end.
pub(super) fn pieces(closing: Closing) -> (Pieces, Whole, Written) {
    let (sender, pieces) = channel(WAITING);
    let whole = Arc::<AtomicBool>::default();
    let said = Whole {
        said: Arc::clone(&whole),
        _open: sender.clone(),
    };
    let writer = Pieces {
        sender,
        closing,
        runtime: Handle::current(),
    };
    (writer, said, Written { pieces, whole })
}

impl Whole {
    /// All was written.
    pub(super) fn say(self) {
        self.said.store(true, Ordering::Release);
    }
}

impl Written {
    /// Waits for the first piece; `None` when there is none.
    pub(super) async fn begun(mut self) -> Option<Begun> {
        let first = self.pieces.recv().await?;
        Some(Begun { first, rest: self })
    }

    /// The answer, of this type; `turn` is given back at its end.
    pub(super) fn response(self, kind: HeaderValue, turn: Turn) -> Response {
        respond(None, self, kind, turn)
    }

    /// The next piece, or that there will be none though it was not all.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if let Some(piece) = self.pieces.recv().await {
            return Some(Ok(piece));
        }
        // Said once: after it, this is all there is to say.
        let whole = self.whole.swap(true, Ordering::AcqRel);
        (!whole).then(|| Err(io::ErrorKind::UnexpectedEof.into()))
    }
}

/// An answer whose first piece is there.
pub(super) struct Begun {
    first: Bytes,
    rest: Written,
}

impl Begun {
    /// The answer, of this type; `turn` is given back at its end.
    pub(super) fn response(self, kind: HeaderValue, turn: Turn) -> Response {
        respond(Some(self.first), self.rest, kind, turn)
    }
}

fn respond(first: Option<Bytes>, rest: Written, kind: HeaderValue, turn: Turn) -> Response {
    let rest = futures_util::stream::unfold((rest, turn), async |(mut rest, turn)| {
        let piece = rest.next().await;
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
        let piece = Bytes::copy_from_slice(bytes);
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::{pieces, respond};
    use crate::id::{OrgId, UserId};
    use crate::vault::tests_rig::Rig;

    /// What comes of an answer of two pieces, whose maker says so much of its end.
    async fn ends(how: impl FnOnce(super::Whole) + Send + 'static) -> Result<Vec<u8>, ()> {
        let rig = Rig::new().await;
        let (mut writer, whole, written) = pieces(rig.vault.closing());
        let made = tokio::task::spawn_blocking(move || {
            writer.write_all(b"all ").unwrap();
            writer.write_all(b"of it").unwrap();
            drop(writer);
            how(whole);
        });
        let kind = http::HeaderValue::from_static("text/plain");
        let running = crate::http::running::Running::at_most(1);
        let whose = (OrgId::from_bytes([1; 16]), UserId::from_bytes([2; 16]));
        let turn = running.begin(whose).unwrap();
        let body = respond(None, written, kind, turn).into_body();
        let read = axum::body::to_bytes(body, 100).await;
        drop(made.await);
        read.map(|all| all.to_vec()).map_err(drop)
    }

    #[tokio::test]
    async fn an_answer_is_whole_when_its_maker_says_so_and_cut_when_nobody_does() {
        assert_eq!(ends(super::Whole::say).await.unwrap(), b"all of it");
        assert!(ends(drop).await.is_err());
        assert!(ends(|_whole| panic!("in the middle")).await.is_err());
    }
}
