//! Settings of who holds keys for the broker.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Config, ConfigError};
use crate::custody::{CustodianName, Custodians, Program, SlotKind};

/// Who holds keys for the broker, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CustodySettings {
    /// Programs.
    pub exec: BTreeMap<String, ExecSettings>,
}

/// A program that holds keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecSettings {
    /// Where it is; an absolute path.
    pub program: PathBuf,
    /// What it is started with.
    #[serde(default)]
    pub arguments: Vec<String>,
}

/// What a section of `exec` has in it.
pub(super) const EXEC: &str = "a section [custody.exec.NAME], its name of a to z, digits and hyphens, \
    with program, an absolute path, and arguments, if it takes any";

impl CustodySettings {
    /// Refuses names that are none, and paths that depend on where the broker is started.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        for (name, exec) in &self.exec {
            if CustodianName::parse(name).is_err() || !exec.program.is_absolute() {
                return Err(ConfigError::Kind {
                    key: "custody.exec".to_owned(),
                    wanted: EXEC,
                });
            }
        }
        Ok(())
    }
}

impl Config {
    /// Who may open the key ring without a person.
    #[must_use]
    pub fn custodians(&self) -> Custodians {
        let mut who = Custodians::of(&self.keys_dir);
        who = who.with_credentials(self.credentials_dir.clone());
        for (name, exec) in &self.custody.exec {
            // A name that is none was refused with the file.
            if let Ok(name) = CustodianName::parse(name) {
                let program = Program::new(&exec.program, &exec.arguments);
                who = who.with_program(SlotKind::Exec, name, program);
            }
        }
        who
    }
}
