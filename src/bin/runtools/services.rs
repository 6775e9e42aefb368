//! Programs that act for members: who may act for whom, without a token of theirs.

use clap::{Args, Subcommand};
use http::Method;
use runtools_broker::client::text::{Visible, minute};
use runtools_broker::client::{Client, ClientError, Exit, Outcome, Route, Session, Table, body};
use runtools_broker::id::{ServiceId, UserId};
use runtools_broker::wire::{Delegate, Delegation, Member, MemberStatus, Service};
use serde_json::Value;

/// Services.
#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// List the organisation's services
    List,
    /// List the members for whom a service may act without their key
    Delegations {
        /// The service: name or id
        service: String,
    },
    /// Let a service act for a member without their key
    Delegate(DelegateArgs),
    /// End that, at once
    Undelegate {
        /// The service: name or id
        service: String,
        /// The member: user id or e-mail address
        member: String,
    },
    /// Remove a service; what it runs is cut off
    #[command(visible_alias = "rm")]
    Remove {
        /// The service: name or id
        service: String,
        /// Do not ask
        #[arg(long, visible_alias = "force")]
        yes: bool,
    },
}

/// Who may act for whom.
#[derive(Args, Debug)]
pub(crate) struct DelegateArgs {
    /// The service: name or id
    service: String,
    /// The member: user id or e-mail address
    member: String,
    /// For how long: 30d, 6m, 1y, a time in UTC, or never (the default)
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
}

/// Runs one of the verbs.
pub(crate) async fn run(command: ServiceCommand, session: &Session) -> Outcome {
    let client = session.client()?;
    match command {
        ServiceCommand::List => list(&client, session).await?,
        ServiceCommand::Delegations { service } => {
            let id = find(&service, &client).await?;
            delegations(id, &client, session).await?;
        }
        ServiceCommand::Delegate(args) => delegate(args, &client, session).await?,
        ServiceCommand::Undelegate { service, member } => {
            let id = find(&service, &client).await?;
            let user = find_user(&member, &client).await?;
            let route = of(id).then("delegations").then(user.to_string());
            let done: Value = client.call(Method::DELETE, &route, None).await?;
            let said = format!("{service} may not act for {member} any more without their key");
            session.out.done(&done, said)?;
        }
        ServiceCommand::Remove { service, yes } => {
            let id = find(&service, &client).await?;
            if !yes {
                let warning = format!(
                    "This removes {service}; its key is refused from now on, and what it runs is cut off."
                );
                session.prompts.confirm(&warning, &service, "pass --yes")?;
            }
            let done: Value = client.call(Method::DELETE, &of(id), None).await?;
            session.out.done(&done, format!("removed {service}"))?;
        }
    }
    Ok(Exit::Ok)
}

fn services() -> Route {
    Route::new("/v1/services")
}

fn of(id: ServiceId) -> Route {
    services().then(id.to_string())
}

/// The service that an id or a name means.
async fn find(service: &str, client: &Client) -> Result<ServiceId, ClientError> {
    if let Ok(id) = ServiceId::parse(service) {
        return Ok(id);
    }
    let all: Vec<Service> = client.list(&services()).await?;
    let meant = all.iter().find(|one| one.name == service);
    meant.map(|one| one.id).ok_or_else(|| {
        ClientError::usage(
            "no service has that id or name",
            "see `runtools service list`; the operator makes services",
        )
    })
}

/// The member that a user id or an e-mail address means.
async fn find_user(member: &str, client: &Client) -> Result<UserId, ClientError> {
    if let Ok(id) = UserId::parse(member) {
        return Ok(id);
    }
    let route = Route::new("/v1/organizations/current/members");
    let all: Vec<Member> = client.list(&route).await?;
    let is_meant = |one: &&Member| {
        let email = one.email.as_deref().unwrap_or_default();
        one.status == MemberStatus::Active && email.eq_ignore_ascii_case(member)
    };
    let mut meant = all.iter().filter(is_meant);
    match (meant.next(), meant.next()) {
        (Some(one), None) => Ok(one.user_id),
        _ => Err(ClientError::usage(
            "no one member has that user id or e-mail address",
            "see `runtools member list --json`: the user id is userId there",
        )),
    }
}

async fn delegate(
    args: DelegateArgs,
    client: &Client,
    session: &Session,
) -> Result<(), ClientError> {
    let id = find(&args.service, client).await?;
    let user = find_user(&args.member, client).await?;
    let body = body::plain(&Delegate {
        user_id: user.to_string(),
        expires_in: args.expires,
    })?;
    let route = of(id).then("delegations");
    let made: Delegation = client.call(Method::POST, &route, Some(body)).await?;
    let until = made.expires_at.map_or_else(
        || "until you end it".to_owned(),
        |end| format!("until {} UTC", minute(end)),
    );
    let (service, name) = (Visible(&made.service_name), Visible(&made.user_name));
    let said = format!("{service} may act for {name} without their key, {until}");
    session.out.done(&made, said)
}

async fn delegations(id: ServiceId, client: &Client, session: &Session) -> Result<(), ClientError> {
    let all: Vec<Delegation> = client.list(&of(id).then("delegations")).await?;
    session
        .out
        .table(&all, "it acts for nobody without their key", || {
            let mut table = Table::new(&["MEMBER", "SINCE (UTC)", "UNTIL (UTC)", "USER ID"]);
            for one in &all {
                table.row(&[
                    one.user_name.as_str(),
                    &minute(one.created_at),
                    &one.expires_at.map_or_else(|| "-".to_owned(), minute),
                    &one.user_id.to_string(),
                ]);
            }
            table
        })
}

async fn list(client: &Client, session: &Session) -> Result<(), ClientError> {
    let all: Vec<Service> = client.list(&services()).await?;
    session.out.table(&all, "no services", || {
        let mut table = Table::new(&["NAME", "MAY", "MADE (UTC)", "ID"]);
        for service in &all {
            table.row(&[
                service.name.as_str(),
                &service.scopes.join(", "),
                &minute(service.created_at),
                &service.id.to_string(),
            ]);
        }
        table
    })
}
