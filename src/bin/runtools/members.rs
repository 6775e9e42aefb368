//! Who belongs to the organisation. The same verbs in both binaries.

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use runtools_broker::client::text::{Visible, minute};
use runtools_broker::client::{Client, ClientError, Exit, Outcome, Route, Session, Table, body};
use runtools_broker::id::MemberId;
use runtools_broker::wire::{
    AddMember, AddedMember, Member, MemberStatus, RemovedMember, Role, UpdateMember,
};
use serde_json::Value;

/// Members.
#[derive(Debug, Subcommand)]
pub(crate) enum MemberCommand {
    /// List the members
    List {
        /// Those who were removed, too
        #[arg(long)]
        removed: bool,
    },
    /// Add a member
    Add(AddArgs),
    /// Make a member an admin, or an admin a member
    Role {
        /// The member: id or e-mail address
        member: String,
        /// What they may do
        role: RoleArg,
    },
    /// Remove a member; their keys are refused from now on
    #[command(visible_alias = "rm")]
    Remove {
        /// The member: id or e-mail address
        member: String,
        /// Do not ask
        #[arg(long, visible_alias = "force")]
        yes: bool,
    },
}

/// Who is added.
#[derive(Args, Debug)]
pub(crate) struct AddArgs {
    /// Display name
    name: String,
    /// E-mail address
    #[arg(long)]
    email: Option<String>,
    /// What they may do
    #[arg(long, value_enum, default_value = "member")]
    role: RoleArg,
    /// Recognise this user id of the machine over the Unix socket; for the operator
    #[arg(long)]
    uid: Option<u32>,
    /// Make an API key for them; it is shown this once
    #[arg(long)]
    create_key: bool,
}

/// What a member may do.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RoleArg {
    /// Shared secrets, members, policy, audit
    Admin,
    /// Their own secrets, and the use of shared ones
    Member,
}

impl RoleArg {
    const fn wire(self) -> Role {
        match self {
            Self::Admin => Role::Admin,
            Self::Member => Role::Member,
        }
    }
}

/// Runs one of the verbs against `client`.
pub(crate) async fn run(command: MemberCommand, client: &Client, session: &Session) -> Outcome {
    match command {
        MemberCommand::List { removed } => list(removed, client, session).await?,
        MemberCommand::Add(args) => add(args, client, session).await?,
        MemberCommand::Role { member, role } => {
            let route = members().then(find(&member, client).await?.to_string());
            let body = body::plain(&UpdateMember { role: role.wire() })?;
            let done: Value = client.call(Method::PATCH, &route, Some(body)).await?;
            session
                .out
                .done(&done, format!("{member} is now {}", word(role.wire())))?;
        }
        MemberCommand::Remove { member, yes } => {
            let id = find(&member, client).await?;
            if !yes {
                let warning = format!(
                    "This removes {member}; their keys are refused from now on, and what they keep of \
                     their own is destroyed."
                );
                session.prompts.confirm(&warning, &member, "pass --yes")?;
            }
            let route = members().then(id.to_string());
            let done: RemovedMember = client.call(Method::DELETE, &route, None).await?;
            let rest = if done.key_destroyed {
                "destroyed, with its key"
            } else {
                "being destroyed; the rest follows by itself"
            };
            let words = format!("removed {member}; what they kept of their own is {rest}");
            session.out.done(&done, words)?;
        }
    }
    Ok(Exit::Ok)
}

fn members() -> Route {
    Route::new("/v1/organizations/current/members")
}

const fn word(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::Member => "member",
    }
}

/// The membership that an id or an e-mail address means.
async fn find(member: &str, client: &Client) -> Result<MemberId, ClientError> {
    if let Ok(id) = MemberId::parse(member) {
        return Ok(id);
    }
    let all: Vec<Member> = client.list(&members()).await?;
    let is_meant = |one: &&Member| {
        one.status == MemberStatus::Active
            && one
                .email
                .as_deref()
                .is_some_and(|email| email.eq_ignore_ascii_case(member))
    };
    let mut meant = all.iter().filter(is_meant);
    match (meant.next(), meant.next()) {
        (Some(one), None) => Ok(one.id),
        _ => Err(ClientError::usage(
            "no one member has that id or e-mail address",
            "take the id from `member list`",
        )),
    }
}

async fn list(removed: bool, client: &Client, session: &Session) -> Result<(), ClientError> {
    let mut all: Vec<Member> = client.list(&members()).await?;
    all.retain(|member| removed || member.status == MemberStatus::Active);
    all.sort_by(|a, b| a.name.cmp(&b.name));
    session.out.table(&all, "no members", || {
        let mut table = Table::new(&["NAME", "E-MAIL", "ROLE", "UID", "JOINED (UTC)", "ID"]);
        for member in &all {
            let role = match member.status {
                MemberStatus::Active => word(member.role),
                MemberStatus::Removed => "removed",
            };
            table.row(&[
                member.name.as_str(),
                member.email.as_deref().unwrap_or("-"),
                role,
                &member
                    .uid
                    .map_or_else(|| "-".to_owned(), |uid| uid.to_string()),
                &minute(member.joined_at),
                &member.id.to_string(),
            ]);
        }
        table
    })
}

async fn add(args: AddArgs, client: &Client, session: &Session) -> Result<(), ClientError> {
    let body = body::plain(&AddMember {
        name: args.name,
        email: args.email,
        role: Some(args.role.wire()),
        uid: args.uid,
        create_key: args.create_key.then_some(true),
    })?;
    let added: AddedMember = client.call(Method::POST, &members(), Some(body)).await?;
    session.out.show(&added, || {
        added
            .key
            .as_ref()
            .map_or_else(String::new, |key| format!("{}\n", Visible(key)))
    })?;
    let (name, id) = (&added.member.name, added.member.id);
    session.out.note(format!(
        "added {name} as {} ({id})",
        word(added.member.role)
    ));
    if added.key.is_some() {
        session
            .out
            .hint("the key is shown this once: hand it over now");
    }
    Ok(())
}
