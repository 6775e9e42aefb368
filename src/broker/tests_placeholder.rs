//! Placeholders: unique, of one shape, and found in every spelling.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use proptest::prelude::*;

use super::{PLACEHOLDER_LETTERS, Placeholder, any_in};
use crate::crypto::{SystemRandom, check_letters};

fn draw(prefix: Option<&str>) -> Placeholder {
    Placeholder::draw(prefix, &SystemRandom).unwrap()
}

#[test]
fn placeholders_are_unique_and_of_one_shape() {
    let drawn: HashSet<Placeholder> = (0..20_000).map(|_| draw(None)).collect();
    assert_eq!(drawn.len(), 20_000);
    for placeholder in &drawn {
        let text = placeholder.text();
        assert_eq!(text.len(), PLACEHOLDER_LETTERS);
        assert!(text.len() >= 44 && text.bytes().all(|b| b.is_ascii_alphanumeric()));
        let (body, check) = text.split_at(text.len() - 6);
        assert_eq!(check.as_bytes(), check_letters(body.as_bytes()));
    }
}

#[test]
fn a_vendors_prefix_comes_first_and_counts_for_the_checksum() {
    for prefix in ["sk-", "ghp_", "xoxb-", "SG.", "~"] {
        let placeholder = draw(Some(prefix));
        let text = placeholder.text();
        assert!(text.starts_with(prefix), "{text}");
        assert_eq!(text.len(), prefix.len() + PLACEHOLDER_LETTERS);
        let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        assert!(text.bytes().all(unreserved));
        let (body, check) = text.split_at(text.len() - 6);
        assert_eq!(check.as_bytes(), check_letters(body.as_bytes()));
        assert!(any_in(text.as_bytes()));
    }
}

#[test]
fn ordinary_text_has_no_mark() {
    for text in [
        "rtPlaceholder",
        "a placeholder",
        "rtPlaceh0lde",
        "RTPLACEH0LDER",
        "",
    ] {
        assert!(!any_in(text.as_bytes()), "{text}");
    }
}

/// Each letter percent-encoded or not, as `choices` say, in either case.
fn percent_some(text: &str, choices: u64) -> String {
    let letter = |(index, byte): (usize, u8)| match choices >> ((2 * index) % 64) & 3 {
        0 | 1 => char::from(byte).to_string(),
        2 => format!("%{byte:02x}"),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().enumerate().map(letter).collect()
}

fn json_some(text: &str, choices: u64) -> String {
    let letter = |(index, byte): (usize, u8)| match choices >> (index % 64) & 1 {
        0 => char::from(byte).to_string(),
        _ => format!("\\u{byte:04X}"),
    };
    text.bytes().enumerate().map(letter).collect()
}

proptest! {
    #[test]
    fn one_is_found_in_every_spelling_wherever_it_stands(
        before in "[ -~]{0,40}",
        after in "[ -~]{0,40}",
        choices in any::<u64>(),
        prefix in proptest::option::of("[a-z]{2,4}[-_]"),
    ) {
        let placeholder = draw(prefix.as_deref());
        let text = placeholder.text();
        let whole = format!("{before}{text}{after}");
        let spellings = [
            whole.clone(),
            format!("{before} {} {after}", percent_some(text, choices)),
            format!("{before} {} {after}", json_some(text, choices)),
            STANDARD.encode(&whole),
            URL_SAFE_NO_PAD.encode(&whole),
            format!("Basic {}", STANDARD.encode(format!("{text}:"))),
            format!("Basic {}", STANDARD.encode(format!("u:{text}"))),
            whole.bytes().map(|b| format!("{b:02x}")).collect(),
            whole.bytes().map(|b| format!("{b:02X}")).collect(),
            percent_encode(STANDARD.encode(&whole).as_bytes(), NON_ALPHANUMERIC).to_string(),
        ];
        for spelled in spellings {
            prop_assert!(any_in(spelled.as_bytes()), "the mark: {}", spelled);
            prop_assert!(placeholder.is_in(spelled.as_bytes()).unwrap(), "its own: {}", spelled);
            prop_assert!(!draw(None).is_in(spelled.as_bytes()).unwrap());
        }
    }
}
