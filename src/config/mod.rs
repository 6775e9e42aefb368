//! Settings: what there is, where it comes from, and what is refused.
//!
//! ```text
//! flag  ›  environment (paths only)  ›  file  ›  default
//! ```
//!
//! The file is the one named by `--config`, else `./config/broker.toml`, else
//! `/etc/runtools/broker.toml`, if there is one. `config/broker.toml` in the sources lists every
//! key with its default; a test keeps it equal to [`Config`]. Nothing secret is ever a setting.
//! The daemon's environment is read in this module; the command lines' in
//! [`ClientEnv`](crate::client::ClientEnv).

mod backup;
mod custody;
mod env;
mod error;
mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod hardening;
mod layers;
mod limits;
mod log;
mod proxy;
mod secrets;
mod settings;
mod store;
mod written;

pub use backup::BackupSettings;
pub use custody::{CustodySettings, ExecSettings, Pkcs11Settings};
pub use env::{Env, ServiceEnv};
pub use error::ConfigError;
pub use file::refuse_unknown;
pub use hardening::HardeningMode;
pub use layers::{Flags, SettingsFile, default_socket};
pub use limits::LimitSettings;
pub use log::{LogFormat, LogLevel, LogSettings};
pub use proxy::ProxySettings;
pub use secrets::SecretSettings;
pub use settings::{
    AuditSettings, AuthSettings, Config, EgressSettings, KeySettings, RateSettings, TlsSettings,
};
pub use store::StoreSettings;
pub use written::{merged, written};

#[cfg(test)]
mod tests;
