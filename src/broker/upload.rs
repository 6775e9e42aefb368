//! A request's body on its way out, searched for placeholders as it goes.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;

use crate::egress::BodyError;

use super::BrokerError;
use super::crossing::Stream;
use super::guard::Misplaced;
use super::sieve::{Blocked, Sieve};

/// What is known of an upload from outside of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// Bytes that were handed to the connection.
    pub(super) sent: Arc<AtomicU64>,
    /// Why no more of it goes.
    pub(super) refused: Arc<OnceLock<Refused>>,
}

/// Why an upload ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// A placeholder was found in it.
    Placeholder,
    /// It has more bytes than so many.
    TooLarge(u64),
}

impl Refused {
    /// What its sender hears.
    pub(super) const fn error(self) -> BrokerError {
        match self {
            Self::Placeholder => BrokerError::Misplaced(Misplaced::Placement),
            Self::TooLarge(most) => BrokerError::TooLarge { most },
        }
    }
}

impl Progress {
    /// Counts what goes out.
    pub(super) fn count(&self, length: usize) {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        self.sent.fetch_add(length, Ordering::Relaxed);
    }
}

/// The body. Its beginning was searched before, and is searched again together with what follows it.
pub(super) struct Upload {
    begins: Option<Bytes>,
    rest: UnsyncBoxBody<Bytes, BodyError>,
    /// `None` if no placeholder could be found: nothing goes unsearched.
    sieve: Option<Sieve>,
    is_over: bool,
    /// Bytes that may still come, and that might in all.
    room: (u64, u64),
    progress: Progress,
}

impl Upload {
    pub(super) fn new(stream: Stream, progress: Progress) -> Self {
        Self {
            begins: Some(stream.begins),
            rest: stream.rest,
            sieve: Sieve::new(),
            is_over: false,
            room: (stream.most, stream.most),
            progress,
        }
    }

    /// Counts a piece, and lets none go that is one too many.
    fn measure(&mut self, piece: &Bytes) -> Result<(), BodyError> {
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        let (left, most) = self.room;
        let left = left.checked_sub(length).ok_or_else(|| {
            let refused = self
                .progress
                .refused
                .get_or_init(|| Refused::TooLarge(most));
            BodyError::from(refused.error())
        })?;
        self.room = (left, most);
        Ok(())
    }

    /// What may go of a piece; the end of the body for `None`.
    fn search(&mut self, piece: Option<Bytes>) -> Result<Bytes, BodyError> {
        self.is_over = piece.is_none();
        if let Some(piece) = &piece {
            self.measure(piece)?;
        }
        let decided = match (&mut self.sieve, piece) {
            (Some(sieve), Some(piece)) => sieve.push(piece),
            (Some(sieve), None) => sieve.pause(),
            (None, _) => Err(Blocked),
        };
        let decided = decided.inspect_err(|_| {
            self.progress.refused.get_or_init(|| Refused::Placeholder);
        })?;
        self.progress.count(decided.len());
        Ok(decided)
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
                None if self.is_over => return Poll::Ready(None),
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
                Ok(piece) if piece.is_empty() => {}
                Ok(piece) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
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

    use super::{Progress, Refused, Upload};
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
            most: u64::MAX,
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
        let plain = placeholder.text();
        let some = |(at, letter): (usize, char)| match at % 3 {
            0 => format!("%{:02x}", u32::from(letter)),
            _ => String::from(letter),
        };
        let hidden: String = plain.chars().enumerate().map(some).collect();
        let around = |it: &str| format!("{} {it} {}", "a".repeat(50), "b".repeat(50));
        let texts = [around(plain), around(&hidden)];
        let cuts = texts
            .iter()
            .flat_map(|text| (0..text.len()).map(move |at| (text, at)));
        for (text, begins) in cuts {
            let (mut body, progress) = upload(text, begins, 7);
            let mut sent = Vec::new();
            let failed = loop {
                match body.frame().await {
                    Some(Ok(frame)) => sent.extend_from_slice(&frame.into_data().unwrap()),
                    Some(Err(_)) => break true,
                    None => break false,
                }
            };
            assert!(failed);
            assert_eq!(progress.refused.get(), Some(&Refused::Placeholder));
            let sent = String::from_utf8(sent).unwrap();
            // The vendor's beginning may go.
            assert!(sent.len() <= 60, "{sent}");
        }
    }
}
