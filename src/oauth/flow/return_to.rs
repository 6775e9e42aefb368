//! Where a dashboard wants its person back (B9). Judged once, when the flow begins; a callback has no
//! say in it.

use super::PublicUrl;
use super::public_url::is_safe;
use crate::egress::{Origin, Url};

/// The longest address, in bytes.
const MAX_BYTES: usize = 2048;
/// What we write into its query.
pub(super) const OURS: [&str; 3] = ["flow", "ticket", "error"];

/// An address that an operator or an organisation lets people be sent back to: an origin, and what
/// the path begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnRule {
    origin: Origin,
    path: Box<str>,
}

/// An address that was judged, and may be gone to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnTo {
    url: Box<str>,
    origin: Box<str>,
}

/// Why nobody is sent there. The address itself is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReturnFault {
    /// It is too long.
    #[error("the return address has at most {MAX_BYTES} bytes")]
    Long,
    /// It could be read in two ways, or is none.
    #[error("the return address is a path that begins with one slash, or a whole https URL")]
    Form,
    /// Its query already has what we would write there.
    #[error("the return address has a query member flow, ticket or error, which are ours")]
    Query,
    /// It is somebody else's.
    #[error("the return address is neither on this broker nor among those that are allowed")]
    NotAllowed,
}

impl ReturnRule {
    /// Reads a rule, such as `https://dashboard.example.com/apps/`.
    ///
    /// # Errors
    /// [`ReturnFault::Form`].
    pub fn parse(text: &str) -> Result<Self, ReturnFault> {
        let url = Url::parse(text).map_err(|_| ReturnFault::Form)?;
        let sound = url.query().is_none() && is_safe(url.origin());
        sound.then_some(()).ok_or(ReturnFault::Form)?;
        Ok(Self {
            origin: url.origin().clone(),
            path: url.path().into(),
        })
    }

    /// A prefix ends where a segment does: `/apps` covers `/apps/a`, and not `/apps-of-mallory`.
    fn covers(&self, url: &Url) -> bool {
        let rest = url.path().strip_prefix(&*self.path);
        let whole =
            |rest: &str| rest.is_empty() || rest.starts_with('/') || self.path.ends_with('/');
        *url.origin() == self.origin && rest.is_some_and(whole)
    }
}

impl ReturnTo {
    /// Judges an address: a path of our own, or one that a rule covers.
    ///
    /// # Errors
    /// [`ReturnFault`].
    pub fn judge(text: &str, own: &PublicUrl, allowed: &[ReturnRule]) -> Result<Self, ReturnFault> {
        if text.len() > MAX_BYTES {
            return Err(ReturnFault::Long);
        }
        // A path is joined to our origin before it is read, so that `//evil` and `/\evil` are read
        // as what they would be to a browser, and refused there.
        let whole = if text.starts_with('/') {
            format!("{}{text}", own.as_str())
        } else {
            text.to_owned()
        };
        let url = Url::parse(&whole).map_err(|_| ReturnFault::Form)?;
        let ours = url.origin() == own.origin();
        if !ours && !allowed.iter().any(|rule| rule.covers(&url)) {
            return Err(ReturnFault::NotAllowed);
        }
        let query = url.query().unwrap_or_default();
        let names = url::form_urlencoded::parse(query.as_bytes());
        if names.into_iter().any(|(name, _)| OURS.contains(&&*name)) {
            return Err(ReturnFault::Query);
        }
        Ok(Self {
            url: format!("{}{}", url.origin(), url.path_and_query()).into(),
            origin: url.origin().to_string().into(),
        })
    }

    /// The origin that may hear of the flow, and no other (B10).
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The address with members added to its query. They are plain: letters, digits, `-` and `_`.
    pub(super) fn with(&self, members: &[(&str, &str)]) -> String {
        members
            .iter()
            .fold(self.url.to_string(), |url, (name, value)| {
                let mark = if url.contains('?') { '&' } else { '?' };
                format!("{url}{mark}{name}={value}")
            })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ReturnFault, ReturnRule, ReturnTo};
    use crate::oauth::flow::PublicUrl;

