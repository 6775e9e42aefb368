//! A settings file, written: the shipped one, with what was chosen in its places.

use serde_json::{Map, Value};

use super::error::ConfigError;
use super::file::{defaults, refuse_unknown};

/// The file that lists every setting with a sentence.
pub(super) const SHIPPED: &str = include_str!("../../config/broker.toml");

/// The text of a settings file in which these settings are in force, and all others stand as comments at their
/// defaults.
///
/// # Errors
/// [`ConfigError::Unknown`] and [`ConfigError::Kind`] for what is no setting: nothing is left out in silence.
pub fn written(settings: &Value) -> Result<String, ConfigError> {
    refuse_unknown(settings, &defaults())?;
    let none = Map::new();
    let section_of = |name: &str| match name {
        "" => settings.as_object().unwrap_or(&none),
        name => settings
            .get(name)
            .and_then(Value::as_object)
            .unwrap_or(&none),
    };
    let mut text = String::new();
    let mut section = "";
    for line in SHIPPED.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        }
        let key = line.strip_prefix("# ").and_then(|it| it.split_once(" = "));
        let chosen = key.and_then(|(key, _)| Some((key, section_of(section).get(key)?)));
        match chosen {
            Some((key, value)) => text.extend([&format!("{key} = {}", literal(value)), "\n"]),
            None => text.extend([line, "\n"]),
        }
    }
    named_sections(settings, &mut text);
    Ok(text)
}

/// Sections with names of the operator's own: the shipped file has none of them.
fn named_sections(settings: &Value, text: &mut String) {
    let kinds = settings.get("custody").and_then(Value::as_object);
    for (kind, named) in kinds.into_iter().flatten() {
        for (name, section) in named.as_object().into_iter().flatten() {
            text.extend([format!(
                "\n[custody.{kind}.{}]\n",
                literal(&Value::from(name.as_str()))
            )]);
            for (key, value) in section.as_object().into_iter().flatten() {
                text.extend([format!("{key} = {}\n", literal(value))]);
            }
        }
    }
}

/// A value as TOML has it, which of all but tables is as JSON has it.
fn literal(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields = fields
                .map(|(key, value)| format!("{} = {}", Value::from(key.as_str()), literal(value)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::Array(all) => {
            let all: Vec<String> = all.iter().map(literal).collect();
            format!("[{}]", all.join(", "))
        }
        // JSON lets it stand as it is, and TOML does not.
        other => other.to_string().replace('\u{7f}', "\\u007f"),
    }
}

/// Puts `over` into `under`: section by section, and the rest in its place.
#[must_use]
pub fn merged(under: Value, over: &Value) -> Value {
    match (under, over) {
        (Value::Object(mut fields), Value::Object(more)) => {
            for (key, value) in more {
                let before = fields.remove(key).unwrap_or(Value::Null);
                fields.insert(key.clone(), merged(before, value));
            }
            Value::Object(fields)
        }
        (_, over) => over.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::file::parse;
    use super::{SHIPPED, merged, written};

    #[test]
    fn what_is_chosen_is_in_force_and_the_rest_is_the_shipped_file() {
        assert_eq!(written(&json!({})).unwrap(), SHIPPED);
        let chosen = json!({
            "data_dir": "/srv/it's \"here\"\u{7f}\n", "listen": ["127.0.0.1:1", "[::1]:2"],
            "tls": { "cert": "c.pem", "key": "k.pem", "client_certificates": true },
            "backup": { "keep": 3 },
            "custody": {
                "exec": { "kms": { "program": "/bin/kms", "arguments": ["a b"] } },
                "pkcs11": { "1": { "library": "/l", "token": "t", "key": "k", "pin_file": "/p",
                    "environment": { "A.B": "c" } } },
            },
        });
        let text = written(&chosen).unwrap();
        let config = parse(&text).unwrap();
        assert_eq!(config.data_dir.to_str(), chosen["data_dir"].as_str());
        assert_eq!(config.listen.len(), 2);
        assert!(config.tls.client_certificates && config.tls.cert.is_some());
        assert_eq!(config.backup.keep, 3);
        assert_eq!(config.custody.exec["kms"].arguments, ["a b"]);
        assert_eq!(config.custody.pkcs11["1"].environment["A.B"], "c");
        // Every comment is still there.
        let lines = text.lines().filter(|line| line.starts_with('#')).count();
        let shipped = SHIPPED.lines().filter(|line| line.starts_with('#')).count();
        assert_eq!(lines, shipped - 6);
    }

    #[test]
    fn what_is_no_setting_is_refused_and_named() {
        let refused = written(&json!({ "lissen": [] })).unwrap_err();
        assert!(refused.to_string().contains("`listen`"), "{refused}");
        let refused = written(&json!({ "tls": { "cert": 1 } })).unwrap_err();
        assert!(refused.to_string().contains("`tls.cert`"), "{refused}");
    }

    #[test]
    fn of_two_the_later_counts_and_sections_are_put_together() {
        let under = json!({ "a": 1, "s": { "x": 1, "y": [1] } });
        let over = json!({ "b": 2, "s": { "y": [2] } });
        let both = json!({ "a": 1, "b": 2, "s": { "x": 1, "y": [2] } });
        assert_eq!(merged(under, &over), both);
    }
}
