//! Programs that act for the members of an organisation, such as a Tool Hub.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use http::Method;
use runtools_broker::client::text::{Visible, minute};
use runtools_broker::client::{Client, ClientError, Exit, Outcome, Route, Session, Table, body};
use runtools_broker::id::ServiceId;
use runtools_broker::wire::{AddService, MadeService, RotateService, Service, ServiceCredential};
use serde_json::Value;

/// Services.
#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// List the services of every organisation
    List,
    /// Make a service, and its key unless it has a certificate; the key is shown this once
    Add(AddArgs),
    /// Give a service a new key, which is shown this once, or a new certificate
    Rotate(RotateArgs),
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

/// What is made.
#[derive(Args, Debug)]
pub(crate) struct AddArgs {
    /// What to call it, such as tool-hub
    name: String,
    /// Whose it is: an organisation's id or slug; your own unless you say another
    #[arg(long, value_name = "ORG")]
    org: Option<String>,
    /// Recognise it by this client certificate (PEM), and not by a key
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
}

/// What is replaced.
#[derive(Args, Debug)]
pub(crate) struct RotateArgs {
    /// The service: name or id
    service: String,
    /// How many seconds the old one still works (at most 604800)
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    grace: u32,
    /// Recognise it by this client certificate (PEM) from now on, and not by a key
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
}

/// Runs one of the verbs.
pub(crate) async fn run(command: ServiceCommand, session: &Session) -> Outcome {
    let client = session.local()?;
    match command {
        ServiceCommand::List => list(&client, session).await?,
        ServiceCommand::Add(args) => {
            let body = body::plain(&AddService {
                name: args.name,
                organization: args.org,
                certificate: certificate(args.certificate.as_deref())?,
            })?;
            let made = client.call(Method::POST, &services(), Some(body)).await?;
            shown_once(&made, "added", session)?;
        }
        ServiceCommand::Rotate(args) => {
            let id = find(&args.service, &client).await?;
            let body = body::plain(&RotateService {
                grace_seconds: Some(args.grace),
                certificate: certificate(args.certificate.as_deref())?,
            })?;
            let route = services().then(id.to_string()).then("rotate");
            let made = client.call(Method::POST, &route, Some(body)).await?;
            shown_once(&made, "gave a new credential to", session)?;
        }
        ServiceCommand::Remove { service, yes } => {
            let id = find(&service, &client).await?;
            if !yes {
                let warning = format!(
                    "This removes {service}; its key is refused from now on, and what it runs is cut off."
                );
                session.prompts.confirm(&warning, &service, "pass --yes")?;
            }
            let route = services().then(id.to_string());
            let done: Value = client.call(Method::DELETE, &route, None).await?;
            session.out.done(&done, format!("removed {service}"))?;
        }
    }
    Ok(Exit::Ok)
}

fn services() -> Route {
    Route::new("/v1/operator/services")
}

/// The service that an id or a name means.
async fn find(service: &str, client: &Client) -> Result<ServiceId, ClientError> {
    if let Ok(id) = ServiceId::parse(service) {
        return Ok(id);
    }
    let all: Vec<Service> = client.list(&services()).await?;
    let mut meant = all.iter().filter(|one| one.name == service);
    match (meant.next(), meant.next()) {
        (Some(one), None) => Ok(one.id),
        _ => Err(ClientError::usage(
            "no one service has that id or name",
            "take the id from `service list`",
        )),
    }
}

/// The first certificate of a file, and nothing else of it: there may be a private key beside it.
fn certificate(file: Option<&Path>) -> Result<Option<String>, ClientError> {
    const BEGINS: &str = "-----BEGIN CERTIFICATE-----";
    const ENDS: &str = "-----END CERTIFICATE-----";
    let Some(file) = file else { return Ok(None) };
    let text = std::fs::read_to_string(file).map_err(|error| ClientError::file(file, &error))?;
    let body = text.split_once(BEGINS).map(|(_, rest)| rest);
    let body = body.and_then(|rest| rest.split_once(ENDS));
    let (body, _) = body.ok_or_else(|| {
        ClientError::usage(
            "the file holds no certificate in PEM",
            "give the certificate itself, which begins with BEGIN CERTIFICATE",
        )
    })?;
    Ok(Some(format!("{BEGINS}{body}{ENDS}\n")))
}

fn shown_once(made: &MadeService, what: &str, session: &Session) -> Result<(), ClientError> {
    session.out.show(made, || {
        made.key
            .as_ref()
            .map_or_else(String::new, |key| format!("{}\n", Visible(key)))
    })?;
    let (name, id) = (&made.service.name, made.service.id);
    session.out.note(format!("{what} {name} ({id})"));
    if made.key.is_some() {
        session
            .out
            .hint("the key is shown this once: give it to the service now");
    }
    Ok(())
}

async fn list(client: &Client, session: &Session) -> Result<(), ClientError> {
    let all: Vec<Service> = client.list(&services()).await?;
    session.out.table(&all, "no services", || {
        let mut table = Table::new(&[
            "NAME",
            "CREDENTIALS",
            "LAST USED (UTC)",
            "MADE (UTC)",
            "ORGANISATION",
            "ID",
        ]);
        for service in &all {
            let shown = |one: &ServiceCredential| {
                let begins: String = one.shown.chars().take(12).collect();
                format!("{begins}…")
            };
            let used = |one: &ServiceCredential| {
                one.last_used_at.map_or_else(|| "never".to_owned(), minute)
            };
            let shown: Vec<String> = service.credentials.iter().map(shown).collect();
            let used: Vec<String> = service.credentials.iter().map(used).collect();
            table.row(&[
                service.name.as_str(),
                &shown.join(", "),
                &used.join(", "),
                &minute(service.created_at),
                &service.organization_id.to_string(),
                &service.id.to_string(),
            ]);
        }
        table
    })
}
