//! The name of an environment variable that holds a credential.

use smol_str::SmolStr;

/// An environment variable for one credential: `[A-Z][A-Z0-9_]{0,127}`, with an underscore in it.
///
/// A tool's file names such variables, and a file may be anybody's. So a name by which programs are
/// steered is none: `PATH`, `HOME` and their like have no underscore, and [`STEERING`] lists the rest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VariableName(SmolStr);

/// Why a text is no [`VariableName`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum VariableNameError {
    /// A wrong length, or a character outside the alphabet.
    #[error(
        "a variable for a credential is upper-case letters, digits and underscores, such as CRM_API_KEY"
    )]
    Alphabet,
    /// Programs read something else than a credential from it.
    #[error("a variable of this name steers programs: name one that holds a credential")]
    Steers,
}

/// How names begin and end that say what to load, where to look, or whom to ask.
const STEERING: [&[&str]; 2] = [
    &["RUNTOOLS_", "LD_", "DYLD_", "BASH_", "LC_", "XDG_"],
    &[
        "_PROXY", "_OPTIONS", "_OPTS", "_PATH", "_COMMAND", "_PRELOAD", "_HOME", "_DIR", "_FILE",
        "_CONFIG", "_CERT", "_CERTS", "_BUNDLE", "_CAINFO", "_ENV",
    ],
];

impl VariableName {
    /// The longest name, in characters.
    pub const MAX: usize = 128;

    /// Reads a name.
    ///
    /// # Errors
    /// [`VariableNameError`], which states the rule and not the text.
    pub fn parse(text: &str) -> Result<Self, VariableNameError> {
        let letter = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        let starts_well = text.starts_with(|c: char| c.is_ascii_uppercase());
        if !starts_well || text.len() > Self::MAX || !text.bytes().all(letter) {
            return Err(VariableNameError::Alphabet);
        }
        let [begins, ends] = STEERING;
        let steers = !text.contains('_')
            || begins.iter().any(|word| text.starts_with(word))
            || ends.iter().any(|word| text.ends_with(word));
        if steers {
            return Err(VariableNameError::Steers);
        }
        Ok(Self(text.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

kept_as_text!(VariableName);

#[cfg(test)]
mod tests {
    use super::{VariableName, VariableNameError};

    #[test]
    fn what_sdks_read_their_keys_from_is_a_name() {
        for name in ["GITHUB_TOKEN", "AWS_ACCESS_KEY_ID", "X_1", "A_"] {
            assert_eq!(VariableName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn what_is_no_variable_or_steers_programs_is_refused() {
        let long = format!("A_{}", "B".repeat(127));
        for text in [
            "",
            "_A",
            "1_A",
            "github_token",
            "A B_C",
            "A_=",
            "A_\n",
            "Ä_B",
            &long,
        ] {
            let refused = VariableName::parse(text).unwrap_err();
            assert_eq!(refused, VariableNameError::Alphabet, "{text}");
        }
        for text in [
            "PATH",
            "HOME",
            "ENV",
            "LD_PRELOAD",
            "BASH_ENV",
            "NODE_OPTIONS",
            "HTTPS_PROXY",
            "RUNTOOLS_API_KEY",
            "GIT_SSH_COMMAND",
            "PYTHONPATH",
            "GEM_PATH",
            "AWS_CA_BUNDLE",
        ] {
            let refused = VariableName::parse(text).unwrap_err();
            assert_eq!(refused, VariableNameError::Steers, "{text}");
        }
    }
}
