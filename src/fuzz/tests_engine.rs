//! Tries a target with its corpus, and with mutations of it.
//!
//! The same numbers are drawn in every run, so that one that fails fails again. `RUNTOOLS_FUZZ_SECONDS` is for
//! how long, and `RUNTOOLS_FUZZ_SEED` what is drawn.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::TARGETS;
use crate::dice::Dice;

/// How long mutations are tried, in seconds.
const SECONDS: u64 = 1;
/// The longest that anything may take with one input: far more than any takes, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest mutation, in bytes.
const LONGEST: usize = 16 << 10;
/// What breaks things.
const NUMBERS: [u8; 12] = [
    0, 1, 0x7f, 0x80, 0xff, b'\n', b'"', b'%', b'.', b'/', b'\\', b'9',
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[expect(clippy::disallowed_methods, reason = "no setting: only tests read it")]
fn told(variable: &str, usual: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(usual, |text| text.parse().expect("a number"))
}

/// The inputs of a target, in the order of their names.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = root().join("tests/fuzz/corpus").join(name);
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|_| panic!("{} is missing", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect()
}

/// Tries `run` with all of `name`'s corpus, and for a while with what can be made of it.
pub(super) fn attempt(name: &str, run: fn(&[u8])) {
    let corpus = corpus(name);
    for input in &corpus {
        once(name, run, input);
    }
    let mut dice = Dice(told("RUNTOOLS_FUZZ_SEED", 1));
    let end = Instant::now() + Duration::from_secs(told("RUNTOOLS_FUZZ_SECONDS", SECONDS));
    let mut tried = 0;
    while Instant::now() < end {
        once(name, run, &dice.mutation(&corpus));
        tried += 1;
    }
    println!("{name}: {tried} mutations of {}", corpus.len());
}

fn once(name: &str, run: fn(&[u8]), input: &[u8]) {
    let began = Instant::now();
    let done = catch_unwind(AssertUnwindSafe(|| run(input)));
    let slow = began.elapsed() > PATIENCE;
    if done.is_ok() && !slow {
        return;
    }
    let folder = root().join("target/fuzz");
    let file = folder.join(format!("{name}-{}", crc(input)));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(&file, input).unwrap();
    println!(
        "the input is in {}: {}",
        file.display(),
        input.escape_ascii()
    );
    match done {
        Err(panic) => resume_unwind(panic),
        Ok(()) => panic!("it took {:?}", began.elapsed()),
    }
}

/// A name for an input.
fn crc(input: &[u8]) -> String {
    let digest = crate::crypto::sha256(input);
    data_encoding::HEXLOWER.encode(&digest[..6])
}

impl Dice {
    fn byte(&mut self) -> u8 {
        match self.below(2) {
            0 => NUMBERS[self.below(NUMBERS.len())],
            _ => u8::try_from(self.below(256)).unwrap(),
        }
    }

    /// A part of `bytes`, which may be empty.
    fn part(&mut self, bytes: &[u8]) -> std::ops::Range<usize> {
        let from = self.below(bytes.len() + 1);
        let most = (bytes.len() - from).min(1 << self.below(8));
        from..from + self.below(most + 1)
    }

    /// One of the corpus, changed a few times.
    fn mutation(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = corpus[self.below(corpus.len())].clone();
        for _ in 0..=self.below(6) {
            let part = self.part(&bytes);
            match self.below(7) {
                0 => drop(bytes.drain(part)),
                1 => bytes[part].fill(NUMBERS[self.below(NUMBERS.len())]),
                2 => {
                    let again = bytes[part.clone()].to_vec();
                    bytes.splice(part.end..part.end, again);
                }
                3 => bytes.insert(part.start, self.byte()),
                4 => {
                    let other = &corpus[self.below(corpus.len())];
                    let from = self.part(other);
                    bytes.splice(part, other[from].iter().copied());
                }
                _ if bytes.is_empty() => bytes.push(self.byte()),
                5 => {
                    let at = self.below(bytes.len());
                    bytes[at] ^= 1 << self.below(8);
                }
                _ => {
                    let at = self.below(bytes.len());
                    bytes[at] = self.byte();
                }
            }
        }
        bytes.truncate(LONGEST);
        bytes
    }
}

#[test]
fn every_corpus_is_of_a_target_and_all_of_them_are_small() {
    let mut folders = Vec::new();
    let mut size = 0;
    for entry in std::fs::read_dir(root().join("tests/fuzz/corpus")).unwrap() {
        let folder = entry.unwrap();
        for file in std::fs::read_dir(folder.path()).unwrap() {
            size += file.unwrap().metadata().unwrap().len();
        }
        folders.push(folder.file_name().into_string().unwrap());
    }
    folders.sort();
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(folders, names, "in the order of their names");
    assert!(size <= 1 << 20, "{size} bytes");
}
