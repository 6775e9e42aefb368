//! How much tool code may take of the lanes.

use std::time::Duration;

/// The bounds of calls by right of handles, and of declared actions. [`Default`] gives the values in the
/// field notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneLimits {
    /// For an exchange whose answer is read whole: 5 min.
    pub whole: Duration,
    /// For one whose answer streams, and for a WebSocket: 1 h.
    pub stream: Duration,
    /// How long nothing may move in a WebSocket: 10 min.
    pub socket_idle: Duration,
    /// Bytes of a request's body: 1 GiB.
    pub upload_bytes: u64,
    /// Calls of one user that run at a time: 64.
    pub running_per_user: usize,
    /// Handles in all: 100,000.
    pub handles: usize,
    /// Of these, handles of one organisation, so that one cannot leave the others without: a quarter.
    pub handles_per_org: usize,
    /// Of these, handles of one user, so that one cannot leave their colleagues without: 2,000.
    pub handles_per_user: usize,
}

impl Default for LaneLimits {
    fn default() -> Self {
        Self {
            whole: Duration::from_mins(5),
            stream: Duration::from_hours(1),
            socket_idle: Duration::from_mins(10),
            upload_bytes: 1 << 30,
            running_per_user: 64,
            handles: 100_000,
            handles_per_org: 25_000,
            handles_per_user: 2_000,
        }
    }
}
