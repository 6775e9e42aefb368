//! Writing: a text with named holes, filled in for the place where it goes.

use std::fmt;

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::template_place::write_into;
use super::vars::Vars;

pub use super::template_place::{Place, QuerySecrets};

/// The longest template, in bytes.
const MAX_BYTES: usize = 4096;
/// Names outside `params` and `meta`.
const NAMES: [&str; 10] = [
    "client_id",
    "client_secret",
    "redirect_uri",
    "redirect_origin",
    "access_token",
    "refresh_token",
    "id_token",
    "issuer",
    "handle",
    "user_code",
];

/// A text with holes: `https://{params.shop}.myshopify.com/admin`.
///
/// A brace before a letter opens a hole; any other is itself, so that a parameter may be a piece of
/// JSON.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Template {
    source: Box<str>,
    pub(super) parts: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Literal(Box<str>),
    Hole(Box<str>),
}

/// Why a text is no template, or a template cannot be filled in. Names are the file's own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The text is too long, or has control characters.
    #[error("a template has at most {MAX_BYTES} bytes, and no control characters")]
    Text,
    /// A hole does not end.
    #[error("a brace before a letter opens a name, which ends with another brace")]
    Open,
    /// A hole has a name that is none.
    #[error("a template names {}, params.NAME or meta.NAME", NAMES.join(", "))]
    Name,
    /// Nothing is known by this name.
    #[error("{{{name}}} has no value")]
    Missing {
        /// The name.
        name: Box<str>,
    },
    /// A secret would stand where others read it.
    #[error("{{{name}}} is a secret and may not stand in {place}")]
    Secret {
        /// The name.
        name: Box<str>,
        /// The place.
        place: Place,
    },
    /// The value may not stand there, however it is written.
    #[error("the value of {{{name}}} may not stand in {place}")]
    Value {
        /// The name.
        name: Box<str>,
        /// The place.
        place: Place,
    },
    /// What comes out is no URL that may be used.
    #[error("{reason}")]
    Url {
        /// What is wrong, without the value.
        reason: &'static str,
    },
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`TemplateError`]: `Text`, `Open` or `Name`.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > MAX_BYTES || text.chars().any(char::is_control) {
            return Err(TemplateError::Text);
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            literal.push_str(before);
            if after.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
                let (name, after) = after.split_once('}').ok_or(TemplateError::Open)?;
                if !is_name(name) {
                    return Err(TemplateError::Name);
                }
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal).into()));
                }
                parts.push(Part::Hole(name.into()));
                rest = after;
            } else {
                literal.push('{');
                rest = after;
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.into()));
        }
        let (source, parts) = (text.into(), parts.into());
        Ok(Self { source, parts })
    }

    /// `Bearer {access_token}` (RFC 6750).
    pub(super) fn bearer() -> Self {
        let parts = [
            Part::Literal("Bearer ".into()),
            Part::Hole("access_token".into()),
        ];
        Self {
            source: "Bearer {access_token}".into(),
            parts: parts.into(),
        }
    }

    /// The template as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// The names of its holes, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Hole(name) => Some(&**name),
            Part::Literal(_) => None,
        })
    }

    /// Fills it in, all of it for one place: holes are checked for it, and percent-encoded where it
    /// needs that. What the file wrote itself is left as it is.
    ///
    /// # Errors
    /// [`TemplateError`]: `Missing`, `Secret` or `Value`.
    pub fn render(
        &self,
        vars: &Vars<'_>,
        place: Place,
    ) -> Result<Zeroizing<String>, TemplateError> {
        self.fill(vars, |_| place)
    }

    /// Fills in each hole for the place that `place_of` gives it by its position among the holes.
    pub(super) fn fill(
        &self,
        vars: &Vars<'_>,
        place_of: impl Fn(usize) -> Place,
    ) -> Result<Zeroizing<String>, TemplateError> {
        // A text that grows leaves copies behind, and this one may hold a secret.
        let mut out = Zeroizing::new(String::with_capacity(self.room(vars)));
        let mut holes = 0;
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Hole(name) => {
                    let Some(value) = vars.get(name) else {
                        let name = name.clone();
                        return Err(TemplateError::Missing { name });
                    };
                    write_into(&mut out, name, value, place_of(holes))?;
                    holes += 1;
                }
            }
        }
        Ok(out)
    }

    /// What it takes at most: an encoded byte is three.
    fn room(&self, vars: &Vars<'_>) -> usize {
        let sizes = self.parts.iter().map(|part| match part {
            Part::Literal(text) => text.len(),
            Part::Hole(name) => vars
                .get(name)
                .map_or(0, |value| value.len().saturating_mul(3)),
        });
        sizes.fold(0, usize::saturating_add)
    }
}

/// Whether a template may name this.
fn is_name(name: &str) -> bool {
    let own = name
        .strip_prefix("params.")
        .or_else(|| name.strip_prefix("meta."));
    own.map_or(NAMES.contains(&name), is_own_name)
}

/// Whether a parameter or a captured value may be called this.
pub(super) fn is_own_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=32).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(letter)
}

/// Whether this name stands for what must not be seen, whoever gives it a value.
pub(super) fn is_secret_name(name: &str) -> bool {
    matches!(
        name,
        "client_secret" | "access_token" | "refresh_token" | "id_token" | "handle"
    )
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}
