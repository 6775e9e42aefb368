//! Connecting an account: what is asked for, and what came of it.

use std::collections::{BTreeMap, HashSet};

use clap::Args;
use runtools_broker::client::text::Visible;
use runtools_broker::client::{
    Client, ClientError, Exit, Opener, Outcome, Route, Session, named_value, nearest, scope_list,
};
use runtools_broker::id::ConnectionId;
use runtools_broker::name::ProviderId;
use runtools_broker::wire::{Connection, Provider};
use serde::Serialize;

use crate::oauth::{connections, providers};
use crate::oauth_accounts::none;
use crate::oauth_browser;
use crate::oauth_device;
use crate::oauth_mode::{Mode, choose};

/// Connects an account.
#[derive(Args, Debug)]
pub(crate) struct ConnectArgs {
    /// The provider, such as github; `runtools oauth providers` lists them
    #[arg(value_parser = ProviderId::parse)]
    pub(crate) provider: ProviderId,
    /// Ask for these scopes too, with spaces or commas between them; may be repeated. One of another list
    /// of the provider's has the list's name before it: user:chat:write
    #[arg(long = "scopes", visible_alias = "scope", value_name = "SCOPES")]
    pub(crate) scopes: Vec<String>,
    /// Tell the provider's file something that it needs, such as a shop; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = named_value)]
    params: Vec<(String, String)>,
    /// Which account is meant: the provider's page suggests it
    #[arg(long, value_name = "NAME", conflicts_with = "device")]
    pub(crate) account_hint: Option<String>,
    /// Give this connection a new grant; another account is refused
    #[arg(long, value_name = "ID", value_parser = ConnectionId::parse)]
    pub(crate) reconnect: Option<ConnectionId>,
    /// Connect a further account; the provider lets you choose it
    #[arg(long, conflicts_with_all = ["reconnect", "device"])]
    pub(crate) another: bool,
    /// Open no browser: show an address and a code, for a browser on any machine
    #[arg(long, conflicts_with = "device")]
    pub(crate) no_browser: bool,
    /// Use the provider's device flow: show its address and a code, for any device
    #[arg(long)]
    pub(crate) device: bool,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Came {
    /// The connection.
    pub connection: Option<ConnectionId>,
    /// What the provider calls the account.
    pub account: Option<String>,
    /// Required scopes that were not granted, as far as the flow knows.
    pub missing: Vec<String>,
}

/// A broker that is silent for a moment is no reason to give a flow up.
#[derive(Debug, Default)]
pub(crate) struct Patience(u8);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Connected<'a> {
    provider: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_id: Option<ConnectionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    renewed: bool,
    missing_scopes: &'a [String],
}

impl Patience {
    /// How many times in a row the broker may not answer.
    const SILENCES: u8 = 5;

    /// What it said, if it said something, or was silent for too long. `None`: ask again later.
    pub(crate) fn heard<T>(
        &mut self,
        answer: Result<T, ClientError>,
    ) -> Result<Option<T>, ClientError> {
        let silent = |error: &ClientError| match error {
            // A proxy between us and the broker says so in its own way.
            ClientError::NotAnAnswer { status } => *status >= 500,
            error => error.exit() == Exit::Unreachable,
        };
        match answer {
            Err(error) if silent(&error) && self.0 < Self::SILENCES => {
                self.0 += 1;
                Ok(None)
            }
            answer => {
                self.0 = 0;
                answer.map(Some)
            }
        }
    }
}

impl ConnectArgs {
    /// The scopes that are asked for, if any were named.
    pub(crate) fn scopes(&self) -> Option<Vec<String>> {
        let scopes = scope_list(&self.scopes);
        (!scopes.is_empty()).then_some(scopes)
    }

    /// What the provider must be told.
    pub(crate) fn params(&self) -> BTreeMap<String, String> {
        self.params.iter().cloned().collect()
    }

    /// Whether a particular account is meant, which a device flow cannot be told.
    pub(crate) const fn names_account(&self) -> bool {
        self.another || self.account_hint.is_some()
    }

