//! Every spelling is found, wherever it stands, and nothing else is touched.

use bytes::Bytes;
use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use proptest::prelude::*;

use super::tests_oracle::{leak, scrub_chunks};
use super::{Patterns, ScrubError, scrub_bytes};
use crate::secret::Secret;

/// A value with everything in it that anyone escapes.
pub(super) const AWKWARD: &str = "k/+ \"\\<&>'=~?é\u{1F511}\t:%7";
pub(super) const TOKEN: &str = "ghp_Zq9nKo0/x+j~";
/// As short as can be: seven bytes, and six.
pub(super) const SHORT: [&str; 4] = ["crm_yyy", "a/+?\"&~", "Zq9nK0", "~é<'+"];

pub(super) fn patterns(value: &str) -> Patterns {
    Patterns::for_values([&Secret::copy_of(value.as_bytes())], []).unwrap()
}

/// Alternates the case of hex digits.
fn mixed(text: &str) -> String {
    let mut upper = false;
    text.chars()
        .map(|c| {
            upper = !upper;
            if upper {
                c.to_ascii_uppercase()
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect()
}

fn every(value: &str, spell: impl Fn(u8) -> String) -> String {
    value.bytes().map(spell).collect()
}

fn listed(value: &str, between: &str, spell: impl Fn(u8) -> String) -> String {
    value.bytes().map(spell).collect::<Vec<_>>().join(between)
}

fn units(value: &str, spell: impl Fn(u16) -> String) -> String {
    value.encode_utf16().map(spell).collect()
}

fn entities(value: &str, spell: impl Fn(u32) -> String) -> String {
    value.chars().map(|c| spell(u32::from(c))).collect()
}

/// Inside a JSON string, as `serde_json` writes it.
pub(super) fn in_json(text: &str) -> String {
    let json = serde_json::to_string(text).unwrap();
    json.strip_prefix('"')
        .and_then(|json| json.strip_suffix('"'))
        .unwrap()
        .to_owned()
}

/// Inside a JSON string, as System.Text.Json writes it.
fn dotnet(value: &str) -> String {
    let mut text = String::new();
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '\t' => text.push_str("\\t"),
            '"' | '&' | '\'' | '+' | '<' | '>' | '`' | '\x7f'.. => {
                text.push_str(&units(&c.to_string(), |u| format!("\\u{u:04X}")));
            }
            c => text.push(c),
        }
    }
    text
}

/// Inside a JSON string, with every second character as a unit, its digits of either case.
fn some_units(value: &str) -> String {
    let unit = |(at, c): (usize, char)| match at % 4 {
        1 => units(&c.to_string(), |u| format!("\\u{u:04x}")),
        3 => units(&c.to_string(), |u| format!("\\u{u:04X}")),
        _ => in_json(&c.to_string()),
    };
    value.chars().enumerate().map(unit).collect()
}

/// With a backslash before all punctuation, as for a regular expression.
fn quoted(value: &str) -> String {
    let quote = |c: char| match c {
        c if c.is_ascii_punctuation() || c == ' ' => format!("\\{c}"),
        c => c.to_string(),
    };
    value.chars().map(quote).collect()
}

/// Bytes one by one.
fn lists(value: &str) -> [(&'static str, String); 6] {
    [
        ("hex spaced", listed(value, " ", |b| format!("{b:02x}"))),
        ("hex colons", listed(value, ":", |b| format!("{b:02X}"))),
        ("hex dashes", listed(value, "-", |b| format!("{b:02X}"))),
        ("numbers", listed(value, ",", |b| b.to_string())),
        ("numbers spaced", listed(value, ", ", |b| b.to_string())),
        ("numbers of go", listed(value, " ", |b| b.to_string())),
    ]
}

/// Spellings written by other hands than those under test.
pub(in crate::broker) fn spellings(value: &str) -> Vec<(&'static str, String)> {
    let json = in_json(value);
    let component =
        percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
    let hex = HEXLOWER.encode(value.as_bytes());
    let form: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
    let html = |c: char| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        '\'' => "&#39;".to_owned(),
        c => c.to_string(),
    };
    let mut all = vec![
        ("raw", value.to_owned()),
        ("hex lower", hex.clone()),
        ("hex upper", HEXUPPER.encode(value.as_bytes())),
        ("hex mixed", mixed(&hex)),
        ("form", form),
        ("percent full upper", every(value, |b| format!("%{b:02X}"))),
        ("percent full lower", every(value, |b| format!("%{b:02x}"))),
        (
            "percent full mixed",
            mixed(&every(value, |b| format!("%{b:02x}"))),
        ),
        ("percent but letters", component.to_string()),
        ("json", json.clone()),
        ("json slash", json.replace('/', "\\/")),
        ("json units upper", units(value, |u| format!("\\u{u:04X}"))),
        ("json units lower", units(value, |u| format!("\\u{u:04x}"))),
        ("html", value.chars().map(html).collect()),
        ("html decimal", entities(value, |code| format!("&#{code};"))),
        (
            "html hex padded",
            entities(value, |code| format!("&#x{code:04X};")),
        ),
        (
            "html php",
            value
                .chars()
                .map(html)
                .collect::<String>()
                .replace("&#39;", "&#039;"),
        ),
        ("script upper", every(value, |b| format!("\\x{b:02X}"))),
        ("script lower", every(value, |b| format!("\\x{b:02x}"))),
        ("html hex", entities(value, |code| format!("&#x{code:x};"))),
        ("base64", BASE64_NOPAD.encode(value.as_bytes())),
        ("base64url", BASE64URL_NOPAD.encode(value.as_bytes())),
        ("json some units", some_units(value)),
        ("json dotnet", dotnet(value)),
        ("json quoted", quoted(value)),
        ("json in json", in_json(&json)),
        ("json slash in json", in_json(&json.replace('/', "\\/"))),
        ("json dotnet in json", in_json(&dotnet(value))),
        ("json some units in json", in_json(&some_units(value))),
    ];
    all.extend(lists(value));
    all
}

/// The same, two levels deeper.
pub(super) fn deep_spellings(value: &str) -> Vec<(&'static str, String)> {
    let deep = |text: String| in_json(&in_json(&text));
    vec![
        ("json deep", deep(in_json(value))),
        ("json dotnet deep", deep(dotnet(value))),
        ("json some units deep", deep(some_units(value))),
        (
            "json units deep",
            deep(units(value, |u| format!("\\u{u:04X}"))),
        ),
    ]
}

/// UTF-16, little end first, and big end first.
pub(super) fn utf_16(text: &str) -> [Vec<u8>; 2] {
    [
        text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
    ]
}

#[test]
fn every_spelling_is_masked_byte_for_byte_and_its_surroundings_stay() {
    for value in [AWKWARD, TOKEN].into_iter().chain(SHORT) {
        let patterns = patterns(value);
        let all = spellings(value).into_iter().chain(deep_spellings(value));
        for (kind, spelling) in all {
            let text = format!("<{spelling}|");
            let (out, hits) = scrub_bytes(&patterns, Bytes::from(text));
            let expected = format!("<{}|", "*".repeat(spelling.len()));
            assert_eq!(out.into_bytes(), expected.as_bytes(), "{kind} of {value}");
            assert_eq!(hits, 1, "{kind}");
        }
    }
}

#[test]
fn base64_is_found_at_every_alignment_and_with_padding() {
    for value in [AWKWARD, TOKEN].into_iter().chain(SHORT) {
        let patterns = patterns(value);
        for before in 0..7 {
            for after in 0..7 {
                let all = [
                    &b"prefix~"[..before],
                    value.as_bytes(),
                    &b"?suffix"[..after],
                ]
                .concat();
                for encoded in [
                    BASE64.encode(&all),
                    BASE64URL.encode(&all),
                    BASE64.encode(&all).replace('/', "\\/"),
                    BASE64.encode(&all).replace('+', "%2b").replace('/', "%2F"),
                    BASE64.encode(&all).replace('+', "\\u002B"),
                    BASE64
                        .encode(&all)
                        .replace('/', "\\\\/")
                        .replace('+', "\\\\u002b"),
                ] {
                    let text = Bytes::from(format!("x:{encoded};"));
                    let (out, hits) = scrub_bytes(&patterns, text);
                    assert!(hits > 0);
                    let left = out.as_ref().iter().filter(|b| **b != b'*').count();
                    assert!(
                        left <= 3 + encoded.len().div_ceil(4) * 4 - value.len(),
                        "{encoded}"
                    );
                    assert_eq!(leak(out.as_ref(), value.as_bytes()), None);
                }
            }
        }
    }
}

#[test]
fn a_list_of_bytes_shows_no_more_than_how_many_there_are() {
    for value in [AWKWARD, TOKEN].into_iter().chain(SHORT) {
        let patterns = patterns(value);
        for (begins, between) in [("{0x", ", 0x"), ("{0X", ",0x"), ("<0x", " 0x")] {
            for list in [
                listed(value, between, |b| format!("{b:02x}")),
                listed(value, between, |b| format!("{b:02X}")),
            ] {
                let text = format!("{begins}{list};");
                let (out, hits) = scrub_bytes(&patterns, Bytes::from(text));
                let out = String::from_utf8(out.into_bytes().to_vec()).unwrap();
                let left = out.trim_start_matches(begins).replace('*', "");
                assert_eq!(left, ";", "{value} as {list}: {out}");
                assert!(
                    out.len() == begins.len() + list.len() + 1 && hits == 1,
                    "{out}"
                );
            }
        }
        // As Node writes a buffer.
        let json = serde_json::json!({"type": "Buffer", "data": value.as_bytes()}).to_string();
        let (out, hits) = scrub_bytes(&patterns, Bytes::from(json.clone()));
        let digits = json
            .trim_start_matches("{\"data\":[")
            .trim_end_matches("],\"type\":\"Buffer\"}");
        let expected = json.replace(digits, &"*".repeat(digits.len()));
        assert_eq!((out.into_bytes(), hits), (Bytes::from(expected), 1));
    }
}

#[test]
fn the_basic_blob_is_masked_whole() {
    let value = Secret::copy_of(TOKEN.as_bytes());
    let patterns = Patterns::for_values([], [(&b"octocat"[..], &value)]).unwrap();
    let blob = BASE64.encode(format!("octocat:{TOKEN}").as_bytes());
    let text = Bytes::from(format!("Authorization: Basic {blob}\r\n"));
    let (out, hits) = scrub_bytes(&patterns, text);
    let stars = "*".repeat(blob.trim_end_matches('=').len());
    let out = String::from_utf8(out.into_bytes().to_vec()).unwrap();
    assert_eq!(
        out.replace('=', ""),
        format!("Authorization: Basic {stars}\r\n")
    );
    assert_eq!(hits, 1);
}

#[test]
fn a_value_with_white_space_around_it_is_found_without() {
    let patterns = patterns("\n  ghp_0123456789 \n");
    let (out, hits) = scrub_bytes(&patterns, Bytes::from_static(b"Bearer ghp_0123456789\n"));
    assert_eq!((out.as_ref(), hits), (&b"Bearer **************\n"[..], 1));
}

#[test]
fn short_values_are_refused_and_no_values_find_nothing() {
    for short in ["", "12345", "  12345\n"] {
        let secret = Secret::copy_of(short.as_bytes());
        let refused = Err(ScrubError::TooShort { minimum: 6 });
        assert_eq!(Patterns::for_values([&secret], []).map(drop), refused);
        let basic = (&b"user"[..], &secret);
        assert_eq!(Patterns::for_values([], [basic]).map(drop), refused);
    }
    let none = Patterns::for_values([], []).unwrap();
    assert!(none.is_empty());
    let (out, hits) = scrub_bytes(&none, Bytes::from_static(b"anything"));
    assert_eq!((out.as_ref(), hits), (&b"anything"[..], 0));
}

#[test]
fn many_values_are_all_found_and_counted_apart() {
    let values: Vec<_> = (0..40)
        .map(|i| Secret::copy_of(format!("{i:02}-token-{}", i * 7919).as_bytes()))
        .collect();
    let patterns = Patterns::for_values(&values, []).unwrap();
    let mut text = Vec::new();
    for value in &values {
        value.expose(|bytes| text.extend_from_slice(bytes));
        text.push(b' ');
    }
    let whole = text.len();
    let hits = patterns.hits();
    let out = super::scrub_counting(&patterns, Bytes::from(text), &hits);
    let spaces = out.as_ref().split(|b| *b == b'*').flatten().count();
    assert_eq!((spaces, out.as_ref().len()), (values.len(), whole));
    assert!((0..values.len()).all(|i| hits.of(i) == 1));
    assert_eq!(hits.of(values.len()), 0);
}

#[test]
fn debug_shows_no_value() {
    let patterns = patterns(TOKEN);
    assert_eq!(format!("{patterns:?}"), "Patterns(hidden)");
    let scrubber = super::Scrubber::new(&patterns);
    assert_eq!(format!("{scrubber:?}"), "Scrubber(hidden)");
}

/// Looks for `value` in each of its spellings, twice, in pieces.
fn each_spelling_is_masked(
    value: &str,
    (before, after): (&str, &str),
    cuts: &[prop::sample::Index],
) -> Result<(), TestCaseError> {
    let patterns = patterns(value);
    for (kind, spelling) in spellings(value.trim()) {
        // Nobody writes hex in mixed case; a value beyond ASCII has too many letters for it.
        let rare = kind.ends_with("mixed") && !value.is_ascii();
        if rare {
            continue;
        }
        let text = format!("{before}{spelling} {spelling}{after}").into_bytes();
        let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(text.len())).collect();
        at.extend([0, text.len()]);
        at.sort_unstable();
        let chunks = at.windows(2).map(|pair| &text[pair[0]..pair[1]]);
        let (out, hits) = scrub_chunks(&patterns, chunks);
        prop_assert!(hits >= 2, "{}", kind);
        prop_assert_eq!(out.len(), text.len());
        let found = leak(&out, value.trim().as_bytes());
        prop_assert_eq!(found, None, "{}", kind);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_value_that_ends_like_an_escape_is_masked_at_the_end_of_a_text_too(
        value in "[!-~]{10,20}(\\\\u|\\\\x|\\\\|&|%|&#|\\\\u0|\\\\u00|%2|&#x)",
        before in "[a-z \"<%&]{0,9}",
        after in "| [a-z]{0,3}",
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        each_spelling_is_masked(&value, (&before, &after), &cuts)?;
    }

    #[test]
    fn no_spelling_of_any_value_gets_through(
        value in "[!-~]{6,40}|[a-zA-Z0-9_-]{20,60}|[ -~é-ü]{8,20}",
        before in "[a-z \"<%&]{0,9}",
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        prop_assume!(value.trim().len() >= 12);
        each_spelling_is_masked(&value, (&before, ""), &cuts)?;
    }
}
