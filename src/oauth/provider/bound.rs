//! What one connection told and what was captured for it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The checked parameters of a connection, and the values captured from callback and token answer.
/// Nothing in it is secret. It is stored with the connection, and made by
/// [`Provider::bind`](super::Provider::bind).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    pub(super) params: BTreeMap<String, String>,
    pub(super) meta: BTreeMap<String, String>,
}

impl Bound {
    /// What was told: `{params.*}`.
    #[must_use]
    pub const fn params(&self) -> &BTreeMap<String, String> {
        &self.params
    }

    /// What was captured: `{meta.*}`.
    #[must_use]
    pub const fn meta(&self) -> &BTreeMap<String, String> {
        &self.meta
    }
}
