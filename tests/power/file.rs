//! A file on a disk that may lose power.

use std::collections::{BTreeMap, BTreeSet};

const SECTOR: u64 = 512;

/// A change of a file that is not durable yet.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write {
        number: usize,
        at: u64,
        bytes: Vec<u8>,
    },
    Length(u64),
}

#[derive(Clone, Debug, Default)]
pub(super) struct File {
    pub(super) durable: Vec<u8>,
    /// As its readers see it.
    pub(super) bytes: u64,
    pub(super) pending: Vec<Change>,
    /// Writes that have not ended: a sync that begins now does not cover them.
    pub(super) open: BTreeSet<usize>,
}

/// How much of what is not durable a power cut leaves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Leaves {
    Nothing,
    All,
    /// Everything up to a moment, and a part of the sectors of what was being written then.
    UpToAMoment,
    /// Everything but what was written first.
    ButTheFirst,
    Any,
}

impl std::fmt::Display for Leaves {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::All => "everything",
            Self::UpToAMoment => "what came before a moment",
            Self::ButTheFirst => "everything but the first",
            Self::Any => "something or other",
        })
    }
}

impl Leaves {
    pub(super) const ALL: [Self; 5] = [
        Self::Nothing,
        Self::All,
        Self::UpToAMoment,
        Self::ButTheFirst,
        Self::Any,
    ];
}

impl File {
    pub(super) fn becomes(&mut self, bytes: u64) {
        self.bytes = bytes;
        self.pending.push(Change::Length(bytes));
    }

    pub(super) fn left(&self, leaves: Leaves, dice: &mut dyn FnMut(usize) -> usize) -> Vec<u8> {
        let count = self.pending.len();
        let moment = dice(count + 1);
        let mut bytes = self.durable.clone();
        // Which state of each sector is found: the one after so many of the changes.
        let mut found: BTreeMap<u64, usize> = BTreeMap::new();
        for (at, change) in self.pending.iter().enumerate() {
            let Change::Write {
                at: start,
                bytes: new,
                ..
            } = change
            else {
                let kept = match leaves {
                    Leaves::Nothing => false,
                    Leaves::All | Leaves::ButTheFirst => true,
                    Leaves::UpToAMoment => at < moment,
                    Leaves::Any => dice(2) == 0,
                };
                if kept {
                    write(&mut bytes, change);
                }
                continue;
            };
            let (mut from, end) = (*start, start + new.len() as u64);
            while from < end {
                let sector = from / SECTOR;
                let to = end.min((sector + 1) * SECTOR);
                let last = *found.entry(sector).or_insert_with(|| match leaves {
                    Leaves::Nothing => 0,
                    Leaves::All => count,
                    Leaves::UpToAMoment => moment + usize::from(dice(2) == 0),
                    Leaves::ButTheFirst => {
                        if at == 0 {
                            0
                        } else {
                            count
                        }
                    }
                    Leaves::Any => dice(count + 1),
                });
                if at < last {
                    let part = |n: u64| usize::try_from(n - start).unwrap();
                    put(&mut bytes, from, &new[part(from)..part(to)]);
                }
                from = to;
            }
        }
        bytes
    }
}

fn put(file: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let at = usize::try_from(at).unwrap();
    let end = at + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[at..end].copy_from_slice(bytes);
}

pub(super) fn write(file: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { at, bytes, .. } => put(file, *at, bytes),
        Change::Length(bytes) => file.resize(usize::try_from(*bytes).unwrap(), 0),
    }
}
