//! A text without what its writers wrapped around it.
//!
//! Who writes JSON may escape any character or none, with digits of either case; JSON inside a JSON
//! string has each backslash twice, and again twice one level deeper; UTF-16 has a zero beside each
//! letter. All these together are more spellings than can be listed. They have one thing in common:
//! without their backslashes, escapes and zeros they are the same text. So a text in which there are
//! any is searched a second time without them, for values from which they were taken off as well.
//!
//! The rules are coarse on purpose, since they hold for text and value alike. However many backslashes
//! stand in a row, they count as one; what follows may be `uXXXX` or `xXX`, and else stands for itself,
//! letters too, so that `\n` is an n. A backslash that was itself escaped counts as one in the row. Zeros
//! mean nothing unless there are more than three of them.
//!
//! A value can hold what looks like an escape, and characters that are written as a letter behind a
//! backslash: [`bare`] is the other way in which such a value may appear.

use std::ops::Range;

use zeroize::Zeroizing;

/// More backslashes in a row than this mean nothing, so that no more has to be held back: a quote in JSON
/// has one, and fifteen with JSON around it three times more.
const ROW: usize = 15;

/// The zeros beside a letter: one in UTF-16, three in UTF-32.
const ZEROS: usize = 3;

/// A text, plain, and where each piece of it came from.
pub(super) struct Plain {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    spans: Vec<Span>,
    /// Where the bytes begin that are not understood before there is more input.
    open: usize,
}

/// Some plain bytes, up to the next span, and the raw ones that they stand for.
#[derive(Clone, Copy)]
struct Span {
    plain: usize,
    raw: usize,
    /// For an escape, where it ends; for bytes that stand for themselves, nothing.
    ends: Option<usize>,
}

/// A value of which nothing is read as an escape: without its backslashes, and with the letters by which
/// control characters are written. `None` when that is the value itself.
pub(super) fn bare(value: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let letter = |byte: &u8| match byte {
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        other => *other,
    };
    let mut bare = Zeroizing::new(Vec::with_capacity(value.len()));
    bare.extend(value.iter().filter(|byte| **byte != b'\\').map(letter));
    (*bare != value).then_some(bare)
}

impl Plain {
    /// `raw` without escapes and zeros; `None` when there are none. Unless it is the `last`, an escape at
    /// the end may go on.
    pub(super) fn of(raw: &[u8], last: bool) -> Option<Self> {
        memchr::memchr2(b'\\', 0, raw)?;
        let mut plain = Self {
            bytes: Zeroizing::new(Vec::with_capacity(raw.len())),
            spans: Vec::new(),
            open: raw.len(),
        };
        let mut at = 0;
        while let Some(rest) = raw.get(at..).filter(|rest| !rest.is_empty()) {
            match rest.first() {
                Some(b'\\') => {
                    let Ok(escape) = Escape::read((raw, last), at) else {
                        plain.open = if last { raw.len() } else { at };
                        break;
                    };
                    plain.add(&escape);
                    at = escape.at.end;
                }
                Some(0) => {
                    let zeros = rest.iter().take_while(|byte| **byte == 0).count();
                    if zeros > ZEROS {
                        plain.add(&Escape::one(0, at..at + zeros));
                    }
                    at += zeros;
                }
                _ => {
                    let len = memchr::memchr2(b'\\', 0, rest).unwrap_or(rest.len());
                    plain.add_same(at, rest.get(..len).unwrap_or_default());
                    at += len;
                }
            }
        }
        Some(plain)
    }

    fn add(&mut self, escape: &Escape) {
        if escape.len == 0 {
            return;
        }
        self.spans.push(Span {
            plain: self.bytes.len(),
            raw: escape.at.start,
            ends: Some(escape.at.end),
        });
        let bytes = escape.bytes.get(..escape.len).unwrap_or_default();
        self.bytes.extend_from_slice(bytes);
    }

    fn add_same(&mut self, raw: usize, bytes: &[u8]) {
        self.spans.push(Span {
            plain: self.bytes.len(),
            raw,
            ends: None,
        });
        self.bytes.extend_from_slice(bytes);
    }

    fn span(&self, plain: usize) -> Option<&Span> {
        let after = self.spans.partition_point(|span| span.plain <= plain);
        self.spans.get(after.checked_sub(1)?)
    }

    /// Where the plain byte at `plain` begins in the raw ones; at the end, where those begin that are
    /// not understood yet.
    pub(super) fn begins(&self, plain: usize) -> usize {
        if plain >= self.bytes.len() {
            return self.open;
        }
        self.span(plain).map_or(0, |span| match span.ends {
            None => span.raw + (plain - span.plain),
            Some(_) => span.raw,
        })
    }

