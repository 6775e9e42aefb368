//! Deleting an organisation, or a person everywhere.

use clap::{Args, Subcommand};
use http::Method;
use runtools_broker::client::{Exit, Outcome, Route, Session};
use runtools_broker::id::UserId;
use runtools_broker::wire::{DeletedOrganization, DeletedUser};

/// What is deleted.
#[derive(Debug, Subcommand)]
pub(crate) enum DeleteCommand {
    /// Delete an organisation: nobody is recognised in it any more, and its keys are destroyed
    Organization(OrganizationArgs),
    /// Remove somebody from every organisation, and destroy the keys of what they had
    User(UserArgs),
}

/// Which organisation.
#[derive(Args, Debug)]
pub(crate) struct OrganizationArgs {
    /// Its slug or its id
    #[arg(value_name = "ORGANIZATION")]
    organization: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Who.
#[derive(Args, Debug)]
pub(crate) struct UserArgs {
    /// The id of the user
    #[arg(value_name = "USER", value_parser = UserId::parse)]
    user: UserId,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Runs one of the verbs.
pub(crate) async fn run(command: DeleteCommand, session: &Session) -> Outcome {
    match command {
        DeleteCommand::Organization(args) => organization(args, session).await,
        DeleteCommand::User(args) => user(args, session).await,
    }
}

async fn organization(args: OrganizationArgs, session: &Session) -> Outcome {
    let client = session.local()?;
    if !args.yes {
        let warning =
            "This destroys what the organisation and its members have in it: there is no way back.";
        let prompts = &session.prompts;
        prompts.confirm(warning, &args.organization, "pass --yes")?;
    }
    let route = Route::new("/v1/operator/organizations").then(args.organization);
    let deleted: DeletedOrganization = client.call(Method::DELETE, &route, None).await?;
    session
        .out
        .done(&deleted, gone(deleted.key_destroyed, "the organisation"))?;
    session.out.hint(LATER);
    Ok(Exit::Ok)
}

async fn user(args: UserArgs, session: &Session) -> Outcome {
    let client = session.local()?;
    let id = args.user.to_string();
    if !args.yes {
        let warning = "This destroys what they have of their own in every organisation: there is no way back.";
        session.prompts.confirm(warning, &id, "pass --yes")?;
    }
    let route = Route::new("/v1/operator/users").then(id);
    let deleted: DeletedUser = client.call(Method::DELETE, &route, None).await?;
    session
        .out
        .done(&deleted, gone(deleted.key_destroyed, "the user"))?;
    session.out.hint(LATER);
    Ok(Exit::Ok)
}

const LATER: &str = "old bytes of the database and backups may hold what was there: `runtools-broker shred` says how to reach those";

fn gone(key_destroyed: bool, what: &str) -> String {
    if key_destroyed {
        format!("{what} is gone, and the keys are destroyed")
    } else {
        format!(
            "{what} is gone; tokens are given back to their providers, and then the keys are destroyed, within a day"
        )
    }
}
