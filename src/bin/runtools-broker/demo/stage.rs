//! What the demo plays on: a folder that goes with it, and a broker in this process.

use std::fs::{self, DirBuilder};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Method;
use http::header::{CONTENT_TYPE, HeaderValue};
use runtools_broker::config::{Config, ProxySettings};
use runtools_broker::daemon::{DaemonError, Prepared};
use runtools_broker::egress::{Endpoint, Payload};
use runtools_broker::hardening::Report;
use runtools_broker::http::serve::{Drained, Shutdown};
use serde_json::Value;

/// A folder that nobody else may enter, and that is removed with everything in it.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes it in the system's folder for such things. `name` is random.
    pub(super) fn make(name: &str) -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("runtools-demo-{name}"));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes it; more than once where a thread of the store still writes a last file.
    pub(super) fn remove(&self) -> io::Result<()> {
        for _ in 0..20 {
            match fs::remove_dir_all(&self.0) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(_) => std::thread::sleep(Duration::from_millis(25)),
            }
        }
        fs::remove_dir_all(&self.0).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Whoever wanted to know whether it worked has called `remove`.
        drop(self.remove());
    }
}

/// A broker that serves, and the way to it.
pub(super) struct Stage {
    endpoint: Endpoint,
    shutdown: Shutdown,
    serving: tokio::task::JoinHandle<Drained>,
}

impl Stage {
    /// Starts a broker in `folder`, at a free port.
    pub(super) async fn open(folder: &Path, report: &Report) -> Result<Self, String> {
        let socket = folder.join("broker.sock");
        let proxy = ProxySettings {
            enabled: false,
            ..ProxySettings::default()
        };
        let config = Config {
            proxy,
            data_dir: folder.join("data"),
            keys_dir: folder.join("keys"),
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            socket: Some(socket.clone()),
            ..Config::default()
        };
        let told = |error: DaemonError| format!("{error}. {}", error.hint());
        let prepared = Prepared::new(config).map_err(told)?;
        let daemon = prepared.start(report).await.map_err(told)?;
        Ok(Self {
            endpoint: Endpoint::unix(socket),
            shutdown: daemon.shutdown(),
            serving: tokio::spawn(daemon.serve()),
        })
    }

    /// Asks the broker, as its operator: the status and the answer.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(u16, Value), String> {
        let json = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = body.map(|body| Payload::Plain(body.to_string().into_bytes().into()));
        let reply = self.endpoint.send(method, path, vec![json], body).await;
        let reply = reply.map_err(|error| error.to_string())?;
        let body = serde_json::from_slice(&reply.body).unwrap_or_default();
        Ok((reply.status, body))
    }

    /// As [`ask`](Self::ask), for what cannot be refused: the `data` of the answer.
    pub(super) async fn done(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, String> {
        match self.ask(method, path, body).await? {
            (200..300, mut answer) => {
                Ok(answer.get_mut("data").map(Value::take).unwrap_or_default())
            }
            (status, answer) => {
                let message = text(&answer, "/error/message");
                Err(format!("{path} answered {status}: {message}"))
            }
        }
    }

    /// Ends the broker in order.
    pub(super) async fn close(self) {
        self.shutdown.signal();
        // It sealed itself before: a panic in it would have nothing left to leak.
        drop(self.serving.await);
    }
}

/// A text in an answer, empty when it is not there.
pub(super) fn text(answer: &Value, pointer: &str) -> String {
    let found = answer.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default().to_owned()
}
