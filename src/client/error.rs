//! What can go wrong on the caller's side, and what to do about it.

use std::io;
use std::path::PathBuf;

use super::Exit;
use crate::egress::EgressError;
use crate::wire::FailureDetail;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The broker refused or failed, and said why.
    #[error("{}", detail.message)]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the broker said.
        detail: FailureDetail,
    },
    /// The command cannot be run as it was written.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to write instead.
        hint: String,
    },
    /// A question would have to be asked, and nobody can be asked.
    #[error("input is needed, and there is no terminal to ask on")]
    NoTerminal {
        /// How to give the answer without being asked.
        instead: &'static str,
    },
    /// The user said no.
    #[error("cancelled")]
    Cancelled,
    /// Ctrl-C, read at a prompt.
    #[error("interrupted")]
    Interrupted,
    /// Something was checked and is not as it should be.
    #[error("{message}")]
    Failed {
        /// What is wrong.
        message: String,
        /// What to do next.
        hint: String,
    },
    /// Work that was done here, and by no broker, has failed.
    #[error("{message}")]
    Local {
        /// The stable code.
        code: &'static str,
        /// What is wrong.
        message: String,
        /// What to do next.
        hint: String,
    },
    /// An account was not connected, or is not.
    #[error("{}", detail.message)]
    NotConnected {
        /// What the process ends with.
        exit: Exit,
        /// Why, and what to do next.
        detail: FailureDetail,
    },
    /// There is no key to show to the broker.
    #[error("not signed in")]
    SignedOut,
    /// No socket is there.
    #[error("no broker listens at {}", path.display())]
    NoSocket {
        /// Where one was looked for.
        path: PathBuf,
    },
    /// A socket that was found, not named, belongs to somebody else.
    #[error("the socket at {} belongs to another user", path.display())]
    ForeignSocket {
        /// Where it is.
        path: PathBuf,
    },
    /// The broker could not be spoken to.
    #[error("cannot speak to the broker: {0}")]
    Transport(#[from] EgressError),
    /// An answer that no broker gives.
    #[error("the answer is not one that a RunTools broker gives (HTTP status {status})")]
    NotAnAnswer {
        /// The HTTP status.
        status: u16,
    },
    /// The profile file can be read by others, or is not the user's own.
    #[error("{} can be read or changed by others", path.display())]
    Exposed {
        /// Which file or directory.
        path: PathBuf,
        /// The mode it should have.
        mode: &'static str,
    },
    /// The profile file holds something else.
    #[error("{} is not a profile", path.display())]
    BadProfile {
        /// Which file.
        path: PathBuf,
    },
    /// A program that cannot be started.
    #[error("{name} {}", if *missing { "is no program on the PATH" } else { "cannot be run" })]
    NotRun {
        /// Its name, as it was written.
        name: String,
        /// Whether there is none of that name.
        missing: bool,
    },
    /// A file that cannot be read or written.
    #[error("{}: {}", path.display(), reason(*kind))]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        kind: io::ErrorKind,
    },
}

