//! Verifying an export: offline, streaming, with the public key alone.

use std::io::{self, BufRead, Read as _};

use super::Head;
use super::checker::{Checker, Fault, Problem};
use super::checkpoint::Checkpoint;
use super::export::{self, ExportLine};
use super::line::MAX_LINE;
use crate::crypto::PublicKey;
use crate::id::StoreId;

/// The most bytes that one line of an export has: a record, its hash and what stands around them.
const MAX_EXPORT_LINE: usize = MAX_LINE + 256;

/// What a verification found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every record is as it was written, and a signed checkpoint covers the last one.
    Intact,
    /// Nothing is wrong with what is there, but no checkpoint covers the records after `covered`:
    /// they may have been rewritten, and others after them may be missing.
    Incomplete {
        /// The last record that a checkpoint covers.
        covered: u64,
    },
    /// Something was altered.
    Tampered(Fault),
}

/// The result of following a chain to its end, or to its first fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// What was found.
    pub verdict: Verdict,
    /// Whose journal it is.
    pub store: StoreId,
    /// The position before the first record.
    pub from: Head,
    /// The last sound position.
    pub head: Head,
    /// How many records were sound.
    pub records: u64,
    /// How many checkpoints were sound.
    pub checkpoints: u64,
    /// The last of them.
    pub last_checkpoint: Option<Checkpoint>,
    /// Who signs at its end: another key than was given when that one has handed over.
    pub signer: PublicKey,
    /// How often a record is older than the one before it: the clock was set back. Not a fault.
    pub clock_steps_back: u64,
    /// The first such record.
    pub first_step_back: Option<u64>,
}

/// Why nothing could be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The export cannot be read.
    #[error("cannot read the export: {0}")]
    Read(io::ErrorKind),
    /// The first line is not that of an export.
    #[error("not an export of an audit journal")]
    NotAnExport,
    /// The position to look for lies before the export's beginning.
    #[error("the known position {known} lies before the export, which begins after record {from}")]
    KnownBefore {
        /// The known position's record.
        known: u64,
        /// The last record before the export.
        from: u64,
    },
}

impl VerifyError {
    /// What the reader of the message can do next.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Read(_) => "check the file's path and permissions",
            Self::NotAnExport => "make one with `runtools audit export`",
            Self::KnownBefore { .. } => "export from an earlier record",
        }
    }
}

/// Follows an export from its first line to its end, in bounded memory.
///
/// # Errors
/// [`VerifyError`] when there is nothing to verify. Tampering is a verdict, not an error.
pub fn verify_export(
    reader: impl BufRead,
    public: &PublicKey,
) -> Result<VerifyReport, VerifyError> {
    verify_export_knowing(reader, public, None)
}

/// As [`verify_export`], and demands that the chain contains `known`: a position kept elsewhere,
/// such as a checkpoint that left the machine. This is what tells an older journal, a cut one, and
/// one that was rewritten and signed with a stolen key.
///
/// # Errors
/// As [`verify_export`].
pub fn verify_export_knowing(
    mut reader: impl BufRead,
    public: &PublicKey,
    known: Option<Head>,
) -> Result<VerifyReport, VerifyError> {
    let mut line = Vec::with_capacity(1024);
    read_line(&mut reader, &mut line)?;
    let (store, from, signer) = export::read_header(&line).ok_or(VerifyError::NotAnExport)?;
    if let Some(known) = known.filter(|known| known.seq < from.seq) {
        return Err(VerifyError::KnownBefore {
            known: known.seq,
            from: from.seq,
        });
    }
    let mut checker = Checker::new(*public, store, from)
        .beginning_with(signer)
        .expecting(known);
    loop {
        match read_line(&mut reader, &mut line)? {
            Read::End => return Ok(checker.end(None, true)),
            Read::Cut => return Ok(checker.end(None, false)),
            Read::TooLong => {
                let fault = checker.fault(Problem::Unreadable);
                return Ok(checker.end(Some(fault), true));
            }
            Read::Line => {}
        }
        let taken = match export::read_line(&line) {
            Some(ExportLine::Record { hash, line }) => checker.record(line, Some(hash)),
            Some(ExportLine::Checkpoint(note)) => checker.checkpoint(&note),
            None => Err(checker.fault(Problem::Unreadable)),
        };
        if let Err(fault) = taken {
            return Ok(checker.end(Some(fault), true));
        }
    }
}

enum Read {
    Line,
    Cut,
    TooLong,
    End,
}

fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> Result<Read, VerifyError> {
    line.clear();
    let limit = u64::try_from(MAX_EXPORT_LINE).unwrap_or(u64::MAX);
    let read = reader.by_ref().take(limit).read_until(b'\n', line);
    let length = read.map_err(|error| VerifyError::Read(error.kind()))?;
    Ok(match (length, line.last()) {
        (0, _) => Read::End,
        (_, Some(b'\n')) => {
            line.pop();
            Read::Line
        }
        (MAX_EXPORT_LINE, _) => Read::TooLong,
        _ => Read::Cut,
    })
}
