//! The machine and this process: where a value could end up besides where it belongs.

use std::fs;
use std::path::Path;

use super::finding::Finding;
use super::surroundings::Running;
use crate::config::{Config, HardeningMode};
use crate::hardening::{Control, Report};

/// Files that the broker has open besides its connections, generously.
const OWN_FILES: u64 = 128;

/// Whether memory may be written to a disk in clear.
pub(super) fn swap(root: &Path) -> Finding {
    let listed = fs::read_to_string(root.join("proc/swaps")).unwrap_or_default();
    let in_clear = listed
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .any(|device| !is_safe(root, device));
    if in_clear {
        Finding::warn(
            "swap",
            "memory may be written to a disk that is not encrypted",
            "Switch it off (swapoff -a), encrypt it, or use zram.",
        )
    } else {
        Finding::ok("swap", "none that reaches a disk in clear")
    }
}

/// In memory (zram), or encrypted by the device mapper.
fn is_safe(root: &Path, device: &str) -> bool {
    let name = device.strip_prefix("/dev/").unwrap_or_default();
    if name.starts_with("zram") {
        return true;
    }
    let number = match name.strip_prefix("mapper/") {
        // A link to ../dm-N.
        Some(_) => fs::read_link(root.join("dev").join(name)).ok(),
        None => Some(name.into()),
    };
    let number = number.as_deref().and_then(Path::file_name);
    number.is_some_and(|number| {
        let uuid = root.join("sys/block").join(number).join("dm/uuid");
        fs::read_to_string(uuid).is_ok_and(|uuid| uuid.starts_with("CRYPT-"))
    })
}

/// Whether all the connections that the settings allow may be open at once.
pub(super) fn open_files(config: &Config, limit: Option<u64>) -> Finding {
    let proxy = if config.proxy.enabled {
        config.limits.proxy_connections
    } else {
        0
    };
    let kinds = [config.limits.connections, proxy, config.egress.connections];
    let kinds = kinds.map(|most| u64::try_from(most).unwrap_or(u64::MAX));
    let needed = kinds.into_iter().fold(OWN_FILES, u64::saturating_add);
    match limit {
        Some(limit) if limit < needed => Finding::warn(
            "open_files",
            format!("{limit} may be open at once; the settings may take {needed}"),
            format!(
                "Raise it (ulimit -n {needed}, or LimitNOFILE={needed}), or lower limits.connections, limits.proxy_connections or egress.connections."
            ),
        ),
        Some(limit) => Finding::ok("open_files", limit),
        None => Finding::ok("open_files", "no limit"),
    }
}

/// Whether a crash could write memory somewhere.
pub(super) fn core_files(root: &Path, report: &Report) -> Finding {
    if report.enforces(Control::CoreLimit) && report.enforces(Control::NotDumpable) {
        return Finding::ok("core_files", "a crash leaves none");
    }
    let pattern = fs::read_to_string(root.join("proc/sys/kernel/core_pattern"));
    let piped = pattern.is_ok_and(|pattern| pattern.starts_with('|'));
    let text = if piped {
        "a crash hands its memory to a program (kernel.core_pattern)"
    } else {
        "a crash may leave a file with its memory"
    };
    Finding::fail(
        "core_files",
        text,
        "Let the broker set its limits: ulimit -c 0",
    )
}

/// Whether it runs as root.
pub(super) fn user(report: &Report) -> Finding {
    if report.enforces(Control::Unprivileged) {
        return Finding::ok("user", "not root");
    }
    let text = "root, whom no file mode and no limit stops";
    let fix =
        "Run it as a user of its own: useradd --system runtools, then User=runtools in the unit.";
    Finding::warn("user", text, fix)
}

/// What the process denies itself.
pub(super) fn hardening(report: &Report) -> Vec<Finding> {
    // Root and core files have checks of their own.
    let own = [Control::Unprivileged, Control::CoreLimit];
    let controls = report.controls().filter(|(it, _)| !own.contains(it));
    controls
        .map(|(control, set)| match (control, set) {
            (control, true) => Finding::ok(control.label(), "in force"),
            (Control::NoInheritedFiles, false) => Finding::warn(
                control.label(),
                "files were open that whoever started this had left open",
                "Start the broker from a unit file, or from a plain shell.",
            ),
            (Control::SecretPage, false) => Finding::warn(
                control.label(),
                "root can read the keys in the broker's memory",
                "Linux 6.5 or newer keeps them to the broker; 5.14 or newer with secretmem.enable=1 at boot.",
            ),
            (control, false) => Finding::fail(
                control.label(),
                "not in force",
                "Run it on a kernel, and in a container, that allows it.",
            ),
        })
        .collect()
}

