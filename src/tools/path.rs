//! URL paths, read in one way only, and the anchored patterns that bind a credential to them.

use std::fmt;

use percent_encoding::percent_decode_str;

use super::error::{Rule, ToolError};
use super::slot::PlaceName;

/// The longest path that is looked at, in bytes.
const MAX_PATH: usize = 8 * 1024;
/// The longest pattern, in segments.
const MAX_SEGMENTS: usize = 64;

fn ambiguous(reason: &'static str) -> ToolError {
    ToolError::new("", Rule::Path { reason })
}

/// Splits a URL path (still percent-encoded, without query) into its decoded segments.
///
/// Refused is every spelling that a server, a gateway and we could read differently: empty segments
/// before the last, `.` and `..` in any spelling, encoded slashes and backslashes, `;` (a path
/// parameter to some servers), control characters, text that is still percent-encoded after decoding
/// once, encoded letters and digits, and bytes that are not UTF-8 (overlong forms among them).
///
/// # Errors
/// [`Rule::Path`] says which of these it was.
pub(super) fn segments(path: &str) -> Result<Vec<String>, ToolError> {
    if path.len() > MAX_PATH {
        return Err(ambiguous("the path is longer than 8 KiB"));
    }
    let Some(rest) = path.strip_prefix('/') else {
        return Err(ambiguous("a path starts with /"));
    };
    let count = rest.split('/').count();
    let last = |index| index + 1 == count;
    rest.split('/')
        .enumerate()
        .map(|(index, raw)| {
            if raw.is_empty() && !last(index) {
                return Err(ambiguous("the path has an empty segment (//)"));
            }
            segment(raw)
        })
        .collect()
}

/// Decodes one segment.
fn segment(raw: &str) -> Result<String, ToolError> {
    let plain = |b: u8| b.is_ascii_graphic() && !b"\\;?#\"<>^`{|}".contains(&b);
    if !raw.bytes().all(plain) {
        return Err(ambiguous(
            "the path has a character that must not stand in it as it is",
        ));
    }
    let mut escapes = raw.split('%').skip(1);
    if !escapes.all(is_needed_escape) {
        return Err(ambiguous(
            "the path has a % that encodes nothing, or a letter or digit that needs no encoding",
        ));
    }
    let Ok(text) = percent_decode_str(raw).decode_utf8() else {
        return Err(ambiguous("the path is not UTF-8 after decoding"));
    };
    if text == "." || text == ".." {
        return Err(ambiguous("the path has a dot segment"));
    }
    if text.contains(['/', '\\', ';']) || text.chars().any(char::is_control) {
        return Err(ambiguous(
            "the path hides a slash, backslash, semicolon or control character in a segment",
        ));
    }
    if text.split('%').skip(1).any(starts_with_hex) {
        return Err(ambiguous("the path is encoded twice"));
    }
    Ok(text.into_owned())
}

fn starts_with_hex(text: &str) -> bool {
    let mut bytes = text.bytes();
    let mut digit = || bytes.next().is_some_and(|b| b.is_ascii_hexdigit());
    digit() && digit()
}

/// Whether the text after a `%` starts with two hexadecimal digits that stand for something other
/// than an unreserved character (RFC 3986, 2.3): those have one spelling, the plain one.
fn is_needed_escape(text: &str) -> bool {
    let Some((digits, _)) = text.split_at_checked(2) else {
        return false;
    };
    // `from_str_radix` also takes a sign.
    if !starts_with_hex(digits) {
        return false;
    }
    u8::from_str_radix(digits, 16)
        .is_ok_and(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')))
}

/// One segment of a [`PathPattern`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// This text, decoded; the empty text only at the end, for a trailing slash.
    Exactly(String),
    /// `*`: any one segment.
    Any,
    /// `{@name}`: any one segment, and the place where a slot puts a credential.
    Place(PlaceName),
    /// `**`: one or more segments, to the end.
    Rest,
}

