//! The process that starts programs for a confined broker. The broker starts it; people do not.

use std::process::ExitCode;

use runtools_broker::config::CustodySettings;

/// The verb, as the broker starts it.
pub(crate) const WORD: &str = "attend";

/// Answers on standard output what it is asked on standard input, for as long as the broker is there.
pub(crate) fn run() -> ExitCode {
    let (questions, answers) = (std::io::stdin().lock(), std::io::stdout().lock());
    match CustodySettings::attend(questions, answers) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
