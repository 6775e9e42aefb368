//! The load generator: keep-alive connections, one request at a time on each, written by hand so that
//! it costs little of the machine that it shares with the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Writes the `n`th request of all into the buffer.
pub(crate) type Maker = Arc<dyn Fn(u64, &mut Vec<u8>) + Send + Sync>;

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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(drive(addr, pid, clients, time, make))
}

/// Bytes of the body of one answer.
pub(crate) fn size(addr: SocketAddr, make: &Maker) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut client = Connection::open(addr).await;
        client.exchange(0, make).await
    })
}

/// Sends exactly `count` requests; how long it took.
pub(crate) fn send(addr: SocketAddr, clients: usize, count: u64, make: &Maker) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let began = Instant::now();
        let next = Arc::new(AtomicU64::new(0));
        let tasks: Vec<_> = (0..clients)
            .map(|_| {
                let (next, make) = (Arc::clone(&next), Arc::clone(make));
                tokio::spawn(async move {
                    let mut client = Connection::open(addr).await;
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= count {
                            return;
                        }
                        client.exchange(n, &make).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        began.elapsed()
    })
}

async fn drive(
    addr: SocketAddr,
    pid: u32,
    clients: usize,
    time: Duration,
    make: &Maker,
) -> Outcome {
    let next = Arc::new(AtomicU64::new(0));
    let start = Instant::now() + time / 5;
    let end = start + time;
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let (next, make) = (Arc::clone(&next), Arc::clone(make));
            tokio::spawn(async move {
                let mut client = Connection::open(addr).await;
                let mut took = Vec::new();
                loop {
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
    stream: TcpStream,
    sent: Vec<u8>,
    got: Vec<u8>,
}

impl Connection {
    async fn open(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            sent: Vec::new(),
            got: Vec::with_capacity(16 * 1024),
        }
    }

    /// Sends one request and reads its whole answer, which must be a success. Bytes of its body.
    async fn exchange(&mut self, n: u64, make: &Maker) -> usize {
        self.sent.clear();
        make(n, &mut self.sent);
        self.stream.write_all(&self.sent).await.unwrap();
        self.got.clear();
        let mut whole = None;
        loop {
            let read = self.stream.read_buf(&mut self.got).await.unwrap();
            assert!(read > 0, "the server closed the connection");
            if whole.is_none() {
                whole = lengths(&self.got);
            }
            if let Some((head, body)) = whole
                && self.got.len() >= head + body
            {
                let text = || String::from_utf8_lossy(&self.got).into_owned();
                assert!(self.got.starts_with(b"HTTP/1.1 20"), "{}", text());
                return body;
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
