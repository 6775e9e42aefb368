//! From the arguments to an exit code, for either binary.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ColorChoice, CommandFactory, FromArgMatches};
use runtools_broker::client::{ClientEnv, ClientError, Exit, Options, Outcome, Output, Session};

use crate::global::options_of;

/// Reads the command line. `Err` is the exit code after help was shown or wrong usage explained.
pub(crate) fn parse<C: CommandFactory + FromArgMatches>(
    arguments: Vec<OsString>,
) -> Result<C, ExitCode> {
    let options = options_of(&arguments);
    let out = Output::new(&options, &ClientEnv::read());
    let paints = out.paints() || out.paints_errors();
    let colour = if paints {
        ColorChoice::Auto
    } else {
        ColorChoice::Never
    };
    let command = C::command().color(colour);
    let parsed = command.try_get_matches_from(arguments);
    let error = match parsed.and_then(|mut matches| C::from_arg_matches_mut(&mut matches)) {
        Ok(parsed) => return Ok(parsed),
        Err(error) => error,
    };
    let is_error = error.use_stderr();
    let text = error.render();
    let painted = if is_error {
        out.paints_errors()
    } else {
        out.paints()
    };
    if is_error && out.is_json() {
        out.error(&usage(&text.to_string()));
    } else if painted {
        out.usage(&text.ansi().to_string(), is_error);
    } else {
        out.usage(&text.to_string(), is_error);
    }
    Err(if is_error { Exit::Usage } else { Exit::Ok }.into())
}

/// The parser's words as an error: its first line, and its tip where it has one.
fn usage(text: &str) -> ClientError {
    let mut lines = text.lines().map(str::trim);
    let message = lines
        .next()
        .unwrap_or_default()
        .trim_start_matches("error: ");
    let tip = lines.find_map(|line| line.strip_prefix("tip: "));
    ClientError::usage(message, tip.unwrap_or("run the command with --help"))
}

/// Runs a verb to its end on one thread and says what went wrong.
pub(crate) fn finish(session: &Session, verb: impl Future<Output = Outcome>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(verb),
        Err(error) => Err(ClientError::file("the event loop", &error)),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(error) => {
            session.out.error(&error);
            error.exit().into()
        }
    }
}

/// The process could not be closed to others, so it does not go on: it may hold a value.
pub(crate) fn unhardened(error: &dyn std::error::Error) -> ExitCode {
    let out = Output::new(&Options::default(), &ClientEnv::read());
    out.error(&ClientError::usage(
        error.to_string(),
        "this kernel refuses a protection that the program needs",
    ));
    ExitCode::FAILURE
}
