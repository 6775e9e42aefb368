//! `runtools-broker`: the daemon and its operator's verbs.
#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::as_conversions,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    clippy::let_underscore_must_use
)]

#[path = "../runtools/global.rs"]
mod global;
mod members;
mod operator;
mod serve;
mod slots;
#[path = "../runtools/start.rs"]
mod start;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use runtools_broker::client::{ClientEnv, Outcome, Session};

/// Freed memory is wiped: what a library forgot to wipe is gone with it.
#[global_allocator]
static ALLOC: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

/// Keep an organisation's secrets, and use them without handing them out
#[derive(Debug, Parser)]
#[command(name = "runtools-broker", version, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    serve: serve::ServeArgs,
    #[command(flatten)]
    global: global::Global,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (the default)
    Serve,
    /// Print the OpenAPI 3.1 document of the API
    Openapi,
    /// Unseal the vault with a passphrase
    Unseal(operator::UnsealArgs),
    /// Seal the vault: every request is refused until it is unsealed
    Seal(operator::SealArgs),
    /// The key ring
    #[command(subcommand)]
    Key(KeyCommand),
    /// Who belongs to the organisation
    #[command(subcommand)]
    Member(members::MemberCommand),
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// The ways to unseal
    #[command(subcommand)]
    Slot(slots::SlotCommand),
}

fn main() -> ExitCode {
    let report = match runtools_broker::hardening::harden() {
        Ok(report) => report,
        Err(error) => return start::unhardened(&error),
    };
    let cli = match start::parse::<Cli>(std::env::args_os().collect()) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let options = cli.global.options();
    let command = match cli.command {
        None | Some(Command::Serve) => return serve::run(&cli.serve, options.socket, &report),
        Some(Command::Openapi) => return serve::openapi(),
        Some(command) => command,
    };
    let session = Session::new(options, ClientEnv::read());
    start::finish(&session, run(command, &session))
}

async fn run(command: Command, session: &Session) -> Outcome {
    match command {
        // Both ended in `main`, before there was a session.
        Command::Serve | Command::Openapi => Ok(runtools_broker::client::Exit::Ok),
        Command::Unseal(args) => operator::unseal(args, session).await,
        Command::Seal(args) => operator::seal(args, session).await,
        Command::Key(KeyCommand::Slot(command)) => slots::run(command, session).await,
        Command::Member(command) => members::run(command, session).await,
    }
}
