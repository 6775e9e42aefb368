//! An upstream that speaks bytes: it keeps what it was sent, and answers what the test wrote.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A running byte upstream.
#[derive(Clone)]
pub struct Raw {
    port: u16,
    accepted: Arc<AtomicUsize>,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Raw {
    /// Answers each request with what `answer` writes for the request's bytes, then closes.
    pub fn start(answer: impl Fn(&[u8], &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let upstream = Self {
            port: listener.local_addr().unwrap().port(),
            accepted: Arc::default(),
            received: Arc::default(),
        };
        let (this, answer) = (upstream.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                this.accepted.fetch_add(1, Ordering::SeqCst);
                let (this, answer) = (this.clone(), Arc::clone(&answer));
                std::thread::spawn(move || this.talk(stream.unwrap(), &*answer));
            }
        });
        upstream
    }

    fn talk(&self, mut stream: TcpStream, answer: &dyn Fn(&[u8], &mut TcpStream)) {
        let mut bytes = Vec::new();
        let mut piece = [0; 16 * 1024];
        while let Ok(read) = stream.read(&mut piece) {
            if read == 0 {
                break;
            }
            bytes.extend_from_slice(&piece[..read]);
            if whole(&bytes) {
                break;
            }
        }
        self.received.lock().unwrap().push(bytes.clone());
        stream.set_nodelay(true).unwrap();
        answer(&bytes, &mut stream);
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// The bytes of the last request.
    #[track_caller]
    pub fn last(&self) -> Vec<u8> {
        self.received.lock().unwrap().last().cloned().unwrap()
    }
}

/// The head of a request as text.
pub fn head(request: &[u8]) -> String {
    let end = request.windows(4).position(|four| four == b"\r\n\r\n");
    String::from_utf8(request[..end.unwrap_or(request.len())].to_vec()).unwrap()
}

/// The value of the bearer token in a request.
pub fn token(request: &[u8]) -> String {
    let head = head(request);
    let line = head
        .lines()
        .find(|line| line.to_ascii_lowercase().starts_with("authorization:"));
    line.unwrap().rsplit(' ').next().unwrap().to_owned()
}

fn whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let head = head(request).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.map_or(0, |text| text.trim().parse().unwrap());
    request.len() >= end + 4 + length
}

/// Writes a whole answer with a length.
pub fn reply(stream: &mut TcpStream, more: &str, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{more}\r\n",
        body.len()
    );
    // The broker may hang up on what it does not want.
    drop(stream.write_all(head.as_bytes()));
    drop(stream.write_all(body));
}
