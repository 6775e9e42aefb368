//! What is installed: the unit's exposure, and that everything the package names is there.
//!
//! systemd-analyze (the package systemd) must be installed; without it these tests fail.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

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
        ("usr/lib/sysusers.d/runtools-broker.conf", "the user"),
        ("etc/runtools/broker.toml", "the settings"),
        ("usr/share/man/man1/", "the manual pages"),
        ("usr/share/bash-completion/completions/", "the completions"),
    ] {
        assert!(targets.iter().any(|(_, it)| *it == to), "{what}: {to}");
    }
}
