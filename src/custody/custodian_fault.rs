//! What can go wrong with a program that holds a key for the broker.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{FileFault, io_kind};

/// Why a custodian gave no key. Nothing that it said is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum CustodianFault {
    /// The settings have none of this name.
    #[error("is not in the settings")]
    Unknown,
    /// Its program, or a folder that it is in, cannot be trusted or used.
    #[error("is not started, since {} {fault}", path.display())]
    Program {
        /// The program or the folder.
        path: PathBuf,
        /// What is the matter with it.
        fault: FileFault,
    },
    /// It is a device, and this program is a static one.
    #[error("is a device, and this build of the broker is static: it loads no library")]
    Static,
    /// The operating system does not start its program.
    #[error("cannot be started: {0}")]
    Start(#[serde(with = "io_kind")] io::ErrorKind),
    /// The process that starts programs for the broker is not there any more.
    #[error("cannot be asked, since the process that starts programs for the broker has ended")]
    Gone,
    /// It did not answer in time.
    #[error("did not answer in time")]
    Hung,
    /// Its program ended before it had answered.
    #[error("ended without an answer")]
    Broke,
    /// It answered more than is read.
    #[error("answered more than 64 KiB")]
    TooLong,
    /// Its answer is not one of the protocol.
    #[error("gave an answer that is none")]
    Answer,
    /// It said no.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// It has another key by now than the one that the slot was made with.
    #[error("has another key than the one that the slot was made with")]
    OtherKey,
}

/// Why a custodian says no, in the words of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// What it needs is not there at the moment.
    #[error("what it needs is not available now")]
    Unavailable,
    /// It may not use the key.
    #[error("it may not use the key")]
    Denied,
    /// The key is not there.
    #[error("it has no such key")]
    NoSuchKey,
    /// What it was given does not open, or not here.
    #[error("what it was given does not open")]
    Unopened,
    /// Another reason, which only it knows.
    #[error("for a reason of its own")]
    Other,
}

impl Refusal {
    /// The refusal that a word of the protocol means.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "unavailable" => Self::Unavailable,
            "denied" => Self::Denied,
            "no_such_key" => Self::NoSuchKey,
            "unopened" => Self::Unopened,
            _ => Self::Other,
        }
    }

    /// The word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Denied => "denied",
            Self::NoSuchKey => "no_such_key",
            Self::Unopened => "unopened",
            Self::Other => "other",
        }
    }
}

impl CustodianFault {
    /// A stable word for it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "custodian_unknown",
            Self::Program { .. } => "custodian_program",
            Self::Static => "custodian_static",
            Self::Start(_) => "custodian_start",
            Self::Gone => "custodian_gone",
            Self::Hung => "custodian_hung",
            Self::Broke => "custodian_broke",
            Self::TooLong => "custodian_too_long",
            Self::Answer => "custodian_answer",
            Self::Refused(_) => "custodian_refused",
            Self::OtherKey => "custodian_other_key",
        }
    }

    /// What to do next, in one sentence.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Unknown => "add it to [custody] in broker.toml and start again".into(),
            Self::Program { path, fault } => fault.hint(path),
            Self::Static => {
                "run the broker of the Debian package, or another build that is not static; or unseal by \
                 another slot"
                    .into()
            }
            Self::OtherKey => {
                "give it back the key that the slot was made with; or unseal by another slot, \
                 remove this one, and add it anew"
                    .into()
            }
            Self::Gone => "start the broker again".into(),
            Self::Start(_)
            | Self::Hung
            | Self::Broke
            | Self::TooLong
            | Self::Answer
            | Self::Refused(_) => {
                "run it by hand to see why, as src/manual/custodians.md shows".into()
            }
        }
    }
}
