//! The settings file.

use super::file::{parse, validate};

/// Settings, or a sentence that says which is not.
pub(crate) fn settings(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    let refused = parse(text).and_then(|config| validate(&config)).err();
    assert!(refused.is_none_or(|error| !error.to_string().is_empty()));
}
