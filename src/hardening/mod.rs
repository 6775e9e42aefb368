//! What the process denies itself.
//!
//! [`harden`] is the first thing both binaries do, before any thread, file or secret exists (but for
//! `runtools oauth connect`, which first starts what will open the browser: see `client/browser.rs`; and
//! `runtools run`, whose program inherits what it denies itself: [`harden_for_a_program`]):
//!
//! | control | what it makes impossible |
//! |---|---|
//! | `umask` | files of ours that a group or others may read |
//! | `core_limit`, `not_dumpable` | a core file, or a debugger of the same user, that holds secrets |
//! | `no_new_privs` | gaining rights by running a set-uid program |
//! | `no_inherited_files` | files a careless parent left open |
//! | `unprivileged` | doing all this as root, whom none of it stops |
//! | `no_panic_payload` | a value in the message of a panic |
//! | `secret_page` | reading the keys that open all others, even for root ([`harden_for_keys`]) |
//!
//! The first four are enforced or the program does not start. The others are observed or cannot
//! fail. Inherited files are reported, and kept from every program that is started after this: those that
//! hold a key for the broker are none of their business.
//!
//! A serving process gives up more. First [`begin_afresh`]: what was inherited at all. Then [`confine`], before
//! its first other thread: rights that root has, memory that is written and run, files and
//! ports (`files.rs`). And [`deny_calls`] when all run: system calls (`calls.rs`). Not every kernel can;
//! the setting `hardening` says whether the broker serves without.

mod afresh;
mod calls;
mod confinement;
mod files;
mod panics;
mod rights;

pub use afresh::{AfreshError, begin_afresh};
pub use calls::deny_calls;
pub use confinement::{Confined, Confinement, confine};
pub use files::Reach;

use std::fs;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::process::{dumpable_behavior, getrlimit, getuid, setrlimit, umask};
use rustix::thread::set_no_new_privs;

use crate::crypto::{self, Shelter};

/// One thing the process denies itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Control {
    /// New files are for their owner only.
    Umask,
    /// A crash leaves no core file.
    CoreLimit,
    /// Processes of the same user cannot read the memory.
    NotDumpable,
    /// Running a program never gains rights.
    NoNewPrivs,
    /// Nothing above the three standard files was open at the start.
    NoInheritedFiles,
    /// The process does not run as root.
    Unprivileged,
    /// A panic prints where it happened, and not what it says.
    NoPanicPayload,
    /// The keys that open all others are where only this process reads.
    SecretPage,
}

/// Which controls are in force. `doctor` shows it and `runtools_hardening_enforced` counts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report(Vec<(Control, bool)>);

/// A control that must be in force could not be set: the program must not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system refuses to set {control} ({source}): not starting without it")]
pub struct HardeningError {
    control: Control,
    source: Errno,
}

impl Control {
    /// Every control there is.
    pub const ALL: [Self; 8] = [
        Self::Umask,
        Self::CoreLimit,
        Self::NotDumpable,
        Self::NoNewPrivs,
        Self::NoInheritedFiles,
        Self::Unprivileged,
        Self::NoPanicPayload,
        Self::SecretPage,
    ];

    /// Its name in reports, logs and metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Umask => "umask",
            Self::CoreLimit => "core_limit",
            Self::NotDumpable => "not_dumpable",
            Self::NoNewPrivs => "no_new_privs",
            Self::NoInheritedFiles => "no_inherited_files",
            Self::Unprivileged => "unprivileged",
            Self::NoPanicPayload => "no_panic_payload",
            Self::SecretPage => "secret_page",
        }
    }
}

impl std::fmt::Display for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}

impl Report {
    /// A report of one's own, for tests of what reads it.
    #[cfg(test)]
    pub(crate) fn of(controls: impl IntoIterator<Item = (Control, bool)>) -> Self {
        Self(controls.into_iter().collect())
    }

    /// Each control, and whether it is in force.
    pub fn controls(&self) -> impl Iterator<Item = (Control, bool)> + '_ {
        self.0.iter().copied()
    }

    /// Each control by its label, for metrics.
    pub fn labels(&self) -> impl Iterator<Item = (&'static str, bool)> + '_ {
        self.controls().map(|(control, set)| (control.label(), set))
    }

    /// Whether `control` is in force.
    #[must_use]
    pub fn enforces(&self, control: Control) -> bool {
        self.0.contains(&(control, true))
    }
}

