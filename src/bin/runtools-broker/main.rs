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

mod attendant;
mod backup;
mod deletions;
mod demo;
mod device;
mod doctor;
#[path = "../runtools/documents.rs"]
mod documents;
#[path = "../runtools/global.rs"]
mod global;
mod health;
mod init;
mod layout;
mod lending;
mod members;
mod oauth_clients;
mod opener;
mod operator;
mod organizations;
mod own_keys;
mod report;
mod serve;
mod services;
mod shred;
mod slots;
#[path = "../runtools/start.rs"]
mod start;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use runtools_broker::client::{ClientEnv, Exit, Outcome, Session};
use runtools_broker::hardening::Report;

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
    Serve(serve::ServeArgs),
    /// Play the whole story with a broker that is gone afterwards
    Demo,
    /// Make an installation: keys, store, first organisation, ways to unseal, settings
    Init(init::InitArgs),
    /// Examine this installation, and say what to mend
    Doctor(doctor::DoctorArgs),
    /// Say whether the broker answers, sealed or not: the healthcheck of a container
    Health,
    /// Print the OpenAPI 3.1 document of the API
    Openapi,
    /// Unseal the vault with a passphrase, shares, or what opens it by itself
    Unseal(operator::UnsealArgs),
    /// Seal the vault: every request is refused until it is unsealed
    Seal(operator::SealArgs),
    /// Lock down: every key is void at once, and the vault is sealed until a person unseals it
    Lockdown(operator::LockdownArgs),
    /// Sum up who used what since a time
    Report(report::ReportArgs),
    /// The key ring
    #[command(subcommand)]
    Key(KeyCommand),
    /// Take what was destroyed out of reach of old bytes, too
    Shred(shred::ShredArgs),
    /// The store: which files keep it
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Backups: encrypted to recipients, signed by the broker
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// Restore a backup into a folder of its own
    Restore(backup::RestoreArgs),
    /// The organisations of this installation
    #[command(subcommand)]
    Organization(organizations::OrganizationCommand),
    /// Who belongs to the organisation
    #[command(subcommand)]
    Member(members::MemberCommand),
    /// Delete an organisation, or a person everywhere, with their keys
    #[command(subcommand)]
    Delete(deletions::DeleteCommand),
    /// Programs that act for the members of an organisation
    #[command(subcommand)]
    Service(services::ServiceCommand),
    /// The installation's clients at providers, for organisations that have none of their own
    #[command(subcommand)]
    OauthClient(oauth_clients::ClientCommand),
    /// Ask a device for a key; the broker does this by itself
    #[command(hide = true)]
    Pkcs11(device::DeviceArgs),
    /// Start programs that hold keys; the broker does this by itself
    #[command(hide = true)]
    Attend,
    /// Print completions for a shell
    Completions(documents::CompletionsArgs),
    /// Write the manual pages
    Man(documents::ManArgs),
    /// Print the version
    Version,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// The ways to unseal
    #[command(subcommand)]
    Slot(slots::SlotCommand),
    /// Replace a key while everybody is served
    #[command(subcommand)]
    Rotate(own_keys::RotateCommand),
}

fn main() -> ExitCode {
    let report = match runtools_broker::hardening::harden_for_keys() {
        Ok(report) => report,
        Err(error) => return start::unhardened(&error),
    };
    let cli = match start::parse::<Cli>(std::env::args_os().collect()) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let options = cli.global.options();
    match cli.command {
        None => serve::run(&cli.serve, options.socket, &report),
        Some(Command::Serve(args)) => serve::run(&args.over(cli.serve), options.socket, &report),
        Some(Command::Openapi) => serve::openapi(),
        Some(Command::Pkcs11(args)) => device::run(args),
        Some(Command::Attend) => attendant::run(),
        Some(Command::Demo) => demo::run(&Session::new(options, ClientEnv::read()), &report),
        Some(command) => {
            let socket = options.socket.clone();
            let session = Session::new(options, ClientEnv::read());
            let verb = run(command, cli.serve, socket, &report, &session);
            start::finish(&session, verb)
        }
    }
}

async fn run(
    command: Command,
    before: serve::ServeArgs,
    socket: Option<PathBuf>,
    report: &Report,
    session: &Session,
) -> Outcome {
    match command {
        // They ended in `main`: they have an event loop of their own, or need none.
        Command::Serve(_)
        | Command::Openapi
        | Command::Demo
        | Command::Pkcs11(_)
        | Command::Attend => Ok(Exit::Ok),
        Command::Doctor(args) => {
            let flags = args.serve.over(before).flags(socket);
            doctor::run(args.fix, &flags, report, session).await
        }
        Command::Init(args) => init::run(args, before, socket, report, session).await,
        Command::Health => health::run(session).await,
        Command::Unseal(args) => operator::unseal(args, session).await,
        Command::Seal(args) => operator::seal(args, session).await,
        Command::Lockdown(args) => operator::lockdown(args, session).await,
        Command::Report(args) => report::run(args, session).await,
        Command::Key(KeyCommand::Slot(command)) => slots::run(command, session).await,
        Command::Key(KeyCommand::Rotate(command)) => own_keys::run(command, session).await,
        Command::Shred(args) => shred::run(args, session).await,
        Command::Store(command) => store::run(command, before, socket, session).await,
        Command::Backup(command) => backup::run(command, before, socket, session).await,
        Command::Restore(args) => backup::restore(args, before, socket, session).await,
        Command::Organization(command) => organizations::run(command, session).await,
        Command::Member(command) => members::run(command, session).await,
        Command::Delete(command) => deletions::run(command, session).await,
        Command::Service(command) => services::run(command, session).await,
        Command::OauthClient(command) => oauth_clients::run(command, session).await,
        Command::Completions(args) => documents::completions(&args, Cli::command(), session),
        Command::Man(args) => documents::manual(&args, Cli::command(), session),
        Command::Version => documents::version("runtools-broker", session),
    }
}
