//! `demo`: the whole story in a few seconds. A broker of its own in a folder of its own keeps a secret
//! with a random value, a tool uses it, the caller never sees it, another host never gets it, and
//! nothing of it is left afterwards.

mod columns;
mod stage;
mod upstream;

use std::process::ExitCode;
use std::time::Duration;

use http::Method;
use runtools_broker::client::{ClientError, Output, Session};
use runtools_broker::crypto::{Random, SystemRandom};
use runtools_broker::hardening::Report;
use serde_json::{Map, Value, json};
use tokio::signal::unix::{SignalKind, signal};

use self::columns::{Side, beside};
use self::stage::{Folder, Stage, text};
use self::upstream::Upstream;
use crate::layout::{Paint, Screen, wrapped};

const SECRET: &str = "DEMO_KEY";

/// How a part of the play ended.
type Played = Result<(), String>;

/// What is told: to a person step by step, with `--json` as one document at the end.
struct Telling<'a> {
    out: &'a Output,
    screen: Screen,
    story: Map<String, Value>,
}

/// Plays it.
pub(crate) fn run(session: &Session, report: &Report) -> ExitCode {
    let mut telling = Telling {
        out: &session.out,
        screen: Screen::of(&session.out),
        story: Map::new(),
    };
    match play_and_clear(&mut telling, report) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            session.out.error(&error);
            error.exit().into()
        }
    }
}

fn play_and_clear(telling: &mut Telling<'_>, report: &Report) -> Result<(), ClientError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| ClientError::file("the event loop", &error))?;
    let folder = Folder::make(&random_hex().map_err(failed)?).map_err(|error| {
        let message = format!("no folder can be made for the demo: {}", error.kind());
        ClientError::failed(message, "set TMPDIR to a folder that is yours")
    })?;
    let played = runtime.block_on(async {
        tokio::select! {
            played = play(&folder, report, telling) => played.map_err(failed),
            () = told_to_end() => Err(ClientError::Interrupted),
        }
    });
    // What still holds a file of the folder ends first.
    runtime.shutdown_timeout(Duration::from_secs(5));
    folder.remove().map_err(|error| {
        let path = folder.path().display();
        let message = format!("{path} could not be removed: {}", error.kind());
        ClientError::failed(message, "remove it by hand; its secret is worth nothing")
    })?;
    played?;
    telling.step(5, "The vault is sealed, and the demo's folder is gone.")?;
    telling.end()
}

fn failed(message: String) -> ClientError {
    ClientError::failed(message, "try: runtools-broker doctor")
}

async fn told_to_end() {
    let signals = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    );
    if let (Ok(mut interrupt), Ok(mut terminate)) = signals {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    } else {
        std::future::pending::<()>().await;
    }
}

async fn play(folder: &Folder, report: &Report, telling: &mut Telling<'_>) -> Played {
    let listening = |error: std::io::Error| format!("no upstream can be played: {error}");
    let here = Upstream::listen([127, 0, 0, 1]).await.map_err(listening)?;
    let elsewhere = Upstream::listen([127, 0, 0, 2]).await.map_err(listening)?;
    let stage = Stage::open(folder.path(), report).await?;

    told(telling.title("RunTools Broker: a secret is used, and not handed out"))?;
    store_the_secret(&stage, telling).await?;
    use_it(&stage, &here, telling).await?;
    read_the_journal(&stage, telling).await?;
    try_elsewhere(&stage, &elsewhere, telling).await?;

    stage.done(Method::POST, "/v1/operator/seal", None).await?;
    stage.close().await;
    Ok(())
}

/// 1. A random value, for one host.
async fn store_the_secret(stage: &Stage, telling: &mut Telling<'_>) -> Played {
    let secret = json!({
        "name": SECRET, "value": format!("demo_{}", random_hex()?), "category": "tool",
        "hosts": ["127.0.0.1"],
    });
    stage
        .done(Method::POST, "/v1/secrets", Some(secret))
        .await?;
    let words = format!("A secret is stored: {SECRET}, a random value that may go to 127.0.0.1.");
    told(telling.step(1, &words))
}

/// 2. Both ends of one call.
async fn use_it(stage: &Stage, upstream: &Upstream, telling: &mut Telling<'_>) -> Played {
    let slug = "custom-demo";
    install(stage, slug, upstream).await?;
    let addr = upstream.addr();
    let words = format!("A tool uses it: {slug} calls http://{addr}/whoami.");
    told(telling.step(2, &words))?;
    let path = format!("/v1/tools/{slug}/execute");
    let answer = stage.done(Method::POST, &path, Some(call())).await?;
    let (seen, masked) = (upstream.seen(), text(&answer, "/result/authorization"));
    let caller = Side {
        title: "What the caller saw",
        lines: &[
            "the answer".to_owned(),
            "authorization:".to_owned(),
            masked.clone(),
        ],
        paint: Paint::Good,
    };
    let upstream = Side {
        title: "What the upstream saw",
        lines: &[
            seen.line,
            "authorization:".to_owned(),
            seen.authorization.clone(),
        ],
        paint: Paint::Careful,
    };
    let words =
        "The upstream sent the value back. The broker found it in the answer and masked it.";
    told(telling.sides(&caller, &upstream, words))?;
    telling.keep("callerSaw", json!({ "authorization": masked }));
    telling.keep(
        "upstreamSaw",
        json!({ "authorization": seen.authorization }),
    );
    Ok(())
}

