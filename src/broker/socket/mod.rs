//! A WebSocket that tool code opens through the broker (RFC 6455).
//!
//! ```text
//! caller ── masked frames ──▶ reader ─▶ gate: no placeholder ─▶ writer ── masked anew ──▶ upstream
//!        ◀──────── frames ─── writer ◀─ gate: values masked  ◀─ reader ◀── frames ────────
//! ```
//!
//! The opening is a request like any other, with its credentials in its slots; each side has an opening of
//! its own. After that the broker is a party to both: frames are read, judged and written anew, so that
//! what one side takes for the end of a frame is what the other does. Messages pass in pieces, so that memory does
//! not grow with them. Whatever ends one side ends the other, and one line in the journal says
//! how.

mod frame;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
mod gate;
mod half;
mod handshake;
mod opening;
mod pump;
#[cfg(test)]
mod tests_cuts;
#[cfg(test)]
mod tests_rig;
#[cfg(test)]
mod tests_socket;

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::audit::Outcome;
use crate::egress::UpstreamSocket;

use super::relay::{Cut, Ends, Ledger, Relayed};
use gate::Gate;
use half::{Reader, Writer};
use pump::{Pace, Pump};

pub use handshake::{Handshake, HandshakeFault};
pub(super) use opening::Beginnings;

/// What came of a request for a WebSocket.
#[derive(Debug)]
pub enum Opened {
    /// The upstream agreed.
    Socket(Box<RelayedSocket>),
    /// It answered something else.
    Answer(Box<Relayed>),
}

/// How long, and how large.
#[derive(Clone, Copy, Debug)]
pub(super) struct SocketLimits {
    /// How long nothing may move either way.
    idle: Duration,
    /// How long one side may leave the other's goodbye unanswered.
    closing: Duration,
    /// How long one side may take nothing of what is for it.
    stall: Duration,
    /// How long the last words may take.
    last_words: Duration,
    /// Bytes in one frame.
    frame: u64,
    /// Bytes in one message.
    message: u64,
}

impl Default for SocketLimits {
    fn default() -> Self {
        Self {
            idle: Duration::from_mins(10),
            closing: Duration::from_secs(5),
            stall: Duration::from_secs(30),
            last_words: Duration::from_millis(500),
            frame: 16 << 20,
            message: 64 << 20,
        }
    }
}

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Caller,
    Upstream,
}

/// What is wrong with one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// It is gone, without a goodbye.
    Gone,
    /// It breaks the protocol.
    Malformed,
    /// It sends a frame or a message that is too large.
    TooLarge,
    /// It takes nothing.
    Stalled,
    /// It sends a placeholder.
    Placeholder,
    /// There is no randomness to be had for it.
    Random,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fault {
    side: Side,
    trouble: Trouble,
}

/// How a conversation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Both said goodbye, or one did and the other is gone.
    Closed,
    Fault(Fault),
    Cut(Cut),
    /// Nothing moved for too long.
    Idle,
    /// The broker ends.
    Leaving,
}

/// Why it is over, for a side that is to be told (RFC 6455, 7.4).
type Words = Option<(u16, &'static str)>;

/// A WebSocket that an upstream agreed to, before a frame was read.
pub struct RelayedSocket {
    /// The headers of the answer to the caller: those of the upstream's, searched, what it chose of the
    /// subprotocols among them; and what makes it the answer to the caller's opening.
    pub headers: HeaderMap,
    upstream: UpstreamSocket,
    /// What passes to the upstream, and from there.
    gates: (Gate, Gate),
    ledger: Ledger,
    ends: Ends,
    /// How long nothing may move.
    idle: Duration,
    /// What lives as long as the conversation does.
    _held: Box<dyn std::any::Any + Send>,
}

impl RelayedSocket {
    /// Hands frames on between `caller`, whose connection was just switched, and the upstream, until one of
    /// them ends it, or it must end. `leaving` asks for the latter.
    pub async fn run<C>(self, caller: C, leaving: CancellationToken)
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let Self {
            upstream,
            gates,
            mut ledger,
            mut ends,
            idle,
            _held,
            ..
        } = self;
        let talk = Talk {
            limits: SocketLimits {
                idle,
                ..SocketLimits::default()
            },
            counts: ledger.counts(),
        };
        let over = async {
            tokio::select! {
                biased;
                cut = &mut ends => End::Cut(cut),
                () = leaving.cancelled() => End::Leaving,
            }
        };
        let end = |end: End| {
            ledger.close(match end.code() {
                None => Outcome::success(),
                Some(code) => Outcome::failed(code),
            });
        };
        talk.run((caller, upstream), gates, over, end).await;
    }
}

impl fmt::Debug for RelayedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelayedSocket")
    }
}

/// A conversation between two sides, whoever they are.
struct Talk {
    limits: SocketLimits,
    /// Bytes of payload that went to the caller, and to the upstream.
    counts: (Arc<AtomicU64>, Arc<AtomicU64>),
}

