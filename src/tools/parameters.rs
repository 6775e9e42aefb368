//! An action's parameters: one JSON Schema, compiled once.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use serde_json::{Map, Value, json};

use super::error::{Rule, ToolError, nameable, step};
use super::schema_walk::{Walk, bad_schema};
use super::schemas::{Schemas, options};

/// The deepest parameters of a call.
const MAX_DEPTH: usize = 32;
/// The largest parameters of a call, in JSON values.
const MAX_NODES: usize = 10_000;
/// The largest compiled regular expression, in bytes: what each may have was asked before.
const MAX_PATTERN: usize = 256 * 1024;
/// The most steps, values of the parameters by values of the schema, that validation may take where others
/// wait for it.
const QUICK: usize = 100_000;

/// The schema of an action's parameters and its validator. Cloning shares both.
///
/// Draft 2020-12, with `pattern` run by an engine whose time is linear in the text. References go
/// to the schema's own `$defs` only: nothing is ever fetched or read from a file, and a schema that
/// refers to itself is refused, so that no call can make validation recurse without end.
#[derive(Clone)]
pub struct Parameters {
    schema: Arc<Value>,
    validator: Arc<Validator>,
    /// JSON values in the schema, references followed.
    nodes: usize,
    /// Whether it has regular expressions.
    has_patterns: bool,
    /// Its size in memory, roughly.
    size: usize,
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parameters({})", self.schema)
    }
}

impl PartialEq for Parameters {
    fn eq(&self, other: &Self) -> bool {
        self.schema == other.schema
    }
}

impl Parameters {
    /// Compiles a schema. `"type": "object"` is added where it is missing.
    ///
    /// # Errors
    /// [`Rule::Schema`] when it is no object schema of draft 2020-12, is too large or too deep, or
    /// refers to anything but its own `$defs`.
    pub fn compile(schema: Value) -> Result<Self, ToolError> {
        Schemas::new().compile(schema)
    }

    /// The schema of an object, which says that it is one.
    pub(super) fn of_object(mut schema: Value) -> Result<Value, ToolError> {
        let Some(map) = schema.as_object_mut() else {
            return Err(bad_schema("the schema of the parameters is an object"));
        };
        // Without a type the other keywords would let anything pass that is no object.
        if map.entry("type").or_insert_with(|| "object".into()) != "object" {
            return Err(bad_schema("the schema of the parameters is of type object"));
        }
        Ok(schema)
    }

    /// Compiles the schema of an object as one of several.
    pub(super) fn within(schemas: &mut Schemas, schema: Value) -> Result<Self, ToolError> {
        let walked = Walk::through(&schema)?;
        let (nodes, has_patterns) = (walked.nodes(), !walked.patterns.is_empty());
        let size = schemas.take(nodes, &walked.patterns)?;
        let built = options(MAX_PATTERN).build(&schema);
        // The crate's own text would quote the schema, and a custom tool's schema is input.
        let validator = built.map_err(|error| {
            let reason = "not a valid JSON Schema of draft 2020-12 at this place";
            ToolError::new(error.instance_path().to_string(), Rule::Schema { reason })
        })?;
        Ok(Self {
            schema: Arc::new(schema),
            validator: Arc::new(validator),
            nodes,
            has_patterns,
            size,
        })
    }

    /// A schema that takes no parameters.
    ///
    /// # Errors
    /// None in practice; the schema is fixed.
    pub(super) fn none(schemas: &mut Schemas) -> Result<Self, ToolError> {
        schemas.compile(json!({ "type": "object", "additionalProperties": false }))
    }

    /// Its size in memory, roughly, in bytes.
    pub(super) const fn size(&self) -> usize {
        self.size
    }

    /// Whether checking `params` takes so few steps that nobody waits for it. Regular expressions take as
    /// many as a text has letters, times their own size.
    pub(super) fn is_quick(&self, params: &Value) -> bool {
        let most = QUICK / self.nodes.max(1);
        !self.has_patterns && fits(params, MAX_DEPTH, &mut most.min(MAX_NODES))
    }

    /// Checks the parameters of a call.
    ///
    /// # Errors
    /// [`Rule::Parameter`] with a pointer to the first parameter that does not fit and the keyword
    /// that refused it, [`Rule::Missing`] and [`Rule::UnknownKey`] for those two, and
    /// [`Rule::TooLarge`] before anything else is looked at. Never the value.
    pub fn check(&self, params: &Value) -> Result<(), ToolError> {
        let mut budget = MAX_NODES;
        if !fits(params, MAX_DEPTH, &mut budget) {
            let (limit, unit) = (MAX_NODES, "values, 32 levels deep");
            return Err(ToolError::new("", Rule::TooLarge { limit, unit }));
        }
        self.validator
            .validate(params)
            .map_err(|error| refusal(&error))
    }

    /// The schema.
    #[must_use]
    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// The declared properties, when the schema declares any.
    pub(super) fn properties(&self) -> Option<&Map<String, Value>> {
        self.schema.get("properties").and_then(Value::as_object)
    }

    /// The properties every call has.
    pub(super) fn required(&self) -> BTreeSet<&str> {
        let names = self.schema.get("required").and_then(Value::as_array);
        names
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }
}

/// Whether a value stays within the limits of depth and count.
fn fits(value: &Value, depth: usize, budget: &mut usize) -> bool {
    let (Some(depth), Some(left)) = (depth.checked_sub(1), budget.checked_sub(1)) else {
        return false;
    };
    *budget = left;
    match value {
        Value::Array(items) => items.iter().all(|item| fits(item, depth, budget)),
        Value::Object(map) => map.values().all(|item| fits(item, depth, budget)),
        _ => true,
    }
}