/// Which paths a binding admits: whole segments from the first `/` to the end.
///
/// A segment is literal text, `*` (any one, not empty), `{@name}` (any one, and the place of a
/// path-segment slot), or, only as the last, `**` (one or more of any). There are no partial
/// wildcards and no regular expressions, so a pattern cannot fail to be anchored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: Box<str>,
    steps: Vec<Step>,
}

impl PathPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`Rule::Path`] when it is not anchored at `/`, looks like a regular expression, has a partial
    /// wildcard, or a `**` that is not last.
    pub fn parse(text: &str) -> Result<Self, ToolError> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(ambiguous(
                "a path pattern starts with / and covers the whole path",
            ));
        };
        let raw: Vec<&str> = rest.split('/').collect();
        if raw.len() > MAX_SEGMENTS {
            return Err(ambiguous("a path pattern has at most 64 segments"));
        }
        let mut steps = Vec::with_capacity(raw.len());
        for (index, raw_step) in raw.iter().enumerate() {
            let is_last = index + 1 == raw.len();
            steps.push(pattern_step(raw_step, is_last)?);
        }
        Ok(Self {
            text: text.into(),
            steps,
        })
    }

    /// Whether the pattern covers `path` (percent-encoded, without query). Ambiguous paths are
    /// covered by no pattern.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        segments(path).is_ok_and(|segments| self.covers(&segments))
    }

    pub(super) fn covers(&self, segments: &[String]) -> bool {
        let mut segments = segments.iter();
        for step in &self.steps {
            let Some(segment) = segments.next() else {
                return false;
            };
            match step {
                Step::Rest => return true,
                Step::Exactly(text) if text != segment => return false,
                Step::Any | Step::Place(_) if segment.is_empty() => return false,
                Step::Exactly(_) | Step::Any | Step::Place(_) => {}
            }
        }
        segments.next().is_none()
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Which segment of a covered path, counted from 0, is the place `name`.
    #[must_use]
    pub fn place(&self, name: &PlaceName) -> Option<usize> {
        let is_place = |step: &Step| matches!(step, Step::Place(place) if place == name);
        self.steps.iter().position(is_place)
    }

    /// The places of path-segment slots in this pattern.
    pub(super) fn places(&self) -> impl Iterator<Item = &PlaceName> {
        self.steps.iter().filter_map(|step| match step {
            Step::Place(name) => Some(name),
            _ => None,
        })
    }
}

