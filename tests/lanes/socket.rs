//! A WebSocket on bytes: what is sent is written by hand, what comes is taken apart.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use http::HeaderValue;
use runtools_broker::egress::SocketKey;

use super::origin::Served;
use super::wire::Wire;

pub const MORE: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;

const KEY: [u8; 4] = [9, 130, 7, 255];

/// One end of an open one.
pub struct Socket<S = TcpStream> {
    stream: S,
    unread: Vec<u8>,
    masks: bool,
    /// Every byte that came.
    pub came: Vec<u8>,
}

/// A frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub last: bool,
    pub opcode: u8,
    pub masked: bool,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }

    /// The code of a frame that closes.
    #[track_caller]
    pub fn code(&self) -> u16 {
        assert_eq!(self.opcode, CLOSE, "{self:?}");
        u16::from_be_bytes(self.payload[..2].try_into().unwrap())
    }
}

/// The header lines with which a client opens one.
pub fn opening() -> Vec<String> {
    let lines = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    lines.map(str::to_owned).to_vec()
}

/// What an upstream must answer the head of a request with.
#[track_caller]
pub fn accept_of(head: &str) -> String {
    let key = header(head, "sec-websocket-key").expect("no key");
    let key = SocketKey::read(&HeaderValue::from_str(&key).unwrap()).unwrap();
    key.accept().to_str().unwrap().to_owned()
}

/// The value of a header of a head, whose name is given in lower case.
pub fn header(head: &str, name: &str) -> Option<String> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut found = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
    found.next().map(|(_, value)| value.trim().to_owned())
}

impl Socket {
    /// Agrees, as an upstream does. `more` is whole header lines, each with its end.
    #[track_caller]
    pub fn agree(mut served: Served, more: &str) -> Self {
        let accept = accept_of(&served.head);
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-accept: {accept}\r\n{more}\r\n"
        );
        served.write(head.as_bytes()).unwrap();
        let (stream, unread) = served.into_parts();
        patient(&stream);
        Self::over(stream, unread, false)
    }

    /// Reads the upstream's agreement, as a caller does; with it, the head.
    #[track_caller]
    pub fn opened(mut client: Wire) -> (Self, String) {
        let (_, head) = client.until("\r\n\r\n");
        let (stream, unread) = client.into_parts();
        patient(&stream);
        (Self::agreed(stream, unread, &head), head)
    }
}

fn patient(stream: &TcpStream) {
    let limit = Some(Duration::from_secs(30));
    stream.set_read_timeout(limit).unwrap();
    stream.set_nodelay(true).unwrap();
}

impl<S: Read + Write> Socket<S> {
    /// The caller's end, after an answer with this head to [`opening`].
    #[track_caller]
    pub fn agreed(stream: S, unread: Vec<u8>, head: &str) -> Self {
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        // The example of RFC 6455, 1.3.
        let accept = header(head, "sec-websocket-accept");
        assert_eq!(accept.as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        let mut socket = Self::over(stream, unread, true);
        socket.came.extend_from_slice(head.as_bytes());
        socket
    }

    fn over(stream: S, unread: Vec<u8>, masks: bool) -> Self {
        Self {
            stream,
            came: unread.clone(),
            unread,
            masks,
        }
    }

    pub fn raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    pub fn send(&mut self, last: bool, opcode: u8, payload: &[u8]) {
        let bytes = frame(last, opcode, payload, self.masks);
        self.raw(&bytes).unwrap();
    }

    /// The next frame; nothing at the end.
    pub fn next(&mut self) -> Option<Frame> {
        let [first, second] = self.take(2)?.try_into().unwrap();
        let length = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes(self.take(2)?.try_into().unwrap())),
            127 => u64::from_be_bytes(self.take(8)?.try_into().unwrap()),
            short => u64::from(short),
        };
        let masked = second & 0x80 != 0;
        let key = if masked { self.take(4)? } else { vec![0; 4] };
        let mut payload = self.take(usize::try_from(length).unwrap())?;
        for (byte, key) in payload.iter_mut().zip(key.iter().cycle()) {
            *byte ^= key;
        }
        Some(Frame {
            last: first & 0x80 != 0,
            opcode: first & 0x0f,
            masked,
            payload,
        })
    }

    /// The next message, its frames put together.
    #[track_caller]
    pub fn message(&mut self) -> Vec<u8> {
        let mut whole = Vec::new();
        loop {
            let frame = self.next().expect("it ended");
            assert!(frame.opcode <= BINARY, "{frame:?}");
            whole.extend_from_slice(&frame.payload);
            if frame.last {
                return whole;
            }
        }
    }

    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.unread.len() < count {
            let mut piece = vec![0; 64 * 1024];
            let read = self.stream.read(&mut piece).unwrap_or(0);
            if read == 0 {
                return None;
            }
            self.came.extend_from_slice(&piece[..read]);
            self.unread.extend_from_slice(&piece[..read]);
        }
        let rest = self.unread.split_off(count);
        Some(std::mem::replace(&mut self.unread, rest))
    }
}

/// A frame as it stands on the wire.
pub fn frame(last: bool, opcode: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    let bit = if masked { 0x80 } else { 0 };
    let mut bytes = vec![opcode | if last { 0x80 } else { 0 }];
    match payload.len() {
        short @ 0..126 => bytes.push(bit | u8::try_from(short).unwrap()),
        middle @ 126..65_536 => {
            bytes.push(bit | 0x7e);
            bytes.extend_from_slice(&u16::try_from(middle).unwrap().to_be_bytes());
        }
        long => {
            bytes.push(bit | 0x7f);
            bytes.extend_from_slice(&u64::try_from(long).unwrap().to_be_bytes());
        }
    }
    if masked {
        bytes.extend_from_slice(&KEY);
        bytes.extend(payload.iter().zip(KEY.iter().cycle()).map(|(b, k)| b ^ k));
    } else {
        bytes.extend_from_slice(payload);
    }
    bytes
}
