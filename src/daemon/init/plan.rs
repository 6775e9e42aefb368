//! What is going to be made, looked at before anything is touched.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::InitError;
use super::answers::{Answers, SlotAnswers, json as of_toml};
use super::owner::Owner;
use super::site::{is_unfinished, refuse_taken};
use crate::config::{Config, Env, Flags, HardeningMode, SettingsFile, merged, written};
use crate::custody::{CustodianName, CustodyError, SlotKind};
use crate::daemon::doctor::{Finding, Level, Surroundings, examine};
use crate::directory::First;

/// Where root's installation is unless somebody says otherwise: as the package has it.
const ROOTS: (&str, &str) = ("/etc/runtools/broker.toml", "/var/lib/runtools");
/// Where anybody else's settings are.
const OWN: &str = "config/broker.toml";
/// The user of the package, who is taken where root names none.
const PACKAGES: &str = "runtools";

/// A way to unseal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// A key file in the keys directory.
    KeyFile,
    /// A passphrase.
    Passphrase,
    /// So many shares, of which so many unseal.
    Shares(u8, u8),
    /// Somebody who holds a key.
    Custodian(SlotKind, CustodianName),
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyFile => f.write_str("key file"),
            Self::Passphrase => f.write_str("passphrase"),
            Self::Shares(count, threshold) => write!(f, "{threshold} of {count} shares"),
            Self::Custodian(kind, name) => write!(f, "{kind} {name}"),
        }
    }
}

/// An installation to be made.
#[derive(Debug)]
pub struct Plan {
    pub(super) config: Config,
    pub(super) file: PathBuf,
    /// What the settings file is to say, if not what it says.
    pub(super) text: Option<String>,
    pub(super) ways: Vec<Way>,
    pub(super) first: First,
    pub(super) owner: Option<Owner>,
}

/// A plan in words.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each says what its name says")]
pub struct Planned {
    pub settings: String,
    pub settings_change: bool,
    pub data: String,
    pub keys: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    pub listen: Vec<String>,
    pub socket: String,
    pub organization: String,
    pub admin: String,
    pub slots: Vec<String>,
    pub backups: String,
    pub hardening: &'static str,
}

impl Plan {
    /// Puts together what the answers, the settings file that is there and the flags say. Nothing is touched.
    ///
    /// # Errors
    /// [`InitError`] for answers that do not agree or cannot be followed.
    pub fn of(answers: &Answers, flags: &Flags, env: &Env) -> Result<Self, InitError> {
        let is_root = rustix::process::geteuid().is_root();
        let owner = owner(&answers.user, is_root)?;
        let fallback = if is_root { ROOTS.0 } else { OWN };
        let file = SettingsFile::find(flags, env, Path::new(fallback))?;
        if file.is_the_sources() {
            return Err(InitError::Sources(file.path));
        }
        let path = absolute(&file.path)?;
        let before = Config::of_text(file.text.as_deref().unwrap_or(""), &path, flags, env)?;
        let stood: toml::Table = file
            .text
            .as_deref()
            .and_then(|text| toml::from_str(text).ok())
            .unwrap_or_default();
        let stood = of_toml(&stood);
        let chosen = merged(stood.clone(), &of_toml(&answers.settings));
        // Once more with all that was chosen, for where the folders are then.
        let config = Config::of_text(&written(&chosen)?, &path, flags, env)?;
        let chosen = merged(chosen.clone(), &named(&config, &chosen, flags, is_root)?);
        let text = (chosen != stood).then(|| written(&chosen)).transpose()?;
        let config = match &text {
            Some(text) => Config::of_text(text, &path, flags, env)?,
            None => before,
        };
        let ways = ways(&answers.slots)?;
        agree(&config, &ways, &answers.slots)?;
        let who = match answers.organization.login.as_str() {
            "" => owner
                .as_ref()
                .map_or(rustix::process::geteuid().as_raw(), |it| it.uid),
            login => Owner::find(login)?.uid,
        };
        let named = &answers.organization;
        let first = First::of(who).named(&named.name, &named.admin, &named.email)?;
        refuse_taken(&config.data_dir, &config.keys_dir)?;
        Ok(Self {
            config,
            file: path,
            text,
            ways,
            first,
            owner,
        })
    }

    /// The settings that the broker is going to have.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The ways to unseal, the ring's first one first.
    #[must_use]
    pub fn ways(&self) -> &[Way] {
        &self.ways
    }

    /// Refuses what a broker would not start with.
    ///
    /// # Errors
    /// [`InitError::Unsound`] with what the doctor says of it.
    pub fn refuse_unsound(&self, around: &Surroundings) -> Result<(), InitError> {
        // What this process is, and what runs here already, is not what the broker is going to be.
        let mut planned = vec!["settings", "backup", "ways_in", "ways_out"];
        // What an init left that was cut short is cleared away first.
        if !is_unfinished(&self.config.data_dir) {
            planned.push("data");
        }
        let found = examine(&self.config, around);
        let mut parts = found
            .parts
            .iter()
            .filter(|part| planned.contains(&part.check));
        match parts.find_map(first_failure) {
            Some(failed) => Err(InitError::Unsound(Box::new(failed.clone()))),
            None => Ok(()),
        }
    }

