//! Settings of the egress proxy.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Config;

/// The egress proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProxySettings {
    /// Whether there is one.
    pub enabled: bool,
    /// Its address, loopback.
    pub listen: SocketAddr,
    /// Its Unix socket. Without it: see [`Config::proxy_socket`].
    pub socket: Option<PathBuf>,
    /// Hosts that anybody with a handle may reach without its credentials, and without being read.
    pub pass_through: Vec<String>,
    /// Private address ranges that such hosts may be in.
    pub private: Vec<IpNet>,
}

impl Default for ProxySettings {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: SocketAddr::from(([127, 0, 0, 1], 8421)),
            socket: None,
            pass_through: Vec::new(),
            private: Vec::new(),
        }
    }
}

impl Config {
    /// The proxy's Unix socket: as set, else beside the API's, under its name with `-proxy` in it.
    #[must_use]
    pub fn proxy_socket(&self) -> PathBuf {
        if let Some(set) = &self.proxy.socket {
            return set.clone();
        }
        let fallback = || self.data_dir.join("broker.sock");
        let api = self.socket.clone().unwrap_or_else(fallback);
        let stem = api.file_stem().unwrap_or_default().to_string_lossy();
        api.with_file_name(format!("{stem}-proxy.sock"))
    }
}
