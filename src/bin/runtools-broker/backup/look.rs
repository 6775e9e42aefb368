//! `backup inspect`, `verify` and `status`: nothing is changed.

use std::cell::RefCell;
use std::path::PathBuf;

use clap::Args;
use runtools_broker::backup::{
    BackupError, Opened, Outer, Sought, inspect as outside, read, verify as proven,
};
use runtools_broker::client::text::{Fields, minute, minute_or_none};
use runtools_broker::client::{ClientError, Route, Session};
use runtools_broker::config::{Config, Env};
use runtools_broker::crypto::PublicKey;
use runtools_broker::custody::Ring;
use runtools_broker::wire::BackupInfo;
use serde::Serialize;

use super::{IdentityArgs, failed, identities, open};
use crate::opener;
use crate::serve::ServeArgs;
use crate::store::size;

/// Which one.
#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// The backup
    file: PathBuf,
    /// An identity that opens it, to see what is inside as well: the file that `age-keygen` wrote
    #[arg(long, short = 'i', value_name = "FILE")]
    identity: Option<PathBuf>,
}

/// Which one, and whose it should be.
#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// The backup
    file: PathBuf,
    #[command(flatten)]
    identity: IdentityArgs,
    /// Whose signature it should have: the public key of `runtools audit head`
    #[arg(long, value_name = "KEY", conflicts_with = "key_file")]
    signer: Option<String>,
    /// A key file that opens its ring, which tells whose signature it should have
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    serve: ServeArgs,
}

/// What a backup says of itself.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Said {
    store: String,
    made_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    key: String,
    #[serde(flatten)]
    inside: Option<Inside>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Inside {
    engine: String,
    release: String,
    signer: String,
    generation: u64,
    records: u64,
    audit_records: u64,
    ring: String,
}

impl Said {
    pub(super) fn of(outer: &Outer, opened: Option<&Opened>) -> Self {
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        Self {
            store: outer.store.to_string(),
            made_at: outer.made.to_string(),
            expires_at: outer.expires.map(|at| at.to_string()),
            key: outer.key.to_string(),
            inside: opened.map(|opened| Inside {
                engine: opened.head.engine.to_string(),
                release: opened.head.release.clone(),
                signer: hex(&opened.head.signer.0),
                generation: opened.end.generation,
                records: opened.end.records,
                audit_records: opened.end.journal.seq,
                ring: hex(&opened.end.ring),
            }),
        }
    }

    fn text(&self) -> String {
        let mut lines = vec![
            ("store", self.store.clone()),
            ("made", self.made_at.clone()),
            (
                "key ends",
                self.expires_at
                    .clone()
                    .unwrap_or_else(|| "never".to_owned()),
            ),
            ("key", self.key.clone()),
        ];
        if let Some(inside) = &self.inside {
            lines.extend([
                ("generation", inside.generation.to_string()),
                ("records", inside.records.to_string()),
                ("audit records", inside.audit_records.to_string()),
                ("engine", inside.engine.clone()),
                ("made by", format!("runtools-broker {}", inside.release)),
                ("signed by", inside.signer.clone()),
                ("key ring", inside.ring.clone()),
            ]);
        }
        let lines: Vec<_> = lines
            .iter()
            .map(|(name, text)| (*name, text.as_str()))
            .collect();
        Fields(&lines).to_string()
    }
}

/// Shows what it says, outside or inside. Of who made it nothing is said.
pub(super) fn inspect(args: &InspectArgs, session: &Session) -> Result<(), ClientError> {
    let file = open(&args.file)?;
    let said = match &args.identity {
        None => Said::of(&outside(file).map_err(|error| failed(&error))?, None),
        Some(identity) => {
            let identities = identities(identity)?;
            let opened = read(file, &identities, &mut |_| Ok(()), &mut |_| Ok(()));
            let opened = opened.map_err(|error| failed(&error))?;
            Said::of(&opened.head.outer, Some(&opened))
        }
    };
    session.out.show(&said, || said.text())?;
    session.out.hint("this is what the file says; `runtools-broker backup verify` says whether your broker made it");
    Ok(())
}

/// Reads it to its end, and says whether it is whole and signed by the broker that it should be of.
pub(super) fn verify(
    args: VerifyArgs,
    before: ServeArgs,
    socket: Option<PathBuf>,
    session: &Session,
) -> Result<(), ClientError> {
    let identities = args.identity.read()?;
    let file = open(&args.file)?;
    let refused = RefCell::new(None);
    let verified = if let Some(signer) = &args.signer {
        proven(file, &identities, &Sought::Signer(public_key(signer)?))
    } else {
        let config = settings(&args.serve.over(before), socket)?;
        let asked = |ring: &Ring| {
            let opened = opener::of_backup(ring, args.key_file.as_deref(), &config, session);
            opened.map_err(|error| {
                refused.replace(Some(error));
                BackupError::SignerUnknown
            })
        };
        proven(file, &identities, &Sought::Opener(&asked))
    };
    if let Some(refused) = refused.into_inner() {
        return Err(refused);
    }
    let opened = verified.map_err(|error| failed(&error))?.opened;
    let said = Said::of(&opened.head.outer, Some(&opened));
    session.out.show(&said, || said.text())?;
    session
        .out
        .note("it is whole, and signed by the broker that it should be of");
    Ok(())
}

pub(super) fn settings(args: &ServeArgs, socket: Option<PathBuf>) -> Result<Config, ClientError> {
    Config::load(&args.flags(socket), &Env::of_process()).map_err(|error| {
        let hint = "config/broker.toml in the sources lists every key";
        ClientError::failed(error.to_string(), hint)
    })
}

fn public_key(text: &str) -> Result<PublicKey, ClientError> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes());
    let key = bytes
        .ok()
        .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    key.map(PublicKey).ok_or_else(|| {
        ClientError::usage(
            "a signer is a public key of 64 hexadecimal digits",
            "`runtools audit head` shows the broker's own",
        )
    })
}

/// Shows which backups were made.
pub(super) async fn status(session: &Session) -> Result<(), ClientError> {
    let route = Route::new("/v1/operator/backup");
    let info: BackupInfo = session.local()?.get(&route).await?;
    session.out.show(&info, || {
        let mut lines = vec![match &info.last {
            Some(last) => format!(
                "The last one is of {}: {} records at generation {}, {}.",
                minute(last.made_at),
                last.records,
                last.generation,
                size(last.bytes)
            ),
            None => "None was made yet.".to_owned(),
        }];
        for key in &info.keys {
            let until = key.until.map_or_else(|| "never".to_owned(), minute);
            lines.push(format!(
                "Key {}: {} of them, the newest of {}; the last ends: {until}.",
                key.key,
                key.backups,
                minute(key.newest_at)
            ));
        }
        if let Some(schedule) = &info.schedule {
            lines.push(format!(
                "Every {} hours to {}, where {} are kept; the next: {}.",
                schedule.every_hours,
                schedule.to,
                schedule.keep,
                minute_or_none(schedule.next_at)
            ));
        }
        if let Some(failure) = &info.failure {
            lines.push(format!(
                "The last try failed at {}: {}. {}",
                minute(failure.at),
                failure.message,
                failure.hint
            ));
        }
        lines.push(String::new());
        lines.join("\n")
    })
}
