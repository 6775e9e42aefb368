//! Beginning again, without what whoever started this left behind.
//!
//! A process has the environment it was started with on its first stack and in `/proc/PID/environ` for as long
//! as it lives, whatever it forgets; and a password that somebody exported is none of the broker's business. So
//! where there is a variable that serving does not read, or a file that was left open, the program runs itself
//! once more, as the same process: the new image has neither.
//!
//! It is the same file that is run, so the rights that are written on it (`setcap`) are there again: gained the first
//! time, they are none that `no_new_privs` would deny the second.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::{Control, Report};
use crate::config::ServiceEnv;

/// What was inherited stayed, and is in `/proc/PID/environ` as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AfreshError {
    /// The system does not run the program once more.
    #[error("the program cannot run itself once more, without what it inherited: {0}")]
    NotRun(io::ErrorKind),
    /// Whoever started it says that it began afresh, and it has variables that it would have left behind.
    #[error("RUNTOOLS_AFRESH is set, and so are variables that the program does not read")]
    Claimed,
}

impl AfreshError {
    /// A stable word for it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotRun(_) => "not_run_afresh",
            Self::Claimed => "claimed_afresh",
        }
    }

    /// What to do next.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::NotRun(_) => {
                "Start it with no variables and no open files (`env -i runtools-broker …`), or where it may run a program: /proc mounted, no noexec, execve not denied."
            }
            Self::Claimed => "Start it without RUNTOOLS_AFRESH, which is its own.",
        }
    }
}

/// Leaves behind what was inherited and serving does not need. Returns when there is nothing of it, or why it is
/// still there; call it before there is anything to lose.
///
/// # Errors
/// [`AfreshError`], which is for whoever starts the process to hear: the settings say whether it goes on.
pub fn begin_afresh(report: &Report) -> Result<(), AfreshError> {
    let env = ServiceEnv::of_process();
    let nothing_else = env.is_all();
    if env.began_afresh() {
        return if nothing_else {
            Ok(())
        } else {
            Err(AfreshError::Claimed)
        };
    }
    if nothing_else && report.enforces(Control::NoInheritedFiles) {
        return Ok(());
    }
    // By its name, which is then that of the process. Where the file was replaced since, it has no name any
    // more, and the kernel still knows it.
    let named = std::env::current_exe();
    let env: Vec<_> = env.afresh().collect();
    let run = |program: &Path| {
        let mut again = Command::new(program);
        let mut words = std::env::args_os();
        if let Some(name) = words.next() {
            again.arg0(name);
        }
        // The files are closed by it: `harden` has seen to that.
        again.args(words).env_clear().envs(env.clone()).exec()
    };
    if let Ok(named) = named {
        drop(run(&named));
    }
    let refused = run(Path::new("/proc/self/exe")).kind();
    Err(AfreshError::NotRun(refused))
}
