//! What was granted (B12).

use serde_json::Value;

use super::replies::Tokens;
use crate::oauth::provider::Provider;
use crate::oauth::provider::spec::{Response, ScopeForm};

/// The most scopes that are kept, and the longest, in bytes.
const MAX_SCOPES: usize = 500;
const MAX_BYTES: usize = 256;

/// The granted scopes; nothing when the answer does not say, which means: as asked for.
pub(super) fn read_scopes(response: &Response, under: &Value) -> Option<Vec<String>> {
    let form = response.scope_form;
    let all: Vec<&str> = match response.scope.get(under)? {
        Value::String(text) if form != ScopeForm::Array => match &response.scope_separator {
            Some(separator) => text.split(separator.as_str()).collect(),
            None => text.split([' ', ',']).collect(),
        },
        Value::Array(items) if form != ScopeForm::String => {
            items.iter().filter_map(Value::as_str).collect()
        }
        _ => return None,
    };
    let mut scopes: Vec<String> = Vec::new();
    for scope in all
        .into_iter()
        .map(str::trim)
        .filter(|scope| is_scope(scope))
    {
        if scopes.len() < MAX_SCOPES && !scopes.iter().any(|known| known == scope) {
            scopes.push(scope.to_owned());
        }
    }
    (!scopes.is_empty()).then_some(scopes)
}

fn is_scope(text: &str) -> bool {
    (1..=MAX_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The scopes that a connection needs and this grant has not. With any of them it is `limited`, and
/// a person sees which; that is no error.
#[must_use]
pub fn missing_scopes(provider: &Provider, tokens: &Tokens) -> Vec<String> {
    let Some(granted) = &tokens.scopes else {
        return Vec::new();
    };
    let required = provider.spec().scopes.required.iter();
    required
        .filter(|scope| !granted.contains(scope))
        .cloned()
        .collect()
}
