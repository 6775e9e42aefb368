//! Text with `{parameter}` in it.

use super::error::{Rule, ToolError};
use super::slot::PlaceName;

/// The longest name of a parameter in a template.
const MAX_NAME: usize = 64;

/// One piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Text as it is, with `{{` and `}}` already read.
    Literal(String),
    /// `{name}`: a parameter of the action.
    Param(String),
    /// `{@name}`: the place of a path-segment slot.
    Place(PlaceName),
}

/// A text of parts; neighbouring literals are one part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Text {
    parts: Vec<Part>,
}

fn wrong(reason: &'static str) -> ToolError {
    ToolError::new("", Rule::Template { reason })
}

fn is_param_name(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

impl Text {
    /// Reads a text. `{{` and `}}` stand for one brace each.
    pub(super) fn parse(text: &str) -> Result<Self, ToolError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, brace_on)) =
            rest.find(['{', '}']).and_then(|i| rest.split_at_checked(i))
        {
            literal.push_str(before);
            if let Some(after) = brace_on.strip_prefix("{{") {
                literal.push('{');
                rest = after;
            } else if let Some(after) = brace_on.strip_prefix("}}") {
                literal.push('}');
                rest = after;
            } else {
                let inner = brace_on.strip_prefix('{').and_then(|r| r.split_once('}'));
                let (name, after) = inner.ok_or_else(|| {
                    wrong("a brace stands alone; write {{ or }} for a literal one")
                })?;
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(reference(name)?);
                rest = after;
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self { parts })
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The parameter, when the text is exactly `{name}`.
    pub(super) fn whole_param(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Param(name)] => Some(name),
            _ => None,
        }
    }

    /// The parameters it names, in order.
    pub(super) fn params(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Param(name) => Some(name.as_str()),
            _ => None,
        })
    }

    pub(super) fn has_place(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Place(_)))
    }

    /// The text as it was written, braces escaped.
    pub(super) fn source(&self) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => {
                    text.push_str(&literal.replace('{', "{{").replace('}', "}}"));
                }
                Part::Param(name) => text.extend(["{", name, "}"]),
                Part::Place(name) => text.extend(["{@", name.as_str(), "}"]),
            }
        }
        text
    }
}

fn reference(name: &str) -> Result<Part, ToolError> {
    if let Some(place) = name.strip_prefix('@') {
        let place = PlaceName::parse(place).map_err(|_| wrong("{@name} takes a place's name"))?;
        return Ok(Part::Place(place));
    }
    if !is_param_name(name) {
        return Err(wrong(
            "{name} takes letters, digits and _ - . only; write {{ for a literal brace",
        ));
    }
    Ok(Part::Param(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Part, Text};

    #[test]
    fn braces_name_parameters_and_double_braces_are_text() {
        let text = Text::parse("a{{b}}{c}{@d}e").unwrap();
        assert_eq!(text.parts().len(), 4);
        assert_eq!(text.parts()[0], Part::Literal("a{b}".into()));
        assert_eq!(text.params().collect::<Vec<_>>(), ["c"]);
        assert!(text.has_place());
        assert_eq!(Text::parse("{c}").unwrap().whole_param(), Some("c"));
        assert_eq!(Text::parse("{c} ").unwrap().whole_param(), None);
        for wrong in [
            "{", "}", "a}", "{a", "{}", "{a b}", "{{a}", "{a}}", "{@}", "{@a b}",
        ] {
            assert!(Text::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_reads_back_as_itself(source in "[a-c{}@é ]{0,20}") {
            if let Ok(text) = Text::parse(&source) {
                prop_assert_eq!(&text.source(), &source);
                prop_assert_eq!(Text::parse(&text.source()).unwrap(), text);
            }
        }
    }
}
