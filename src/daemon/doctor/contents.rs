//! What is in the store and the journal: the checks of a start, without a start.
//!
//! The engine writes whenever it opens, so it opens a copy, in a private folder that is gone
//! afterwards. What it holds is sealed there as here. The journal is read where it is.

use std::fmt::Display;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::finding::Finding;
use super::store::is_free;
use super::surroundings::{Running, Surroundings};
use crate::audit::{AuditError, Options, Verdict, VerifyReport};
use crate::config::Config;
use crate::crypto::{Key, Random, SystemRandom};
use crate::daemon::error::vault_hint;
use crate::daemon::parts::places;
use crate::id::{ObjectId, StoreId};
use crate::store::{AnchorFiles, DiskEngine, EngineKind, engine_at};
use crate::vault::{Examination, VaultError, examine};

/// The largest store that is copied, and the longest journal that is followed from its first record
/// (1 GiB each): a doctor is waited for.
const MOST_BYTES: u64 = 1 << 30;
/// What stays free of a disk that takes a copy (64 MiB).
const MARGIN: u64 = 64 << 20;

const CONTENTS: &str = "contents";
const CHAIN: &str = "chain";

/// What opens the store: whose it is, and its root key.
pub(super) type Opener = (StoreId, Key);

/// Examines what is inside, where `opener` opens it and nobody uses it. `sound` when nothing is wrong
/// from outside.
pub(super) fn contents(
    config: &Config,
    opener: Option<&Opener>,
    sound: bool,
    around: &Surroundings,
) -> Vec<Finding> {
    let places = places(config);
    if !is_free(&places.store()) {
        return vec![held(&around.broker)];
    }
    if !sound {
        return vec![not_examined(CONTENTS, "what is wrong above comes first")];
    }
    let Some((id, root)) = opener else {
        let why = "no key file opens the ring here; unsealing examines it";
        return vec![not_examined(CONTENTS, why)];
    };
    let size = match size(&places.store()) {
        Ok(size) if size > MOST_BYTES => {
            let why = format!(
                "the store has {} MiB, and up to {} MiB are copied to look into; a start examines it",
                size >> 20,
                MOST_BYTES >> 20
            );
            return vec![not_examined(CONTENTS, why)];
        }
        Ok(size) => size,
        Err(error) => return vec![unreadable(&error)],
    };
    let scratch = std::env::temp_dir();
    let free = (around.free_bytes)(&scratch).unwrap_or(0);
    if free < size.saturating_add(MARGIN) {
        let why = format!(
            "{} has no room for a copy of the store; name another folder by TMPDIR",
            scratch.display()
        );
        return vec![not_examined(CONTENTS, why)];
    }
    let before = stamps(config);
    let found = Scratch::copy(config, &scratch).map(|copy| copy.examine(config, *id, root));
    if stamps(config) != before || !is_free(&places.store()) {
        let why = "a broker began to use it meanwhile";
        return vec![not_examined(CONTENTS, why)];
    }
    match found {
        Ok(Ok(found)) => judged(found),
        Ok(Err(error)) => vec![
            Finding::fail(CONTENTS, &error, vault_hint(&error)),
            not_examined(CHAIN, "its keys are in the store"),
        ],
        Err(error) => vec![not_examined(
            CONTENTS,
            format!("the store cannot be copied: {}", error.kind()),
        )],
    }
}

fn not_examined(check: &'static str, why: impl Display) -> Finding {
    Finding::unexamined(check, format!("not examined: {why}"))
}

fn unreadable(error: &io::Error) -> Finding {
    let text = format!("the store cannot be read: {}", error.kind());
    let fix = "Check who owns the files in the data directory.";
    Finding::fail(CONTENTS, text, fix)
}

/// What a broker that holds the store has seen of it.
fn held(broker: &Running) -> Finding {
    match broker {
        Running::Up { sealed: false, .. } => Finding::ok(
            CONTENTS,
            "examined by the running broker as it was unsealed",
        ),
        Running::Up { .. } => not_examined(CONTENTS, "the vault is sealed; unsealing examines it"),
        Running::Down | Running::Silent => not_examined(CONTENTS, "a broker holds the store"),
    }
}

fn judged(found: Examination) -> Vec<Finding> {
    let records = found.records;
    let text = format!("{records} records, all there and unaltered, as the anchor has them");
    let checkpoint = checkpoint(&found.journal);
    let mut parts = vec![Finding::ok(CONTENTS, text), chain(found.journal)];
    parts.extend(checkpoint);
    parts
}

