//! What the CLI takes from the environment.

use std::path::PathBuf;

use super::env::Env;
use super::layers::default_socket;
use crate::secret::Secret;

/// Every variable that is read besides those that begin with `RUNTOOLS_BROKER_`.
pub(super) const VARIABLES: [&str; 12] = [
    "RUNTOOLS_SOCKET",
    "RUNTOOLS_API_URL",
    "RUNTOOLS_AUTH_URL",
    "RUNTOOLS_TOOLS_URL",
    "RUNTOOLS_API_KEY",
    "RUNTOOLS_CA_FILE",
    "NO_COLOR",
    "CLICOLOR_FORCE",
    "TERM",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "HOME",
];

/// The CLI's environment.
#[derive(Debug)]
pub struct CliEnv {
    /// `RUNTOOLS_SOCKET`, else the place where a broker of this user has its socket.
    pub socket: PathBuf,
    /// `RUNTOOLS_API_URL`: the origin of the API, without `/v1`.
    pub api_url: Option<String>,
    /// `RUNTOOLS_AUTH_URL`: the origin for sign-in.
    pub auth_url: Option<String>,
    /// `RUNTOOLS_TOOLS_URL`: the origin for tools.
    pub tools_url: Option<String>,
    /// `RUNTOOLS_API_KEY`. The process environment keeps a copy that cannot be wiped.
    pub api_key: Option<Secret>,
    /// `RUNTOOLS_CA_FILE`: a PEM file of authorities to trust besides the public ones.
    pub ca_file: Option<PathBuf>,
    /// Whether colour is wanted: `NO_COLOR` no, `CLICOLOR_FORCE` yes, `TERM=dumb` no, else open.
    pub color: Option<bool>,
    /// The folder of the profile file: `$XDG_CONFIG_HOME/runtools`, else `~/.config/runtools`.
    pub config_dir: Option<PathBuf>,
}

impl CliEnv {
    /// Reads `env`.
    #[must_use]
    pub fn from(env: &Env) -> Self {
        let color = if env.get("NO_COLOR").is_some() {
            Some(false)
        } else if env.get("CLICOLOR_FORCE").is_some_and(|v| v != "0") {
            Some(true)
        } else if env.get("TERM").is_some_and(|v| v == "dumb") {
            Some(false)
        } else {
            None
        };
        // XDG: a path that is not absolute counts as unset.
        let config = env
            .path("XDG_CONFIG_HOME")
            .filter(|path| path.is_absolute());
        let config = config.or_else(|| env.path("HOME").map(|home| home.join(".config")));
        Self {
            socket: env
                .path("RUNTOOLS_SOCKET")
                .unwrap_or_else(|| default_socket(env, &PathBuf::from("data"))),
            api_url: env.text("RUNTOOLS_API_URL"),
            auth_url: env.text("RUNTOOLS_AUTH_URL"),
            tools_url: env.text("RUNTOOLS_TOOLS_URL"),
            api_key: env
                .get("RUNTOOLS_API_KEY")
                .map(|key| Secret::copy_of(key.as_encoded_bytes())),
            ca_file: env.path("RUNTOOLS_CA_FILE"),
            color,
            config_dir: config.map(|path| path.join("runtools")),
        }
    }
}
