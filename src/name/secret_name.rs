//! The name of a secret.

use smol_str::{SmolStr, StrExt};

use super::likeness::is_name_like;

/// A secret's name: `[A-Z][A-Z0-9_]{0,127}`. Lower case is accepted and folded at the edge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(SmolStr);

/// Why a text is no secret name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretNameError {
    /// Nothing was written.
    #[error("a secret's name is missing")]
    Empty,
    /// More than 128 characters.
    #[error("a secret's name has at most 128 characters")]
    TooLong,
    /// A character outside the alphabet. `nearest` is a legal name made of what was legal in it, when that
    /// looks like a name: else it may be a value in the wrong place, which is not repeated.
    #[error("a secret's name is a letter followed by letters, digits and underscores")]
    Alphabet {
        /// A legal name close to what was written, when there is one.
        nearest: Option<SecretName>,
    },
}

impl SecretName {
    /// The longest name, in characters.
    pub const MAX: usize = 128;

    /// Reads a name, folding it to upper case.
    ///
    /// # Errors
    /// [`SecretNameError`]; for a wrong character it carries the nearest legal name.
    pub fn parse(text: &str) -> Result<Self, SecretNameError> {
        if text.is_empty() {
            return Err(SecretNameError::Empty);
        }
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic());
        if !starts_well || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(SecretNameError::Alphabet {
                nearest: Some(text.trim())
                    .filter(|text| is_name_like(text))
                    .and_then(Self::nearest),
            });
        }
        if text.len() > Self::MAX {
            return Err(SecretNameError::TooLong);
        }
        Ok(Self(text.to_ascii_uppercase_smolstr()))
    }

    /// The name, in upper case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn nearest(text: &str) -> Option<Self> {
        let mut name = String::new();
        for c in text.chars().take(Self::MAX) {
            if c.is_ascii_alphanumeric() {
                name.push(c.to_ascii_uppercase());
            } else if !name.is_empty() && !name.ends_with('_') {
                name.push('_');
            }
        }
        let name = name
            .trim_end_matches('_')
            .trim_start_matches(|c: char| c.is_ascii_digit());
        let name = name.trim_start_matches('_');
        (!name.is_empty()).then(|| Self(name.into()))
    }
}

kept_as_text!(SecretName);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{SecretName, SecretNameError};

    #[test]
    fn lower_case_is_folded_and_nothing_else_is() {
        assert_eq!(
            SecretName::parse("github_Token1").unwrap().as_str(),
            "GITHUB_TOKEN1"
        );
        for wrong in [
            "my-key",
            "my key",
            " KEY",
            "KEY ",
            "1KEY",
            "_KEY",
            "ключ",
            "KEY\0",
            "K\u{2028}",
        ] {
            assert!(
                matches!(
                    SecretName::parse(wrong),
                    Err(SecretNameError::Alphabet { .. })
                ),
                "{wrong}"
            );
        }
        assert_eq!(SecretName::parse(""), Err(SecretNameError::Empty));
        assert!(SecretName::parse(&"A".repeat(128)).is_ok());
        assert_eq!(
            SecretName::parse(&"A".repeat(129)),
            Err(SecretNameError::TooLong)
        );
    }

    #[test]
    fn the_nearest_legal_name_is_offered() {
        let nearest = |text| match SecretName::parse(text) {
            Err(SecretNameError::Alphabet { nearest }) => nearest.map(|name| name.to_string()),
            _ => None,
        };
        assert_eq!(nearest("my-key").as_deref(), Some("MY_KEY"));
        assert_eq!(nearest("  2nd key "), Some("ND_KEY".into()));
        assert_eq!(nearest("ключ"), None);
    }

    #[test]
    fn what_may_be_a_value_is_not_repeated() {
        for value in [
            "sk-proj-9f8e7d6c5b",
            "2nd key!",
            "ghp_0123/4567",
            "q-xQzWpLrTvN",
        ] {
            assert_eq!(
                SecretName::parse(value),
                Err(SecretNameError::Alphabet { nearest: None })
            );
        }
    }

    proptest! {
        #[test]
        fn a_parsed_name_reads_back_as_itself(text in ".{0,140}") {
            if let Ok(name) = SecretName::parse(&text) {
                prop_assert_eq!(SecretName::parse(name.as_str()).unwrap(), name.clone());
                prop_assert_eq!(text.to_ascii_uppercase(), name.as_str());
            }
        }
    }
}
