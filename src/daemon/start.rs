//! Starting, serving, ending.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::DaemonError;
use super::backups::keep_backups;
use super::connected::connect;
use super::ending;
use super::front::Front;
use super::parts::{judge, places, rate_rules};
use super::prepare::{Prepared, data_and_keys, insist};
use super::supervisor;
use super::unsealing::{keep_asking, unseal};
use crate::audit::Options;
use crate::backup::Keeper;
use crate::broker::Broker;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::crypto::{Random, SystemRandom};
use crate::custody::Custodians;
use crate::directory::Directory;
use crate::egress::{self, Egress, EgressOptions, SystemResolver};
use crate::hardening::{self, Confined, Report};
use crate::http::serve::{Drained, Listener, Shutdown, TlsCertificate, serve};
use crate::http::{App, AppParts, Pages, router};
use crate::pages::{self, PagesState};
use crate::store::DiskEngine;
use crate::telemetry::Metrics;
use crate::tools::Hub;
use crate::vault::{Lifecycle, Probes};

/// What a person is told once the broker listens.
#[derive(Clone, Debug, Default)]
pub struct Welcome {
    /// Whether this was the first start.
    pub first_start: bool,
    /// Whether the vault is sealed.
    pub sealed: bool,
    /// Why it is, for each who should have unsealed it and did not; and what to do.
    pub lost: Vec<String>,
    /// Whether somebody is asked again and again, who may unseal it later.
    pub asks_again: bool,
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    /// Its Unix socket.
    pub socket: PathBuf,
    /// Where its egress proxy listens, if it has one.
    pub proxy: Option<(SocketAddr, PathBuf)>,
}

/// A broker that listens and does not serve yet.
#[derive(Debug)]
pub struct Daemon {
    app: App,
    lifecycle: Arc<Lifecycle>,
    backups: Arc<Keeper>,
    listeners: Vec<Listener>,
    front: Option<Front>,
    metrics: Arc<Metrics>,
    certificate: Option<Arc<TlsCertificate>>,
    shutdown: Shutdown,
    config: Config,
    welcome: Welcome,
    confined: Confined,
}

impl Prepared {
    /// Opens everything that the settings name. Nothing is served yet.
    ///
    /// # Errors
    /// [`DaemonError`] says what is wrong and what to do.
    pub async fn start(self, report: &Report) -> Result<Daemon, DaemonError> {
        let who = self.custodians();
        let (config, confined) = (self.config, self.confined);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let metrics = Arc::new(Metrics::new());
        show(report, &metrics);
        let lifecycle = open_vault((&config, who), &metrics, Arc::clone(&clock), random)?;
        let uid = rustix::process::geteuid().as_raw();
        let directory = Arc::new(Directory::new(config.auth.keys_per_member));
        let welcome = unseal(&lifecycle, &directory, uid).await?;
        let (listeners, certificate, addresses, socket) = listen(&config).await?;
        let front = Front::listen(&config, Arc::clone(&clock)).await?;
        let hub = Arc::new(Hub::new()?);
        let own = Front::addresses(front.as_ref(), &addresses);
        let egress = Egress::new(egress_options(&config, own)?)?;
        let connected = connect(&config, egress.clone(), &addresses, &metrics)?;
        let judge = judge(&directory, &hub, &connected.accounts, &lifecycle);
        let broker = Broker::new(egress, judge, Arc::clone(&clock), config.lane_limits());
        let broker = Front::before(front.as_ref(), broker);
        let (shutdown, backups) = (Shutdown::new(), Arc::new(Keeper::new(config.backup_plan())));
        let app = App::new(AppParts {
            lifecycle: Arc::clone(&lifecycle),
            directory,
            hub,
            broker,
            accounts: connected.accounts,
            flows: connected.flows,
            allowed_hosts: connected.allowed_hosts,
            return_rules: connected.return_rules,
            clock,
            backups: Arc::clone(&backups),
            meter: Arc::<Metrics>::clone(&metrics),
            certificate: certificate.clone(),
            shutdown: shutdown.clone(),
            operator_uid: uid,
            hosts: hosts(&config, connected.host),
            rates: rate_rules(&config),
            client_certificates: config.client_certificates(),
        });
        let welcome = Welcome {
            addresses,
            socket,
            proxy: front.as_ref().map(|it| (it.address, it.socket.clone())),
            ..welcome
        };
        Ok(Daemon {
            app,
            lifecycle,
            backups,
            listeners,
            front,
            metrics,
            certificate,
            shutdown,
            config,
            welcome,
            confined,
        })
    }
}

