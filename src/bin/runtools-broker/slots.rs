//! The key ring's slots, over the Unix socket: each of them can unseal the vault.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use runtools_broker::client::body::{self, Lent};
use runtools_broker::client::text::{Visible, minute};
use runtools_broker::client::{
    Client, ClientError, Exit, Outcome, Route, Session, Table, read_stdin, stdin_is_piped,
};
use runtools_broker::custody::Share;
use runtools_broker::secret::Secret;
use runtools_broker::wire::{AddedKeySlot, KeySlot};
use serde::Serialize;
use serde_json::Value;

use crate::operator::{INSTEAD, gather, passphrase, told};
use crate::serve::shell;

/// The ways to unseal.
#[derive(Debug, Subcommand)]
pub(crate) enum SlotCommand {
    /// Add a way to unseal: a passphrase, shares, a key file, a systemd credential, a program, a device
    Add(AddArgs),
    /// Prove that a slot opens
    Test(TestArgs),
    /// Lend what opens a slot, for `key rotate root` or `shred` within a quarter of an hour
    Lend(TestArgs),
    /// Take a way to unseal away; the last one stays
    #[command(visible_alias = "rm")]
    Remove {
        /// The slot: its id, its label, or its kind where there is one of that kind
        slot: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// List the ways to unseal
    List,
}

/// What is added.
#[derive(Args, Debug)]
pub(crate) struct AddArgs {
    /// What opens it
    #[arg(required_unless_present = "shares")]
    kind: Option<SlotKind>,
    /// What to call it
    #[arg(long, default_value = "", hide_default_value = true)]
    label: String,
    /// Where the key file is made; it must not be there yet
    #[arg(long, value_name = "FILE")]
    path: Option<PathBuf>,
    /// What the custodian is called in broker.toml; or the credential, which else is runtools-root-key
    #[arg(long)]
    name: Option<String>,
    /// How many shares there are to be, each for another person
    #[arg(long, value_name = "COUNT", requires = "threshold")]
    shares: Option<u8>,
    /// How many of them open it
    #[arg(long, value_name = "COUNT", requires = "shares")]
    threshold: Option<u8>,
}

/// What is tested, or lent.
#[derive(Args, Debug)]
pub(crate) struct TestArgs {
    /// The slot: its id, its label, or its kind where there is one of that kind
    slot: String,
    /// Where the key file is, when it was moved
    #[arg(long, value_name = "FILE")]
    path: Option<PathBuf>,
}

/// What opens a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SlotKind {
    /// A file of random bytes
    KeyFile,
    /// A passphrase
    Passphrase,
    /// What systemd decrypts for the service
    SystemdCredential,
    /// Shares of several people, of whom some must come together
    Shares,
    /// A program that holds a key: a section of broker.toml
    Exec,
    /// A device that holds a key, by its PKCS#11 library: a section of broker.toml
    Pkcs11,
}

impl SlotKind {
    const fn word(self) -> &'static str {
        match self {
            Self::KeyFile => "key-file",
            Self::Passphrase => "passphrase",
            Self::SystemdCredential => "systemd-credential",
            Self::Shares => "shares",
            Self::Exec => "exec",
            Self::Pkcs11 => "pkcs11",
        }
    }
}

impl SlotKind {
    const fn has_custodian(self) -> bool {
        matches!(self, Self::SystemdCredential | Self::Exec | Self::Pkcs11)
    }
}

#[derive(Serialize)]
struct AddBody<'a> {
    kind: &'static str,
    label: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    passphrase: Option<Lent<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shares: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<u8>,
}

#[derive(Serialize)]
struct TestBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    passphrase: Option<Lent<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
}

/// Runs one of the verbs.
pub(crate) async fn run(command: SlotCommand, session: &Session) -> Outcome {
    let client = session.local()?;
    match command {
        SlotCommand::Add(args) => add(args, &client, session).await?,
        SlotCommand::Test(args) => return show(args, Shown::Test, &client, session).await,
        SlotCommand::Lend(args) => return show(args, Shown::Lend, &client, session).await,
        SlotCommand::Remove { slot, yes } => remove(&slot, yes, &client, session).await?,
        SlotCommand::List => list(&client, session).await?,
    }
    Ok(Exit::Ok)
}

