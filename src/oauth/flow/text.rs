//! Texts of others, made fit to be shown: one line, no tricks.

/// One line of at most `most` characters: controls and what turns or hides text are taken away, runs
/// of white space become one space. It still has to be escaped where it is shown.
#[must_use]
pub fn one_line(text: &str, most: usize) -> String {
    let shown = text.chars().filter(|letter| !is_trick(*letter));
    let spaced: String = shown
        .map(|letter| if is_space(letter) { ' ' } else { letter })
        .collect();
    let words: Vec<_> = spaced.split(' ').filter(|word| !word.is_empty()).collect();
    let line = words.join(" ");
    if line.chars().count() <= most {
        return line;
    }
    let kept: String = line.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

fn is_space(letter: char) -> bool {
    letter.is_whitespace() || letter.is_control()
}

/// Characters that reorder what stands around them, or are not seen (Unicode TR 36 and UAX 9). The
/// joiners U+200C and U+200D stay: names of many languages need them.
fn is_trick(letter: char) -> bool {
    matches!(
        letter,
        '\u{0}'..='\u{8}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::one_line;

    #[test]
    fn what_is_shown_is_one_line_without_tricks() {
        for (text, shown) in [
            ("Ann Example", "Ann Example"),
            ("  Ann\r\n\tExample ", "Ann Example"),
            ("evil\u{202e}txt.exe", "eviltxt.exe"),
            ("a\u{0}b\u{200b}c\u{2066}d\u{2069}", "abcd"),
            ("<b>&\"", "<b>&\""),
            ("\u{2028}a\u{2029}b", "a b"),
            ("", ""),
        ] {
            assert_eq!(one_line(text, 200), shown, "{text:?}");
        }
        assert_eq!(one_line(&"x".repeat(300), 5), "xxxx…");
        assert_eq!(one_line("ab cdef", 4), "ab…");
    }

    proptest! {
        #[test]
        fn a_line_is_never_longer_and_never_turns(text in any::<String>(), most in 1_usize..300) {
            let line = one_line(&text, most);
            prop_assert!(line.chars().count() <= most);
            let turns = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}');
            prop_assert!(!line.chars().any(turns), "a trick is left");
            prop_assert_eq!(one_line(&line, most), line);
        }
    }
}
