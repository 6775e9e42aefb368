//! Backups: made over the socket of a broker that serves; looked at and verified anywhere.

mod create;
mod look;
mod restore;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use runtools_broker::backup::{BackupError, Identities};
use runtools_broker::client::{ClientError, Exit, Outcome, Session, read_file, read_stdin};
use runtools_broker::failpoint;

use crate::serve::ServeArgs;

pub(crate) use restore::RestoreArgs;

/// What is done with backups.
#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Make a backup while the broker serves
    Create(create::CreateArgs),
    /// Read a backup to its end, restore nothing, and say whether it is whole and yours
    Verify(look::VerifyArgs),
    /// Show what a backup says of itself
    Inspect(look::InspectArgs),
    /// Show which backups were made, and how the last try ended
    Status,
}

/// Who opens a backup.
#[derive(Args, Debug)]
pub(crate) struct IdentityArgs {
    /// The identity that opens it: the file that `age-keygen` wrote; `-` reads it from standard input
    #[arg(long, short = 'i', value_name = "FILE")]
    identity: PathBuf,
}

impl IdentityArgs {
    fn read(&self) -> Result<Identities, ClientError> {
        identities(&self.identity)
    }
}

fn identities(path: &Path) -> Result<Identities, ClientError> {
    let file = if path.as_os_str() == "-" {
        read_stdin()?
    } else {
        read_file(path)?
    };
    Identities::parse(&file).map_err(|error| failed(&error))
}

/// Runs one of the verbs; `before` are the settings that stood before it.
pub(crate) async fn run(
    command: BackupCommand,
    before: ServeArgs,
    socket: Option<PathBuf>,
    session: &Session,
) -> Outcome {
    arm()?;
    match command {
        BackupCommand::Create(args) => create::create(&args, session).await?,
        BackupCommand::Verify(args) => look::verify(args, before, socket, session)?,
        BackupCommand::Inspect(args) => look::inspect(&args, session)?,
        BackupCommand::Status => look::status(session).await?,
    }
    Ok(Exit::Ok)
}

/// Restores one.
pub(crate) async fn restore(
    args: RestoreArgs,
    before: ServeArgs,
    socket: Option<PathBuf>,
    session: &Session,
) -> Outcome {
    arm()?;
    restore::restore(args, before, socket, session).await?;
    Ok(Exit::Ok)
}

fn arm() -> Result<(), ClientError> {
    failpoint::arm()
        .map_err(|error| ClientError::usage(error.to_string(), "src/failpoint/places.rs"))
}

fn open(path: &Path) -> Result<BufReader<File>, ClientError> {
    let file = File::open(path).map_err(|error| ClientError::file(path, &error))?;
    Ok(BufReader::with_capacity(1 << 18, file))
}

fn failed(error: &BackupError) -> ClientError {
    ClientError::coded(error.code(), error.to_string(), error.hint())
}
