//! The store's files: how much room they take, and their compaction while everybody is served.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::State;
use axum::response::Response;

use crate::audit::{Action, Event, Outcome, Recorded};
use crate::policy::OperateVault;
use crate::store::{Progress, Rewritten, Store, StoreError};
use crate::vault::{Unsealed, VaultError};
use crate::wire;

use super::caller::Caller;
use super::own_keys::resumed;
use super::{ApiError, App, reply};

/// The compaction that is running, or how the last one ended.
#[derive(Debug, Default)]
pub(super) struct Compactions(Mutex<Turn>);

#[derive(Debug, Default)]
enum Turn {
    #[default]
    Idle,
    Running(Arc<Progress>),
    Over(Result<Rewritten, StoreError>),
}

impl Compactions {
    fn lock(&self) -> MutexGuard<'_, Turn> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins one, unless one is running.
    pub(super) fn begin(&self) -> Result<Arc<Progress>, StoreError> {
        let mut turn = self.lock();
        if matches!(*turn, Turn::Running(_)) {
            return Err(StoreError::Rewriting);
        }
        let progress = Arc::new(Progress::default());
        *turn = Turn::Running(Arc::clone(&progress));
        Ok(progress)
    }

    pub(super) fn end(&self, done: Result<Rewritten, StoreError>) {
        *self.lock() = Turn::Over(done);
    }

    fn running(&self) -> Option<Arc<Progress>> {
        match &*self.lock() {
            Turn::Running(progress) => Some(Arc::clone(progress)),
            Turn::Idle | Turn::Over(_) => None,
        }
    }

    fn shown(&self) -> wire::Compaction {
        let none = wire::Compaction {
            state: wire::CompactionState::Idle,
            done: 0,
            total: 0,
            bytes_before: 0,
            bytes_after: 0,
            error: None,
            hint: None,
        };
        match &*self.lock() {
            Turn::Idle => none,
            Turn::Running(progress) => {
                let (done, total) = progress.records();
                wire::Compaction {
                    state: wire::CompactionState::Running,
                    done,
                    total,
                    ..none
                }
            }
            Turn::Over(Ok(done)) => wire::Compaction {
                state: wire::CompactionState::Done,
                done: done.records,
                total: done.records,
                bytes_before: done.bytes_before,
                bytes_after: done.bytes_after,
                ..none
            },
            Turn::Over(Err(error)) => wire::Compaction {
                state: wire::CompactionState::Failed,
                error: Some(error.to_string()),
                hint: Some(error.hint().to_owned()),
                ..none
            },
        }
    }
}

fn shown(app: &App, vault: &Unsealed) -> Result<wire::StoreInfo, ApiError> {
    let store = vault.store();
    Ok(wire::StoreInfo {
        engine: store.engine_name().to_owned(),
        records: store.records(),
        bytes: store.occupied_bytes()?,
        compaction: app.compactions.shown(),
    })
}

/// Shows which engine keeps the store, how much room it takes, and whether it is being compacted.
#[utoipa::path(get, path = "/v1/operator/store", tag = "operator",
    responses((status = 200, description = "The store", body = wire::Answer<wire::StoreInfo>)))]
pub(super) async fn info(caller: Caller, State(app): State<App>) -> Result<Response, ApiError> {
    caller.may::<OperateVault>(()).await?;
    Ok(reply::data(shown(&app, &caller.vault)?))
}

/// What the store's files are rewritten for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rewriting {
    /// To give room back.
    Compaction,
    /// To have names on disk stand under another key.
    Index,
}

/// Begins a compaction: what is live is copied into fresh files, which take the place of the old ones.
/// Everybody is served meanwhile. One that was killed or stopped is gone on with.
#[utoipa::path(post, path = "/v1/operator/store/compact", tag = "operator",
    responses((status = 200, description = "It runs", body = wire::Answer<wire::StoreInfo>)))]
pub(super) async fn compact(caller: Caller, State(app): State<App>) -> Result<Response, ApiError> {
    let event = caller.event(Action::StoreCompact);
    begin(&caller, &app, event, Rewriting::Compaction).await
}

/// Begins to replace the key that names in the database are under: what is live is copied into fresh files, in
/// which each record stands under another name, and those take the place of the old ones. It is watched and
/// stopped like a compaction; one that was killed is gone on with by itself.
#[utoipa::path(post, path = "/v1/operator/index-rotation", tag = "operator",
    responses((status = 200, description = "It runs", body = wire::Answer<wire::StoreInfo>)))]
