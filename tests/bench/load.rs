//! The load generator: keep-alive connections, one request at a time on each, written by hand so that
//! it costs little of the machine that it shares with the server.
//!
//! What a connection runs on is a [`Way`]'s to say: TCP alone here, TLS and tunnels in `tunnels`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Writes the `n`th request of all into the buffer.
pub(crate) type Maker = Arc<dyn Fn(u64, &mut Vec<u8>) + Send + Sync>;

/// What requests and answers pass over.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

/// A connection that was opened, before its first request.
pub(crate) struct Opened {
    pub(crate) stream: Box<dyn Duplex>,
    /// What it asks, where that is a matter of the connection.
    pub(crate) asks: Option<Vec<u8>>,
    /// How many requests it is good for; then another one is opened.
    pub(crate) uses: u64,
}

/// Opens a connection.
pub(crate) type Way = Arc<dyn Fn() -> BoxFuture<'static, Opened> + Send + Sync>;

/// Over TCP, to `addr`.
pub(crate) fn plain(addr: SocketAddr) -> Way {
    Arc::new(move || {
        Box::pin(async move {
            Opened {
                stream: Box::new(dial(addr).await),
                asks: None,
                uses: u64::MAX,
            }
        })
    })
}

pub(crate) async fn dial(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// What came of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// Requests a second.
    pub(crate) rate: f64,
    /// Microseconds.
    pub(crate) p50: f64,
    /// Microseconds.
    pub(crate) p99: f64,
    /// Microseconds of processor time per request, of the server's process.
    pub(crate) cpu: f64,
}

/// A request as bytes.
pub(crate) fn request(method: &str, path: &str, key: Option<&str>, body: &str, out: &mut Vec<u8>) {
    let key = key.map_or_else(String::new, |key| format!("x-api-key: {key}\r\n"));
    let body_head = if body.is_empty() {
        String::new()
    } else {
        let length = body.len();
        format!("content-type: application/json\r\ncontent-length: {length}\r\n")
    };
    let text = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{key}{body_head}\r\n{body}");
    out.extend_from_slice(text.as_bytes());
}

/// The same request each time.
pub(crate) fn same(method: &str, path: &str, key: Option<&str>, body: &str) -> Maker {
    let mut bytes = Vec::new();
    request(method, path, key, body, &mut bytes);
    Arc::new(move |_, out| out.extend_from_slice(&bytes))
}

/// Processor time of a process so far, user and system.
pub(crate) fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// Sends for `time`, after a warm-up of a fifth of it, from `clients` connections.
pub(crate) fn run(
    addr: SocketAddr,
    pid: u32,
    clients: usize,
    time: Duration,
    make: &Maker,
) -> Outcome {
    run_over(&plain(addr), pid, clients, time, make)
}

/// The same over connections that are opened as `way` says.
pub(crate) fn run_over(
    way: &Way,
    pid: u32,
    clients: usize,
    time: Duration,
    make: &Maker,
) -> Outcome {
    runtime().block_on(drive(way, pid, (clients, None), time, make))
}

/// The same at `rate` requests a second over all, as long as the server keeps up.
pub(crate) fn run_paced(
    addr: SocketAddr,
    pid: u32,
    (clients, rate): (usize, u32),
    time: Duration,
    make: &Maker,
) -> Outcome {
    let every = Duration::from_secs(1) * u32::try_from(clients).unwrap() / rate;
    runtime().block_on(drive(&plain(addr), pid, (clients, Some(every)), time, make))
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// Bytes of the body of one answer.
pub(crate) fn size(addr: SocketAddr, make: &Maker) -> usize {
    runtime().block_on(async {
        let mut client = Connection::open(&plain(addr)).await;
        client.exchange(0, make).await.len()
    })
}

/// Sends exactly `count` requests; how long it took.
pub(crate) fn send(addr: SocketAddr, clients: usize, count: u64, make: &Maker) -> Duration {
    let began = Instant::now();
    each(addr, clients, count, make, |_| ());
    began.elapsed()
}

/// Sends exactly `count` requests; what `read` finds in the body of each answer.
pub(crate) fn each<T: Send + 'static>(
    addr: SocketAddr,
    clients: usize,
    count: u64,
    make: &Maker,
    read: fn(&[u8]) -> T,
) -> Vec<T> {
    runtime().block_on(async {
        let (next, way) = (Arc::new(AtomicU64::new(0)), plain(addr));
        let tasks: Vec<_> = (0..clients)
            .map(|_| {
                let (next, make, way) = (Arc::clone(&next), Arc::clone(make), Arc::clone(&way));
                tokio::spawn(async move {
                    let mut client = Connection::open(&way).await;
                    let mut found = Vec::new();
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= count {
                            return found;
                        }
                        found.push(read(client.exchange(n, &make).await));
                    }
                })
            })
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await.unwrap());
        }
        all
    })
}