    fn own() -> PublicUrl {
        PublicUrl::parse("https://broker.example.com").unwrap()
    }

    fn rules() -> Vec<ReturnRule> {
        ["https://dash.example.com/apps", "http://localhost:3000/"]
            .map(|text| ReturnRule::parse(text).unwrap())
            .to_vec()
    }

    #[test]
    fn b9_a_return_address_is_ours_or_allowed() {
        for (text, url) in [
            ("/", "https://broker.example.com/"),
            ("/apps?tab=2", "https://broker.example.com/apps?tab=2"),
            (
                "https://broker.example.com/x",
                "https://broker.example.com/x",
            ),
            (
                "https://dash.example.com/apps",
                "https://dash.example.com/apps",
            ),
            (
                "https://DASH.example.com/apps/a",
                "https://dash.example.com/apps/a",
            ),
            ("http://localhost:3000/back", "http://localhost:3000/back"),
        ] {
            assert_eq!(&*ReturnTo::judge(text, &own(), &rules()).unwrap().url, url);
        }
    }

    #[test]
    fn b9_no_spelling_leaves_for_anywhere_else() {
        let long = format!("/{}", "a".repeat(5 * 1024));
        for text in [
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "/ /evil.example",
            "https:evil.example",
            "https:/evil.example",
            "https:///evil.example",
            "https://ok@evil.example",
            "https://dash.example.com@evil.example/apps",
            "https://dash.example.com:pw@evil.example/apps",
            "https://dash.example.com.evil.example/apps",
            "https://dash.example.com:8443/apps",
            "https://evil.dash.example.com/apps",
            "https://dash.example.com/apps-of-mallory",
            "https://dash.example.com/apps/../admin",
            "https://dash.example.com/apps/%2e%2e/admin",
            "https://dash.example.com/",
            "https://dash.example.com\\apps",
            "https://dash.example.com/apps#frag",
            "http://dash.example.com/apps",
            "http://localhost:3001/",
            "%2f%2fevil.example",
            "/%2f%2fevil.example",
            "/%5cevil.example",
            "javascript:alert(1)",
            "javascript://broker.example.com/%0aalert(1)",
            "data:text/html,x",
            "vbscript:x",
            "evil.example",
            "apps",
            "",
            "https://evil。example/",
            "https://broker.example.com\u{3002}evil.example/",
            "/\u{2024}\u{2024}/",
            "/\u{ff0f}evil.example",
            &long,
        ] {
            assert!(ReturnTo::judge(text, &own(), &rules()).is_err(), "{text:?}");
        }
        let taken = ReturnTo::judge("/x?ticket=1", &own(), &[]);
        assert_eq!(taken, Err(ReturnFault::Query));
    }

    #[test]
    fn what_is_added_stands_behind_what_was_there() {
        let to = ReturnTo::judge("/a?b=c", &own(), &[]).unwrap();
        let url = to.with(&[("flow", "f"), ("ticket", "t")]);
        assert_eq!(url, "https://broker.example.com/a?b=c&flow=f&ticket=t");
        assert_eq!(to.origin(), "https://broker.example.com");
    }

    proptest! {
        /// As a browser reads it.
        #[test]
        fn b9_what_is_allowed_is_where_a_browser_goes(text in "[/\\\\:@.%#?a-z\\t\\n ]{0,24}") {
            if let Ok(to) = ReturnTo::judge(&text, &own(), &[]) {
                let base = url::Url::parse("https://broker.example.com/page").unwrap();
                let seen = base.join(&text).unwrap();
                prop_assert_eq!(seen.origin().ascii_serialization(), "https://broker.example.com");
                prop_assert_eq!(seen.as_str(), &*to.url);
            }
        }
    }
}