fn refusal(error: &ValidationError<'_>) -> ToolError {
    let place = sayable(&error.instance_path().to_string());
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or("?");
            ToolError::new(step(&place, name), Rule::Missing)
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            let name = unexpected.first().map_or("?", |key| nameable(key));
            ToolError::new(step(&place, name), Rule::UnknownKey)
        }
        kind => {
            let keyword = kind.keyword().into();
            ToolError::new(place, Rule::Parameter { keyword })
        }
    }
}

/// A pointer into the caller's parameters, in which keys that are no plain words are hidden.
fn sayable(pointer: &str) -> String {
    let mut said = String::new();
    for key in pointer.split('/').skip(1) {
        said.push('/');
        said.push_str(nameable(key));
    }
    said
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Parameters;

    fn refused(schema: &serde_json::Value, params: &serde_json::Value) -> String {
        let parameters = Parameters::compile(schema.clone()).unwrap();
        parameters.check(params).unwrap_err().to_string()
    }

    #[test]
    fn a_refusal_names_place_and_rule_and_never_the_value() {
        let schema = json!({
            "type": "object",
            "properties": {
                "email": { "type": "string", "format": "email" },
                "page": { "type": "integer", "maximum": 9 },
                "tags": { "type": "array", "items": { "enum": ["a", "b"] } },
                "code": { "type": "string", "pattern": "^[a-z]+$" },
            },
            "required": ["email"],
            "additionalProperties": false,
        });
        let canary = "canary-4711";
        for (params, expected) in [
            (json!({}), "/email: missing"),
            (
                json!({ "email": 7 }),
                "/email: the parameter breaks the schema's rule \"type\"",
            ),
            (
                json!({ "email": canary }),
                "/email: the parameter breaks the schema's rule \"format\"",
            ),
            (
                json!({ "email": "a@b.c", "page": 10 }),
                "/page: the parameter breaks the schema's rule \"maximum\"",
            ),
            (
                json!({ "email": "a@b.c", "tags": ["a", canary] }),
                "/tags/1: the parameter breaks the schema's rule \"enum\"",
            ),
            (
                json!({ "email": "a@b.c", "code": canary }),
                "/code: the parameter breaks the schema's rule \"pattern\"",
            ),
            (
                json!({ "email": "a@b.c", "base_url": canary }),
                "/base_url: unknown key",
            ),
            (
                json!({ "email": "a@b.c", "canary 4711\n": 1 }),
                "/?: unknown key",
            ),
            (json!([]), "the parameter breaks the schema's rule \"type\""),
        ] {
            assert_eq!(refused(&schema, &params), expected);
        }
    }

    #[test]
    fn a_schema_refers_to_its_own_definitions_only() {
        let with = |reference: &str| {
            Parameters::compile(json!({
                "type": "object",
                "properties": { "a": { "$ref": reference } },
                "$defs": { "name": { "type": "string" }, "loop": { "allOf": [{ "$ref": "#/$defs/loop" }] } },
            }))
        };
        assert!(
            with("#/$defs/name")
                .unwrap()
                .check(&json!({ "a": 1 }))
                .is_err()
        );
        for reference in [
            "#",
            "#/properties/a",
            "#/$defs/loop",
            "#/$defs/none",
            "https://evil.test/schema.json",
            "file:///etc/passwd",
            "other.json",
            "//evil.test/x",
            "urn:x",
            "",
        ] {
            assert!(with(reference).is_err(), "{reference}");
        }
    }

    #[test]
    fn bombs_and_foreign_drafts_do_not_load() {
        let mut doubling =
            json!({ "type": "object", "properties": { "a": { "$ref": "#/$defs/d0" } } });
        for level in 0..20 {
            let next = json!({ "$ref": format!("#/$defs/d{}", level + 1) });
            doubling["$defs"][format!("d{level}")] = json!({ "allOf": [next, next] });
        }
        doubling["$defs"]["d20"] = json!({ "type": "string" });
        let mut deep = json!({ "type": "string" });
        for _ in 0..60 {
            deep = json!({ "type": "object", "properties": { "a": deep } });
        }
        for schema in [
            doubling,
            deep,
            json!({ "type": "string" }),
            json!(true),
            json!({ "type": "object", "$id": "https://evil.test/" }),
            json!({ "type": "object", "$schema": "http://json-schema.org/draft-07/schema#" }),
            json!({ "type": "object", "properties": { "a": { "type": "strin" } } }),
            json!({ "type": "object", "properties": { "a": { "pattern": "(" } } }),
            json!({ "type": "object", "properties": { "a": { "pattern": "(a)\\1" } } }),
            json!({ "type": "object", "properties": { "a": { "pattern": "(a{1000}){1000}" } } }),
        ] {
            assert!(Parameters::compile(schema.clone()).is_err(), "{schema}");
        }
    }

    #[test]
    fn a_call_of_any_depth_or_size_is_refused_before_it_is_validated() {
        let parameters = Parameters::compile(json!({ "type": "object" })).unwrap();
        let mut deep = json!(1);
        for _ in 0..40 {
            deep = json!([deep]);
        }
        for params in [json!({ "a": deep }), json!({ "a": vec![0; 20_001] })] {
            let error = parameters.check(&params).unwrap_err();
            assert!(error.to_string().contains("too large"), "{error}");
        }
    }
}
