//! Every key, its meaning, its default and its range.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::backup::BackupSettings;
use super::custody::CustodySettings;
use super::hardening::HardeningMode;
use super::limits::LimitSettings;
use super::log::LogSettings;
use super::proxy::ProxySettings;
use super::secrets::SecretSettings;
use super::store::StoreSettings;

use crate::egress;
use crate::http::serve::{ClientCertificates, TlsFiles};
use crate::oauth::Caps;

/// The daemon's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The folder of the store and the audit journal.
    pub data_dir: PathBuf,
    /// The folder of the root key's ring and key file.
    pub keys_dir: PathBuf,
    /// The TCP addresses to listen on. Off loopback, `tls` must be set.
    pub listen: Vec<SocketAddr>,
    /// The Unix socket. Without it: see [`default_socket`](super::default_socket).
    pub socket: Option<PathBuf>,
    /// The permission bits of the Unix socket, in octal, "0600" or "0660".
    pub socket_mode: String,
    /// Whether to serve without what the kernel cannot deny.
    pub hardening: HardeningMode,
    /// Host names, besides localhost and the listen addresses, that requests may be made for.
    pub public_hosts: Vec<String>,
    /// The certificate for TCP.
    pub tls: TlsSettings,
    /// What a client may take.
    pub limits: LimitSettings,
    /// The store.
    pub store: StoreSettings,
    /// The audit journal.
    pub audit: AuditSettings,
    /// Requests to upstream hosts.
    pub egress: EgressSettings,
    /// The egress proxy.
    pub proxy: ProxySettings,
    /// Logs.
    pub log: LogSettings,
    /// Failed sign-ins.
    pub auth: AuthSettings,
    /// Requests per time.
    pub rate: RateSettings,
    /// Secrets.
    pub secrets: SecretSettings,
    /// Connected accounts.
    pub oauth: OauthSettings,
    /// Who holds keys for the broker.
    pub custody: CustodySettings,
    /// The installation's own keys.
    pub key: KeySettings,
    /// Backups.
    pub backup: BackupSettings,
    /// The file as it was read, for backups.
    #[serde(skip)]
    pub text: Option<String>,
    /// Where that file is.
    #[serde(skip)]
    pub file: Option<PathBuf>,
    /// Where systemd put the service's credentials. systemd says it; no file does.
    #[serde(skip)]
    pub credentials_dir: Option<PathBuf>,
}

/// Connected accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OauthSettings {
    /// The origin at which browsers reach the broker. Without it: the first listen address.
    pub public_url: Option<String>,
    /// A folder of provider files of the operator's own, besides the shipped ones.
    pub providers_dir: Option<PathBuf>,
    /// Private address ranges that such providers may be in, over cleartext too.
    pub private: Vec<IpNet>,
    /// Hosts of their own that organisations may name, where a provider lets them choose one.
    pub hosts: Vec<String>,
    /// Addresses, besides the broker's own, that a flow may send its browser back to.
    pub return_to: Vec<String>,
    /// How many accounts one member may have connected.
    pub accounts_per_member: usize,
    /// How many accounts all members of an organisation may have connected together.
    pub accounts_per_org: usize,
}

/// The certificate for TCP; both or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsSettings {
    /// The certificate chain, PEM.
    pub cert: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
    /// Whether clients are asked for a certificate, by which a service can be recognised.
    pub client_certificates: bool,
}

/// The audit journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditSettings {
    /// The size at which a new segment file begins, in MiB.
    pub segment_mb: u64,
}

/// Requests to upstream hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EgressSettings {
    /// PEM files of certificate authorities to trust besides the public ones.
    pub extra_roots: Vec<PathBuf>,
    /// Seconds for looking up, connecting to and shaking hands with a host.
    pub connect_seconds: u64,
    /// Seconds until a response begins.
    pub response_seconds: u64,
    /// Seconds between two pieces of a response.
    pub idle_seconds: u64,
    /// Seconds for an exchange whose answer is read whole.
    pub total_seconds: u64,
    /// Connections to upstream hosts, used or waiting.
    pub connections: usize,
    /// Of these, connections of one organisation.
    pub connections_per_org: usize,
}

