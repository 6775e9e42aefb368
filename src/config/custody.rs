//! Settings of who holds keys for the broker.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Config, ConfigError};
use crate::custody::{
    Attendant, CustodianFault, CustodianName, Custodians, LOADS_LIBRARIES, Program, SlotKind,
    attend, receive,
};

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
    /// Starts the process that starts the programs: a confined broker starts none. `word` is the verb that
    /// [`attend`](Self::attend) is behind.
    ///
    /// # Errors
    /// When the system does not start it.
    pub fn attendant(&self, word: &str) -> io::Result<Attendant> {
        Attendant::start(word, &serde_json::to_vec(self)?)
    }

    /// Is that process: answers what comes in until nothing more does.
    ///
    /// # Errors
    /// When what comes in is none of it, or the broker has gone.
    pub fn attend(mut questions: impl Read, answers: impl Write) -> io::Result<()> {
        let Some(settings) = receive(&mut questions)? else {
            return Ok(());
        };
        let config = Config {
            custody: serde_json::from_slice(&settings)?,
            ..Config::default()
        };
        let programs: Vec<_> = config.custodians().programs().collect();
        attend(&programs, questions, answers)
    }

    /// The files that are run: programs, and libraries of devices.
    pub fn programs(&self) -> impl Iterator<Item = &Path> {
        let programs = self.exec.values().map(|exec| &*exec.program);
        programs.chain(self.pkcs11.values().map(|device| &*device.library))
    }

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
    /// This program again, as the process in which the library is loaded, where it `loads` any.
    fn program(&self, loads: bool) -> Program {
        if !loads {
            return Program::refused(CustodianFault::Static);
        }
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
        self.custodians_of(LOADS_LIBRARIES)
    }

    /// The same, of a build that `loads` libraries or none.
    pub(super) fn custodians_of(&self, loads: bool) -> Custodians {
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
                who = who.with_program(SlotKind::Pkcs11, name, device.program(loads));
            }
        }
        who
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, Pkcs11Settings};
    use crate::clock::Timestamp;
    use crate::crypto::SystemRandom;
    use crate::custody::{CustodianName, NewSlot, Provider, Ring, SlotKind};
    use crate::id::StoreId;

    /// What comes of a slot that a device is to open, in a build that `loads` libraries or none.
    fn code(loads: bool) -> (&'static str, String, bool) {
        let mut config = Config::default();
        let device = Pkcs11Settings {
            library: "/nowhere/library.so".into(),
            token: "broker".to_owned(),
            key: "root".to_owned(),
            pin_file: "/nowhere/pin".into(),
            environment: std::collections::BTreeMap::new(),
        };
        config.custody.pkcs11.insert("hsm".to_owned(), device);
        let name = CustodianName::parse("hsm").unwrap();
        let hsm = config.custodians_of(loads).find(SlotKind::Pkcs11, name);
        let hsm = hsm.unwrap();
        let slot = NewSlot::new(
            Provider::Custodian(&hsm),
            "device",
            Timestamp::from_millis(7),
        );
        let folder = tempfile::tempdir().unwrap();
        let store = StoreId::from_bytes([1; 16]);
        let keys = folder.path().join("keys");
        let refused = Ring::create(&keys, store, &slot, &SystemRandom).unwrap_err();
        let said = format!("{refused}: {}", refused.hint());
        (refused.code(), said, refused.may_pass())
    }

    #[test]
    fn a_static_build_says_that_it_asks_no_device() {
        let (code_, said, may_pass) = code(false);
        assert_eq!(code_, "custodian_static");
        assert!(!may_pass, "it is not asked again and again");
        for words in ["custodian hsm", "static", "Debian package", "another slot"] {
            assert!(said.contains(words), "{said}");
        }
        // Any other asks it: here, by this test's own program, which is no broker.
        let (code, _, may_pass) = code(true);
        assert!(
            code.starts_with("custodian_") && code != "custodian_static",
            "{code}"
        );
        assert!(may_pass);
    }
}
