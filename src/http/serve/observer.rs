//! What the accept loop tells the rest of the program, in words from closed sets.

use std::fmt;

/// Why a connection was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// Too many connections altogether.
    Connections,
    /// Too many connections of one source.
    Source,
    /// The operating system could not accept it.
    Accept,
}

/// Why a connection that had been taken was closed on its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cut {
    /// The TLS handshake failed or took too long.
    Handshake,
    /// No byte came.
    Silent,
    /// No further request came.
    Idle,
    /// A request header did not end.
    Header,
    /// A request, or its response, did not end.
    Request,
    /// The client took no byte of its response.
    Stalled,
}

impl Rejection {
    /// Every reason there is.
    pub const ALL: [Self; 3] = [Self::Connections, Self::Source, Self::Accept];

    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Source => "source",
            Self::Accept => "accept",
        }
    }
}

impl Cut {
    /// Every reason there is.
    pub const ALL: [Self; 6] = [
        Self::Handshake,
        Self::Silent,
        Self::Idle,
        Self::Header,
        Self::Request,
        Self::Stalled,
    ];

    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Handshake => "tls_handshake",
            Self::Silent => "silent",
            Self::Idle => "idle",
            Self::Header => "header_timeout",
            Self::Request => "request_timeout",
            Self::Stalled => "stalled",
        }
    }
}

/// Hears what happens to connections, for metrics. Calls come from many tasks and must not block.
pub trait Observer: Send + Sync + fmt::Debug {
    /// A connection was taken.
    fn opened(&self) {}
    /// A connection that had been taken is gone.
    fn closed(&self) {}
    /// A connection was not taken.
    fn rejected(&self, _why: Rejection) {}
    /// A connection was closed on its client. [`Observer::closed`] follows.
    fn cut(&self, _why: Cut) {}
    /// A changed certificate was loaded, or could not be and the one before it stays.
    fn certificate(&self, _loaded: bool) {}
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}
