//! The processes that are measured: a bare server on the same accept loop, and the real broker.

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, header};
use runtools_broker::http::serve::{
    ClientCertificates, Listener, ServeLimits, Shutdown, Streaming, TlsCertificate, TlsFiles,
    Unobserved, serve,
};
use tempfile::TempDir;

use crate::load;

/// A server in a process of its own, killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) addr: SocketAddr,
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self) {
        drop(self.child.wait());
    }

    /// A bare axum server on our accept loop that answers JSON of `size` bytes.
    pub(crate) fn hello(size: usize) -> Self {
        Self::own(&["--serve-hello", &size.to_string()])
    }

    /// A bare axum server on our accept loop that calls `upstream` for each answer.
    pub(crate) fn relay(upstream: SocketAddr) -> Self {
        Self::own(&["--serve-relay", &upstream.to_string()])
    }

    /// This program as a server.
    pub(crate) fn own(words: &[&str]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(words)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        reader.read_line(&mut line).unwrap();
        let addr = line.trim().parse().unwrap();
        Self { child, addr }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What the process of [`Server::hello`] does.
pub(crate) fn serve_hello(size: usize) {
    serve_bare(hello(size));
}

fn hello(size: usize) -> Router {
    let text: &'static str = format!("{{\"data\":\"{}\"}}", "x".repeat(size.max(11) - 11)).leak();
    let json = [(header::CONTENT_TYPE, "application/json")];
    let hello = async move || (json, text).into_response();
    Router::new().route("/hello", axum::routing::get(hello))
}

/// What the process of [`Secure`](crate::tunnels::Secure) does.
pub(crate) fn serve_secure(folder: &Path, size: usize) {
    let files = TlsFiles {
        cert: folder.join("cert.pem"),
        key: folder.join("key.pem"),
    };
    let router = hello(size).route("/events", axum::routing::get(events));
    serve_over(router, Some(TlsCertificate::load(files).unwrap()));
}

/// Bytes of one event.
pub(crate) const EVENT_BYTES: usize = 256;

/// Five events a second, until the client goes.
async fn events() -> Response {
    let event = format!("data: {}\n\n", "e".repeat(EVENT_BYTES - 8));
    let every = tokio::time::interval(Duration::from_millis(200));
    let flow = futures_util::stream::unfold((every, event), |(mut every, event)| async move {
        every.tick().await;
        let next = Bytes::from(event.clone());
        Some((Ok::<_, Infallible>(next), (every, event)))
    });
    let mut response = Body::from_stream(flow).into_response();
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.extensions_mut().insert(Streaming);
    response
}

/// Serves `router` and nothing else, and says where.
pub(crate) fn serve_bare(router: Router) {
    serve_over(router, None);
}

fn serve_over(router: Router, certificate: Option<Arc<TlsCertificate>>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let anywhere = "127.0.0.1:0".parse().unwrap();
        let listener = match certificate {
            None => Listener::tcp(anywhere).await,
            Some(it) => Listener::tls(anywhere, it, ClientCertificates::Unasked).await,
        };
        let listener = listener.unwrap();
        println!("{}", listener.addr().unwrap());
        std::io::stdout().flush().unwrap();
        let limits = ServeLimits {
            connections: 4096,
            connections_per_source: 4096,
            in_flight: 4096,
            ..ServeLimits::default()
        };
        serve(
            vec![listener],
            router,
            limits,
            Shutdown::new(),
            Arc::new(Unobserved),
        )
        .await;
    });
}

/// A broker: the built binary on a temporary folder, with no rate and no count that a bench could reach.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) server: Server,
    pub(crate) key: String,
    folder: Arc<TempDir>,
}