/// Sets every control. Call it once, first in `main`: what is set later does not reach a thread
/// that runs already.
///
/// # Errors
/// [`HardeningError`] when the system refuses one of the first four. Exit; do not go on.
pub fn harden() -> Result<Report, HardeningError> {
    // Counted before anything of ours is open.
    let inherited = inherited_files();
    close_fds::set_fds_cloexec(3, &[]);
    umask(Mode::RWXG | Mode::RWXO);
    set_core_limit().map_err(failed(Control::CoreLimit))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(failed(Control::NotDumpable))?;
    set_no_new_privs(true).map_err(failed(Control::NoNewPrivs))?;
    panics::print_only_where();
    Ok(Report(vec![
        (Control::Umask, true),
        (Control::CoreLimit, core_limit_is_zero()),
        (Control::NotDumpable, is_not_dumpable()),
        (Control::NoNewPrivs, every_task_has_no_new_privs()),
        (Control::NoInheritedFiles, inherited == Some(0)),
        (Control::Unprivileged, !getuid().is_root()),
        (Control::NoPanicPayload, true),
    ]))
}

/// As [`harden`], for a process that opens keys: it makes the page for them, as long as the system still
/// lets it.
///
/// # Errors
/// As [`harden`].
pub fn harden_for_keys() -> Result<Report, HardeningError> {
    let mut report = harden()?;
    let secret = crypto::shelter() == Shelter::Secret;
    report.0.push((Control::SecretPage, secret));
    Ok(report)
}

/// As [`harden`], for a process that runs a program of its user's: children inherit the `umask`, `no_new_privs`
/// and the hard limit of a core file, and that program is to find these as they are without us. What guards
/// our own memory is set all the same.
///
/// # Errors
/// [`HardeningError`], as [`harden`].
pub fn harden_for_a_program() -> Result<(), HardeningError> {
    let core = Rlimit {
        current: Some(0),
        ..getrlimit(Resource::Core)
    };
    setrlimit(Resource::Core, core).map_err(failed(Control::CoreLimit))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(failed(Control::NotDumpable))?;
    panics::print_only_where();
    Ok(())
}

impl Report {
    /// Looks again at what the system can tell, for every thread there is by now, and corrects the
    /// report by it. What was not in force at the start never becomes so.
    #[must_use]
    pub fn observed_now(&self) -> Self {
        let now = |control| match control {
            Control::CoreLimit => core_limit_is_zero(),
            Control::NotDumpable => is_not_dumpable(),
            Control::NoNewPrivs => every_task_has_no_new_privs(),
            _ => true,
        };
        let controls = self.controls();
        Self(controls.map(|(c, set)| (c, set && now(c))).collect())
    }
}

fn failed(control: Control) -> impl FnOnce(Errno) -> HardeningError {
    move |source| HardeningError { control, source }
}

fn set_core_limit() -> Result<(), Errno> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)
}

fn core_limit_is_zero() -> bool {
    let limit = getrlimit(Resource::Core);
    limit.current == Some(0) && limit.maximum == Some(0)
}

fn is_not_dumpable() -> bool {
    dumpable_behavior() == Ok(DumpableBehavior::NotDumpable)
}

/// The flag belongs to a thread, so each one is asked.
fn every_task_has_no_new_privs() -> bool {
    every_task_says("NoNewPrivs:\t1")
}

/// Whether `wanted` is a line of the status of every thread.
fn every_task_says(wanted: &str) -> bool {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else {
        return false;
    };
    tasks.flatten().all(|task| {
        match fs::read_to_string(task.path().join("status")) {
            Ok(status) => status.lines().any(|line| line == wanted),
            // A thread that has just ended.
            Err(_) => true,
        }
    })
}

/// How many files above the three standard ones are open; the one that asks is not counted.
fn inherited_files() -> Option<usize> {
    let open = fs::read_dir("/proc/self/fd").ok()?.flatten();
    let above = open.filter(|file| {
        let number = file.file_name().to_str().and_then(|n| n.parse().ok());
        number.is_none_or(|n: u32| n > 2)
    });
    above.count().checked_sub(1)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_confinement;
