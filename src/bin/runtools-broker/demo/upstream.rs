//! A host on loopback that shows what reaches it: it answers each request with the request's own
//! credential, as a careless service would.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The longest request that is read, in bytes.
const LONGEST: usize = 16 * 1024;

/// A host that listens until it is dropped.
#[derive(Debug)]
pub(super) struct Upstream {
    addr: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    accepting: tokio::task::JoinHandle<()>,
}

/// What reached a host.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// How many connections.
    pub(super) connections: usize,
    /// How many bytes.
    pub(super) bytes: usize,
    /// The last request's first line.
    pub(super) line: String,
    /// The last request's `authorization`.
    pub(super) authorization: String,
}

impl Upstream {
    /// Listens at a free port of `ip`, an address of loopback.
    pub(super) async fn listen(ip: [u8; 4]) -> std::io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((ip, 0))).await?;
        let addr = listener.local_addr()?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                lock(&shared).connections += 1;
                tokio::spawn(answer(stream, Arc::clone(&shared)));
            }
        });
        Ok(Self {
            addr,
            seen,
            accepting,
        })
    }

    pub(super) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(super) fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(mut stream: TcpStream, seen: Arc<Mutex<Seen>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < LONGEST {
        match stream.read_buf(&mut head).await {
            Ok(1..) => {}
            _ => break,
        }
    }
    let text = String::from_utf8_lossy(&head);
    let mut lines = text.lines();
    let line = lines.next().unwrap_or_default();
    let line = line.trim_end_matches(" HTTP/1.1").to_owned();
    let authorization = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("authorization"))
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default();
    let body = serde_json::json!({ "authorization": authorization }).to_string();
    {
        let mut seen = lock(&seen);
        seen.bytes += head.len();
        seen.line = line;
        seen.authorization = authorization;
    }
    let length = body.len();
    let reply = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    // Who left before the answer needs none.
    drop(stream.write_all(reply.as_bytes()).await);
}