/// What the running broker has given up: only it can tell.
pub(super) fn confinement(broker: &Running, config: &Config, root: &Path) -> Finding {
    const NAME: &str = "confinement";
    match broker {
        Running::Up {
            unconfined: Some(lacking),
            ..
        } if lacking.is_empty() => Finding::ok(NAME, "its own files, ports and system calls only"),
        Running::Up {
            unconfined: Some(lacking),
            ..
        } => Finding::warn(
            NAME,
            format!("the broker runs without: {}", lacking.join(", ")),
            "Linux 6.12 or newer does all of it, and a container must allow Landlock and seccomp.",
        ),
        Running::Up { .. } | Running::Silent => {
            Finding::unexamined(NAME, "the broker does not tell")
        }
        Running::Down if has_landlock(root) => {
            Finding::ok(NAME, "a broker confines itself when it starts")
        }
        Running::Down => {
            let text = "this kernel has Landlock switched off: a broker could reach every file of its user";
            if config.hardening == HardeningMode::Require {
                let fix = "Switch it on (lsm=landlock,… on the kernel's command line); or accept less: hardening = \"best-effort\". As it is, no broker starts.";
                return Finding::fail(NAME, text, fix);
            }
            let fix = "Switch it on: lsm=landlock,… on the kernel's command line.";
            Finding::warn(NAME, text, fix)
        }
    }
}

/// Whether the kernel has it switched on, as far as it tells.
fn has_landlock(root: &Path) -> bool {
    let listed = fs::read_to_string(root.join("sys/kernel/security/lsm"));
    listed.map_or(true, |all| all.trim().split(',').any(|it| it == "landlock"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::Level;
    use super::super::Running;
    use super::super::surroundings::unconfined;
    use super::super::tests_rig::{config, report, up};
    use super::{confinement, core_files, hardening, open_files, swap, user};
    use crate::config::Config;
    use crate::hardening::{Confinement, Control};

    const HEAD: &str = "Filename\tType\tSize\tUsed\tPriority\n";

    #[test]
    fn swap_in_clear_warns_and_zram_or_an_encrypted_device_does_not() {
        let root = tempfile::tempdir().unwrap();
        let with = |line: &str| {
            fs::create_dir_all(root.path().join("proc")).unwrap();
            fs::write(root.path().join("proc/swaps"), format!("{HEAD}{line}")).unwrap();
            swap(root.path()).level
        };
        assert_eq!(swap(root.path()).level, Level::Ok);
        assert_eq!(with(""), Level::Ok);
        assert_eq!(with("/dev/zram0 partition 1 0 100\n"), Level::Ok);
        assert_eq!(with("/dev/sda2 partition 1 0 -2\n"), Level::Warn);
        assert_eq!(with("/swapfile file 1 0 -2\n"), Level::Warn);
        assert_eq!(with("/dev/dm-1 partition 1 0 -2\n"), Level::Warn);
        fs::create_dir_all(root.path().join("sys/block/dm-1/dm")).unwrap();
        fs::write(root.path().join("sys/block/dm-1/dm/uuid"), "CRYPT-PLAIN-x").unwrap();
        assert_eq!(with("/dev/dm-1 partition 1 0 -2\n"), Level::Ok);
    }

    #[test]
    fn too_few_open_files_warn() {
        let (_dir, mut config) = config();
        config.limits.connections = 100;
        config.limits.proxy_connections = 50;
        config.egress.connections = 30;
        assert_eq!(open_files(&config, Some(308)).level, Level::Ok);
        assert_eq!(open_files(&config, Some(307)).level, Level::Warn);
        config.proxy.enabled = false;
        assert_eq!(open_files(&config, Some(258)).level, Level::Ok);
        assert_eq!(open_files(&config, None).level, Level::Ok);
    }

    #[test]
    fn a_broker_tells_what_it_has_not_given_up() {
        let line = |what: &str, value| {
            format!("runtools_hardening_enforced{{control=\"{what}\"}} {value}\n")
        };
        let mut page: String = Confinement::ALL
            .into_iter()
            .filter(|what| *what != Confinement::Signals)
            .map(|what| line(what.label(), 1))
            .collect();
        assert_eq!(unconfined(&page), None, "one is not told");
        page += &line("landlock_signals", 0);
        assert_eq!(unconfined(&page), Some(vec!["landlock_signals"]));
        let mut broker = up(&[], &[]);
        let root = Path::new("/no/such/root");
        let confinement = |broker: &Running| confinement(broker, &Config::default(), root);
        assert_eq!(confinement(&broker).level, Level::Ok);
        if let Running::Up {
            unconfined: told, ..
        } = &mut broker
        {
            *told = unconfined(&page);
        }
        let found = confinement(&broker);
        assert_eq!(found.level, Level::Warn);
        assert!(found.text.ends_with("landlock_signals"), "{}", found.text);
        assert_eq!(confinement(&Running::Down).level, Level::Ok);
    }

    #[test]
    fn root_warns_and_a_missing_control_fails() {
        let root = tempfile::tempdir().unwrap();
        let root_user = report(Some(Control::Unprivileged));
        assert_eq!(user(&root_user).level, Level::Warn);
        assert_eq!(user(&report(None)).level, Level::Ok);
        let level = |control| {
            let found = hardening(&report(Some(control)));
            found.iter().map(|found| found.level).max().unwrap()
        };
        assert_eq!(level(Control::NoNewPrivs), Level::Fail);
        assert_eq!(level(Control::NoInheritedFiles), Level::Warn);
        assert_eq!(level(Control::SecretPage), Level::Warn);
        assert_eq!(core_files(root.path(), &report(None)).level, Level::Ok);
        let open = report(Some(Control::NotDumpable));
        assert_eq!(core_files(root.path(), &open).level, Level::Fail);
    }
}
