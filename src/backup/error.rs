//! What can go wrong with a backup, and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::audit::AuditError;
use crate::clock::Timestamp;
use crate::custody::CustodyError;
use crate::store::StoreError;
use crate::vault::VaultError;

/// A failure to make, read or restore a backup. Paths are the operator's own.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Nobody is named who could open it.
    #[error("a backup needs a recipient")]
    NoRecipient,
    /// A text is no recipient.
    #[error("a recipient is not one of age's: it begins with age1")]
    Recipient,
    /// A file holds no identity.
    #[error(
        "the identity file holds no identity of age's: a line that begins with AGE-SECRET-KEY-1"
    )]
    Identity,
    /// The file is something else.
    #[error("the file is no backup of this broker's")]
    NotABackup,
    /// Another release made it.
    #[error("the backup is of format {0}, which this version does not know")]
    Version(u8),
    /// No identity is one of its recipients'.
    #[error("none of the identities opens the backup")]
    WrongIdentity,
    /// It is not what was written.
    #[error("the backup is damaged: {what}")]
    Damaged {
        /// Which check failed.
        what: &'static str,
    },
    /// It has another signature than the one it should have.
    #[error("the backup was not made by the broker that it says: its signature is somebody else's")]
    Forged,
    /// Nobody says whose signature it should have.
    #[error(
        "the backup is whole, and nothing here tells whether its signature is that of your broker"
    )]
    SignerUnknown,
    /// The time of its key is over.
    #[error("the backup's key was to be destroyed at {0}")]
    Expired(Timestamp),
    /// Something is where the file is to be put.
    #[error("there is a file at {} already", .0.display())]
    Exists(PathBuf),
    /// A backup is never put over data.
    #[error("{} is there already, and not empty", .0.display())]
    NotEmpty(PathBuf),
    /// Another process restores to the same place.
    #[error("another process is restoring into {}", .0.display())]
    Busy(PathBuf),
    /// Root is to work where another user could put a link.
    #[error("{} is a folder that a user other than root can change", .0.display())]
    Foreign(PathBuf),
    /// What was restored is not the store that was backed up.
    #[error("what was restored is not what the backup says it holds: {what}")]
    Unlike {
        /// What differs.
        what: &'static str,
    },
    /// The operating system refused.
    #[error("{doing} failed: {kind}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The operating system's reason.
        kind: io::ErrorKind,
    },
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal refused.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The key ring refused.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// The vault refused.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl BackupError {
    /// What was being done when the operating system refused.
    pub(super) fn io(doing: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self::Io {
            doing,
            kind: error.kind(),
        }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoRecipient | Self::Recipient => "bad_recipient",
            Self::Identity => "bad_identity",
            Self::NotABackup => "not_a_backup",
            Self::Version(_) => "backup_version",
            Self::WrongIdentity => "wrong_identity",
            Self::Damaged { .. } | Self::Unlike { .. } => "backup_damaged",
            Self::Forged => "backup_forged",
            Self::SignerUnknown => "signer_unknown",
            Self::Expired(_) => "backup_expired",
            Self::Exists(_) | Self::NotEmpty(_) => "exists",
            Self::Busy(_) => "busy",
            Self::Foreign(_) => "folder_of_others",
            Self::Store(StoreError::Full | StoreError::NoRoom)
            | Self::Io {
                kind: io::ErrorKind::StorageFull,
                ..
            } => "disk_full",
            Self::Io { .. } => "file",
            Self::Store(StoreError::Stopped) => "stopped",
            Self::Store(_) => "store_unavailable",
            Self::Audit(_) => "audit_unavailable",
            Self::Custody(error) => error.code(),
            Self::Vault(_) => "vault",
        }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoRecipient | Self::Recipient => {
                "Make a key with `age-keygen -o backup.key`, keep that file away from the broker, and name the public key that it shows: --recipient age1…".to_owned()
            }
            Self::Identity => {
                "Name the file that `age-keygen` wrote; one that is itself encrypted is decrypted first: age --decrypt.".to_owned()
            }
            Self::NotABackup => "Name a file that `runtools-broker backup create` wrote.".to_owned(),
            Self::Version(_) => "Use the release that made it, or a newer one.".to_owned(),
            Self::WrongIdentity => {
                "`runtools-broker backup inspect FILE` says which key it takes; give the identity of one of its recipients.".to_owned()
            }
            Self::Damaged { .. } => {
                "Take another copy of the file, or an older backup. Nothing was restored.".to_owned()
            }
            Self::Forged => {
                "Do not use it. Find out who could write to where it was kept, and take a backup from elsewhere.".to_owned()
            }
            Self::SignerUnknown => {
                "Say whose it should be: --signer KEY with the public key of `runtools audit head`, or --key-file FILE with a key file that opens its ring.".to_owned()
            }
            Self::Expired(_) => {
                "What was destroyed since may be in it. If it is all that is left: pass --expired.".to_owned()
            }
            Self::Exists(_) => "Name another file: a backup replaces nothing.".to_owned(),
            Self::NotEmpty(_) => "Name a folder that is empty, or not there yet: nothing is restored over data.".to_owned(),
            Self::Busy(_) => "Wait for it to end, or name another folder.".to_owned(),
            Self::Foreign(_) => {
                "Restore into a folder of root's own (--into DIR), then move DIR there, and give it to the broker's user: chown -R NAME. Or run it as the user whose folder that is, in a folder that they may make others in.".to_owned()
            }
            Self::Unlike { .. } => "Take another copy of the file, or an older backup. Nothing was put in place.".to_owned(),
            Self::Io {
                kind: io::ErrorKind::StorageFull,
                ..
            } => "Make room on that disk, and try again.".to_owned(),
            Self::Io { .. } => "Check the path, its permissions and the disk.".to_owned(),
            Self::Store(error) => error.hint().to_owned(),
            Self::Audit(error) => error.hint().to_owned(),
            Self::Custody(error) => error.hint(),
            Self::Vault(VaultError::Crypto(_) | VaultError::Form) => {
                "What opens the ring is not what the records were sealed under: the backup is damaged.".to_owned()
            }
            Self::Vault(_) => "Look at the message, and try another backup.".to_owned(),
        }
    }
}
