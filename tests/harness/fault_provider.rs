//! A provider that answers whatever it is told to, however wrong.
//!
//! One thread a connection and one request a connection, written by hand, because no server library
//! would send what some of these answers are.

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::Seen;

/// An answer, or what comes in its place.
#[derive(Clone, Debug)]
pub enum Answer {
    /// As it should be: status, headers, body.
    Reply(u16, Vec<(String, String)>, Vec<u8>),
    /// The same after a while.
    Late(Duration, Box<Self>),
    /// The body byte by byte, one each time this has passed.
    Drip(Duration, Vec<u8>),
    /// A JSON text of 5 GiB, whether its length is told first or not.
    Endless { announced: bool },
    /// So many zeros, which take a thousandth of that on the wire.
    GzipBomb(u64),
    /// Header after header.
    EndlessHeaders,
    /// These bytes, whatever they are, and the end.
    Raw(Vec<u8>),
    /// Half of what is announced, and the end.
    Half(Vec<u8>),
    /// The end, without a byte.
    Close,
    /// Nothing, until the other side gives up.
    Hang,
}

type Script = dyn Fn(&Seen) -> Answer + Send + Sync;

#[derive(Default)]
struct Inner {
    always: Mutex<HashMap<String, Arc<Script>>>,
    next: Mutex<HashMap<String, VecDeque<Answer>>>,
    seen: Mutex<Vec<Seen>>,
    sent: AtomicU64,
}

/// A running provider; it ends with the test.
#[derive(Clone)]
pub struct FaultProvider {
    port: u16,
    inner: Arc<Inner>,
}

impl Answer {
    /// JSON.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::text(status, "application/json", &body.to_string())
    }

    /// A text of this type.
    pub fn text(status: u16, kind: &str, body: &str) -> Self {
        let kind = ("content-type".to_owned(), kind.to_owned());
        Self::Reply(status, vec![kind], body.as_bytes().to_vec())
    }

    /// Nothing but a status.
    pub const fn empty(status: u16) -> Self {
        Self::Reply(status, vec![], vec![])
    }

    /// A redirect.
    pub fn redirect(status: u16, to: &str) -> Self {
        Self::Reply(status, vec![("location".into(), to.into())], vec![])
    }

    /// What a token endpoint answers when all is well.
    pub fn tokens(access: &str, refresh: &str) -> Self {
        Self::json(
            200,
            &json!({
                "access_token": access, "refresh_token": refresh, "token_type": "Bearer",
                "expires_in": 3600, "scope": "read",
            }),
        )
    }

    /// An error as RFC 6749 has it, 5.2.
    pub fn error(status: u16, code: &str) -> Self {
        Self::json(status, &json!({ "error": code }))
    }

    /// One more header on a reply.
    #[must_use]
    pub fn with(self, name: &str, value: &str) -> Self {
        match self {
            Self::Reply(status, mut headers, body) => {
                headers.push((name.to_owned(), value.to_owned()));
                Self::Reply(status, headers, body)
            }
            other => other,
        }
    }
}

impl FaultProvider {
    /// Answers 404 to everything until it is told otherwise.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let provider = Self {
            port: listener.local_addr().unwrap().port(),
            inner: Arc::default(),
        };
        let this = provider.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let this = this.clone();
                std::thread::spawn(move || this.serve(stream));
            }
        });
        provider
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What `path` answers from now on.
    pub fn always(&self, path: &str, answer: Answer) {
        self.script(path, move |_| answer.clone());
    }

    /// The same, made from each request.
    pub fn script(&self, path: &str, script: impl Fn(&Seen) -> Answer + Send + Sync + 'static) {
        let mut always = self.inner.always.lock().unwrap();
        always.insert(path.to_owned(), Arc::new(script));
    }

    /// What `path` answers once, after what was said before with this, and before what it always
    /// answers.
    pub fn next(&self, path: &str, answer: Answer) {
        let mut next = self.inner.next.lock().unwrap();
        next.entry(path.to_owned()).or_default().push_back(answer);
    }

    /// Every request that arrived whole, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.inner.seen.lock().unwrap().clone()
    }

    /// Those for one path.
    pub fn asked(&self, path: &str) -> Vec<Seen> {
        let mut seen = self.seen();
        seen.retain(|seen| path_of(seen) == path);
        seen
    }

    /// Bytes of answers that the other side's system took.
    pub fn sent(&self) -> u64 {
        self.inner.sent.load(Ordering::SeqCst)
    }

    fn serve(&self, mut stream: TcpStream) {
        let Some(seen) = read_request(&mut stream) else {
            return;
        };
        let path = path_of(&seen).to_owned();
        self.inner.seen.lock().unwrap().push(seen.clone());
        let next = self
            .inner
            .next
            .lock()
            .unwrap()
            .get_mut(&path)
            .and_then(VecDeque::pop_front);
        let script = self.inner.always.lock().unwrap().get(&path).cloned();
        let answer = next.or_else(|| script.map(|script| script(&seen)));
        let mut out = Counted {
            stream,
            sent: &self.inner.sent,
        };
        // Whoever gives up on a wrong answer does what it should.
        drop(out.answer(answer.unwrap_or(Answer::empty(404))));
    }
}

