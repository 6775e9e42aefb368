//! What is to be made, as a file says it or a person at a terminal.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::InitError;
use crate::config::{ConfigError, refuse_unknown};

/// The answers. What is left out is as a first start has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Answers {
    /// The user of the machine who is to run the broker: for root to say.
    pub user: String,
    /// The first organisation.
    pub organization: OrganizationAnswers,
    /// The ways to unseal.
    pub slots: SlotAnswers,
    /// What is to stand in the settings file, by the names that it has there.
    pub settings: toml::Table,
}

/// The first organisation and its admin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrganizationAnswers {
    /// What it is called.
    pub name: String,
    /// What its admin is called.
    pub admin: String,
    /// The admin's e-mail address.
    pub email: String,
    /// The user of the machine as whom the admin comes; else who runs the broker.
    pub login: String,
}

/// The ways to unseal. Without any it is a key file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SlotAnswers {
    /// A key file in the keys directory, so that starts need nobody.
    pub key_file: bool,
    /// A passphrase.
    pub passphrase: bool,
    /// The file that holds it; else it is asked for, or piped in.
    pub passphrase_file: PathBuf,
    /// How many shares there are to be.
    pub shares: u64,
    /// How many of them unseal.
    pub threshold: u64,
    /// The folder that the shares are put into, a file each; else they are shown at the terminal.
    pub shares_to: PathBuf,
    /// The name of a systemd credential.
    pub credential: String,
    /// Names of sections `custody.exec` of the settings.
    pub exec: Vec<String>,
    /// Names of sections `custody.pkcs11` of the settings.
    pub pkcs11: Vec<String>,
}

impl Answers {
    /// Reads a file of answers.
    ///
    /// # Errors
    /// [`InitError::Answers`] for what is not TOML, for a key that there is not and for a value of another kind.
    pub fn parse(text: &str) -> Result<Self, InitError> {
        let syntax = |error: &toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start);
            let before = text.bytes().take(start).filter(|byte| *byte == b'\n');
            InitError::Answers(ConfigError::Syntax {
                line: before.count() + 1,
            })
        };
        let table: toml::Table = toml::from_str(text).map_err(|error| syntax(&error))?;
        let known = serde_json::to_value(Self::default()).unwrap_or_default();
        refuse_unknown(&json(&table), &known).map_err(InitError::Answers)?;
        toml::from_str(text).map_err(|error| syntax(&error))
    }
}

/// A table as JSON has it.
pub(super) fn json(table: &toml::Table) -> Value {
    serde_json::to_value(table).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::Answers;

    #[test]
    fn a_file_is_read_and_what_it_should_not_have_is_named() {
        let text = "[organization]\nname = 'Example'\n[slots]\nshares = 5\nthreshold = 3\n\
                    [settings]\nlisten = ['127.0.0.1:1']\ntls.cert = 'c'";
        let answers = Answers::parse(text).unwrap();
        assert_eq!(answers.organization.name, "Example");
        assert_eq!((answers.slots.shares, answers.slots.threshold), (5, 3));
        assert!(answers.settings.contains_key("tls"));
        assert_eq!(Answers::parse("").unwrap(), Answers::default());
        for (text, words) in [
            ("usr = 'x'", "unknown setting `usr`: did you mean `user`?"),
            (
                "[organization]\nnam = 'x'",
                "unknown setting `organization.nam`: did you mean `organization.name`?",
            ),
            (
                "[slots]\npassphrase = 'canary'",
                "`slots.passphrase` wants true or false",
            ),
            ("slots.shares = -1", "`slots.shares` wants a whole number"),
            ("\nuser = ", "line 2 is not valid TOML"),
        ] {
            let refused = Answers::parse(text).unwrap_err();
            assert_eq!(refused.to_string(), format!("the answers: {words}"));
            assert_eq!(refused.code(), "answers_refused");
        }
    }
}
