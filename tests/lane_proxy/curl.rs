//! Tool code, as far as a program that knows proxies is one: curl.

use std::io::Write;
use std::process::{Command, Stdio};

use tempfile::NamedTempFile;

use crate::lanes::Handle;

/// What a proxy handle gives to tool code.
pub(crate) struct Way {
    pub(crate) proxy: String,
    pub(crate) authority: NamedTempFile,
}

/// What curl was told.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Of the request itself; 0 when there was no answer.
    pub(crate) status: u16,
    /// Of the CONNECT; 0 when there was none.
    pub(crate) connect: u16,
    /// The protocol of the answer: `1.1`, `2`.
    pub(crate) version: String,
    /// How many connections curl made.
    pub(crate) connections: usize,
    pub(crate) text: String,
    pub(crate) told: String,
}

impl Way {
    pub(crate) fn of(handle: &Handle) -> Self {
        let place = &handle.whole["proxy"];
        let address = place["url"]
            .as_str()
            .unwrap()
            .strip_prefix("http://")
            .unwrap();
        let user = place["username"].as_str().unwrap();
        let mut authority = NamedTempFile::new().unwrap();
        let pem = place["certificateAuthority"].as_str().unwrap();
        authority.write_all(pem.as_bytes()).unwrap();
        Self {
            proxy: format!("http://{user}:{}@{address}", handle.text),
            authority,
        }
    }

    /// The address alone, for a connection by hand.
    pub(crate) fn address(handle: &Handle) -> String {
        let url = handle.whole["proxy"]["url"].as_str().unwrap();
        url.strip_prefix("http://").unwrap().to_owned()
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("curl");
        command
            .args(["-sS", "--max-time", "40", "--noproxy", ""])
            .args(["--proxy", &self.proxy])
            .arg("--cacert")
            .arg(self.authority.path())
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs curl to its end.
    #[track_caller]
    pub(crate) fn curl(&self, words: &[&str]) -> Ran {
        const MARK: &str = "\n@@";
        let shown =
            format!("{MARK}%{{http_code}} %{{http_connect}} %{{http_version}} %{{num_connects}}");
        let mut words = words.to_vec();
        words.extend(["-w", &shown]);
        let output = self.command(&words).output().unwrap();
        let all = String::from_utf8_lossy(&output.stdout).into_owned();
        let (text, facts) = all.rsplit_once(MARK).unwrap();
        let mut facts = facts.split_whitespace();
        let mut number = || facts.next().unwrap_or("0").to_owned();
        let (status, connect, version) = (number(), number(), number());
        Ran {
            status: status.parse().unwrap(),
            connect: connect.parse().unwrap(),
            version,
            // Of the last transfer; all of them are in the text.
            connections: number().parse().unwrap(),
            text: text.to_owned(),
            told: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
