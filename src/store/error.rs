//! What can go wrong with the store, and what to do about it.

use std::io;

use super::{EngineKind, ExternalFault};

/// A failure of the store. None of them holds a key or a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another process has the data directory.
    #[error("the data directory is in use by another process")]
    Locked,
    /// The directory holds a store of another format, or something else.
    #[error("the data directory holds no store of a format known to this version")]
    Format,
    /// The store was made by the other engine.
    #[error("the store is {found}'s, and the settings name another engine")]
    OtherEngine {
        /// Whose it is.
        found: EngineKind,
    },
    /// What is stored is not what was written.
    #[error("the store is damaged: {what}")]
    Damaged {
        /// Which check failed.
        what: &'static str,
    },
    /// The store is an older copy of itself.
    #[error(
        "the store is an older copy: it is at generation {store}, and its anchor file has seen {anchor}"
    )]
    RolledBack {
        /// The generation that was found.
        store: u64,
        /// The generation that the anchor file remembers.
        anchor: u64,
    },
    /// The store is empty, and its anchor file says that it was not.
    #[error("the store is empty, but its anchor file says that it held records")]
    Emptied,
    /// The store has no anchor file.
    #[error("the anchor file of the store is missing")]
    AnchorMissing,
    /// The anchor file is not one of this store.
    #[error("the anchor file is damaged, or belongs to another store")]
    AnchorDamaged,
    /// The anchor file that is kept elsewhere does not let the store be opened.
    #[error("the external anchor file {0}")]
    External(ExternalFault),
    /// There is no store here yet.
    #[error("there is no store yet")]
    NotCreated,
    /// A store cannot be made where one is.
    #[error("there is a store already")]
    NotEmpty,
    /// What a commit expected was not so; nothing of it was done.
    #[error("a record changed in the meantime")]
    Precondition,
    /// A record is longer than the store takes.
    #[error("a record is longer than {limit} bytes")]
    TooLarge {
        /// The longest record, in bytes.
        limit: usize,
    },
    /// A commit is larger than can be made durable at once.
    #[error("a commit is larger than {bytes} bytes or {changes} changes")]
    BatchTooLarge {
        /// The most bytes of records.
        bytes: usize,
        /// The most changes.
        changes: usize,
    },
    /// A commit names the record that the store keeps for itself.
    #[error("the state record belongs to the store")]
    Reserved,
    /// The state could not be sealed; nothing was changed.
    #[error("the state of the store could not be sealed")]
    Sealing,
    /// The store has no files that could be replaced.
    #[error("the store is not on a disk")]
    NotOnDisk,
    /// The store's files are being replaced already.
    #[error("the store is being copied already")]
    Rewriting,
    /// The copying of the store was stopped.
    #[error("the copying of the store was stopped; the store is where it was")]
    Stopped,
    /// The disk is nearly full.
    #[error("too little room is left on the disk for a copy of the store; it is where it was")]
    NoRoom,
    /// More was changed than could be copied.
    #[error("the store changes faster than it can be copied; it is where it was")]
    Restless,
    /// Records are in another order since a scan of them began: what is left of it cannot be told.
    #[error("the names in the store were put under another key meanwhile")]
    Moved,
    /// No room is left on the disk. The change may or may not be there after the next start.
    #[error("no room is left for the store")]
    Full,
    /// The operating system refused. A change may or may not be there after the next start.
    #[error("{doing} failed: {kind}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The operating system's reason.
        kind: io::ErrorKind,
    },
    /// An earlier write failed, so what is in memory may not be what is on disk.
    #[error("the store stopped after a failed write")]
    Failed,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// What to do next, in one sentence or two.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a table: an advice for each failure")]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Locked => "Stop the other broker, or give this one another data directory.",
            Self::Format => {
                "Check the data directory's path. If a newer version wrote it, start that version. If this one did, the file `format` in it is damaged: restore a backup into another directory. Nothing here was changed."
            }
            Self::OtherEngine {
                found: EngineKind::Sled,
            } => {
                "Set `store.engine = \"sled\"`, or take the store over: `runtools-broker store migrate --to redb`."
            }
            Self::OtherEngine {
                found: EngineKind::Redb,
            } => {
                "Set `store.engine = \"redb\"`, or take the store over: `runtools-broker store migrate --to sled`."
            }
            Self::Damaged { .. } => {
                "Keep the directory as it is, copy it aside, and restore the newest backup. Check the disk."
            }
            Self::RolledBack { .. } => {
                "Put back the newest copy of the data directory. If nobody put an older one there, its files are damaged: check the disk and restore the newest backup. If this is the newest that is left: `runtools-broker store accept-rollback`."
            }
            Self::Emptied => {
                "Check that the right data directory is mounted. If its content is lost, restore the newest backup."
            }
            Self::AnchorMissing => {
                "Put back data/ and keys/ of one copy: the anchor file is data/anchor. Without it nothing can tell whether this store is the newest. If it is lost: `runtools-broker store accept-rollback`."
            }
            Self::AnchorDamaged => {
                "Put back data/ and keys/ of one copy: the anchor file is data/anchor. If that is the newest there is: `runtools-broker store accept-rollback`."
            }
            Self::External(ExternalFault::Missing) => {
                "Check that the disk of `store.external_anchor` is mounted. If there never was such a file, begin it: `runtools-broker store accept-rollback --reason \"first external anchor\"`."
            }
            Self::External(ExternalFault::Used) => {
                "Check data_dir: the store of this file may be in another. For a new store, name another file in `store.external_anchor`."
            }
            Self::External(_) => {
                "Put back the newest copy of the data directory, or the file of this store. If this is the newest that is left: `runtools-broker store accept-rollback`."
            }
            Self::NotCreated => {
                "Start runtools-broker; the first start makes it. If there was one, check data_dir."
            }
            Self::NotEmpty => "Start runtools-broker as it is, or choose an empty data_dir.",
            Self::Precondition => "Read the record again and repeat the change.",
            Self::TooLarge { .. } => "Store a shorter value.",
            Self::BatchTooLarge { .. } => "Do the same in several smaller steps.",
            Self::Reserved => "Use another key: this one is the store's own.",
            Self::Sealing => "Try again; the operating system gave no random bytes.",
            Self::NotOnDisk => "Only a store on disk is compacted or moved to another engine.",
            Self::Rewriting => {
                "Wait for it to end: `runtools-broker store status` shows how far it has come."
            }
            Self::Moved => "Ask again.",
            Self::Stopped => "Begin again: what was copied is not copied twice.",
            Self::NoRoom => {
                "Make room on the disk that holds the data directory: a copy takes as much as the live records."
            }
            Self::Restless => "Try again when less is written.",
            Self::Full => "Make room on the disk that holds the data directory, then restart.",
            Self::Io { .. } => {
                "Check the disk and the permissions of the data directory, then restart."
            }
            Self::Failed => {
                "Look up the first failure in the log, mend its cause, then restart the broker."
            }
            Self::Closed => "The broker is shutting down; try again once it is back.",
        }
    }

    /// Turns a failure of the operating system into [`StoreError::Full`] or [`StoreError::Io`].
    pub(super) fn io(doing: &'static str, kind: io::ErrorKind) -> Self {
        match kind {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::Full,
            kind => Self::Io { doing, kind },
        }
    }
}

/// Names what was being done when the operating system refused.
pub(super) trait Doing<T> {
    /// The failure as a [`StoreError`].
    fn doing(self, doing: &'static str) -> Result<T, StoreError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError> {
        self.map_err(|error| StoreError::io(doing, error.into().kind()))
    }
}
