//! A machine whose disk and clock do what a test says: `machine.c` in this folder, preloaded.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use tempfile::{NamedTempFile, TempDir};

use crate::harness::program::Ran;
use crate::harness::{Broker, Setup};

/// Whose files: what of the path says it, in the order of `PLACES` in `machine.c`.
pub(crate) const JOURNAL: u32 = 1;
pub(crate) const STORE: u32 = 2;
pub(crate) const KEYS: u32 = 4;
pub(crate) const BACKUPS: u32 = 8;
/// The rest of the data folder: anchor, spool, markers.
pub(crate) const REST: u32 = 16;
pub(crate) const ALL: u32 = JOURNAL | STORE | KEYS | BACKUPS | REST;

/// Which calls.
pub(crate) const WRITES: u32 = 1;
pub(crate) const SYNCS: u32 = 2;
/// Files made or opened to be written, names given, changed or taken away.
pub(crate) const NAMES: u32 = 4;
pub(crate) const READS: u32 = 8;

/// What the system reports (errno(3)).
pub(crate) const EIO: u32 = 5;
pub(crate) const ENOSPC: u32 = 28;
pub(crate) const EROFS: u32 = 30;

/// Where things stand in the control (see `machine.c`).
const DELAY: u64 = 20;
const FAILED: u64 = 24;
const CLOCK: u64 = 32;
const SMALL: u64 = 40;
const SPOT: u64 = 48;
const CONTROL: usize = 56;

static LIBRARY: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("machine.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/machine.c");
    let compiled = Command::new("cc")
        .args([
            "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o",
        ])
        .args([&library, &PathBuf::from(source)])
        .arg("-ldl")
        .status();
    assert!(compiled.unwrap().success(), "cc compiles {source}");
    (folder, library)
});

/// What happens to whoever runs on it.
#[derive(Debug)]
pub(crate) struct Machine(NamedTempFile);

impl Machine {
    /// One on which all is well.
    pub(crate) fn new() -> Self {
        let control = NamedTempFile::new().unwrap();
        control
            .as_file()
            .set_len(u64::try_from(CONTROL).unwrap())
            .unwrap();
        Self(control)
    }

    fn words(&self) -> Vec<String> {
        let (_, library) = &*LIBRARY;
        vec![
            "env".to_owned(),
            format!("LD_PRELOAD={}", library.display()),
            // It would run itself once more without it.
            "RUNTOOLS_AFRESH=1".to_owned(),
            format!("RUNTOOLS_MACHINE={}", self.0.path().display()),
        ]
    }

    /// A setup that runs here.
    pub(crate) fn setup(&self, config: &str) -> Setup {
        Setup {
            config: config.to_owned(),
            wrapper: self.words(),
            ..Setup::default()
        }
    }

    /// Runs one of the operator's verbs here.
    pub(crate) fn runs(&self, broker: &Broker, arguments: &[&str]) -> Ran {
        let words = self.words();
        let output = Command::new(&words[0])
            .args(&words[1..])
            .arg(Broker::binary())
            .arg("--config")
            .arg(broker.path("broker.toml"))
            .arg("--socket")
            .arg(broker.socket())
            .args(arguments)
            .env("TMPDIR", broker.folder().path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Ran {
            exit: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn control(&self) -> &File {
        self.0.as_file()
    }

    /// From the call after `after` more on, `times` of these calls report `error`; all of them for `None`.
    pub(crate) fn fails(
        &self,
        (places, kinds): (u32, u32),
        error: u32,
        after: u32,
        times: Option<u32>,
    ) {
        self.well();
        let times = times.unwrap_or(u32::MAX);
        let bytes = [places, kinds, 0, after, times]
            .map(u32::to_ne_bytes)
            .concat();
        self.control().write_all_at(&bytes, 0).unwrap();
        self.control().write_all_at(&[0; 8], FAILED).unwrap();
        self.control()
            .write_all_at(&error.to_ne_bytes(), 8)
            .unwrap();
    }

    /// Of the reads, those fail that touch this byte of a file.
    pub(crate) fn only_at(&self, byte: i64) {
        let spot = (byte + 1).to_ne_bytes();
        self.control().write_all_at(&spot, SPOT).unwrap();
    }

    /// No call fails any more.
    pub(crate) fn well(&self) {
        self.control().write_all_at(&[0; 4], 8).unwrap();
        self.control().write_all_at(&[0; 8], SPOT).unwrap();
    }

    /// How many calls have failed since the last [`Machine::fails`].
    pub(crate) fn failed(&self) -> u32 {
        let mut bytes = [0; 4];
        self.control().read_exact_at(&mut bytes, FAILED).unwrap();
        u32::from_ne_bytes(bytes)
    }

    /// Each sync takes this long.
    pub(crate) fn is_slow(&self, delay: Duration) {
        let millis = u32::try_from(delay.as_millis()).unwrap();
        self.control()
            .write_all_at(&millis.to_ne_bytes(), DELAY)
            .unwrap();
    }

    /// Each short write to the store waits for this long before it is judged.
    pub(crate) fn holds_short_writes(&self, delay: Duration) {
        let millis = u32::try_from(delay.as_millis()).unwrap();
        self.control()
            .write_all_at(&millis.to_ne_bytes(), SMALL)
            .unwrap();
    }

    /// The clock is wrong by this much.
    pub(crate) fn clock_is_off(&self, seconds: i64) {
        self.control()
            .write_all_at(&seconds.to_ne_bytes(), CLOCK)
            .unwrap();
    }
}
