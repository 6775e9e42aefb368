//! The hash chain: each record's hash covers its line and, through its predecessor's, all before it.

use std::fmt;

use data_encoding::HEXLOWER;

use crate::crypto::{Digest, sha256_parts};

const TAG: &[u8] = b"runtools-audit-1";

/// A position in the journal: a record, and the chain's hash up to and including it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Head {
    /// The record's sequence number; the first record has 1.
    pub seq: u64,
    /// SHA-256(`runtools-audit-1` ‖ the predecessor's hash ‖ the record's line).
    pub hash: Digest,
}

impl Head {
    /// The position before the first record.
    pub const GENESIS: Self = Self {
        seq: 0,
        hash: [0; 32],
    };

    /// The position after one more record, whose line this is (without the line break).
    #[must_use]
    pub fn after(&self, line: &[u8]) -> Self {
        Self {
            seq: self.seq.saturating_add(1),
            hash: sha256_parts(&[TAG, &self.hash, line]),
        }
    }
}

/// `<seq>:<hash in lower-case hex>`.
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, HEXLOWER.encode(&self.hash))
    }
}

#[cfg(test)]
mod tests {
    use super::Head;

    #[test]
    fn a_hash_depends_on_the_line_and_on_all_lines_before() {
        let one = Head::GENESIS.after(b"one").after(b"two");
        assert_eq!(one.seq, 2);
        assert_ne!(one, Head::GENESIS.after(b"One").after(b"two"));
        assert_ne!(one, Head::GENESIS.after(b"one").after(b"twO"));
        assert_eq!(one, Head::GENESIS.after(b"one").after(b"two"));
    }
}
