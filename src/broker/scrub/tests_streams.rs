//! However a stream is cut, the outcome is the same.

use bytes::Bytes;
use proptest::prelude::*;

use super::patterns::WINDOW;
use super::tests_oracle::{leak, scrub_chunks};
use super::tests_spellings::{SHORT, TOKEN, deep_spellings, patterns, spellings, utf_16};
use super::{Patterns, Scrubber, scrub_bytes};
use crate::broker::sieve::bytes_of;
use crate::secret::Secret;

/// Masks every byte of every raw occurrence, the slow way.
fn naive(text: &[u8], values: &[&[u8]]) -> Vec<u8> {
    let mut out = text.to_vec();
    for value in values {
        for start in 0..text.len() {
            if text[start..].starts_with(value) {
                out[start..start + value.len()].fill(b'*');
            }
        }
    }
    out
}

#[test]
fn every_cut_into_two_and_three_chunks_gives_the_same() {
    for value in ["k9/Z+x =\"&7'"].into_iter().chain(SHORT) {
        let patterns = patterns(value);
        for (kind, spelling) in spellings(value) {
            let text = format!("<{spelling}{spelling}|").into_bytes();
            let stars = "*".repeat(spelling.len() * 2);
            let expected = format!("<{stars}|");
            for first in 0..=text.len() {
                for second in first..=text.len() {
                    let chunks = [&text[..first], &text[first..second], &text[second..]];
                    let (out, hits) = scrub_chunks(&patterns, chunks);
                    let cut = format!("{kind} of {value} cut at {first} and {second}");
                    assert_eq!(out, expected.as_bytes(), "{cut}");
                    assert_eq!(hits, 2, "{cut}");
                }
            }
        }
    }
}

#[test]
fn every_cut_of_a_text_that_is_wrapped_several_times_gives_the_same() {
    for value in ["k9/Z+x =\"&7'"].into_iter().chain(SHORT) {
        let patterns = patterns(value);
        for (kind, spelling) in spellings(value).into_iter().chain(deep_spellings(value)) {
            let text = format!("<{spelling}{spelling}|");
            let [little, big] = utf_16(&text);
            for text in [text.into_bytes(), little, big] {
                if !value.is_ascii() && text[..2].contains(&0) {
                    continue;
                }
                let whole = scrub_bytes(&patterns, Bytes::copy_from_slice(&text));
                assert_eq!(leak(whole.0.as_ref(), value.as_bytes()), None, "{kind}");
                for cut in 0..=text.len() {
                    let chunks = [&text[..cut], &text[cut..]];
                    let (out, hits) = scrub_chunks(&patterns, chunks);
                    let cut = format!("{kind} of {value} cut at {cut}");
                    assert_eq!((out.as_slice(), hits), (whole.0.as_ref(), whole.1), "{cut}");
                }
                let (out, hits) = scrub_chunks(&patterns, text.chunks(1));
                assert_eq!((out.as_slice(), hits), (whole.0.as_ref(), 2), "{kind}");
            }
        }
    }
}

/// What comes out of each of some messages, with a pause after it; and how often something was found.
fn paused(patterns: &Patterns, messages: &[&str]) -> (Vec<String>, u64) {
    let mut scrubber = Scrubber::new(patterns);
    let mut outs = Vec::new();
    for message in messages {
        let mut out = Vec::new();
        let chunk = Bytes::copy_from_slice(message.as_bytes());
        out.extend_from_slice(&bytes_of(scrubber.push(chunk)));
        out.extend_from_slice(&bytes_of(scrubber.pause()));
        assert_eq!(scrubber.held(), 0);
        outs.push(String::from_utf8(out).unwrap());
    }
    let hits = scrubber.hits().clone();
    assert_eq!(scrubber.finish(), None, "nothing was held back");
    (outs, hits.total())
}

#[test]
fn nothing_is_held_back_over_a_pause_and_what_follows_it_is_masked() {
    let patterns = patterns(TOKEN);
    let stars = "*".repeat(TOKEN.len());
    for cut in 1..TOKEN.len() {
        let (left, right) = TOKEN.split_at(cut);
        let messages = [&format!("<{left}"), right, ">", TOKEN];
        let (outs, hits) = paused(&patterns, &messages);
        let masked = "*".repeat(right.len());
        assert_eq!(outs, [messages[0], &masked, ">", &stars], "{cut}");
        assert_eq!(hits, 2, "{cut}");
    }
    let (outs, hits) = paused(&patterns, &[TOKEN, "", TOKEN, "x"]);
    assert_eq!(
        (outs, hits),
        (vec![stars.clone(), String::new(), stars, "x".to_owned()], 2)
    );
}

