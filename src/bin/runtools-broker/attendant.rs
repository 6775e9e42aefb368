//! The process that starts programs for a confined broker. The broker starts it; people do not.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;

use runtools_broker::config::CustodySettings;

/// The verb, as the broker starts it.
pub(crate) const WORD: &str = "attend";

/// Answers on standard output what it is asked on standard input, for as long as the broker is there.
pub(crate) fn run() -> ExitCode {
    match attend() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// What comes in and goes out are keys: past the buffers of the standard library, which nobody wipes.
fn attend() -> io::Result<()> {
    let questions = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let answers = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    CustodySettings::attend(questions, answers)
}
