//! The members of a request: names and values, and the ways in which they are written.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::request::RequestError;
use crate::oauth::provider::encode;
use crate::secret::Secret;

/// Members in the order in which they were set. A name that is set again has its last value.
#[derive(Default)]
pub(super) struct Members(Vec<Member>);

struct Member {
    name: String,
    value: Zeroizing<String>,
    hidden: bool,
}

impl Members {
    /// Sets what may be seen.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.set(name, Zeroizing::new(value.to_owned()), false);
    }

    /// Sets what may not.
    pub(super) fn secret(&mut self, name: &str, value: &Secret) -> Result<(), RequestError> {
        self.set(name, text_of(value)?, true);
        Ok(())
    }

    /// Sets what a template wrote, which its own place has checked.
    pub(super) fn written(&mut self, name: &str, value: Zeroizing<String>) {
        self.set(name, value, false);
    }

    fn set(&mut self, name: &str, value: Zeroizing<String>, hidden: bool) {
        let name = name.to_owned();
        self.0.retain(|member| member.name != name);
        self.0.push(Member {
            name,
            value,
            hidden,
        });
    }

    /// Whether one of them may not be seen.
    pub(super) fn hold_secrets(&self) -> bool {
        self.0.iter().any(|member| member.hidden)
    }

    /// `a=b&c=d`, as a query and a form have it.
    pub(super) fn query(&self) -> Zeroizing<String> {
        // A text that grows leaves copies behind: an encoded byte is three.
        let sizes = self.0.iter().map(|member| {
            let both = member.name.len().saturating_add(member.value.len());
            both.saturating_mul(3).saturating_add(2)
        });
        let room = sizes.fold(0, usize::saturating_add);
        let mut out = Zeroizing::new(String::with_capacity(room));
        for member in &self.0 {
            if !out.is_empty() {
                out.push('&');
            }
            out.extend(encode(&member.name));
            out.push('=');
            out.extend(encode(&member.value));
        }
        out
    }

    /// The same as a body.
    pub(super) fn form(&self) -> Secret {
        Secret::copy_of(self.query().as_bytes())
    }

    /// An object of texts.
    pub(super) fn json(&self) -> Result<Secret, RequestError> {
        let all: BTreeMap<&str, &str> = self
            .0
            .iter()
            .map(|member| (member.name.as_str(), member.value.as_str()))
            .collect();
        // An escaped byte is six.
        let sizes = all.iter().map(|(name, value)| {
            let both = name.len().saturating_add(value.len());
            both.saturating_mul(6).saturating_add(6)
        });
        let room = sizes.fold(2, usize::saturating_add);
        let mut out = Zeroizing::new(Vec::with_capacity(room));
        serde_json::to_writer(&mut *out, &all).map_err(|_| RequestError::Text)?;
        Ok(Secret::copy_of(&out))
    }
}

/// A secret as a text without control characters.
pub(super) fn text_of(secret: &Secret) -> Result<Zeroizing<String>, RequestError> {
    let text = secret.expose(|bytes| {
        let text = std::str::from_utf8(bytes).ok()?;
        let plain = !text.chars().any(char::is_control);
        plain.then(|| Zeroizing::new(text.to_owned()))
    });
    text.ok_or(RequestError::Text)
}
