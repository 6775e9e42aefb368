//! A text made of what several pointers read: `{/team/id}:{/authed_user/id}`.

use serde_json::Value;

use super::pointer::{Pointer, PointerError};

/// The longest text that one makes, in bytes.
const MAX_TEXT: usize = 512;

/// How an account's id is written: one pointer, or a text with pointers in braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointerText(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    Read(Pointer),
}

impl PointerText {
    /// Reads `/sub`, or `{/team/id}:{/user/id}`.
    ///
    /// # Errors
    /// [`PointerError`]; a text without any pointer is none.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        if text.starts_with('/') {
            return Ok(Self(vec![Part::Read(Pointer::parse(text)?)]));
        }
        let mut pieces = text.split('{');
        let mut parts = vec![literal(pieces.next().unwrap_or_default())?];
        for piece in pieces {
            let (pointer, rest) = piece.split_once('}').ok_or(PointerError::Braces)?;
            if pointer.is_empty() {
                return Err(PointerError::Braces);
            }
            parts.push(Part::Read(Pointer::parse(pointer)?));
            parts.push(literal(rest)?);
        }
        parts.retain(|part| *part != Part::Literal("".into()));
        let reads = parts.iter().any(|part| matches!(part, Part::Read(_)));
        reads.then_some(Self(parts)).ok_or(PointerError::Braces)
    }

    /// What the pointers say in `document`; nothing when one of them says nothing, because half an
    /// id would be somebody else's.
    #[must_use]
    pub fn read(&self, document: &Value) -> Option<String> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Read(pointer) => text.push_str(&plain_text(pointer.get(document)?)?),
            }
        }
        (text.len() <= MAX_TEXT).then_some(text)
    }
}

/// A text that is not empty and has no control characters, or a whole number as one.
pub(super) fn plain_text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if !number.is_f64() => number.to_string(),
        _ => return None,
    };
    (!text.is_empty() && !text.chars().any(char::is_control)).then_some(text)
}

fn literal(text: &str) -> Result<Part, PointerError> {
    if text.contains('}') {
        return Err(PointerError::Braces);
    }
    Ok(Part::Literal(text.into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::PointerText;

    #[test]
    fn an_id_is_read_whole_or_not_at_all() {
        let document = json!({"team": {"id": "T1"}, "user": {"id": 7}, "empty": "", "list": []});
        for (text, id) in [
            ("/team/id", Some("T1")),
            ("/user/id", Some("7")),
            ("{/team/id}:{/user/id}", Some("T1:7")),
            ("u-{/user/id}", Some("u-7")),
            ("{/team/id}:{/nobody}", None),
            ("{/team/id}:{/empty}", None),
            ("/list", None),
            ("/team", None),
        ] {
            let read = PointerText::parse(text).unwrap().read(&document);
            assert_eq!(read.as_deref(), id, "{text}");
        }
    }

    #[test]
    fn a_text_without_pointers_is_none() {
        for text in ["", "id", "{", "}", "{}", "{/a", "/a~2", "{/a}}", "{a}"] {
            assert!(PointerText::parse(text).is_err(), "{text}");
        }
    }
}
