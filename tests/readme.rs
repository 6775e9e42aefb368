//! The README's walk-through, done as it is written: its files, its commands, its output.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const README: &str = include_str!("../README.md");

/// Runs a command at a terminal of its own, types at hidden prompts, and shows what a person saw.
const TERMINAL: &str = r"
import os, pty, sys
os.environ['PATH'] = sys.argv[2] + ':' + os.environ['PATH']
pid, fd = pty.fork()
if pid == 0:
    os.execvp('bash', ['bash', '-c', sys.argv[1]])
seen = b''
try:
    while True:
        piece = os.read(fd, 4096)
        if not piece: break
        seen += piece
        if seen.endswith(b': '): os.write(fd, b'crm_typed_by_hand\n')
except OSError: pass
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The fenced blocks of `kind`.
fn blocks(kind: &str) -> Vec<String> {
    let fence = format!("```{kind}\n");
    let starts = README.split(&fence).skip(1);
    let block = |rest: &str| rest.split("```").next().unwrap().to_owned();
    starts.map(block).collect()
}

/// The commands of a console block, each with the output that the README shows.
fn commands(block: &str) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for line in block.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => found.push((command.to_owned(), Vec::new())),
            None => found.last_mut().unwrap().1.push(line.to_owned()),
        }
    }
    found
}

/// What is compared: times, ports and counts are another day's, and columns are as wide as they are.
fn loose(line: &str) -> String {
    let mut out = String::new();
    for letter in line.chars() {
        let letter = if letter.is_ascii_digit() { '0' } else { letter };
        let repeated = out.ends_with(letter) && (letter == '0' || letter == ' ');
        if !repeated {
            out.push(letter);
        }
    }
    out.trim().to_owned()
}

/// Whether every line that is shown was seen, in this order.
fn shows(shown: &[String], seen: &str) -> Result<(), String> {
    let mut lines = seen.lines().map(loose);
    for line in shown.iter().filter(|line| !line.trim().is_empty()) {
        if !lines.any(|seen| seen == loose(line)) {
            return Err(format!("the README shows\n  {line}\nbut there was\n{seen}"));
        }
    }
    Ok(())
}

/// Writes the block that says it is the file `name`, for another port than the README's.
fn write_file(dir: &Path, kind: &str, name: &str, port: u16) {
    let title = format!("# {name}\n");
    let block = blocks(kind)
        .into_iter()
        .find(|text| text.starts_with(&title));
    let text = block.unwrap().replace("8080", &port.to_string());
    std::fs::write(dir.join(name), text).unwrap();
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// `cargo run --release`, with the binary that is there already and a port of its own.
fn start_broker(dir: &Path, shown: &[String]) -> Running {
    let mut child = Command::new(env!("CARGO_BIN_EXE_runtools-broker"))
        .args(["--listen", "127.0.0.1:0", "--proxy-listen", "127.0.0.1:0"])
        .current_dir(dir)
        .env_remove("XDG_RUNTIME_DIR")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let broker = Running(child);
    let mut seen = String::new();
    for line in stderr.lines().map_while(Result::ok) {
        seen.push_str(&line);
        seen.push('\n');
        if shows(shown, &seen).is_ok() {
            return broker;
        }
    }
    panic!("the broker ended: {seen}");
}

fn at_terminal(dir: &Path, command: &str) -> (String, bool) {
    let bin = Path::new(env!("CARGO_BIN_EXE_runtools")).parent().unwrap();
    let output = Command::new("python3")
        .args(["-c", TERMINAL, command])
        .arg(bin)
        .current_dir(dir)
        .env("HOME", dir)
        .env("NO_COLOR", "1")
        .env_remove("XDG_RUNTIME_DIR")
        .env_remove("XDG_CONFIG_HOME")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        output.status.success(),
    )
}

#[test]
fn the_walk_through_of_the_readme_goes_as_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    write_file(folder.path(), "python", "crm.py", port);
    write_file(folder.path(), "toml", "crm.toml", port);
    let crm = Command::new("python3")
        .arg("crm.py")
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut crm = Running(crm);
    let mut broker = None;
    let mut done = 0;
    for (command, shown) in blocks("console").iter().flat_map(|block| commands(block)) {
        done += 1;
        if command == "cargo run --release" {
            broker = Some(start_broker(folder.path(), &shown));
            continue;
        }
        let command = command.replace("8080", &port.to_string());
        let (seen, success) = at_terminal(folder.path(), &command);
        assert!(success, "{command}\n{seen}");
        shows(&shown, &seen).unwrap();
        assert!(
            !seen.contains("crm_yyy") && !seen.contains("crm_typed_by_hand"),
            "{seen}"
        );
    }
    assert!(broker.is_some() && done >= 12, "{done} commands were found");
    drop(crm.0.kill());
    let sent = BufReader::new(crm.0.stdout.take().unwrap());
    let sent: Vec<_> = sent.lines().map(Result::unwrap).collect();
    // By the tool's action, and by a program.
    assert_eq!(sent, ["the CRM was sent: Bearer crm_yyy"; 2]);
}

#[test]
fn a_shown_line_that_was_not_seen_is_noticed() {
    let shown = ["a 12  b".to_owned(), String::new(), "c".to_owned()];
    assert!(shows(&shown, "x\na 3 b\r\nc\n").is_ok());
    assert!(shows(&shown, "c\na 3 b\n").is_err());
    assert!(shows(&shown, "a 3 b\n").is_err());
}

#[test]
fn the_readme_is_short_and_the_files_that_it_names_are_there() {
    assert!(README.lines().count() <= 300);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for link in README
        .split("](")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap())
    {
        assert!(
            link.starts_with("https://") || root.join(link).exists(),
            "{link}"
        );
    }
    for file in ["tests/run", ".ci/run", "config/broker.toml"] {
        assert!(root.join(file).exists(), "{file}");
    }
}