fn slots() -> Route {
    Route::new("/v1/operator/slots")
}

async fn list(client: &Client, session: &Session) -> Result<(), ClientError> {
    let all: Vec<KeySlot> = client.list(&slots()).await?;
    session.out.table(&all, "no slots", || {
        let mut table = Table::new(&["ID", "KIND", "LABEL", "MADE (UTC)"]);
        for slot in &all {
            let made = minute(slot.created_at);
            table.row(&[slot.id.to_string().as_str(), &slot.kind, &slot.label, &made]);
        }
        table
    })
}

async fn add(args: AddArgs, client: &Client, session: &Session) -> Result<(), ClientError> {
    let kind = args.kind.unwrap_or(SlotKind::Shares);
    let is_passphrase = kind == SlotKind::Passphrase;
    if (kind == SlotKind::Shares) != args.shares.is_some() {
        return Err(ClientError::usage(
            "shares are dealt with two numbers, and nothing else is",
            "say `key slot add --shares 5 --threshold 3`",
        ));
    }
    if kind != SlotKind::KeyFile && args.path.is_some() {
        return Err(ClientError::usage(
            "only a key file has a path",
            "leave --path out",
        ));
    }
    if !kind.has_custodian() && args.name.is_some() {
        return Err(ClientError::usage(
            "only a custodian has a name, such as a systemd credential",
            "leave --name out; --label is what you call the slot",
        ));
    }
    let secret = is_passphrase.then(|| new_passphrase(session)).transpose()?;
    let path = absolute(args.path.as_deref())?;
    let body = body::secret(&AddBody {
        kind: kind.word(),
        label: args.label,
        passphrase: secret.as_ref().map(Lent),
        path: path.clone(),
        name: args.name,
        shares: args.shares,
        threshold: args.threshold,
    })?;
    drop(secret);
    let added: AddedKeySlot = client.call(Method::POST, &slots(), Some(body)).await?;
    let slot = &added.slot;
    if added.dealt.is_empty() {
        session
            .out
            .done(&added, format!("added slot {} ({})", slot.id, slot.kind))?;
    } else {
        shown_once(&added, session)?;
    }
    let at = path.map_or_else(String::new, |path| format!(" --path {}", shell(&path)));
    session.out.hint(format!(
        "prove that it opens: `runtools-broker key slot test {}{at}`",
        slot.id
    ));
    if !at.is_empty() {
        session.out.hint(
            "a start reads root.key in the keys directory, and no other key file: to unseal \
             with this one, put it there",
        );
    }
    Ok(())
}

/// The shares, a line each.
fn shown_once(added: &AddedKeySlot, session: &Session) -> Result<(), ClientError> {
    let lines = || {
        added
            .dealt
            .iter()
            .map(|share| format!("{}\n", Visible(share)))
    };
    session.out.show(added, || lines().collect())?;
    let (id, dealt) = (added.slot.id, added.dealt.len());
    let needed = added.slot.threshold.unwrap_or_default();
    session.out.note(format!("added slot {id} (shares)"));
    session.out.hint(format!(
        "the {dealt} shares are shown this once: give each to another person; any {needed} of them unseal"
    ));
    Ok(())
}

fn new_passphrase(session: &Session) -> Result<Secret, ClientError> {
    if stdin_is_piped() {
        read_stdin()
    } else {
        session.prompts.hidden_twice("new passphrase", INSTEAD)
    }
}

/// The broker has another working directory.
fn absolute(path: Option<&Path>) -> Result<Option<PathBuf>, ClientError> {
    let made = path.map(std::path::absolute).transpose();
    made.map_err(|error| ClientError::file(path.unwrap_or(Path::new("")), &error))
}

/// What becomes of what opens a slot.
#[derive(Clone, Copy)]
enum Shown {
    Test,
    Lend,
}

