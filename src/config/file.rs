//! The file: known keys of the right kind, or a sentence that says which is not.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::custody;
use super::error::ConfigError;
use super::settings::{Config, RANGES};

/// Reads the text of a settings file; what it does not set is at its default. Paths are as written.
pub(super) fn parse(text: &str) -> Result<Config, ConfigError> {
    let table: toml::Table = toml::from_str(text).map_err(|error| syntax(text, &error))?;
    let given = serde_json::to_value(table).map_err(|_| ConfigError::Syntax { line: 1 })?;
    refuse_unknown(&given, &defaults())?;
    // The keys are known by now, so what remains is a text of a wrong form: an address, a word.
    let mut config: Config = toml::from_str(text).map_err(|error| form(text, &error))?;
    for path in optional_paths(&mut config) {
        // The shipped file has to write something for "not set".
        path.take_if(|path| path.as_os_str().is_empty());
    }
    config.oauth.public_url.take_if(|url| url.is_empty());
    Ok(config)
}

/// The paths that may be left out.
const fn optional_paths(config: &mut Config) -> [&mut Option<PathBuf>; 7] {
    [
        &mut config.socket,
        &mut config.tls.cert,
        &mut config.tls.key,
        &mut config.oauth.providers_dir,
        &mut config.proxy.socket,
        &mut config.store.external_anchor,
        &mut config.backup.to,
    ]
}

/// Refuses numbers out of range and settings that contradict each other.
pub(super) fn validate(config: &Config) -> Result<(), ConfigError> {
    let all = serde_json::to_value(config).unwrap_or_default();
    for &(key, min, max) in RANGES {
        let number = at(&all, key).and_then(Value::as_u64);
        if !number.is_some_and(|number| (min..=max).contains(&number)) {
            return Err(ConfigError::Range { key, min, max });
        }
    }
    if !matches!(config.socket_mode.as_str(), "0600" | "0660") {
        return Err(ConfigError::Kind {
            key: "socket_mode".to_owned(),
            wanted: "\"0600\" or \"0660\"",
        });
    }
    if config.tls.cert.is_some() != config.tls.key.is_some() {
        return Err(ConfigError::HalfTls);
    }
    if config.tls.cert.is_none() {
        for addr in &config.listen {
            crate::http::serve::refuse_plain(*addr)
                .map_err(|_| ConfigError::PlainOnNetwork(*addr))?;
        }
    }
    // Its clients speak to it in clear, passwords and all.
    if !config.proxy.listen.ip().to_canonical().is_loopback() {
        return Err(ConfigError::ProxyOnNetwork(config.proxy.listen));
    }
    config.custody.validate()?;
    config.backup.validate()?;
    let mut listed = config.proxy.pass_through.iter();
    if listed.any(|text| crate::proxy::Listed::parse(text).is_none()) {
        return Err(ConfigError::Kind {
            key: "proxy.pass_through".to_owned(),
            wanted: "hosts, as [\"pypi.org\", \"*.npmjs.org:443\"]",
        });
    }
    Ok(())
}

/// Makes the paths that a file set relative to the folder it is in.
pub(super) fn anchor(config: &mut Config, text: &str, file: &Path) -> Result<(), ConfigError> {
    let table: toml::Table = toml::from_str(text).map_err(|error| syntax(text, &error))?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let egress = table.get("egress").and_then(toml::Value::as_table);
    if table.contains_key("data_dir") {
        config.data_dir = folder.join(&config.data_dir);
    }
    if table.contains_key("keys_dir") {
        config.keys_dir = folder.join(&config.keys_dir);
    }
    for path in optional_paths(config).into_iter().flatten() {
        *path = folder.join(&path);
    }
    if egress.is_some_and(|egress| egress.contains_key("extra_roots")) {
        for path in &mut config.egress.extra_roots {
            *path = folder.join(&path);
        }
    }
    Ok(())
}

pub(super) fn defaults() -> Value {
    serde_json::to_value(Config::default()).unwrap_or_default()
}

/// The dotted names of every key of `value`.
pub(super) fn keys(value: &Value) -> Vec<String> {
    let Value::Object(fields) = value else {
        return Vec::new();
    };
    let of = |(name, value): (&String, &Value)| match value {
        Value::Object(_) => keys(value).iter().map(|k| format!("{name}.{k}")).collect(),
        _ => vec![name.clone()],
    };
    fields.iter().flat_map(of).collect()
}

fn at<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.')
        .try_fold(value, |value, name| value.get(name))
}

/// Refuses what `given` has beside the keys of `known`, or of another kind than there.
///
/// # Errors
/// [`ConfigError::Unknown`], [`ConfigError::Kind`].
pub fn refuse_unknown(given: &Value, known: &Value) -> Result<(), ConfigError> {
    check("", given, known, &keys(known))
}

