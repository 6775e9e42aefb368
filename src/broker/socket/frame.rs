//! Frames as they stand on the wire (RFC 6455, 5.2), and nothing of what they mean together.

use bytes::BytesMut;

/// The longest payload of a frame that is not data (RFC 6455, 5.5).
pub(super) const MAX_CONTROL: u64 = 125;
/// The longest head: two bytes, eight of length, four of mask.
pub(super) const MAX_HEAD: usize = 14;

/// What stands for a length that follows in two bytes, and in eight.
const TWO: u8 = 126;
const EIGHT: u8 = 127;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// More of the message that is under way.
    More,
    /// The beginning of a message that is text.
    Text,
    /// The beginning of any other message.
    Binary,
    /// The end of the conversation.
    Close,
    /// A question whether the other side is there.
    Ping,
    /// The answer to it.
    Pong,
}

/// A frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Whether its message ends with it.
    pub(super) last: bool,
    pub(super) kind: Kind,
    /// What the payload is masked with.
    pub(super) mask: Option<[u8; 4]>,
    /// Bytes of payload.
    pub(super) length: u64,
}

/// A head that breaks the protocol. No extension was agreed on, so that each bit has one meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame breaks the WebSocket protocol")]
pub(super) struct Malformed;

impl Kind {
    const fn number(self) -> u8 {
        match self {
            Self::More => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    const fn of(number: u8) -> Result<Self, Malformed> {
        Ok(match number {
            0 => Self::More,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return Err(Malformed),
        })
    }

    /// Whether it is no part of a message.
    pub(super) const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

impl Head {
    /// Reads a head at the beginning of `bytes`; with it, how many bytes it has. `None` while they do not
    /// suffice.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, Malformed> {
        let Some((&[first, second], rest)) = bytes.split_first_chunk::<2>() else {
            return Ok(None);
        };
        if first & 0x70 != 0 {
            return Err(Malformed);
        }
        let (last, kind) = (first & 0x80 != 0, Kind::of(first & 0x0f)?);
        let (short, is_masked) = (second & 0x7f, second & 0x80 != 0);
        if kind.is_control() && (!last || u64::from(short) > MAX_CONTROL) {
            return Err(Malformed);
        }
        let (length, rest) = match short {
            TWO => match rest.split_first_chunk::<2>() {
                Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
                None => return Ok(None),
            },
            EIGHT => match rest.split_first_chunk::<8>() {
                Some((length, rest)) => (u64::from_be_bytes(*length), rest),
                None => return Ok(None),
            },
            short => (u64::from(short), rest),
        };
        // In as few bytes as will do, and never with the first bit set.
        let least = match short {
            TWO => u64::from(TWO),
            EIGHT => 1 << 16,
            _ => 0,
        };
        if length < least || length >> 63 != 0 {
            return Err(Malformed);
        }
        let (mask, rest) = if is_masked {
            match rest.split_first_chunk::<4>() {
                Some((mask, rest)) => (Some(*mask), rest),
                None => return Ok(None),
            }
        } else {
            (None, rest)
        };
        let head = Self {
            last,
            kind,
            mask,
            length,
        };
        Ok(Some((head, bytes.len() - rest.len())))
    }

    /// Writes it.
    pub(super) fn write(&self, out: &mut BytesMut) {
        let first = self.kind.number() | if self.last { 0x80 } else { 0 };
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        match (u8::try_from(self.length), u16::try_from(self.length)) {
            (Ok(short), _) if short < TWO => out.extend_from_slice(&[first, masked | short]),
            (_, Ok(middle)) => {
                out.extend_from_slice(&[first, masked | TWO]);
                out.extend_from_slice(&middle.to_be_bytes());
            }
            _ => {
                out.extend_from_slice(&[first, masked | EIGHT]);
                out.extend_from_slice(&self.length.to_be_bytes());
            }
        }
        if let Some(mask) = self.mask {
            out.extend_from_slice(&mask);
        }
    }
}

/// Masks `bytes`, or takes the mask off: it is the same. `from` is where in the payload they begin.
pub(super) fn mask(bytes: &mut [u8], key: [u8; 4], from: u64) {
    let turn = usize::try_from(from % 4).unwrap_or_default();
    let mut key = key;
    key.rotate_left(turn);
    let mut whole = bytes.chunks_exact_mut(4);
    for four in &mut whole {
        for (byte, key) in four.iter_mut().zip(key) {
            *byte ^= key;
        }
    }
    for (byte, key) in whole.into_remainder().iter_mut().zip(key) {
        *byte ^= key;
    }
}

/// Whether a frame that closes may give this reason (RFC 6455, 7.4).
pub(super) const fn may_close_with(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
#[path = "tests_frame.rs"]
mod tests;
