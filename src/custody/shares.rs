//! The shares provider: a slot's key, dealt to several people of whom some must come together.
//!
//! Shamir's way: each byte of the key is a polynomial's value at zero, and each share has its value
//! somewhere else. As many shares as the threshold fix the polynomial; one less says nothing at all of
//! the key, since every key is as likely. A share says which set it belongs to, which one it is and how
//! many it takes, and has a check of its own letters, so that a slip of the pen is told as one.
//!
//! ```text
//! rtshare1-  and 88 letters of base32, in groups of eight, of
//!    16  set id, drawn when the shares were dealt
//!     1  threshold, from 2
//!     1  which share, from 1: where the polynomials are taken
//!     1  zero
//!    32  the polynomials' values there
//!     4  the first of SHA-256("runtools share" ‖ all before)
//! ```

use std::fmt;
use std::path::Path;

use data_encoding::{BASE32_NOPAD, DecodePartial};
use zeroize::Zeroizing;

use super::{CustodyError, disk, field};
use crate::crypto::{Key, KeyRef, Random, sha256_parts};
use crate::secret::Secret;

/// The most shares of one set.
pub(super) const MAX_SHARES: u8 = 32;
/// How every share begins.
const PREFIX: &[u8] = b"rtshare1-";
/// How many letters stand together.
const GROUP: usize = 8;
/// A key, and so the values of a share.
const KEY: usize = 32;
/// Set id, threshold, number, zero.
const HEAD: usize = 19;
const CHECK: usize = 4;
const LENGTH: usize = HEAD + KEY + CHECK;
const LETTERS: usize = LENGTH * 8 / 5;
/// No text of a share is longer, however it is spaced.
const MAX_TEXT: usize = 256;

/// Which shares belong together.
pub(super) type SetId = [u8; 16];

/// One person's share of a slot's key.
pub struct Share {
    pub(super) set: SetId,
    pub(super) threshold: u8,
    pub(super) number: u8,
    values: Box<Zeroizing<[u8; KEY]>>,
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Share({} of a set of {})", self.number, self.threshold)
    }
}

/// How a key was dealt: what stands in its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    pub(super) set: SetId,
    /// How many shares open the slot.
    pub threshold: u8,
    /// How many were dealt.
    pub count: u8,
}

impl Share {
    /// Draws a key and deals it to `count` people, any `threshold` of whom can put it together.
    ///
    /// # Errors
    /// [`CustodyError::ShareCount`] unless it takes two of them at least, and not more than there are;
    /// [`CustodyError::Crypto`] without randomness.
    pub fn deal(count: u8, threshold: u8, random: &dyn Random) -> Result<Vec<Self>, CustodyError> {
        if !is_split(count, threshold) {
            return Err(CustodyError::ShareCount);
        }
        let set = random.bytes()?;
        // One row of coefficients for all bytes at once; the first is the key.
        let mut rows = Vec::new();
        for _ in 0..threshold {
            let mut row = Box::new(Zeroizing::new([0; KEY]));
            random.fill(row.as_mut_slice())?;
            rows.push(row);
        }
        let share = |number| {
            let mut values = Box::new(Zeroizing::new([0; KEY]));
            for (byte, value) in values.iter_mut().enumerate() {
                let column = rows.iter().filter_map(|row| row.get(byte).copied());
                *value = field::at(column, number);
            }
            Self {
                set,
                threshold,
                number,
                values,
            }
        };
        Ok((1..=count).map(share).collect())
    }

    /// Reads a share as somebody typed it: hyphens and spaces do not matter, nor do capitals.
    ///
    /// # Errors
    /// [`CustodyError::ShareForm`], [`CustodyError::ShareMistyped`].
    pub fn parse(text: &Secret) -> Result<Self, CustodyError> {
        let bytes = text.expose(decoded).ok_or(CustodyError::ShareForm)?;
        let (head, check) = bytes
            .split_last_chunk::<CHECK>()
            .ok_or(CustodyError::ShareForm)?;
        if *check != check_of(head) {
            return Err(CustodyError::ShareMistyped);
        }
        Self::from_bytes(head).ok_or(CustodyError::ShareForm)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (set, rest) = bytes.split_first_chunk()?;
        let ([threshold, number, 0], values) = rest.split_first_chunk()? else {
            return None;
        };
        let values = Box::new(Zeroizing::new(<[u8; KEY]>::try_from(values).ok()?));
        let sound = is_split(*number.max(threshold), *threshold) && *number > 0;
        sound.then_some(Self {
            set: *set,
            threshold: *threshold,
            number: *number,
            values,
        })
    }

    /// The share as it is written down.
    #[must_use]
    pub fn text(&self) -> Secret {
        let mut bytes = Zeroizing::new(Vec::with_capacity(LENGTH));
        bytes.extend_from_slice(&self.set);
        bytes.extend_from_slice(&[self.threshold, self.number, 0]);
        bytes.extend_from_slice(self.values.as_slice());
        let check = check_of(&bytes);
        bytes.extend_from_slice(&check);
        let mut letters = Zeroizing::new([0; LETTERS]);
        BASE32_NOPAD.encode_mut(&bytes, letters.as_mut_slice());
        let mut text = Vec::with_capacity(MAX_TEXT);
        for group in letters.chunks(GROUP) {
            let between: &[u8] = if text.is_empty() { PREFIX } else { b"-" };
            text.extend_from_slice(between);
            text.extend(group.iter().map(u8::to_ascii_lowercase));
        }
        Secret::take(text)
    }

