//! What can become of bytes on a disk, for the tests of whoever reads some.
//!
//! Each format is tried with all of it: every bit turned over, cut off behind every byte, and followed
//! by more. A reader refuses, in words of its own, or reads what was written: never a
//! panic, never another value.

/// One thing that became of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// These bits of the byte there are turned over.
    Flipped { at: usize, bits: u8 },
    /// Nothing is left from there on.
    Cut(usize),
    /// This byte stands behind the last.
    Longer(u8),
    /// All of it stands there twice.
    Twice,
}

impl Harm {
    /// All that can become of `length` bytes.
    pub(crate) fn every(length: usize) -> impl Iterator<Item = Self> {
        Self::each_bit(length).chain(Self::each_end(length))
    }

    /// The same with one bit of each byte, another in each turn: for what takes its time to refuse.
    pub(crate) fn of_each_byte(length: usize) -> impl Iterator<Item = Self> {
        Self::each_bit(length)
            .step_by(9)
            .chain(Self::each_end(length))
    }

    fn each_bit(length: usize) -> impl Iterator<Item = Self> {
        (0..length).flat_map(|at| (0..8).map(move |bit| Self::Flipped { at, bits: 1 << bit }))
    }

    fn each_end(length: usize) -> impl Iterator<Item = Self> {
        let longer = [0, b'\n', 0xff].map(Self::Longer);
        (0..length)
            .map(Self::Cut)
            .chain(longer)
            .chain([Self::Twice])
    }

    /// What becomes of `sound`.
    pub(crate) fn of(self, sound: &[u8]) -> Vec<u8> {
        let mut bytes = sound.to_vec();
        match self {
            Self::Flipped { at, bits } => bytes[at] ^= bits,
            Self::Cut(length) => bytes.truncate(length),
            Self::Longer(byte) => bytes.push(byte),
            Self::Twice => bytes.extend_from_slice(sound),
        }
        bytes
    }
}
