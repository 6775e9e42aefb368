//! The values that templates may name.

use std::collections::BTreeMap;
use std::fmt;

use super::bound::Bound;
use crate::secret::Secret;

/// Names and their values, borrowed for one rendering.
#[derive(Clone, Default)]
pub struct Vars<'a>(BTreeMap<(&'a str, &'a str), Value<'a>>);

/// A value.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    /// What may be seen.
    Text(&'a str),
    /// What may not.
    Secret(&'a Secret),
}

impl<'a> Vars<'a> {
    /// No values.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The parameters and captured values of a connection, as `params.*` and `meta.*`.
    #[must_use]
    pub fn of(bound: &'a Bound) -> Self {
        let spaces = [("params", bound.params()), ("meta", bound.meta())];
        let values = spaces.into_iter().flat_map(|(space, values)| {
            values
                .iter()
                .map(move |(name, value)| ((space, name.as_str()), Value::Text(value)))
        });
        Self(values.collect())
    }

    /// With a value that may be seen.
    #[must_use]
    pub fn text(mut self, name: &'a str, value: &'a str) -> Self {
        self.0.insert(split(name), Value::Text(value));
        self
    }

    /// With a value that may not.
    #[must_use]
    pub fn secret(mut self, name: &'a str, value: &'a Secret) -> Self {
        self.0.insert(split(name), Value::Secret(value));
        self
    }

    /// Whether there is such a value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn get(&self, name: &str) -> Option<Value<'a>> {
        self.0.get(&split(name)).copied()
    }
}

/// `params.shop` is `shop` in the space `params`; a plain name stands in none.
fn split(name: &str) -> (&str, &str) {
    name.split_once('.').unwrap_or(("", name))
}

/// Shows names only: a text may be an authorization code.
impl fmt::Debug for Vars<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