    /// Says what the provider needs to be told and was not, before anything is begun.
    fn check_params(&self, provider: &Provider) -> Result<(), ClientError> {
        let given = self.params();
        let missing = |param: &&_| {
            let param: &runtools_broker::wire::ProviderParam = param;
            param.required && !given.contains_key(&param.name)
        };
        let Some(param) = provider.params.iter().find(missing) else {
            return Ok(());
        };
        let such_as = match (&param.example, param.choices.as_slice()) {
            (_, [_, ..]) => format!(": one of {}", param.choices.join(", ")),
            (Some(example), []) => format!(", such as {}={example}", param.name),
            (None, []) => String::new(),
        };
        let label = param.label.as_ref().unwrap_or(&param.name);
        Err(ClientError::usage(
            format!("{} must be told: {label}", provider.display_name),
            format!("pass --param {}=VALUE{such_as}", param.name),
        ))
    }
}

/// Connects an account, in whatever way fits, and says which.
pub(crate) async fn connect(
    args: ConnectArgs,
    opener: Option<Opener>,
    session: &Session,
) -> Outcome {
    session.out.in_lines();
    if !args.scopes.is_empty() && args.scopes().is_none() {
        return Err(ClientError::usage(
            "--scopes names no scope",
            "leave it out for the provider's usual ones",
        ));
    }
    let client = session.client()?;
    let all: Vec<Provider> = if_allowed(client.list(&providers(true)).await)?;
    let provider = all.iter().find(|known| known.id == args.provider.as_str());
    match provider {
        Some(provider) => args.check_params(provider)?,
        // A key that may not list providers knows of none: the broker says whether there is this one.
        None if all.is_empty() => {}
        None => return Err(unknown(args.provider.as_str(), &all)),
    }
    let before = if_allowed(owned(&args.provider, &client).await)?;
    let before: HashSet<ConnectionId> = before.into_iter().map(|one| one.id).collect();
    let came = match choose(&args, session.env(), provider)? {
        Mode::Browser => oauth_browser::here(&args, opener, &client, session).await?,
        Mode::Code => oauth_browser::elsewhere(&args, &client, session).await?,
        Mode::Device => oauth_device::connect(&args, &client, session).await?,
    };
    tell(&args, &came, &before, &client, session).await
}

/// There is no such provider; one that is spelled nearly so is named.
fn unknown(asked: &str, all: &[Provider]) -> ClientError {
    let list = "`runtools oauth providers --all` lists them";
    let near = nearest(asked, all.iter().map(|known| known.id.as_str()));
    let hint = near.map_or_else(
        || list.to_owned(),
        |near| format!("did you mean {near}? {list}"),
    );
    none(
        "no_such_provider",
        format!("there is no provider {asked}"),
        hint,
    )
}

/// A key may be allowed to connect accounts and not to look at them: then less is known.
fn if_allowed<T>(listed: Result<Vec<T>, ClientError>) -> Result<Vec<T>, ClientError> {
    match listed {
        Err(error) if error.exit() == Exit::Forbidden => Ok(Vec::new()),
        listed => listed,
    }
}

/// The caller's own connections with a provider.
async fn owned(provider: &ProviderId, client: &Client) -> Result<Vec<Connection>, ClientError> {
    client
        .list(&connections().with("provider", provider.as_str()))
        .await
}

async fn tell(
    args: &ConnectArgs,
    came: &Came,
    before: &HashSet<ConnectionId>,
    client: &Client,
    session: &Session,
) -> Outcome {
    // The account is connected, whether or not it can be looked at.
    let now = owned(&args.provider, client).await.unwrap_or_default();
    let stored = now.iter().find(|one| Some(one.id) == came.connection);
    let account = came.account.as_deref();
    let account = account.or_else(|| stored.map(|one| one.account.as_str()));
    let missing = stored.map_or(&came.missing, |one| &one.missing_scopes);
    let renewed = came.connection.is_some_and(|id| before.contains(&id));
    let provider = args.provider.as_str();
    let connected = Connected {
        provider,
        connection_id: came.connection,
        account,
        renewed,
        missing_scopes: missing,
    };
    let verb = if renewed { "renewed" } else { "connected" };
    session.out.show(&connected, || {
        let account = account.map_or_else(String::new, |name| format!(" as {}", Visible(name)));
        format!("{verb} {provider}{account}\n")
    })?;
    if !missing.is_empty() {
        session.out.note(format!(
            "warning: not allowed: {}; tools that need it will say so",
            missing.join(", ")
        ));
        let id = came
            .connection
            .map_or_else(String::new, |id| format!(" --reconnect {id}"));
        session.out.hint(format!(
            "allow everything in `runtools oauth connect {provider}{id}`"
        ));
    }
    Ok(Exit::Ok)
}

