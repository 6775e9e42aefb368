//! What a serving process gave up, and whether the kernel saw to it.

use std::fs;

use capctl::prctl::{MDWEFlags, get_mdwe, set_mdwe};

use super::files::{BY_AGE, Reach, give_up};
use super::rights::give_up_rights;
use crate::config::ServiceEnv;

/// One thing that only the serving process gives up: a command line has to reach its user's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Confinement {
    /// What the environment says to others than the broker ([`begin_afresh`](super::begin_afresh)).
    Environment,
    /// What root may do and others may not (capabilities).
    Rights,
    /// Memory that was written, as code (`PR_SET_MDWE`, Linux 6.3).
    WrittenCode,
    /// Files outside its own folders and those it reads (Landlock, Linux 5.13).
    Files,
    /// Listening on other TCP ports (Landlock, Linux 6.7).
    Ports,
    /// Signals to other processes, and their abstract sockets (Landlock, Linux 6.12).
    Signals,
    /// System calls that serving needs not, running a program first of all (seccomp).
    Calls,
}

impl Confinement {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Environment,
        Self::Rights,
        Self::WrittenCode,
        Self::Files,
        Self::Ports,
        Self::Signals,
        Self::Calls,
    ];

    /// Its name in reports, logs and metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Rights => "capabilities",
            Self::WrittenCode => "deny_write_execute",
            Self::Files => "landlock_files",
            Self::Ports => "landlock_ports",
            Self::Signals => "landlock_signals",
            Self::Calls => "seccomp",
        }
    }

    /// Whether a broker that is to be confined does not start without it. The others are younger than
    /// the kernel of the oldest system that is served, Debian 12's 6.1; and why the environment is not what it
    /// should be says an [`AfreshError`](super::AfreshError).
    #[must_use]
    pub const fn is_required(self) -> bool {
        matches!(self, Self::Rights | Self::Files | Self::Calls)
    }
}

impl std::fmt::Display for Confinement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}

/// Gives up what serving needs not, down to what `reach` names. Nothing of it, where the process has more than
/// one thread: what one gives up, another that is there keeps.
#[must_use]
pub fn confine(reach: &Reach) -> Confined {
    let alone = has_one_thread();
    let given_up = if alone { give_up(reach) } else { &[] };
    let mut confined = Confined::default();
    confined.note(Confinement::Environment, ServiceEnv::of_process().is_all());
    confined.note(Confinement::Rights, alone && give_up_rights(&reach.ports));
    confined.note(Confinement::WrittenCode, alone && deny_written_code());
    for what in BY_AGE {
        confined.note(what, given_up.contains(&what));
    }
    confined
}

fn has_one_thread() -> bool {
    fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}

/// Memory that was written is never run, nor the other way round.
pub(super) fn deny_written_code() -> bool {
    let wanted = MDWEFlags::REFUSE_EXEC_GAIN;
    set_mdwe(wanted).is_ok() && get_mdwe().is_ok_and(|flags| flags.contains(wanted))
}

/// What was tried so far, and whether the kernel saw to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confined(Vec<(Confinement, bool)>);

impl Confined {
    /// Notes how a try ended.
    pub fn note(&mut self, what: Confinement, in_force: bool) {
        self.0.push((what, in_force));
    }

    /// Whether `what` is in force.
    #[must_use]
    pub fn holds(&self, what: Confinement) -> bool {
        self.0.contains(&(what, true))
    }

    /// What was tried in vain.
    pub fn missing(&self) -> impl Iterator<Item = Confinement> + '_ {
        let failed = self.0.iter().filter(|(_, in_force)| !in_force);
        failed.map(|(what, _)| *what)
    }

    /// Each by its label, for metrics: what was not tried is not in force.
    pub fn labels(&self) -> impl Iterator<Item = (&'static str, bool)> + '_ {
        Confinement::ALL
            .map(|what| (what.label(), self.holds(what)))
            .into_iter()
    }
}