    /// The raw bytes that the plain ones `at` stand for; `None` when they are the same, so that a search
    /// of the raw ones finds them too: it knows each piece that the search of the plain ones knows.
    pub(super) fn wrapped(&self, at: &Range<usize>) -> Option<Range<usize>> {
        let start = self.begins(at.start);
        let final_byte = at.end.checked_sub(1)?;
        let span = self.span(final_byte)?;
        let end = span
            .ends
            .unwrap_or(span.raw + (final_byte - span.plain) + 1);
        (end - start != at.len()).then_some(start..end)
    }
}

/// The text ends before it is known what is meant.
struct Cut;

/// What one or more backslashes and what follows them stand for.
struct Escape {
    bytes: [u8; 4],
    len: usize,
    at: Range<usize>,
}

impl Escape {
    const fn one(byte: u8, at: Range<usize>) -> Self {
        Self {
            bytes: [byte, 0, 0, 0],
            len: 1,
            at,
        }
    }

    fn character(c: char, at: Range<usize>) -> Self {
        let mut bytes = [0; 4];
        let len = c.encode_utf8(&mut bytes).len();
        Self { bytes, len, at }
    }

    /// Reads at a backslash.
    fn read((raw, last): (&[u8], bool), start: usize) -> Result<Self, Cut> {
        let mut reader = Reader {
            raw,
            last,
            at: start,
        };
        for _ in 0..=ROW {
            let before = reader.at;
            let byte = reader.byte()?;
            let unit = match byte {
                b'u' => reader.digits::<4>()?,
                b'x' => reader.digits::<2>()?,
                _ => None,
            };
            let at = start..reader.at;
            return Ok(match (byte, unit) {
                // An escaped backslash is one more in the row.
                (b'\\', _) | (b'u' | b'x', Some(0x5c)) => continue,
                (b'u', Some(unit)) => match reader.whole(unit)? {
                    Some((c, end)) => Self::character(c, start..end),
                    None => Self::one(b'?', at),
                },
                (b'x', Some(unit)) => Self::one(u8::try_from(unit).unwrap_or(b'?'), at),
                (byte, _) if byte.is_ascii_alphanumeric() || !byte.is_ascii() => Self {
                    bytes: [0; 4],
                    len: 0,
                    at: start..before,
                },
                (byte, _) => Self::one(byte, at),
            });
        }
        Ok(Self::one(b'\\', start..reader.at))
    }
}

/// Reads bytes and passes over the zeros between them.
#[derive(Clone)]
struct Reader<'a> {
    raw: &'a [u8],
    /// Whether nothing follows: what is cut off then is no escape.
    last: bool,
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, Cut> {
        let rest = self.raw.get(self.at..).unwrap_or_default();
        let zeros = rest.iter().take_while(|byte| **byte == 0).count();
        let skip = if zeros > ZEROS { 0 } else { zeros };
        let byte = rest.get(skip).ok_or(Cut)?;
        self.at += skip + 1;
        Ok(*byte)
    }

    /// The number that the next `N` hex digits are, which are then passed; `None` when they are none.
    fn digits<const N: usize>(&mut self) -> Result<Option<u32>, Cut> {
        let mut ahead = self.clone();
        let mut number = 0;
        for _ in 0..N {
            let byte = match ahead.byte() {
                Err(Cut) if self.last => return Ok(None),
                byte => byte?,
            };
            let Some(digit) = char::from(byte).to_digit(16) else {
                return Ok(None);
            };
            number = number * 16 + digit;
        }
        *self = ahead;
        Ok(Some(number))
    }

    /// The character of a UTF-16 unit that was just read, with its other half if it is one, and where it
    /// ends; `None` for half a character.
    fn whole(&self, unit: u32) -> Result<Option<(char, usize)>, Cut> {
        if !(0xd800..0xdc00).contains(&unit) {
            return Ok(char::from_u32(unit).map(|c| (c, self.at)));
        }
        match self.other_half(unit) {
            Err(Cut) if self.last => Ok(None),
            found => found,
        }
    }

    fn other_half(&self, unit: u32) -> Result<Option<(char, usize)>, Cut> {
        let mut ahead = self.clone();
        let mut row = 0;
        while ahead.clone().byte()? == b'\\' && row < ROW {
            ahead.byte()?;
            row += 1;
        }
        if row == 0 || ahead.byte()? != b'u' {
            return Ok(None);
        }
        let low = ahead.digits::<4>()?;
        let low = low.filter(|low| (0xdc00..0xe000).contains(low));
        let code = low.map(|low| 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
        Ok(code.and_then(char::from_u32).map(|c| (c, ahead.at)))
    }
}
