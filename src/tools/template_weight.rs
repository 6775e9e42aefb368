//! What a rendered request takes of memory, told before any of it is made.
//!
//! A template may say a parameter as often as it likes, and who wrote it may be who calls it: thirty thousand times
//! one long parameter are gigabytes, from a request of a few kilobytes.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::error::{Rule, ToolError};
use super::template_text::{Part, Text};

/// The most, in bytes as [`weight`] counts them: a request's parameters, said once or twice, are below.
pub(super) const MAX_RENDERED: usize = 1 << 20;
/// What a value takes beside its text.
const EACH: usize = 32;

/// Refuses texts that would say too much of `params`.
///
/// # Errors
/// [`Rule::TooLarge`].
pub(super) fn refuse_heavy<'t>(
    texts: impl Iterator<Item = &'t Text>,
    params: &Map<String, Value>,
) -> Result<(), ToolError> {
    let mut left = MAX_RENDERED;
    let mut weights = HashMap::new();
    for part in texts.flat_map(Text::parts) {
        let Part::Param(name) = part else {
            continue;
        };
        let known = weights.entry(name.as_str());
        let weight = *known.or_insert_with(|| params.get(name).map_or(0, weight));
        left = left.checked_sub(weight).ok_or_else(|| {
            let (limit, unit) = (MAX_RENDERED, "bytes that parameters take in a request");
            ToolError::new("", Rule::TooLarge { limit, unit })
        })?;
    }
    Ok(())
}

/// How many bytes a value takes, about: as it is written where it takes the most.
fn weight(value: &Value) -> usize {
    let inner = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => written(text),
        Value::Array(items) => items.iter().map(weight).fold(0, usize::saturating_add),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| {
                written(key)
                    .saturating_add(EACH)
                    .saturating_add(weight(value))
            })
            .fold(0, usize::saturating_add),
    };
    inner.saturating_add(EACH)
}

/// In JSON a control character is six, in a URL any other than a letter or a digit is three.
fn written(text: &str) -> usize {
    let bytes = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => 1,
        0..=0x1f => 6,
        _ => 3,
    });
    bytes.sum()
}
