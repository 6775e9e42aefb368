//! `runtools`: the command line of a RunTools Broker.
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

mod audit;
mod auth;
mod cli;
mod documents;
mod global;
mod key_rotation;
mod keys;
mod login;
mod members;
mod oauth;
mod oauth_accounts;
mod oauth_browser;
mod oauth_clients;
mod oauth_connect;
mod oauth_device;
mod oauth_mode;
mod oauth_status;
mod organizations;
mod proxy;
mod run;
mod secret_changes;
mod secret_values;
mod secrets;
mod services;
mod start;
mod status;
mod tool_credentials;
mod tool_runs;
mod tools;

use std::process::ExitCode;

use clap::CommandFactory;
use runtools_broker::client::{ClientEnv, Opener, Outcome, Session};
use runtools_broker::hardening;

use self::cli::{Cli, Command};

#[global_allocator]
static ALLOC: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    if let Some(code) = Opener::play(&arguments, ClientEnv::read) {
        return code;
    }
    let opener = Opener::waiting(&arguments);
    let hardened = if cli::noun(&arguments) == Some("run") {
        hardening::harden_for_a_program()
    } else {
        hardening::harden().map(drop)
    };
    if let Err(error) = hardened {
        return start::unhardened(&error);
    }
    match start::parse::<Cli>(arguments) {
        Ok(cli) => {
            let (options, command) = cli.split();
            let session = Session::new(options, ClientEnv::read());
            start::finish(&session, run(command, opener, &session))
        }
        Err(code) => code,
    }
}

async fn run(command: Command, opener: Option<Opener>, session: &Session) -> Outcome {
    match command {
        Command::Login(args) => login::login(args, session).await,
        Command::Logout => login::logout(session),
        Command::Auth(command) => auth::run(command, session).await,
        Command::Secret(command) => secrets::run(command, session).await,
        Command::Oauth(command) => oauth::run(command, opener, session).await,
        Command::Tool(command) => tools::run(command, session).await,
        Command::Run(args) => run::run(args, session).await,
        Command::Proxy(command) => proxy::run(command, session).await,
        Command::Org(command) => organizations::run(command, session).await,
        Command::Member(command) => members::run(command, &session.client()?, session).await,
        Command::Key(command) => key_rotation::run(command, session).await,
        Command::Service(command) => services::run(command, session).await,
        Command::Audit(command) => audit::run(command, session).await,
        Command::Status(args) => status::run(args, session).await,
        Command::Completions(args) => documents::completions(&args, Cli::command(), session),
        Command::Man(args) => documents::manual(&args, Cli::command(), session),
        Command::Version => documents::version(Cli::command().get_name(), session),
    }
}
