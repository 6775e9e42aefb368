//! What is wrong with the settings. Keys are named; what stands behind them is not.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the settings are refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("line {line} is not valid TOML")]
    Syntax {
        /// The line, from 1.
        line: usize,
    },
    /// There is no such key.
    #[error("unknown setting `{key}`{}", meant(nearest.as_deref()))]
    Unknown {
        /// The key as written.
        key: String,
        /// The known key that looks most like it, if one is near.
        nearest: Option<String>,
    },
    /// The value is of another kind.
    #[error("`{key}` wants {wanted}")]
    Kind {
        /// The key.
        key: String,
        /// What it takes.
        wanted: &'static str,
    },
    /// The number is too small or too large.
    #[error("`{key}` takes numbers from {min} to {max}")]
    Range {
        /// The key.
        key: &'static str,
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// Only one of certificate and key is set.
    #[error("`tls.cert` and `tls.key` go together: set both or none")]
    HalfTls,
    /// A network address without a certificate.
    #[error("listening on {0} needs `tls.cert` and `tls.key`: plain HTTP stays on loopback")]
    PlainOnNetwork(SocketAddr),
    /// The egress proxy off loopback.
    #[error("`proxy.listen` is {0}, which other machines reach: the proxy stays on loopback")]
    ProxyOnNetwork(SocketAddr),
    /// A variable that looks like a setting and is none. Root keys above all never come this way:
    /// the environment of a process stays readable for its whole life.
    #[error(
        "{0} is not read: keys and secrets never come from the environment, settings from the file"
    )]
    Variable(String),
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |near| format!(": did you mean `{near}`?"))
}