fn settings(folder: &Path, more: &str) -> PathBuf {
    let path = folder.join("broker.toml");
    let [data, keys, socket] = ["data", "keys", "broker.sock"].map(|name| folder.join(name));
    let text = format!(
        "listen = [\"127.0.0.1:0\"]\nproxy.listen = \"127.0.0.1:0\"\ndata_dir = {data:?}\nkeys_dir = {keys:?}\nsocket = {socket:?}\n\
         [limits]\nconnections = 4096\nconnections_per_source = 4096\nin_flight = 4096\nrunning_per_user = 4096\n\
         proxy_connections = 4096\nproxy_connections_per_org = 4096\nproxy_connections_per_user = 4096\n\
         proxy_connections_per_handle = 4096\nhandles = 1000000\nhandles_per_org = 1000000\nhandles_per_user = 1000000\n\
         [secrets]\nper_member = 1000000\n\
         [rate]\nper_principal_per_second = 1000000\nper_principal_burst = 1000000\n\
         per_source_per_second = 1000000\nper_source_burst = 1000000\n{more}",
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// Starts the binary, and waits until it says where it listens.
pub(crate) fn launch(folder: &Path) -> Server {
    launch_with(folder, "")
}

/// The same with `more` lines of settings.
fn launch_with(folder: &Path, more: &str) -> Server {
    let mut child = Command::new(env!("CARGO_BIN_EXE_runtools-broker"))
        .args(["--config", &settings(folder, more).display().to_string()])
        .current_dir(folder)
        .env_remove("XDG_RUNTIME_DIR")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(child.stderr.take().unwrap());
    let (mut line, mut said) = (String::new(), String::new());
    let addr = loop {
        said.push_str(&line);
        line.clear();
        let more = reader.read_line(&mut line).unwrap() > 0;
        assert!(more, "the broker ended: {said}");
        if let Some(rest) = line.strip_prefix("runtools-broker listens on ") {
            break rest.split(" and ").next().unwrap().trim().parse().unwrap();
        }
    };
    std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    Server { child, addr }
}

impl Broker {
    pub(crate) fn start() -> Self {
        Self::with(|_| String::new())
    }

    /// The same with more lines of settings, which `prepare` writes for the broker's folder.
    pub(crate) fn with(prepare: impl FnOnce(&Path) -> String) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let more = prepare(folder.path());
        let server = launch_with(folder.path(), &more);
        let mut broker = Self {
            server,
            key: String::new(),
            folder,
        };
        let made = broker.operator("POST", "/v1/api-keys", r#"{"name":"bench","scopes":[]}"#);
        made["data"]["key"]
            .as_str()
            .unwrap()
            .clone_into(&mut broker.key);
        broker
    }

    pub(crate) fn folder(&self) -> Arc<TempDir> {
        Arc::clone(&self.folder)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.server.addr
    }

    /// A request as the operator, over the Unix socket.
    pub(crate) fn operator(&self, method: &str, path: &str, body: &str) -> serde_json::Value {
        let socket = self.folder.path().join("broker.sock");
        let stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
        ask(stream, None, (method, path), body)
    }

    /// A request with `key`.
    pub(crate) fn with_key(&self, key: &str, path: (&str, &str), body: &str) -> serde_json::Value {
        let stream = std::net::TcpStream::connect(self.addr()).unwrap();
        ask(stream, Some(key), path, body)
    }
}

/// Asks once, and expects an answer that it worked.
fn ask(
    mut stream: impl Read + Write,
    key: Option<&str>,
    (method, path): (&str, &str),
    body: &str,
) -> serde_json::Value {
    let mut bytes = Vec::new();
    load::request(method, path, key, body, &mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let text = text.replacen("host: 127.0.0.1", "host: 127.0.0.1\r\nconnection: close", 1);
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

/// How long until `/readyz` answers 200, from `began` on.
pub(crate) fn ready(addr: SocketAddr, began: Instant) -> Duration {
    loop {
        let mut stream = std::net::TcpStream::connect(addr).unwrap();
        let text = "GET /readyz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n";
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        if answer.starts_with("HTTP/1.1 200") {
            return began.elapsed();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A figure of a process's memory, by the name that the kernel gives it.
pub(crate) fn resident_mib(pid: u32, field: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024.0
}
