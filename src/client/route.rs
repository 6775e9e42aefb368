//! Paths and queries, written so that no argument can leave its place in them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What RFC 3986 section 2.3 leaves as it is.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// A path under the broker's origin, with its query.
#[derive(Clone, Debug)]
pub struct Route {
    text: String,
    asked: bool,
}

impl Route {
    /// A fixed path, such as `/v1/secrets`.
    #[must_use]
    pub fn new(path: &'static str) -> Self {
        Self {
            text: path.to_owned(),
            asked: false,
        }
    }

    /// Adds one segment. Dots alone, which mean another place, are written so that they name none.
    #[must_use]
    pub fn then(mut self, segment: impl AsRef<str>) -> Self {
        let segment = segment.as_ref();
        self.text.push('/');
        if segment.chars().all(|c| c == '.') {
            self.text.push_str(&"%2E".repeat(segment.len().max(1)));
        } else {
            self.text.extend(utf8_percent_encode(segment, KEPT));
        }
        self
    }

    /// Adds a query parameter.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl AsRef<str>) -> Self {
        self.text.push(if self.asked { '&' } else { '?' });
        self.asked = true;
        self.text.push_str(name);
        self.text.push('=');
        self.text.extend(utf8_percent_encode(value.as_ref(), KEPT));
        self
    }

    /// Adds a query parameter when there is a value.
    #[must_use]
    pub fn maybe(self, name: &'static str, value: Option<impl AsRef<str>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds `name=true` when it is.
    #[must_use]
    pub fn flag(self, name: &'static str, on: bool) -> Self {
        if on { self.with(name, "true") } else { self }
    }

    /// The text for the request line.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::Route;

    #[test]
    fn an_argument_stays_in_its_place() {
        let route = Route::new("/v1/secrets")
            .then("../me?x=1#y")
            .flag("orgWide", true);
        assert_eq!(
            route.as_str(),
            "/v1/secrets/..%2Fme%3Fx%3D1%23y?orgWide=true"
        );
        assert_eq!(
            Route::new("/v1/tools").then("..").as_str(),
            "/v1/tools/%2E%2E"
        );
        let asked = Route::new("/v1/audit")
            .with("actor", "a&b")
            .maybe("tool", Some("t"))
            .maybe("x", None::<&str>);
        assert_eq!(asked.as_str(), "/v1/audit?actor=a%26b&tool=t");
    }
}
