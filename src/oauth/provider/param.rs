//! What the person who connects tells: checked before it comes near a URL.

use regex::{Regex, RegexBuilder};

use super::spec::{Param, Position};
use super::template_place::{is_host, is_label};
use crate::name::{Host, HostPattern};

/// The longest text that is looked at, in bytes.
const MAX_TOLD: usize = 512;
/// The longest value, in bytes.
const MAX_VALUE: usize = 255;

/// Why something that was told is not taken. Names are the file's own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamFault {
    /// The provider asks for no such thing.
    #[error("the provider has no parameter of that name")]
    Undeclared,
    /// Something must be told.
    #[error("the parameter {name} is missing")]
    Missing {
        /// The parameter.
        name: Box<str>,
    },
    /// It is too long.
    #[error("the parameter {name} has at most {MAX_VALUE} characters")]
    Long {
        /// The parameter.
        name: Box<str>,
    },
    /// It is none of the values there are.
    #[error("the parameter {name} is none of the values there are")]
    Choice {
        /// The parameter.
        name: Box<str>,
    },
    /// It does not match the pattern, or what its position allows.
    #[error("the parameter {name} is not written as {expected}")]
    Form {
        /// The parameter.
        name: Box<str>,
        /// What it should be.
        expected: &'static str,
    },
    /// An administrator has not allowed the host.
    #[error("the parameter {name} is a host that no administrator has allowed")]
    Host {
        /// The parameter.
        name: Box<str>,
    },
}

/// A parameter's rules, ready to be applied.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pattern: Option<Regex>,
    steps: Vec<Step>,
}

/// What is done to a value before it is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Lower,
    Trim,
    StripSuffix(Box<str>),
    /// Takes `https://` and one slash at the end away; a path or a port stays, and is refused.
    HostOnly,
}

impl Rules {
    /// Prepares the rules of a parameter; says what is wrong with them.
    pub(super) fn of(param: &Param) -> Result<Self, &'static str> {
        let steps = param.normalize.iter().map(|text| step(text));
        Ok(Self {
            pattern: param.pattern.as_deref().map(anchored).transpose()?,
            steps: steps.collect::<Option<_>>().ok_or(
                "normalize is a list of lower, trim, host_only and strip_suffix(.example.com)",
            )?,
        })
    }

    /// Checks a value that was told; gives it in its one spelling.
    pub(super) fn settle(
        &self,
        name: &str,
        param: &Param,
        told: &str,
        allowed: &[HostPattern],
    ) -> Result<String, ParamFault> {
        let name = || name.into();
        if told.len() > MAX_TOLD {
            return Err(ParamFault::Long { name: name() });
        }
        let value = self.normalise(told);
        if value.len() > MAX_VALUE {
            return Err(ParamFault::Long { name: name() });
        }
        let own = param.choices.contains(&value) || param.default.as_ref() == Some(&value);
        if !param.choices.is_empty() && !own {
            return Err(ParamFault::Choice { name: name() });
        }
        if let Err(expected) = self.check_form(param, &value) {
            let name = name();
            return Err(ParamFault::Form { name, expected });
        }
        if param.position == Position::Host && !own && !is_allowed(&value, allowed) {
            return Err(ParamFault::Host { name: name() });
        }
        Ok(value)
    }

    /// Whether a value in its one spelling has the right form; says what that would be.
    pub(super) fn check_form(&self, param: &Param, value: &str) -> Result<(), &'static str> {
        let (holds, expected) = fits(param, value);
        if !holds {
            return Err(expected);
        }
        let matches = self
            .pattern
            .as_ref()
            .is_none_or(|regex| regex.is_match(value));
        matches.then_some(()).ok_or("the provider's pattern says")
    }

    /// The value in its one spelling.
    pub(super) fn normalise(&self, told: &str) -> String {
        self.steps
            .iter()
            .fold(told.to_owned(), |value, step| match step {
                Step::Lower => value.to_ascii_lowercase(),
                Step::Trim => value.trim_matches(' ').to_owned(),
                Step::StripSuffix(suffix) => {
                    value.strip_suffix(&**suffix).unwrap_or(&value).to_owned()
                }
                Step::HostOnly => {
                    let host = value.strip_prefix("https://").unwrap_or(&value);
                    host.strip_suffix('/').unwrap_or(host).to_owned()
                }
            })
    }
}

/// What a position takes, and what to call that.
fn fits(param: &Param, value: &str) -> (bool, &'static str) {
    let segment = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let printable = |b: u8| matches!(b, b' '..=b'~');
    match param.position {
        Position::HostLabel => (is_label(value), "one label of a host"),
        // The end of a host (`com`, `com.au`) is no host, and is one of the file's own.
        Position::Host if param.choices.iter().any(|choice| choice == value) => {
            (value.split('.').all(is_label), "a host, or the end of one")
        }
        Position::Host => (is_host(value), "a host"),
        Position::PathSegment => (
            !matches!(value, "" | "." | "..") && value.bytes().all(segment),
            "letters, digits, hyphens, dots, underscores and tildes",
        ),
        Position::Query | Position::Value => (
            !value.is_empty() && value.bytes().all(printable),
            "printable ASCII",
        ),
    }
}

fn is_allowed(value: &str, allowed: &[HostPattern]) -> bool {
    Host::parse(value).is_ok_and(|host| allowed.iter().any(|pattern| pattern.matches(&host)))
}

fn step(text: &str) -> Option<Step> {
    Some(match text {
        "lower" => Step::Lower,
        "trim" => Step::Trim,
        "host_only" => Step::HostOnly,
        other => {
            let suffix = other.strip_prefix("strip_suffix(")?.strip_suffix(')')?;
            let plain = suffix.strip_prefix('.')?.split('.').all(is_label);
            plain.then(|| Step::StripSuffix(suffix.into()))?
        }
    })
}

/// Compiles a pattern that the whole text must match.
pub(super) fn anchored(pattern: &str) -> Result<Regex, &'static str> {
    let mut builder = RegexBuilder::new(&format!(r"\A(?:{pattern})\z"));
    builder.size_limit(64 * 1024);
    // A pattern of its own first: a parenthesis too many would close ours, and escape the anchors.
    Regex::new(pattern)
        .and_then(|_| builder.build())
        .map_err(|_| "the pattern is no regular expression, or too large a one")
}
