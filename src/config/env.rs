//! The environment, as an argument.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use crate::failpoint;

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

/// What of its environment a serving process goes on with, and whether it has more.
#[derive(Debug)]
pub struct ServiceEnv {
    kept: Env,
    others: bool,
}

/// Besides the broker's own: what a service manager says to those it starts.
const SERVICE: [&str; 5] = [
    RUNTIME_DIR,
    CREDENTIALS_DIRECTORY,
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
];

/// Says that nothing else was kept, so that it is tried once.
const AFRESH: &str = "RUNTOOLS_AFRESH";

impl ServiceEnv {
    /// That of this process.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads them"
    )]
    pub fn of_process() -> Self {
        Self::of(std::env::vars_os())
    }

    fn of(all: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let kept = |name: &OsStr| {
            let mut known = SERVICE
                .into_iter()
                .chain([AFRESH])
                .chain(failpoint::VARIABLE);
            is_brokers(name) || known.any(|known| name == known)
        };
        let (kept, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.partition(|(name, _)| kept(name));
        Self {
            kept: Env(kept),
            others: !others.is_empty(),
        }
    }

    /// Whether there is nothing else.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        !self.others
    }

    /// Whether it is what [`afresh`](Self::afresh) has left.
    #[must_use]
    pub fn began_afresh(&self) -> bool {
        self.kept.get(AFRESH).is_some()
    }

    /// What to begin again with.
    pub fn afresh(self) -> impl Iterator<Item = (OsString, OsString)> {
        let kept = self.kept.0.into_iter();
        kept.chain([(AFRESH.into(), "1".into())])
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

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::ServiceEnv;

    fn env(names: &[&str]) -> ServiceEnv {
        let value = |name: &&str| (OsString::from(name), OsString::from("a value"));
        ServiceEnv::of(names.iter().map(value))
    }

    #[test]
    fn serving_goes_on_with_what_it_reads_and_with_nothing_else() {
        let read = [
            "RUNTOOLS_BROKER_CONFIG",
            "NOTIFY_SOCKET",
            "CREDENTIALS_DIRECTORY",
        ];
        assert!(env(&read).is_all());
        for other in [
            "RUNTOOLS_API_KEY",
            "AWS_SECRET_ACCESS_KEY",
            "PATH",
            "LD_PRELOAD",
        ] {
            let names = [&read[..], &[other]].concat();
            assert!(!env(&names).is_all(), "{other}");
            let left: Vec<_> = env(&names).afresh().map(|(name, _)| name).collect();
            assert!(left.len() == read.len() + 1 && !left.iter().any(|name| name == other));
        }
    }

    #[test]
    fn it_begins_afresh_once() {
        let names: Vec<_> = env(&["PATH"]).afresh().map(|(name, _)| name).collect();
        let names: Vec<_> = names.iter().map(|name| name.to_str().unwrap()).collect();
        assert!(!env(&["PATH"]).began_afresh() && env(&names).began_afresh());
        assert!(env(&names).is_all());
    }
}
