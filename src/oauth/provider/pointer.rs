//! Reading: a JSON pointer (RFC 6901), checked when it is loaded.

use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The longest pointer, in bytes.
const MAX_BYTES: usize = 256;
/// The most steps of one.
const MAX_STEPS: usize = 16;

/// Where a value stands in a document. A step `*` means the first element of a list, so that
/// `/*/id` reads the id of the first site.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pointer(Box<[Box<str>]>);

/// A text that is no pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// It is neither empty nor begins with a slash.
    #[error("a pointer is empty or begins with /")]
    Slash,
    /// A tilde is not followed by 0 or 1.
    #[error("in a pointer ~ is written ~0, and / inside a name ~1")]
    Tilde,
    /// It is too long, or has too many steps.
    #[error("a pointer has at most {MAX_BYTES} bytes and {MAX_STEPS} steps")]
    Long,
    /// It holds a control character.
    #[error("a pointer has no control characters")]
    Control,
    /// A text of several pointers has none, or a brace too many.
    #[error("write pointers in braces: {{/team/id}}:{{/user/id}}")]
    Braces,
}

impl Pointer {
    /// Reads a pointer.
    ///
    /// # Errors
    /// [`PointerError`] with the rule that was broken.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        if text.len() > MAX_BYTES {
            return Err(PointerError::Long);
        }
        if text.chars().any(char::is_control) {
            return Err(PointerError::Control);
        }
        if text.is_empty() {
            return Ok(Self::root());
        }
        let steps = text.strip_prefix('/').ok_or(PointerError::Slash)?;
        let steps: Box<[_]> = steps.split('/').map(unescape).collect::<Result<_, _>>()?;
        if steps.len() > MAX_STEPS {
            return Err(PointerError::Long);
        }
        Ok(Self(steps))
    }

    /// The pointer to the whole document.
    #[must_use]
    pub fn root() -> Self {
        Self(Box::default())
    }

    /// The pointer to the document's member `name`.
    #[must_use]
    pub fn member(name: &str) -> Self {
        Self(Box::new([name.into()]))
    }

    /// What stands there, if anything does.
    #[must_use]
    pub fn get<'v>(&self, document: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(document, |value, step| match value {
            Value::Object(members) => members.get(&**step),
            Value::Array(items) if **step == *"*" => items.first(),
            Value::Array(items) => items.get(index(step)?),
            _ => None,
        })
    }

    /// The first step, where there is one: the member of the document that this reads from.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        self.0.first().map(|step| &**step)
    }
}

/// RFC 6901 section 4: digits without a leading zero.
fn index(step: &str) -> Option<usize> {
    let plain = step == "0" || !step.starts_with(['0', '+']);
    plain.then(|| step.parse().ok()).flatten()
}

fn unescape(step: &str) -> Result<Box<str>, PointerError> {
    let mut pieces = step.split('~');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        if let Some(rest) = piece.strip_prefix('0') {
            plain.push('~');
            plain.push_str(rest);
        } else {
            let rest = piece.strip_prefix('1').ok_or(PointerError::Tilde)?;
            plain.push('/');
            plain.push_str(rest);
        }
    }
    Ok(plain.into())
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|step| write!(f, "/{}", step.replace('~', "~0").replace('/', "~1")))
    }
}

impl<'de> Deserialize<'de> for Pointer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Reads one pointer, or a list of them.
pub(super) fn one_or_many<'de, D>(deserializer: D) -> Result<Vec<Pointer>, D::Error>
where
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        One(Pointer),
        Many(Vec<Pointer>),
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::One(pointer) => vec![pointer],
        Written::Many(pointers) => pointers,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::Pointer;

    /// RFC 6901 section 5.
    #[test]
    fn the_rfcs_own_examples_are_read() {
        let document = json!({
            "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5,
            "k\"l": 6, " ": 7, "m~n": 8
        });
        for (text, value) in [
            ("", document.clone()),
            ("/foo", json!(["bar", "baz"])),
            ("/foo/0", json!("bar")),
            ("/", json!(0)),
            ("/a~1b", json!(1)),
            ("/c%d", json!(2)),
            ("/e^f", json!(3)),
            ("/g|h", json!(4)),
            ("/i\\j", json!(5)),
            ("/k\"l", json!(6)),
            ("/ ", json!(7)),
            ("/m~0n", json!(8)),
        ] {
            assert_eq!(
                Pointer::parse(text).unwrap().get(&document),
                Some(&value),
                "{text}"
            );
        }
        for text in [
            "/foo/2", "/foo/-", "/foo/01", "/foo/+1", "/foo/0/x", "/none", "/a/b",
        ] {
            assert_eq!(Pointer::parse(text).unwrap().get(&document), None, "{text}");
        }
    }

    #[test]
    fn a_star_is_the_first_of_a_list() {
        let document = json!({"sites": [{"id": "a"}, {"id": "b"}], "none": [], "*": 1});
        let get = |text| Pointer::parse(text).unwrap().get(&document).cloned();
        assert_eq!(get("/sites/*/id"), Some(json!("a")));
        assert_eq!(get("/none/*"), None);
        assert_eq!(get("/*"), Some(json!(1)));
        let list = json!([{"id": 7}]);
        assert_eq!(Pointer::parse("/*/id").unwrap().get(&list), Some(&json!(7)));
    }

    #[test]
    fn other_texts_are_no_pointers() {
        let (long, deep) = (format!("/{}", "a".repeat(256)), "/a".repeat(17));
        for text in [
            "a", "a/b", "/~", "/~2", "/a~", "/a\n", "#/a", " /a", &long, &deep,
        ] {
            assert!(Pointer::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_shows_what_was_read(text in "(/[a-z~01/*]{0,6}){0,5}|\\PC{0,20}") {
            if let Ok(pointer) = Pointer::parse(&text) {
                prop_assert_eq!(pointer.to_string(), text);
            }
        }

        #[test]
        fn without_a_star_it_reads_what_serde_json_reads(
            steps in prop::collection::vec("[ab/~01]{0,3}", 0..4),
            names in prop::collection::vec("[ab/~01]{0,3}", 0..4),
        ) {
            let text: String = steps
                .iter()
                .map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1")))
                .collect();
            // A document that some of the steps lead into, a list at every other level.
            let mut document = json!("end");
            for (depth, name) in names.iter().chain(&steps).rev().enumerate() {
                document = if depth % 2 == 0 { json!([document, 1]) } else {
                    Value::Object([(name.clone(), document)].into_iter().collect())
                };
            }
            let pointer = Pointer::parse(&text).unwrap();
            prop_assert_eq!(pointer.get(&document), document.pointer(&text));
        }

        #[test]
        fn a_member_is_found_whatever_its_name(name in "\\PC{1,12}") {
            let document = Value::Object([(name.clone(), json!(1))].into_iter().collect());
            prop_assert_eq!(Pointer::member(&name).get(&document), Some(&json!(1)));
        }
    }
}
