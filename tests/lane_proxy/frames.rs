//! HTTP/2 on bytes (RFC 9113), inside a tunnel: frames are written by hand, and looked at as far as a journey
//! asks.

use std::io::{Read, Write};

use super::tunnel::{Tls, connect, shake, trust};
use crate::lanes::Handle;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;

pub(crate) const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// A field of a head, in bytes that need not be good.
pub(crate) type Field<'a> = (&'a str, &'a str);

/// A connection.
pub(crate) struct Many {
    stream: Tls,
    /// What the proxy said in its first SETTINGS: numbers and values.
    pub(crate) settings: Vec<(u16, u32)>,
}

/// A frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// What a stream came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// An answer with this body.
    Answer(String),
    /// It was reset for this reason (RFC 9113, 7).
    Reset(u32),
    /// The connection was ended for this reason.
    Ended(u32),
    /// The connection is gone without a word.
    Gone,
}

impl Many {
    /// A tunnel to `localhost` at `port` that speaks HTTP/2.
    #[track_caller]
    pub(crate) fn open(handle: &Handle, port: u16) -> Self {
        let (spoken, answer) = connect(handle, &format!("localhost:{port}"));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let spoken = shake(spoken, trust(handle, &["h2"]), "localhost").unwrap();
        let (stream, unread) = spoken.into_parts();
        assert!(unread.is_empty());
        assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
        let mut many = Self {
            stream,
            settings: Vec::new(),
        };
        many.stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .unwrap();
        many.send(SETTINGS, 0, 0, b"");
        let first = many.next().unwrap();
        assert_eq!((first.kind, first.flags), (SETTINGS, 0), "{first:?}");
        let pairs = first.payload.as_chunks::<6>().0.iter();
        many.settings = pairs
            .map(|[a, b, c, d, e, f]| {
                let value = u32::from_be_bytes([*c, *d, *e, *f]);
                (u16::from_be_bytes([*a, *b]), value)
            })
            .collect();
        many
    }

    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend_from_slice(&[kind, flags]);
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        // Who has ended the connection takes nothing any more.
        drop(self.stream.write_all(&frame));
        drop(self.stream.flush());
    }

    /// Opens a stream with these fields as they are; ends it too, if `whole`.
    pub(crate) fn head(&mut self, stream: u32, fields: &[Field<'_>], whole: bool) {
        let mut block = Vec::new();
        for (name, value) in fields {
            // A literal that is in no table, with a name of its own (RFC 7541, 6.2.2).
            block.push(0);
            text(&mut block, name.as_bytes());
            text(&mut block, value.as_bytes());
        }
        let flags = if whole { END_STREAM } else { 0 };
        let mut pieces = block.chunks(16 << 10).peekable();
        let mut kind = HEADERS;
        let mut flags = flags;
        while let Some(piece) = pieces.next() {
            let last = if pieces.peek().is_none() {
                END_HEADERS
            } else {
                0
            };
            self.send(kind, flags | last, stream, piece);
            // CONTINUATION.
            (kind, flags) = (9, 0);
        }
    }

    /// The next frame; nothing at the end. What must be acknowledged is.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let head = self.take(9)?;
        let number = |bytes: &[u8]| {
            let bytes = bytes.iter();
            bytes.fold(0, |number, byte| number << 8 | u32::from(*byte))
        };
        let (length, kind, flags) = (number(&head[..3]), head[3], head[4]);
        let payload = self.take(usize::try_from(length).unwrap())?;
        let frame = Frame {
            kind,
            flags,
            stream: number(&head[5..]),
            payload,
        };
        match (kind, flags & ACK) {
            (SETTINGS, 0) => self.send(SETTINGS, ACK, 0, b""),
            (PING, 0) => self.send(PING, ACK, 0, &frame.payload),
            _ => {}
        }
        Some(frame)
    }

    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }

    /// What a stream comes to.
    pub(crate) fn came(&mut self, stream: u32) -> Came {
        let mut body = Vec::new();
        while let Some(frame) = self.next() {
            let code = |at: usize| {
                let bytes = frame.payload[at..at + 4].try_into().unwrap();
                u32::from_be_bytes(bytes)
            };
            match frame.kind {
                GOAWAY if code(4) != 0 => return Came::Ended(code(4)),
                RESET if frame.stream == stream => return Came::Reset(code(0)),
                HEADERS | DATA if frame.stream == stream => {
                    if frame.kind == DATA {
                        body.extend_from_slice(&frame.payload);
                    }
                    if frame.flags & END_STREAM != 0 {
                        return Came::Answer(String::from_utf8_lossy(&body).into_owned());
                    }
                }
                _ => {}
            }
        }
        Came::Gone
    }
}

/// A string, not in Huffman's code (RFC 7541, 5.2).
fn text(block: &mut Vec<u8>, bytes: &[u8]) {
    let mut left = bytes.len();
    if left < 127 {
        block.push(u8::try_from(left).unwrap());
    } else {
        block.push(127);
        left -= 127;
        while left >= 128 {
            block.push(u8::try_from(left % 128 + 128).unwrap());
            left /= 128;
        }
        block.push(u8::try_from(left).unwrap());
    }
    block.extend_from_slice(bytes);
}