    /// The plan in words.
    #[must_use]
    pub fn told(&self) -> Planned {
        let shown = |path: &Path| path.display().to_string();
        let config = &self.config;
        let plan = config.backup_plan();
        let backups = match (&plan.schedule, &plan.recipients) {
            (Some(schedule), _) => {
                format!(
                    "every {} hours, to {}",
                    schedule.every_hours,
                    shown(&schedule.to)
                )
            }
            (None, Some(_)) => "when somebody asks for one".to_owned(),
            (None, None) => "none yet".to_owned(),
        };
        Planned {
            settings: shown(&self.file),
            settings_change: self.text.is_some(),
            data: shown(&config.data_dir),
            keys: shown(&config.keys_dir),
            owner: self.owner.as_ref().map(|owner| owner.name.clone()),
            listen: config.listen.iter().map(ToString::to_string).collect(),
            socket: shown(&config.api_socket()),
            organization: self.first.name().to_owned(),
            admin: self.first.admin().to_owned(),
            slots: self.ways.iter().map(ToString::to_string).collect(),
            backups,
            hardening: match config.hardening {
                HardeningMode::Require => "require",
                HardeningMode::BestEffort => "best-effort",
            },
        }
    }
}

fn first_failure(found: &Finding) -> Option<&Finding> {
    if found.parts.is_empty() {
        (found.level == Level::Fail).then_some(found)
    } else {
        found.parts.iter().find_map(first_failure)
    }
}

fn owner(user: &str, is_root: bool) -> Result<Option<Owner>, InitError> {
    match (user, is_root) {
        ("", false) => Ok(None),
        ("", true) => Ok(Owner::find(PACKAGES).ok()),
        (user, true) => Owner::find(user).map(Some),
        (user, false) => {
            let found = Owner::find(user)?;
            let me = found.uid == rustix::process::geteuid().as_raw();
            me.then_some(None)
                .ok_or_else(|| InitError::NotRoot(user.to_owned()))
        }
    }
}

/// The settings that are written whatever was chosen: a start in any folder is to find the same installation.
fn named(
    config: &Config,
    chosen: &Value,
    flags: &Flags,
    is_root: bool,
) -> Result<Value, InitError> {
    let mut named = Map::new();
    for (key, flag, path) in [
        ("data_dir", &flags.data_dir, &config.data_dir),
        ("keys_dir", &flags.keys_dir, &config.keys_dir),
    ] {
        let usual = flag.is_none() && chosen.get(key).is_none();
        let path = match path.to_str() {
            Some(name @ ("data" | "keys")) if usual && is_root => Path::new(ROOTS.1).join(name),
            _ => absolute(path)?,
        };
        named.insert(key.to_owned(), json!(path));
    }
    if let Some(socket) = &flags.socket {
        named.insert("socket".to_owned(), json!(absolute(socket)?));
    }
    if !flags.listen.is_empty() {
        named.insert("listen".to_owned(), json!(flags.listen));
    }
    if let Some(listen) = flags.proxy_listen {
        named.insert("proxy".to_owned(), json!({ "listen": listen }));
    }
    Ok(Value::Object(named))
}

fn absolute(path: &Path) -> Result<PathBuf, InitError> {
    std::path::absolute(path).map_err(InitError::file(path))
}

/// The ways to unseal. Those that need nobody come first: the ring is made with the first.
fn ways(slots: &SlotAnswers) -> Result<Vec<Way>, InitError> {
    let mut ways = Vec::new();
    if slots.key_file {
        ways.push(Way::KeyFile);
    }
    let credential = Some(&slots.credential).filter(|name| !name.is_empty());
    let named = credential
        .into_iter()
        .map(|name| (SlotKind::Credential, name));
    let named = named.chain(slots.exec.iter().map(|name| (SlotKind::Exec, name)));
    let named = named.chain(slots.pkcs11.iter().map(|name| (SlotKind::Pkcs11, name)));
    for (kind, name) in named {
        ways.push(Way::Custodian(kind, CustodianName::parse(name)?));
    }
    if slots.passphrase || !slots.passphrase_file.as_os_str().is_empty() {
        ways.push(Way::Passphrase);
    }
    if slots.shares > 0 {
        let number = |number| u8::try_from(number).map_err(|_| CustodyError::ShareCount);
        ways.push(Way::Shares(number(slots.shares)?, number(slots.threshold)?));
    }
    if ways.is_empty() {
        ways.push(Way::KeyFile);
    }
    Ok(ways)
}

/// What the answers must agree in, so that nothing of it shows only when the half is made.
fn agree(config: &Config, ways: &[Way], slots: &SlotAnswers) -> Result<(), InitError> {
    for way in ways {
        match way {
            Way::Shares(count, threshold) if !(2..=*count).contains(threshold) => {
                return Err(CustodyError::ShareCount.into());
            }
            Way::Custodian(kind, name) => {
                config.custodians().find(*kind, name.clone())?;
            }
            Way::KeyFile | Way::Passphrase | Way::Shares(..) => {}
        }
    }
    let has_shares = slots.shares > 0;
    if !has_shares && (slots.threshold > 0 || !slots.shares_to.as_os_str().is_empty()) {
        let what =
            "slots.threshold and slots.shares_to are of shares, and slots.shares says of none";
        return Err(InitError::Disagree(what));
    }
    if let Some(backup) = &config.backup.to
        && backup.starts_with(&config.data_dir)
    {
        let what = "settings.backup.to lies in data_dir: a backup belongs on another disk";
        return Err(InitError::Disagree(what));
    }
    Ok(())
}