/// How much of a sound chain nobody has signed. A broker signs after a thousand records, and after a minute.
fn checkpoint(found: &Result<Option<VerifyReport>, AuditError>) -> Option<Finding> {
    const CHECK: &str = "checkpoint";
    let report = (*found).as_ref().ok()?.as_ref()?;
    let covered = match report.verdict {
        Verdict::Intact => report.head.seq,
        Verdict::Incomplete { covered } => covered,
        Verdict::Tampered(_) => return None,
    };
    let left = report.head.seq.saturating_sub(covered);
    if left <= Options::default().checkpoint_every {
        return Some(Finding::ok(CHECK, format!("signed up to record {covered}")));
    }
    let text = format!("nobody has signed the last {left} records");
    let fix = "Start the broker: it signs them within a minute. If it does not, look for failed writes in its log.";
    Some(Finding::warn(CHECK, text, fix))
}

fn chain(found: Result<Option<VerifyReport>, AuditError>) -> Finding {
    let report = match found {
        Err(error) => {
            let error = VaultError::from(error);
            return Finding::fail(CHAIN, &error, vault_hint(&error));
        }
        Ok(None) => {
            let why = format!(
                "the journal fits the store, and its last segment is sound; before it are more than {} MiB: runtools audit verify reads them, with the broker running",
                MOST_BYTES >> 20
            );
            return not_examined(CHAIN, why);
        }
        Ok(Some(report)) => report,
    };
    match report.verdict {
        Verdict::Tampered(fault) => {
            let text = format!("record {} {}", fault.first, fault.problem);
            let damaged = VaultError::Audit(AuditError::Damaged {
                segment: fault.first,
                seq: fault.first,
            });
            Finding::fail(CHAIN, text, vault_hint(&damaged))
        }
        Verdict::Intact | Verdict::Incomplete { .. } => {
            let records = report.records;
            let text = format!("{records} records, unbroken, and as the store remembers them");
            Finding::ok(CHAIN, text)
        }
    }
}

/// How long the files that a broker writes are, and when each was written.
fn stamps(config: &Config) -> Vec<Option<(u64, SystemTime)>> {
    let places = places(config);
    let audit = fs::read_dir(places.audit()).into_iter().flatten();
    let mut paths: Vec<PathBuf> = audit.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.extend(live_files(&places.store()).map(|(_, folder)| folder.join("db")));
    paths.push(config.data_dir.join("anchor"));
    let stamp = |path: PathBuf| {
        let found = fs::metadata(path).ok()?;
        Some((found.len(), found.modified().ok()?))
    };
    paths.into_iter().map(stamp).collect()
}

/// Which engine the store in `dir` is of, and where its files are, if its marker says so.
fn live_files(dir: &Path) -> Option<(EngineKind, PathBuf)> {
    engine_at(dir).ok().flatten()
}

/// How many bytes there are in a folder.
fn size(dir: &Path) -> io::Result<u64> {
    let mut bytes: u64 = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let found = entry.metadata()?;
        let more = if found.is_dir() {
            size(&entry.path())?
        } else {
            found.len()
        };
        bytes = bytes.saturating_add(more);
    }
    Ok(bytes)
}

/// A copy of store and anchor that nobody else may look at, and that goes with this.
struct Scratch(PathBuf);

impl Scratch {
    fn copy(config: &Config, parent: &Path) -> io::Result<Self> {
        let random: &dyn Random = &SystemRandom;
        let drawn = ObjectId::from_random(random.bytes().map_err(io::Error::other)?);
        let name = format!("runtools-doctor-{drawn}");
        let path = parent.join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        let copy = Self(path);
        copy_folder(&places(config).store(), &copy.store())?;
        let (places, copies) = (places(config).anchors(), copy.anchors());
        fs::copy(places.own, &copies.own)?;
        if let (Some(elsewhere), Some(to)) = (places.external, &copies.external)
            && elsewhere.exists()
        {
            fs::copy(elsewhere, to)?;
        }
        Ok(copy)
    }

    fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    fn anchors(&self) -> AnchorFiles {
        AnchorFiles {
            own: self.0.join("anchor"),
            external: Some(self.0.join("external-anchor")),
        }
    }

    fn examine(&self, config: &Config, id: StoreId, root: &Key) -> Result<Examination, VaultError> {
        let kind = live_files(&self.store()).map_or(config.store.engine, |(kind, _)| kind);
        let engine = DiskEngine::open(&self.store(), kind, config.store.cache_mb << 20)?;
        let audit = places(config).audit();
        let (engine, random) = (Arc::new(engine), Arc::new(SystemRandom));
        let mut anchors = self.anchors();
        anchors
            .external
            .take_if(|_| config.store.external_anchor.is_none());
        examine(root, id, engine, anchors, &audit, random, MOST_BYTES)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Sealed records only; a folder for what is temporary is where a rest of them may lie.
        drop(fs::remove_dir_all(&self.0));
    }
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let to = to.join(entry.file_name());
        if kind.is_dir() {
            copy_folder(&path, &to)?;
        } else if kind.is_file() {
            fs::copy(&path, &to)?;
        }
    }
    Ok(())
}
