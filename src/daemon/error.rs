//! Why the daemon does not start.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::egress::EgressError;
use crate::hardening::{AfreshError, Confinement};
use crate::http::serve::{ListenError, TlsError};
use crate::store::StoreError;
use crate::tools::ToolError;
use crate::vault::VaultError;

/// A start that failed: what happened, and what to do next.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// A folder cannot be made or used.
    #[error("the folder {} cannot be used: {kind}", path.display())]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// The operating system's reason.
        kind: ErrorKind,
    },
    /// A file, or something else, stands where a folder is to be.
    #[error("{} is {what}, and should be a folder", path.display())]
    NotAFolder {
        /// Where.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// Others may read or write a folder that is to be private.
    #[error("the folder {} can be read or changed by others", .0.display())]
    FolderOpen(PathBuf),
    /// An init was cut short: nothing that it made is in use.
    #[error("an init was cut short in {}, before it was done", .0.display())]
    Unfinished(PathBuf),
    /// A file of certificate authorities cannot be read.
    #[error("the certificate file {} cannot be read", .0.display())]
    Roots(PathBuf),
    /// A setting of connected accounts is not what it should be.
    #[error("`{key}` cannot be used: {why}")]
    Oauth {
        /// The setting.
        key: &'static str,
        /// What it should be.
        why: &'static str,
    },
    /// It listens on every address of the machine, and nothing says at which browsers find it.
    #[error("browsers cannot be told where the broker is: {0} stands for every address")]
    NoPublicUrl(SocketAddr),
    /// More provider files of the operator's own than are read.
    #[error("{} has more than {most} provider files", path.display())]
    TooManyProviders {
        /// The folder.
        path: PathBuf,
        /// How many there may be.
        most: usize,
    },
    /// A provider file of the operator's cannot be read.
    #[error("{} cannot be read", .0.display())]
    Providers(PathBuf),
    /// A provider file breaks a rule.
    #[error(transparent)]
    Provider(#[from] crate::oauth::provider::ProviderError),
    /// The kernel does not confine the process, and the settings require it.
    #[error("hardening is required, and {0} is not in force: the kernel does not do it")]
    Unconfined(Confinement),
    /// The process has what it inherited, and the settings require that it has not.
    #[error("hardening is required, and {0}")]
    Inherited(AfreshError),
    /// A program that holds a key is where the broker itself may write.
    #[error("{} leads through a folder of the broker's own: whoever takes the broker over could put another program in its place", .0.display())]
    OwnProgram(PathBuf),
    /// The settings name programs that hold keys, and the process that is to start them cannot be started.
    #[error("custody names programs, and the process that starts them cannot be started: {0}")]
    Attendant(ErrorKind),
    /// The settings require that the process be confined, and root runs it.
    #[error("hardening is required, and root runs the broker: its files would be within reach")]
    IsRoot,
    /// The store does not open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault does not open.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A listener cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A listener of the egress proxy cannot be opened.
    #[error("the egress proxy: {0}")]
    ListenProxy(ListenError),
    /// The key of the egress proxy's certificates cannot be drawn.
    #[error("the key of the egress proxy cannot be made")]
    NoProxyKey,
    /// The certificate cannot be loaded.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The connector cannot be made.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// A shipped tool does not load.
    #[error("a shipped tool does not load: {0}")]
    Tool(#[from] ToolError),
    /// The first organisation cannot be made.
    #[error("the first organisation cannot be made: {0}")]
    Directory(#[from] crate::directory::DirectoryError),
}

impl DaemonError {
    /// Whether the machine cannot do what the settings ask for: starting again would not help.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::Unconfined(_) | Self::Inherited(_) | Self::OwnProgram(_) | Self::IsRoot
        )
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Folder { .. } => {
                "Check that it exists, belongs to you and has room; or name another with --data-dir or --keys-dir.".to_owned()
            }
            Self::NotAFolder { .. } => {
                "Move it away, or name a folder with --data-dir or --keys-dir.".to_owned()
            }
            Self::FolderOpen(path) => format!("Close it: chmod 700 '{}'", path.display()),
            Self::Unfinished(_) => "Run `runtools-broker init` again, with the same answers: it clears away what it left, and begins anew.".to_owned(),
            Self::Roots(_) => "List readable PEM files in egress.extra_roots.".to_owned(),
            Self::Oauth { key, .. } => format!("Correct {key} in the settings file."),
            Self::NoPublicUrl(_) => {
                "Set oauth.public_url to the origin that browsers reach, such as https://broker.example.com; or name the host in public_hosts.".to_owned()
            }
            Self::TooManyProviders { .. } => "Take files that are not needed out of oauth.providers_dir.".to_owned(),
            Self::Providers(_) => "Check oauth.providers_dir: a folder of readable .toml files.".to_owned(),
            Self::Provider(_) => "Correct the provider file; src/manual/providers.md describes the format.".to_owned(),
            Self::Unconfined(_) => "Run it on Linux 5.13 or newer with Landlock and seccomp, in a container that allows them; or accept less: hardening = \"best-effort\".".to_owned(),
            Self::Inherited(error) => format!("{} Or accept less: hardening = \"best-effort\".", error.hint()),
            Self::OwnProgram(_) => "Move it to a folder of root's, /usr/local/lib/runtools for one, and name that place in the settings file.".to_owned(),
            Self::Attendant(_) => "Start it where it may run a program: /proc mounted, no noexec, execve not denied; or take the sections custody.exec and custody.pkcs11 out of the settings file.".to_owned(),
            Self::IsRoot => "Run it as a user of its own, who owns data and keys; or accept less: hardening = \"best-effort\".".to_owned(),
            Self::Store(error) => error.hint().to_owned(),
            Self::Vault(error) => vault_hint(error),
            Self::Listen(error) => listen_hint(error),
            Self::ListenProxy(error) => proxy_hint(error),
            Self::NoProxyKey => "The system gives no randomness; try again.".to_owned(),
            Self::Tls(_) => "Check tls.cert and tls.key.".to_owned(),
            Self::Egress(error) => error.hint().to_owned(),
            Self::Tool(_) => "This is a fault of the build; report it.".to_owned(),
            Self::Directory(_) => "Check the disk, then start again.".to_owned(),
        }
    }
}