pub(super) async fn rotate_index(
    caller: Caller,
    State(app): State<App>,
) -> Result<Response, ApiError> {
    let event = caller.event(Action::KeyRotate).code("index");
    begin(&caller, &app, event, Rewriting::Index).await
}

async fn begin(
    caller: &Caller,
    app: &App,
    event: Event,
    what: Rewriting,
) -> Result<Response, ApiError> {
    caller.may::<OperateVault>(()).await?;
    caller
        .vault
        .store()
        .engine_kind()
        .ok_or(StoreError::NotOnDisk)?;
    let progress = app.compactions.begin()?;
    let recorded = match caller.vault.journal().record(event).await {
        Ok(recorded) => recorded,
        Err(error) => {
            app.compactions.end(Err(StoreError::Stopped));
            return Err(error.into());
        }
    };
    let (shared, vault) = (app.clone(), caller.vault.clone());
    tokio::spawn(async move { shared.rewrite(vault, what, progress, recorded).await });
    Ok(reply::data(shown(app, &caller.vault)?))
}

impl App {
    /// Goes on with a replacement of the key that names are under, unless the files are being rewritten.
    pub(super) async fn resume_index_rotation(&self, vault: &Unsealed) -> Result<(), ApiError> {
        let Ok(progress) = self.compactions.begin() else {
            return Ok(());
        };
        let recorded = match resumed(vault, "index").await {
            Ok(recorded) => recorded,
            Err(error) => {
                self.compactions.end(Err(StoreError::Stopped));
                return Err(error);
            }
        };
        let (shared, vault) = (self.clone(), vault.clone());
        let what = Rewriting::Index;
        tokio::spawn(async move { shared.rewrite(vault, what, progress, recorded).await });
        Ok(())
    }

    async fn rewrite(
        self,
        vault: Unsealed,
        what: Rewriting,
        progress: Arc<Progress>,
        recorded: Recorded,
    ) {
        let action = recorded.action().code();
        let done = match what {
            Rewriting::Compaction => {
                let store = vault.store().clone();
                drop(vault);
                tokio::task::spawn_blocking(move || compacted(&store, &progress)).await
            }
            Rewriting::Index => {
                let turned = vault.while_open(vault.rotate_index_key(progress, &recorded));
                Ok(turned.await.and_then(|turned| turned).map_err(of_store))
            }
        };
        let done = done.unwrap_or(Err(StoreError::Failed));
        let (outcome, word) = match &done {
            Ok(done) => {
                let (before, after) = (done.bytes_before, done.bytes_after);
                let records = done.records;
                tracing::info!(action, records, before, after, "the store was rewritten");
                (Outcome::success(), "success")
            }
            Err(error) => {
                tracing::warn!(action, %error, "the store was not rewritten");
                (Outcome::failed(code(error)), "failed")
            }
        };
        recorded.outcome(outcome);
        self.meter.operation(action, word);
        self.compactions.end(done);
    }
}

fn compacted(store: &Store, progress: &Progress) -> Result<Rewritten, StoreError> {
    let kind = store.engine_kind().ok_or(StoreError::NotOnDisk)?;
    store.rewrite(kind, progress)
}

/// What a rewriting can fail with, when it is the vault that says it.
fn of_store(error: VaultError) -> StoreError {
    match error {
        VaultError::Store(error) => error,
        VaultError::Sealed => StoreError::Stopped,
        _ => StoreError::Failed,
    }
}

fn code(error: &StoreError) -> &'static str {
    match error {
        StoreError::Stopped => "stopped",
        StoreError::Full | StoreError::NoRoom => "disk_full",
        _ => "store_unavailable",
    }
}

/// Stops the compaction that is running, and removes what was copied by it and by ones before it.
#[utoipa::path(delete, path = "/v1/operator/store/compact", tag = "operator",
    responses((status = 200, description = "None runs", body = wire::Answer<wire::StoreInfo>)))]
pub(super) async fn stop(caller: Caller, State(app): State<App>) -> Result<Response, ApiError> {
    caller.may::<OperateVault>(()).await?;
    let event = caller.event(Action::StoreCompactStop);
    caller
        .audited(event, async |_recorded| {
            while let Some(progress) = app.compactions.running() {
                progress.stop();
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            let store: Store = caller.vault.store().clone();
            let removed = tokio::task::spawn_blocking(move || store.discard_unfinished()).await;
            removed
                .map_err(|_| ApiError::internal())?
                .map_err(ApiError::from)
        })
        .await?;
    Ok(reply::data(shown(&app, &caller.vault)?))
}
