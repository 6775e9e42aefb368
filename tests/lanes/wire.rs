//! A client that sees the wire: it sends what it is told to, and reads as bytes come.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{Broker, Client};

/// An open request.
pub struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Wire {
    /// Sends a head; `lines` are whole header lines. `Host` is added.
    pub fn open(broker: &Broker, key: &str, first: &str, lines: &[String]) -> Self {
        let host = broker.origin().strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let mut head = format!("{first} HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {key}\r\n");
        for line in lines {
            head.push_str(line);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    pub fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Reads until `what` has come; the time that took, and all that came before it.
    #[track_caller]
    pub fn until(&mut self, what: &str) -> (Duration, String) {
        let began = Instant::now();
        loop {
            let found = self
                .unread
                .windows(what.len())
                .position(|w| w == what.as_bytes());
            if let Some(at) = found {
                let rest = self.unread.split_off(at + what.len());
                let before = std::mem::replace(&mut self.unread, rest);
                return (
                    began.elapsed(),
                    String::from_utf8_lossy(&before).into_owned(),
                );
            }
            let mut piece = [0; 4096];
            let read = self.stream.read(&mut piece).unwrap_or(0);
            let so_far = String::from_utf8_lossy(&self.unread).into_owned();
            assert!(read > 0, "it ended before {what:?}: {so_far}");
            self.unread.extend_from_slice(&piece[..read]);
        }
    }

    /// The connection itself, and what came on it and was not read.
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.unread)
    }

    /// What has come, or comes next.
    #[track_caller]
    pub fn some(&mut self) -> Vec<u8> {
        self.next().expect("it ended early")
    }

    /// What has come, or comes next; nothing at the end.
    #[track_caller]
    pub fn next(&mut self) -> Option<Vec<u8>> {
        if !self.unread.is_empty() {
            return Some(std::mem::take(&mut self.unread));
        }
        let mut piece = vec![0; 256 * 1024];
        let read = self.stream.read(&mut piece).unwrap();
        piece.truncate(read);
        (read > 0).then_some(piece)
    }

    /// Reads to the end; how long that took, and how many bytes came.
    pub fn end(&mut self) -> (Duration, u64) {
        let (began, mut total) = (Instant::now(), 0);
        total += self.unread.len() as u64;
        let mut piece = vec![0; 256 * 1024];
        while let Ok(read) = self.stream.read(&mut piece) {
            if read == 0 {
                break;
            }
            total += read as u64;
        }
        (began.elapsed(), total)
    }
}

/// What a body of chunks says, up to its end.
#[track_caller]
pub fn unchunked(body: &str) -> String {
    let (mut said, mut rest) = (String::new(), body);
    loop {
        let (size, chunk) = rest.split_once("\r\n").expect("no chunk");
        let size = usize::from_str_radix(size, 16).expect("no size");
        if size == 0 {
            return said;
        }
        said.push_str(&chunk[..size]);
        rest = &chunk[size + 2..];
    }
}
