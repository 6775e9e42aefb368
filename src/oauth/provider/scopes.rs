//! What may be asked for (A8): the file's list, and more only with somebody's leave.

use super::Provider;
use super::spec::Spec;

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