/// A connection that counts.
struct Counted<'a> {
    stream: TcpStream,
    sent: &'a AtomicU64,
}

impl Counted<'_> {
    fn put(&mut self, mut bytes: &[u8]) -> std::io::Result<()> {
        while !bytes.is_empty() {
            let written = self.stream.write(bytes)?;
            if written == 0 {
                return Err(std::io::ErrorKind::WriteZero.into());
            }
            self.sent
                .fetch_add(u64::try_from(written).unwrap(), Ordering::SeqCst);
            bytes = &bytes[written..];
        }
        Ok(())
    }

    fn head(&mut self, status: u16, headers: &[(&str, &str)]) -> std::io::Result<()> {
        let lines: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        self.put(format!("HTTP/1.1 {status} S\r\n{lines}connection: close\r\n\r\n").as_bytes())
    }

    fn answer(&mut self, answer: Answer) -> std::io::Result<()> {
        let json = ("content-type", "application/json");
        match answer {
            Answer::Reply(status, headers, body) => {
                let length = body.len().to_string();
                let mut all: Vec<_> = headers
                    .iter()
                    .map(|(name, value)| (&**name, &**value))
                    .collect();
                all.push(("content-length", &length));
                self.head(status, &all)?;
                self.put(&body)
            }
            Answer::Late(delay, answer) => {
                std::thread::sleep(delay);
                self.answer(*answer)
            }
            Answer::Drip(pause, body) => {
                self.head(200, &[json, ("content-length", &body.len().to_string())])?;
                for byte in body {
                    std::thread::sleep(pause);
                    self.put(&[byte])?;
                }
                Ok(())
            }
            Answer::Endless { announced } => self.endless(announced),
            Answer::GzipBomb(zeros) => {
                let body = bomb(zeros);
                let length = body.len().to_string();
                self.head(
                    200,
                    &[
                        json,
                        ("content-encoding", "gzip"),
                        ("content-length", &length),
                    ],
                )?;
                self.put(&body)
            }
            Answer::EndlessHeaders => {
                self.put(b"HTTP/1.1 200 OK\r\n")?;
                for number in 0_u64.. {
                    self.put(format!("x-header-{number}: {}\r\n", "x".repeat(1000)).as_bytes())?;
                }
                Ok(())
            }
            Answer::Raw(bytes) => self.put(&bytes),
            Answer::Half(body) => {
                let length = (body.len() * 2).to_string();
                self.head(200, &[json, ("content-length", &length)])?;
                self.put(&body)
            }
            Answer::Close => Ok(()),
            Answer::Hang => {
                while self.stream.read(&mut [0; 64])? > 0 {}
                Ok(())
            }
        }
    }

    fn endless(&mut self, announced: bool) -> std::io::Result<()> {
        const SIZE: u64 = 5 << 30;
        let start = br#"{"access_token":""#;
        let length = SIZE.to_string();
        let kind = ("content-type", "application/json");
        if announced {
            self.head(200, &[kind, ("content-length", &length)])?;
        } else {
            self.head(200, &[kind])?;
        }
        self.put(start)?;
        let (piece, mut left) = (vec![b'a'; 1 << 16], SIZE - start.len() as u64);
        while left > 0 {
            let now = usize::try_from(left.min(1 << 16)).unwrap();
            self.put(&piece[..now])?;
            left -= now as u64;
        }
        Ok(())
    }
}

/// A gzip stream of so many zeros.
fn bomb(zeros: u64) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::copy(&mut std::io::repeat(0).take(zeros), &mut encoder).unwrap();
    encoder.finish().unwrap()
}

fn path_of(seen: &Seen) -> &str {
    seen.target.split('?').next().unwrap_or_default()
}

fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_str(value.trim()).ok()?);
    }
    let length = headers
        .get("content-length")
        .map_or(Some(0), |length| length.to_str().ok()?.parse().ok());
    let mut body = vec![0; length?];
    stream.read_exact(&mut body).ok()?;
    Some(Seen {
        method,
        target,
        headers,
        body: Bytes::from(body),
    })
}

impl Seen {
    /// A parameter of a form in the body.
    pub fn form(&self, name: &str) -> Option<String> {
        let mut pairs = url::form_urlencoded::parse(&self.body).into_owned();
        pairs.find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// A parameter of the query.
    pub fn query(&self, name: &str) -> Option<String> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let mut pairs = url::form_urlencoded::parse(query.as_bytes()).into_owned();
        pairs.find(|(key, _)| key == name).map(|(_, value)| value)
    }
}
