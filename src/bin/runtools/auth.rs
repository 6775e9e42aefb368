//! Who you are, and API keys.

use clap::{Args, Subcommand};
use runtools_broker::client::text::Fields;
use runtools_broker::client::{
    ClientError, DEFAULT_ORIGIN, Exit, Outcome, Place, Profile, ProfileStore, Route, Session,
    read_stdin, stdin_is_piped,
};
use runtools_broker::secret::Secret;
use runtools_broker::wire::{Me, Role};
use serde::Serialize;

use crate::keys::{self, KeysCommand};
use crate::login::{KEY_INSTEAD, keep_key};

/// Who you are, and API keys.
#[derive(Debug, Subcommand)]
pub(crate) enum AuthCommand {
    /// Show who you are, for the broker and by what
    Status,
    /// Store an API key for the broker of your profile
    SetKey(SetKeyArgs),
    /// Make, list, change, rotate and revoke API keys
    #[command(subcommand)]
    Keys(KeysCommand),
}

/// Stores an API key after the broker has accepted it.
#[derive(Args, Debug)]
pub(crate) struct SetKeyArgs {
    /// The key; asked for when left out, `-` for standard input. On the command line other
    /// processes can see it
    #[arg(value_name = "KEY")]
    key: Option<String>,
}

#[derive(Serialize)]
struct Standing<'a> {
    place: &'a str,
    me: &'a Me,
}

/// Runs one of the verbs.
pub(crate) async fn run(command: AuthCommand, session: &Session) -> Outcome {
    match command {
        AuthCommand::Status => status(session).await,
        AuthCommand::SetKey(args) => set_key(args, session).await,
        AuthCommand::Keys(command) => keys::run(command, session).await,
    }
}

async fn status(session: &Session) -> Outcome {
    let place = match session.place()? {
        Place::Socket(path) => path.display().to_string(),
        Place::Origin { url, .. } => url,
    };
    let me: Me = session.client()?.get(&Route::new("/v1/me")).await?;
    session.out.show(
        &Standing {
            place: &place,
            me: &me,
        },
        || {
            let role = match me.role {
                Role::Admin => "admin",
                Role::Member => "member",
            };
            let lines = [
                ("broker", place.as_str()),
                ("name", &me.first_name),
                ("e-mail", me.email.as_deref().unwrap_or("-")),
                ("organisation", &me.organization_name),
                ("role", role),
                (
                    "known by",
                    if me.via == "local" {
                        "user id on this machine"
                    } else {
                        "API key"
                    },
                ),
                ("scopes", &me.scopes.join(", ")),
                ("operator", if me.is_admin { "yes" } else { "no" }),
            ];
            Fields(&lines).to_string()
        },
    )?;
    Ok(Exit::Ok)
}

async fn set_key(args: SetKeyArgs, session: &Session) -> Outcome {
    let profiles = ProfileStore::find(session.env())?;
    let named = session
        .options()
        .api_url
        .clone()
        .or_else(|| session.env().api_url.clone());
    let api_url = match (named, profiles.load()?) {
        (Some(url), _) => url.trim_end_matches('/').to_owned(),
        (None, Some(Profile::Key { api_url, .. })) => api_url,
        (None, _) => DEFAULT_ORIGIN.to_owned(),
    };
    let key = match args.key {
        Some(text) if text == "-" => read_stdin()?,
        Some(text) => {
            session
                .out
                .hint("other processes could see the key; next time type it, or pipe it in");
            Secret::take(text.into_bytes())
        }
        None if stdin_is_piped() => read_stdin()?,
        None => session
            .prompts
            .hidden(&format!("API key for {api_url}"), KEY_INSTEAD)?,
    };
    if key.is_empty() {
        return Err(ClientError::usage("the key is empty", KEY_INSTEAD));
    }
    keep_key(session, &profiles, api_url, key).await
}
