//! Settings of who holds keys for the broker.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Config, ConfigError};
use crate::custody::{CustodianName, Custodians, Program, SlotKind};

/// Who holds keys for the broker, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CustodySettings {
    /// Programs.
    pub exec: BTreeMap<String, ExecSettings>,
    /// Devices.
    pub pkcs11: BTreeMap<String, Pkcs11Settings>,
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

/// A device that holds a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pkcs11Settings {
    /// Its PKCS#11 library; an absolute path.
    pub library: PathBuf,
    /// The label of the token.
    pub token: String,
    /// The label of the AES key.
    pub key: String,
    /// A file of mode 0600 that holds the user's PIN; an absolute path.
    pub pin_file: PathBuf,
    /// Variables that the library reads. It finds no others.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// What a section of `pkcs11` has in it.
const PKCS11: &str = "a section [custody.pkcs11.NAME], its name of a to z, digits and hyphens, \
    with library and pin_file, absolute paths, token and key, labels, and environment, if it needs one";

/// What a section of `exec` has in it.
const EXEC: &str = "a section [custody.exec.NAME], its name of a to z, digits and hyphens, \
    with program, an absolute path, and arguments, if it takes any";

/// The kinds of sections with names, and what each wants.
pub(super) const SECTIONS: [(&str, &str); 2] = [("custody.exec", EXEC), ("custody.pkcs11", PKCS11)];

impl CustodySettings {
    /// Whether the broker starts other programs.
    #[must_use]
    pub fn runs_programs(&self) -> bool {
        !self.exec.is_empty() || !self.pkcs11.is_empty()
    }

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
        for (name, device) in &self.pkcs11 {
            let full = device.library.is_absolute() && device.pin_file.is_absolute();
            if CustodianName::parse(name).is_err() || !full {
                return Err(ConfigError::Kind {
                    key: "custody.pkcs11".to_owned(),
                    wanted: PKCS11,
                });
            }
        }
        Ok(())
    }
}

impl Pkcs11Settings {
    /// This program again, as the process in which the library is loaded.
    fn program(&self) -> Program {
        let path = |path: &Path| path.display().to_string();
        let words = [
            "pkcs11".to_owned(),
            format!("--library={}", path(&self.library)),
            format!("--token={}", self.token),
            format!("--key={}", self.key),
            format!("--pin-file={}", path(&self.pin_file)),
        ];
        Program::own(&words).with_environment(&self.environment)
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
        for (name, device) in &self.custody.pkcs11 {
            if let Ok(name) = CustodianName::parse(name) {
                who = who.with_program(SlotKind::Pkcs11, name, device.program());
            }
        }
        who
    }
}