fn pattern_step(raw: &str, is_last: bool) -> Result<Step, ToolError> {
    if raw == "*" {
        return Ok(Step::Any);
    }
    if raw == "**" {
        return if is_last {
            Ok(Step::Rest)
        } else {
            Err(ambiguous("** stands only at the end of a path pattern"))
        };
    }
    if let Some(name) = raw.strip_prefix("{@").and_then(|r| r.strip_suffix('}')) {
        let name = PlaceName::parse(name)
            .map_err(|_| ambiguous("{@name} takes letters, digits and underscores"))?;
        return Ok(Step::Place(name));
    }
    if raw.is_empty() && !is_last {
        return Err(ambiguous("the path has an empty segment (//)"));
    }
    if raw.contains([
        '*', '(', ')', '[', ']', '+', '$', '?', '^', '|', '\\', '{', '}',
    ]) {
        return Err(ambiguous(
            "a path pattern has whole segments only: literal text, * or a last **; no regular expressions",
        ));
    }
    segment(raw).map(Step::Exactly)
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{PathPattern, segments};

    fn pattern(text: &str) -> PathPattern {
        PathPattern::parse(text).unwrap()
    }

    #[test]
    fn dc_10_an_ambiguous_path_matches_nothing() {
        let repos = pattern("/repos/*");
        let all = pattern("/**");
        assert!(repos.matches("/repos/a"));
        for path in [
            "",
            "repos/a",
            "*",
            "//repos/a",
            "/repos//a",
            "/repos/..",
            "/repos/../admin",
            "/repos/.",
            "/repos/%2e%2e",
            "/repos/%2E%2e/admin",
            "/repos/.%2e",
            "/repos/a%2fb",
            "/repos/a%2Fb",
            "/repos/a%5cb",
            "/repos/a\\b",
            "/repos/..\\admin",
            "/repos/a;x=1",
            "/repos/..;/admin",
            "/repos/a%3bx",
            "/repos/a%00",
            "/repos/a%0d%0a",
            "/repos/a%7f",
            "/repos/a%c2%85",
            "/repos/%252e%252e",
            "/repos/a%252fb",
            "/repos/%c0%ae%c0%ae",
            "/repos/%c0%af",
            "/repos/%e0%80%af",
            "/repos/%ff",
            "/repos/a%",
            "/repos/a%2",
            "/repos/a%zz",
            "/repos/a%+1",
            "/repos/%61",
            "/repos/a?x",
            "/repos/a#x",
            "/repos/a b",
            "/repos/a\tb",
            "/repos/a\0",
            "/repos/é",
            "/repos/a\u{ff0f}b",
            "https://api.good.com/repos/a",
        ] {
            assert!(!repos.matches(path), "{path:?}");
            assert!(!all.matches(path), "{path:?} under /**");
        }
    }

    #[test]
    fn a_pattern_covers_whole_segments_from_start_to_end() {
        for (text, path, expected) in [
            ("/repos/*", "/repos/a", true),
            ("/repos/*", "/repos/caf%C3%A9", true),
            ("/repos/*", "/repos/100%25", true),
            ("/repos/*", "/repos", false),
            ("/repos/*", "/repos/", false),
            ("/repos/*", "/repos/a/", false),
            ("/repos/*", "/repos/a/b", false),
            ("/repos/*", "/Repos/a", false),
            ("/repos/*", "/repos2/a", false),
            ("/repos/*", "/x/repos/a", false),
            ("/repos/*/issues", "/repos/a/issues", true),
            ("/repos/*/issues", "/repos/a/issues/1", false),
            ("/v1/**", "/v1/a", true),
            ("/v1/**", "/v1/a/b/c", true),
            ("/v1/**", "/v1/", true),
            ("/v1/**", "/v1", false),
            ("/v1/**", "/v10/a", false),
            ("/**", "/", true),
            ("/", "/", true),
            ("/", "/a", false),
            ("/a/", "/a/", true),
            ("/a/", "/a", false),
            ("/%24value", "/$value", true),
            ("/%24value", "/%24value", true),
            ("/x/{@sid}/y", "/x/AC1/y", true),
            ("/x/{@sid}/y", "/x//y", false),
        ] {
            assert_eq!(pattern(text).matches(path), expected, "{text} on {path}");
        }
    }

    #[test]
    fn dc_3_unanchored_patterns_do_not_load() {
        for text in [
            "",
            "repos/*",
            "*",
            "**",
            "/repos/.*",
            "/repos/a*",
            "/*a",
            "/**/admin",
            "/a/***",
            "^/repos/",
            "/repos/[a-z]+",
            "/repos$",
            "/(a|b)",
            "/a?b",
            "/a#b",
            "/a//b",
            "/a/../b",
            "/a/%2e%2e",
            "/a%2fb",
            "/a;b",
            "/a\\b",
            "/{id}",
            "/{@}",
            "/{@a-b}",
            "/a{@b}",
            "/%61",
        ] {
            assert!(PathPattern::parse(text).is_err(), "{text}");
        }
        assert!(PathPattern::parse(&"/a".repeat(65)).is_err());
    }

    #[test]
    fn a_pattern_knows_its_places() {
        let accounts = pattern("/2010/Accounts/{@sid}/**");
        let names: Vec<_> = accounts.places().collect();
        assert_eq!(accounts.place(names[0]), Some(2));
    }

    proptest! {
        #[test]
        fn reading_a_path_never_panics_and_never_yields_a_way_out(path in "/?[a-z./%2efc0;\\\\]{0,24}") {
            if let Ok(read) = segments(&path) {
                for segment in &read {
                    prop_assert!(segment != "." && segment != "..");
                    let no_separator = !segment.contains(['/', '\\', ';']);
                    prop_assert!(no_separator);
                }
            }
        }
    }
}
