//! A request's body on its way out, searched for placeholders as it goes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;

use crate::egress::BodyError;

use super::crossing::Stream;
use super::placeholder::marks;
use super::scrub::{Hits, Scrubber};

/// What is known of an upload from outside of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// Bytes that were handed to the connection.
    pub(super) sent: Arc<AtomicU64>,
    /// Whether a placeholder was found in it.
    pub(super) blocked: Arc<AtomicBool>,
}

impl Progress {
    /// Counts a body that goes out in one piece.
    pub(super) fn whole(&self, length: usize) {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        self.sent.fetch_add(length, Ordering::Relaxed);
    }
}

/// A placeholder stands in a body that is on its way already.
#[derive(Debug, thiserror::Error)]
#[error("a placeholder stands in the body")]
struct Blocked;

/// The body. Its beginning was searched before, and is searched again together with what follows it.
pub(super) struct Upload {
    begins: Option<Bytes>,
    rest: UnsyncBoxBody<Bytes, BodyError>,
    /// Gone when the body is at its end.
    scrubber: Option<Scrubber>,
    hits: Option<Hits>,
    progress: Progress,
}

impl Upload {
    pub(super) fn new(stream: Stream, progress: Progress) -> Self {
        let hits = marks().map(super::scrub::Patterns::hits);
        let scrubber = marks().zip(hits.clone());
        Self {
            begins: Some(stream.begins),
            rest: stream.rest,
            scrubber: scrubber.map(|(marks, hits)| Scrubber::counting(marks, hits)),
            hits,
            progress,
        }
    }

    /// What may go of a piece; the end of the body for `None`.
    fn search(&mut self, piece: Option<Bytes>) -> Result<Option<Bytes>, BodyError> {
        let mut decided = None;
        match (piece, self.scrubber.take()) {
            (Some(piece), Some(mut scrubber)) => {
                scrubber.push(piece, &mut |scrubbed| decided = Some(scrubbed.into_bytes()));
                self.scrubber = Some(scrubber);
            }
            (None, Some(scrubber)) => {
                scrubber.finish(&mut |scrubbed| decided = Some(scrubbed.into_bytes()));
            }
            // Nothing goes unsearched.
            (Some(_), None) => return Err(self.block()),
            (None, None) => {}
        }
        if self.hits.as_ref().is_none_or(|hits| hits.total() > 0) {
            return Err(self.block());
        }
        let length = decided.as_ref().map_or(0, Bytes::len);
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        self.progress.sent.fetch_add(length, Ordering::Relaxed);
        Ok(decided)
    }

    fn block(&mut self) -> BodyError {
        self.progress.blocked.store(true, Ordering::Release);
        Blocked.into()
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let piece = match self.begins.take() {
                Some(begins) => Some(begins),
                None if self.scrubber.is_none() => return Poll::Ready(None),
                None => match std::task::ready!(Pin::new(&mut self.rest).poll_frame(cx)) {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => Some(data),
                        // Trailers are not sent on: nobody needs them, and they would be searched too.
                        Err(_) => continue,
                    },
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                    None => None,
                },
            };
            match self.search(piece) {
                Ok(Some(piece)) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body::Frame;
    use http_body_util::{BodyExt, StreamBody};

    use super::{Progress, Upload};
    use crate::broker::crossing::Stream;
    use crate::broker::placeholder::Placeholder;
    use crate::crypto::SystemRandom;
    use crate::egress::BodyError;

    fn upload(text: &str, begins: usize, every: usize) -> (Upload, Progress) {
        let (begins, rest) = text.split_at(begins);
        let pieces: Vec<_> = rest
            .as_bytes()
            .chunks(every)
            .map(|piece| Ok::<_, BodyError>(Frame::data(Bytes::copy_from_slice(piece))))
            .collect();
        let progress = Progress::default();
        let stream = Stream {
            begins: Bytes::copy_from_slice(begins.as_bytes()),
            rest: StreamBody::new(futures_util::stream::iter(pieces)).boxed_unsync(),
            length: None,
        };
        (Upload::new(stream, progress.clone()), progress)
    }

    #[tokio::test]
    async fn a_body_without_placeholders_goes_out_as_it_is() {
        let text = "rtPlaceh0lde ".repeat(200);
        for every in [1, 3, 1_000] {
            let (body, progress) = upload(&text, 100, every);
            let sent = body.collect().await.unwrap().to_bytes();
            assert_eq!(sent, text);
            assert_eq!(progress.sent.load(super::Ordering::Relaxed), 2_600);
        }
    }

    #[tokio::test]
    async fn a_placeholder_is_found_however_the_body_is_cut_and_never_leaves() {
        let placeholder = Placeholder::draw(Some("sk-"), &SystemRandom).unwrap();
        let text = format!(
            "{} {} {}",
            "a".repeat(50),
            placeholder.text(),
            "b".repeat(50)
        );
        for begins in 0..text.len() {
            let (mut body, progress) = upload(&text, begins, 7);
            let mut sent = Vec::new();
            let failed = loop {
                match body.frame().await {
                    Some(Ok(frame)) => sent.extend_from_slice(&frame.into_data().unwrap()),
                    Some(Err(_)) => break true,
                    None => break false,
                }
            };
            assert!(failed && progress.blocked.load(super::Ordering::Relaxed));
            let sent = String::from_utf8(sent).unwrap();
            assert!(!sent.contains("rtPlaceh0lder"), "{sent}");
        }
    }
}
