//! Who makes backups of a vault that serves, records them, and remembers what became of the last try.

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{BackupError, Ledger, Made, Recipients, Schedule, Wish, write};
use crate::audit::{Event, Outcome, Target, TargetKind};
use crate::clock::Timestamp;
use crate::store::{Progress, StoreError};
use crate::vault::Unsealed;

/// What the settings say of backups.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Who may open them, unless somebody else is named.
    pub recipients: Option<Recipients>,
    /// Days after which the key of one is to be destroyed; 0 for never.
    pub key_days: u32,
    /// The settings file that the broker was started with.
    pub settings: Option<String>,
    /// Those that the broker makes by itself.
    pub schedule: Option<Schedule>,
}

/// A try that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// When.
    pub at: Timestamp,
    /// The stable code.
    pub code: &'static str,
    /// Why.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// Makes backups.
#[derive(Debug, Default)]
pub struct Keeper {
    plan: Plan,
    standing: Mutex<Standing>,
}

/// How things stand since the start.
#[derive(Debug, Default)]
struct Standing {
    last: Option<Timestamp>,
    failed: Option<Failed>,
    next: Option<Timestamp>,
}

impl Keeper {
    /// One that makes what the settings say.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            standing: Mutex::default(),
        }
    }

    /// What the settings say.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// A backup for `recipients`, else for those of the settings; its key ends when `expires` says, else when
    /// the settings do.
    ///
    /// # Errors
    /// [`BackupError::NoRecipient`], [`BackupError::Recipient`].
    pub fn wish(
        &self,
        recipients: &[String],
        expires: Option<Option<Timestamp>>,
        now: Timestamp,
    ) -> Result<Wish, BackupError> {
        const DAY: i64 = 86_400;
        let recipients = match &self.plan.recipients {
            Some(usual) if recipients.is_empty() => usual.clone(),
            _ => Recipients::parse(recipients)?,
        };
        let days = i64::from(self.plan.key_days);
        let usual = (days > 0).then(|| now.plus_seconds(days.saturating_mul(DAY)));
        Ok(Wish {
            recipients,
            expires: expires.unwrap_or(usual),
            settings: self.plan.settings.clone(),
        })
    }

    /// Makes one: the journal has it before, `finish` makes it durable, and only then is it noted.
    ///
    /// # Errors
    /// As [`write()`]; what `finish` reports; [`StoreError::Stopped`] when the vault was sealed meanwhile.
    pub async fn make<O: Write + Send + 'static>(
        &self,
        vault: &Unsealed,
        keys: PathBuf,
        wish: Wish,
        event: Event,
        out: O,
        finish: impl FnOnce(O) -> Result<(), BackupError> + Send + 'static,
    ) -> Result<Made, BackupError> {
        let key = Target::new(TargetKind::Key).id(wish.recipients.key().bytes());
        let made = match vault.journal().record(event.target(key)).await {
            Err(error) => Err(error.into()),
            Ok(recorded) => {
                let mut made = written(vault, keys, wish, out, finish).await;
                if let Ok(done) = &made
                    && let Err(error) = Ledger::note(vault, done, &recorded).await
                {
                    made = Err(error.into());
                }
                recorded.outcome(match &made {
                    Ok(_) => Outcome::success(),
                    Err(error) => Outcome::failed(error.code()),
                });
                made
            }
        };
        self.remember(vault.now(), &made);
        made
    }

    fn remember(&self, now: Timestamp, made: &Result<Made, BackupError>) {
        match made {
            Ok(made) => {
                tracing::info!(
                    generation = made.end.generation,
                    records = made.end.records,
                    bytes = made.bytes,
                    "a backup was made"
                );
                let mut standing = self.standing();
                standing.last = Some(made.outer.made);
                standing.failed = None;
            }
            Err(error) => self.failed_because(now, error),
        }
    }

    /// Remembers that a try failed.
    pub fn failed_because(&self, now: Timestamp, error: &BackupError) {
        let failed = Failed {
            at: now,
            code: error.code(),
            message: error.to_string(),
            hint: error.hint(),
        };
        let before = self.standing().failed.replace(failed.clone());
        // Told once: the same failure goes through here on its way out.
        if before.as_ref() != Some(&failed) {
            tracing::error!(
                code = failed.code,
                error = failed.message,
                "a backup was not made"
            );
        }
    }

    /// When the broker makes the next one by itself.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        self.standing().next
    }

    /// Remembers when the next one is due.
    pub fn plan_next(&self, due: Timestamp) {
        self.standing().next = Some(due);
    }

    /// Why the last try since the start failed, if it did.
    #[must_use]
    pub fn failed(&self) -> Option<Failed> {
        self.standing().failed.clone()
    }

    /// When the newest was begun, as far as that is known while the vault is sealed.
    #[must_use]
    pub fn last(&self) -> Option<Timestamp> {
        self.standing().last
    }

    /// Learns from the ledger what was made before the start.
    pub fn learn(&self, ledger: &Ledger) {
        let last = ledger.last.as_ref().map(|last| last.made);
        let mut standing = self.standing();
        standing.last = standing.last.max(last);
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes it where that holds up nobody, until the vault is sealed.
async fn written<O: Write + Send + 'static>(
    vault: &Unsealed,
    keys: PathBuf,
    wish: Wish,
    mut out: O,
    finish: impl FnOnce(O) -> Result<(), BackupError> + Send + 'static,
) -> Result<Made, BackupError> {
    let progress = Arc::new(Progress::default());
    let _stop = StopWhenDropped(Arc::clone(&progress));
    let (inside, shared) = (vault.clone(), Arc::clone(&progress));
    let mut writing = tokio::task::spawn_blocking(move || {
        let made = write(&inside, &keys, &wish, &shared, &mut out)?;
        finish(out)?;
        Ok(made)
    });
    let done = tokio::select! {
        done = &mut writing => done,
        () = vault.closing().called() => {
            progress.stop();
            writing.await
        }
    };
    done.unwrap_or(Err(BackupError::Store(StoreError::Failed)))
}

/// Whoever no longer waits for a backup ends it.
struct StopWhenDropped(Arc<Progress>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.stop();
    }
}