#[test]
fn a_value_that_another_begins_with_hides_no_rest_of_it_over_a_pause() {
    let values = [
        Secret::copy_of(b"ghp_one-value"),
        Secret::copy_of(b"ghp_one-value-and-more"),
    ];
    let patterns = Patterns::for_values(&values, []).unwrap();
    let (outs, _) = paused(&patterns, &["ghp_one-value", "-and-more", "-and-more"]);
    assert_eq!(
        outs,
        ["*".repeat(13), "*".repeat(9), "-and-more".to_owned()]
    );
    // Found and counted once, though it is looked at twice.
    let (outs, hits) = paused(&patterns, &["ghp_one-value", "-and-less"]);
    assert_eq!((outs[1].as_str(), hits), ("-and-less", 1));
}

#[test]
fn base64_of_a_short_value_is_found_at_every_alignment_however_it_is_cut() {
    for value in SHORT {
        let patterns = patterns(value);
        for (before, after) in [("", ""), ("", "z"), ("?", ""), ("?", "zz"), ("u:", "z")] {
            let blob = data_encoding::BASE64.encode(format!("{before}{value}{after}").as_bytes());
            let text = format!("<{blob}|").into_bytes();
            let whole = scrub_bytes(&patterns, Bytes::copy_from_slice(&text));
            assert_eq!(whole.1, 1, "{blob} of {value}");
            assert_eq!(leak(whole.0.as_ref(), value.as_bytes()), None, "{blob}");
            for first in 0..=text.len() {
                for second in first..=text.len() {
                    let chunks = [&text[..first], &text[first..second], &text[second..]];
                    let (out, hits) = scrub_chunks(&patterns, chunks);
                    assert_eq!((out.as_slice(), hits), (whole.0.as_ref(), 1), "{blob}");
                }
            }
        }
    }
}

#[test]
fn one_byte_per_chunk_gives_the_same() {
    for value in [TOKEN].into_iter().chain(SHORT) {
        let patterns = patterns(value);
        for (kind, spelling) in spellings(value) {
            let text = format!("{{\"echo\":\"{spelling}\"}}{spelling}");
            let (out, hits) = scrub_chunks(&patterns, text.as_bytes().chunks(1));
            let stars = "*".repeat(spelling.len());
            assert_eq!(
                out,
                format!("{{\"echo\":\"{stars}\"}}{stars}").as_bytes(),
                "{kind} of {value}"
            );
            assert_eq!(hits, 2);
        }
    }
}

#[test]
fn occurrences_that_overlap_are_masked_to_their_last_byte() {
    let periodic = patterns("abababab");
    let (out, hits) = scrub_bytes(&periodic, Bytes::from_static(b"xababababababax"));
    assert_eq!((out.as_ref(), hits), (&b"x************ax"[..], 3));

    let nested = [&b"hello-12345678-world"[..], b"12345678", b"5678-worldly"];
    let secrets: Vec<_> = nested.iter().map(|value| Secret::copy_of(value)).collect();
    let patterns = Patterns::for_values(&secrets, []).unwrap();
    for text in [
        &b"hello-12345678-worldly!"[..],
        b"hello-12345678-worl",
        b"hello-12345678-worhello-12345678-world",
        b"12345678-worldl5678-worldly",
    ] {
        let expected = naive(text, &nested);
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let chunks = [&text[..first], &text[first..second], &text[second..]];
                assert_eq!(scrub_chunks(&patterns, chunks).0, expected);
            }
        }
    }
}

#[test]
fn only_the_beginning_of_a_spelling_is_held_back() {
    let patterns = patterns("ghp_0123456789");
    let mut scrubber = Scrubber::new(&patterns);
    let mut sent = |chunk: &'static [u8]| {
        let out = bytes_of(scrubber.push(Bytes::from_static(chunk)));
        (String::from_utf8(out.to_vec()).unwrap(), scrubber.held())
    };
    assert_eq!(sent(b"data: hello\n\n"), ("data: hello\n\n".into(), 0));
    assert_eq!(sent(b"data: ghp_012345"), ("data: ".into(), 10));
    assert_eq!(sent(b"x and gh"), ("ghp_012345x and ".into(), 2));
    assert_eq!(sent(b"p_0123456789\n\n"), ("**************\n\n".into(), 0));
    assert_eq!(sent(b"end g"), ("end ".into(), 1));
    let hits = scrubber.hits().clone();
    let rest = bytes_of(scrubber.finish());
    assert_eq!((&*rest, hits.total()), (&b"g"[..], 1));
}