/// The route that begins a flow in a browser.
pub(crate) fn start(args: &ConnectArgs) -> Result<Route, ClientError> {
    let params = args.params();
    let params = (!params.is_empty()).then(|| serde_json::to_string(&params));
    let params = params.transpose().map_err(|_| {
        ClientError::usage(
            "--param cannot be sent",
            "write NAME=VALUE in plain letters",
        )
    })?;
    Ok(Route::new("/v1/oauth/start")
        .then(args.provider.as_str())
        .maybe("scopes", args.scopes().map(|scopes| scopes.join(",")))
        .maybe("reconnect", args.reconnect.map(|id| id.to_string()))
        .flag("another", args.another)
        .maybe("login_hint", args.account_hint.as_ref())
        .maybe("params", params))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use runtools_broker::client::ClientError;

    use super::{ConnectArgs, Patience, start};

    #[derive(Parser, Debug)]
    struct Line {
        #[command(flatten)]
        args: ConnectArgs,
    }

    fn args(words: &[&str]) -> Result<ConnectArgs, clap::Error> {
        let line = ["connect"].iter().chain(words);
        Line::try_parse_from(line).map(|line| line.args)
    }

    #[test]
    fn what_is_asked_for_stands_in_the_query() {
        let id = "3f2b8c1e-5d0a-4c8e-9b1f-2a6d7e8f9a0b";
        let line = args(&[
            "shopify",
            "--scopes",
            "a b",
            "--scope",
            "c",
            "--param",
            "shop=x&y=z",
            "--reconnect",
            id,
            "--account-hint",
            "me@example.com",
        ]);
        assert_eq!(
            start(&line.unwrap()).unwrap().as_str(),
            format!(
                "/v1/oauth/start/shopify?scopes=a%2Cb%2Cc&reconnect={id}\
                 &login_hint=me%40example.com&params=%7B%22shop%22%3A%22x%26y%3Dz%22%7D"
            )
        );
        let bare = start(&args(&["github"]).unwrap()).unwrap();
        assert_eq!(bare.as_str(), "/v1/oauth/start/github");
        let another = start(&args(&["github", "--another"]).unwrap()).unwrap();
        assert_eq!(another.as_str(), "/v1/oauth/start/github?another=true");
    }

    #[test]
    fn a_broker_may_be_silent_for_a_moment() {
        let mut patience = Patience::default();
        let silence = || Err::<u8, _>(ClientError::NotAnAnswer { status: 502 });
        for _ in 0..Patience::SILENCES {
            assert!(patience.heard(silence()).unwrap().is_none());
        }
        assert!(patience.heard(silence()).is_err());
        assert_eq!(patience.heard(Ok(1)).unwrap(), Some(1));
        assert!(patience.heard(silence()).unwrap().is_none());
        let other = ClientError::NotAnAnswer { status: 200 };
        assert!(patience.heard(Err::<u8, _>(other)).is_err());
        assert!(
            patience
                .heard(Err::<u8, _>(ClientError::SignedOut))
                .is_err()
        );
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let id = "3f2b8c1e-5d0a-4c8e-9b1f-2a6d7e8f9a0b";
        for line in [
            &["github", "--device", "--no-browser"][..],
            &["github", "--device", "--another"],
            &["github", "--another", "--reconnect", id],
            &["github", "--reconnect", "octocat"],
            &["github", "--param", "shop"],
            &["github", "--param", "=x"],
            &["Git Hub"],
            &[],
        ] {
            assert!(args(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn what_a_provider_must_be_told_is_asked_for_at_once() {
        let shopify = serde_json::json!({
            "id": "shopify", "displayName": "Shopify", "configured": true, "browser": true,
            "device": false, "status": "verified", "defaultScopes": [], "scopes": {},
            "params": [
                {"name": "region", "required": false},
                {"name": "shop", "label": "your shop", "example": "my-shop", "required": true},
            ],
        });
        let shopify = serde_json::from_value(shopify).unwrap();
        let refused = args(&["shopify"]).unwrap().check_params(&shopify);
        let refused = refused.unwrap_err().detail();
        assert_eq!(refused.message, "Shopify must be told: your shop");
        let hint = "pass --param shop=VALUE, such as shop=my-shop";
        assert_eq!(refused.hint.as_deref(), Some(hint));
        let told = args(&["shopify", "--param", "shop=x"]).unwrap();
        assert!(told.check_params(&shopify).is_ok());
    }
}