/// Failed sign-ins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthSettings {
    /// Failures of one credential from one source after which it is locked there.
    pub lockout_failures: u32,
    /// Minutes a lock lasts, and after which failures are forgotten.
    pub lockout_minutes: u64,
    /// How many valid API keys one member may have; ten times as many may be made within a day.
    pub keys_per_member: usize,
}

/// Requests per time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateSettings {
    /// Requests a second of one principal, on average.
    pub per_principal_per_second: u32,
    /// Requests of one principal at once.
    pub per_principal_burst: u32,
    /// Requests a second of one network source before it is known who asks.
    pub per_source_per_second: u32,
    /// Requests of one network source at once.
    pub per_source_burst: u32,
}

/// `[key]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeySettings {
    /// Days after which the root key is replaced where that takes nobody; 0 for never.
    pub rotate_root_days: u32,
}

/// The range of every number, both ends included.
pub(super) const RANGES: &[(&str, u64, u64)] = &[
    ("limits.tls_handshake_seconds", 1, 60),
    ("limits.first_byte_seconds", 1, 60),
    ("limits.header_read_seconds", 1, 60),
    ("limits.body_idle_seconds", 1, 300),
    ("limits.whole_request_seconds", 1, 3600),
    ("limits.keep_alive_idle_seconds", 1, 3600),
    ("limits.write_stall_seconds", 1, 300),
    ("limits.drain_seconds", 0, 600),
    ("limits.header_bytes", 1024, 1_048_576),
    ("limits.headers", 8, 1000),
    ("limits.uri_bytes", 256, 32_768),
    ("limits.connections", 1, 65_536),
    ("limits.connections_per_source", 1, 65_536),
    ("limits.connections_per_user", 1, 65_536),
    ("limits.in_flight", 1, 65_536),
    ("limits.running_per_user", 1, 65_536),
    ("limits.upload_mb", 1, 1_048_576),
    ("limits.stream_seconds", 1, 86_400),
    ("limits.websocket_idle_seconds", 1, 86_400),
    ("limits.tunnel_idle_seconds", 1, 3600),
    ("limits.tunnel_grace_seconds", 0, 3600),
    ("limits.proxy_connections", 1, 65_536),
    ("limits.proxy_connections_per_org", 1, 65_536),
    ("limits.proxy_connections_per_user", 1, 65_536),
    ("limits.proxy_connections_per_handle", 1, 65_536),
    ("limits.handles", 1, 1_000_000),
    ("limits.handles_per_org", 1, 1_000_000),
    ("limits.handles_per_user", 1, 1_000_000),
    ("store.cache_mb", 1, 65_536),
    ("audit.segment_mb", 1, 4096),
    ("egress.connect_seconds", 1, 120),
    ("egress.response_seconds", 1, 3600),
    ("egress.idle_seconds", 1, 3600),
    ("egress.total_seconds", 1, 86_400),
    ("egress.connections", 1, 65_536),
    ("egress.connections_per_org", 1, 65_536),
    ("auth.lockout_failures", 1, 1000),
    ("auth.lockout_minutes", 1, 10_080),
    ("rate.per_principal_per_second", 1, 1_000_000),
    ("rate.per_principal_burst", 1, 1_000_000),
    ("rate.per_source_per_second", 1, 1_000_000),
    ("rate.per_source_burst", 1, 1_000_000),
    ("secrets.delete_retention_days", 0, 3650),
    ("secrets.per_member", 1, 10_000_000),
    ("secrets.shared", 1, 10_000_000),
    ("auth.keys_per_member", 1, 1_000_000),
    ("oauth.accounts_per_member", 1, 10_000),
    ("oauth.accounts_per_org", 1, 1_000_000),
    ("key.rotate_root_days", 0, 3650),
    ("backup.key_days", 0, 36_500),
    ("backup.every_hours", 1, 8760),
    ("backup.keep", 1, 10_000),
];

