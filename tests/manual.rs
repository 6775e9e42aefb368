//! The manual claims no more than the code does.

use bytes::Bytes;
use runtools_broker::broker::scrub::{Patterns, scrub_bytes};
use runtools_broker::secret::Secret;

const THREATS: &str = include_str!("../src/manual/threats.md");
const VALUE: &str = "ghp_Zq9nKo0xj";

fn found(spelling: &str) -> bool {
    let patterns = Patterns::for_values([&Secret::copy_of(VALUE.as_bytes())], []).unwrap();
    let (_, hits) = scrub_bytes(&patterns, Bytes::copy_from_slice(spelling.as_bytes()));
    hits > 0
}

#[test]
fn the_spellings_that_a_search_does_not_find_are_named_among_what_is_not_promised() {
    let (promised, rest) = THREATS.split_once("## What is not promised").unwrap();
    assert!(!promised.contains("every usual spelling"));
    let each = |spell: fn(u8) -> String| VALUE.bytes().map(spell).collect::<String>();
    for (name, example, spelling) in [
        ("octal escapes", r"\141", each(|b| format!(r"\{b:03o}"))),
        ("quoted-printable", "=61", each(|b| format!("={b:02X}"))),
        (
            "percent escapes of percent escapes",
            "%2561",
            each(|b| format!("%25{b:02X}")),
        ),
    ] {
        assert!(rest.contains(name) && rest.contains(example), "{name}");
        assert!(!found(&spelling), "{name} are found: the manual may say so");
    }
    // What is promised is found.
    for spelling in [
        VALUE.to_owned(),
        each(|b| format!("%{b:02X}")),
        each(|b| format!("{b:02x}")),
        each(|b| format!("\\u{b:04x}")),
        each(|b| format!("&#{b};")),
    ] {
        assert!(found(&spelling), "{spelling}");
    }
}
