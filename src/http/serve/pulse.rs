//! Where one connection stands, and until when it may stand there.
//!
//! The socket, the service and the bodies report what happens; [`Pulse::deadline`] says when the
//! connection has had its time. One timer for each connection then enforces every limit, and the
//! usual request never touches it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::limits::ServeLimits;
use super::observer::Cut;

/// How long an expired request may still take to say so.
const LAST_WORDS: Duration = Duration::from_millis(500);

#[derive(Clone, Debug)]
pub(super) struct Pulse(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    limits: ServeLimits,
    phase: Phase,
    /// Since when the client has taken no byte although there were some for it.
    stalled_since: Option<Instant>,
    /// The client has closed its side.
    ended: bool,
    draining: bool,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// No byte of the next request has come.
    Waiting { until: Instant, why: Cut },
    /// Some of a header has come.
    Header { began: Instant },
    /// The service has the request, or its response is being written.
    Request {
        began: Instant,
        lifted: bool,
        expired: bool,
    },
    /// The response is complete, and some of it may still be on its way into the socket.
    Flushing { began: Instant, lifted: bool },
}

impl Pulse {
    /// A connection that is ready for its first request now.
    pub(super) fn start(limits: ServeLimits) -> Self {
        Self(Arc::new(Mutex::new(State {
            phase: Phase::Waiting {
                until: Instant::now() + limits.first_byte,
                why: Cut::Silent,
            },
            limits,
            stalled_since: None,
            ended: false,
            draining: false,
            waker: None,
        })))
    }

    /// Restarts the wait for the first byte: the TLS handshake had a limit of its own.
    pub(super) fn ready(&self) {
        let mut state = self.state();
        state.phase = Phase::Waiting {
            until: Instant::now() + state.limits.first_byte,
            why: Cut::Silent,
        };
    }

    /// Bytes came in.
    pub(super) fn received(&self) {
        let mut state = self.state();
        if let Phase::Waiting { .. } = state.phase {
            state.phase = Phase::Header {
                began: Instant::now(),
            };
        }
    }

    /// The client closed its side.
    pub(super) fn ended(&self) {
        self.state().ended = true;
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state().ended
    }

    /// Bytes could not go out.
    pub(super) fn blocked(&self) {
        self.state().stalled_since.get_or_insert_with(Instant::now);
    }

    /// Bytes went out.
    pub(super) fn moved(&self) {
        self.state().stalled_since = None;
    }

    /// All bytes went out.
    pub(super) fn flushed(&self) {
        let mut state = self.state();
        state.stalled_since = None;
        if let Phase::Flushing { .. } = state.phase {
            state.phase = Phase::Waiting {
                until: Instant::now() + state.limits.keep_alive_idle,
                why: Cut::Idle,
            };
        }
    }

    /// A whole header came. Returns when its request must be done.
    pub(super) fn request_began(&self) -> Instant {
        let mut state = self.state();
        let began = match state.phase {
            Phase::Header { began } => began,
            // A pipelined request was read together with the one before it.
            _ => Instant::now(),
        };
        state.phase = Phase::Request {
            began,
            lifted: false,
            expired: false,
        };
        began + state.limits.whole_request
    }

    /// The response body is complete, or given up.
    pub(super) fn response_ended(&self) {
        let mut state = self.state();
        if let Phase::Request { began, lifted, .. } = state.phase {
            state.phase = Phase::Flushing { began, lifted };
        }
    }

    /// Frees the running request from the limit on its whole length.
    pub(super) fn lift(&self) {
        if let Phase::Request { lifted, .. } = &mut self.state().phase {
            *lifted = true;
        }
    }

    pub(super) fn is_lifted(&self) -> bool {
        matches!(self.state().phase, Phase::Request { lifted: true, .. })
    }

    /// Whether the running request has had its time and should say so.
    pub(super) fn is_expired(&self) -> bool {
        matches!(self.state().phase, Phase::Request { expired: true, .. })
    }

    /// Marks the running request as expired; false when there is none, or it was marked before.
    pub(super) fn expire(&self) -> bool {
        match &mut self.state().phase {
            Phase::Request { expired, .. } if !*expired => {
                *expired = true;
                true
            }
            _ => false,
        }
    }

    /// When this connection must be cut if nothing happens, and why.
    pub(super) fn deadline(&self) -> Option<(Instant, Cut)> {
        let state = self.state();
        let limits = &state.limits;
        let phase = match state.phase {
            Phase::Waiting { until, why } => Some((until, why)),
            Phase::Header { began } => Some((began + limits.header_read, Cut::Header)),
            Phase::Request { lifted: true, .. } | Phase::Flushing { lifted: true, .. } => None,
            Phase::Request { began, expired, .. } => {
                let grace = if expired { LAST_WORDS } else { Duration::ZERO };
                Some((began + limits.whole_request + grace, Cut::Request))
            }
            Phase::Flushing { began, .. } => {
                Some((began + limits.whole_request + LAST_WORDS, Cut::Request))
            }
        };
        let stall = state
            .stalled_since
            .map(|since| (since + limits.write_stall, Cut::Stalled));
        match (phase, stall) {
            (Some(a), Some(b)) => Some(if b.0 < a.0 { b } else { a }),
            (a, b) => a.or(b),
        }
    }

    /// Asks the connection to end after the request it has, if any.
    pub(super) fn drain(&self) {
        let waker = {
            let mut state = self.state();
            state.draining = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the connection was asked to end, and if so whether it has nothing to finish.
    /// Otherwise the task of `cx` is woken once it is.
    pub(super) fn poll_drain(&self, cx: &Context<'_>) -> Option<bool> {
        let mut state = self.state();
        if state.draining {
            return Some(matches!(state.phase, Phase::Waiting { .. }));
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cut, Pulse, ServeLimits};

    fn why(pulse: &Pulse) -> Option<Cut> {
        pulse.deadline().map(|(_, why)| why)
    }

    #[test]
    fn each_stage_of_a_request_has_its_own_limit() {
        let pulse = Pulse::start(ServeLimits::default());
        assert_eq!(why(&pulse), Some(Cut::Silent));
        pulse.received();
        assert_eq!(why(&pulse), Some(Cut::Header));
        pulse.request_began();
        assert_eq!(why(&pulse), Some(Cut::Request));
        pulse.response_ended();
        pulse.flushed();
        assert_eq!(why(&pulse), Some(Cut::Idle));
        pulse.received();
        assert_eq!(why(&pulse), Some(Cut::Header));
    }

    #[test]
    fn a_lifted_request_is_still_cut_when_its_client_takes_nothing() {
        let pulse = Pulse::start(ServeLimits::default());
        pulse.received();
        pulse.request_began();
        pulse.lift();
        assert_eq!(why(&pulse), None);
        pulse.blocked();
        assert_eq!(why(&pulse), Some(Cut::Stalled));
        pulse.moved();
        assert_eq!(why(&pulse), None);
    }

    #[test]
    fn a_request_expires_once() {
        let pulse = Pulse::start(ServeLimits::default());
        assert!(!pulse.expire());
        pulse.request_began();
        assert!(!pulse.is_expired());
        assert!(pulse.expire());
        assert!(pulse.is_expired());
        assert!(!pulse.expire());
    }
}
