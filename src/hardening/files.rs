//! What of the file system, and which ports, the process keeps once it gave up the rest (Landlock).
//!
//! Landlock binds the thread that asks for it and those that it starts later, so it comes before the
//! first one. Kernels learned the three things in turn, and each is to be seen by itself: files with 5.13,
//! TCP ports with 6.7, signals and abstract sockets with 6.12. What was open before stays open: logs on a terminal, and files that a service manager passed.

use std::fs;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath,
    PathFd, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus,
    Scope,
};

use super::confinement::Confinement;

/// What a confined process may still reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Folders in which it makes, changes and removes files, folders and sockets.
    pub own: Vec<PathBuf>,
    /// Folders it reads: certificates that are renewed by putting new files there, provider files.
    pub read: Vec<PathBuf>,
    /// The TCP ports it may listen on; 0 stands for any free one.
    pub ports: Vec<u16>,
}

/// What the C library reads when it looks up a host, and the process of itself. A folder and not its
/// files: whoever changes `resolv.conf` puts a new file in its place.
const SYSTEM: [&str; 7] = [
    "/etc",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/share/zoneinfo",
    "/proc/self",
    "/sys/fs/cgroup",
];

/// What kernels learned, oldest first.
pub(super) const BY_AGE: [Confinement; 3] =
    [Confinement::Files, Confinement::Ports, Confinement::Signals];

/// Gives up every file, port, signal and abstract socket that `reach` does not name, as far as the kernel can,
/// on this thread and those that it starts: what that is.
pub(super) fn give_up(reach: &Reach) -> &'static [Confinement] {
    for count in (1..=BY_AGE.len()).rev() {
        let Some(wanted) = BY_AGE.get(..count) else {
            continue;
        };
        // One ruleset for all: of two, each denies moving files between folders unless both allow it.
        let status = restrict(reach, wanted);
        if status.is_ok_and(|status| status != RulesetStatus::NotEnforced) {
            return wanted;
        }
    }
    &[]
}

/// In folders of its own: everything but running a program, and devices, pipes and links.
fn own_rights() -> BitFlags<AccessFs> {
    reading()
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSock
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
}

fn reading() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir
}

fn restrict(reach: &Reach, wanted: &[Confinement]) -> Result<RulesetStatus, RulesetError> {
    // Of the rights to files, what the kernel cannot deny yet is left out: truncating before 6.2, device
    // calls before 6.10. Moving files between folders is denied always before 5.19.
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V5))?
        .set_compatibility(CompatLevel::HardRequirement);
    if wanted.contains(&Confinement::Ports) {
        rules = rules.handle_access(AccessNet::BindTcp)?;
    }
    if wanted.contains(&Confinement::Signals) {
        rules = rules.scope(Scope::Signal | Scope::AbstractUnixSocket)?;
    }
    let mut rules = rules.create()?.set_compatibility(CompatLevel::BestEffort);
    for folder in &reach.own {
        rules = allow(rules, folder, own_rights())?;
    }
    let system = SYSTEM.iter().map(PathBuf::from);
    for folder in reach.read.iter().cloned().chain(system).chain(resolver()) {
        rules = allow(rules, &folder, reading())?;
    }
    // Where a library throws bytes away.
    let both_ways = AccessFs::ReadFile | AccessFs::WriteFile;
    rules = allow(rules, Path::new("/dev/null"), both_ways)?;
    if wanted.contains(&Confinement::Ports) {
        for port in &reach.ports {
            rules = rules.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
        }
    }
    Ok(rules.restrict_self()?.ruleset)
}

/// Allows `rights` below `path`. What is not there cannot be opened either, and needs no rule.
fn allow(
    rules: RulesetCreated,
    path: &Path,
    rights: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(opened) = PathFd::new(path) else {
        return Ok(rules);
    };
    let rights = if path.is_dir() {
        rights
    } else {
        rights & AccessFs::from_file(ABI::V5)
    };
    rules.add_rule(PathBeneath::new(opened, rights))
}

/// The folder that `resolv.conf` is really in: it is often a link into `/run`.
fn resolver() -> Option<PathBuf> {
    let real = fs::canonicalize("/etc/resolv.conf").ok()?;
    real.parent().map(Path::to_owned)
}
