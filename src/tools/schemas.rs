//! What all schemas of one tool may take together.
//!
//! A regular expression of a few letters can compile to hundreds of kibibytes, and a reference of a few
//! letters stand for thousands of places. Each schema has limits of its own; a tool has many.

use jsonschema::{Draft, PatternOptions, ValidationOptions};
use serde_json::{Value, json};

use super::error::{Rule, ToolError};
use super::parameters::Parameters;

/// The most regular expressions of a tool, counted where they are referred to.
const MAX_PATTERNS: usize = 32;
/// The largest compiled regular expression, in bytes.
const MAX_PATTERN: usize = 256 * 1024;
/// All of a tool's together, in bytes.
const MAX_PATTERN_BYTES: usize = 512 * 1024;
/// What the matcher of one may keep for the next text, in bytes.
const MAX_MATCHER: usize = 64 * 1024;
/// The least that a regular expression is taken for, in bytes.
const LEAST_PATTERN: usize = 4 * 1024;
/// The most JSON values in all schemas of a tool, references followed.
const MAX_NODES: usize = 20_000;
/// What a JSON value of a schema is taken for when it is compiled, in bytes.
const NODE: usize = 512;

/// The schemas of one tool as it is read. Equal ones are one.
pub(super) struct Schemas {
    nodes: usize,
    patterns: usize,
    bytes: usize,
    made: Vec<Parameters>,
}

impl Schemas {
    pub(super) const fn new() -> Self {
        Self {
            nodes: MAX_NODES,
            patterns: MAX_PATTERNS,
            bytes: MAX_PATTERN_BYTES,
            made: Vec::new(),
        }
    }

    /// Compiles a schema, unless there is one like it.
    ///
    /// # Errors
    /// Those of [`Parameters::compile`]; [`Rule::TooLarge`] when it is too much with those before it.
    pub(super) fn compile(&mut self, schema: Value) -> Result<Parameters, ToolError> {
        let schema = Parameters::of_object(schema)?;
        if let Some(same) = self.made.iter().find(|made| *made.schema() == schema) {
            return Ok(same.clone());
        }
        let made = Parameters::within(self, schema)?;
        self.made.push(made.clone());
        Ok(made)
    }

    /// Takes what a schema of so many values with these regular expressions needs, before it is compiled.
    /// Returns its size in memory, roughly.
    pub(super) fn take(&mut self, nodes: usize, patterns: &[&str]) -> Result<usize, ToolError> {
        let too_many = |limit, unit| ToolError::new("", Rule::TooLarge { limit, unit });
        let nodes_left = self.nodes.checked_sub(nodes);
        self.nodes =
            nodes_left.ok_or_else(|| too_many(MAX_NODES, "values in all schemas of a tool"))?;
        let patterns_left = self.patterns.checked_sub(patterns.len());
        self.patterns =
            patterns_left.ok_or_else(|| too_many(MAX_PATTERNS, "regular expressions in a tool"))?;
        let before = self.bytes;
        for pattern in patterns {
            let size = size_of(pattern)?;
            self.bytes = self.bytes.checked_sub(size).ok_or_else(|| {
                let unit = "bytes of compiled regular expressions in a tool";
                too_many(MAX_PATTERN_BYTES, unit)
            })?;
        }
        Ok(nodes * NODE + (before - self.bytes))
    }
}

/// How schemas are compiled.
pub(super) fn options(largest_pattern: usize) -> ValidationOptions<'static> {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .offline()
        .should_validate_formats(true)
        .with_pattern_options(
            PatternOptions::regex()
                .size_limit(largest_pattern)
                .dfa_size_limit(MAX_MATCHER),
        )
}

/// The size of a compiled regular expression, up to the next power of two: what it may have is doubled until
/// it is enough, so that finding out costs no more than twice what it is worth.
fn size_of(pattern: &str) -> Result<usize, ToolError> {
    let schema = json!({ "pattern": pattern });
    let mut size = LEAST_PATTERN;
    while size <= MAX_PATTERN {
        if options(size).build(&schema).is_ok() {
            return Ok(size);
        }
        size *= 2;
    }
    let reason = "a regular expression that cannot be read, or is too large when it is compiled";
    Err(ToolError::new("", Rule::Schema { reason }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{MAX_PATTERNS, Schemas};

    fn with(keyword: &str, patterns: impl IntoIterator<Item = String>) -> Value {
        let patterns = patterns.into_iter().enumerate();
        let rules = patterns.map(|(n, pattern)| match keyword {
            "patternProperties" => json!({ keyword: { pattern: { "minLength": n } } }),
            _ => json!({ keyword: pattern, "minLength": n }),
        });
        json!({ "type": "object", "allOf": rules.collect::<Vec<_>>() })
    }

    fn refused(schemas: &mut Schemas, schema: Value) -> String {
        schemas.compile(schema).unwrap_err().to_string()
    }

    #[test]
    fn a_tool_has_so_many_regular_expressions_in_all_its_schemas() {
        for keyword in ["pattern", "patternProperties"] {
            let mut schemas = Schemas::new();
            let first = with(keyword, (0..MAX_PATTERNS).map(|n| format!("^a{n}$")));
            assert!(schemas.compile(first.clone()).is_ok(), "{keyword}");
            // Equal ones are one.
            assert!(schemas.compile(first).is_ok(), "{keyword}");
            let more = refused(&mut schemas, with(keyword, ["^b$".to_owned()]));
            assert!(more.contains("at most 32 regular expressions"), "{more}");
        }
        let referred = json!({ "pattern": "^a$" });
        let many: Vec<_> = (0..=MAX_PATTERNS)
            .map(|_| json!({ "$ref": "#/$defs/a" }))
            .collect();
        let many = json!({ "allOf": many, "$defs": { "a": referred } });
        let refusal = refused(&mut Schemas::new(), many);
        assert!(refusal.contains("regular expressions"), "{refusal}");
    }

    #[test]
    fn large_regular_expressions_share_what_all_of_them_may_take() {
        let mut schemas = Schemas::new();
        let large = |n: usize| with("pattern", [format!("[a-z]{{{}}}", 1_500 + n)]);
        let fit = (0..MAX_PATTERNS).take_while(|n| schemas.compile(large(*n)).is_ok());
        let fit = fit.count();
        assert!((1..8).contains(&fit), "{fit}");
        let refusal = refused(&mut schemas, large(MAX_PATTERNS));
        assert!(refusal.contains("bytes of compiled"), "{refusal}");
        let huge = with("pattern", ["[a-z]{100000}".to_owned()]);
        let refusal = refused(&mut Schemas::new(), huge);
        assert!(
            refusal.contains("too large when it is compiled"),
            "{refusal}"
        );
    }

    #[test]
    fn values_are_counted_over_all_schemas() {
        let mut schemas = Schemas::new();
        let large = |n: usize| json!({ "minLength": n, "examples": vec![0; 4_900] });
        let fit = (0..9).take_while(|n| schemas.compile(large(*n)).is_ok());
        assert_eq!(fit.count(), 4);
        let refusal = refused(&mut schemas, large(9));
        assert!(refusal.contains("values in all schemas"), "{refusal}");
    }
}