fn listen_hint(error: &ListenError) -> String {
    match error {
        ListenError::Bind { addr, source } => match source.kind() {
            ErrorKind::AddrInUse => format!(
                "Another program has port {port}; perhaps a broker runs already. See which: ss -ltnp 'sport = :{port}'. Or take any free port: --listen {ip}",
                port = addr.port(),
                ip = SocketAddr::new(addr.ip(), 0),
            ),
            ErrorKind::PermissionDenied => {
                "Ports below 1024 are root's: choose a higher one with --listen.".to_owned()
            }
            _ => "Choose an address of this machine with --listen.".to_owned(),
        },
        ListenError::PlainOnNetwork(_) => {
            "Other machines are served over TLS only.".to_owned()
        }
        ListenError::SocketInUse(_) => {
            "Use the one that runs, or give this one a socket and folders of its own: --socket, --data-dir, --keys-dir.".to_owned()
        }
        ListenError::Socket { .. }
        | ListenError::SocketPathTooLong { .. }
        | ListenError::NotASocket(_) => "Choose another path with --socket.".to_owned(),
        ListenError::Tls(_) => "Check tls.cert and tls.key.".to_owned(),
    }
}

fn proxy_hint(error: &ListenError) -> String {
    let hint = match error {
        ListenError::Bind { addr, source } if source.kind() == ErrorKind::AddrInUse => {
            let ip = SocketAddr::new(addr.ip(), 0);
            format!("Another program has the port; take any free one: --proxy-listen {ip}")
        }
        ListenError::Bind { .. } | ListenError::PlainOnNetwork(_) | ListenError::Tls(_) => {
            "Choose an address of this machine: proxy.listen = \"127.0.0.1:8421\"".to_owned()
        }
        ListenError::SocketInUse(_)
        | ListenError::Socket { .. }
        | ListenError::SocketPathTooLong { .. }
        | ListenError::NotASocket(_) => "Choose another path: proxy.socket = …".to_owned(),
    };
    format!("{hint}. Or do without: proxy.enabled = false.")
}

pub(super) fn vault_hint(error: &VaultError) -> String {
    match error {
        VaultError::Store(error) => error.hint().to_owned(),
        VaultError::Audit(error) => error.hint().to_owned(),
        VaultError::Custody(error) => error.hint(),
        VaultError::StoreGone => {
            "Check that the right data directory is mounted. If its content is lost, restore the newest backup; to begin afresh, move the keys directory away too.".to_owned()
        }
        VaultError::RingGone => {
            "Put root.ring and its key file back into the keys directory: without them the data cannot be read.".to_owned()
        }
        VaultError::JournalMismatch { .. } => {
            "Put back the data directory as a whole: store and audit belong together. Keep a copy of both as they are for whoever investigates. Where the journal is whole, and this store the newest that is left: `runtools-broker store accept-rollback`.".to_owned()
        }
        VaultError::InOrder => "Start runtools-broker as it is.".to_owned(),
        VaultError::Crypto(_) | VaultError::Form => {
            "The key ring may belong to another data directory, or the data is damaged. Restore both from one backup.".to_owned()
        }
        _ => "Look at the data and keys directories, then start again.".to_owned(),
    }
}
