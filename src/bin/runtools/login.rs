//! Signing in and out.

use clap::Args;
use runtools_broker::client::text::Visible;
use runtools_broker::client::{
    Client, ClientError, DEFAULT_ORIGIN, Exit, Outcome, Place, Profile, ProfileStore, Route,
    Session, read_stdin,
};
use runtools_broker::secret::Secret;
use runtools_broker::wire::Me;

/// How to give a key without being asked.
pub(crate) const KEY_INSTEAD: &str =
    "pipe the key in with --with-key, or use `runtools login --local` on the broker's machine";

/// Signs in with an API key, which is asked for, or as this machine's user with --local.
#[derive(Args, Debug)]
pub(crate) struct LoginArgs {
    /// Use the broker on this machine, which recognises you by your user id: nothing to copy
    #[arg(long, conflicts_with_all = ["with_key", "api_url"])]
    local: bool,
    /// Read the API key from standard input
    #[arg(long)]
    with_key: bool,
}

/// Asks the broker who the caller is, and writes the profile only when it knows.
pub(crate) async fn login(args: LoginArgs, session: &Session) -> Outcome {
    let profiles = ProfileStore::find(session.env())?;
    if args.local {
        let socket = std::path::absolute(session.socket()?)
            .map_err(|error| ClientError::file("the socket", &error))?;
        let me = who(&session.client_at(Place::Socket(socket.clone()))?).await?;
        profiles.save(&Profile::Local { socket })?;
        return welcome(session, &me);
    }
    if session.options().socket.is_some() {
        return Err(ClientError::usage(
            "a key is not used over a socket",
            "write `runtools login --local --socket PATH`",
        ));
    }
    let api_url = session
        .options()
        .api_url
        .as_ref()
        .or(session.env().api_url.as_ref());
    let api_url = api_url
        .map_or(DEFAULT_ORIGIN, String::as_str)
        .trim_end_matches('/')
        .to_owned();
    let key = if args.with_key {
        read_stdin()?
    } else {
        session
            .prompts
            .hidden(&format!("API key for {api_url}"), KEY_INSTEAD)?
    };
    keep_key(session, &profiles, api_url, key).await
}

/// Verifies a key with its broker and writes it down.
pub(crate) async fn keep_key(
    session: &Session,
    profiles: &ProfileStore,
    api_url: String,
    key: Secret,
) -> Outcome {
    let copy = key.expose(Secret::copy_of);
    let place = Place::Origin {
        url: api_url.clone(),
        key: Some(copy),
    };
    let me = who(&session.client_at(place)?).await?;
    profiles.save(&Profile::Key { api_url, key })?;
    welcome(session, &me)
}

/// Removes the profile; an API key stays valid until it is revoked.
pub(crate) fn logout(session: &Session) -> Outcome {
    let profiles = ProfileStore::find(session.env())?;
    let gone = profiles.remove()?;
    let words = if gone {
        "signed out on this machine"
    } else {
        "there was nothing to sign out of"
    };
    session
        .out
        .done(&serde_json::json!({ "signedOut": gone }), words)?;
    if gone {
        session
            .out
            .hint("an API key stays valid until `runtools auth keys revoke`");
    }
    if session.env().api_key.is_some() {
        session
            .out
            .hint("RUNTOOLS_API_KEY is still set in this shell");
    }
    Ok(Exit::Ok)
}

async fn who(client: &Client) -> Result<Me, ClientError> {
    client.get(&Route::new("/v1/me")).await
}

fn welcome(session: &Session, me: &Me) -> Outcome {
    let (name, organization) = (Visible(&me.first_name), Visible(&me.organization_name));
    session
        .out
        .done(me, format!("signed in to {organization} as {name}"))?;
    Ok(Exit::Ok)
}