#[test]
fn a_clean_chunk_is_handed_on_without_a_copy() {
    let patterns = patterns(TOKEN);
    let chunk = Bytes::from(vec![b'.'; 10_000]);
    let piece = bytes_of(Scrubber::new(&patterns).push(chunk.clone()));
    assert_eq!((piece.as_ptr(), piece.len()), (chunk.as_ptr(), chunk.len()));
}

#[test]
fn long_values_are_found_in_every_spelling_with_little_held_back() {
    let mut state = 1_u32;
    let mut letter = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b' ' + u8::try_from(state >> 24).unwrap() % 95)
    };
    for len in [
        WINDOW - 1,
        WINDOW,
        WINDOW + 1,
        2 * WINDOW + 5,
        4_096,
        65_536,
    ] {
        let value: String = (0..len - 2).map(|_| letter()).collect();
        let value = format!("k{value}k");
        let patterns = patterns(&value);
        for (kind, spelling) in spellings(&value) {
            let text = format!("<{spelling}|");
            let mut scrubber = Scrubber::new(&patterns);
            let (mut out, mut most) = (Vec::new(), 0);
            for chunk in text.as_bytes().chunks(1000) {
                let piece = scrubber.push(Bytes::copy_from_slice(chunk));
                out.extend_from_slice(&bytes_of(piece));
                most = most.max(scrubber.held());
            }
            out.extend_from_slice(&bytes_of(scrubber.finish()));
            let stars = "*".repeat(spelling.len());
            assert!(out == format!("<{stars}|").as_bytes(), "{kind} of {len}");
            assert!(most < 8 * WINDOW);
        }
    }
}

#[test]
fn a_piece_of_a_long_value_does_not_begin_with_a_line_end() {
    let line = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.\n";
    let patterns = patterns(&line.repeat(200).replacen('0', "k", 1));
    let mut scrubber = Scrubber::new(&patterns);
    let event = Bytes::from_static(b"data: event\n\n");
    assert_eq!(bytes_of(scrubber.push(event.clone())), event);
    assert_eq!(scrubber.held(), 0);
}

/// Streams `chunks` pieces of filler with `value` in the first, the middle and the last.
fn large_body(value: &str, chunks: usize) {
    let patterns = patterns(value);
    let filler = Bytes::from("{\"id\":12345,\"name\":\"nothing to see\"}\n".repeat(1800));
    let mut scrubber = Scrubber::new(&patterns);
    let (mut seen, mut most) = (0, 0);
    for index in 0..chunks {
        let chunk = if [0, chunks / 2, chunks - 1].contains(&index) {
            let mut with = filler.to_vec();
            let at = [0, with.len() / 2, with.len() - value.len()][index * 2 / (chunks - 1)];
            with[at..at + value.len()].copy_from_slice(value.as_bytes());
            Bytes::from(with)
        } else {
            filler.clone()
        };
        let piece = bytes_of(scrubber.push(chunk));
        seen += piece.len();
        if piece.as_ptr() != filler.as_ptr() {
            assert_eq!(leak(&piece, value.as_bytes()), None);
        }
        most = most.max(scrubber.held());
    }
    let hits = scrubber.hits().clone();
    seen += bytes_of(scrubber.finish()).len();
    assert_eq!((seen, hits.total()), (chunks * filler.len(), 3));
    assert!(most < WINDOW);
}

#[test]
fn bodies_of_three_and_of_three_hundred_mebibytes_are_searched_with_little_held_back() {
    large_body(TOKEN, 3 * 16);
    large_body(TOKEN, 300 * 16);
}

proptest! {
    #[test]
    fn any_cut_of_any_text_masks_every_occurrence(
        values in prop::collection::vec("[ab]{6,12}", 1..4),
        text in "[ab]{0,60}",
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let secrets: Vec<_> = values.iter().map(|v| Secret::copy_of(v.as_bytes())).collect();
        let patterns = Patterns::for_values(&secrets, []).unwrap();
        let text = text.into_bytes();
        let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        at.extend([0, text.len()]);
        at.sort_unstable();
        let chunks = at.windows(2).map(|pair| &text[pair[0]..pair[1]]);
        let raw: Vec<_> = values.iter().map(String::as_bytes).collect();
        let (out, hits) = scrub_chunks(&patterns, chunks);
        prop_assert_eq!(&out, &naive(&text, &raw));
        prop_assert_eq!(hits, scrub_bytes(&patterns, Bytes::from(text)).1);
    }
}
