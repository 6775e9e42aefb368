//! What arrives with a callback or a token answer, and is kept as `{meta.*}`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Provider;
use super::bound::Bound;
use super::pointer_text::plain_text;
use super::spec::CaptureKind;
use super::template::Place;
use super::template_place::is_host;
use super::vars::Vars;
use crate::egress::{Scheme, Url};
use crate::name::Host;

/// The longest text, in bytes.
const MAX_TEXT: usize = 256;

/// Why something that arrived is not taken. Names are the file's own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaptureFault {
    /// It must be there.
    #[error("the provider did not say {name}")]
    Missing {
        /// What.
        name: Box<str>,
    },
    /// It is there more than once.
    #[error("the provider said {name} twice")]
    Twice {
        /// What.
        name: Box<str>,
    },
    /// It is no text of that kind, or a host outside the file's list.
    #[error("what the provider said as {name} is not of the kind that belongs there")]
    Kind {
        /// What.
        name: Box<str>,
    },
    /// It is not what the connection was begun with.
    #[error("what the provider said as {name} is not what was asked for")]
    Differs {
        /// What.
        name: Box<str>,
    },
}

impl Bound {
    /// Takes in what a callback carries, as the file's `[callback_capture]` says. `pairs` are the
    /// decoded members of its query.
    ///
    /// # Errors
    /// [`CaptureFault`], and nothing is taken.
    pub fn capture_callback<'p>(
        &self,
        provider: &Provider,
        pairs: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) -> Result<Self, CaptureFault> {
        let pairs: Vec<_> = pairs.into_iter().collect();
        let mut meta = BTreeMap::new();
        for (name, rule) in &provider.spec().callback_capture {
            let named = || Box::<str>::from(name.as_str());
            let mut found = pairs.iter().filter(|(key, _)| *key == rule.query);
            let Some((_, value)) = found.next() else {
                if rule.required {
                    return Err(CaptureFault::Missing { name: named() });
                }
                continue;
            };
            if found.next().is_some() {
                return Err(CaptureFault::Twice { name: named() });
            }
            let value = provider
                .kind_of(rule.kind, value, &rule.host_suffixes)
                .filter(|value| provider.capture_matches(name, value))
                .ok_or_else(|| CaptureFault::Kind { name: named() })?;
            if let Some(expected) = &rule.must_equal {
                let expected = expected.render(&Vars::of(self), Place::Body);
                if !expected.is_ok_and(|expected| *expected == value) {
                    return Err(CaptureFault::Differs { name: named() });
                }
            }
            meta.insert(name.clone(), value);
        }
        Ok(self.with(meta))
    }

    /// Takes in what a token answer carries, as the file's `[token_capture]` says.
    ///
    /// # Errors
    /// [`CaptureFault`], and nothing is taken.
    pub fn capture_token(&self, provider: &Provider, answer: &Value) -> Result<Self, CaptureFault> {
        let mut meta = BTreeMap::new();
        for (name, rule) in &provider.spec().token_capture {
            let named = || Box::<str>::from(name.as_str());
            match rule.pointer.get(answer) {
                None | Some(Value::Null) if rule.required && !self.meta.contains_key(name) => {
                    return Err(CaptureFault::Missing { name: named() });
                }
                None | Some(Value::Null) => {}
                Some(value) => {
                    let value = plain_text(value)
                        .and_then(|text| provider.kind_of(rule.kind, &text, &rule.host_suffixes))
                        .ok_or_else(|| CaptureFault::Kind { name: named() })?;
                    meta.insert(name.clone(), value);
                }
            }
        }
        Ok(self.with(meta))
    }

    fn with(&self, meta: BTreeMap<String, String>) -> Self {
        let mut bound = self.clone();
        bound.meta.extend(meta);
        bound
    }
}

impl Provider {
    /// The value as it is kept, when it is of the kind.
    fn kind_of(&self, kind: CaptureKind, value: &str, suffixes: &[String]) -> Option<String> {
        match kind {
            CaptureKind::Text => is_text(value).then(|| value.to_owned()),
            CaptureKind::Origin => self.origin(value, suffixes),
        }
    }

    /// Scheme and host of one of the listed domains; a slash at the end is taken away.
    fn origin(&self, value: &str, suffixes: &[String]) -> Option<String> {
        let url = Url::parse(value).ok()?;
        let origin = url.origin();
        let text = origin.to_string();
        let whole = value.strip_suffix('/').unwrap_or(value) == text;
        let listed = origin.scheme == Scheme::Https
            && origin.port == Scheme::Https.default_port()
            && is_host(&origin.host.to_string())
            && ends_with_any(&origin.host, suffixes);
        let local = self.reach().names(&origin.host);
        (whole && (listed || local)).then_some(text)
    }
}

fn is_text(value: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
    (1..=MAX_TEXT).contains(&value.len()) && value.bytes().all(plain)
}

/// Each suffix begins with a dot, so that `evilforce.com` does not end with `.force.com`.
fn ends_with_any(host: &Host, suffixes: &[String]) -> bool {
    let host = host.to_string();
    suffixes
        .iter()
        .any(|suffix| host.ends_with(suffix.as_str()))
}
