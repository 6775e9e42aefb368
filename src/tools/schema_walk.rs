//! Where validation can get to in a schema, before it is compiled.

use serde_json::{Map, Value};

use super::error::{Rule, ToolError};

/// The deepest schema, references followed.
const MAX_SCHEMA_DEPTH: usize = 48;
/// The largest schema, in JSON values, references followed.
const MAX_SCHEMA_NODES: usize = 5_000;

/// Counts every place validation can get to, following references as it would: what is too deep or
/// too large then is a cycle, a bomb, or too large.
pub(super) struct Walk<'s> {
    root: &'s Value,
    left: usize,
    /// The regular expressions on the way; a text that only stands where one could counts as well.
    pub(super) patterns: Vec<&'s str>,
}

impl<'s> Walk<'s> {
    /// Goes through a whole schema.
    ///
    /// # Errors
    /// [`Rule::Schema`] when it cannot be used.
    pub(super) fn through(schema: &'s Value) -> Result<Self, ToolError> {
        let mut walk = Self {
            root: schema,
            left: MAX_SCHEMA_NODES,
            patterns: Vec::new(),
        };
        walk.visit(schema, MAX_SCHEMA_DEPTH)?;
        Ok(walk)
    }

    /// How many JSON values there are on the way.
    pub(super) const fn nodes(&self) -> usize {
        MAX_SCHEMA_NODES - self.left
    }

    fn visit(&mut self, node: &'s Value, depth: usize) -> Result<(), ToolError> {
        let (Some(depth), Some(left)) = (depth.checked_sub(1), self.left.checked_sub(1)) else {
            return Err(bad_schema(
                "the schema is too large, too deep, or refers to itself",
            ));
        };
        self.left = left;
        match node {
            Value::Array(items) => items.iter().try_for_each(|item| self.visit(item, depth)),
            Value::Object(map) => {
                check_keywords(map)?;
                self.patterns
                    .extend(map.get("pattern").and_then(Value::as_str));
                let properties = map.get("patternProperties").and_then(Value::as_object);
                let names = properties.into_iter().flat_map(Map::keys);
                self.patterns.extend(names.map(String::as_str));
                if let Some(Value::String(reference)) = map.get("$ref") {
                    self.visit(local(self.root, reference)?, depth)?;
                }
                // Definitions count where they are referred to.
                map.iter()
                    .filter(|(key, _)| *key != "$defs")
                    .try_for_each(|(_, value)| self.visit(value, depth))
            }
            _ => Ok(()),
        }
    }
}

fn check_keywords(map: &Map<String, Value>) -> Result<(), ToolError> {
    const BASE: &str = "https://json-schema.org/draft/2020-12/schema";
    let moves_base = [
        "$id",
        "$anchor",
        "$dynamicAnchor",
        "$dynamicRef",
        "$recursiveRef",
    ];
    if moves_base
        .iter()
        .any(|key| map.get(*key).is_some_and(Value::is_string))
    {
        return Err(bad_schema(
            "the schema has no $id, anchors or dynamic references",
        ));
    }
    match map.get("$schema") {
        Some(Value::String(draft)) if draft.trim_end_matches('#') != BASE => {
            Err(bad_schema("the schema is of draft 2020-12"))
        }
        _ => Ok(()),
    }
}

fn local<'s>(root: &'s Value, reference: &str) -> Result<&'s Value, ToolError> {
    let name = reference.strip_prefix("#/$defs/");
    let plain = |name: &&str| !name.contains(['/', '~', '%']);
    name.filter(plain)
        .and_then(|name| root.get("$defs")?.get(name))
        .ok_or_else(|| bad_schema("$ref goes to a member of the schema's own $defs, #/$defs/name"))
}

pub(super) fn bad_schema(reason: &'static str) -> ToolError {
    ToolError::new("", Rule::Schema { reason })
}
