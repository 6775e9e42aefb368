//! Somebody at a terminal: the real command line, a broker, and a provider that it knows.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::connect::{self, peer_file};
use super::oidc::Peer;
use super::{Broker, eventually};

/// A broker that knows the peer, and a home for the command line.
#[derive(Debug)]
pub struct Desk {
    pub peer: Peer,
    pub broker: Broker,
    pub home: TempDir,
}

impl Desk {
    pub fn new() -> Self {
        let peer = Peer::start();
        let home = tempfile::tempdir().unwrap();
        let broker = connect::broker(&[peer_file(&peer, &[])], "");
        let desk = Self { peer, broker, home };
        let secret = desk.peer.basic().secret;
        let set = [
            "oauth",
            "configs",
            "set",
            "peer",
            "--client-id",
            "peer-basic",
        ];
        let (_, told) = desk.says(0, &set, &secret);
        let redirect = told.split_whitespace().last().unwrap();
        desk.peer.call_back(&[redirect]);
        desk
    }

    /// The command line, with this broker and nothing else of the environment.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runtools"));
        command
            .args(words)
            .current_dir(self.home.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.home.path())
            .env("RUNTOOLS_SOCKET", self.broker.socket())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs, expects `exit`, and gives both outputs.
    #[track_caller]
    pub fn says(&self, exit: i32, words: &[&str], input: &str) -> (String, String) {
        let mut child = self.command(words).spawn().unwrap();
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        ended(exit, child)
    }

    /// Connects with a browser that writes down what it is to open: that, and the command, which waits.
    pub fn connecting(&self, more: &[&str]) -> (String, Child) {
        let program = self.home.path().join("browser");
        let opened = self.home.path().join("opened");
        drop(std::fs::remove_file(&opened));
        let script = format!(
            "#!/bin/sh\necho \"$1\" > {0}.part && mv {0}.part {0}\n",
            opened.display()
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let words = [&["oauth", "connect", "peer"], more].concat();
        let child = self
            .command(&words)
            .env("BROWSER", &program)
            .spawn()
            .unwrap();
        let page = eventually(|| std::fs::read_to_string(&opened).ok());
        (page.trim().to_owned(), child)
    }
}

/// What was said, after checking the exit code.
#[track_caller]
pub fn ended(exit: i32, child: Child) -> (String, String) {
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(exit), "{out}\n{err}");
    (out, err)
}
