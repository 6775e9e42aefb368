//! How a text of several lines is laid out for the person at the terminal.

use runtools_broker::client::Output;

/// The widest text that is laid out, in columns.
const WIDEST: usize = 100;
/// The width where nothing tells one.
const USUAL: usize = 80;

/// Where a text goes: what width and colours there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    colour: bool,
    width: usize,
}

/// How a word is painted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Paint {
    Bold,
    Dim,
    Good,
    Careful,
    Bad,
}

impl Screen {
    /// What `out` can show.
    pub(crate) fn of(out: &Output) -> Self {
        Self {
            colour: out.paints(),
            width: out.width().unwrap_or(USUAL).min(WIDEST),
        }
    }

    /// A screen without colour.
    #[cfg(test)]
    pub(crate) const fn plain(width: usize) -> Self {
        Self {
            colour: false,
            width,
        }
    }

    /// How many columns there are.
    pub(crate) const fn width(self) -> usize {
        self.width
    }

    /// The text, painted where that can be seen.
    pub(crate) fn paint(self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Bold => "1",
            Paint::Dim => "2",
            Paint::Good => "32",
            Paint::Careful => "33",
            Paint::Bad => "1;31",
        };
        if self.colour && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Breaks a text into lines of at most `width` characters, between words where there are any.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(8);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let mut word = word;
        let room = |line: &str| width.saturating_sub(line.chars().count());
        if !line.is_empty() && room(&line) < word.chars().count() + 1 {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        while let Some((cut, _)) = word.char_indices().nth(room(&line)) {
            let (head, tail) = word.split_at_checked(cut).unwrap_or((word, ""));
            lines.push(format!("{line}{head}"));
            line.clear();
            word = tail;
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn words_are_kept_whole_and_long_ones_are_broken() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("", 8), [""]);
        assert_eq!(wrapped("abcdefghijkl", 8), ["abcdefgh", "ijkl"]);
        assert_eq!(wrapped("x abcdefghij", 8), ["x", "abcdefgh", "ij"]);
        assert!(
            wrapped("ä ö ü ß é abcdefghäöü", 8)
                .iter()
                .all(|l| l.chars().count() <= 8)
        );
    }
}
