//! The parts of a request template that hold texts: query, headers, body.

use std::collections::BTreeMap;

use ::http::{HeaderName, header};
use serde_json::Value;

use super::error::{Rule, ToolError, nameable, step, step_index};
use super::reader::Item;
use super::slot::header_name;
use super::template_text::{Part, Text};

/// The most entries of a query, of headers, of a form.
const MAX_ENTRIES: usize = 64;
/// The deepest JSON body of a template.
const MAX_DEPTH: usize = 32;

fn wrong(reason: &'static str) -> Rule {
    Rule::Template { reason }
}

/// A JSON value whose strings are templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JsonTemplate {
    /// A number, a boolean or null.
    Literal(Value),
    Text(Text),
    Array(Vec<Self>),
    Object(BTreeMap<String, Self>),
}

impl JsonTemplate {
    pub(super) fn read(pointer: &str, value: Value) -> Result<Self, ToolError> {
        Self::read_to(pointer, value, MAX_DEPTH)
    }

    fn read_to(pointer: &str, value: Value, depth: usize) -> Result<Self, ToolError> {
        let Some(depth) = depth.checked_sub(1) else {
            let (limit, unit) = (MAX_DEPTH, "levels");
            return Err(ToolError::new(pointer, Rule::TooLarge { limit, unit }));
        };
        Ok(match value {
            Value::String(text) => Self::Text(Text::parse(&text).map_err(|e| e.under(pointer))?),
            Value::Array(items) => {
                let read = |(index, item)| Self::read_to(&step_index(pointer, index), item, depth);
                Self::Array(
                    items
                        .into_iter()
                        .enumerate()
                        .map(read)
                        .collect::<Result<_, _>>()?,
                )
            }
            Value::Object(map) => {
                let read = |(key, item): (String, Value)| {
                    let place = step(pointer, nameable(&key));
                    Ok((key, Self::read_to(&place, item, depth)?))
                };
                Self::Object(
                    map.into_iter()
                        .map(read)
                        .collect::<Result<_, ToolError>>()?,
                )
            }
            other => Self::Literal(other),
        })
    }

    pub(super) fn texts<'t>(&'t self, into: &mut Vec<&'t Text>) {
        match self {
            Self::Literal(_) => {}
            Self::Text(text) => into.push(text),
            Self::Array(items) => items.iter().for_each(|item| item.texts(into)),
            Self::Object(map) => map.values().for_each(|item| item.texts(into)),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Literal(value) => value.clone(),
            Self::Text(text) => text.source().into(),
            Self::Array(items) => items.iter().map(Self::to_json).collect(),
            Self::Object(map) => {
                let pair = |(key, item): (&String, &Self)| (key.clone(), item.to_json());
                Value::Object(map.iter().map(pair).collect())
            }
        }
    }
}

/// Reads names with texts; a number or boolean stands for its text.
pub(super) fn read_texts(item: Item) -> Result<BTreeMap<String, Text>, ToolError> {
    let mut texts = BTreeMap::new();
    for (key, item) in item.entries(MAX_ENTRIES)? {
        let pointer = item.pointer.clone();
        if key.is_empty() || key.chars().any(char::is_control) {
            return Err(item.fail(wrong("a query or form name is not empty")));
        }
        let text = match &item.value {
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            _ => item.text()?,
        };
        texts.insert(key, Text::parse(&text).map_err(|e| e.under(&pointer))?);
    }
    Ok(texts)
}

pub(super) fn read_headers(item: Item) -> Result<Vec<(HeaderName, Text)>, ToolError> {
    let mut headers: Vec<(HeaderName, Text)> = Vec::new();
    for (key, item) in item.entries(MAX_ENTRIES)? {
        let pointer = item.pointer.clone();
        let name = free_header(&key).map_err(|reason| item.fail(wrong(reason)))?;
        if headers.iter().any(|(other, _)| *other == name) {
            return Err(item.fail(wrong("the header is written twice")));
        }
        let text = Text::parse(&item.text()?).map_err(|e| e.under(&pointer))?;
        let is_plain = |part: &Part| match part {
            Part::Literal(text) => is_header_text(text),
            _ => true,
        };
        if !text.parts().iter().all(is_plain) {
            let reason = "a header's text is visible ASCII";
            return Err(ToolError::new(pointer, wrong(reason)));
        }
        headers.push((name, text));
    }
    headers.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
    Ok(headers)
}

pub(super) fn is_header_text(text: &str) -> bool {
    text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}

/// Parses a header that a template or an open request may set: no steering one, and none that
/// commonly carries a credential.
pub(super) fn free_header(text: &str) -> Result<HeaderName, &'static str> {
    let name = header_name(text)?;
    if name == header::AUTHORIZATION || name == header::COOKIE {
        return Err("this header carries credentials and is filled by slots only");
    }
    Ok(name)
}
