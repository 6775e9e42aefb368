//! What the checks are told instead of finding it out themselves.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Method;
use rustix::fs::{Access, access};
use rustix::process::{Resource, getrlimit};

use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::Config;
use crate::egress::{EgressError, Endpoint};
use crate::hardening::{Confinement, Report};
use crate::wire::{Failure, ListeningProxy, Readiness, Status};

/// How long the broker has to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// How many bytes are free for us on the disk that holds a path.
pub type FreeBytes = fn(&Path) -> io::Result<u64>;

/// The machine as the checks see it, so that each fault can be shown to them.
#[derive(Clone)]
pub struct Surroundings {
    /// What time it is.
    pub now: Timestamp,
    /// How much room a disk has.
    pub free_bytes: FreeBytes,
    /// Whether we may put files into a folder.
    pub is_writable: fn(&Path) -> bool,
    /// Where `proc`, `sys` and `etc` are: `/`.
    pub root: PathBuf,
    /// How many files may be open at once; `None` when there is no limit.
    pub open_files: Option<u64>,
    /// Who runs this.
    pub uid: u32,
    /// What this process denies itself.
    pub hardening: Report,
    /// The broker on the socket.
    pub broker: Running,
}

/// The broker on the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Running {
    /// Nobody listens there.
    Down,
    /// Somebody listens and gives no answer, or another one.
    Silent,
    /// It answers.
    Up {
        /// Its version.
        version: String,
        /// Whether it is sealed.
        sealed: bool,
        /// Why it is not ready: words of [`Readiness`].
        reasons: Vec<String>,
        /// The TCP addresses at which it answers too, as far as they were tried.
        answers: Vec<SocketAddr>,
        /// Its egress proxy, if it has one.
        proxy: Option<ProxyUp>,
        /// What it should have given up and has not: labels of [`Confinement`]. `None` when it does not tell.
        unconfined: Option<Vec<&'static str>>,
    },
}

/// The egress proxy of a broker that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyUp {
    /// Its address.
    pub address: String,
    /// Its Unix socket.
    pub socket: String,
    /// How many tunnels are open.
    pub tunnels: usize,
    /// Whether it answers at the address, and at the socket.
    pub answers: (bool, bool),
}

impl Running {
    /// Whether it answers.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        matches!(self, Self::Up { .. })
    }
}

impl Surroundings {
    /// This machine, and what the broker says of itself.
    pub async fn observe(config: &Config, report: &Report) -> Self {
        Self {
            now: SystemClock.now(),
            free_bytes,
            is_writable: |path| access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok(),
            root: PathBuf::from("/"),
            open_files: getrlimit(Resource::Nofile).current,
            uid: rustix::process::geteuid().as_raw(),
            hardening: report.observed_now(),
            broker: ask(config).await,
        }
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Surroundings");
        shown.field("now", &self.now).field("broker", &self.broker);
        shown.finish_non_exhaustive()
    }
}

fn free_bytes(path: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

async fn ask(config: &Config) -> Running {
    let socket = Endpoint::unix(config.api_socket());
    let status = match read(&socket, "/v1/status").await {
        Err(EgressError::Connect) => return Running::Down,
        Err(_) => return Running::Silent,
        Ok(body) => serde_json::from_slice::<Status>(&body),
    };
    let ready = match read(&socket, "/readyz").await {
        Err(_) => return Running::Silent,
        Ok(body) => serde_json::from_slice::<Readiness>(&body),
    };
    let (Ok(status), Ok(ready)) = (status, ready) else {
        return Running::Silent;
    };
    let mut answers = Vec::new();
    for addr in plain(config) {
        if answers_at(addr).await {
            answers.push(addr);
        }
    }
    let front = status.lanes.and_then(|lanes| lanes.proxy);
    let proxy = match front {
        Some(front) => Some(ask_front(front).await),
        None => None,
    };
    let metrics = read(&socket, "/metrics").await.unwrap_or_default();
    Running::Up {
        unconfined: unconfined(&String::from_utf8_lossy(&metrics)),
        version: status.version,
        sealed: status.sealed,
        reasons: ready.reasons,
        answers,
        proxy,
    }
}

/// Which confinements a page of metrics says are not in force.
pub(super) fn unconfined(page: &str) -> Option<Vec<&'static str>> {
    let mut lacking = Vec::new();
    for what in Confinement::ALL {
        let series = format!("runtools_hardening_enforced{{control=\"{what}\"}} ");
        let told = page.lines().find_map(|line| line.strip_prefix(&series))?;
        if told != "1" {
            lacking.push(what.label());
        }
    }
    Some(lacking)
}

/// What the proxy says to what is no request to a proxy: that it is one.
async fn ask_front(front: ListeningProxy) -> ProxyUp {
    let tells = async |endpoint: Option<Endpoint>| match endpoint {
        Some(endpoint) => {
            let body = read(&endpoint, "/").await.unwrap_or_default();
            serde_json::from_slice::<Failure>(&body).is_ok_and(|it| it.error.code == "proxy_only")
        }
        None => false,
    };
    let tcp = Endpoint::url(&format!("http://{}", front.address), Vec::new());
    let unix = Endpoint::unix(PathBuf::from(&front.socket));
    let answers = (tells(tcp.ok()).await, tells(Some(unix)).await);
    ProxyUp {
        address: front.address,
        socket: front.socket,
        tunnels: front.tunnels,
        answers,
    }
}

/// The addresses where an answer can be asked for without a certificate.
fn plain(config: &Config) -> impl Iterator<Item = SocketAddr> {
    let plain = config.tls_files().is_none();
    let loopback = |addr: &SocketAddr| addr.ip().is_loopback() && addr.port() != 0;
    let addresses = config.listen.iter().copied();
    addresses.filter(move |addr| plain && loopback(addr))
}

async fn answers_at(addr: SocketAddr) -> bool {
    let Ok(endpoint) = Endpoint::url(&format!("http://{addr}"), Vec::new()) else {
        return false;
    };
    let body = read(&endpoint, "/v1/status").await.unwrap_or_default();
    serde_json::from_slice::<Status>(&body).is_ok_and(|it| it.service == "runtools-broker")
}

async fn read(endpoint: &Endpoint, path: &str) -> Result<bytes::Bytes, EgressError> {
    let sent = endpoint.send(Method::GET, path, Vec::new(), None);
    match tokio::time::timeout(PATIENCE, sent).await {
        Ok(reply) => reply.map(|reply| reply.body),
        Err(_) => Err(EgressError::Closed),
    }
}
