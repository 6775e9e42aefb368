//! `serve`: the default verb.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use runtools_broker::config::{Config, Env, Flags, default_socket};
use runtools_broker::daemon::{Daemon, DaemonError, Prepared, Welcome};
use runtools_broker::failpoint;
use runtools_broker::hardening::{AfreshError, Report, begin_afresh};
use runtools_broker::telemetry::logs;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Settings of `serve` and `doctor`, before the verb or after it. Each overrides the key of the same
/// name in `config/broker.toml`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServeArgs {
    /// The settings file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the store and the audit journal are
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the key ring and its key file are
    #[arg(long, value_name = "DIR")]
    keys_dir: Option<PathBuf>,
    /// An address to listen on; several by repeating it
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<SocketAddr>,
    /// The address of the egress proxy, on this machine
    #[arg(long, value_name = "ADDR:PORT")]
    proxy_listen: Option<SocketAddr>,
}

impl ServeArgs {
    /// These, and where they are silent what stood before the verb.
    pub(crate) fn over(self, before: Self) -> Self {
        Self {
            config: self.config.or(before.config),
            data_dir: self.data_dir.or(before.data_dir),
            keys_dir: self.keys_dir.or(before.keys_dir),
            listen: if self.listen.is_empty() {
                before.listen
            } else {
                self.listen
            },
            proxy_listen: self.proxy_listen.or(before.proxy_listen),
        }
    }

    pub(crate) fn flags(&self, socket: Option<PathBuf>) -> Flags {
        Flags {
            config: self.config.clone(),
            data_dir: self.data_dir.clone(),
            keys_dir: self.keys_dir.clone(),
            listen: self.listen.clone(),
            proxy_listen: self.proxy_listen,
            socket,
            ..Flags::default()
        }
    }
}

/// Says what happened and what to do next; the exit code of a failure.
pub(crate) fn failed(error: &dyn std::error::Error, hint: &str) -> ExitCode {
    let mut stderr = std::io::stderr().lock();
    drop(writeln!(stderr, "error: {error}"));
    if !hint.is_empty() {
        drop(writeln!(stderr, "hint: {hint}"));
    }
    ExitCode::FAILURE
}

pub(crate) fn openapi() -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{}", runtools_broker::http::document()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

pub(crate) fn run(arguments: &ServeArgs, socket: Option<PathBuf>, report: &Report) -> ExitCode {
    let afresh = begin_afresh(report);
    let config = match Config::load(&arguments.flags(socket), &Env::of_process()) {
        Ok(config) => config,
        Err(error) => return failed(&error, "config/broker.toml in the sources lists every key."),
    };
    drop(logs::init(config.log));
    if let Err(error) = failpoint::arm() {
        return failed(&error, "src/failpoint/places.rs lists them.");
    }
    let prepared = match prepare(config, afresh) {
        Ok(prepared) => prepared,
        Err(error) => return not_started(&error),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error, "The system gave no threads."),
    };
    let ended = runtime.block_on(async {
        let daemon = match start(prepared, report).await {
            Ok(daemon) => daemon,
            Err(error) => return not_started(&error),
        };
        // Before anybody is told that it listens: who is told may end it at once, and in order.
        let signals = match Signals::caught() {
            Ok(signals) => signals,
            Err(error) => return failed(&error, "The system lets no signal be caught."),
        };
        let signals = tokio::spawn(signals.follow(daemon.shutdown(), daemon.certificate()));
        welcome(daemon.welcome());
        daemon.serve().await;
        signals.abort();
        ExitCode::SUCCESS
    });
    // What a disk keeps that does not answer would be waited for for ever. All else is over.
    runtime.shutdown_timeout(LEAVING);
    ended
}

/// How long threads that still do something have, once all is sealed or that was given up.
const LEAVING: Duration = Duration::from_secs(2);

/// Before there is a second thread, which would keep what the first one gives up.
fn prepare(config: Config, afresh: Result<(), AfreshError>) -> Result<Prepared, DaemonError> {
    let mut prepared = Prepared::new(config)?;
    prepared.confine(afresh, crate::attendant::WORD)?;
    Ok(prepared)
}

async fn start(prepared: Prepared, report: &Report) -> Result<Daemon, DaemonError> {
    let mut daemon = prepared.start(report).await?;
    daemon.deny_calls()?;
    Ok(daemon)
}

/// `EX_CONFIG` of sysexits.h: a service manager need not try again.
const CONFIGURATION: u8 = 78;

fn not_started(error: &DaemonError) -> ExitCode {
    let code = failed(error, &error.hint());
    if error.is_configuration() {
        return ExitCode::from(CONFIGURATION);
    }
    code
}

/// Words go to stderr: stdout stays free for whoever pipes it.
fn welcome(welcome: &Welcome) {
    let mut places: Vec<_> = welcome.addresses.iter().map(ToString::to_string).collect();
    places.push(welcome.socket.display().to_string());
    let mut text = format!("runtools-broker listens on {}\n", places.join(" and "));
    for lost in &welcome.lost {
        text.extend([lost.as_str(), "\n"]);
    }
    if let Some((address, socket)) = &welcome.proxy {
        let socket = socket.display();
        text.extend([format!(
            "Its egress proxy listens on {address} and {socket}\n"
        )]);
    }
    if welcome.sealed {
        if welcome.asks_again {
            text.push_str("It is asked for again and again.\n");
        }
        text.push_str("The vault is sealed. Unseal it from another terminal:\n\n");
        text.extend([format!(
            "    runtools-broker unseal{}\n",
            named(&welcome.socket)
        )]);
    } else {
        if welcome.first_start {
            text.push_str("A new vault was made; you are its first admin.\n");
        }
        text.push_str("Next, in another terminal:\n\n");
        text.extend([format!(
            "    runtools login --local{}\n",
            named(&welcome.socket)
        )]);
        text.push_str("    runtools secret set GITHUB_TOKEN\n");
        text.push_str("    runtools tool exec github --action list_repos\n");
        if !is_installed() {
            text.push_str(
                "\nWhere the shell knows no runtools: `cargo install --path . --locked` puts it there.\n",
            );
        }
    }
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// Whether the command line was put beside this program, and not left where cargo builds: running the
/// broker from there builds no other program.
fn is_installed() -> bool {
    std::env::current_exe().is_ok_and(|program| {
        let built = program
            .components()
            .any(|part| part.as_os_str() == "target");
        !built && program.with_file_name("runtools").exists()
    })
}

/// The flag that names the socket, where the command line would not find it by itself.
fn named(socket: &Path) -> String {
    let found = default_socket(&Env::of_process(), Path::new("data"));
    if socket == found && socket.is_absolute() {
        return String::new();
    }
    let socket = std::path::absolute(socket).unwrap_or_else(|_| socket.to_owned());
    format!(" --socket {}", shell(&socket))
}

/// A path as a shell takes it: bare when plain, else in single quotes.
pub(crate) fn shell(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    if text.bytes().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// What a service manager, a terminal and a renewal tool send.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn caught() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn follow(
        mut self,
        shutdown: runtools_broker::http::serve::Shutdown,
        certificate: Option<std::sync::Arc<runtools_broker::http::serve::TlsCertificate>>,
    ) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => shutdown.signal(),
                _ = self.interrupt.recv() => shutdown.signal(),
                _ = self.hangup.recv() => {
                    if let Some(certificate) = &certificate
                        && let Err(error) = certificate.reload()
                    {
                        tracing::warn!(error = %error, "the certificate was not reloaded; the old one stays");
                    }
                }
            }
        }
    }
}