fn check(prefix: &str, given: &Value, known: &Value, all: &[String]) -> Result<(), ConfigError> {
    let Value::Object(fields) = given else {
        return Ok(());
    };
    for (name, value) in fields {
        let key = format!("{prefix}{name}");
        match known.get(name) {
            None => return Err(unknown(key, all)),
            // Sections with names of the operator's own; what is in them is known to their type.
            Some(Value::Object(section)) if section.is_empty() && value.is_object() => {}
            Some(section @ Value::Object(_)) if value.is_object() => {
                check(&format!("{key}."), value, section, all)?;
            }
            Some(default) => {
                let wanted = wants(default);
                if !same_kind(value, default) {
                    return Err(ConfigError::Kind { key, wanted });
                }
            }
        }
    }
    Ok(())
}

fn same_kind(value: &Value, default: &Value) -> bool {
    match default {
        Value::Number(_) => value.is_u64(),
        // What has no default is a path or an address.
        Value::String(_) | Value::Null => value.is_string(),
        Value::Array(_) => value
            .as_array()
            .is_some_and(|all| all.iter().all(Value::is_string)),
        Value::Object(_) => value.is_object(),
        Value::Bool(_) => value.is_boolean(),
    }
}

fn wants(default: &Value) -> &'static str {
    match default {
        Value::Number(_) => "a whole number",
        Value::String(_) => "a text in quotes",
        Value::Null => "a path or an address in quotes",
        Value::Array(_) => "a list of texts, as [\"…\"]",
        Value::Object(_) => "a section of its own",
        Value::Bool(_) => "true or false",
    }
}

fn unknown(key: String, known: &[String]) -> ConfigError {
    // The last part decides between equals: `cache_mb` at the top means `store.cache_mb`.
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let far = |candidate: &str| {
        let whole = distance(candidate, &key);
        (
            whole.min(distance(&last(candidate), &last(&key)) + 1),
            whole,
        )
    };
    // A third of the letters wrong is a slip; more is another word.
    let most = (last(&key).chars().count() / 3).max(1);
    let candidates = known.iter().map(|name| (far(name), name));
    let nearest = candidates.min().filter(|((far, _), _)| *far <= most);
    let nearest = nearest.map(|(_, name)| name.clone());
    ConfigError::Unknown { key, nearest }
}

/// How many letters must be put in, taken out or changed to make one text the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, &above) in b.chars().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(x != y))
                .min(above + 1)
                .min(left + 1);
            diagonal = above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

fn line_of(text: &str, error: &toml::de::Error) -> usize {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.as_bytes().iter().take(start);
    before.filter(|byte| **byte == b'\n').count() + 1
}

fn syntax(text: &str, error: &toml::de::Error) -> ConfigError {
    ConfigError::Syntax {
        line: line_of(text, error),
    }
}

fn form(text: &str, error: &toml::de::Error) -> ConfigError {
    let line = line_of(text, error);
    let written = text.lines().nth(line - 1).unwrap_or_default();
    let key = written.split('=').next().unwrap_or_default().trim();
    // With the line itself: what a section lacks is said of its first line.
    let before = text.lines().take(line);
    let section = before.filter_map(|line| line.trim().strip_prefix('[')?.strip_suffix(']'));
    let section = section.last();
    let of_custody = custody::SECTIONS.iter();
    let mut of_custody =
        of_custody.filter(|(key, _)| section.is_some_and(|it| it.starts_with(key)));
    if let Some(&(key, wanted)) = of_custody.next() {
        return ConfigError::Kind {
            key: key.to_owned(),
            wanted,
        };
    }
    let full = section.map_or_else(|| key.to_owned(), |section| format!("{section}.{key}"));
    let known = keys(&defaults());
    let named = known.iter().find(|known| **known == full);
    let last = |full: &&String| full.rsplit('.').next() == Some(key);
    let found = named.or_else(|| known.iter().find(last));
    match found.map(String::as_str) {
        Some(key @ "proxy.listen") => ConfigError::Kind {
            key: key.to_owned(),
            wanted: "an address with a port, as \"127.0.0.1:8421\"",
        },
        Some(key @ "listen") => ConfigError::Kind {
            key: key.to_owned(),
            wanted: "addresses with ports, as [\"127.0.0.1:8420\"]",
        },
        Some(key @ ("oauth.private" | "proxy.private")) => ConfigError::Kind {
            key: key.to_owned(),
            wanted: "address ranges, as [\"10.1.0.0/16\"]",
        },
        Some(key @ "log.level") => ConfigError::Kind {
            key: key.to_owned(),
            wanted: "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
        },
        Some(key @ "store.engine") => ConfigError::Kind {
            key: key.to_owned(),
            wanted: "\"sled\" or \"redb\"",
        },
        Some(key @ "hardening") => ConfigError::Kind {
            key: key.to_owned(),
            wanted: "\"best-effort\" or \"require\"",
        },
        Some(key @ "log.format") => ConfigError::Kind {
            key: key.to_owned(),
            wanted: "\"auto\", \"json\" or \"text\"",
        },
        Some(key) => ConfigError::Kind {
            key: key.to_owned(),
            wanted: "a value in its range",
        },
        None => ConfigError::Syntax { line },
    }
}
