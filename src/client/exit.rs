//! What the process ends with.

use std::process::ExitCode;

use super::ClientError;

/// What running a verb came to.
pub type Outcome = Result<Exit, ClientError>;

/// The exit codes, documented in the manual page; `runtools run` ends with those of its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok,
    /// Failed, for a reason that has no code of its own.
    Failed,
    /// The command line is wrong, or input is needed and cannot be asked for.
    Usage,
    /// The user said no.
    Cancelled,
    /// No credential, or one that is not accepted.
    NotSignedIn,
    /// Signed in, and not allowed.
    Forbidden,
    /// A verification found something wrong.
    NotVerified,
    /// A verification found nothing wrong and could not check all.
    Incomplete,
    /// Something else changed it first, or it is in the way.
    Conflict,
    /// It is not there.
    NotFound,
    /// The vault is sealed.
    Sealed,
    /// The broker does not answer, or not now.
    Unreachable,
    /// Ctrl-C.
    Interrupted,
    /// What a program ended with that was run: its own code.
    Program(u8),
}

impl Exit {
    /// Each code with its meaning, in a word, for help and the manual page.
    pub const TABLE: [(Self, &'static str); 13] = [
        (Self::Ok, "done"),
        (Self::Failed, "failed"),
        (Self::Usage, "usage"),
        (Self::Cancelled, "cancelled"),
        (Self::NotSignedIn, "not signed in"),
        (Self::Forbidden, "forbidden"),
        (Self::NotVerified, "not verified"),
        (Self::Incomplete, "incomplete"),
        (Self::Conflict, "conflict"),
        (Self::NotFound, "not found"),
        (Self::Sealed, "sealed"),
        (Self::Unreachable, "unreachable"),
        (Self::Interrupted, "interrupted"),
    ];

    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Cancelled => 3,
            Self::NotSignedIn => 4,
            Self::Forbidden => 5,
            Self::NotVerified => 6,
            Self::Incomplete => 7,
            Self::Conflict => 8,
            Self::NotFound => 9,
            Self::Sealed => 10,
            Self::Unreachable => 11,
            Self::Interrupted => 130,
            Self::Program(code) => code,
        }
    }

    /// What an answer with this status and error code means for the process.
    #[must_use]
    pub fn of_answer(status: u16, code: &str) -> Self {
        match (status, code) {
            (_, "sealed") => Self::Sealed,
            // It answers, and it will go on refusing until somebody mends its disk.
            (503, "audit_unavailable" | "store_unavailable") => Self::Failed,
            (401, _) => Self::NotSignedIn,
            (403, _) => Self::Forbidden,
            (404, _) => Self::NotFound,
            (409 | 412, _) => Self::Conflict,
            (408 | 429 | 502..=504, _) => Self::Unreachable,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn each_kind_of_answer_has_its_code() {
        for (status, code, exit) in [
            (400, "invalid_request", 1),
            (401, "unauthorized", 4),
            (403, "forbidden", 5),
            (404, "not_found", 9),
            (409, "conflict", 8),
            (412, "precondition_failed", 8),
            (429, "rate_limited", 11),
            (500, "internal", 1),
            (503, "sealed", 10),
            (503, "draining", 11),
            (503, "audit_unavailable", 1),
            (503, "store_unavailable", 1),
            (504, "upstream_timeout", 11),
        ] {
            assert_eq!(
                Exit::of_answer(status, code).code(),
                exit,
                "{status} {code}"
            );
        }
    }

    #[test]
    fn the_table_lists_every_code_once_in_order() {
        let codes: Vec<u8> = Exit::TABLE.iter().map(|(exit, _)| exit.code()).collect();
        assert_eq!(codes, (0..=11).chain([130]).collect::<Vec<u8>>());
    }
}
