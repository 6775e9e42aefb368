//! A value is found through any mix of escapes, levels of JSON and zeros, and nothing else is touched.

use bytes::Bytes;

use super::tests_spellings::{SHORT, TOKEN, deep_spellings, in_json, patterns, spellings, utf_16};
use super::{Scrubber, scrub_bytes};

#[test]
fn every_spelling_is_masked_in_utf_16_and_utf_32_too() {
    for value in [TOKEN].into_iter().chain(SHORT).filter(|v| v.is_ascii()) {
        let patterns = patterns(value);
        for (kind, spelling) in spellings(value).into_iter().chain(deep_spellings(value)) {
            let text = format!("<{spelling}|");
            let [little, big] = utf_16(&text);
            let wide: Vec<u8> = text
                .chars()
                .flat_map(|c| u32::from(c).to_le_bytes())
                .collect();
            for (bytes, size) in [(little, 2), (big, 2), (wide, 4)] {
                let before = if bytes[0] == 0 { size } else { size - 1 };
                let (out, hits) = scrub_bytes(&patterns, Bytes::copy_from_slice(&bytes));
                let mut expected = bytes.clone();
                let first = size + (before + 1) % size;
                let masked = first..=first + (spelling.len() - 1) * size;
                expected[masked].fill(b'*');
                assert_eq!(out.into_bytes(), expected, "{kind} of {value}");
                assert_eq!(hits, 1, "{kind} of {value}");
            }
        }
    }
}

#[test]
fn any_mix_of_escapes_is_found_in_a_text_that_nobody_parses() {
    const VALUE: &str = "crm+y-se\\";
    let patterns = patterns(VALUE);
    for which in 0..3_u32.pow(9) {
        let mut rest = which;
        let head = "data: {\"x\":\"";
        let mut text = head.to_owned();
        for c in VALUE.chars() {
            match rest % 3 {
                0 => text.push_str(&in_json(&c.to_string())),
                1 => text.push_str(&format!("\\u{:04x}", u32::from(c))),
                _ => text.push_str(&format!("\\\\u{:04X}", u32::from(c))),
            }
            rest /= 3;
        }
        let spelt = text.len() - head.len();
        text.push_str("\"}");
        let (out, hits) = scrub_bytes(&patterns, Bytes::from(text.clone()));
        let out = String::from_utf8(out.into_bytes().to_vec()).unwrap();
        // The last of it, a backslash, is no more than what stands before a quote.
        let begins = format!("{head}{}", "*".repeat(spelt - 7));
        assert!(out.starts_with(&begins), "{text}: {out}");
        assert!(out.ends_with("\"}"), "{out}");
        assert_eq!(hits, 1, "{text}");
    }
}

#[test]
fn escapes_and_zeros_around_a_value_stay_and_so_does_what_is_none() {
    const MASKED: &str = "****************";
    let patterns = patterns(TOKEN);
    for (text, shown) in [
        (r#"{"a":"\\"}{"b":"\u00e9\n\x"}"#, None),
        ("C:\\ghp\\0\0\0\0\0\0", None),
        ("\\\\\\ghp_Zq9nKo0/x+j~\\", Some("\\\\\\#\\")),
        ("\\nghp_Zq9nKo0/x+j~\\u00", Some("\\n#\\u00")),
        ("\\ud83dghp_Zq9nKo0/x\\u002bj~", Some("\\ud83d*****#")),
        ("\0ghp_Zq9nKo0/x+j~\0\0", Some("\0#\0\0")),
    ] {
        let (out, _) = scrub_bytes(&patterns, Bytes::from(text));
        let out = String::from_utf8(out.into_bytes().to_vec()).unwrap();
        assert_eq!(out, shown.unwrap_or(text).replace('#', MASKED));
    }
    // More zeros or backslashes than any writer writes hold nothing back.
    for many in ["\0".repeat(9_000), "\\".repeat(9_000)] {
        let text = format!("ghp_Zq{many}");
        let mut scrubber = Scrubber::new(&patterns);
        drop(scrubber.push(Bytes::from(text)));
        assert!(scrubber.held() < 100, "{}", scrubber.held());
    }
}

#[test]
fn a_value_of_nearly_nothing_but_backslashes_is_found_as_it_is_usually_written() {
    for value in [r"\\\\\\\\", r"\a\b\c\d", r"C:\\n\n\n"] {
        let patterns = patterns(value);
        for spelling in [value.to_owned(), in_json(value), in_json(&in_json(value))] {
            let (out, hits) = scrub_bytes(&patterns, Bytes::from(format!("<{spelling}|")));
            let expected = format!("<{}|", "*".repeat(spelling.len()));
            assert_eq!(out.into_bytes(), expected.as_bytes(), "{spelling}");
            assert!(hits >= 1);
        }
    }
}
