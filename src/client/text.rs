//! Making text safe for a terminal.
//!
//! A name, a description or an upstream's answer may hold bytes that move the cursor, change colours,
//! answer queries or turn the reading direction. Shown here, they are letters.

use std::borrow::Cow;
use std::fmt;

use crate::clock::Timestamp;

/// A text whose control and direction characters are shown as `\u{…}`.
#[derive(Clone, Copy, Debug)]
pub struct Visible<'a>(pub &'a str);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if is_unsafe(c) {
                write!(f, "{}", c.escape_unicode())?;
            } else {
                fmt::Write::write_char(f, c)?;
            }
        }
        Ok(())
    }
}

/// Whether a terminal may do more than show this character, or shows something else.
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Line and paragraph separators, direction marks, embeddings and isolates, tags, and the
            // characters that take no room.
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The same for JSON that was written already: such characters can stand only inside strings, where
/// `\uXXXX` means the same. Line breaks are kept, for they are layout.
#[must_use]
pub fn visible_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(|c| c != '\n' && is_unsafe(c)) {
        return Cow::Borrowed(json);
    }
    Cow::Owned(Escaped(json).to_string())
}

struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c == '\n' || !is_unsafe(c) {
                fmt::Write::write_char(f, c)?;
                continue;
            }
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(f, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

/// Names and values, a line each, the values below each other and safe to show.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(pub &'a [(&'a str, &'a str)]);

impl fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in self.0 {
            writeln!(f, "{name:<width$}  {}", Visible(value))?;
        }
        Ok(())
    }
}

/// An instant to the minute, in UTC: `2026-11-23 09:30`.
#[must_use]
pub fn minute(time: Timestamp) -> String {
    let full = time.to_string();
    full.get(..16)
        .map_or(full.clone(), |text| text.replace('T', " "))
}

/// As [`minute`], or a hyphen.
#[must_use]
pub fn minute_or_none(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), minute)
}

/// `1 record`, `2 records`.
#[must_use]
pub fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Visible, is_unsafe, minute, visible_json};
    use crate::clock::Timestamp;

    #[test]
    fn bytes_that_steer_a_terminal_are_shown_as_letters() {
        for (bad, shown) in [
            ("a\u{1b}[31mred", "a\\u{1b}[31mred"),
            ("a\u{9b}2Jb", "a\\u{9b}2Jb"),
            ("one\rtwo\nthree\u{7f}", "one\\u{d}two\\u{a}three\\u{7f}"),
            ("user\u{202e}gpj.exe", "user\\u{202e}gpj.exe"),
            ("zero\u{200b}width", "zero\\u{200b}width"),
        ] {
            assert_eq!(Visible(bad).to_string(), shown);
        }
        assert_eq!(Visible("Zoë — 名前").to_string(), "Zoë — 名前");
    }

    #[test]
    fn times_are_shown_to_the_minute() {
        let time = Timestamp::parse("2026-11-23T09:30:59Z").unwrap();
        assert_eq!(minute(time), "2026-11-23 09:30");
    }

    proptest! {
        #[test]
        fn safe_json_means_what_it_meant(text in any::<String>()) {
            let json = serde_json::to_string_pretty(&[&text]).unwrap();
            let safe = visible_json(&json);
            prop_assert!(!safe.chars().any(|c| c != '\n' && is_unsafe(c)));
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(&safe).unwrap(), vec![text]);
        }
    }
}
