//! What every request can reach.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::backup::Keeper;
use crate::broker::Broker;
use crate::clock::Clock;
use crate::directory::Directory;
use crate::name::HostPattern;
use crate::oauth::flow::{FlowBook, PublicUrl, ReturnRule};
use crate::oauth::{Accounts, Attempts};
use crate::tools::Hub;
use crate::vault::{Lifecycle, VaultError};

use super::idempotency::InFlight;
use super::kept::KeptAnswers;
use super::limits::{RateRules, Rates};
use super::lockout::Lockout;
use super::meter::Meter;
use super::misses::Misses;
use super::running::Running;
use super::serve::{ClientCertificates, Shutdown, TlsCertificate};
use super::shred::Shredding;
use super::store::Compactions;

/// Milliseconds between two looks while the vault is sealed, or the store fails.
const PAUSE: i64 = 10_000;
/// The time between two looks whether the vault was unsealed, and device flows are to go on.
const RESUME: Duration = Duration::from_secs(2);

async fn pause(wait: Result<i64, VaultError>) {
    let wait = wait.unwrap_or_else(|error| {
        if !matches!(error, VaultError::Sealed) {
            tracing::warn!(%error, "connected accounts could not be looked after");
        }
        PAUSE
    });
    tokio::time::sleep(Duration::from_millis(
        u64::try_from(wait).unwrap_or_default(),
    ))
    .await;
}

/// Everything that an [`App`] is made of.
#[derive(Debug)]
pub struct AppParts {
    /// The vault's lifecycle.
    pub lifecycle: Arc<Lifecycle>,
    /// The directory.
    pub directory: Arc<Directory>,
    /// The tools.
    pub hub: Arc<Hub>,
    /// The broker.
    pub broker: Broker,
    /// The connected accounts.
    pub accounts: Arc<Accounts>,
    /// The flows that connect more of them.
    pub flows: Arc<FlowBook>,
    /// Hosts of their own that organisations may name, where a provider lets them.
    pub allowed_hosts: Vec<HostPattern>,
    /// Addresses that a flow may send its browser back to.
    pub return_rules: Vec<ReturnRule>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who makes backups.
    pub backups: Arc<Keeper>,
    /// Who counts.
    pub meter: Arc<dyn Meter>,
    /// The certificate, if there is one.
    pub certificate: Option<Arc<TlsCertificate>>,
    /// Ends serving.
    pub shutdown: Shutdown,
    /// The user id that this process runs as.
    pub operator_uid: u32,
    /// The `Host` values that requests may be made for; over the Unix socket any.
    pub hosts: Vec<String>,
    /// What callers may take.
    pub rates: RateRules,
    /// Whether services may be recognised by one.
    pub client_certificates: ClientCertificates,
}

/// The application's state: cheap to clone, the same for every request.
#[derive(Clone, Debug)]
pub struct App(Arc<Inner>);

/// What the state holds.
#[derive(Debug)]
pub struct Inner {
    pub(super) lifecycle: Arc<Lifecycle>,
    pub(super) directory: Arc<Directory>,
    pub(super) hub: Arc<Hub>,
    pub(super) broker: Broker,
    pub(super) accounts: Arc<Accounts>,
    pub(super) flows: Arc<FlowBook>,
    pub(super) attempts: Arc<Attempts>,
    pub(super) public_url: PublicUrl,
    pub(super) allowed_hosts: Vec<HostPattern>,
    pub(super) return_rules: Vec<ReturnRule>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) backups: Arc<Keeper>,
    pub(super) meter: Arc<dyn Meter>,
    pub(super) certificate: Option<Arc<TlsCertificate>>,
    pub(super) shutdown: Shutdown,
    pub(super) operator_uid: u32,
    pub(super) hosts: Vec<String>,
    pub(super) rates: Rates,
    pub(super) lockout: Lockout,
    pub(super) in_flight: InFlight,
    pub(super) kept: KeptAnswers,
    pub(super) running: Running,
    pub(super) misses: Misses,
    pub(super) client_certificates: ClientCertificates,
    pub(super) compactions: Compactions,
    pub(super) shredding: Shredding,
    /// Told when a rotation of keys is begun.
    pub(super) rotations: tokio::sync::Notify,
    pub(super) unsealing: tokio::sync::Mutex<()>,
    pub(super) unseal_failures: UnsealFailures,
    minutes: AtomicU32,
}

