//! The environment, as an argument.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

/// The folder of a user's sockets, by the rules of XDG.
pub(super) const RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";

/// Where systemd puts the credentials of a service.
pub(super) const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// The variables this program reads, copied once. Values are not shown.
#[derive(Clone, Default)]
pub struct Env(BTreeMap<OsString, OsString>);

impl Env {
    /// The variables of this process.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads them"
    )]
    pub fn of_process() -> Self {
        let wanted =
            |name: &OsStr| is_brokers(name) || name == RUNTIME_DIR || name == CREDENTIALS_DIRECTORY;
        Self(
            std::env::vars_os()
                .filter(|(name, _)| wanted(name))
                .collect(),
        )
    }

    /// Exactly these variables.
    pub fn of<K: Into<OsString>, V: Into<OsString>>(all: impl IntoIterator<Item = (K, V)>) -> Self {
        let all = all.into_iter();
        Self(
            all.map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }

    /// The value of `name`; an empty one counts as none.
    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        let value = self.0.get(OsStr::new(name))?;
        (!value.is_empty()).then_some(value.as_os_str())
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    /// The names that begin like the broker's own.
    pub(super) fn brokers(&self) -> impl Iterator<Item = &str> {
        self.0
            .keys()
            .filter(|name| is_brokers(name))
            .filter_map(|name| name.to_str())
    }
}

fn is_brokers(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"RUNTOOLS_BROKER_")
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
