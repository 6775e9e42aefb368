//! A WebSocket of the usual kind: the npm package `ws`, as a server and as a client.
//!
//! Their programs are in `tests/peers/websocket`; `tests/run` installs what they need.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

/// A running server.
pub struct Server {
    child: Child,
    _stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    pub port: u16,
}

fn node(program: &str) -> Command {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/peers/websocket");
    assert!(
        folder.join("node_modules/ws").is_dir(),
        "the peer is not installed: `npm ci` in {}, or tests/run",
        folder.display()
    );
    let mut command = Command::new("node");
    command.arg(program).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

impl Server {
    pub fn start() -> Self {
        let mut child = node("server.mjs").spawn().expect("node is missing");
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut lines = stdout.lines().map_while(Result::ok);
            lines.try_for_each(|line| sender.send(line))
        });
        let mut server = Self {
            _stdin: child.stdin.take(),
            child,
            lines,
            port: 0,
        };
        let first = server.says();
        server.port = u16::try_from(first["port"].as_u64().unwrap()).unwrap();
        server
    }

    /// The next line that it says.
    #[track_caller]
    pub fn says(&self) -> Value {
        let line = self.lines.recv_timeout(Duration::from_mins(1));
        serde_json::from_str(&line.expect("the server says nothing")).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs the client; all that it saw, and the very line in which it says so.
#[track_caller]
pub fn client(wish: &Value) -> (Value, Vec<u8>) {
    let output = node("client.mjs")
        .arg(wish.to_string())
        .output()
        .expect("node is missing");
    assert!(output.status.success(), "{output:?}");
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(seen["late"].is_null(), "{seen}");
    (seen, output.stdout)
}
