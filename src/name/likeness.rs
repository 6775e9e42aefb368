//! Whether a text looks like a name. What is sent in a name's place may be a value, and values are not
//! repeated: only what plainly looks like a name is.

/// The longest text that may look like a name, in bytes: tokens are longer.
const LONGEST: usize = 32;
/// The most words of one.
const WORDS: usize = 5;
/// The longest word.
const WORD: usize = 16;
/// The most digits.
const DIGITS: usize = 4;
/// The most consonants in a row: `https` has five.
const CONSONANTS: usize = 5;

/// Whether `text` is short, made of a few pronounceable words and few digits, with nothing between them but
/// hyphens, underscores, spaces and dots. A key that was drawn at random is not.
#[must_use]
pub fn is_name_like(text: &str) -> bool {
    let separates = |b: u8| matches!(b, b'-' | b'_' | b' ' | b'.');
    let sound = (1..=LONGEST).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || separates(b))
        && text.bytes().filter(u8::is_ascii_digit).count() <= DIGITS;
    if !sound {
        return false;
    }
    let (mut words, mut letters, mut digits) = (0, 0, 0);
    let (mut consonants, mut before) = (0, b' ');
    for byte in text.bytes() {
        let begins =
            separates(before) || (before.is_ascii_lowercase() && byte.is_ascii_uppercase());
        if begins {
            (letters, consonants) = (0, 0);
            words += usize::from(!separates(byte));
        }
        let vowel = matches!(
            byte.to_ascii_lowercase(),
            b'a' | b'e' | b'i' | b'o' | b'u' | b'y'
        );
        let consonant = byte.is_ascii_alphabetic() && !vowel;
        consonants = if consonant { consonants + 1 } else { 0 };
        letters += 1;
        // A digit between letters of one word.
        let mixed = before.is_ascii_digit() && byte.is_ascii_alphabetic() && letters > digits + 1;
        digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
        if letters > WORD || consonants > CONSONANTS || mixed {
            return false;
        }
        before = byte;
    }
    (1..=WORDS).contains(&words)
}

#[cfg(test)]
mod tests {
    use super::is_name_like;

    #[test]
    fn names_look_like_names_and_values_do_not() {
        for name in [
            "my-key",
            "github token",
            "Stripe live key",
            "db.password-2",
            "orgWide",
            "lmit",
            "https-proxy",
            "OPENAI-API-KEY",
            "key 2024",
            "2nd key",
            "s3-bucket",
        ] {
            assert!(is_name_like(name), "{name}");
        }
        for value in [
            "",
            "----",
            "c38oddhjqhtnmfdk6x4ees8jvlsojxhz",
            "sk-proj-9f8e7d6c5b",
            "AKIA-IOSFODNN7EXAMPLE",
            "xQzWpLrTvN",
            "aBcDeFgHiJk",
            "postgres://a:b@c/d",
            "9f86d081884c7d65",
            "correct horse battery staple nine",
            "ключ",
            "p@ssword",
        ] {
            assert!(!is_name_like(value), "{value}");
        }
    }
}
