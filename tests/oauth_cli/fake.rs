//! A broker that is played by a few lines, and the command line before it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub line: String,
    pub query: HashMap<String, String>,
    pub body: Value,
}

/// What is answered to `METHOD /path`, one after the other; the last answer stays.
type Script = HashMap<String, Vec<(u16, Value)>>;

/// The broker.
pub(crate) struct Fake {
    folder: TempDir,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    pub(crate) fn new(script: &[(&str, Vec<(u16, Value)>)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("s")).unwrap();
        let script: Script = script
            .iter()
            .map(|(line, answers)| ((*line).to_owned(), answers.clone()))
            .collect();
        let script = Arc::new(Mutex::new(script));
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
                std::thread::spawn(move || answer(&stream.unwrap(), &script, &seen));
            }
        });
        Self { folder, asked }
    }

    /// A broker that knows GitHub, with these further answers.
    pub(crate) fn github(further: &[(&str, Vec<(u16, Value)>)]) -> Self {
        let mut script = vec![
            (
                "GET /v1/oauth/providers",
                vec![list(&json!([github(true)]))],
            ),
            ("GET /v1/oauth/connections", vec![list(&json!([]))]),
        ];
        script.extend(further.iter().cloned());
        Self::new(&script)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What was asked with this method and path, waiting for the first.
    pub(crate) fn wait_for(&self, line: &str) -> Asked {
        eventually(|| self.all(line).into_iter().next())
    }

    pub(crate) fn all(&self, line: &str) -> Vec<Asked> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter(|one| one.line == line)
            .cloned()
            .collect()
    }

    /// The command line, with this broker and nothing else of the environment.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runtools"));
        command
            .args(words)
            .env_clear()
            .env("HOME", self.folder.path())
            .env("PATH", "/usr/bin:/bin")
            .env("RUNTOOLS_SOCKET", self.path("s"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn start(&self, words: &[&str], env: &[(&str, &str)]) -> Child {
        let mut command = self.command(words);
        command.envs(env.iter().copied()).spawn().unwrap()
    }

    #[track_caller]
    pub(crate) fn says(&self, exit: i32, words: &[&str]) -> (String, String) {
        ended(exit, self.start(words, &[]))
    }

    /// Runs with `input` on standard input.
    #[track_caller]
    pub(crate) fn fed(&self, exit: i32, words: &[&str], input: &str) -> (String, String) {
        let mut child = self.command(words).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        ended(exit, child)
    }
}

/// What was said, after checking the exit code.
#[track_caller]
pub(crate) fn ended(exit: i32, child: Child) -> (String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(stdout), text(stderr));
    assert_eq!(status.code(), Some(exit), "{out}\n{err}");
    (out, err)
}

pub(crate) fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "it did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn data(data: &Value) -> (u16, Value) {
    (200, json!({"data": data, "meta": {"requestId": "req_1"}}))
}

pub(crate) fn list(data: &Value) -> (u16, Value) {
    let meta = json!({"requestId": "req_1"});
    (
        200,
        json!({"data": data, "meta": meta, "hasMore": false, "nextCursor": null}),
    )
}

pub(crate) fn refusal(status: u16, code: &str, hint: &str) -> (u16, Value) {
    (
        status,
        json!({"error": {"code": code, "message": "no", "hint": hint}}),
    )
}

pub(crate) fn github(device: bool) -> Value {
    json!({
        "id": "github", "displayName": "GitHub", "configured": true, "client": "instance",
        "browser": true, "device": device, "status": "verified", "defaultScopes": [], "scopes": {},
        "params": [],
    })
}

pub(crate) const ID: &str = "3f2b8c1e-5d0a-4c8e-9b1f-2a6d7e8f9a0b";
pub(crate) const OTHER: &str = "4f2b8c1e-5d0a-4c8e-9b1f-2a6d7e8f9a0b";

pub(crate) fn connection(id: &str, account: &str, missing: &[&str]) -> Value {
    json!({
        "id": id, "provider": "github", "userId": OTHER, "accountId": format!("id-of-{account}"),
        "account": account, "status": if missing.is_empty() { "active" } else { "limited" },
        "scopes": ["repo"], "missingScopes": missing, "isDefault": true, "client": "instance",
        "expiresAt": "2026-11-23T17:30:00Z", "refreshedAt": "2026-11-23T09:30:00Z",
        "createdAt": "2026-11-23T09:30:00Z",
    })
}

pub(crate) fn flow(status: &str) -> Value {
    let mut flow = json!({
        "flow": "FLOW", "provider": "github", "status": status, "expiresAt": "2026-11-23T09:40:00Z",
    });
    if status == "connected" {
        flow["connectionId"] = ID.into();
        flow["account"] = "octocat".into();
    }
    flow
}

pub(crate) fn started(code: Option<&str>) -> Value {
    json!({
        "authUrl": "http://127.0.0.1:8420/connect/FLOW", "flow": "FLOW", "provider": "github",
        "code": code, "expiresAt": "2026-11-23T09:40:00Z",
    })
}

fn answer(stream: &UnixStream, script: &Mutex<Script>, seen: &Mutex<Vec<Asked>>) {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap_or_default());
    let url = url::Url::parse("http://x").unwrap().join(target).unwrap();
    let line = format!("{method} {}", url.path());
    let (status, document) = {
        let mut script = script.lock().unwrap();
        match script.get_mut(&line) {
            Some(answers) if answers.len() > 1 => answers.remove(0),
            Some(answers) => answers[0].clone(),
            None => refusal(404, "not_found", "nothing is there"),
        }
    };
    seen.lock().unwrap().push(Asked {
        line,
        query: url.query_pairs().into_owned().collect(),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    });
    let text = document.to_string();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n",
        text.len()
    );
    // Whoever is gone needs no answer.
    drop((&*stream).write_all(format!("{head}{text}").as_bytes()));
}
