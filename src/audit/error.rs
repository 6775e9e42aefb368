//! What can go wrong with the journal, and what to do about it.

use std::io;

use crate::crypto::CryptoError;

/// A failure of the journal. Whatever it is, the action that was to be recorded must not happen.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The record could not be made durable in time; nothing was counted.
    #[error("the audit journal cannot be written")]
    Unavailable,
    /// The event is larger than a record may be.
    #[error("the event is longer than the {limit} bytes of an audit record")]
    TooLong {
        /// The most bytes that one record has.
        limit: usize,
    },
    /// Another process has the journal open.
    #[error("another process has the audit journal open")]
    InUse,
    /// A segment belongs to another store.
    #[error("audit segment {segment} belongs to another store")]
    OtherStore {
        /// The first sequence number of the segment, as in its file name.
        segment: u64,
    },
    /// A segment was sealed under another key.
    #[error("audit segment {segment} is sealed under another key")]
    OtherKey {
        /// The first sequence number of the segment, as in its file name.
        segment: u64,
    },
    /// Records that were durable are missing or altered.
    #[error("the audit journal is damaged: segment {segment}, at or after record {seq}")]
    Damaged {
        /// The first sequence number of the segment, as in its file name.
        segment: u64,
        /// The first record that may be affected.
        seq: u64,
    },
    /// The journal is not the one that the store has seen.
    #[error("the store remembers audit record {store}, but the journal {journal}")]
    Mismatch {
        /// The record that the store remembers.
        store: u64,
        /// What is the matter with the journal.
        journal: &'static str,
    },
    /// The operating system refused.
    #[error("cannot {doing}: {kind}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The kind of refusal.
        kind: io::ErrorKind,
    },
    /// Sealing failed.
    #[error("cannot seal an audit record")]
    Crypto(#[from] CryptoError),
}

impl AuditError {
    /// What the reader of the message can do next.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Unavailable => {
                "check free space and permissions of data/audit; service resumes by itself once it can be written"
            }
            Self::TooLong { .. } => "use fewer targets in one request",
            Self::InUse => "stop the other broker, or give this one a data directory of its own",
            Self::OtherStore { .. } => {
                "data/audit was mixed with another installation's; restore the matching one"
            }
            Self::OtherKey { .. } => "restore the keys directory that belongs to this data",
            Self::Damaged { .. } => {
                "keep a copy of data/ and keys/ as they are for whoever investigates, then put both back from backups of one moment; an export made before can still be verified offline: `runtools audit verify --file EXPORT --public-key HEX`"
            }
            Self::Mismatch { .. } => {
                "put back the data directory as a whole: store and audit belong together"
            }
            Self::Io { .. } => {
                "check that data/audit is a directory that the broker's user may write"
            }
            Self::Crypto(_) => "check the system's source of randomness, then retry",
        }
    }

    /// Maps an I/O failure, naming what was tried and never a path.
    pub(super) fn io(doing: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self::Io {
            doing,
            kind: error.kind(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::AuditError;

    #[test]
    fn nothing_is_asked_for_that_a_broker_which_does_not_start_would_have_to_do() {
        let hint = AuditError::Damaged { segment: 1, seq: 7 }.hint();
        assert!(hint.contains("backups of one moment"), "{hint}");
        let asked: Vec<_> = hint.match_indices("runtools ").collect();
        assert_eq!(asked.len(), 1, "{hint}");
        assert!(hint.contains("runtools audit verify --file"), "{hint}");
    }
}
