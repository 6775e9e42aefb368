//! What can go wrong between a key's holder and the root key.

use std::path::{Path, PathBuf};

use super::custodian::{CustodianName, MAX_NAME_BYTES};
use super::custodian_fault::CustodianFault;
use super::fault::FileFault;
use super::means::SlotKind;
use super::passphrase::{MAX_PASSPHRASE_BYTES, MIN_PASSPHRASE_CHARS};
use super::shares::MAX_SHARES;
use super::slot::{MAX_LABEL_BYTES, MAX_SLOTS};
use crate::crypto::CryptoError;
use crate::id::ObjectId;

/// A refusal of this module. Paths are the operator's own settings; nothing that was read from a
/// file, and nothing of a passphrase, is ever in one.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// A ring stands here already.
    #[error("there is a ring at {0} already")]
    RingExists(PathBuf),
    /// No ring stands here.
    #[error("there is no ring at {0}")]
    RingMissing(PathBuf),
    /// The bytes have not the form of a ring.
    #[error("the ring file is damaged or is no ring file")]
    RingForm,
    /// The ring is of a version that this release does not know.
    #[error("the ring file has version {0}, which this release does not know")]
    RingVersion(u8),
    /// A slot opened, and the ring's MAC is not that of the root key: slots were removed, added or
    /// altered by hand.
    #[error("the ring file was altered by something other than the broker")]
    RingAltered,
    /// The file on disk is no longer the one that was read.
    #[error("the ring file was changed by another process meanwhile")]
    RingChanged,
    /// Another process is changing the ring.
    #[error("another process is changing the ring")]
    Busy,
    /// The key is not this ring's root key.
    #[error("the key at hand is not the root key of this ring")]
    NotRoot,
    /// The ring has no slot of this kind.
    #[error("the ring has no {0} slot")]
    NoSlotOfKind(SlotKind),
    /// The ring has no such slot.
    #[error("the ring has no slot {0}")]
    NoSlot(ObjectId),
    /// Who opens this slot is not there, and the root key is to be sealed for them anew.
    #[error("who opens the slot {0} is not there, so it cannot be given another root key")]
    SlotAway(ObjectId),
    /// The last slot is never removed.
    #[error("the last slot of a ring cannot be removed")]
    LastSlot,
    /// The ring is full.
    #[error("a ring has at most {MAX_SLOTS} slots")]
    TooManySlots,
    /// The label is empty, too long, or has control characters.
    #[error("a label has 1 to {MAX_LABEL_BYTES} bytes and no control characters")]
    Label,
    /// The passphrase is too short, or absurdly long, to lock a slot.
    #[error(
        "a passphrase has at least {MIN_PASSPHRASE_CHARS} characters \
         and at most {MAX_PASSPHRASE_BYTES} bytes"
    )]
    PassphraseLength,
    /// The passphrase opens no slot. The same words for every cause.
    #[error("the passphrase does not open the ring")]
    WrongPassphrase,
    /// The key file opens no slot.
    #[error("the key file does not open the ring")]
    WrongKeyFile,
    /// What is to be the name of a custodian is none.
    #[error("a name has 1 to {MAX_NAME_BYTES} of the letters a to z, digits and hyphens")]
    Name,
    /// systemd gave this process no credential of this name.
    #[error("systemd gave this process no credential called {0}")]
    CredentialMissing(CustodianName),
    /// The credential opens no slot of its name.
    #[error("the systemd credential {0} does not open the ring")]
    WrongCredential(CustodianName),
    /// A program that holds a key gave none.
    #[error("the {kind} custodian {name} {fault}")]
    Custodian {
        /// What kind of slot it opens.
        kind: SlotKind,
        /// What it is called.
        name: CustodianName,
        /// Why.
        fault: CustodianFault,
    },
    /// What such a program gave opens no slot of its name.
    #[error("what the custodian {0} gave does not open the ring")]
    WrongAnswer(CustodianName),
    /// The credential opens a slot already.
    #[error("the systemd credential {0} opens another slot already")]
    CredentialInUse(CustodianName),
    /// A key cannot be dealt so.
    #[error("a key is dealt to 2 to {MAX_SHARES} people, and it takes 2 of them or more")]
    ShareCount,
    /// The text has not the form of a share.
    #[error("this is no share: one begins with rtshare1 and has 88 letters after it")]
    ShareForm,
    /// The text is a share but for a slip of the pen.
    #[error("this share has a wrong letter in it, or letters in a wrong order")]
    ShareMistyped,
    /// No slot of the ring is opened by shares of this set.
    #[error("this share is of no set that opens this ring")]
    ShareForeign,
    /// Shares of another set were given before.
    #[error("this share is of another set than those given before it")]
    ShareMixed,
    /// This share was given before.
    #[error("share {0} was given already")]
    ShareTwice(u8),
    /// There are enough shares, and together they open nothing.
    #[error("the shares do not open the ring")]
    WrongShares,
    /// A file stands where a new slot's key file is to be made.
    #[error("there is a file at {} already", .0.display())]
    KeyFileExists(PathBuf),
    /// There was no memory to try the passphrase with.
    #[error("there is not enough memory to try the passphrase")]
    Memory,
    /// A file or directory cannot be trusted or used.
    #[error("{path}: {fault}", path = .path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What is the matter with it.
        fault: FileFault,
    },
    /// Sealing failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