impl Shown {
    const fn verb(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Lend => "lend",
        }
    }

    fn done(self, slot: &KeySlot) -> String {
        match self {
            Self::Test => format!("slot {} opens", slot.id),
            Self::Lend => format!(
                "what opens slot {} is lent for a quarter of an hour",
                slot.id
            ),
        }
    }
}

/// Shows the broker what opens a slot.
async fn show(args: TestArgs, shown: Shown, client: &Client, session: &Session) -> Outcome {
    let slot = meant(&client.list(&slots()).await?, &args.slot)?;
    let route = slots().then(slot.id.to_string()).then(shown.verb());
    if slot.kind == "shares" {
        let piped = stdin_is_piped().then(read_stdin).transpose()?;
        let shares = piped.as_ref().map(Share::lines);
        drop(piped);
        let gathered = gather(&route, shares, client, session).await?;
        return told(gathered, &shown.done(&slot), session);
    }
    let secret = (slot.kind == "passphrase").then(|| passphrase("passphrase of the slot", session));
    let secret = secret.transpose()?;
    let path = absolute(args.path.as_deref())?;
    let body = body::secret(&TestBody {
        passphrase: secret.as_ref().map(Lent),
        path,
    })?;
    drop(secret);
    let done: Value = client.call(Method::POST, &route, Some(body)).await?;
    session.out.done(&done, shown.done(&slot))?;
    Ok(Exit::Ok)
}

/// The slot that a text means.
fn meant(all: &[KeySlot], text: &str) -> Result<KeySlot, ClientError> {
    let of = |is: &dyn Fn(&KeySlot) -> bool| {
        let mut found = all.iter().filter(|slot| is(slot));
        found.next().filter(|_| found.next().is_none()).cloned()
    };
    let by_kind = |slot: &KeySlot| slot.kind == text.replace('_', "-");
    of(&|slot| slot.id.to_string() == text)
        .or_else(|| of(&|slot| !slot.label.is_empty() && slot.label == text))
        .or_else(|| of(&by_kind))
        .ok_or_else(|| {
            let several = all.iter().filter(|slot| by_kind(slot)).count() > 1;
            let what = if several {
                "there are several slots of that kind, so name one by its id"
            } else {
                "no slot has that id, label or kind"
            };
            ClientError::usage(what, "`runtools-broker key slot list` shows them")
        })
}

async fn remove(
    text: &str,
    yes: bool,
    client: &Client,
    session: &Session,
) -> Result<(), ClientError> {
    let id = meant(&client.list(&slots()).await?, text)?.id;
    if !yes {
        let warning = format!("This removes slot {id}: what opened it will not unseal any more.");
        session
            .prompts
            .confirm(&warning, &id.to_string(), "pass --yes")?;
    }
    let route = slots().then(id.to_string());
    let done: Value = client.call(Method::DELETE, &route, None).await?;
    session.out.done(&done, format!("removed slot {id}"))
}

#[cfg(test)]
mod tests {
    use runtools_broker::wire::KeySlot;

    use super::meant;

    fn slot(id: u8, kind: &str, label: &str) -> KeySlot {
        let text = serde_json::json!({
            "id": format!("00000000-0000-4000-8000-0000000000{id:02}"), "kind": kind,
            "label": label, "createdAt": "2026-11-23T09:30:00Z",
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn a_slot_is_meant_by_id_label_or_a_kind_of_which_there_is_one() {
        let all = || {
            vec![
                slot(1, "key-file", ""),
                slot(2, "passphrase", "of ann"),
                slot(3, "passphrase", "of bob"),
            ]
        };
        for (text, label) in [
            ("00000000-0000-4000-8000-000000000002", "of ann"),
            ("of bob", "of bob"),
            ("key-file", ""),
            ("key_file", ""),
        ] {
            assert_eq!(meant(&all(), text).unwrap().label, label, "{text}");
        }
        for (text, words) in [
            ("passphrase", "several"),
            ("nobody", "no slot"),
            ("", "no slot"),
        ] {
            let refused = meant(&all(), text).unwrap_err();
            assert!(refused.to_string().contains(words), "{refused}");
            let hint = refused.detail().hint.unwrap();
            assert!(hint.contains("key slot list"), "{hint}");
        }
    }
}