impl ClientError {
    /// A command that cannot be run as it was written.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// Something that was checked and is not as it should be.
    pub fn failed(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Failed {
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// Work that was done here has failed, for a reason that has a code.
    pub fn coded(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Local {
            code,
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// A file that could not be read or written.
    pub fn file(path: impl Into<PathBuf>, error: &io::Error) -> Self {
        Self::File {
            path: path.into(),
            kind: error.kind(),
        }
    }

    /// What the process ends with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Refused { status, detail } => Exit::of_answer(*status, &detail.code),
            Self::NotConnected { exit, .. } => *exit,
            Self::Usage { .. } | Self::NoTerminal { .. } => Exit::Usage,
            Self::NotRun { missing, .. } => Exit::Program(if *missing { 127 } else { 126 }),
            Self::Cancelled => Exit::Cancelled,
            Self::Interrupted => Exit::Interrupted,
            Self::SignedOut => Exit::NotSignedIn,
            Self::NoSocket { .. } => Exit::Unreachable,
            Self::Transport(error) => match error {
                EgressError::BadUrl { .. } | EgressError::Cleartext | EgressError::Root => {
                    Exit::Usage
                }
                EgressError::TooLarge | EgressError::HeaderValue => Exit::Failed,
                _ => Exit::Unreachable,
            },
            Self::Failed { .. }
            | Self::Local { .. }
            | Self::ForeignSocket { .. }
            | Self::NotAnAnswer { .. }
            | Self::Exposed { .. }
            | Self::BadProfile { .. }
            | Self::File { .. } => Exit::Failed,
        }
    }

    /// The error as the API would say it: code, sentence, next step.
    #[must_use]
    pub fn detail(&self) -> FailureDetail {
        if let Self::Refused { detail, .. } | Self::NotConnected { detail, .. } = self {
            return detail.clone();
        }
        FailureDetail {
            code: self.code().to_owned(),
            message: self.to_string(),
            hint: self.hint(),
            connect_url: None,
            request_id: None,
        }
    }

    const fn code(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::NotConnected { .. } => "not_connected",
            Self::Usage { .. } => "usage",
            Self::NoTerminal { .. } => "input_required",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
            Self::Failed { .. } => "failed",
            Self::Local { code, .. } => code,
            Self::SignedOut => "not_signed_in",
            Self::NoSocket { .. } => "unreachable",
            Self::ForeignSocket { .. } => "foreign_socket",
            Self::Transport(error) => error.code(),
            Self::NotAnAnswer { .. } => "not_a_broker",
            Self::Exposed { .. } => "file_exposed",
            Self::BadProfile { .. } => "bad_profile",
            Self::NotRun { .. } => "not_run",
            Self::File { .. } => "file",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Refused { detail, .. } | Self::NotConnected { detail, .. } => {
                return detail.hint.clone();
            }
            Self::Usage { hint, .. } | Self::Failed { hint, .. } | Self::Local { hint, .. } => {
                hint.clone()
            }
            Self::NoTerminal { instead } => (*instead).to_owned(),
            Self::Cancelled | Self::Interrupted => return None,
            Self::SignedOut => "run `runtools login`, or set RUNTOOLS_API_KEY".to_owned(),
            Self::NoSocket { .. } => {
                "start it with `runtools-broker`, or name its place with --socket, \
                RUNTOOLS_SOCKET or RUNTOOLS_API_URL"
                    .to_owned()
            }
            Self::ForeignSocket { path } => {
                format!("if you trust it, name it: --socket {}", path.display())
            }
            Self::Transport(EgressError::Connect | EgressError::NameNotFound) => {
                "check that the broker runs, and RUNTOOLS_SOCKET or RUNTOOLS_API_URL".to_owned()
            }
            Self::Transport(EgressError::BadUrl { .. }) => {
                "set RUNTOOLS_API_URL or --api-url to the broker's origin, such as \
                https://broker.example.com"
                    .to_owned()
            }
            Self::Transport(EgressError::Cleartext) => {
                "write the origin with https://; http:// is for this machine only".to_owned()
            }
            Self::Transport(error) => error.hint().to_owned(),
            Self::NotAnAnswer { .. } => {
                "check that RUNTOOLS_API_URL or --api-url names the broker's origin, without /v1"
                    .to_owned()
            }
            Self::Exposed { path, mode } => {
                format!(
                    "run `chmod {mode} {}`; if others had access, rotate the key",
                    path.display()
                )
            }
            Self::BadProfile { .. } => "run `runtools login` again".to_owned(),
            Self::NotRun { .. } => "write the program and its arguments after `--`".to_owned(),
            Self::File { .. } => "check the path and its permissions".to_owned(),
        })
    }
}

/// A sentence for the usual reasons: the system's own text has numbers in it.
const fn reason(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotFound => "no such file or directory",
        io::ErrorKind::PermissionDenied => "permission denied",
        io::ErrorKind::AlreadyExists => "it exists already",
        io::ErrorKind::IsADirectory => "it is a directory",
        io::ErrorKind::FileTooLarge => "it is too large",
        io::ErrorKind::StorageFull => "the disk is full",
        _ => "it cannot be read or written",
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientError, Exit};
    use crate::egress::EgressError;
    use crate::wire::FailureDetail;

    #[test]
    fn every_error_knows_its_exit_code_and_next_step() {
        let sealed = FailureDetail {
            code: "sealed".into(),
            message: "the vault is sealed".into(),
            hint: Some("unseal it".into()),
            connect_url: None,
            request_id: None,
        };
        for (error, exit) in [
            (
                ClientError::Refused {
                    status: 503,
                    detail: sealed,
                },
                Exit::Sealed,
            ),
            (ClientError::usage("a", "b"), Exit::Usage),
            (
                ClientError::NoTerminal {
                    instead: "pass --yes",
                },
                Exit::Usage,
            ),
            (ClientError::SignedOut, Exit::NotSignedIn),
            (
                ClientError::NoSocket { path: "/s".into() },
                Exit::Unreachable,
            ),
            (EgressError::Connect.into(), Exit::Unreachable),
            (EgressError::Cleartext.into(), Exit::Usage),
        ] {
            assert_eq!(error.exit(), exit, "{error}");
            assert!(
                error.detail().hint.is_some_and(|hint| !hint.is_empty()),
                "{error}"
            );
        }
        assert_eq!(ClientError::Cancelled.exit(), Exit::Cancelled);
    }
}
