//! What an API key may be used for.

use serde::{Deserialize, Serialize};

/// Every family of scopes with its verbs. `family:*` and `*` exist besides.
const FAMILIES: &[(&str, &[&str])] = &[
    ("secret", &["read", "write", "reveal"]),
    ("tool", &["read", "write", "execute"]),
    ("api-key", &["read", "write"]),
    ("org", &["read", "write", "members"]),
    ("audit", &["read"]),
    ("oauth", &["read", "write"]),
    ("broker", &["resolve"]),
    ("admin", &["resources"]),
    // Of the hosted platform: accepted on keys, so that they carry over, and without effect here.
    ("sandbox", &["create", "read", "write"]),
    ("agent", &["run", "read", "write"]),
    ("files", &["read", "write"]),
    ("workflow", &["read", "write", "run"]),
    ("ssh-key", &["read", "write"]),
    ("runmesh", &["read", "write"]),
    ("activity", &["read"]),
];

/// What a service may do for a user, as far as the user may: use credentials, and see and keep none.
const OF_SERVICES: [&str; 2] = ["broker:resolve", "tool:execute"];

/// One scope, e.g. `secret:read`, `tool:*` or `*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope(Box<str>);

/// A text that is no scope.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no such scope: use *, a family such as secret:*, or one of its verbs such as secret:read"
)]
pub struct ScopeError;

impl Scope {
    /// Reads a scope, in its one spelling.
    ///
    /// # Errors
    /// [`ScopeError`] when there is none of that name.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        let known = text == "*"
            || text.split_once(':').is_some_and(|(family, verb)| {
                FAMILIES
                    .iter()
                    .any(|(name, verbs)| *name == family && (verb == "*" || verbs.contains(&verb)))
            });
        if known {
            Ok(Self(text.into()))
        } else {
            Err(ScopeError)
        }
    }

    /// The scope's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn covers(&self, needed: &str) -> bool {
        if *self.0 == *"*" || *self.0 == *needed {
            return true;
        }
        let family = |scope: &str| scope.split_once(':').map(|(family, _)| family.to_owned());
        self.0.ends_with(":*") && family(&self.0) == family(needed)
    }
}

impl TryFrom<String> for Scope {
    type Error = ScopeError;
    fn try_from(text: String) -> Result<Self, ScopeError> {
        Self::parse(&text)
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.0.into()
    }
}

/// The scopes of one key. Never empty in a record: an empty list would be ambiguous between nothing and
/// all. Where it is only asked, it allows nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// Everything its owner may do.
    #[must_use]
    pub fn all() -> Self {
        Self(vec![Scope("*".into())])
    }

    /// What a service may do for a user at the most.
    #[must_use]
    pub fn of_services() -> Self {
        Self(OF_SERVICES.map(|scope| Scope(scope.into())).to_vec())
    }

    /// What of these a service may use: possibly nothing.
    #[must_use]
    pub fn cut_to_services(&self) -> Self {
        let mut scopes = Self::of_services();
        scopes.0.retain(|scope| self.allow(scope.as_str()));
        scopes
    }

    /// Reads a list; an empty one means everything, as on the hosted platform.
    ///
    /// # Errors
    /// [`ScopeError`] when one of them does not exist.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, ScopeError> {
        if texts.is_empty() {
            return Ok(Self::all());
        }
        texts
            .iter()
            .map(|text| Scope::parse(text.as_ref()))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether `needed` is among them.
    #[must_use]
    pub fn allow(&self, needed: &str) -> bool {
        self.0.iter().any(|scope| scope.covers(needed))
    }

    /// Whether every one of `others` is covered by these.
    #[must_use]
    pub fn cover(&self, others: &Self) -> bool {
        others.0.iter().all(|other| self.allow(other.as_str()))
    }

    /// The scopes as texts.
    #[must_use]
    pub fn to_strings(&self) -> Vec<String> {
        self.0.iter().map(|scope| scope.0.to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Scope, Scopes};

    #[test]
    fn a_family_covers_its_verbs_and_nothing_else() {
        let scopes = Scopes::parse(&["tool:*", "secret:read"]).unwrap();
        assert!(scopes.allow("tool:execute") && scopes.allow("secret:read"));
        assert!(!scopes.allow("secret:write") && !scopes.allow("org:read"));
        assert!(Scopes::all().allow("secret:reveal"));
        assert!(scopes.cover(&Scopes::parse(&["tool:read"]).unwrap()));
        assert!(!scopes.cover(&Scopes::all()));
        assert!(!scopes.cover(&Scopes::parse(&["secret:*"]).unwrap()));
    }

    #[test]
    fn a_service_may_use_credentials_as_far_as_its_user_may_and_nothing_else() {
        let cut = |scopes: &[&str]| {
            Scopes::parse(scopes)
                .unwrap()
                .cut_to_services()
                .to_strings()
        };
        assert_eq!(cut(&["*"]), ["broker:resolve", "tool:execute"]);
        assert_eq!(
            cut(&["tool:*", "secret:*", "org:members"]),
            ["tool:execute"]
        );
        let nothing = Scopes::parse(&["secret:reveal"]).unwrap().cut_to_services();
        assert!(!nothing.allow("secret:reveal") && !nothing.allow("broker:resolve"));
        assert!(nothing.to_strings().is_empty());
    }

    #[test]
    fn an_unknown_scope_is_refused_in_every_spelling() {
        for text in [
            "",
            "**",
            "secret",
            "secret:",
            "Secret:read",
            "secret:read ",
            "*:*",
            "secret:re*",
            ":read",
        ] {
            assert!(Scope::parse(text).is_err(), "{text:?}");
        }
    }
}
