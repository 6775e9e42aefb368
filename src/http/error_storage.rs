//! What store, journal and key ring report, as answers. As in `error`, no match has a wildcard arm.

use http::StatusCode;

use crate::audit::AuditError;
use crate::backup::BackupError;
use crate::custody::{CustodianFault, CustodyError, FileFault};
use crate::store::StoreError;

use super::ApiError;
use super::error::capital;

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let (status, code) = match &error {
            StoreError::Precondition
            | StoreError::Rewriting
            | StoreError::Moved
            | StoreError::Stopped
            | StoreError::Restless => (StatusCode::CONFLICT, "conflict"),
            StoreError::TooLarge { .. } | StoreError::BatchTooLarge { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too_large")
            }
            StoreError::Full | StoreError::NoRoom => {
                (StatusCode::INSUFFICIENT_STORAGE, "disk_full")
            }
            StoreError::Closed => (StatusCode::SERVICE_UNAVAILABLE, "shutting_down"),
            StoreError::Failed
            | StoreError::Io { .. }
            | StoreError::Damaged { .. }
            | StoreError::Locked
            | StoreError::Format
            | StoreError::OtherEngine { .. }
            | StoreError::RolledBack { .. }
            | StoreError::Emptied
            | StoreError::AnchorMissing
            | StoreError::AnchorDamaged
            | StoreError::External(_)
            | StoreError::NotCreated
            | StoreError::NotEmpty
            | StoreError::NotOnDisk
            | StoreError::Reserved
            | StoreError::Sealing => (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"),
        };
        if status.is_server_error() {
            tracing::error!(code, error = %error, "the store refused");
        } else {
            tracing::debug!(code, error = %error, "the store refused");
        }
        Self::new(status, code, capital(&error.to_string()), error.hint())
    }
}

impl From<AuditError> for ApiError {
    fn from(error: AuditError) -> Self {
        let hint = error.hint();
        let answer = match &error {
            AuditError::Unavailable | AuditError::Crypto(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "audit_unavailable",
                "The audit journal cannot be written, so nothing was done.",
                hint,
            )
            .retry_after(5),
            AuditError::Io { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "audit_unavailable",
                "The audit journal cannot be used.",
                hint,
            )
            .retry_after(5),
            AuditError::TooLong { .. } => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                "The request acts on more than one audit record can name, so nothing was done.",
                hint,
            ),
            AuditError::Damaged { .. }
            | AuditError::InUse
            | AuditError::OtherStore { .. }
            | AuditError::OtherKey { .. }
            | AuditError::Mismatch { .. } => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "audit_damaged",
                capital(&error.to_string()),
                hint,
            ),
        };
        if answer.status().is_server_error() {
            tracing::error!(error = %error, "the audit journal cannot be used");
        }
        answer
    }
}

/// A file is the operator's to mend, unless the disk fails.
const fn of_file(fault: FileFault) -> StatusCode {
    match fault {
        FileFault::Io(_) => StatusCode::SERVICE_UNAVAILABLE,
        FileFault::Missing
        | FileFault::Symlink
        | FileFault::NotRegular
        | FileFault::NotDirectory
        | FileFault::FileMode(_)
        | FileFault::DirectoryMode(_)
        | FileFault::Owner
        | FileFault::Writable(_)
        | FileFault::Marker
        | FileFault::Length => StatusCode::CONFLICT,
    }
}

/// What is set up wrong is the operator's to mend; what does not answer may answer later.
const fn of_custodian(fault: &CustodianFault) -> StatusCode {
    match fault {
        CustodianFault::Unknown
        | CustodianFault::Program { .. }
        | CustodianFault::Static
        | CustodianFault::OtherKey => StatusCode::CONFLICT,
        CustodianFault::Start(_)
        | CustodianFault::Gone
        | CustodianFault::Hung
        | CustodianFault::Broke
        | CustodianFault::TooLong
        | CustodianFault::Answer
        | CustodianFault::Refused(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl From<CustodyError> for ApiError {
    fn from(error: CustodyError) -> Self {
        let status = match &error {
            CustodyError::WrongPassphrase
            | CustodyError::WrongKeyFile
            | CustodyError::WrongShares
            | CustodyError::WrongAnswer(_)
            | CustodyError::WrongCredential(_) => StatusCode::FORBIDDEN,
            CustodyError::Name
            | CustodyError::ShareCount
            | CustodyError::ShareForm
            | CustodyError::ShareMistyped => StatusCode::BAD_REQUEST,
            CustodyError::NoSlotOfKind(_)
            | CustodyError::NoSlot(_)
            | CustodyError::SlotAway(_)
            | CustodyError::LastSlot
            | CustodyError::TooManySlots
            | CustodyError::Label
            | CustodyError::PassphraseLength
            | CustodyError::RingExists(_)
            | CustodyError::KeyFileExists(_)
            | CustodyError::ShareForeign
            | CustodyError::ShareMixed
            | CustodyError::ShareTwice(_)
            | CustodyError::CredentialMissing(_)
            | CustodyError::CredentialInUse(_)
            | CustodyError::RingChanged
            | CustodyError::Busy => StatusCode::CONFLICT,
            CustodyError::File { fault, .. } => of_file(*fault),
            CustodyError::Custodian { fault, .. } => of_custodian(fault),
            CustodyError::Memory => StatusCode::SERVICE_UNAVAILABLE,
            CustodyError::RingMissing(_)
            | CustodyError::RingForm
            | CustodyError::RingVersion(_)
            | CustodyError::RingAltered
            | CustodyError::NotRoot
            | CustodyError::Crypto(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status.is_server_error() {
            tracing::error!(code = error.code(), "the key ring cannot be used");
        }
        Self::new(
            status,
            error.code(),
            capital(&error.to_string()),
            error.hint(),
        )
    }
}

impl From<BackupError> for ApiError {
    fn from(error: BackupError) -> Self {
        let status = match error {
            BackupError::Store(error) => return error.into(),
            BackupError::Audit(error) => return error.into(),
            BackupError::Custody(error) => return error.into(),
            BackupError::Vault(error) => return error.into(),
            BackupError::NoRecipient | BackupError::Recipient | BackupError::Identity => {
                StatusCode::BAD_REQUEST
            }
            BackupError::NotABackup
            | BackupError::Version(_)
            | BackupError::WrongIdentity
            | BackupError::Damaged { .. }
            | BackupError::Unlike { .. }
            | BackupError::Forged
            | BackupError::SignerUnknown
            | BackupError::Expired(_)
            | BackupError::Exists(_)
            | BackupError::NotEmpty(_)
            | BackupError::Busy(_)
            | BackupError::Foreign(_) => StatusCode::CONFLICT,
            BackupError::Io { .. } => StatusCode::SERVICE_UNAVAILABLE,
        };
        let text = capital(&error.to_string());
        Self::new(status, error.code(), text, error.hint())
    }
}
