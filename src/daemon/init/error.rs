//! Why an installation is not made.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::super::doctor::Finding;
use crate::config::ConfigError;
use crate::custody::CustodyError;
use crate::daemon::DaemonError;
use crate::directory::DirectoryError;
use crate::vault::VaultError;

/// Why an installation is not made: what is so, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The answers cannot be read.
    #[error("the answers: {0}")]
    Answers(ConfigError),
    /// What the answers do not agree in.
    #[error("the answers: {0}")]
    Disagree(&'static str),
    /// The settings are refused.
    #[error(transparent)]
    Settings(#[from] ConfigError),
    /// The settings file is the one of the sources.
    #[error("{} is the file that lists every setting, which programs are built from", .0.display())]
    Sources(PathBuf),
    /// There is something where the installation is to be.
    #[error("{} has {what} in it already", path.display())]
    There {
        /// Where.
        path: PathBuf,
        /// What is there.
        what: String,
    },
    /// One folder lies in the other.
    #[error("the folders {} and {} lie in each other", .0.display(), .1.display())]
    Nested(PathBuf, PathBuf),
    /// Root would work where somebody else can put a link in the place of a file.
    #[error("{} can be changed by others than root, who could lead root anywhere with a link", .0.display())]
    Foreign(PathBuf),
    /// An init with another keys directory was cut short here.
    #[error("an init with the keys directory {} was cut short here", .0.display())]
    Elsewhere(PathBuf),
    /// Somebody else is at it.
    #[error("another init is at work in {}", .0.display())]
    Busy(PathBuf),
    /// A broker would not start with it, or not be safe.
    #[error("{}: {}", .0.check, .0.text)]
    Unsound(Box<Finding>),
    /// Nobody of that name is known to the machine.
    #[error("the machine knows no user {0}")]
    NoUser(String),
    /// Only root makes files for others.
    #[error("only root can make an installation for the user {0}")]
    NotRoot(String),
    /// A name that the first organisation or its admin cannot have.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The ring or a slot of it cannot be made.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// The store cannot be made.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// A file cannot be read or written.
    #[error("{}: {kind}", path.display())]
    File {
        /// Which file or folder.
        path: PathBuf,
        /// The operating system's reason.
        kind: ErrorKind,
    },
}

impl From<VaultError> for InitError {
    fn from(error: VaultError) -> Self {
        Self::Daemon(error.into())
    }
}

impl InitError {
    pub(super) fn file(path: &Path) -> impl Fn(std::io::Error) -> Self {
        |error| Self::File {
            path: path.to_owned(),
            kind: error.kind(),
        }
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Answers(_) | Self::Disagree(_) => "answers_refused",
            Self::Settings(_) => "settings_refused",
            Self::Sources(_) => "settings_of_the_sources",
            Self::There { .. } => "installed_already",
            Self::Nested(..) => "folders_nested",
            Self::Foreign(_) => "folder_of_others",
            Self::Elsewhere(_) => "init_elsewhere",
            Self::Busy(_) => "init_running",
            Self::Unsound(_) => "not_sound",
            Self::NoUser(_) => "no_such_user",
            Self::NotRoot(_) => "not_root",
            Self::Directory(_) => "name_refused",
            Self::Custody(error) => error.code(),
            Self::Daemon(_) => "not_made",
            Self::File { .. } => "file",
        }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        let told = match self {
            Self::Answers(_) | Self::Disagree(_) => {
                "Correct the file; src/manual/operations.md lists the answers."
            }
            Self::Settings(_) => "config/broker.toml in the sources lists every key.",
            Self::Sources(_) => "Name another file: --config FILE.",
            Self::There { .. } => {
                "If it is an installation, start it, or look at it: runtools-broker doctor. To make another, name other folders: --data-dir, --keys-dir. To begin afresh, move the data and keys directories away."
            }
            Self::Nested(..) => "Name two folders apart: --data-dir, --keys-dir.",
            Self::Foreign(_) => {
                "Run it as the user whose folder that is: sudo -u NAME runtools-broker init. Or name folders that root alone can change: --data-dir, --keys-dir."
            }
            Self::Elsewhere(path) => {
                return format!(
                    "Run it again with --keys-dir '{}'; or move both directories away: nothing in them was ever in use.",
                    path.display()
                );
            }
            Self::Busy(_) => "Let it end, or end it, and then run this again.",
            Self::Unsound(found) => found.fix.as_deref().unwrap_or_default(),
            Self::NoUser(_) => "Make one first: useradd --system NAME.",
            Self::NotRoot(_) => "Run it with sudo, or leave the user out.",
            Self::Directory(_) => "Choose another name.",
            Self::Custody(error) => return error.hint(),
            Self::Daemon(error) => return error.hint(),
            Self::File { .. } => "Check that it can be written, and who owns its folder.",
        };
        told.to_owned()
    }
}