impl Daemon {
    /// Denies the process every system call that serving needs not. All its threads run by now.
    ///
    /// # Errors
    /// [`DaemonError::Unconfined`] where the settings require it and the kernel does not do it.
    pub fn deny_calls(&mut self) -> Result<(), DaemonError> {
        hardening::deny_calls(&mut self.confined);
        self.metrics.set_hardening(self.confined.labels());
        insist(&self.confined, self.config.hardening)
    }

    /// What to tell the person who started it.
    #[must_use]
    pub const fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// What ends it: the first signal drains, the second cuts.
    #[must_use]
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// The certificate, to be read again when its files change.
    #[must_use]
    pub fn certificate(&self) -> Option<Arc<TlsCertificate>> {
        self.certificate.clone()
    }

    /// Serves until it is told to end; then drains, writes the last record and seals.
    pub async fn serve(self) -> Drained {
        let housekeeping = tokio::spawn(keep_house(self.app.clone(), self.shutdown.clone()));
        if let Some(certificate) = &self.certificate {
            let metrics = Arc::<Metrics>::clone(&self.metrics);
            if let Some(end) = certificate.expires_at() {
                metrics.set_certificate_expiry(end.millis() / 1000);
            }
            let watched = Arc::clone(certificate);
            let every = Duration::from_secs(2);
            tokio::spawn(watched.watch(every, self.shutdown.clone(), metrics));
        }
        let asking = self.welcome.sealed && self.welcome.asks_again;
        let asking = asking.then(|| {
            let (lifecycle, directory) = (Arc::clone(&self.lifecycle), self.app.shared_directory());
            let uid = rustix::process::geteuid().as_raw();
            tokio::spawn(keep_asking(
                lifecycle,
                directory,
                uid,
                self.shutdown.clone(),
            ))
        });
        let limits = self.config.serve_limits();
        let aside = self.aside();
        let service = router(self.app.clone(), self.pages());
        let metrics = Arc::<Metrics>::clone(&self.metrics);
        let shutdown = self.shutdown.clone();
        let api = serve(self.listeners, service, limits, shutdown.clone(), metrics);
        let proxy = Front::serve(self.front, self.app.clone(), shutdown, &self.config);
        let told = supervisor::keep_told(Arc::clone(&self.lifecycle), self.shutdown.clone());
        let told = tokio::spawn(told);
        let (mut drained, cut) = tokio::join!(api, proxy);
        drained.cut += cut;
        drop(told.await);
        housekeeping.abort();
        if let Some(asking) = asking {
            asking.abort();
        }
        for task in aside {
            task.abort();
        }
        // An answer that nobody takes may cost its grant. The second signal does not wait.
        tokio::select! {
            () = self.app.close_accounts() => {}
            () = self.shutdown.cutting() => {}
        }
        ending::end(&self.app, &self.lifecycle, &self.shutdown, drained.cut).await;
        drained
    }
}

impl Daemon {
    /// What goes on beside serving: accounts are kept alive, keys are replaced, backups are made.
    fn aside(&self) -> [tokio::task::JoinHandle<()>; 3] {
        let (keeping, rotating) = (self.app.clone(), self.app.clone());
        let backups = keep_backups(
            Arc::clone(&self.backups),
            Arc::clone(&self.lifecycle),
            Arc::<Metrics>::clone(&self.metrics),
            self.shutdown.clone(),
        );
        [
            tokio::spawn(async move { keeping.keep_accounts().await }),
            tokio::spawn(async move { rotating.keep_rotating().await }),
            tokio::spawn(backups),
        ]
    }

    fn pages(&self) -> Pages {
        let state = PagesState {
            book: self.app.flows(),
            redeemer: self.app.flow_keeper(),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
        };
        Pages {
            router: pages::router(state),
            templates: pages::TEMPLATES,
        }
    }
}

