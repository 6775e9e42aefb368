//! How it ended.

use serde::{Deserialize, Serialize};

use super::Code;

/// Whether it worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It did.
    Success,
    /// It did not.
    Failed,
    /// Nobody said: the work was abandoned, or the process ended.
    Unknown,
}

/// How an intent ended. A record of its own, which names the intent's sequence number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Whether it worked.
    pub status: Status,
    /// The upstream's status code.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub http_status: Option<u16>,
    /// Why it failed, or what it came to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<Code>,
    /// How long it took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub duration_ms: Option<u64>,
    /// Bytes received from the upstream.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes_in: Option<u64>,
    /// Bytes sent to the upstream.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes_out: Option<u64>,
    /// How often a value was found in what came back, and taken out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scrub_hits: Option<u64>,
}

impl Outcome {
    const fn of(status: Status) -> Self {
        Self {
            status,
            http_status: None,
            code: None,
            duration_ms: None,
            bytes_in: None,
            bytes_out: None,
            scrub_hits: None,
        }
    }

    /// It worked.
    #[must_use]
    pub const fn success() -> Self {
        Self::of(Status::Success)
    }

    /// It failed, for this reason.
    #[must_use]
    pub fn failed(code: impl Into<Code>) -> Self {
        Self {
            code: Some(code.into()),
            ..Self::of(Status::Failed)
        }
    }

    /// Nobody knows.
    #[must_use]
    pub const fn unknown() -> Self {
        Self::of(Status::Unknown)
    }

    /// States what it came to.
    #[must_use]
    pub fn code(mut self, code: impl Into<Code>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// States the upstream's status code.
    #[must_use]
    pub const fn http_status(mut self, status: u16) -> Self {
        self.http_status = Some(status);
        self
    }

    /// States how long it took, in milliseconds.
    #[must_use]
    pub const fn duration_ms(mut self, millis: u64) -> Self {
        self.duration_ms = Some(millis);
        self
    }

    /// States how many bytes came in and went out.
    #[must_use]
    pub const fn bytes(mut self, received: u64, sent: u64) -> Self {
        self.bytes_in = Some(received);
        self.bytes_out = Some(sent);
        self
    }

    /// States how often a value was scrubbed from the response.
    #[must_use]
    pub const fn scrub_hits(mut self, hits: u64) -> Self {
        self.scrub_hits = Some(hits);
        self
    }
}
