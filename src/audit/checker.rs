//! Following a chain, line by line: the one check behind exports, live segments and the start.

use data_encoding::HEXLOWER;

use super::checkpoint::Checkpoint;
use super::export::read_checkpoint;
use super::keys::announced;
use super::line::Start;
use super::{Head, Verdict, VerifyReport};
use crate::crypto::PublicKey;
use crate::id::StoreId;

/// What is wrong with a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The line has not the form of a record.
    #[error("is not a record")]
    Unreadable,
    /// A record is missing, doubled or in another's place.
    #[error("is missing: record {found} stands in its place")]
    Sequence {
        /// The number that was found.
        found: u64,
    },
    /// The stated hash is not that of the line and its predecessor.
    #[error("was altered: its hash does not match")]
    Hash,
    /// A sealed frame does not open, or continues another chain.
    #[error("is sealed in a frame that was altered or belongs elsewhere")]
    Frame,
    /// A checkpoint that is not signed by this journal's key.
    #[error("is followed by a checkpoint that this journal's key did not sign")]
    Forged,
    /// A checkpoint of another journal.
    #[error("is followed by a checkpoint of another journal")]
    OtherStore,
    /// A signed checkpoint states another hash, so records before it were rewritten.
    #[error("was rewritten, or one before the signed checkpoint was")]
    Rewritten,
    /// The journal does not contain a position that is known from elsewhere.
    #[error("is missing or was rewritten: a known position is not in the journal")]
    Known,
}

/// Where the first bad record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The first record that may be bad.
    pub first: u64,
    /// The last record that may be the first bad one; the same as `first` when it is certain.
    pub last: u64,
    /// What is wrong.
    pub problem: Problem,
}

/// Follows one chain.
#[derive(Debug)]
pub(super) struct Checker {
    /// The key that has to be among those that sign.
    trusted: PublicKey,
    reached: bool,
    /// The first checkpoint that somebody else signed, while nothing says that they may.
    unproven: Option<u64>,
    /// Who signs here.
    signer: PublicKey,
    /// Who signs next, and where that was said.
    announced: Option<(u64, PublicKey)>,
    store: StoreId,
    from: Head,
    head: Head,
    covered: Option<Checkpoint>,
    checkpoints: u64,
    last_time: [u8; 24],
    steps_back: u64,
    first_step_back: Option<u64>,
    known: Option<Head>,
}

impl Checker {
    /// A checker of the chain that continues `from`.
    pub(super) fn new(public: PublicKey, store: StoreId, from: Head) -> Self {
        Self {
            trusted: public,
            reached: false,
            unproven: None,
            signer: public,
            announced: None,
            store,
            from,
            head: from,
            covered: None,
            checkpoints: 0,
            last_time: [0; 24],
            steps_back: 0,
            first_step_back: None,
            known: None,
        }
    }

    /// The chain begins under this key, which says nothing of itself.
    pub(super) fn beginning_with(mut self, signer: PublicKey) -> Self {
        self.signer = signer;
        self
    }

    /// Demands that the chain contains `known`.
    pub(super) fn expecting(mut self, known: Option<Head>) -> Self {
        self.known = known;
        self
    }

    pub(super) const fn head(&self) -> Head {
        self.head
    }

    pub(super) const fn covered(&self) -> Option<&Checkpoint> {
        self.covered.as_ref()
    }

    /// Takes the next line of a frame: a record or a checkpoint.
    pub(super) fn line(&mut self, line: &[u8]) -> Result<(), Fault> {
        match read_checkpoint(line) {
            Some(note) => self.checkpoint(&note),
            None => self.record(line, None),
        }
    }

    /// Takes the next record; `stated` is its hash in hexadecimal, where one is stated.
    pub(super) fn record(&mut self, line: &[u8], stated: Option<&[u8; 64]>) -> Result<(), Fault> {
        let next = self.head.after(line);
        let start = Start::of(line).ok_or(self.fault(Problem::Unreadable))?;
        if start.seq != next.seq {
            return Err(self.fault(Problem::Sequence { found: start.seq }));
        }
        if let Some(stated) = stated {
            let mut hex = [0; 64];
            HEXLOWER.encode_mut(&next.hash, &mut hex);
            if hex != *stated {
                return Err(self.fault(Problem::Hash));
            }
        }
        if start.time < self.last_time.as_slice() {
            self.steps_back = self.steps_back.saturating_add(1);
            self.first_step_back.get_or_insert(next.seq);
        }
        if let Ok(time) = start.time.try_into() {
            self.last_time = time;
        }
        self.head = next;
        if start.is_handover
            && let Some(key) = announced(line)
        {
            self.announced = Some((next.seq, key));
        }
        self.check_known()
    }

