//! The making itself.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::InitError;
use super::plan::{Plan, Way};
use super::site::{Site, refuse_foreign};
use crate::audit::{Action, Actor, Event, Outcome};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::crypto::SystemRandom;
use crate::custody::{NewSlot, Share};
use crate::daemon::parts::places;
use crate::daemon::start::open_vault;
use crate::daemon::unsealing::found_first;
use crate::directory::{Directory, First};
use crate::failpoint::{Failpoint, reached};
use crate::secret::Secret;
use crate::telemetry::Metrics;
use crate::vault::{Lifecycle, Opener, Unsealed, VaultError};

/// How long closing may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// An installation that is made, and not yet handed over: dropped, it is taken away again.
#[derive(Debug)]
pub struct Made {
    site: Site,
    plan: Plan,
    /// The settings file, beside its place.
    beside: Option<Beside>,
    dealt: Vec<Share>,
    cut_short: bool,
}

impl Plan {
    /// Makes it: keys, store, organisation, and every way to unseal tested.
    ///
    /// # Errors
    /// [`InitError`]; nothing is left of what was made.
    pub async fn make(self, passphrase: Option<Secret>) -> Result<Made, InitError> {
        let (site, cut_short) = Site::begin(&self.config.data_dir, &self.config.keys_dir)?;
        reached(Failpoint::InitBegun);
        if self.text.is_some() {
            refuse_foreign(&self.file)?;
        }
        // First, so that a folder that takes no file is told before anybody has written down a share.
        let beside = self
            .text
            .as_deref()
            .map(|text| Beside::write(&self.file, text));
        let beside = beside.transpose()?;
        let mut openers = Vec::new();
        let mut passphrase = passphrase;
        for way in &self.ways {
            let label = way.to_string();
            openers.push((opener(way, &mut passphrase, &self.config)?, label));
        }
        fill(&self.config, &openers, &self.first).await?;
        let shares = openers.into_iter().filter_map(|(opener, _)| match opener {
            Opener::Shares(shares) => Some(shares),
            _ => None,
        });
        Ok(Made {
            dealt: shares.flatten().collect(),
            site,
            plan: self,
            beside,
            cut_short,
        })
    }
}

impl Made {
    /// The shares that were dealt, each for another person.
    #[must_use]
    pub fn dealt(&self) -> &[Share] {
        &self.dealt
    }

    /// Whether an earlier init was cut short here: what it showed opens nothing.
    #[must_use]
    pub const fn cut_short(&self) -> bool {
        self.cut_short
    }

    /// Hands it over: the settings file gets its name, the files their owner, and brokers may start.
    ///
    /// # Errors
    /// [`InitError::File`]; what was made is taken away.
    pub fn finish(self) -> Result<(), InitError> {
        if let Some(beside) = self.beside {
            beside.place()?;
        }
        reached(Failpoint::InitSettings);
        if let Some(owner) = &self.plan.owner {
            owner.take(&self.plan.config.keys_dir)?;
            owner.take(&self.plan.config.data_dir)?;
        }
        reached(Failpoint::InitOwned);
        self.site.finish()
    }
}

/// Who opens the new slot.
fn opener(
    way: &Way,
    passphrase: &mut Option<Secret>,
    config: &Config,
) -> Result<Opener, InitError> {
    Ok(match way {
        Way::KeyFile => Opener::KeyFile(places(config).key_file()),
        Way::Passphrase => {
            let lacking = InitError::Disagree("there is a slot of a passphrase, and no passphrase");
            Opener::Passphrase(passphrase.take().ok_or(lacking)?)
        }
        Way::Shares(count, threshold) => {
            Opener::Shares(Share::deal(*count, *threshold, &SystemRandom)?)
        }
        Way::Custodian(kind, name) => {
            Opener::Custodian(config.custodians().find(*kind, name.clone())?)
        }
    })
}

