//! Reads a JSON value key by key, so that whatever nobody asked for is refused by name.

use serde_json::{Map, Value};

use super::error::{Rule, ToolError, nameable, step, step_index};

/// How keys of two words are spelled: `placeholder_prefix` or `placeholderPrefix`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    Snake,
    Camel,
}

/// One JSON object being read. Every key is taken once; [`Object::done`] refuses what is left.
pub(super) struct Object {
    pointer: String,
    map: Map<String, Value>,
    spelling: Spelling,
}

/// A value with the place it came from.
pub(super) struct Item {
    pub(super) pointer: String,
    pub(super) value: Value,
    spelling: Spelling,
}

impl Item {
    pub(super) fn root(value: Value, spelling: Spelling) -> Self {
        Self {
            pointer: String::new(),
            value,
            spelling,
        }
    }

    fn wrong(&self, expected: &'static str) -> ToolError {
        ToolError::new(self.pointer.as_str(), Rule::Type { expected })
    }

    pub(super) fn fail(&self, rule: Rule) -> ToolError {
        ToolError::new(self.pointer.as_str(), rule)
    }

    pub(super) fn object(self) -> Result<Object, ToolError> {
        let Value::Object(map) = self.value else {
            return Err(self.wrong("an object"));
        };
        Ok(Object {
            pointer: self.pointer,
            map,
            spelling: self.spelling,
        })
    }

    pub(super) fn text(self) -> Result<String, ToolError> {
        match self.value {
            Value::String(text) => Ok(text),
            _ => Err(self.wrong("a string")),
        }
    }

    pub(super) fn flag(self) -> Result<bool, ToolError> {
        self.value.as_bool().ok_or_else(|| self.wrong("a boolean"))
    }

    pub(super) fn port(self) -> Result<u16, ToolError> {
        let number = self.value.as_u64().and_then(|n| u16::try_from(n).ok());
        number
            .filter(|port| *port != 0)
            .ok_or_else(|| self.wrong("a port from 1 to 65535"))
    }

    /// The elements of an array, at most `limit` of them.
    pub(super) fn list(self, limit: usize) -> Result<Vec<Self>, ToolError> {
        let Value::Array(values) = self.value else {
            return Err(self.wrong("an array"));
        };
        if values.len() > limit {
            return Err(too_many(&self.pointer, limit));
        }
        let element = |(index, value)| Self {
            pointer: step_index(&self.pointer, index),
            value,
            spelling: self.spelling,
        };
        Ok(values.into_iter().enumerate().map(element).collect())
    }

    /// The entries of an object whose keys are names, at most `limit` of them.
    pub(super) fn entries(self, limit: usize) -> Result<Vec<(String, Self)>, ToolError> {
        let object = self.object()?;
        if object.map.len() > limit {
            return Err(too_many(&object.pointer, limit));
        }
        let entry = |(key, value): (String, Value)| {
            let item = Self {
                pointer: step(&object.pointer, nameable(&key)),
                value,
                spelling: object.spelling,
            };
            (key, item)
        };
        Ok(object.map.into_iter().map(entry).collect())
    }

    /// A text parsed by the type it belongs to; that type's error states the rule.
    pub(super) fn name<T, E: std::fmt::Display>(
        self,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, ToolError> {
        let pointer = self.pointer.clone();
        name(&pointer, &self.text()?, parse)
    }
}

/// Parses a name that stands at `pointer`.
pub(super) fn name<T, E: std::fmt::Display>(
    pointer: &str,
    text: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<T, ToolError> {
    parse(text).map_err(|error| {
        let rule = error.to_string().into();
        ToolError::new(pointer, Rule::Name { rule })
    })
}

fn too_many(pointer: &str, limit: usize) -> ToolError {
    let unit = "entries";
    ToolError::new(pointer, Rule::TooLarge { limit, unit })
}

impl Object {
    pub(super) fn pointer(&self) -> &str {
        &self.pointer
    }

    pub(super) fn fail(&self, rule: Rule) -> ToolError {
        ToolError::new(self.pointer.as_str(), rule)
    }

    fn spelled(&self, key: &str) -> String {
        if self.spelling == Spelling::Snake {
            return key.to_owned();
        }
        let mut words = key.split('_');
        let mut spelled = words.next().unwrap_or_default().to_owned();
        for word in words {
            let mut letters = word.chars();
            spelled.extend(letters.next().map(|c| c.to_ascii_uppercase()));
            spelled.push_str(letters.as_str());
        }
        spelled
    }

    /// Takes a key that may be absent. An explicit `null` counts as absent, as RunTools sends it.
    pub(super) fn optional(&mut self, key: &str) -> Option<Item> {
        let key = self.spelled(key);
        let value = self.map.remove(&key).filter(|value| !value.is_null())?;
        Some(Item {
            pointer: step(&self.pointer, &key),
            value,
            spelling: self.spelling,
        })
    }

    pub(super) fn required(&mut self, key: &str) -> Result<Item, ToolError> {
        let place = step(&self.pointer, &self.spelled(key));
        self.optional(key)
            .ok_or_else(|| ToolError::new(place, Rule::Missing))
    }

    /// Takes a text that may be absent, of at most `limit` bytes.
    pub(super) fn text(&mut self, key: &str, limit: usize) -> Result<Option<String>, ToolError> {
        let Some(item) = self.optional(key) else {
            return Ok(None);
        };
        let pointer = item.pointer.clone();
        let text = item.text()?;
        if text.len() > limit {
            let unit = "bytes";
            return Err(ToolError::new(pointer, Rule::TooLarge { limit, unit }));
        }
        Ok(Some(text))
    }

    /// Refuses whatever was not asked for, naming the first such key.
    pub(super) fn done(self) -> Result<(), ToolError> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(key) => {
                let place = step(&self.pointer, nameable(key));
                Err(ToolError::new(place, Rule::UnknownKey))
            }
        }
    }
}
