//! What the store remembers of the journal, compared before a byte of the journal is touched: a
//! refusal that repaired, signed or began something would alter what is to be investigated.

use super::reader::Reader;
use super::{AuditError, Head};

/// What the store knows of the journal: neither of them can be cut or put back alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The position at the store's newest commit; [`Head::GENESIS`] before there was one.
    pub head: Head,
    /// The store's generation, which no record can have seen a later one of.
    pub generation: u64,
}

/// Refuses to begin a journal where the store has seen one.
pub(super) fn refuse_gone(known: Option<Known>) -> Result<(), AuditError> {
    match known {
        Some(known) if known.head != Head::GENESIS => Err(AuditError::Mismatch {
            store: known.head.seq,
            journal: "is gone",
        }),
        _ => Ok(()),
    }
}

/// Refuses a journal that was cut, rewritten, or belongs to a later state of the store.
pub(super) fn agree(journal: &Reader<'_>, known: &Known) -> Result<(), AuditError> {
    let has_it = known.head == Head::GENESIS || journal.contains(&known.head)?;
    let journal = if journal.end.head.seq < known.head.seq {
        "is shorter"
    } else if !has_it {
        "has another there"
    } else if journal.end.generation > known.generation {
        "has seen a later state of the store"
    } else {
        return Ok(());
    };
    Err(AuditError::Mismatch {
        store: known.head.seq,
        journal,
    })
}
