//! The README's own commands, on a machine that has lost everything but what the README says to keep.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use crate::harness::{Broker, Setup, eventually};
use crate::{set, value};

const README: &str = include_str!("../../README.md");

/// The commands of the block that restores.
fn commands() -> Vec<String> {
    let blocks = README.split("```").skip(1).step_by(2);
    let mut blocks = blocks.filter(|block| block.contains("runtools-broker restore "));
    let block = blocks.next().expect("the README restores a backup");
    let lines = block.lines().filter_map(|line| line.strip_prefix("$ "));
    lines.map(str::to_owned).collect()
}

/// The command that starts what was restored: it stands in the words after the block.
fn start() -> &'static str {
    let named = README
        .split('`')
        .find(|text| text.starts_with("runtools-broker --data-dir restored"));
    named.expect("the README starts what it restored")
}

fn bash(folder: &Path, command: &str) -> Output {
    let bin = Path::new(Broker::binary()).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env!("PATH"));
    Command::new("bash")
        .args(["-c", command])
        .current_dir(folder)
        .env_clear()
        .env("PATH", path)
        .env("HOME", folder)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[track_caller]
fn runs(folder: &Path, command: &str) -> String {
    let output = bash(folder, command);
    let shown = [output.stdout, output.stderr].concat();
    let shown = String::from_utf8_lossy(&shown).into_owned();
    assert!(
        output.status.success(),
        "{command}: {}\n{shown}",
        output.status
    );
    shown
}

#[test]
fn the_readmes_own_commands_restore_on_an_empty_machine() {
    let all = commands();
    let restoring = all
        .iter()
        .position(|command| command.starts_with("runtools-broker restore "));
    let (before, restoring) = all.split_at(restoring.unwrap());
    // As the README has it: a broker in the folder where it was started.
    let mut broker = Broker::with(Setup::default());
    let home = broker.folder();
    set(&broker.operator(), "KEPT", "the value that is kept");
    let socket = format!("export RUNTOOLS_SOCKET={}; ", broker.socket().display());
    for command in before {
        runs(home.path(), &format!("{socket}{command}"));
    }
    // All that is left is what was kept elsewhere.
    let empty = tempfile::tempdir().unwrap();
    for kept in ["monday.age", "backup.key"] {
        std::fs::copy(home.path().join(kept), empty.path().join(kept)).unwrap();
    }
    std::fs::create_dir(empty.path().join("keys")).unwrap();
    let key_file = empty.path().join("keys/root.key");
    std::fs::copy(broker.keys().join("root.key"), &key_file).unwrap();
    assert_eq!(broker.stop(), Some(0));
    std::fs::remove_dir_all(home.path()).unwrap();

    let begun = Instant::now();
    for command in restoring {
        runs(empty.path(), command);
    }
    let start = format!(
        "exec {} --listen 127.0.0.1:0 --proxy-listen 127.0.0.1:0",
        start()
    );
    let bin = Path::new(Broker::binary()).parent().unwrap();
    let mut child = Command::new("bash")
        .args(["-c", &start])
        .current_dir(empty.path())
        .env_clear()
        .env("PATH", format!("{}:{}", bin.display(), std::env!("PATH")))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let socket = empty.path().join("restored/data/broker.sock");
    let operator = crate::harness::Client::unix(&socket);
    eventually(|| operator.try_send("GET", "/readyz", None).ok());
    let kept = value(&operator, "KEPT");
    println!(
        "restored and served after {} ms",
        begun.elapsed().as_millis()
    );
    drop(child.kill());
    drop(child.wait());
    assert_eq!(kept.as_deref(), Some("the value that is kept"));
}
