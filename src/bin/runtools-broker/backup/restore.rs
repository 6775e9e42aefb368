//! `restore`: a backup, into a folder of its own.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use runtools_broker::backup::{BackupError, Unpacked};
use runtools_broker::client::{ClientError, Session};
use runtools_broker::clock::{Clock, SystemClock};
use runtools_broker::crypto::SystemRandom;
use serde::Serialize;

use super::look::{Said, settings};
use super::{IdentityArgs, failed, open};
use crate::opener;
use crate::serve::{ServeArgs, shell};

/// What, where to, and what opens it.
#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// The backup
    file: PathBuf,
    /// The folder, which must be empty or not there yet; it gets data, keys and the settings file
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    #[command(flatten)]
    identity: IdentityArgs,
    /// The key file that opens its ring; a copy of it is put beside the ring
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Restore it although the time of its key is over
    #[arg(long)]
    expired: bool,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    into: String,
    generation: u64,
    backup: Said,
}

/// Unpacks, checks, and puts in place.
pub(super) async fn restore(
    args: RestoreArgs,
    before: ServeArgs,
    socket: Option<PathBuf>,
    session: &Session,
) -> Result<(), ClientError> {
    let config = settings(&args.serve.over(before), socket)?;
    let identities = args.identity.read()?;
    let file = open(&args.file)?;
    let cache = config.store.cache_mb << 20;
    let unpacked = Unpacked::from(file, &identities, &args.into, cache);
    let unpacked = unpacked.map_err(|error| failed(&error))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let expires = unpacked.opened().head.outer.expires;
    if let Some(expires) = expires.filter(|at| *at <= clock.now() && !args.expired) {
        return Err(failed(&BackupError::Expired(expires)));
    }
    let root = opener::of_backup(unpacked.ring(), args.key_file.as_deref(), &config, session)?;
    let root = root.ok_or_else(|| {
        ClientError::usage(
            "nothing here opens the key ring of the backup",
            "name the key file, --key-file FILE, or run it where a passphrase can be asked",
        )
    })?;
    let uid = rustix::process::geteuid().as_raw();
    let key_file = args.key_file.as_deref();
    let restored = unpacked.put_in_place(&root, key_file, uid, clock, Arc::new(SystemRandom));
    let restored = restored.await.map_err(|error| failed(&error))?;
    drop(root);
    let answer = Answer {
        into: args.into.display().to_string(),
        generation: restored.generation,
        backup: Said::of(&restored.opened.head.outer, Some(&restored.opened)),
    };
    let (records, made) = (restored.records, restored.opened.head.outer.made);
    let words = format!(
        "restored {records} records of {made} into {}, where the store goes on at generation {}",
        answer.into, restored.generation
    );
    session.out.done(&answer, words)?;
    let (data, keys) = (args.into.join("data"), args.into.join("keys"));
    session.out.hint(format!(
        "start it there: `runtools-broker --data-dir {} --keys-dir {}`; the settings of that time, if there were any, are in broker.toml",
        shell(&data),
        shell(&keys)
    ));
    if restored.opened.head.engine != config.store.engine {
        session.out.hint(format!(
            "its engine is {}: set `engine = \"{0}\"` under [store] in the settings file",
            restored.opened.head.engine
        ));
    }
    Ok(())
}
