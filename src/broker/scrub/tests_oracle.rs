//! A second scanner for tests, which shares nothing with the first: it decodes what came out and
//! looks for pieces of the value in it.

use bytes::Bytes;

use super::{Patterns, Scrubber};
use crate::broker::sieve::bytes_of;

/// The shortest piece of a value that counts as a leak, in bytes.
const PIECE: usize = 5;

/// Runs `chunks` through a scrubber.
pub(super) fn scrub_chunks<'a>(
    patterns: &Patterns,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<u8>, u64) {
    let mut out = Vec::new();
    let mut scrubber = Scrubber::new(patterns);
    for chunk in chunks {
        let piece = scrubber.push(Bytes::copy_from_slice(chunk));
        out.extend_from_slice(&bytes_of(piece));
    }
    let hits = scrubber.hits().clone();
    out.extend_from_slice(&bytes_of(scrubber.finish()));
    (out, hits.total())
}

/// How `output` gives away a piece of `value`, if it does.
pub(in crate::broker) fn leak(output: &[u8], value: &[u8]) -> Option<&'static str> {
    let shows = |bytes: &[u8]| {
        let mut pieces = value.windows(PIECE);
        pieces.any(|piece| bytes.windows(PIECE).any(|here| here == piece))
    };
    if shows(output) {
        return Some("raw");
    }
    if shows(&percent_decoded(output)) {
        return Some("percent");
    }
    let mut json = json_decoded(output);
    if shows(&json) {
        return Some("json");
    }
    for _ in 0..3 {
        json = json_decoded(&json);
        if shows(&json) {
            return Some("json in json");
        }
    }
    let narrow: Vec<u8> = output.iter().copied().filter(|byte| *byte != 0).collect();
    if narrow.len() < output.len() && leak(&narrow, value).is_some() {
        return Some("utf-16");
    }
    if shows(&script_decoded(output)) {
        return Some("script");
    }
    if shows(&html_decoded(output)) {
        return Some("html");
    }
    let hex = |b: &u8| b.is_ascii_hexdigit();
    let hexes = runs(output, hex).into_iter().any(|run| {
        (0..2.min(run.len())).any(|skip| {
            let digits = |pair: &[u8]| {
                let text = std::str::from_utf8(pair).unwrap();
                u8::from_str_radix(text, 16).unwrap()
            };
            shows(&run[skip..].chunks_exact(2).map(digits).collect::<Vec<_>>())
        })
    });
    if hexes {
        return Some("hex");
    }
    let spaced = |b: &u8| b.is_ascii_hexdigit() || b" :-".contains(b);
    let digits = |b: &u8| b.is_ascii_digit() || b", ".contains(b);
    let listed = runs(output, spaced)
        .into_iter()
        .any(|run| shows(&numbers_of(&run, 16)))
        || runs(output, digits)
            .into_iter()
            .any(|run| shows(&numbers_of(&run, 10)));
    if listed {
        return Some("list");
    }
    let alphabet = |b: &u8| b.is_ascii_alphanumeric() || b"+/-_".contains(b);
    let base64 = runs(output, alphabet)
        .into_iter()
        .any(|run| (0..4.min(run.len())).any(|skip| shows(&base64_decoded(&run[skip..]))));
    base64.then_some("base64")
}

fn runs(bytes: &[u8], of: impl Fn(&u8) -> bool) -> Vec<Vec<u8>> {
    bytes
        .split(|b| !of(b))
        .filter(|run| !run.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}

/// The bytes of a list of numbers; what is no byte is left out.
fn numbers_of(run: &[u8], radix: u32) -> Vec<u8> {
    run.split(|b| !char::from(*b).is_digit(radix))
        .filter_map(|word| u8::from_str_radix(std::str::from_utf8(word).unwrap(), radix).ok())
        .collect()
}

fn base64_decoded(run: &[u8]) -> Vec<u8> {
    let (mut out, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for byte in run {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            _ => 63,
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    out
}

fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = bytes
        .iter()
        .map(|b| if *b == b'+' { b' ' } else { *b })
        .collect();
    percent_encoding::percent_decode(&spaced).collect()
}

fn json_decoded(bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut units) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < bytes.len() {
        let unit = bytes[at..]
            .strip_prefix(b"\\u")
            .and_then(|rest| rest.get(..4))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u16::from_str_radix(digits, 16).ok());
        if let Some(unit) = unit {
            units.push(unit);
            at += 6;
            continue;
        }
        out.extend(String::from_utf16_lossy(&std::mem::take(&mut units)).bytes());
        if bytes[at] == b'\\' && at + 1 < bytes.len() {
            at += 1;
            out.push(match bytes[at] {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                other => other,
            });
        } else {
            out.push(bytes[at]);
        }
        at += 1;
    }
    out.extend(String::from_utf16_lossy(&units).bytes());
    out
}

/// Reads `\xNN` as if it were `%NN`.
fn script_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut spelt = Vec::new();
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after.first()) {
            (b'\\', Some(b'x')) => {
                spelt.push(b'%');
                rest = &after[1..];
            }
            (b'%', _) => spelt.extend(b"%25"),
            _ => spelt.push(*first),
        }
    }
    percent_encoding::percent_decode(&spelt).collect()
}

fn html_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    for code in 1..=255_u8 {
        for entity in [
            format!("&#{code};"),
            format!("&#{code:03};"),
            format!("&#{code:04};"),
            format!("&#x{code:x};"),
            format!("&#x{code:X};"),
            format!("&#x{code:04X};"),
        ] {
            text = text.replace(&entity, &char::from(code).to_string());
        }
    }
    for (entity, plain) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&amp;", "&"),
    ] {
        text = text.replace(entity, plain);
    }
    text.into_bytes()
}

#[test]
fn the_second_scanner_sees_what_it_should() {
    let value = b"s3cr3t/+\"<value>";
    for (kind, text) in [
        ("raw", "x s3cr3t x".to_owned()),
        ("percent", "a%733%63r3%74%2fb".to_owned()),
        ("json", r"a\u0073\u0033cr\u0033t\/b".to_owned()),
        ("json in json", r"a\\u0073\\u0033cr\\u0033t\\/b".to_owned()),
        (
            "utf-16",
            "s\x003\0c\0r\0\\\0u\x000\x000\x003\x003\0t\0".to_owned(),
        ),
        ("script", r"a\x73\x33cr\x33t/b".to_owned()),
        ("html", "a&#x73;3c&#114;3t/".to_owned()),
        ("html", "a&#x0073;3c&#0114;3t/".to_owned()),
        ("hex", "f733363723374".to_owned()),
        ("list", "is 73:33:63:72:33:74.".to_owned()),
        ("list", "[115, 51,99, 114,51]".to_owned()),
        (
            "base64",
            data_encoding::BASE64.encode(b"12s3cr3t/+\"<value>"),
        ),
    ] {
        assert_eq!(leak(text.as_bytes(), value), Some(kind));
    }
    assert_eq!(leak(b"nothing to see, s3cr only", value), None);
}
