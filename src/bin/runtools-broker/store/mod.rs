//! The store's own verbs: which files keep it, and which of its histories.

mod rollback;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use http::Method;
use runtools_broker::client::meter::{Meter, Stand};
use runtools_broker::client::{ClientError, Exit, Outcome, Route, Session};
use runtools_broker::config::{Config, Env};
use runtools_broker::daemon::{DaemonError, Offline};
use runtools_broker::failpoint;
use runtools_broker::store::{EngineKind, Progress, Rewritten};
use runtools_broker::wire::{Compaction, CompactionState, StoreInfo};
use serde::Serialize;

use crate::opener;
use crate::serve::ServeArgs;

/// How often it is looked how far a migration has come.
const LOOKED: Duration = Duration::from_millis(200);

/// What is done with the store.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Show which engine keeps the store, and how much room it takes
    Status,
    /// Copy what is live into fresh files while the broker serves, and give room back
    Compact(CompactArgs),
    /// Take a stopped broker's store over to another engine
    Migrate(MigrateArgs),
    /// Go on with a stopped broker's store that is older than its anchor or its journal
    AcceptRollback(rollback::AcceptArgs),
}

/// Compacts; or ends that.
#[derive(Args, Debug)]
pub(crate) struct CompactArgs {
    /// Stop a compaction that is running, and remove what it has copied
    #[arg(long)]
    stop: bool,
}

/// Where to, and which installation.
#[derive(Args, Debug)]
pub(crate) struct MigrateArgs {
    /// The engine: sled or redb
    #[arg(long, value_name = "ENGINE")]
    to: EngineKind,
    #[command(flatten)]
    serve: ServeArgs,
}

/// Runs one of the verbs; `before` are the settings that stood before it.
pub(crate) async fn run(
    command: StoreCommand,
    before: ServeArgs,
    socket: Option<PathBuf>,
    session: &Session,
) -> Outcome {
    match command {
        StoreCommand::Status => status(session).await?,
        StoreCommand::Compact(args) if args.stop => stop(session).await?,
        StoreCommand::Compact(_) => compact(session).await?,
        StoreCommand::Migrate(args) => {
            let config = settings(&args.serve.over(before), socket)?;
            migrate(&config, args.to, session).await?;
        }
        StoreCommand::AcceptRollback(args) => {
            let config = settings(&args.serve.clone().over(before), socket)?;
            rollback::accept(&args, &config, session).await?;
        }
    }
    Ok(Exit::Ok)
}

fn settings(args: &ServeArgs, socket: Option<PathBuf>) -> Result<Config, ClientError> {
    Config::load(&args.flags(socket), &Env::of_process()).map_err(|error| {
        let hint = "config/broker.toml in the sources lists every key";
        ClientError::failed(error.to_string(), hint)
    })
}

fn route() -> Route {
    Route::new("/v1/operator/store")
}

async fn status(session: &Session) -> Result<(), ClientError> {
    let found: StoreInfo = session.local()?.get(&route()).await?;
    session.out.show(&found, || {
        let compaction = match found.compaction.state {
            CompactionState::Idle => String::new(),
            CompactionState::Running => format!(
                "Compacting: {} of {} records are copied.\n",
                found.compaction.done, found.compaction.total
            ),
            CompactionState::Done => "The last compaction has ended well.\n".to_owned(),
            CompactionState::Failed => format!(
                "The last compaction failed: {}\n",
                found.compaction.error.as_deref().unwrap_or_default()
            ),
        };
        format!(
            "{} records, kept by {}, which takes {}\n{compaction}",
            found.records,
            found.engine,
            size(found.bytes)
        )
    })
}

async fn stop(session: &Session) -> Result<(), ClientError> {
    let route = route().then("compact");
    let found: StoreInfo = session.local()?.call(Method::DELETE, &route, None).await?;
    session.out.done(&found, "no compaction is running")
}

async fn compact(session: &Session) -> Result<(), ClientError> {
    let found = rewritten(&route().then("compact"), session).await?;
    let compaction = &found.compaction;
    let (before, after) = (compaction.bytes_before, compaction.bytes_after);
    let words = format!("compacted: {} before, {} now", size(before), size(after));
    session.out.done(&found, words)
}

/// Has the store's files rewritten, by what is at `path`, and waits for the end.
pub(crate) async fn rewritten(path: &Route, session: &Session) -> Result<StoreInfo, ClientError> {
    let client = session.local()?;
    let begun: StoreInfo = client.call(Method::POST, path, None).await?;
    let running = |found: &StoreInfo| {
        let Compaction { done, total, .. } = found.compaction;
        let is_running = found.compaction.state == CompactionState::Running;
        is_running.then(|| copying(done, total))
    };
    let route = route();
    let asking = async |_| client.get(&route).await;
    let found = session.follow(begun, running, asking).await?;
    let compaction = &found.compaction;
    if compaction.state == CompactionState::Failed {
        return Err(ClientError::failed(
            compaction.error.clone().unwrap_or_default(),
            compaction.hint.clone().unwrap_or_default(),
        ));
    }
    Ok(found)
}

const fn copying(done: u64, total: u64) -> Stand {
    let doing = "copying";
    Stand { doing, done, total }
}

/// What `migrate` answers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Migrated {
    engine: EngineKind,
    moved: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<u64>,
}

/// Where a test ends this process, if at all.
fn arm() -> Result<(), ClientError> {
    failpoint::arm()
        .map_err(|error| ClientError::usage(error.to_string(), "src/failpoint/places.rs"))
}

async fn migrate(config: &Config, to: EngineKind, session: &Session) -> Result<(), ClientError> {
    arm()?;
    let offline = Offline::open(config).map_err(|error| failed(&error))?;
    let from = offline.engine();
    if from == to {
        let answer = Migrated {
            engine: to,
            moved: false,
            records: None,
        };
        session
            .out
            .done(&answer, format!("the store is kept by {to} already"))?;
    } else {
        let opened = offline.unseal_unattended().await;
        if !opened.map_err(|error| failed(&error))? {
            let root = opener::by_person(&offline.ring(), session)?;
            let opened = offline.unseal(root).await;
            opened.map_err(|error| failed(&error))?;
        }
        let moved = with_progress(&offline, to, session).await;
        offline.close().await;
        let moved = moved.map_err(|error| failed(&error))?;
        let answer = Migrated {
            engine: to,
            moved: true,
            records: Some(moved.records),
        };
        let words = format!(
            "moved {} records from {from} to {to}, and verified them",
            moved.records
        );
        session.out.done(&answer, words)?;
    }
    if config.store.engine != to {
        session.out.hint(format!(
            "before the next start, set `engine = \"{to}\"` under [store] in the settings file"
        ));
    }
    Ok(())
}

async fn with_progress(
    offline: &Offline,
    to: EngineKind,
    session: &Session,
) -> Result<Rewritten, DaemonError> {
    let progress = Arc::new(Progress::default());
    let moving = offline.migrate(to, Arc::clone(&progress));
    tokio::pin!(moving);
    let mut meter = Meter::new(&session.out);
    let mut tick = tokio::time::interval(LOOKED);
    loop {
        tokio::select! {
            moved = &mut moving => return moved,
            _ = tick.tick() => {
                let (done, total) = progress.records();
                meter.show(copying(done, total));
            }
        }
    }
}

fn failed(error: &DaemonError) -> ClientError {
    ClientError::failed(error.to_string(), error.hint())
}

/// A size as a person reads it.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        ..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{} MiB", bytes.div_ceil(1_048_576)),
    }
}
