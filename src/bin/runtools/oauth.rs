//! Connected apps: the verbs, and the providers there are.

use clap::Subcommand;
use runtools_broker::client::{Exit, Opener, Outcome, Route, Session, Table};
use runtools_broker::wire::Provider;

use crate::oauth_accounts::{self, DisconnectArgs, OneAccount};
use crate::oauth_clients::{self, ClientCommand, Shelf};
use crate::oauth_connect::{self, ConnectArgs};
use crate::oauth_status::{self, StatusArgs};

/// Connected apps.
#[derive(Debug, Subcommand)]
pub(crate) enum OauthCommand {
    /// Connect an account, in your browser
    Connect(ConnectArgs),
    /// List connected accounts, and how they are
    #[command(visible_alias = "list")]
    Status(StatusArgs),
    /// Use this account when a run names none
    SetDefault(OneAccount),
    /// Forget an account, and revoke its grant at the provider
    Disconnect(DisconnectArgs),
    /// List the providers whose accounts can be connected
    Providers {
        /// Those too for which no client is set
        #[arg(long)]
        all: bool,
    },
    /// The organisation's own clients at providers, for admins
    #[command(subcommand)]
    Configs(ClientCommand),
}

/// Runs one of the verbs.
pub(crate) async fn run(
    command: OauthCommand,
    opener: Option<Opener>,
    session: &Session,
) -> Outcome {
    match command {
        OauthCommand::Connect(args) => oauth_connect::connect(args, opener, session).await,
        OauthCommand::Status(args) => oauth_status::status(args, session).await,
        OauthCommand::SetDefault(account) => oauth_accounts::set_default(account, session).await,
        OauthCommand::Disconnect(args) => oauth_accounts::disconnect(args, session).await,
        OauthCommand::Providers { all } => list(all, session).await,
        OauthCommand::Configs(command) => {
            let shelf = Shelf {
                route: "/v1/oauth/configs",
                client: &session.client()?,
                verbs: "runtools oauth configs",
            };
            oauth_clients::run(command, &shelf, session).await
        }
    }
}

/// The route of connections.
pub(crate) fn connections() -> Route {
    Route::new("/v1/oauth/connections")
}

/// The route that lists providers: those with a client, or all there are.
pub(crate) fn providers(all: bool) -> Route {
    Route::new("/v1/oauth/providers")
        .flag("details", true)
        .flag("all", all)
}

async fn list(all: bool, session: &Session) -> Outcome {
    let mut found: Vec<Provider> = session.client()?.list(&providers(all)).await?;
    found.sort_by(|a, b| a.id.cmp(&b.id));
    session
        .out
        .table(&found, "no provider has a client", || table(&found))?;
    if found.iter().any(|one| one.status == "unverified") {
        session.out.hint(
            "FILE says how sure the provider's file is: unverified ones follow its documentation, and nobody has tried them with a real account yet",
        );
    }
    if found.is_empty() {
        session.out.hint(
            "`runtools oauth providers --all` lists every one; `oauth configs set` sets a client",
        );
    }
    Ok(Exit::Ok)
}

fn table(providers: &[Provider]) -> Table {
    let mut table = Table::new(&["PROVIDER", "NAME", "CLIENT", "CONNECT WITH", "FILE"]);
    for one in providers {
        let ways = match (one.browser, one.device) {
            (true, true) => "browser, device",
            (true, false) => "browser",
            (false, true) => "device",
            (false, false) => "-",
        };
        table.row(&[
            one.id.as_str(),
            &one.display_name,
            one.client.as_deref().unwrap_or("-"),
            ways,
            &one.status,
        ]);
    }
    table
}