impl CustodyError {
    pub(super) fn file(path: &Path, fault: FileFault) -> Self {
        Self::File {
            path: path.to_owned(),
            fault,
        }
    }

    /// Whether what opens a slot is gone, cut short, or not the one of this ring; not whether others
    /// may read it.
    #[must_use]
    pub const fn is_loss(&self) -> bool {
        matches!(
            self,
            Self::WrongKeyFile
                | Self::WrongCredential(_)
                | Self::CredentialMissing(_)
                | Self::File {
                    fault: FileFault::Missing | FileFault::Length,
                    ..
                }
        )
    }

    /// Whether the one who holds a key may give it later.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Custodian { fault, .. } => {
                !matches!(fault, CustodianFault::Static | CustodianFault::Gone)
            }
            Self::WrongAnswer(_) => true,
            _ => false,
        }
    }

    /// The stable word for this refusal, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::RingExists(_) => "ring_exists",
            Self::RingMissing(_) => "ring_missing",
            Self::RingForm => "ring_damaged",
            Self::RingVersion(_) => "ring_version_unknown",
            Self::RingAltered => "ring_altered",
            Self::RingChanged => "ring_changed",
            Self::Busy => "ring_busy",
            Self::NotRoot => "not_the_root_key",
            Self::NoSlotOfKind(_) | Self::NoSlot(_) => "slot_not_found",
            Self::SlotAway(_) => "slot_away",
            Self::LastSlot => "last_slot",
            Self::TooManySlots => "too_many_slots",
            Self::Label => "label_invalid",
            Self::PassphraseLength => "passphrase_length",
            Self::WrongPassphrase => "wrong_passphrase",
            Self::WrongKeyFile => "wrong_key_file",
            Self::ShareCount => "share_count",
            Self::ShareForm => "share_form",
            Self::ShareMistyped => "share_mistyped",
            Self::ShareForeign => "share_foreign",
            Self::ShareMixed => "share_mixed",
            Self::ShareTwice(_) => "share_twice",
            Self::WrongShares => "wrong_shares",
            Self::Name => "name_invalid",
            Self::CredentialMissing(_) => "credential_missing",
            Self::WrongCredential(_) => "wrong_credential",
            Self::CredentialInUse(_) => "credential_in_use",
            Self::Custodian { fault, .. } => fault.code(),
            Self::WrongAnswer(_) => "wrong_answer",
            Self::KeyFileExists(_) => "key_file_exists",
            Self::Memory => "out_of_memory",
            Self::File { fault, .. } => fault.code(),
            Self::Crypto(_) => "sealing_failed",
        }
    }
}
