//! Values of more than one piece are found whole, though an echo escapes only a character or two.

use bytes::Bytes;

use super::scrub_bytes;
use super::tests_oracle::scrub_chunks;
use super::tests_spellings::patterns;

/// Lengths below, at, and above those that are searched for in pieces.
const LENGTHS: [usize; 5] = [512, 700, 1_200, 1_612, 5_000];

/// `len` random letters, with `special` at each of `at`.
fn value_of(len: usize, special: char, at: &[usize]) -> String {
    let mut state = 7_u32;
    let mut letter = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'a' + u8::try_from(state >> 24).unwrap() % 26)
    };
    let mut value: Vec<char> = (0..len).map(&mut letter).collect();
    for at in at {
        value[*at] = special;
    }
    value.into_iter().collect()
}

/// Values with none, one and two characters that a writer escapes, and how each echo spells those.
fn echoes() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for len in LENGTHS {
        let places: [&[usize]; 6] = [&[], &[1], &[100], &[len - 2], &[len / 2], &[3, len - 300]];
        for at in places {
            for (special, spelled) in [
                ('"', "\\\""),
                ('/', "\\/"),
                ('=', "\\u003d"),
                ('\n', "\\n"),
                ('\\', "\\\\"),
                ('e', "\\u0065"),
            ] {
                let value = value_of(len, special, at);
                let echo: String = match special {
                    // A letter stands elsewhere too, where nobody escapes it.
                    'e' => {
                        let spell = |(n, c): (usize, char)| {
                            if at.contains(&n) {
                                spelled.to_owned()
                            } else {
                                c.to_string()
                            }
                        };
                        value.chars().enumerate().map(spell).collect()
                    }
                    _ => value.replace(special, spelled),
                };
                all.push((value, echo));
            }
        }
    }
    all
}

#[test]
fn a_long_value_is_masked_to_its_last_byte_though_one_character_of_it_is_escaped() {
    for (value, echo) in echoes() {
        let patterns = patterns(&value);
        let text = format!("{{\"sent\":\"{echo}\"}}");
        let expected = format!("{{\"sent\":\"{}\"}}", "*".repeat(echo.len()));
        let (out, hits) = scrub_bytes(&patterns, Bytes::from(text));
        assert!(
            out.as_ref() == expected.as_bytes(),
            "{} of {}: {:?}",
            echo.len(),
            value.len(),
            left(out.as_ref())
        );
        assert!(hits > 0);
    }
}

/// Which bytes of an echo came through, as runs.
fn left(out: &[u8]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (at, _) in out.iter().enumerate().filter(|(_, byte)| **byte != b'*') {
        match runs.last_mut() {
            Some((_, end)) if *end == at => *end = at + 1,
            _ => runs.push((at, at + 1)),
        }
    }
    runs
}

#[test]
fn no_cut_between_the_pieces_of_a_long_value_lets_one_through() {
    for (value, echo) in echoes() {
        let patterns = patterns(&value);
        let text = format!("<{echo}|");
        let expected = format!("<{}|", "*".repeat(echo.len()));
        let near = |piece: usize| {
            let middle = piece * 512;
            [0, 1, 2, 6, 7, 12]
                .into_iter()
                .flat_map(move |off| [middle.saturating_sub(off), middle + off])
        };
        let cuts = (0..=text.len() / 512).flat_map(near);
        for cut in cuts
            .chain([text.len() - 1])
            .filter(|cut| *cut <= text.len())
        {
            let chunks = [&text.as_bytes()[..cut], &text.as_bytes()[cut..]];
            let (out, _) = scrub_chunks(&patterns, chunks);
            assert!(
                out == expected.as_bytes(),
                "{} of {} cut at {cut}: {:?}",
                echo.len(),
                value.len(),
                left(&out)
            );
        }
        for size in [1, 511, 512, 513] {
            let (out, _) = scrub_chunks(&patterns, text.as_bytes().chunks(size));
            assert!(out == expected.as_bytes(), "{size}: {:?}", left(&out));
        }
    }
}