    /// Whether `typed` is these two groups of its letters, counted from 1: who can say them has it at hand.
    #[must_use]
    pub fn has_groups(&self, at: [usize; 2], typed: &Secret) -> bool {
        let wanted = self.text().expose(|text| {
            let groups: Vec<&[u8]> = text.split(|byte| *byte == b'-').collect();
            let group = |at: usize| groups.get(at).copied().unwrap_or_default();
            Secret::take(at.map(group).concat())
        });
        let letters = typed.expose(|typed| {
            let letters = typed.iter().filter(|byte| byte.is_ascii_alphanumeric());
            Secret::take(letters.map(u8::to_ascii_lowercase).collect())
        });
        !wanted.is_empty() && wanted.same_as(&letters)
    }

    /// Puts the share into a file of its own, which only its owner may read. False when there is one.
    ///
    /// # Errors
    /// [`CustodyError::File`].
    pub fn put(&self, path: &Path) -> Result<bool, CustodyError> {
        self.text().expose(|text| {
            let line = Zeroizing::new([text, b"\n"].concat());
            disk::write_new(path, &line)
        })
    }

    /// Whether a text begins as every share does.
    #[must_use]
    pub fn is_like(text: &Secret) -> bool {
        text.expose(|text| {
            let head = text.trim_ascii_start().get(..PREFIX.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(PREFIX))
        })
    }

    /// The lines of a text that several shares were written into.
    #[must_use]
    pub fn lines(text: &Secret) -> Vec<Secret> {
        text.expose(|text| {
            let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            let full = lines.filter(|line| !line.is_empty());
            full.map(Secret::copy_of).collect()
        })
    }
}

impl Split {
    /// How these shares were dealt, when they are a whole set.
    pub(super) fn of(shares: &[Share]) -> Option<Self> {
        let first = shares.first()?;
        let split = Self {
            set: first.set,
            threshold: first.threshold,
            count: u8::try_from(shares.len()).ok()?,
        };
        let whole = (1..=split.count).all(|number| shares.iter().any(|it| it.number == number));
        let one = shares.iter().all(|share| split.has(share));
        (whole && one && is_split(split.count, split.threshold)).then_some(split)
    }

    /// Reads a slot's parameters.
    pub(super) fn parse(params: &[u8]) -> Option<Self> {
        let (set, rest) = params.split_first_chunk()?;
        let [threshold, count] = *<&[u8; 2]>::try_from(rest).ok()?;
        is_split(count, threshold).then_some(Self {
            set: *set,
            threshold,
            count,
        })
    }

    /// A slot's parameters.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.set);
        out.extend_from_slice(&[self.threshold, self.count]);
    }

    /// Whether this share is of the set.
    #[must_use]
    pub fn has(&self, share: &Share) -> bool {
        share.set == self.set && share.threshold == self.threshold && share.number <= self.count
    }

    /// The key called `name`, when these shares are enough and all of the set.
    ///
    /// # Errors
    /// None in practice: the key has the right length.
    pub(super) fn key(&self, shares: &[Share], name: KeyRef) -> Result<Option<Key>, CustodyError> {
        let enough = shares.get(..usize::from(self.threshold));
        let Some(shares) = enough.filter(|some| some.iter().all(|share| self.has(share))) else {
            return Ok(None);
        };
        let places: Vec<u8> = shares.iter().map(|share| share.number).collect();
        let mut different = places.clone();
        different.sort_unstable();
        different.dedup();
        if different.len() < places.len() {
            return Ok(None);
        }
        let mut key = Zeroizing::new([0; KEY]);
        for (share, weight) in shares.iter().zip(field::weights(&places)) {
            for (sum, value) in key.iter_mut().zip(share.values.iter()) {
                *sum ^= field::times(weight, *value);
            }
        }
        Ok(Some(Key::from_bytes(name, key.as_mut_slice())?))
    }
}

/// Whether a key can be dealt so: with one share for each of them it would only be copied.
fn is_split(count: u8, threshold: u8) -> bool {
    (2..=count).contains(&threshold) && count <= MAX_SHARES
}

fn check_of(bytes: &[u8]) -> [u8; CHECK] {
    let [a, b, c, d, ..] = sha256_parts(&[b"runtools share", bytes]);
    [a, b, c, d]
}

/// The bytes that a text means, if it has the form of a share.
fn decoded(text: &[u8]) -> Option<Zeroizing<[u8; LENGTH]>> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let plain = text.iter().filter(|byte| !byte.is_ascii_whitespace());
    let mut plain = plain.filter(|byte| **byte != b'-');
    let prefix = PREFIX.iter().filter(|byte| **byte != b'-');
    for letter in prefix {
        if !plain.next()?.eq_ignore_ascii_case(letter) {
            return None;
        }
    }
    let mut letters = Zeroizing::new([0; LETTERS]);
    for letter in letters.iter_mut() {
        *letter = plain.next()?.to_ascii_uppercase();
    }
    if plain.next().is_some() {
        return None;
    }
    let mut bytes = Zeroizing::new([0; LENGTH]);
    match BASE32_NOPAD.decode_mut(letters.as_slice(), bytes.as_mut_slice()) {
        Ok(LENGTH) => Some(bytes),
        Ok(_) | Err(DecodePartial { .. }) => None,
    }
}
