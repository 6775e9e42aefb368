//! What is installed: the unit's exposure, and that everything the package names is there.
//!
//! systemd-analyze (the package systemd) must be installed; without it these tests fail.

mod harness;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use harness::Broker;
use harness::machine::Machine;
use harness::nobody::is_root;
use runtools_broker::http::serve::ServeLimits;

const UNIT: &str = "config/systemd/runtools-broker.service";
const SOCKET_ONLY: &str = "config/systemd/runtools-broker-socket-only.conf";

/// Whether the unit's exposure is this tenth of ten at most.
fn is_within(unit: &Path, tenths: u32) -> bool {
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .arg(format!("--threshold={tenths}"))
        .arg(unit)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("Overall exposure level"), "{text}");
    output.status.success()
}

#[test]
fn the_unit_is_exposed_to_1_2_of_10_and_without_a_network_to_0_5() {
    assert!(is_within(Path::new(UNIT), 12));
    assert!(!is_within(Path::new(UNIT), 5), "the measure measures");
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("runtools-broker.service");
    let both = [UNIT, SOCKET_ONLY].map(|file| fs::read_to_string(file).unwrap());
    fs::write(&unit, both.concat()).unwrap();
    assert!(is_within(&unit, 5));
}

#[test]
fn systemd_accepts_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("runtools-broker.service");
    // Verifying looks for the program, which is not installed where it is built.
    let text = fs::read_to_string(UNIT).unwrap();
    let installed = "ExecStart=/usr/bin/runtools-broker ";
    assert!(text.contains(installed));
    fs::write(&unit, text.replace(installed, "ExecStart=/usr/bin/env ")).unwrap();
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(&unit)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    // Of our file alone: the machine's other units may be anything.
    let ours: Vec<_> = text
        .lines()
        .filter(|line| line.contains("runtools"))
        .collect();
    assert!(output.status.success() && ours.is_empty(), "{text}");
}

#[test]
fn what_the_package_names_is_there_or_is_built() {
    let manifest: toml::Table = fs::read_to_string("Cargo.toml").unwrap().parse().unwrap();
    let deb = &manifest["package"]["metadata"]["deb"];
    let build = fs::read_to_string("config/debian/build").unwrap();
    let mut targets = BTreeSet::new();
    for asset in deb["assets"].as_array().unwrap() {
        let (from, to) = (asset[0].as_str().unwrap(), asset[1].as_str().unwrap());
        assert!(targets.insert((from, to)), "{from} twice");
        let folder = Path::new(from).parent().unwrap();
        let built = folder == Path::new("target/release")
            || folder.starts_with("target/package")
                && folder
                    .file_name()
                    .is_some_and(|name| build.contains(&name.to_string_lossy().into_owned()));
        assert!(
            Path::new(from).exists() || built,
            "{from} is neither there nor built"
        );
    }
    for (to, what) in [
        ("usr/bin/", "the programs"),
        ("etc/runtools/broker.toml", "the settings"),
        ("usr/share/man/man1/", "the manual pages"),
        ("usr/share/bash-completion/completions/", "the completions"),
    ] {
        assert!(targets.iter().any(|(_, it)| *it == to), "{what}: {to}");
    }
    // Beside the unit, from where it is taken with it.
    let units = Path::new(deb["systemd-units"]["unit-scripts"].as_str().unwrap());
    for ending in ["service", "sysusers"] {
        assert!(
            units
                .join("runtools-broker")
                .with_extension(ending)
                .exists()
        );
    }
}

#[test]
fn the_unit_gives_a_stop_the_time_that_the_broker_takes_for_one() {
    let unit = fs::read_to_string(UNIT).unwrap();
    let said = |name: &str| -> Duration {
        let mut lines = unit.lines().filter_map(|line| line.strip_prefix(name));
        Duration::from_secs(lines.next().unwrap().parse().unwrap())
    };
    let takes = ServeLimits::default().drain + runtools_broker::oauth::DEADLINE;
    assert!(said("TimeoutStopSec=") >= takes + Duration::from_secs(10));
}

/// Stands in for debconf: the answer is in a file.
const CONFMODULE: &str =
    "db_fset() { :; }; db_input() { :; }; db_go() { :; }; db_purge() { :; }; db_stop() { :; }
db_get() { read RET </srv/answer; }";

#[test]
fn a_purge_asks_before_it_destroys_the_vault_and_a_removal_leaves_it() {
    if !is_root() {
        eprintln!("not tried: only root has a root of its own");
        return;
    }
    let rm = ["/usr/bin/rm", "/bin/rm"].map(Path::new);
    let rm = rm.into_iter().find(|it| it.exists()).unwrap();
    let machine = Machine::with(&[rm]);
    let script = fs::read_to_string("config/debian/postrm").unwrap();
    fs::write(machine.home().join("postrm"), script).unwrap();
    let root = machine.home().parent().unwrap().to_owned();
    let (vault, debconf) = (
        root.join("var/lib/runtools"),
        root.join("usr/share/debconf"),
    );
    fs::create_dir_all(&debconf).unwrap();
    fs::write(debconf.join("confmodule"), CONFMODULE).unwrap();
    let is_left_by = |why: &str, answer: &str| {
        fs::create_dir_all(vault.join("data")).unwrap();
        chown(&vault, Some(65534), Some(65534)).unwrap();
        chown(vault.parent().unwrap(), Some(65534), Some(65534)).unwrap();
        fs::write(machine.home().join("answer"), format!("{answer}\n")).unwrap();
        machine.runs(&format!("bash postrm {why}"));
        vault.join("data").exists()
    };
    assert!(is_left_by("remove", "true"));
    assert!(is_left_by("upgrade", "true"));
    assert!(is_left_by("purge", "false"));
    assert!(!is_left_by("purge", "true"));
    fs::remove_file(debconf.join("confmodule")).unwrap();
    assert!(is_left_by("purge", "true"), "where nobody can be asked");
}

#[test]
fn the_image_is_the_programs_and_a_number_for_a_user_and_asks_its_broker_how_it_is() {
    let text = fs::read_to_string("config/container/Containerfile").unwrap();
    let says = |word: &str| -> Vec<_> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(word));
        lines.map(str::trim).collect()
    };
    assert_eq!(
        says("FROM "),
        ["scratch"],
        "no shell, no library, no package"
    );
    assert!(says("RUN ").is_empty());
    let user = says("USER ")[0].split(':');
    assert!(user.map(|id| id.parse::<u32>().unwrap()).all(|id| id > 0));
    let words: Vec<_> = text
        .split('"')
        .filter(|word| word.starts_with("/bin/"))
        .collect();
    assert_eq!(words, ["/bin/runtools-broker"; 2]);
    assert!(text.contains("\"health\"]"), "{text}");

    let mut broker = Broker::start();
    let health = |broker: &Broker| broker.runs(&["health"], None).exit;
    assert_eq!(health(&broker), 0);
    broker.runs(&["seal", "--yes"], None).expect(0);
    assert_eq!(health(&broker), 0, "to start it again would seal it again");
    assert_eq!(broker.stop(), Some(0));
    assert_ne!(health(&broker), 0);
}
