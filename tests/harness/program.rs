//! The operator's program, run as an operator runs it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::Broker;

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Ran {
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `runtools-broker` in `folder` with a clean environment and `input` on its standard input.
pub fn run(folder: &Path, arguments: &[&str], input: Option<&str>) -> Ran {
    let mut child = Command::new(Broker::binary())
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("TMPDIR", folder)
        .stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    if let Some(input) = input {
        // Whoever refuses before reading has closed the pipe.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    }
    let output = child.wait_with_output().unwrap();
    Ran {
        exit: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Broker {
    /// Runs one of the operator's verbs against this broker, its settings named.
    pub fn runs(&self, arguments: &[&str], input: Option<&str>) -> Ran {
        let config = self.path("broker.toml").display().to_string();
        let socket = self.socket().display().to_string();
        let mut all = vec!["--config", &config, "--socket", &socket];
        all.extend(arguments);
        run(self.folder().path(), &all, input)
    }
}

impl Ran {
    /// The document on standard output, after checking the exit code.
    #[track_caller]
    pub fn expect(&self, exit: i32) -> Value {
        assert_eq!(self.exit, exit, "{}{}", self.stdout, self.stderr);
        serde_json::from_str(&self.stdout).unwrap_or(Value::Null)
    }
}