async fn drive(
    way: &Way,
    pid: u32,
    (clients, every): (usize, Option<Duration>),
    time: Duration,
    make: &Maker,
) -> Outcome {
    let next = Arc::new(AtomicU64::new(0));
    let start = Instant::now() + time / 5;
    let end = start + time;
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let (next, make, way) = (Arc::clone(&next), Arc::clone(make), Arc::clone(way));
            tokio::spawn(async move {
                let mut client = Connection::open(&way).await;
                let mut took = Vec::new();
                let mut ticks = every.map(tokio::time::interval);
                loop {
                    if let Some(ticks) = &mut ticks {
                        ticks.tick().await;
                    }
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let began = Instant::now();
                    client.exchange(n, &make).await;
                    let now = Instant::now();
                    if now >= end {
                        return took;
                    }
                    if began >= start {
                        took.push(u32::try_from((now - began).as_nanos() / 100).unwrap());
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep_until(start.into()).await;
    let before = cpu(pid);
    tokio::time::sleep_until(end.into()).await;
    let used = cpu(pid) - before;
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    assert!(!all.is_empty(), "not one request was answered in {time:?}");
    all.sort_unstable();
    let at = |part: usize| f64::from(all[(all.len() * part / 100).min(all.len() - 1)]) / 10.0;
    let count = all.len() as f64;
    Outcome {
        rate: count / time.as_secs_f64(),
        p50: at(50),
        p99: at(99),
        cpu: used.as_secs_f64() * 1e6 / count,
    }
}

struct Connection {
    way: Way,
    opened: Opened,
    sent: Vec<u8>,
    got: Vec<u8>,
}

impl Connection {
    async fn open(way: &Way) -> Self {
        Self {
            opened: way().await,
            way: Arc::clone(way),
            sent: Vec::new(),
            got: Vec::with_capacity(16 * 1024),
        }
    }

    /// Sends one request and reads its whole answer, which must be a success. Its body.
    async fn exchange(&mut self, n: u64, make: &Maker) -> &[u8] {
        if self.opened.uses == 0 {
            self.opened = (self.way)().await;
        }
        self.opened.uses -= 1;
        self.sent.clear();
        match &self.opened.asks {
            Some(asks) => self.sent.extend_from_slice(asks),
            None => make(n, &mut self.sent),
        }
        let stream = &mut self.opened.stream;
        stream.write_all(&self.sent).await.unwrap();
        stream.flush().await.unwrap();
        self.got.clear();
        let mut whole = None;
        loop {
            let read = stream.read_buf(&mut self.got).await.unwrap();
            assert!(read > 0, "the server closed the connection");
            if whole.is_none() {
                whole = lengths(&self.got);
            }
            if let Some((head, body)) = whole
                && self.got.len() >= head + body
            {
                let text = || String::from_utf8_lossy(&self.got).into_owned();
                assert!(self.got.starts_with(b"HTTP/1.1 20"), "{}", text());
                return &self.got[head..head + body];
            }
        }
    }
}

/// Length of the head, and of the body that it announces.
pub(crate) fn lengths(got: &[u8]) -> Option<(usize, usize)> {
    let head = got.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&got[..head]).unwrap();
    for line in text.split("\r\n") {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            return Some((head, value.trim().parse().unwrap()));
        }
    }
    panic!("an answer without its length");
}
