//! The two halves of a connection that speaks WebSocket: frames in, frames out.
//!
//! Both may be left in the middle of anything and taken up again: what came is in the one's buffer, what is
//! to go in the other's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::crypto::{Random, SystemRandom};

use super::frame::{self, Head, Kind, MAX_HEAD};
use super::{Fault, Side, Trouble, Words};

/// How much of a payload is dealt with at a time, in bytes.
pub(super) const PIECE: usize = 64 * 1024;
/// How much is read at a time, in bytes.
const READ: usize = 16 * 1024;
/// Masks that are drawn at a time.
const DRAWN: usize = 64;

/// What somebody sends.
pub(super) struct Reader<R> {
    io: R,
    side: Side,
    /// Came, and was not dealt with.
    buffer: BytesMut,
    /// The mask of the frame that is under way, and how much of it was dealt with.
    masked: (Option<[u8; 4]>, u64),
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(super) fn new(io: R, side: Side) -> Self {
        Self {
            io,
            side,
            buffer: BytesMut::new(),
            masked: (None, 0),
        }
    }

    pub(super) fn fault(&self, trouble: Trouble) -> Fault {
        Fault {
            side: self.side,
            trouble,
        }
    }

    /// The head of the next frame, if it is here.
    pub(super) fn head(&mut self) -> Result<Option<Head>, Fault> {
        let malformed = |_| self.fault(Trouble::Malformed);
        let Some((head, length)) = Head::read(&self.buffer).map_err(malformed)? else {
            return Ok(None);
        };
        // Who opened the connection masks, and nobody else (RFC 6455, 5.1).
        if head.mask.is_some() != (self.side == Side::Caller) {
            return Err(self.fault(Trouble::Malformed));
        }
        self.buffer.advance(length);
        self.masked = (head.mask, 0);
        Ok(Some(head))
    }

    /// So many bytes of the frame that is under way, unmasked, if they are here.
    pub(super) fn piece(&mut self, length: usize) -> Option<Bytes> {
        if self.buffer.len() < length {
            return None;
        }
        let mut piece = self.buffer.split_to(length);
        let (key, from) = self.masked;
        if let Some(key) = key {
            frame::mask(&mut piece, key, from);
        }
        self.masked.1 += u64::try_from(length).unwrap_or(u64::MAX);
        Some(piece.freeze())
    }

    /// Reads some more.
    pub(super) async fn fill(&mut self) -> Result<(), Fault> {
        self.buffer.reserve(READ);
        match self.io.read_buf(&mut self.buffer).await {
            Ok(1..) => Ok(()),
            Ok(0) | Err(_) => Err(self.fault(Trouble::Gone)),
        }
    }

    /// Reads what still comes, and forgets it.
    pub(super) async fn drain(&mut self) {
        while self.fill().await.is_ok() {
            self.buffer.clear();
        }
    }
}

/// What is sent to somebody.
pub(super) struct Writer<W> {
    io: W,
    side: Side,
    /// Is to go.
    out: BytesMut,
    /// How long the other side may take nothing.
    stall: Duration,
    masks: Vec<[u8; 4]>,
    /// Bytes of payload so far.
    count: Arc<AtomicU64>,
    /// Whether the last frame was sent.
    closed: bool,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    pub(super) fn new(io: W, side: Side, stall: Duration, count: Arc<AtomicU64>) -> Self {
        Self {
            io,
            side,
            out: BytesMut::new(),
            stall,
            masks: Vec::new(),
            count,
            closed: false,
        }
    }

    pub(super) fn fault(&self, trouble: Trouble) -> Fault {
        Fault {
            side: self.side,
            trouble,
        }
    }

    /// Puts a frame behind what is to go. It goes with [`flush`](Self::flush).
    pub(super) fn frame(&mut self, last: bool, kind: Kind, payload: &[u8]) -> Result<(), Fault> {
        let length = u64::try_from(payload.len()).unwrap_or(u64::MAX);
        let mask = match self.side {
            Side::Caller => None,
            Side::Upstream => Some(self.mask()?),
        };
        let head = Head {
            last,
            kind,
            mask,
            length,
        };
        self.out.reserve(payload.len() + MAX_HEAD);
        head.write(&mut self.out);
        let begins = self.out.len();
        self.out.extend_from_slice(payload);
        if let (Some(mask), Some(payload)) = (mask, self.out.get_mut(begins..)) {
            frame::mask(payload, mask, 0);
        }
        self.count.fetch_add(length, Ordering::Relaxed);
        self.closed |= kind == Kind::Close;
        Ok(())
    }

    /// A mask that nobody can foretell (RFC 6455, 5.3).
    fn mask(&mut self) -> Result<[u8; 4], Fault> {
        if self.masks.is_empty() {
            let mut drawn = [0; 4 * DRAWN];
            let filled = SystemRandom.fill(&mut drawn);
            filled.map_err(|_| self.fault(Trouble::Random))?;
            self.masks.extend(drawn.as_chunks::<4>().0);
        }
        self.masks.pop().ok_or(self.fault(Trouble::Random))
    }

    /// How much waits to go.
    pub(super) fn waiting(&self) -> usize {
        self.out.len()
    }

    /// Sends what is to go.
    pub(super) async fn flush(&mut self) -> Result<(), Fault> {
        while !self.out.is_empty() {
            match timeout(self.stall, self.io.write(&self.out)).await {
                Ok(Ok(written @ 1..)) => self.out.advance(written),
                Ok(Ok(0) | Err(_)) => return Err(self.fault(Trouble::Gone)),
                Err(_) => return Err(self.fault(Trouble::Stalled)),
            }
        }
        match timeout(self.stall, self.io.flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.fault(Trouble::Gone)),
            Err(_) => Err(self.fault(Trouble::Stalled)),
        }
    }

    /// Says why it is over, unless that was said, and closes.
    pub(super) async fn goodbye(&mut self, words: Words) {
        if let Some((code, reason)) = words.filter(|_| !self.closed) {
            let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
            if self.frame(true, Kind::Close, &payload).is_err() {
                return;
            }
        }
        if self.flush().await.is_ok() {
            // It is closed either way.
            drop(self.io.shutdown().await);
        }
    }
}
