//! The grammar: a noun, then a verb.

use std::ffi::OsString;

use clap::{Parser, Subcommand};
use runtools_broker::client::{Exit, Options};

use crate::audit::AuditCommand;
use crate::auth::AuthCommand;
use crate::documents::{CompletionsArgs, ManArgs};
use crate::global::Global;
use crate::key_rotation::KeyCommand;
use crate::login::LoginArgs;
use crate::members::MemberCommand;
use crate::oauth::OauthCommand;
use crate::organizations::OrgCommand;
use crate::proxy::ProxyCommand;
use crate::run::RunArgs;
use crate::secrets::SecretCommand;
use crate::services::ServiceCommand;
use crate::status::StatusArgs;
use crate::tools::ToolCommand;

const START: &str = "\
Start with:
  runtools login --local                              the broker on this machine
  runtools secret set GITHUB_TOKEN                    asks for the value
  runtools oauth connect github                       or connects an account, in your browser
  runtools tool exec github --action list_repos       uses it, without handing it out

Data goes to standard output, words to standard error.";

fn after_help() -> String {
    let words = Exit::TABLE.map(|(exit, word)| format!("{} {word}", exit.code()));
    format!("{START}\nExit codes: {}", words.join(", "))
}

/// Keep secrets in a RunTools Broker, and use them without handing them out
#[derive(Debug, Parser)]
#[command(name = "runtools", version, after_help = after_help(), disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    /// The broker's origin, without /v1 (also in `RUNTOOLS_API_URL`)
    #[arg(
        long,
        global = true,
        value_name = "URL",
        conflicts_with = "socket",
        help_heading = "Everywhere"
    )]
    api_url: Option<String>,
    #[command(subcommand)]
    command: Command,
}

/// The nouns.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sign in to a broker
    Login(LoginArgs),
    /// Forget the broker and its key
    Logout,
    /// Who you are, and API keys
    #[command(subcommand)]
    Auth(AuthCommand),
    /// Set, list, rotate and delete secrets
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Connect accounts that tools may use, and their providers
    #[command(subcommand)]
    Oauth(OauthCommand),
    /// Install and run tools
    #[command(subcommand)]
    Tool(ToolCommand),
    /// Run a program with a tool's credentials, which it never holds
    ///
    /// In its environment it finds placeholders where its libraries look for credentials, and the broker's
    /// proxy, which swaps them for the values on their way to the hosts that they are bound to. It ends with
    /// the program's own exit code.
    Run(RunArgs),
    /// What programs need to go through the egress proxy
    #[command(subcommand)]
    Proxy(ProxyCommand),
    /// Organisations and their policy
    #[command(subcommand)]
    Org(OrgCommand),
    /// Who belongs to the organisation
    #[command(subcommand)]
    Member(MemberCommand),
    /// Replace the keys that everything is sealed under
    #[command(subcommand)]
    Key(KeyCommand),
    /// Programs that act for members, and for whom they may
    #[command(subcommand)]
    Service(ServiceCommand),
    /// What was done, by whom, and the proof
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Whether the broker answers and is unsealed, and to its operator how the installation is
    Status(StatusArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Write the manual pages
    Man(ManArgs),
    /// Print the version
    Version,
}

impl Cli {
    /// The flags and the verb.
    pub(crate) fn split(self) -> (Options, Command) {
        let options = Options {
            api_url: self.api_url,
            ..self.global.options()
        };
        (options, self.command)
    }
}

/// The first word of a command line that is neither a flag nor the value of one: the noun or the verb.
pub(crate) fn noun(arguments: &[OsString]) -> Option<&str> {
    let mut words = arguments.iter().skip(1).map(|word| word.to_str());
    while let Some(word) = words.next() {
        match word? {
            "--socket" | "--api-url" | "--color" => drop(words.next()),
            "--" => return None,
            flag if flag.starts_with('-') => {}
            noun => return Some(noun),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::noun;

    #[test]
    fn the_noun_is_no_flag_and_no_value_of_one() {
        for (line, found) in [
            ("runtools run --tool x -- secret", Some("run")),
            ("runtools --json --socket run run", Some("run")),
            (
                "runtools --socket=s --color always secret set run",
                Some("secret"),
            ),
            ("runtools -q --api-url run status", Some("status")),
            ("runtools -- run", None),
            ("runtools", None),
        ] {
            let words: Vec<_> = line.split(' ').map(Into::into).collect();
            assert_eq!(noun(&words), found, "{line}");
        }
    }
}