    /// Takes a checkpoint.
    pub(super) fn checkpoint(&mut self, note: &str) -> Result<(), Fault> {
        let (checkpoint, signer) = self.signed(note).ok_or(Fault {
            first: self.head.seq,
            last: self.head.seq,
            problem: Problem::Forged,
        })?;
        if checkpoint.store != self.store {
            return Err(Fault {
                first: self.head.seq,
                last: self.head.seq,
                problem: Problem::OtherStore,
            });
        }
        if checkpoint.head != self.head {
            return Err(self.rewritten_until(self.head.seq.max(checkpoint.head.seq)));
        }
        if signer != self.signer {
            (self.signer, self.announced) = (signer, None);
        }
        // What the trusted key signs vouches for all before it, whoever signed there.
        self.reached |= signer == self.trusted;
        if !self.reached {
            self.unproven.get_or_insert(self.head.seq);
        }
        self.covered = Some(checkpoint);
        self.checkpoints = self.checkpoints.saturating_add(1);
        Ok(())
    }

    /// A checkpoint of the key that signs here; or of the next one, once the one before has signed that it is.
    fn signed(&self, note: &str) -> Option<(Checkpoint, PublicKey)> {
        if let Ok(checkpoint) = Checkpoint::parse(note, &self.signer) {
            return Some((checkpoint, self.signer));
        }
        let (said, next) = self.announced?;
        let covered = self.covered.is_some_and(|by| by.head.seq >= said);
        let checkpoint = Checkpoint::parse(note, &next).ok().filter(|_| covered)?;
        Some((checkpoint, next))
    }

    /// A fault of the record that should come next.
    pub(super) fn fault(&self, problem: Problem) -> Fault {
        let seq = self.head.seq.saturating_add(1);
        Fault {
            first: seq,
            last: seq,
            problem,
        }
    }

    fn rewritten_until(&self, last: u64) -> Fault {
        let sound = self
            .covered
            .filter(|_| self.reached)
            .map_or(self.from.seq, |checkpoint| checkpoint.head.seq);
        Fault {
            first: sound.saturating_add(1),
            last,
            problem: Problem::Rewritten,
        }
    }

    fn check_known(&mut self) -> Result<(), Fault> {
        let Some(known) = self.known.filter(|known| known.seq == self.head.seq) else {
            return Ok(());
        };
        if known == self.head {
            self.known = None;
            return Ok(());
        }
        // Checkpoints are no help here: whoever rewrote the chain signed it, too.
        let first = self.from.seq.saturating_add(1);
        Err(Fault {
            first,
            last: known.seq,
            problem: Problem::Known,
        })
    }

    /// Ends the chain. `whole` is false when the last line was cut.
    pub(super) fn end(self, fault: Option<Fault>, whole: bool) -> VerifyReport {
        let missing = self
            .known
            .filter(|known| *known != self.from)
            .map(|known| Fault {
                first: self.head.seq.saturating_add(1).min(known.seq),
                last: known.seq,
                problem: Problem::Known,
            });
        let covered = self.covered.map(|checkpoint| checkpoint.head.seq);
        let forged = self.unproven.filter(|_| !self.reached).map(|seq| Fault {
            first: seq,
            last: seq,
            problem: Problem::Forged,
        });
        let verdict = match forged.or(fault).or(missing) {
            Some(fault) => Verdict::Tampered(fault),
            None if whole && covered == Some(self.head.seq) => Verdict::Intact,
            None => Verdict::Incomplete {
                covered: covered.unwrap_or(self.from.seq),
            },
        };
        VerifyReport {
            verdict,
            store: self.store,
            from: self.from,
            head: self.head,
            records: self.head.seq.saturating_sub(self.from.seq),
            checkpoints: self.checkpoints,
            last_checkpoint: self.covered,
            signer: self.signer,
            clock_steps_back: self.steps_back,
            first_step_back: self.first_step_back,
        }
    }
}
