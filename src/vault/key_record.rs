//! How the keys of organisations and owners are written down.
//!
//! ```text
//! owner         [key]                     never replaced
//!               [line][key]…              the keys in the order of the line, the active one first
//! organisation  [id][key][index key]      never replaced
//!               [id][line][key]…[index key]
//! ```
//!
//! The line says which generation is active and which only open, and keeps of those that were destroyed
//! what cannot bring them back. It is sealed, and bound to the place where it stands; each key is bound to
//! its generation.

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::crypto::{CryptoError, Key, Record, Sealed};

use super::VaultError;

/// How many destroyed generations are remembered.
const REMEMBERED: usize = 16;

/// Which generations of a key there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub(super) active: u32,
    /// Those that only open.
    pub(super) older: Vec<u32>,
    destroyed: Vec<Tombstone>,
}

/// What is left of a key that was destroyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tombstone {
    version: u32,
    at: Timestamp,
    /// The fingerprint that does not reveal it.
    commitment: String,
}

impl Line {
    /// Of a key that was never replaced.
    pub(super) const fn first() -> Self {
        Self {
            active: 1,
            older: Vec::new(),
            destroyed: Vec::new(),
        }
    }

    /// All generations, in the order in which their keys stand.
    pub(super) fn versions(&self) -> impl Iterator<Item = u32> {
        std::iter::once(self.active).chain(self.older.iter().copied())
    }

    /// The same with one more generation, which is the active one.
    ///
    /// # Errors
    /// When there were four thousand million of them.
    pub(super) fn turned(mut self) -> Result<Self, VaultError> {
        self.older.insert(0, self.active);
        self.active = self.active.checked_add(1).ok_or(VaultError::Form)?;
        Ok(self)
    }

    /// The same without the older ones, which are `keys`.
    pub(super) fn retired(mut self, keys: &[Key], at: Timestamp) -> Self {
        self.older.clear();
        self.destroyed.extend(keys.iter().map(|key| Tombstone {
            version: key.name().version,
            at,
            commitment: HEXLOWER.encode(key.commitment().bytes()),
        }));
        let over = self.destroyed.len().saturating_sub(REMEMBERED);
        self.destroyed.drain(..over);
        self
    }
}

/// The keys of a line, sealed, in its order.
#[derive(Clone, Debug)]
pub(super) struct Sealeds {
    pub(super) line: Line,
    pub(super) keys: Vec<Sealed>,
}

/// A record's parts: those before the keys, the line's box if there is one, the keys, the last.
pub(super) fn boxes(record: &Record) -> Result<Vec<Sealed>, CryptoError> {
    let mut reader = record.reader();
    let mut boxes = Vec::with_capacity(4);
    while !reader.is_empty() {
        boxes.push(reader.sealed()?);
    }
    Ok(boxes)
}

/// A record of these boxes.
pub(super) fn record<'b>(boxes: impl IntoIterator<Item = &'b Sealed>) -> Record {
    boxes.into_iter().fold(Record::default(), Record::with_box)
}

#[cfg(test)]
mod tests {
    use super::{Line, REMEMBERED};
    use crate::clock::Timestamp;
    use crate::crypto::{Key, KeyRef, SystemRandom};
    use crate::id::ObjectId;

    #[test]
    fn a_line_turns_and_remembers_what_was_destroyed() {
        let mut line = Line::first();
        let now = Timestamp::from_millis(7);
        for round in 1..40 {
            line = line.turned().unwrap();
            assert_eq!(line.versions().collect::<Vec<_>>(), [round + 1, round]);
            let id = ObjectId::from_bytes([1; 16]);
            let old = Key::generate(KeyRef { id, version: round }, &SystemRandom).unwrap();
            line = line.retired(&[old], now);
            assert_eq!(line.versions().collect::<Vec<_>>(), [round + 1]);
        }
        assert_eq!(line.destroyed.len(), REMEMBERED);
        assert_eq!(line.destroyed.last().unwrap().version, 39);
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
    }
}