impl Deref for App {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl App {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: AppParts) -> Self {
        let AppParts {
            lifecycle,
            directory,
            hub,
            broker,
            accounts,
            flows,
            meter,
            shutdown,
            ..
        } = parts;
        let attempts = Attempts::new(
            Arc::clone(&accounts),
            Arc::clone(&directory),
            Arc::clone(&lifecycle),
            Arc::clone(&parts.clock),
        );
        let running = Running::at_most(broker.limits().running_per_user);
        let (rates, lockout) = (Rates::new(&parts.rates), Lockout::new(&parts.rates));
        Self(Arc::new(Inner {
            lifecycle,
            directory,
            hub,
            broker,
            attempts: Arc::new(attempts),
            public_url: flows.public_url().clone(),
            accounts,
            flows,
            allowed_hosts: parts.allowed_hosts,
            return_rules: parts.return_rules,
            clock: parts.clock,
            backups: parts.backups,
            meter,
            certificate: parts.certificate,
            shutdown,
            operator_uid: parts.operator_uid,
            hosts: parts
                .hosts
                .iter()
                .map(|host| host.to_ascii_lowercase())
                .collect(),
            rates,
            lockout,
            in_flight: InFlight::default(),
            kept: KeptAnswers::default(),
            running,
            misses: Misses::default(),
            client_certificates: parts.client_certificates,
            compactions: Compactions::default(),
            shredding: Shredding::default(),
            rotations: tokio::sync::Notify::default(),
            unsealing: tokio::sync::Mutex::default(),
            unseal_failures: UnsealFailures::default(),
            minutes: AtomicU32::default(),
        }))
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The directory, to be kept.
    #[must_use]
    pub fn shared_directory(&self) -> Arc<Directory> {
        Arc::clone(&self.directory)
    }

    /// The flows under way.
    #[must_use]
    pub fn flows(&self) -> Arc<FlowBook> {
        Arc::clone(&self.flows)
    }

    /// Seals the vault and forgets everything that was kept of it.
    pub async fn seal(&self, patience: Duration) -> bool {
        self.sealed(self.lifecycle.seal(patience)).await
    }

    /// The same for as long as it takes to close store and journal.
    pub async fn seal_to_the_end(&self, patience: Duration) -> bool {
        let sealing = self.lifecycle.seal_within(patience, Duration::MAX);
        self.sealed(sealing).await
    }

    async fn sealed(&self, sealing: impl Future<Output = bool>) -> bool {
        let emptied = sealing.await;
        self.directory.forget();
        self.hub.forget();
        self.broker.forget();
        self.accounts.forget();
        self.flows.forget();
        self.attempts.forget();
        emptied
    }

    /// Looks at once for tokens that are due, and for what waits to be revoked.
    pub(super) fn wake_accounts(&self) {
        self.accounts.wake();
    }

    /// Starts no refresh and redeems no code any more, and waits for those under way, as long as one
    /// exchange takes at most: before sealing, since an answer that nobody takes may cost its grant.
    pub async fn close_accounts(&self) {
        self.accounts.close(crate::oauth::DEADLINE).await;
    }

    /// Keeps tokens alive, pass after pass, until serving ends.
    async fn keep_tokens(&self) {
        let rest = |wait| async move {
            tokio::select! {
                () = self.shutdown.ending() => false,
                () = pause(wait) => true,
            }
        };
        self.accounts.keep_alive(&self.lifecycle, rest).await;
    }

    /// Has old tokens revoked until serving ends; a provider that is slow in this holds up no refresh.
    async fn keep_revoking(&self) {
        loop {
            let wait = match self.lifecycle.gate().unsealed() {
                Ok(vault) => self.accounts.revoke_due(&vault).await.map(|(_, next)| next),
                Err(_) => Ok(PAUSE),
            };
            tokio::select! {
                () = self.shutdown.ending() => return,
                () = self.accounts.unrevoked() => {}
                () = pause(wait) => {}
            }
        }
    }

