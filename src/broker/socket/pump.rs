//! One direction of a conversation: frames are read, searched, and written anew.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Duration, Instant};

use super::frame::{Head, Kind, may_close_with};
use super::gate::Gate;
use super::half::{PIECE, Reader, Writer};
use super::{Fault, SocketLimits, Trouble};

/// When anything last moved, either way.
pub(super) struct Pace {
    start: Instant,
    millis: AtomicU64,
}

impl Pace {
    pub(super) fn start() -> Self {
        Self {
            start: Instant::now(),
            millis: AtomicU64::new(0),
        }
    }

    fn moved(&self) {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Ordering::Relaxed);
    }

    /// Completes when nothing has moved for so long.
    pub(super) async fn idle(&self, limit: Duration) {
        loop {
            let last = Duration::from_millis(self.millis.load(Ordering::Relaxed));
            let deadline = self.start + last + limit;
            if deadline <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(deadline).await;
        }
    }
}

/// A message that is under way.
struct Message {
    kind: Kind,
    /// Whether some of it was handed on.
    begun: bool,
    length: u64,
}

/// One direction.
pub(super) struct Pump<'a, R, W> {
    pub(super) from: &'a mut Reader<R>,
    pub(super) to: &'a mut Writer<W>,
    pub(super) gate: Gate,
    pub(super) pace: &'a Pace,
    pub(super) limits: SocketLimits,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Pump<'_, R, W> {
    /// Hands on what comes, until the frame that closes was handed on.
    pub(super) async fn run(mut self) -> Result<(), Fault> {
        let mut message = None;
        loop {
            let head = self.head().await?;
            if !head.kind.is_control() {
                let open = self.open(&head, message.take())?;
                message = self.data(&head, open).await?;
                continue;
            }
            // No longer than 125 bytes, as the head was read.
            let payload = self
                .piece(usize::try_from(head.length).unwrap_or(PIECE))
                .await?;
            if head.kind == Kind::Close {
                return self.close(payload).await;
            }
            let payload = self.gate.control(payload);
            let payload = payload.map_err(|_| self.from.fault(Trouble::Placeholder))?;
            self.to.frame(true, head.kind, &payload)?;
        }
    }

    /// The head of the next frame.
    async fn head(&mut self) -> Result<Head, Fault> {
        loop {
            if let Some(head) = self.from.head()? {
                self.pace.moved();
                return Ok(head);
            }
            self.more().await?;
        }
    }

    /// So many bytes of the frame that is under way.
    async fn piece(&mut self, length: usize) -> Result<Bytes, Fault> {
        loop {
            if let Some(piece) = self.from.piece(length) {
                self.pace.moved();
                return Ok(piece);
            }
            self.more().await?;
        }
    }

    /// Waits for more to come, when what came before has gone.
    async fn more(&mut self) -> Result<(), Fault> {
        self.to.flush().await?;
        self.from.fill().await
    }

    /// The message that a frame of data belongs to, if it may stand here.
    fn open(&self, head: &Head, open: Option<Message>) -> Result<Message, Fault> {
        let mut message = match (head.kind, open) {
            (Kind::More, Some(message)) => message,
            (kind @ (Kind::Text | Kind::Binary), None) => Message {
                kind,
                begun: false,
                length: 0,
            },
            _ => return Err(self.from.fault(Trouble::Malformed)),
        };
        message.length = message.length.saturating_add(head.length);
        if head.length > self.limits.frame || message.length > self.limits.message {
            return Err(self.from.fault(Trouble::TooLarge));
        }
        Ok(message)
    }

    /// Hands on a frame of data; the message, unless it ends with it.
    async fn data(&mut self, head: &Head, mut message: Message) -> Result<Option<Message>, Fault> {
        let mut left = head.length;
        loop {
            let length = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let piece = self.piece(length).await?;
            left -= u64::try_from(length).unwrap_or(left);
            let last = head.last && left == 0;
            let decided = self.gate.message(piece, last);
            let decided = decided.map_err(|_| self.from.fault(Trouble::Placeholder))?;
            if last || !decided.is_empty() {
                let kind = if message.begun {
                    Kind::More
                } else {
                    message.kind
                };
                message.begun = true;
                self.to.frame(last, kind, &decided)?;
            }
            if self.to.waiting() >= PIECE {
                self.to.flush().await?;
            }
            if left == 0 {
                return Ok((!last).then_some(message));
            }
        }
    }

    /// Hands on the frame that closes.
    async fn close(&mut self, payload: Bytes) -> Result<(), Fault> {
        let payload = match payload.split_first_chunk::<2>() {
            None if payload.is_empty() => Vec::new(),
            Some((code, reason))
                if may_close_with(u16::from_be_bytes(*code))
                    && std::str::from_utf8(reason).is_ok() =>
            {
                let reason = self.gate.control(Bytes::copy_from_slice(reason));
                let reason = reason.map_err(|_| self.from.fault(Trouble::Placeholder))?;
                [code, &*reason].concat()
            }
            _ => return Err(self.from.fault(Trouble::Malformed)),
        };
        self.to.frame(true, Kind::Close, &payload)?;
        self.to.flush().await
    }
}
