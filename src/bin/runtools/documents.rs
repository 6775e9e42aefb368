//! Completions, manual pages, the version: all from the one definition of the command line.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::{Shell, generate};
use clap_mangen::Man;
use runtools_broker::client::{ClientError, Exit, Outcome, Session};

/// Which shell.
#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Where the pages go.
#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// The directory; it is made when missing
    directory: PathBuf,
}

/// Prints the completions of `command`.
pub(crate) fn completions(
    args: &CompletionsArgs,
    mut command: Command,
    session: &Session,
) -> Outcome {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(args.shell, &mut command, name, &mut script);
    session.out.text(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}

/// Writes one page for `command` and one for each verb below it.
pub(crate) fn manual(args: &ManArgs, mut command: Command, session: &Session) -> Outcome {
    let directory = &args.directory;
    fs::create_dir_all(directory).map_err(|error| ClientError::file(directory, &error))?;
    command = command.disable_help_subcommand(true);
    command.build();
    let count = pages(&command, directory)?;
    let done = serde_json::json!({ "directory": directory.display().to_string(), "pages": count });
    session.out.done(
        &done,
        format!("wrote {count} pages to {}", directory.display()),
    )?;
    Ok(Exit::Ok)
}

fn pages(command: &Command, directory: &Path) -> Result<usize, ClientError> {
    let name = command
        .get_display_name()
        .unwrap_or(command.get_name())
        .to_owned();
    let path = directory.join(format!("{name}.1"));
    let mut page = Vec::new();
    let rendered = Man::new(command.clone()).render(&mut page);
    let written = rendered.and_then(|()| fs::write(&path, page));
    written.map_err(|error| ClientError::file(&path, &error))?;
    let mut count = 1;
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        count += pages(verb, directory)?;
    }
    Ok(count)
}

/// Prints the version.
pub(crate) fn version(name: &str, session: &Session) -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
    let document = serde_json::json!({ "name": name, "version": version });
    session
        .out
        .show(&document, || format!("{name} {version}\n"))?;
    Ok(Exit::Ok)
}
