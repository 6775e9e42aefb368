//! Searching what was parsed: documents, and texts of their own.
//!
//! In the bytes of a JSON document any character may be written as `\u0063` or as itself, and a
//! writer who mixes both at will has more spellings than can be searched for. Once parsed there is
//! only one. So a document that is handed on as a document is searched a second time, here.

use std::collections::BTreeMap;
use std::mem;

use serde_json::{Map, Value};

use super::stream::Masks;
use super::{Hits, Patterns};

/// Searches every string, key and number of a parsed document and masks in place, counting into
/// `hits`.
///
/// Texts keep their length in bytes. A number in which a value stands becomes a text. A masked key
/// that is there already gets `#2` appended, or the next count that is free, so no entry is lost.
/// Documents may be nested to any depth.
pub fn scrub_json(document: &mut Value, patterns: &Patterns, hits: &Hits) {
    if patterns.is_empty() {
        return;
    }
    let mut open = vec![document];
    while let Some(value) = open.pop() {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => {
                let mut text = number.to_string();
                if mask(&mut text, patterns, hits) {
                    *value = Value::String(text);
                }
            }
            Value::String(text) => {
                mask(text, patterns, hits);
            }
            Value::Array(items) => open.extend(items),
            Value::Object(entries) => {
                mask_keys(entries, patterns, hits);
                open.extend(entries.values_mut());
            }
        }
    }
}

/// Searches a text that is at hand, a reason phrase for example, counting into `hits`. Returns it
/// masked, as long in bytes as before.
#[must_use]
pub fn scrub_text(text: &str, patterns: &Patterns, hits: &Hits) -> String {
    let mut text = text.to_owned();
    mask(&mut text, patterns, hits);
    text
}

/// Masks what is found in `text`; whether anything was. Characters are masked whole.
fn mask(text: &mut String, patterns: &Patterns, hits: &Hits) -> bool {
    let masks = masks_of(text, patterns, Some(hits));
    if masks.is_empty() {
        return false;
    }
    let mut bytes = mem::take(text).into_bytes();
    masks.fill(&mut bytes);
    // No character was cut, so this does not fail; if it did, nothing would be handed on.
    *text = String::from_utf8(bytes).unwrap_or_default();
    true
}

fn masks_of(text: &str, patterns: &Patterns, hits: Option<&Hits>) -> Masks {
    let mut masks = Masks::default();
    patterns.search(text.as_bytes(), true, |found| {
        if let Some(hits) = hits {
            hits.count(found.value);
        }
        let start = text.floor_char_boundary(found.at.start);
        masks.add(start..text.ceil_char_boundary(found.at.end));
    });
    masks
}

fn mask_keys(entries: &mut Map<String, Value>, patterns: &Patterns, hits: &Hits) {
    let found = |key: &String| !masks_of(key, patterns, None).is_empty();
    if !entries.keys().any(found) {
        return;
    }
    let mut masked = Vec::new();
    for (mut key, value) in mem::take(entries) {
        if mask(&mut key, patterns, hits) {
            masked.push((key, value));
        } else {
            entries.insert(key, value);
        }
    }
    // Where each count stands, so that a thousand keys masked alike do not take a million steps.
    let mut counts = BTreeMap::new();
    for (key, value) in masked {
        entries.insert(free_key(key, entries, &mut counts), value);
    }
}

