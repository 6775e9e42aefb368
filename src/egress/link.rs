//! One HTTP/1.1 connection, whatever it runs over, and one exchange on it.

use std::fmt;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::UPGRADE;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::rt::{Read, Write};
use tokio::time::{Instant, sleep_until, timeout};

use super::drive::Drive;
use super::outgoing::Upload;
use super::room::Seat;
use super::{EgressError, Limits, Phase};

/// How much hyper buffers per connection and direction.
const BUFFER_BYTES: usize = 128 * 1024;

/// An open connection. Dropping it closes the socket at once, whatever was under way.
pub(super) struct Link {
    sender: SendRequest<Upload>,
    /// Apart, so that what holds a link is no larger for it.
    drive: Box<Drive>,
    peer: Option<SocketAddr>,
    /// The connection's place among all; given back when it is gone.
    _seat: Option<Seat>,
}

/// Why an exchange did not happen.
pub(super) enum Failed {
    /// Not a byte left: the request may go over another connection.
    Unsent(Box<Request<Upload>>),
    /// The request may have reached the upstream.
    For(EgressError),
}

impl Link {
    /// Starts HTTP/1.1 over `io`, which has proved its peer already.
    pub(super) async fn start<T>(
        io: T,
        limits: &Limits,
        peer: Option<SocketAddr>,
        seat: Option<Seat>,
    ) -> Result<Self, EgressError>
    where
        T: Read + Write + Unpin + Send + 'static,
    {
        let (sender, connection) = Builder::new()
            .max_headers(limits.headers)
            .max_header_size(limits.head_bytes)
            .max_buf_size(BUFFER_BYTES.max(limits.head_bytes))
            .handshake(io)
            .await
            .map_err(|_| EgressError::Connect)?;
        Ok(Self {
            sender,
            drive: Box::new(Drive::of(async move {
                drop(connection.with_upgrades().await);
            })),
            peer,
            _seat: seat,
        })
    }

    /// The address at the other end, when it is a network's.
    pub(super) const fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Whether another request could go out now.
    pub(super) fn is_ready(&mut self) -> bool {
        self.drive.look();
        self.sender.is_ready() && !self.sender.is_closed()
    }

    /// Waits until the last exchange is wound up; false when the connection ends or dawdles.
    pub(super) async fn settle(&mut self, limit: Duration) -> bool {
        let Self { sender, drive, .. } = self;
        let ready = drive.until(|cx| sender.poll_ready(cx));
        matches!(timeout(limit, ready).await, Ok(Ok(())))
    }

    /// Sends `request` and waits for the head of the answer: `limit` from the moment the last piece
    /// of the request was taken, so that a long upload is not cut off while it moves.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Upload>,
        limit: Duration,
    ) -> Result<Response<Incoming>, Failed> {
        let may_switch = request.headers().contains_key(UPGRADE);
        if may_switch {
            // What the connection becomes is waited for elsewhere.
            self.drive.leave();
        }
        let activity = request.body().activity();
        let answer = {
            let mut answer = pin!(self.sender.try_send_request(request));
            let mut answer = pin!(self.drive.until(|cx| answer.as_mut().poll(cx)));
            loop {
                let deadline = activity.last() + limit;
                tokio::select! {
                    biased;
                    answer = &mut answer => break answer,
                    () = sleep_until(deadline) => {
                        if activity.last() + limit <= Instant::now() {
                            return Err(Failed::For(EgressError::Timeout { phase: Phase::Head }));
                        }
                    }
                }
            }
        };
        // Whoever reads the answer may first want to be rid of the rest of the upload.
        if !activity.is_over() {
            self.drive.leave();
        }
        match answer {
            // Unasked for, a switch of protocols is the upstream's own idea.
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS && !may_switch => {
                Err(Failed::For(EgressError::UpstreamProtocol))
            }
            Ok(response) => Ok(response),
            Err(mut failed) => Err(match failed.take_message() {
                Some(request) => Failed::Unsent(Box::new(request)),
                None => Failed::For(reason(&failed.into_error())),
            }),
        }
    }
}

impl Link {
    /// The next frame of `body`, which is the answer that comes over this connection.
    pub(super) fn poll_frame(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.drive
            .poll(cx, |cx| Pin::new(&mut *body).poll_frame(cx))
    }
}

impl Failed {
    /// What to tell the caller when the request is not tried again.
    pub(super) fn reason(self) -> EgressError {
        match self {
            Self::Unsent(_) => EgressError::Closed,
            Self::For(error) => error,
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link")
    }
}

/// Says what went wrong without the upstream's words.
pub(super) fn reason(error: &hyper::Error) -> EgressError {
    if error.is_parse_too_large() {
        EgressError::TooLarge
    } else if error.is_parse() {
        EgressError::UpstreamProtocol
    } else if error.is_user() {
        EgressError::Upload
    } else {
        EgressError::Closed
    }
}
