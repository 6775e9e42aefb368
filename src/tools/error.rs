//! Why a spec does not load, or a call of an action does not fit it.

use std::fmt::Write as _;

/// What to do about parameters that do not fit.
const PARAMETERS: &str =
    "`runtools tool get SLUG` shows the action's parameters (in the API, GET /v1/tools/{slug})";

/// A refusal: where (a JSON pointer, RFC 6901) and which rule. Never the value that broke it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}{}{rule}", if pointer.is_empty() { "" } else { ": " })]
pub struct ToolError {
    pointer: Box<str>,
    rule: Rule,
}

/// The rule that was broken. Variants carry names from the spec and limits, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// The text is neither TOML nor JSON.
    #[error("the document cannot be read (line {line})")]
    Syntax {
        /// Where reading stopped, counted from 1; 0 when the reader did not say.
        line: usize,
    },
    /// A key that no rule knows; the pointer ends in it.
    #[error("unknown key")]
    UnknownKey,
    /// A key that must be there is not.
    #[error("missing")]
    Missing,
    /// A value of another JSON type.
    #[error("must be {expected}")]
    Type {
        /// The type that belongs here, with its article.
        expected: &'static str,
    },
    /// A name that breaks the rule of its kind; the text is that rule.
    #[error("{rule}")]
    Name {
        /// The rule, as the name's own type states it.
        rule: Box<str>,
    },
    /// Too many or too much of something.
    #[error("too large: at most {limit} {unit}")]
    TooLarge {
        /// The limit.
        limit: usize,
        /// What is counted.
        unit: &'static str,
    },
    /// A host, port, method, path or private range that cannot stand in a binding.
    #[error("{reason}")]
    Binding {
        /// What is wrong, as a plain sentence without the value.
        reason: &'static str,
    },
    /// A slot, or the format of one, that cannot place a credential safely.
    #[error("{reason}")]
    Slot {
        /// What is wrong, as a plain sentence without the value.
        reason: &'static str,
    },
    /// A template that could ask for something else than its author meant.
    #[error("{reason}")]
    Template {
        /// What is wrong, as a plain sentence without the value.
        reason: &'static str,
    },
    /// A URL path that two readers could read differently.
    #[error("{reason}")]
    Path {
        /// What is wrong, as a plain sentence without the value.
        reason: &'static str,
    },
    /// The schema of an action's parameters cannot be used.
    #[error("{reason}")]
    Schema {
        /// What is wrong, as a plain sentence without the value.
        reason: &'static str,
    },
    /// A parameter does not fit the action's schema.
    #[error("the parameter breaks the schema's rule \"{keyword}\"")]
    Parameter {
        /// The JSON Schema keyword that refused it.
        keyword: Box<str>,
    },
    /// A parameter fits the schema, but cannot stand where the template puts it.
    #[error("{reason}")]
    Placement {
        /// What is wrong, as a plain sentence without the value.
        reason: &'static str,
    },
    /// The action has no HTTP template, or the tool no such action.
    #[error("{reason}")]
    Action {
        /// What is wrong, as a plain sentence without the value.
        reason: &'static str,
    },
}

impl ToolError {
    pub(super) fn new(pointer: impl Into<Box<str>>, rule: Rule) -> Self {
        Self {
            pointer: pointer.into(),
            rule,
        }
    }

    /// Puts `prefix` in front of the pointer: used where a part does not know where it stands.
    pub(super) fn under(self, prefix: &str) -> Self {
        Self::new(format!("{prefix}{}", self.pointer), self.rule)
    }

    /// Where: a JSON pointer into the spec, or into the parameters of a call.
    #[must_use]
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// Which rule.
    #[must_use]
    pub const fn rule(&self) -> &Rule {
        &self.rule
    }

    /// What to do about it, as one plain sentence.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self.rule {
            Rule::Syntax { .. } => "check the syntax of the file near that line",
            Rule::UnknownKey => {
                "remove the key or correct its spelling; the manual page \"tools\" lists all keys"
            }
            Rule::Missing => "add it",
            Rule::Type { .. } | Rule::Name { .. } => "write it as the rule says",
            Rule::TooLarge { .. } => "make it smaller, or split the tool into two",
            Rule::Binding { .. } => {
                "bindings name exact hosts or *.example.com, one port, upper-case methods, and whole path segments"
            }
            Rule::Slot { .. } => {
                "a slot names one placement, and its format holds the field once, as in \"Bearer {apiKey}\""
            }
            Rule::Template { .. } => {
                "parameters stand in path segments, query, headers and body as {name}; credentials are placed by slots"
            }
            Rule::Path { .. } => "write the path in its plain form, starting with /",
            Rule::Schema { .. } => {
                "parameters are one JSON Schema (draft 2020-12) of type object, without references to other documents"
            }
            Rule::Parameter { .. } => PARAMETERS,
            Rule::Placement { .. } => "send another value for this parameter",
            Rule::Action { .. } => {
                "`runtools tool get SLUG` shows the tool's actions (in the API, GET /v1/tools/{slug})"
            }
        }
    }
}

impl ToolError {
    /// The same for parameters of a call, which nobody corrects in the tool's file.
    #[must_use]
    pub const fn call_hint(&self) -> &'static str {
        match self.rule {
            Rule::Missing | Rule::UnknownKey | Rule::Type { .. } => PARAMETERS,
            _ => self.hint(),
        }
    }
}

/// Appends one reference token to a JSON pointer, escaped as RFC 6901 asks.
pub(super) fn step(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Appends an array index to a JSON pointer.
pub(super) fn step_index(pointer: &str, index: usize) -> String {
    let mut pointer = pointer.to_owned();
    // Writing to a String cannot fail.
    write!(pointer, "/{index}").ok();
    pointer
}

/// A key that a caller chose, fit to be named in an error: a short plain word, else nothing of it.
/// Whoever pastes a document, a blob or a token in place of a key does not meet it again in an answer.
pub(super) fn nameable(key: &str) -> &str {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'$');
    if (1..=32).contains(&key.len()) && key.bytes().all(plain) {
        key
    } else {
        "?"
    }
}
