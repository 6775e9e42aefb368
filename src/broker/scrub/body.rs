//! A body that is decoded and searched as it streams.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::decoder::{Decoder, Limits};
use super::encoding::Encoding;
use super::{BodyIs, Hits, Patterns, ScrubError, Scrubbed, Scrubber, scrub_trailers};

/// An upstream's body, searched. Made only by [`scrub_body`].
///
/// Yields the decoded body in pieces, each as soon as it is decided, then the trailers. After an
/// error it yields nothing more, so the caller must break off its own answer.
pub struct ScrubbedBody<B> {
    upstream: B,
    patterns: Patterns,
    decoder: Decoder,
    /// Gone once the stream has ended.
    scrubber: Option<Scrubber>,
    hits: Hits,
    /// The frame that comes after what the scrubber held back.
    after: Option<Frame<Bytes>>,
    is: BodyIs,
}

/// Decodes and searches `body` as it streams, within `limits`, counting into `hits`.
///
/// # Errors
/// [`ScrubError::Crowded`] when there is no memory to decode one more.
pub fn scrub_body<B>(
    body: B,
    patterns: &Patterns,
    encoding: &Encoding,
    limits: Limits,
    hits: &Hits,
) -> Result<ScrubbedBody<B>, ScrubError>
where
    B: Body<Data = Bytes> + Unpin,
{
    Ok(ScrubbedBody {
        upstream: body,
        patterns: patterns.clone(),
        decoder: Decoder::new(encoding, limits)?,
        scrubber: Some(Scrubber::counting(patterns, hits.clone())),
        hits: hits.clone(),
        after: None,
        is: BodyIs::under(encoding),
    })
}

impl<B: Body<Data = Bytes> + Unpin> ScrubbedBody<B> {
    /// Whether there is more to come of the upstream, or may be.
    pub(in crate::broker) fn needs_upstream(&self) -> bool {
        self.scrubber.is_some() && !self.upstream.is_end_stream()
    }

    /// Searches what is decoded so far; a piece if one is decided.
    fn advance(&mut self) -> Result<Option<Bytes>, ScrubError> {
        let Some(scrubber) = &mut self.scrubber else {
            return Ok(None);
        };
        while let Some(piece) = self.decoder.pull()? {
            if let Some(scrubbed) = scrubber.push(piece) {
                return Ok(Some(scrubbed.into_bytes()));
            }
        }
        Ok(None)
    }

    /// Ends the stream; what was held back, if anything was.
    fn end(&mut self) -> Result<Option<Bytes>, ScrubError> {
        self.decoder.finish()?;
        let rest = self.scrubber.take().and_then(Scrubber::finish);
        Ok(rest.map(Scrubbed::into_bytes))
    }

    /// Takes one frame of the upstream's. Something to yield, or nothing yet.
    fn accept(
        &mut self,
        frame: Option<Result<Frame<Bytes>, B::Error>>,
    ) -> Result<Option<Frame<Bytes>>, ScrubError> {
        let frame = frame.transpose().map_err(|_| ScrubError::Upstream)?;
        let frame = match frame.map(Frame::into_data) {
            Some(Ok(data)) => {
                self.decoder.push(data);
                return Ok(None);
            }
            Some(Err(frame)) => frame.into_trailers().ok(),
            None => None,
        };
        let rest = self.end()?.map(Frame::data);
        let trailers = frame.map(|trailers| {
            let scrubbed = scrub_trailers(trailers, &self.patterns, self.is, &self.hits);
            Frame::trailers(scrubbed.into_map())
        });
        if rest.is_none() {
            return Ok(trailers);
        }
        self.after = trailers;
        Ok(rest)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for ScrubbedBody<B> {
    type Data = Bytes;
    type Error = ScrubError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ScrubError>>> {
        let this = &mut *self;
        loop {
            if this.scrubber.is_none() {
                return Poll::Ready(this.after.take().map(Ok));
            }
            let outcome = match this.advance() {
                Ok(Some(piece)) => Ok(Some(Frame::data(piece))),
                Ok(None) => match Pin::new(&mut this.upstream).poll_frame(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(frame) => this.accept(frame),
                },
                Err(error) => Err(error),
            };
            match outcome {
                Ok(None) => {}
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Err(error) => {
                    this.scrubber = None;
                    this.after = None;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self.scrubber {
            Some(_) => self.decoder.is_untouched() && self.upstream.is_end_stream(),
            None => self.after.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.scrubber {
            Some(scrubber) if self.is == BodyIs::AsSent => {
                let held = u64::try_from(scrubber.held()).unwrap_or_default();
                let upstream = self.upstream.size_hint();
                let mut hint = SizeHint::new();
                hint.set_lower(upstream.lower().saturating_add(held));
                if let Some(upper) = upstream.upper() {
                    hint.set_upper(upper.saturating_add(held));
                }
                hint
            }
            Some(_) => SizeHint::default(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl<B> fmt::Debug for ScrubbedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScrubbedBody")
    }
}
