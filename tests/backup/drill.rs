//! The README's own commands, on a machine that has lost everything but what the README says to keep.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use crate::harness::machine::{Machine, Running};
use crate::harness::{Broker, Client, Setup, eventually};
use crate::{set, value};

const README: &str = include_str!("../../README.md");

/// The commands of the block that restores: those before the loss, and those after it.
fn commands() -> (Vec<String>, Vec<String>) {
    let blocks = README.split("```").skip(1).step_by(2);
    let mut blocks = blocks.filter(|block| block.contains("runtools-broker restore "));
    let block = blocks.next().expect("the README restores a backup");
    let lines = block.lines().filter_map(|line| line.strip_prefix("$ "));
    lines
        .map(str::to_owned)
        .partition(|line| !line.starts_with("runtools-broker restore "))
}

/// The command that starts what was restored: it stands in the words after the block.
fn start() -> &'static str {
    let named = README
        .split('`')
        .find(|text| text.starts_with("runtools-broker --data-dir restored"));
    named.expect("the README starts what it restored")
}

/// A broker with something in it, of which there is a backup by the README's commands.
struct Lost {
    broker: Broker,
}

impl Lost {
    fn new() -> Self {
        let broker = Broker::with(Setup::default());
        set(&broker.operator(), "KEPT", "the value that is kept");
        Self { broker }
    }

    /// By the README's commands, whose standard input has what opens the ring where no key file does.
    fn back_up(&self, opener: &str) {
        let home = self.broker.folder();
        let bin = Path::new(Broker::binary()).parent().unwrap();
        for command in commands().0 {
            let mut child = Command::new("bash")
                .args(["-c", &command])
                .current_dir(home.path())
                .env_clear()
                .env("PATH", format!("{}:{}", bin.display(), env!("PATH")))
                .env("RUNTOOLS_SOCKET", self.broker.socket())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            // Who does not read it has closed it.
            drop(child.stdin.take().unwrap().write_all(opener.as_bytes()));
            let Output {
                status,
                stdout,
                stderr,
            } = child.wait_with_output().unwrap();
            let shown = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
            assert!(status.success(), "{command}: {status}\n{shown}");
        }
    }

    /// The loss of it all. What was kept elsewhere is brought to an empty machine.
    fn burn(mut self, kept: &[(&str, &str)]) -> Machine {
        let machine = Machine::with(&[Path::new(Broker::binary())]);
        for (file, place) in kept {
            machine.keep(&self.broker.path(file), place);
        }
        assert_eq!(self.broker.stop(), Some(0));
        std::fs::remove_dir_all(self.broker.folder().path()).unwrap();
        machine
    }
}

/// How long each step took.
struct Record(Instant);

impl Record {
    fn step(&mut self, what: &str) {
        println!("{:>6} ms  {what}", self.0.elapsed().as_millis());
        self.0 = Instant::now();
    }
}

/// Starts what was restored, by the README's words, and waits until it answers as it should.
fn started(machine: &Machine, status: u16) -> (Running, Client) {
    let line = format!(
        "exec {} --listen 127.0.0.1:0 --proxy-listen 127.0.0.1:0",
        start()
    );
    let running = machine.keeps_running(&line);
    let socket: PathBuf = machine.home().join("restored/data/broker.sock");
    let operator = Client::unix(&socket);
    eventually(|| {
        let reply = operator.try_send("GET", "/readyz", None).ok()?;
        (reply.status == status).then_some(())
    });
    (running, operator)
}

#[test]
fn the_readmes_own_commands_restore_on_an_empty_machine() {
    let lost = Lost::new();
    lost.back_up("");
    let kept = [
        ("monday.age", "monday.age"),
        ("backup.key", "backup.key"),
        ("keys/root.key", "keys/root.key"),
    ];
    let machine = lost.burn(&kept);
    let mut record = Record(Instant::now());
    for command in commands().1 {
        machine.runs(&command);
        record.step(&command);
    }
    let (_running, operator) = started(&machine, 200);
    record.step(start());
    let found = value(&operator, "KEPT");
    assert_eq!(found.as_deref(), Some("the value that is kept"));
}

#[test]
fn where_three_of_five_people_hold_the_key_they_restore_on_an_empty_machine() {
    let lost = Lost::new();
    let broker = &lost.broker;
    let words = "--json key slot add --shares 5 --threshold 3";
    let words: Vec<_> = words.split(' ').collect();
    let added = broker.runs(&words, None).expect(0)["data"].clone();
    let slots = broker.runs(&["--json", "key", "slot", "list"], None);
    let slots = slots.expect(0)["data"].clone();
    let file = slots.as_array().unwrap().iter();
    let file = file.filter(|slot| slot["kind"] == "key-file");
    for slot in file {
        let id = slot["id"].as_str().unwrap();
        let removed = broker.runs(&["key", "slot", "remove", id, "--yes"], None);
        assert_eq!(removed.exit, 0, "{}", removed.stderr);
    }
    let shares = added["dealt"].as_array().unwrap().iter();
    let shares: Vec<_> = shares.map(|share| share.as_str().unwrap()).collect();
    lost.back_up(&shares[..3].join("\n"));
    let machine = lost.burn(&[("monday.age", "monday.age"), ("backup.key", "backup.key")]);
    let piped = |shares: &[&str], command: &str| {
        let lines = shares.iter().map(|share| format!("'{share}'"));
        format!(
            "printf '%s\\n' {} | {command}",
            lines.collect::<Vec<_>>().join(" ")
        )
    };

    let mut record = Record(Instant::now());
    // As in the README, but for the key file, which there is none of.
    let restore = commands().1.concat();
    let restore = restore.split(" --key-file").next().unwrap();
    let two = machine
        .bash(&piped(&shares[..2], restore))
        .output()
        .unwrap();
    assert!(!two.status.success(), "two of them are not enough");
    assert!(!machine.home().join("restored").exists());
    record.step("two of three shares, refused");
    machine.runs(&piped(&shares[1..4], restore));
    record.step(restore);
    let (_running, operator) = started(&machine, 503);
    record.step(start());
    for share in &shares[2..5] {
        let unseal = "runtools-broker --socket restored/data/broker.sock unseal";
        machine.runs(&piped(&[share], unseal));
    }
    record.step("runtools-broker unseal, by three people");
    let found = value(&operator, "KEPT");
    assert_eq!(found.as_deref(), Some("the value that is kept"));
}
