//! What may be asked for (A8): the file's list, and more only with somebody's leave.
//!
//! A provider may have further lists of scopes, which are asked for in parameters of their own (Slack's of
//! the person, beside its bot's). Everywhere here, a scope of such a list is written with the list's name
//! before it: `user:chat:write`.

use super::Provider;
use super::spec::{Map, Spec};

/// The most scopes of one request.
const MAX_SCOPES: usize = 100;
/// The longest scope, in bytes.
const MAX_BYTES: usize = 256;

/// Whether scopes outside the file's list may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// They may not.
    Refused,
    /// They may: the organisation uses a client of its own, and permits it.
    Allowed,
}

/// Why scopes cannot be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeFault {
    /// One of them is not in the file's list.
    #[error("scope {position} of those asked for is not in the provider's list")]
    Unlisted {
        /// Which, counted from 1.
        position: usize,
    },
    /// One of them is no scope (RFC 6749 section 3.3).
    #[error("scope {position} of those asked for is not written as one")]
    Form {
        /// Which, counted from 1.
        position: usize,
    },
    /// There are too many.
    #[error("at most {MAX_SCOPES} scopes are asked for at a time")]
    TooMany,
}

impl Provider {
    /// The scopes of a request: those that a connection always has, then those asked for, each once.
    ///
    /// # Errors
    /// [`ScopeFault`] for the first of `asked` that may not be asked for.
    pub fn allowed_scopes(
        &self,
        asked: &[String],
        beyond: Beyond,
    ) -> Result<Vec<String>, ScopeFault> {
        let listed = listed(self.spec());
        for (index, scope) in asked.iter().enumerate() {
            let position = index.saturating_add(1);
            if !is_scope(scope) || self.separates(scope) {
                return Err(ScopeFault::Form { position });
            }
            if beyond == Beyond::Refused && !listed.contains(&scope.as_str()) {
                return Err(ScopeFault::Unlisted { position });
            }
        }
        let scopes = &self.spec().scopes;
        let mut all: Vec<String> = Vec::new();
        for scope in scopes.default.iter().chain(&scopes.required).chain(asked) {
            if !all.contains(scope) {
                all.push(scope.clone());
            }
        }
        (all.len() <= MAX_SCOPES)
            .then_some(all)
            .ok_or(ScopeFault::TooMany)
    }

    /// The same scopes list by list, as they are sent: the provider's main one, and its further ones by
    /// their names.
    #[must_use]
    pub fn by_list(&self, scopes: Vec<String>) -> (Vec<String>, Map<Vec<String>>) {
        let (mut main, mut further): (_, Map<Vec<String>>) = (Vec::new(), Map::new());
        for scope in scopes {
            match self.further_list(&scope) {
                Some((list, rest)) => {
                    let of_list = further.entry(list.to_owned()).or_default();
                    of_list.push(rest.to_owned());
                }
                None => main.push(scope),
            }
        }
        (main, further)
    }

    /// What a connection was made with, from what is kept of it: what it `asked` of the main list, and what
    /// it was `granted` of the further ones.
    #[must_use]
    pub fn made_with(&self, asked: &[String], granted: &[String]) -> Vec<String> {
        let further = |scope: &&String| self.further_list(scope).is_some();
        let further = granted.iter().filter(further);
        asked.iter().chain(further).cloned().collect()
    }

    fn further_list<'s>(&self, scope: &'s str) -> Option<(&'s str, &'s str)> {
        let authorize = self.spec().authorize.as_ref()?;
        let (list, rest) = scope.split_once(':')?;
        let known = authorize.extra_scope_params.contains_key(list) && !rest.is_empty();
        known.then_some((list, rest))
    }

    /// Whether a text would be read as two scopes.
    fn separates(&self, scope: &str) -> bool {
        let authorize = self.spec().authorize.as_ref();
        authorize.is_some_and(|authorize| scope.contains(&authorize.scope_separator))
    }
}

/// What the file lists.
fn listed(spec: &Spec) -> Vec<&str> {
    let scopes = &spec.scopes;
    let available = scopes.available.iter().map(|available| &available.scope);
    let all = scopes.default.iter().chain(&scopes.required);
    all.chain(available).map(String::as_str).collect()
}

/// RFC 6749 section 3.3: visible ASCII without quotation mark and backslash.
pub(super) fn is_scope(text: &str) -> bool {
    (1..=MAX_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
}
