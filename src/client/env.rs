//! The environment, read once.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::java;
use super::proxied::TRUST;
use crate::secret::Secret;

/// What the environment says to a command line. An empty variable counts as unset.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact about one variable"
)]
pub struct ClientEnv {
    /// `RUNTOOLS_SOCKET`: the broker's Unix socket.
    pub socket: Option<PathBuf>,
    /// `RUNTOOLS_API_URL`, else `RUNTOOLS_AUTH_URL`, else `RUNTOOLS_TOOLS_URL`: the broker's origin.
    pub api_url: Option<String>,
    /// `RUNTOOLS_API_KEY`.
    pub api_key: Option<Secret>,
    /// `RUNTOOLS_CA_FILE`: PEM certificates to trust besides the public ones.
    pub ca_file: Option<PathBuf>,
    /// `NO_COLOR`.
    pub no_color: bool,
    /// `CLICOLOR_FORCE`, when it is not `0`.
    pub force_color: bool,
    /// `TERM` is `dumb`.
    pub dumb_terminal: bool,
    /// `BROWSER`: commands that open a page, the best first, with colons between them.
    pub browser: Option<String>,
    /// `DISPLAY` or `WAYLAND_DISPLAY`: a browser would have a screen to show itself on.
    pub screen: bool,
    /// `SSH_CONNECTION` or `SSH_TTY`: the person sits at another machine.
    pub over_ssh: bool,
    /// `XDG_CONFIG_HOME`, when absolute.
    pub config_home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`, when absolute.
    pub runtime_dir: Option<PathBuf>,
    /// `HOME`, when absolute.
    pub home: Option<PathBuf>,
    /// `TMPDIR`, when absolute.
    pub temporary: Option<PathBuf>,
    /// `SSL_CERT_FILE`: the roots in place of the system's.
    pub roots: Option<PathBuf>,
    /// Files of further roots that programs are told of, such as `NODE_EXTRA_CA_CERTS`.
    pub trusted: Vec<PathBuf>,
    /// `no_proxy`, else `NO_PROXY`.
    pub no_proxy: Option<String>,
    /// `JAVA_TOOL_OPTIONS`.
    pub java_options: Option<String>,
    /// The name of every variable of ours, `RUNTOOLS_…`: no program that is run is given one.
    pub ours: Vec<OsString>,
}

impl ClientEnv {
    /// Reads the process's environment.
    #[must_use]
    pub fn read() -> Self {
        Self {
            ours: names().filter(|name| is_ours(name)).collect(),
            ..Self::of(variable)
        }
    }

    /// Reads variables from `lookup`.
    fn of(lookup: impl Fn(&str) -> Option<OsString>) -> Self {
        let get = |name| lookup(name).filter(|value| !value.is_empty());
        let text = |name| get(name).and_then(|value| value.into_string().ok());
        let absolute = |name| {
            get(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        Self {
            socket: get("RUNTOOLS_SOCKET").map(PathBuf::from),
            api_url: text("RUNTOOLS_API_URL")
                .or_else(|| text("RUNTOOLS_AUTH_URL"))
                .or_else(|| text("RUNTOOLS_TOOLS_URL")),
            api_key: text("RUNTOOLS_API_KEY").map(|key| Secret::take(key.into_bytes())),
            ca_file: get("RUNTOOLS_CA_FILE").map(PathBuf::from),
            no_color: get("NO_COLOR").is_some(),
            force_color: get("CLICOLOR_FORCE").is_some_and(|value| value != "0"),
            dumb_terminal: get("TERM").is_some_and(|value| value == "dumb"),
            browser: text("BROWSER"),
            screen: get("DISPLAY").or_else(|| get("WAYLAND_DISPLAY")).is_some(),
            over_ssh: get("SSH_CONNECTION").or_else(|| get("SSH_TTY")).is_some(),
            config_home: absolute("XDG_CONFIG_HOME"),
            runtime_dir: absolute("XDG_RUNTIME_DIR"),
            home: absolute("HOME"),
            temporary: absolute("TMPDIR"),
            roots: get("SSL_CERT_FILE").map(PathBuf::from),
            trusted: TRUST
                .iter()
                .filter(|(name, _)| *name != "SSL_CERT_FILE")
                .filter_map(|(name, _)| get(name).map(PathBuf::from))
                .collect(),
            no_proxy: text("no_proxy").or_else(|| text("NO_PROXY")),
            java_options: text(java::OPTIONS),
            ours: Vec::new(),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the command lines' one door to the environment"
)]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the command lines' one door to the environment"
)]
fn names() -> impl Iterator<Item = OsString> {
    std::env::vars_os().map(|(name, _)| name)
}

/// Also in lower case: who reads it so is answered by the same name.
fn is_ours(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_uppercase();
    name.starts_with("RUNTOOLS_")
}

#[cfg(test)]
mod tests {
    use super::{ClientEnv, is_ours};

    fn env(pairs: &[(&str, &str)]) -> ClientEnv {
        let find = |name: &str| pairs.iter().find(|(key, _)| *key == name);
        ClientEnv::of(|name| find(name).map(|(_, value)| (*value).into()))
    }

    #[test]
    fn empty_variables_count_as_unset_and_relative_homes_are_ignored() {
        let env = env(&[
            ("NO_COLOR", ""),
            ("CLICOLOR_FORCE", "0"),
            ("HOME", "here"),
            ("RUNTOOLS_SOCKET", ""),
        ]);
        assert!(!env.no_color && !env.force_color);
        assert!(env.home.is_none() && env.socket.is_none());
    }

    #[test]
    fn n2_a_screen_and_a_distance_are_known_by_either_of_two_variables() {
        assert!(!env(&[("DISPLAY", "")]).screen && env(&[("WAYLAND_DISPLAY", "w")]).screen);
        assert!(env(&[("DISPLAY", ":0")]).screen && !env(&[("DISPLAY", ":0")]).over_ssh);
        assert!(env(&[("SSH_TTY", "/dev/pts/1")]).over_ssh);
        assert!(env(&[("SSH_CONNECTION", "a 1 b 22")]).over_ssh);
    }

    #[test]
    fn every_variable_of_ours_is_known_and_no_other() {
        for (name, ours) in [
            ("RUNTOOLS_API_KEY", true),
            ("RUNTOOLS_NEW", true),
            ("runtools_socket", true),
            ("RUNTOOLS", false),
            ("MY_RUNTOOLS_API_KEY", false),
        ] {
            assert_eq!(is_ours(name.as_ref()), ours, "{name}");
        }
    }

    #[test]
    fn roots_that_programs_are_told_of_are_known() {
        let env = env(&[
            ("SSL_CERT_FILE", "/s"),
            ("PIP_CERT", "/p"),
            ("GIT_SSL_CAINFO", ""),
        ]);
        assert_eq!(env.roots, Some("/s".into()));
        assert_eq!(env.trusted, [std::path::PathBuf::from("/p")]);
    }

    #[test]
    fn the_three_origin_variables_stand_in_for_each_other() {
        let one = env(&[
            ("RUNTOOLS_TOOLS_URL", "http://t"),
            ("RUNTOOLS_AUTH_URL", "http://a"),
        ]);
        assert_eq!(one.api_url.as_deref(), Some("http://a"));
        let other = env(&[("RUNTOOLS_TOOLS_URL", "http://t")]);
        assert_eq!(other.api_url.as_deref(), Some("http://t"));
    }
}
