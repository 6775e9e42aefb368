//! Names that have a single spelling from the start: slugs, fields, actions, providers.

/// A text that breaks the rule of its kind of name; the message states the rule, not the text.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule}")]
pub struct PlainNameError {
    rule: &'static str,
}

/// `[a-z0-9]` at both ends, `[a-z0-9-]` between.
fn is_slug(text: &str, max: usize) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = text.bytes().next().is_some_and(inner) && text.bytes().last().is_some_and(inner);
    ends && text.len() <= max && text.bytes().all(|b| inner(b) || b == b'-')
}

/// A letter, then letters, digits and underscores.
fn is_word(text: &str, max: usize) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.len() <= max
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident: $check:ident($max:literal), $rule:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(smol_str::SmolStr);

        impl $name {
            /// Reads a name.
            ///
            /// # Errors
            /// [`PlainNameError`], which states the rule.
            pub fn parse(text: &str) -> Result<Self, PlainNameError> {
                if $check(text, $max) { Ok(Self(text.into())) } else { Err(PlainNameError { rule: $rule }) }
            }

            /// The name as it was written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        kept_as_text!($name);
    )+};
}

names! {
    /// A tool's slug, e.g. `custom-crm`.
    ToolSlug: is_slug(64),
        "a tool's slug is 1 to 64 lower-case letters, digits and hyphens, with no hyphen at either end";
    /// An organisation's slug, e.g. `acme`.
    OrgSlug: is_slug(64),
        "an organisation's slug is 1 to 64 lower-case letters, digits and hyphens, with no hyphen at either end";
    /// A service of an organisation, e.g. `tool-hub`.
    ServiceName: is_slug(64),
        "a service's name is 1 to 64 lower-case letters, digits and hyphens, with no hyphen at either end";
    /// A provider of connected accounts, e.g. `github`.
    ProviderId: is_slug(64),
        "a provider's id is 1 to 64 lower-case letters, digits and hyphens, with no hyphen at either end";
    /// A credential field of a tool, e.g. `apiKey`.
    FieldName: is_word(64),
        "a field's name is a letter followed by letters, digits and underscores, 64 characters at most";
    /// An action of a tool, e.g. `lookup_customer`.
    ActionName: is_word(64),
        "an action's name is a letter followed by letters, digits and underscores, 64 characters at most";
}

#[cfg(test)]
mod tests {
    use super::{FieldName, ToolSlug};

    #[test]
    fn slugs_and_words_follow_their_rules() {
        for good in ["a", "7", "custom-crm", "a--b"] {
            assert!(ToolSlug::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "", "-a", "a-", "A", "a_b", "a.b", "a/b", "..", "%2e", "a\0", "é",
        ] {
            assert!(ToolSlug::parse(bad).is_err(), "{bad}");
        }
        assert!(ToolSlug::parse(&"a".repeat(65)).is_err());
        assert!(FieldName::parse("apiKey").is_ok());
        for bad in ["", "1a", "_a", "a-b", "a b"] {
            assert!(FieldName::parse(bad).is_err(), "{bad}");
        }
    }
}