/// Shows which controls are in force, and warns of each that is not.
fn show(report: &Report, metrics: &Metrics) {
    metrics.set_hardening(report.labels());
    for (control, _) in report.controls().filter(|(_, in_force)| !in_force) {
        tracing::warn!(control = control.label(), "not in force");
    }
}

/// The hosts that requests may be made for: those of the settings, and the one that browsers ask for.
fn hosts(config: &Config, public: String) -> Vec<String> {
    let mut hosts = config.allowed_hosts();
    if !hosts.contains(&public) {
        hosts.push(public);
    }
    hosts
}

/// Everything on disk, locked and checked; the vault is still sealed.
pub(super) fn open_vault(
    (config, who): (&Config, Custodians),
    metrics: &Arc<Metrics>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
) -> Result<Arc<Lifecycle>, DaemonError> {
    let places = places(config);
    data_and_keys(config, &places)?;
    let cache = config.store.cache_mb << 20;
    let engine = Arc::new(DiskEngine::open(
        &places.store(),
        config.store.engine,
        cache,
    )?);
    let audit = Options {
        segment_bytes: config.audit.segment_mb << 20,
        ..Options::default()
    };
    let retention = i64::from(config.secrets.delete_retention_days);
    let probes = Probes {
        store: Some(Arc::<Metrics>::clone(metrics)),
        audit: Some(Arc::<Metrics>::clone(metrics)),
    };
    let lifecycle = Lifecycle::open(places, engine, clock, random, retention, audit, probes)?;
    let lifecycle = lifecycle
        .with_quotas(config.secrets.quotas())
        .with_root_days(config.key.rotate_root_days);
    Ok(Arc::new(lifecycle.with_custodians(who)))
}

type Listening = (
    Vec<Listener>,
    Option<Arc<TlsCertificate>>,
    Vec<SocketAddr>,
    PathBuf,
);

async fn listen(config: &Config) -> Result<Listening, DaemonError> {
    let certificate = config.tls_files().map(TlsCertificate::load).transpose()?;
    let clients = config.client_certificates();
    let mut listeners = Vec::new();
    for addr in &config.listen {
        listeners.push(match &certificate {
            Some(certificate) => Listener::tls(*addr, Arc::clone(certificate), clients).await?,
            None => Listener::tcp(*addr).await?,
        });
    }
    let addresses = listeners.iter().filter_map(Listener::addr).collect();
    let socket = config.api_socket();
    listeners.push(Listener::unix(&socket, config.socket_mode())?);
    Ok((listeners, certificate, addresses, socket))
}

fn egress_options(config: &Config, own: Vec<SocketAddr>) -> Result<EgressOptions, DaemonError> {
    let mut extra_roots = Vec::new();
    for path in &config.egress.extra_roots {
        extra_roots.extend(roots(path)?);
    }
    let connect = Duration::from_secs(config.egress.connect_seconds);
    let limits = egress::Limits {
        resolve: connect,
        connect,
        handshake: connect,
        head: Duration::from_secs(config.egress.response_seconds),
        body_idle: Duration::from_secs(config.egress.idle_seconds),
        connections: config.egress.connections,
        connections_per_org: config.egress.connections_per_org,
        ..egress::Limits::default()
    };
    Ok(EgressOptions {
        extra_roots,
        resolver: Arc::new(SystemResolver),
        limits,
        own,
    })
}

/// Reads a file of certificate authorities.
pub(super) fn roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, DaemonError> {
    let unreadable = || DaemonError::Roots(path.to_owned());
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(|_| unreadable())?
        .collect();
    found
        .ok()
        .filter(|roots| !roots.is_empty())
        .ok_or_else(unreadable)
}

async fn keep_house(app: App, shutdown: Shutdown) {
    let mut minute = tokio::time::interval(Duration::from_mins(1));
    minute.tick().await;
    loop {
        tokio::select! {
            () = shutdown.ending() => return,
            _ = minute.tick() => {}
        }
        if let Err(error) = app.housekeeping().await {
            tracing::warn!(code = error.code(), "housekeeping failed");
        }
    }
}