/// 3. What stays: who, when, what, where, from which source.
async fn read_the_journal(stage: &Stage, telling: &mut Telling<'_>) -> Played {
    let me = stage.done(Method::GET, "/v1/me", None).await?;
    let path = format!("/v1/audit?secret={SECRET}&action=tool.execute");
    // How a call ended is recorded after it was answered.
    let mut entry = Value::Null;
    for _ in 0..50 {
        let found = stage.done(Method::GET, &path, None).await?;
        entry = found.get(0).cloned().unwrap_or_default();
        if entry.pointer("/outcome/status").is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let time = text(&entry, "/time");
    let line = [
        time.get(..19).unwrap_or_default().replace('T', " "),
        text(&me, "/firstName"),
        text(&entry, "/action"),
        text(&entry, "/tool"),
        text(&entry, "/host"),
        format!("{SECRET} ({})", text(&entry, "/sources/apiKey")),
        text(&entry, "/outcome/status"),
    ];
    told(telling.step(3, "The journal knew before the value was used:"))?;
    told(telling.aside(&line.join(" · ")))?;
    telling.keep("journal", entry);
    Ok(())
}

/// 4. A tool for another host asks for the same secret.
async fn try_elsewhere(stage: &Stage, other: &Upstream, telling: &mut Telling<'_>) -> Played {
    let slug = "custom-elsewhere";
    install(stage, slug, other).await?;
    let path = format!("/v1/tools/{slug}/execute");
    let (status, answer) = stage.ask(Method::POST, &path, Some(call())).await?;
    let (code, seen) = (text(&answer, "/error/code"), other.seen());
    if status < 400 || seen.connections > 0 {
        return Err("a host that the secret is not for was reached".to_owned());
    }
    let words = format!(
        "Another tool would send it to {}: refused ({status} {code}). What arrived there: {} connections, {} bytes.",
        other.addr().ip(),
        seen.connections,
        seen.bytes,
    );
    telling.keep(
        "refused",
        json!({ "status": status, "code": code, "connections": seen.connections, "bytes": seen.bytes }),
    );
    told(telling.step(4, &words))
}

async fn install(stage: &Stage, slug: &str, upstream: &Upstream) -> Result<(), String> {
    let (host, port) = (upstream.addr().ip(), upstream.addr().port());
    let tool = json!({
        "slug": slug, "name": "Demo",
        "credentialsJson": {"required": ["apiKey"], "schema": {"apiKey": {"type": "string", "description": "key"}}},
        "bindings": [{
            "scheme": "http", "hosts": [host.to_string()], "port": port, "private": [format!("{host}/32")],
            "methods": ["GET"], "paths": ["/whoami"],
            "slots": {"apiKey": [{"header": "authorization", "format": "Bearer {apiKey}"}]}
        }],
        "actionsJson": {"whoami": {
            "description": "who is asking", "parameters": {"type": "object", "properties": {}},
            "http": {"method": "GET", "url": format!("http://{host}:{port}/whoami")}
        }}
    });
    stage
        .done(Method::POST, "/v1/tools/custom", Some(tool))
        .await?;
    let path = format!("/v1/tools/{slug}/install");
    stage.done(Method::POST, &path, None).await.map(drop)
}

fn call() -> Value {
    json!({ "action": "whoami", "params": {}, "credentialOverrides": {"apiKey": SECRET} })
}

/// Twelve random bytes: a value of a usual length that nobody can guess.
fn random_hex() -> Result<String, String> {
    let random: &dyn Random = &SystemRandom;
    let bytes: [u8; 12] = random.bytes().map_err(|error| error.to_string())?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}

fn told(outcome: Result<(), ClientError>) -> Played {
    outcome.map_err(|error| error.to_string())
}

impl Telling<'_> {
    fn say(&self, text: &str) -> Result<(), ClientError> {
        if self.out.is_json() {
            return Ok(());
        }
        self.out.text(text)
    }

    fn title(&self, words: &str) -> Result<(), ClientError> {
        self.say(&format!("{}\n\n", self.screen.paint(Paint::Bold, words)))
    }

    fn step(&self, number: u8, words: &str) -> Result<(), ClientError> {
        let mut text = String::new();
        for (line, words) in self.wrapped(words).iter().enumerate() {
            let mark = if line == 0 {
                self.screen.paint(Paint::Bold, &number.to_string())
            } else {
                " ".to_owned()
            };
            text.extend([format!("{mark}  {words}\n")]);
        }
        self.say(&text)
    }

    fn aside(&self, words: &str) -> Result<(), ClientError> {
        let lines = self.wrapped(words);
        let painted = lines.iter().map(|line| self.screen.paint(Paint::Dim, line));
        let mut text = String::new();
        text.extend(painted.map(|line| format!("   {line}\n")));
        self.say(&format!("{text}\n"))
    }

    fn sides(&self, left: &Side<'_>, right: &Side<'_>, words: &str) -> Result<(), ClientError> {
        self.say(&format!("\n{}\n", beside(left, right, self.screen)))?;
        self.aside(words)
    }

    fn wrapped(&self, words: &str) -> Vec<String> {
        wrapped(words, self.screen.width().saturating_sub(3))
    }

    fn keep(&mut self, name: &str, value: Value) {
        self.story.insert(name.to_owned(), value);
    }

    fn end(&self) -> Result<(), ClientError> {
        self.out.show(&self.story, || {
            let next = self.screen.paint(Paint::Bold, "runtools-broker serve");
            format!("\nNow for real: {next}\n")
        })
    }
}
