//! Organisations and their policy.

use clap::{Args, Subcommand};
use http::Method;
use runtools_broker::client::text::{Fields, minute};
use runtools_broker::client::{ClientError, Exit, Outcome, Route, Session, Table, body};
use runtools_broker::wire::{Organization, Role, UpdateOrgSettings, UpdateOrganization};

/// Organisations.
#[derive(Debug, Subcommand)]
pub(crate) enum OrgCommand {
    /// Show the organisation you act for, and its policy
    Show,
    /// List your organisations
    List,
    /// Change the organisation's name or policy, for admins
    Update(OrgUpdateArgs),
}

/// What changes about the organisation. What is left out stays.
#[derive(Args, Debug)]
pub(crate) struct OrgUpdateArgs {
    /// A new display name
    #[arg(long)]
    name: Option<String>,
    /// Whether values can be revealed at all
    #[arg(long, value_name = "BOOL")]
    reveal_enabled: Option<bool>,
    /// Whether members may reveal shared secrets
    #[arg(long, value_name = "BOOL")]
    members_reveal_shared: Option<bool>,
    /// Whether accounts may be connected by a code that is typed on another device
    #[arg(long, value_name = "BOOL")]
    device_flows: Option<bool>,
}

/// Runs one of the verbs.
pub(crate) async fn run(command: OrgCommand, session: &Session) -> Outcome {
    match command {
        OrgCommand::Show => {
            let route = Route::new("/v1/organizations/current");
            let org: Organization = session.client()?.get(&route).await?;
            session.out.show(&org, || details(&org))?;
        }
        OrgCommand::List => list(session).await?,
        OrgCommand::Update(args) => update(args, session).await?,
    }
    Ok(Exit::Ok)
}

fn details(org: &Organization) -> String {
    let word = |yes| if yes { "yes" } else { "no" };
    let (id, made) = (org.id.to_string(), minute(org.created_at));
    let lines = [
        ("id", id.as_str()),
        ("name", &org.name),
        ("slug", &org.slug),
        ("your role", role(org.role)),
        ("reveal enabled", word(org.settings.reveal_enabled)),
        (
            "members reveal shared",
            word(org.settings.members_reveal_shared),
        ),
        ("device flows", word(org.settings.device_flows)),
        ("made (UTC)", &made),
    ];
    Fields(&lines).to_string()
}

const fn role(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::Member => "member",
    }
}

async fn list(session: &Session) -> Result<(), ClientError> {
    let route = Route::new("/v1/organizations");
    let organizations: Vec<Organization> = session.client()?.list(&route).await?;
    session.out.table(&organizations, "no organisations", || {
        let mut table = Table::new(&["SLUG", "NAME", "ROLE", "ID"]);
        for org in &organizations {
            table.row(&[
                org.slug.as_str(),
                &org.name,
                role(org.role),
                &org.id.to_string(),
            ]);
        }
        table
    })
}

async fn update(args: OrgUpdateArgs, session: &Session) -> Result<(), ClientError> {
    let client = session.client()?;
    let policy = [
        args.reveal_enabled,
        args.members_reveal_shared,
        args.device_flows,
    ];
    let changed = policy.iter().any(Option::is_some);
    let settings = changed.then_some(UpdateOrgSettings {
        reveal_enabled: args.reveal_enabled,
        members_reveal_shared: args.members_reveal_shared,
        device_flows: args.device_flows,
    });
    let body = body::change(&UpdateOrganization {
        name: args.name,
        settings,
    })?;
    let route = Route::new("/v1/organizations/current");
    let org: Organization = client.call(Method::PATCH, &route, Some(body)).await?;
    session.out.show(&org, || details(&org))
}
