//! An origin on bytes that the test drives: it tells what arrived, when, and writes what it is told to.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How an answer begins that is a stream of events.
pub const EVENTS: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// What callers may see of a `value` that an origin has [`Served::cut_everywhere`].
pub fn cut_and_masked(value: &str) -> String {
    let mask = "*".repeat(value.len());
    format!("<{mask}>").repeat(value.len() - 1) + &mask
}

/// A listening origin.
pub struct Origin {
    port: u16,
    accepted: Arc<AtomicUsize>,
    connections: Receiver<TcpStream>,
}

/// A connection with the head of its request read.
pub struct Served {
    pub head: String,
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Origin {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (sender, connections) = channel();
        let count = Arc::clone(&accepted);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                if sender.send(stream).is_err() {
                    return;
                }
            }
        });
        Self {
            port,
            accepted,
            connections,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Waits for the next connection and reads the head of its request.
    #[track_caller]
    pub fn next(&self) -> Served {
        let stream = self.connections.recv_timeout(Duration::from_secs(30));
        let stream = stream.expect("nobody connects");
        stream.set_nodelay(true).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let mut served = Served {
            head: String::new(),
            stream,
            unread: Vec::new(),
        };
        served.head = served.until("\r\n\r\n");
        served
    }
}

impl Served {
    /// Reads until `what`; everything up to it.
    #[track_caller]
    pub fn until(&mut self, what: &str) -> String {
        loop {
            let found = self
                .unread
                .windows(what.len())
                .position(|w| w == what.as_bytes());
            if let Some(at) = found {
                let rest = self.unread.split_off(at + what.len());
                let before = std::mem::replace(&mut self.unread, rest);
                return String::from_utf8_lossy(&before).into_owned();
            }
            let mut piece = [0; 4096];
            let read = self.stream.read(&mut piece).unwrap_or(0);
            assert!(read > 0, "the request ends before {what:?}");
            self.unread.extend_from_slice(&piece[..read]);
        }
    }

    /// Reads what comes until the other side closes; how many bytes.
    pub fn drain(&mut self) -> u64 {
        let mut total = self.unread.len() as u64;
        self.unread.clear();
        let mut piece = vec![0; 256 * 1024];
        while let Ok(read) = self.stream.read(&mut piece) {
            if read == 0 {
                break;
            }
            total += read as u64;
        }
        total
    }

    /// Reads so many bytes.
    pub fn take(&mut self, mut count: u64) {
        let had = (self.unread.len() as u64).min(count);
        self.unread.drain(..usize::try_from(had).unwrap());
        count -= had;
        let mut piece = vec![0; 256 * 1024];
        while count > 0 {
            let want = usize::try_from(count).unwrap().min(piece.len());
            let read = self.stream.read(&mut piece[..want]).unwrap();
            assert!(read > 0, "the body ends {count} bytes early");
            count -= read as u64;
        }
    }

    pub fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The connection itself, and what came on it and was not read.
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.unread)
    }

    /// Writes one chunk of a chunked body.
    pub fn chunk(&mut self, text: &str) -> std::io::Result<()> {
        self.write(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())
    }

    /// Answers with `value` in two chunks, cut at every place in turn, and then with each letter alone.
    pub fn cut_everywhere(&mut self, value: &str) {
        self.write(EVENTS).unwrap();
        for at in 1..value.len() {
            let (left, right) = value.split_at(at);
            self.chunk(&format!("<{left}")).unwrap();
            self.chunk(&format!("{right}>")).unwrap();
        }
        for letter in value.chars() {
            self.chunk(&letter.to_string()).unwrap();
        }
        self.write(b"0\r\n\r\n").unwrap();
    }

    /// Whether the other side closes within ten seconds.
    pub fn is_left(&mut self) -> bool {
        self.stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let mut piece = [0; 64];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    }
}