impl Config {
    /// The Unix socket of the API.
    #[must_use]
    pub fn api_socket(&self) -> PathBuf {
        let fallback = || self.data_dir.join("broker.sock");
        self.socket.clone().unwrap_or_else(fallback)
    }

    /// The certificate's files, if TCP is encrypted.
    #[must_use]
    pub fn tls_files(&self) -> Option<TlsFiles> {
        Some(TlsFiles {
            cert: self.tls.cert.clone()?,
            key: self.tls.key.clone()?,
        })
    }

    /// Whether clients are asked for a certificate.
    #[must_use]
    pub const fn client_certificates(&self) -> ClientCertificates {
        if self.tls.client_certificates {
            ClientCertificates::Asked
        } else {
            ClientCertificates::Unasked
        }
    }

    /// The hosts a request may be made for, in lower case and without ports: this machine's own
    /// names, the listen addresses unless they stand for all, and `public_hosts`. Anything else is
    /// a name somebody else pointed at us.
    #[must_use]
    pub fn allowed_hosts(&self) -> Vec<String> {
        let mut hosts = ["localhost", "127.0.0.1", "[::1]"]
            .map(str::to_owned)
            .to_vec();
        let listen = self.listen.iter().map(SocketAddr::ip);
        hosts.extend(listen.filter(|ip| !ip.is_unspecified()).map(|ip| match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        }));
        hosts.extend(self.public_hosts.iter().map(|host| host.to_lowercase()));
        let mut seen = Vec::new();
        hosts.retain(|host| {
            let new = !seen.contains(host);
            seen.push(host.clone());
            new
        });
        hosts
    }

    /// The socket's permission bits; for its owner alone where the text is no such number.
    #[must_use]
    pub fn socket_mode(&self) -> u32 {
        u32::from_str_radix(&self.socket_mode, 8).unwrap_or(0o600)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("data"),
            keys_dir: PathBuf::from("keys"),
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8420))],
            socket: None,
            socket_mode: "0600".to_owned(),
            hardening: HardeningMode::default(),
            public_hosts: Vec::new(),
            tls: TlsSettings::default(),
            limits: LimitSettings::default(),
            store: StoreSettings::default(),
            audit: AuditSettings { segment_mb: 64 },
            egress: EgressSettings::default(),
            proxy: ProxySettings::default(),
            log: LogSettings::default(),
            auth: AuthSettings::default(),
            rate: RateSettings::default(),
            secrets: SecretSettings::default(),
            oauth: OauthSettings::default(),
            custody: CustodySettings::default(),
            key: KeySettings::default(),
            backup: BackupSettings::default(),
            text: None,
            file: None,
            credentials_dir: None,
        }
    }
}

impl Default for OauthSettings {
    fn default() -> Self {
        let Caps { member, org } = Caps::default();
        Self {
            public_url: None,
            providers_dir: None,
            private: Vec::new(),
            hosts: Vec::new(),
            return_to: Vec::new(),
            accounts_per_member: member,
            accounts_per_org: org,
        }
    }
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self { segment_mb: 64 }
    }
}

impl Default for EgressSettings {
    fn default() -> Self {
        let limits = egress::Limits::default();
        Self {
            extra_roots: Vec::new(),
            connect_seconds: 10,
            response_seconds: 30,
            idle_seconds: 30,
            total_seconds: 300,
            connections: limits.connections,
            connections_per_org: limits.connections_per_org,
        }
    }
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            lockout_failures: 5,
            lockout_minutes: 15,
            keys_per_member: 1_000,
        }
    }
}

impl Default for RateSettings {
    fn default() -> Self {
        Self {
            per_principal_per_second: 1000,
            per_principal_burst: 2000,
            per_source_per_second: 2000,
            per_source_burst: 4000,
        }
    }
}
