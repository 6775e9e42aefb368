//! Why a provider file does not load.

/// A refusal: which file, which key, and why. The reason quotes names of the file, never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The text is no TOML, or says something that no key is for.
    #[error("{file}, line {line}: {reason}")]
    Syntax {
        /// The file.
        file: Box<str>,
        /// The line, counted from 1; 0 when the reader did not say.
        line: usize,
        /// What is wrong.
        reason: Box<str>,
    },
    /// A rule is broken.
    #[error("{file}: {key}: {reason}")]
    Rule {
        /// The file.
        file: Box<str>,
        /// The key, with dots.
        key: Box<str>,
        /// What is wrong.
        reason: Box<str>,
    },
}

/// A broken rule, before it is known in which file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    key: String,
    reason: String,
}

impl Fault {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "so that an error is handed on as it is"
    )]
    pub(super) fn new(key: impl Into<String>, reason: impl ToString) -> Self {
        Self {
            key: key.into(),
            reason: reason.to_string(),
        }
    }

    pub(super) fn of(self, file: &str) -> ProviderError {
        ProviderError::Rule {
            file: file.into(),
            key: self.key.into(),
            reason: self.reason.into(),
        }
    }
}

/// Refuses unless `holds`.
pub(super) fn ensure(
    holds: bool,
    key: impl Into<String>,
    reason: &'static str,
) -> Result<(), Fault> {
    if holds {
        Ok(())
    } else {
        Err(Fault::new(key, reason))
    }
}

impl ProviderError {
    /// What the TOML reader said, without the value it stumbled on.
    pub(super) fn syntax(file: &str, text: &str, error: &toml::de::Error) -> Self {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map_or(0, |before| before.matches('\n').count().saturating_add(1));
        let said = error.message();
        let reason = match said.rsplit_once(", expected ") {
            Some((found, expected)) if found.starts_with("invalid ") => {
                format!("expected {expected}")
            }
            Some((found, expected)) if found.starts_with("unknown variant ") => {
                format!("unknown variant, expected {expected}")
            }
            _ => said.to_owned(),
        };
        Self::Syntax {
            file: file.into(),
            line,
            reason: reason.into(),
        }
    }
}