/// `key`, or if there is one such already, `key` with a count.
fn free_key(
    key: String,
    entries: &Map<String, Value>,
    counts: &mut BTreeMap<String, u64>,
) -> String {
    if !entries.contains_key(&key) {
        return key;
    }
    let count = counts.entry(key.clone()).or_insert(1);
    loop {
        *count += 1;
        let counted = format!("{key}#{count}");
        if !entries.contains_key(&counted) {
            return counted;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{scrub_json, scrub_text};
    use crate::broker::scrub::Patterns;
    use crate::broker::scrub::tests_spellings::patterns;
    use crate::secret::Secret;

    const VALUE: &str = "crm_yyy-secret";
    const STARS: &str = "**************";

    fn scrubbed(value: &str, text: &str) -> (Value, u64) {
        let patterns = patterns(value);
        let hits = patterns.hits();
        let mut document = serde_json::from_str(text).unwrap();
        scrub_json(&mut document, &patterns, &hits);
        (document, hits.total())
    }

    #[test]
    fn any_mix_of_escapes_is_found_once_it_is_parsed() {
        for text in [
            r#""\u0063rm\u005fyyy-secret""#,
            r#""crm_\u0079y\u0079\u002Dsecret""#,
            r#""\u0063\u0072\u006D_yyy-secre\u0074""#,
        ] {
            assert_eq!(scrubbed(VALUE, text), (json!(STARS), 1), "{text}");
        }
        let patterns = patterns(VALUE);
        let hits = patterns.hits();
        for which in 0..1_u32 << VALUE.len() {
            let escape = |(at, c): (usize, char)| match which >> at & 1 {
                1 => format!("\\u{:04x}", u32::from(c)),
                _ => c.to_string(),
            };
            let text: String = VALUE.chars().enumerate().map(escape).collect();
            let mut parsed = serde_json::from_str(&format!("{{\"{text}\":1}}")).unwrap();
            scrub_json(&mut parsed, &patterns, &hits);
            assert_eq!(parsed, json!({STARS: 1}), "{text}");
        }
        assert_eq!(hits.total(), 1 << VALUE.len());
    }

    #[test]
    fn strings_and_keys_are_masked_at_every_depth_and_the_rest_stays() {
        let text = r#"{"a":[1,true,null,{"x-\u0063rm_yyy-secret":"is crm_\u0079yy-secret!"}],
            "b":{"hex":"63726d5f7979792d736563726574","crm_yyy":["crm_yyy-secre","é"]}}"#;
        let (document, hits) = scrubbed(VALUE, text);
        let expected = json!({
            "a": [1, true, null, {format!("x-{STARS}"): format!("is {STARS}!")}],
            "b": {"hex": STARS.repeat(2), "crm_yyy": ["crm_yyy-secre", "é"]},
        });
        assert_eq!((document, hits), (expected, 3));
    }

    #[test]
    fn keys_that_are_masked_alike_lose_no_entry() {
        let text = r#"{"crm_yyy":1,"*******":2,"*******#2":3,"63726d5f797979":4,
            "63726D5f797979":5,"63726d5F797979":6,"z":7}"#;
        let (document, hits) = scrubbed("crm_yyy", text);
        let mut entries: Vec<_> = document.as_object().unwrap().iter().collect();
        entries.sort_by_key(|(_, value)| value.as_u64());
        let keys: Vec<_> = entries.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys[..3], ["*******#3", "*******", "*******#2"]);
        let mut alike = keys[3..6].to_vec();
        alike.sort_unstable();
        let hex = "*".repeat(14);
        assert_eq!(alike, [hex.clone(), format!("{hex}#2"), format!("{hex}#3")]);
        assert_eq!((entries.len(), keys[6], hits), (7, "z", 4));
    }

    #[test]
    fn a_number_in_which_a_value_stands_becomes_a_masked_text() {
        let (document, hits) = scrubbed("123456", "[123456, 0.5, -91234567, 1.23456e5, 12345]");
        let expected = json!(["******", 0.5, "-9******7", "******.0", 12345]);
        assert_eq!((document, hits), (expected, 3));
    }

    #[test]
    fn a_document_nested_a_hundred_thousand_deep_is_searched() {
        let patterns = patterns(VALUE);
        let hits = patterns.hits();
        let mut document = json!(VALUE);
        for _ in 0..100_000 {
            document = Value::Array(vec![document]);
        }
        scrub_json(&mut document, &patterns, &hits);
        // Taken apart one by one: dropped whole it would take the stack with it.
        while let Value::Array(items) = &mut document {
            document = items.pop().unwrap();
        }
        assert_eq!((document, hits.total()), (json!(STARS), 1));
    }

    #[test]
    fn a_text_is_masked_and_no_character_is_cut() {
        let patterns = patterns(VALUE);
        let hits = patterns.hits();
        let phrase = scrub_text("No crm_yyy-secret für dich", &patterns, &hits);
        assert_eq!((phrase, hits.total()), (format!("No {STARS} für dich"), 1));

        let cut = Secret::copy_of(b"\xa9abcdef\xc3");
        let patterns = Patterns::for_values([&cut], []).unwrap();
        let hits = patterns.hits();
        let text = scrub_text("xéabcdeféy", &patterns, &hits);
        assert_eq!((text.as_str(), hits.total()), ("x**********y", 1));
    }
}
