//! What stands beside a secret's value, and the rules for both.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::name::{HostPattern, SecretName};
use crate::secret::{MAX_VALUE_BYTES, Secret};
use crate::wire::{Category, SecretScope};

use super::VaultError;

/// A secret's metadata, as it stands in its sealed box. The binding policy (`hosts`) is part of it,
/// and its digest is in the value's context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretInfo {
    /// Its name.
    pub name: SecretName,
    /// What it is for.
    pub category: Category,
    /// Where it may be used.
    pub scope: SecretScope,
    /// What its owner wrote about it.
    pub description: Option<String>,
    /// The only hosts it may be sent to; empty when the tool's binding decides alone.
    pub hosts: Vec<HostPattern>,
    /// Whether its value can be revealed where policy allows.
    pub revealable: bool,
    /// When it stops being usable.
    pub expires: Option<Timestamp>,
    /// When anything about it last changed.
    pub updated: Timestamp,
}

impl SecretInfo {
    /// The metadata of a secret that says nothing of itself.
    #[must_use]
    pub fn new(name: SecretName, now: Timestamp) -> Self {
        Self {
            name,
            category: Category::default(),
            scope: SecretScope::default(),
            description: None,
            hosts: Vec::new(),
            revealable: true,
            expires: None,
            updated: now,
        }
    }

    /// Whether its time is over.
    #[must_use]
    pub fn expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }
}

/// The most hosts that one secret may be bound to.
const MAX_HOSTS: usize = 32;
/// The longest description, in characters.
const MAX_DESCRIPTION: usize = 500;

/// Checks a value: 1 to 64 KiB of printable ASCII. Everything that could end a header line, and
/// everything that could be spelled in two ways, is refused before it is stored.
///
/// # Errors
/// [`VaultError::Rule`] with the rule that is broken.
pub fn check_value(value: &Secret) -> Result<(), VaultError> {
    if value.is_empty() {
        return Err(VaultError::Rule("a secret's value is empty"));
    }
    if value.len() > MAX_VALUE_BYTES {
        return Err(VaultError::Rule(
            "a secret's value is longer than 65,536 bytes",
        ));
    }
    let printable = value.expose(|bytes| bytes.iter().all(|byte| matches!(byte, b' '..=b'~')));
    let edges = value.expose(|bytes| bytes.first() == Some(&b' ') || bytes.last() == Some(&b' '));
    if !printable {
        return Err(VaultError::Rule(
            "a secret's value is printable ASCII without line breaks; store anything else in base64",
        ));
    }
    if edges {
        return Err(VaultError::Rule(
            "a secret's value begins or ends with a space",
        ));
    }
    Ok(())
}

/// Checks a description.
///
/// # Errors
/// [`VaultError::Rule`] with the rule that is broken.
pub fn check_description(text: &str) -> Result<(), VaultError> {
    if text.chars().count() > MAX_DESCRIPTION || text.chars().any(char::is_control) {
        return Err(VaultError::Rule(
            "a description has at most 500 characters and no control characters",
        ));
    }
    Ok(())
}

/// Checks a list of hosts.
pub(super) fn check_hosts(hosts: &[HostPattern]) -> Result<(), VaultError> {
    if hosts.len() > MAX_HOSTS {
        return Err(VaultError::Rule("a secret is bound to at most 32 hosts"));
    }
    Ok(())
}

/// Reads when something ends: an RFC 3339 time in the future, a span (`30d`, `6m`, `1y`), or `never`.
///
/// # Errors
/// [`VaultError::Rule`] with the forms that are accepted.
pub fn parse_expiry(text: &str, now: Timestamp) -> Result<Option<Timestamp>, VaultError> {
    const RULE: VaultError = VaultError::Rule(
        "an expiry is a time in the future such as 2027-01-31T00:00:00Z, a span such as 30d, 6m or 1y, or never",
    );
    if text == "never" {
        return Ok(None);
    }
    let end = match span_seconds(text) {
        Some(seconds) => now.plus_seconds(seconds),
        None => Timestamp::parse(text).map_err(|_| RULE)?,
    };
    if end > now { Ok(Some(end)) } else { Err(RULE) }
}

/// Reads `30d`, `6m` (of 30 days), `1y` (of 365 days), at most ten years, in seconds.
#[must_use]
pub fn span_seconds(text: &str) -> Option<i64> {
    const DAY: i64 = 86_400;
    let unit = match text.as_bytes().last()? {
        b'd' => DAY,
        b'm' => 30 * DAY,
        b'y' => 365 * DAY,
        _ => return None,
    };
    let digits = text.get(..text.len() - 1)?;
    let plain = (1..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let count: i64 = if plain {
        digits.parse().ok()?
    } else {
        return None;
    };
    let seconds = count.checked_mul(unit)?;
    (1..=3650 * DAY).contains(&seconds).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::{check_value, parse_expiry};
    use crate::clock::Timestamp;
    use crate::secret::Secret;

    #[test]
    fn ht_5_values_that_could_break_a_header_are_refused() {
        for bad in ["", "a\r\nb", "a\n", "a\0b", "clé", " a", "a ", "\ta"] {
            assert!(
                check_value(&Secret::copy_of(bad.as_bytes())).is_err(),
                "{bad:?}"
            );
        }
        assert!(check_value(&Secret::copy_of(&[0xff, 0xfe])).is_err());
        assert!(check_value(&Secret::take(vec![b'a'; 65_536])).is_ok());
        assert!(check_value(&Secret::take(vec![b'a'; 65_537])).is_err());
        assert!(check_value(&Secret::copy_of(b"a b~!")).is_ok());
    }

    #[test]
    fn an_expiry_is_a_span_a_time_or_never() {
        let now = Timestamp::parse("2026-11-23T00:00:00Z").unwrap();
        let end = |text| {
            parse_expiry(text, now)
                .ok()
                .flatten()
                .map(|end| end.to_string())
        };
        assert_eq!(end("30d").as_deref(), Some("2026-12-23T00:00:00.000Z"));
        assert_eq!(end("1y").as_deref(), Some("2027-11-23T00:00:00.000Z"));
        assert_eq!(
            end("2027-01-31T00:00:00Z").as_deref(),
            Some("2027-01-31T00:00:00.000Z")
        );
        assert!(parse_expiry("never", now).unwrap().is_none());
        for bad in [
            "0d",
            "-1d",
            "d",
            "1w",
            "30",
            "99999d",
            "2026-11-22T00:00:00Z",
            "+1d",
            "1 d",
            "11y",
        ] {
            assert!(parse_expiry(bad, now).is_err(), "{bad}");
        }
    }
}
