//! Who opens slots without a person being there.
//!
//! A slot says which custodian it needs by name only. Where that one is, and how it is asked, stands
//! in the broker's settings and not in the ring: whoever can write the ring could otherwise have the
//! broker read any file, and run any program, before the ring's MAC can be checked.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::child::Program;
use super::credential::Credential;
use super::means::{Means, SlotKind};
use super::plugin::Plugin;
use super::{Attendant, CustodianFault, CustodyError, KEY_FILE};

/// The longest name, in bytes.
pub(super) const MAX_NAME_BYTES: usize = 64;

/// What a custodian is called: letters a to z, digits, hyphens, so that no name is a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustodianName(String);

impl CustodianName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`CustodyError::Name`].
    pub fn parse(text: &str) -> Result<Self, CustodyError> {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let good = (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(letter);
        good.then(|| Self(text.to_owned()))
            .ok_or(CustodyError::Name)
    }

    /// The name as a text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CustodianName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who holds the key of a slot, and gives it without a person being asked.
#[derive(Clone, Debug)]
pub enum Custodian {
    /// systemd, which decrypted it for the service.
    Credential(Credential),
    /// A program that has it opened.
    Plugin(Plugin),
}

impl Custodian {
    /// What kind of slot it opens.
    #[must_use]
    pub const fn kind(&self) -> SlotKind {
        match self {
            Self::Credential(_) => SlotKind::Credential,
            Self::Plugin(plugin) => plugin.kind(),
        }
    }

    /// What it is called.
    #[must_use]
    pub const fn name(&self) -> &CustodianName {
        match self {
            Self::Credential(credential) => credential.name(),
            Self::Plugin(plugin) => plugin.name(),
        }
    }

    /// What is said when what it gives opens none of its slots.
    pub(super) fn refusal(&self) -> CustodyError {
        match self {
            Self::Credential(credential) => {
                CustodyError::WrongCredential(credential.name().clone())
            }
            Self::Plugin(plugin) => CustodyError::WrongAnswer(plugin.name().clone()),
        }
    }
}

/// Where everybody is who may be asked at a start that nobody attends.
#[derive(Clone, Debug)]
pub struct Custodians {
    key_file: PathBuf,
    credentials: Option<PathBuf>,
    plugins: Vec<Plugin>,
}

impl Custodians {
    /// The key file of a keys directory, and nobody else.
    #[must_use]
    pub fn of(keys: &Path) -> Self {
        Self {
            key_file: keys.join(KEY_FILE),
            credentials: None,
            plugins: Vec::new(),
        }
    }

    /// With the directory in which systemd puts the service's credentials.
    #[must_use]
    pub fn with_credentials(self, credentials: Option<PathBuf>) -> Self {
        Self {
            credentials,
            ..self
        }
    }

    /// With a program that opens slots of this kind.
    #[must_use]
    pub fn with_program(mut self, kind: SlotKind, name: CustodianName, program: Program) -> Self {
        let plugin = Plugin::new(kind, name, program);
        self.plugins.push(plugin);
        self
    }

    /// The programs, in the order in which an attendant knows them.
    pub fn programs(&self) -> impl Iterator<Item = Program> + '_ {
        self.plugins.iter().map(|plugin| plugin.program().clone())
    }

    /// The same, their programs started by the attendant, who has learned them from the same settings.
    #[must_use]
    pub fn by(self, attendant: &Arc<Attendant>) -> Self {
        let numbered = (0..=u16::MAX).zip(self.plugins);
        let plugins = numbered.map(|(number, plugin)| plugin.by(Arc::clone(attendant), number));
        Self {
            plugins: plugins.collect(),
            ..self
        }
    }

    /// The key file that a start reads.
    #[must_use]
    pub fn key_file(&self) -> &Path {
        &self.key_file
    }

    /// The custodian of this kind and name.
    ///
    /// # Errors
    /// [`CustodyError::Custodian`] when the settings have none; [`CustodyError::Name`] for a kind without.
    pub fn find(&self, kind: SlotKind, name: CustodianName) -> Result<Custodian, CustodyError> {
        match kind {
            SlotKind::KeyFile | SlotKind::Passphrase | SlotKind::Shares => Err(CustodyError::Name),
            SlotKind::Credential => {
                let credential = Credential::new(self.credentials.as_deref(), name);
                Ok(Custodian::Credential(credential))
            }
            SlotKind::Exec | SlotKind::Pkcs11 => {
                let mut plugins = self.plugins.iter();
                let found = plugins.find(|it| it.kind() == kind && *it.name() == name);
                let fault = CustodianFault::Unknown;
                let unknown = || CustodyError::Custodian { kind, name, fault };
                found.cloned().map(Custodian::Plugin).ok_or_else(unknown)
            }
        }
    }

    /// The custodian that a slot needs, if it needs one.
    pub(super) fn for_means(&self, means: &Means) -> Option<Result<Custodian, CustodyError>> {
        let name = means.custodian()?.clone();
        Some(self.find(means.kind(), name))
    }
}

#[cfg(test)]
mod tests {
    use super::CustodianName;

    #[test]
    fn a_name_is_never_a_path_an_option_of_a_shell_or_a_text_that_steers() {
        for good in ["a", "runtools-root-key", "7", &"x".repeat(64)] {
            assert_eq!(CustodianName::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "..",
            "a/b",
            "/etc/passwd",
            "a.b",
            "A",
            "a_b",
            "a b",
            "a\n",
            "ä",
            "$(x)",
            "a\0",
            &"x".repeat(65),
        ] {
            let refused = CustodianName::parse(bad).unwrap_err();
            assert_eq!(refused.code(), "name_invalid", "{bad:?}");
        }
    }
}