impl Talk {
    /// Hands frames on until it ends; tells `told` how, and then says goodbye to both.
    async fn run<C, U>(
        self,
        (caller, upstream): (C, U),
        (up, down): (Gate, Gate),
        over: impl Future<Output = End>,
        told: impl FnOnce(End),
    ) where
        C: AsyncRead + AsyncWrite + Unpin,
        U: AsyncRead + AsyncWrite + Unpin,
    {
        let limits = self.limits;
        let ((caller_in, caller_out), (up_in, up_out)) = (split(caller), split(upstream));
        let mut caller_in = Reader::new(caller_in, Side::Caller);
        let mut upstream_in = Reader::new(up_in, Side::Upstream);
        let (to_caller, to_upstream) = self.counts;
        let mut caller_out = Writer::new(caller_out, Side::Caller, limits.stall, to_caller);
        let mut upstream_out = Writer::new(up_out, Side::Upstream, limits.stall, to_upstream);
        let pace = Pace::start();
        let end = {
            let up = Pump {
                from: &mut caller_in,
                to: &mut upstream_out,
                gate: up,
                pace: &pace,
                limits,
            };
            let down = Pump {
                from: &mut upstream_in,
                to: &mut caller_out,
                gate: down,
                pace: &pace,
                limits,
            };
            let both = both(up.run(), down.run(), limits.closing);
            tokio::select! {
                biased;
                end = over => end,
                end = both => end,
                () = pace.idle(limits.idle) => End::Idle,
            }
        };
        told(end);
        let (caller, upstream) = end.words();
        let words = async {
            tokio::join!(
                async {
                    caller_out.goodbye(caller).await;
                    // What the caller is still sending would make their system forget our last words.
                    caller_in.drain().await;
                },
                upstream_out.goodbye(upstream),
            )
        };
        // Said or not, it is over.
        drop(timeout(limits.last_words, words).await);
    }
}

/// Runs both directions until both are over, or one fails.
async fn both(
    up: impl Future<Output = Result<(), Fault>>,
    down: impl Future<Output = Result<(), Fault>>,
    closing: Duration,
) -> End {
    let (mut up, mut down) = (pin!(up), pin!(down));
    // Who was told goodbye may go without one.
    let rest = tokio::select! {
        first = &mut up => match first {
            Ok(()) => timeout(closing, down).await,
            Err(fault) => return End::Fault(fault),
        },
        first = &mut down => match first {
            Ok(()) => timeout(closing, up).await,
            Err(fault) => return End::Fault(fault),
        },
    };
    match rest {
        Ok(Err(fault)) if fault.trouble != Trouble::Gone => End::Fault(fault),
        _ => End::Closed,
    }
}

impl End {
    /// What the journal says of it; nothing for a good end.
    const fn code(self) -> Option<&'static str> {
        Some(match self {
            Self::Closed => return None,
            Self::Cut(cut) => cut.code(),
            Self::Idle => "idle",
            Self::Leaving => "broker_ends",
            Self::Fault(Fault { side, trouble }) => match (side, trouble) {
                (Side::Caller, Trouble::Gone) => "client_gone",
                (Side::Caller, Trouble::Malformed) => "frame_refused",
                (Side::Caller, Trouble::TooLarge) => "message_too_large",
                (Side::Caller, Trouble::Stalled) => "client_stalled",
                (_, Trouble::Placeholder) => "placement",
                (_, Trouble::Random) => "no_randomness",
                (Side::Upstream, Trouble::Gone) => "upstream_closed",
                (Side::Upstream, Trouble::Malformed) => "upstream_protocol",
                (Side::Upstream, Trouble::TooLarge) => "upstream_too_large",
                (Side::Upstream, Trouble::Stalled) => "upstream_timeout",
            },
        })
    }

    /// What the caller and the upstream are told (RFC 6455, 7.4.1); nothing who is gone, and nothing whose
    /// counterpart went without a word.
    const fn words(self) -> (Words, Words) {
        const GOES: Words = Some((1001, ""));
        match self {
            Self::Closed => (None, None),
            Self::Cut(Cut::Handle) => (Some((1008, "the handle died")), GOES),
            Self::Cut(Cut::Sealed) => (Some((1001, "the vault was sealed")), GOES),
            Self::Cut(Cut::Late) => (Some((1001, "its time is over")), GOES),
            Self::Idle => (Some((1001, "nothing moved for too long")), GOES),
            Self::Leaving => (Some((1001, "the broker ends")), GOES),
            Self::Fault(Fault { side, trouble }) => match (side, trouble) {
                (Side::Caller, Trouble::Gone | Trouble::Stalled) => (None, GOES),
                (Side::Caller, Trouble::Malformed) => {
                    (Some((1002, "a frame breaks the protocol")), GOES)
                }
                (Side::Caller, Trouble::TooLarge) => (Some((1009, "a message is too large")), GOES),
                (_, Trouble::Placeholder) => {
                    (Some((1008, "a placeholder stands in a message")), GOES)
                }
                (_, Trouble::Random) => (Some((1011, "")), Some((1011, ""))),
                (Side::Upstream, Trouble::Gone) => (None, None),
                (Side::Upstream, Trouble::Malformed) => (
                    Some((1011, "the upstream breaks the protocol")),
                    Some((1002, "")),
                ),
                (Side::Upstream, Trouble::TooLarge) => (
                    Some((1011, "the upstream sent too large a message")),
                    Some((1009, "")),
                ),
                (Side::Upstream, Trouble::Stalled) => {
                    (Some((1011, "the upstream takes nothing")), None)
                }
            },
        }
    }
}
