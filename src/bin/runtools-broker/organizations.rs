//! The organisations of this installation.

use clap::{Args, Subcommand};
use http::Method;
use runtools_broker::client::text::{Visible, minute};
use runtools_broker::client::{Exit, Outcome, Route, Session, Table, body};
use runtools_broker::wire::{CreateOrganization, CreatedOrganization, InstalledOrganization};

/// Organisations.
#[derive(Debug, Subcommand)]
pub(crate) enum OrganizationCommand {
    /// Make an organisation, and a key for its first admin, you; the key is shown this once
    Add(AddArgs),
    /// List all organisations of this installation
    List,
}

/// What is made.
#[derive(Args, Debug)]
pub(crate) struct AddArgs {
    /// Display name
    name: String,
    /// What to call it in commands; made of the name unless you say another
    #[arg(long)]
    slug: Option<String>,
}

/// Runs one of the verbs.
pub(crate) async fn run(command: OrganizationCommand, session: &Session) -> Outcome {
    match command {
        OrganizationCommand::Add(args) => add(args, session).await,
        OrganizationCommand::List => list(session).await,
    }
}

async fn list(session: &Session) -> Outcome {
    let route = Route::new("/v1/operator/organizations");
    let all: Vec<InstalledOrganization> = session.local()?.list(&route).await?;
    session.out.table(&all, "no organisations", || {
        let mut table = Table::new(&["SLUG", "NAME", "MEMBERS", "MADE (UTC)", "ID"]);
        for org in &all {
            let (members, made) = (org.members.to_string(), minute(org.created_at));
            let id = org.id.to_string();
            table.row(&[org.slug.as_str(), &org.name, &members, &made, &id]);
        }
        table
    })?;
    Ok(Exit::Ok)
}

async fn add(args: AddArgs, session: &Session) -> Outcome {
    let body = body::plain(&CreateOrganization {
        name: args.name,
        slug: args.slug,
        // The socket leads to the first organisation: without a key nobody could act in this one.
        create_key: Some(true),
    })?;
    let route = Route::new("/v1/organizations");
    let client = session.local()?;
    let made: CreatedOrganization = client.call(Method::POST, &route, Some(body)).await?;
    session.out.show(&made, || {
        let key = made.key.as_ref();
        key.map_or_else(String::new, |key| format!("{}\n", Visible(key)))
    })?;
    let (slug, id) = (&made.organization.slug, made.organization.id);
    session.out.note(format!("added {slug} ({id})"));
    let hint = "the key is shown this once; with it, `runtools member add` lets others in";
    session.out.hint(hint);
    Ok(Exit::Ok)
}