/// Makes what is in the folders, by the code of a first start, and closes it.
async fn fill(
    config: &Config,
    openers: &[(Opener, String)],
    first: &First,
) -> Result<(), InitError> {
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    let places = places(config);
    let Some(((opener, label), others)) = openers.split_first() else {
        return Err(InitError::Disagree("there is no way to unseal"));
    };
    let slot = NewSlot::new(opener.provider(), label, clock.now());
    let (_, root) = places.make_ring(&slot, &*random)?;
    reached(Failpoint::InitRing);
    let metrics = Arc::new(Metrics::new());
    let lifecycle = open_vault((config, config.custodians()), &metrics, clock, random)?;
    let vault = lifecycle.unseal_with(root).await?;
    reached(Failpoint::InitStore);
    let uid = rustix::process::geteuid().as_raw();
    found_first(&vault, &Directory::default(), uid, first).await?;
    reached(Failpoint::InitFounded);
    if let Some(slot) = lifecycle.slots().first() {
        lifecycle.test_slot(opener, slot.id)?;
    }
    for (opener, label) in others {
        add(&lifecycle, &vault, opener, label, uid).await?;
        reached(Failpoint::InitSlot);
    }
    drop(vault);
    lifecycle.seal_within(PATIENCE, Duration::MAX).await;
    Ok(())
}

/// Adds one slot, and proves that it opens.
async fn add(
    lifecycle: &Lifecycle,
    vault: &Unsealed,
    opener: &Opener,
    label: &str,
    uid: u32,
) -> Result<(), InitError> {
    let event = Event::new(Action::KeySlotAdd, Actor::Operator { uid });
    let recorded = vault.journal().record(event).await;
    let recorded = recorded.map_err(VaultError::from)?;
    let id = lifecycle.add_slot(vault, opener, label)?;
    lifecycle.test_slot(opener, id)?;
    recorded.outcome(Outcome::success());
    Ok(())
}

/// A file that nothing stood in the place of.
fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Keeps a copy at `path`, unless there is one: a whole one, or none.
fn keep(old: &mut File, path: &Path) -> io::Result<()> {
    let mut made = match new_file(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    };
    let copied = io::copy(old, &mut made)
        .and_then(|_| made.set_permissions(old.metadata()?.permissions()))
        .and_then(|()| made.sync_all());
    copied.inspect_err(|_| drop(fs::remove_file(path)))
}

/// The settings are no secret, and who makes them need not be who runs the broker.
fn open_to_readers(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// A file that is written beside its place, and there only when it is put there.
#[derive(Debug)]
struct Beside {
    path: PathBuf,
    beside: PathBuf,
}

impl Beside {
    fn write(path: &Path, text: &str) -> Result<Self, InitError> {
        let named = |end: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        };
        let wrong = InitError::file(path);
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            fs::create_dir_all(folder).map_err(&wrong)?;
            // What was not there before could have been made by somebody else meanwhile.
            refuse_foreign(folder)?;
            open_to_readers(folder, 0o755).map_err(&wrong)?;
        }
        // What was written by hand is kept, and the first such file above all.
        match File::open(path) {
            Ok(mut old) => keep(&mut old, &named(".before-init")).map_err(&wrong)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(wrong(error)),
        }
        let beside = named(".new");
        // What a killed one has left, or a link that somebody else has put there.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(wrong(error)),
            _ => {}
        }
        let written = new_file(&beside).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.set_permissions(fs::Permissions::from_mode(0o644))?;
            file.sync_all()
        });
        written.map_err(&wrong)?;
        let path = path.to_owned();
        Ok(Self { path, beside })
    }

    fn place(self) -> Result<(), InitError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let placed =
            fs::rename(&self.beside, &self.path).and_then(|()| File::open(folder)?.sync_all());
        placed.map_err(InitError::file(&self.path))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // In its place it has this name no more.
        drop(fs::remove_file(&self.beside));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::Beside;

    #[test]
    fn no_link_is_followed_to_a_file_that_is_somebody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("victim"), "as it was").unwrap();
        fs::write(at("broker.toml"), "by hand").unwrap();
        for end in ["new", "before-init"] {
            symlink(at("victim"), at(&format!("broker.toml.{end}"))).unwrap();
        }
        let beside = Beside::write(&at("broker.toml"), "made").unwrap();
        beside.place().unwrap();
        assert_eq!(fs::read_to_string(at("broker.toml")).unwrap(), "made");
        assert_eq!(fs::read_to_string(at("victim")).unwrap(), "as it was");
    }
}