    /// Sees to it that device flows go on that were under way before the vault was sealed.
    async fn keep_attempts(&self) {
        loop {
            if let Ok(vault) = self.lifecycle.gate().unsealed()
                && let Err(error) = self.attempts.resume(&vault).await
            {
                tracing::warn!(%error, "device flows could not be taken up again");
            }
            tokio::select! {
                () = self.shutdown.ending() => return,
                () = tokio::time::sleep(RESUME) => {}
            }
        }
    }

    /// Keeps tokens alive, has old ones revoked, and asks on for device flows, until serving ends.
    pub async fn keep_accounts(&self) {
        tokio::join!(
            self.keep_tokens(),
            self.keep_revoking(),
            self.keep_attempts()
        );
    }

    /// Tells the meter what it cannot count.
    pub(super) fn refresh_gauges(&self) {
        let last = self.backups.last().map(|last| last.millis() / 1000);
        self.meter.backups(last, self.backups.failed().is_some());
        match self.lifecycle.gate().unsealed() {
            Ok(vault) => {
                let ready = self.unready().is_empty();
                self.meter
                    .state(false, ready, vault.store().size_bytes().ok());
            }
            Err(_) => self.meter.state(true, false, None),
        }
    }

    /// What is done every minute: forget old callers and handles, write down when keys were last used, destroy
    /// deleted secrets whose time is over; every hour, forget what was answered long ago, and replace the root key if it
    /// is time.
    ///
    /// # Errors
    /// When the store or the journal fails.
    pub async fn housekeeping(&self) -> Result<(), super::ApiError> {
        self.lifecycle.forget_stale_shares();
        self.rates.sweep();
        self.misses.sweep();
        self.broker.tidy();
        let Ok(vault) = self.lifecycle.gate().unsealed() else {
            return Ok(());
        };
        vault.forget_retired_keys();
        // What does not come on holds up nothing else.
        if let Err(error) = self.end_rotations(&vault).await {
            tracing::warn!(code = error.code(), "a replacement of keys does not end");
        }
        self.directory.write_last_used(&vault).await?;
        self.directory.purge_deleted(&vault).await?;
        self.accounts
            .forget_departed(&vault, &self.directory)
            .await?;
        self.shred_departed(&vault).await;
        self.finish_deletions(&vault).await;
        let minutes = self.minutes.fetch_add(1, Ordering::Relaxed);
        if minutes.is_multiple_of(60) {
            if let Err(error) = self.rotate_root_when_due(&vault).await {
                tracing::warn!(code = error.code(), "the root key is not replaced yet");
            }
            self.kept.tidy(vault.now());
            super::idempotency::forget_old(&vault).await?;
        }
        Ok(())
    }
}

/// Failed tries to open a slot: each makes the next wait longer, and is recorded once it can be.
#[derive(Debug, Default)]
pub(super) struct UnsealFailures {
    in_a_row: AtomicU32,
    unrecorded: AtomicU32,
}

impl UnsealFailures {
    /// Counts one that cannot be recorded yet: the vault is sealed.
    pub(super) fn count(&self) {
        self.in_a_row.fetch_add(1, Ordering::Relaxed);
        self.unrecorded.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one that is recorded.
    pub(super) fn count_recorded(&self) {
        self.in_a_row.fetch_add(1, Ordering::Relaxed);
    }

    /// A try was right. Answers how many failures are to be recorded now.
    pub(super) fn take(&self) -> u32 {
        self.forget();
        self.unrecorded.swap(0, Ordering::Relaxed)
    }

    /// A try was right, and nothing can be recorded now.
    pub(super) fn forget(&self) {
        self.in_a_row.store(0, Ordering::Relaxed);
    }

    /// Half a second after three failures, doubling to half a minute.
    pub(super) async fn pause(&self) {
        let failures = self.in_a_row.load(Ordering::Relaxed);
        if let Some(over) = failures.checked_sub(3) {
            let wait = Duration::from_millis(500 << over.min(6));
            tokio::time::sleep(wait.min(Duration::from_secs(30))).await;
        }
    }
}
