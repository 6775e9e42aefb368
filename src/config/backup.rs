//! Backups.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Config, ConfigError};
use crate::backup::{Plan, Recipients, Schedule};

/// Backups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackupSettings {
    /// Who may open them: age recipients.
    pub recipients: Vec<String>,
    /// Days after which the key of one is to be destroyed; 0 for never.
    pub key_days: u32,
    /// The folder of those that the broker makes by itself. Without it, it makes none.
    pub to: Option<PathBuf>,
    /// Hours between two of them.
    pub every_hours: u32,
    /// How many of them are kept.
    pub keep: usize,
}

impl Default for BackupSettings {
    fn default() -> Self {
        Self {
            recipients: Vec::new(),
            key_days: 90,
            to: None,
            every_hours: 24,
            keep: 7,
        }
    }
}

impl BackupSettings {
    /// Refuses recipients that are none, and backups that nobody could open.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let refuse = |key: &str, wanted| {
            Err(ConfigError::Kind {
                key: key.to_owned(),
                wanted,
            })
        };
        if !self.recipients.is_empty() && Recipients::parse(&self.recipients).is_err() {
            return refuse("backup.recipients", "age recipients, as [\"age1…\"]");
        }
        if self.to.is_some() && self.recipients.is_empty() {
            return refuse(
                "backup.to",
                "backup.recipients beside it: who may open them",
            );
        }
        Ok(())
    }
}

impl Config {
    /// What the settings say of backups.
    #[must_use]
    pub fn backup_plan(&self) -> Plan {
        let backup = &self.backup;
        Plan {
            // Those that are none were refused with the file.
            recipients: Recipients::parse(&backup.recipients).ok(),
            key_days: backup.key_days,
            settings: self.text.clone(),
            schedule: backup.to.clone().map(|to| Schedule {
                to,
                every_hours: backup.every_hours,
                keep: backup.keep,
            }),
        }
    }
}
