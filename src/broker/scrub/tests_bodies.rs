//! Bodies in every encoding, whole and broken.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use futures_util::FutureExt as _;
use futures_util::stream;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use proptest::prelude::*;

use super::decoder::{Memory, PIECE};
use super::tests_oracle::leak;
use super::tests_spellings::patterns;
use super::{Decoder, Encoding, Limits, ScrubError, Scrubber, scrub_body};
use crate::broker::sieve::bytes_of;

const CANARY: &str = "canary/7f3+Zq=9";

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/fixtures/encodings/", $name))
    };
}

/// What `text.*` of the fixtures decodes to; `make.py` beside them writes the same.
fn text() -> Vec<u8> {
    let mut lines = String::new();
    let mut more = String::new();
    for i in 0..4000 {
        writeln!(lines, "line {i} of a plain text").unwrap();
        writeln!(more, "more {}", i * 7919).unwrap();
    }
    format!("{CANARY} start\n{lines}middle {CANARY}\n{more}end {CANARY}").into_bytes()
}

fn masked(text: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(text).unwrap();
    text.replace(CANARY, &"*".repeat(CANARY.len())).into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn encoding(names: &str) -> Encoding {
    let mut headers = HeaderMap::new();
    headers.insert("content-encoding", names.parse().unwrap());
    Encoding::of(&headers).unwrap()
}

/// Streams `body` in chunks of `size` through the scrubber.
fn run(names: &str, body: &[u8], size: usize) -> Result<(Vec<u8>, u64), ScrubError> {
    let patterns = patterns(CANARY);
    let hits = patterns.hits();
    let chunks: Vec<Result<_, Infallible>> = body
        .chunks(size)
        .map(|chunk| Ok(Frame::data(Bytes::copy_from_slice(chunk))))
        .collect();
    let upstream = StreamBody::new(stream::iter(chunks));
    let scrubbed = scrub_body(
        upstream,
        &patterns,
        &encoding(names),
        Limits::default(),
        &hits,
    )
    .unwrap();
    let all = scrubbed.collect().now_or_never().unwrap()?;
    Ok((all.to_bytes().to_vec(), hits.total()))
}

/// Pulls a whole body; how many bytes it gave before it ended, and how it ended.
fn pull(names: &str, limits: Limits, body: &[u8], size: usize) -> (u64, Result<(), ScrubError>) {
    let mut decoder = Decoder::new(&encoding(names), limits).unwrap();
    let mut given = 0;
    for chunk in body.chunks(size) {
        decoder.push(Bytes::copy_from_slice(chunk));
        loop {
            match decoder.pull() {
                Ok(Some(piece)) => {
                    assert!(piece.len() <= PIECE);
                    given += u64::try_from(piece.len()).unwrap();
                }
                Ok(None) => break,
                Err(error) => return (given, Err(error)),
            }
        }
    }
    (given, decoder.finish())
}

#[test]
fn every_encoding_is_decoded_and_searched() {
    let text = text();
    let two = text.split_at(text.len() / 3);
    let members = [gzip(two.0), gzip(two.1)].concat();
    let cases: [(&str, Vec<u8>); 7] = [
        ("identity", text.clone()),
        ("gzip", gzip(&text)),
        ("x-gzip", members),
        ("deflate", zlib(&text)),
        ("deflate", deflate(&text)),
        ("br", fixture!("text.br").to_vec()),
        ("zstd", fixture!("text.zst").to_vec()),
    ];
    for (names, body) in cases {
        for size in [1, 7, 4096, usize::MAX] {
            let (out, hits) = run(names, &body, size).unwrap();
            assert!(out == masked(&text), "{names} in chunks of {size}");
            assert_eq!(
                (hits, leak(&out[..200], CANARY.as_bytes())),
                (3, None),
                "{names}"
            );
        }
    }
}

#[test]
fn an_empty_body_is_fine_in_any_encoding() {
    for names in ["identity", "gzip", "deflate", "br", "zstd"] {
        assert_eq!(run(names, b"", 1), Ok((Vec::new(), 0)), "{names}");
    }
}

#[test]
fn a_body_that_ends_early_is_an_error_wherever_it_ends() {
    let text = format!("say {CANARY} twice: {CANARY}");
    for (names, body) in [
        ("gzip", gzip(text.as_bytes())),
        ("deflate", zlib(text.as_bytes())),
        ("deflate", deflate(text.as_bytes())),
        ("br", fixture!("small.br").to_vec()),
        ("zstd", fixture!("small.zst").to_vec()),
    ] {
        assert_eq!(
            run(names, &body, 5).unwrap().0,
            masked(text.as_bytes()),
            "{names}"
        );
        for end in 1..body.len() {
            let cut = run(names, &body[..end], 5);
            assert_eq!(cut, Err(ScrubError::Truncated), "{names} cut at {end}");
        }
    }
}

#[test]
fn what_does_not_decode_or_comes_after_the_end_is_an_error() {
    let noise: Vec<u8> = (0..=250_u8).map(|i| i.wrapping_mul(89) | 1).collect();
    let after = |body: Vec<u8>| [body, noise.clone()].concat();
    for (names, body) in [
        ("gzip", noise.clone()),
        ("br", noise.clone()),
        ("zstd", noise.clone()),
        ("deflate", noise.clone()),
        ("gzip", after(gzip(b"text"))),
        ("deflate", after(zlib(b"text"))),
        ("deflate", after(deflate(b"text"))),
        ("br", after(fixture!("small.br").to_vec())),
        ("zstd", after(fixture!("small.zst").to_vec())),
    ] {
        for size in [1, 64, usize::MAX] {
            assert_eq!(
                run(names, &body, size),
                Err(ScrubError::Malformed),
                "{names}"
            );
        }
    }
    let mut wrong_sum = gzip(b"text");
    let at = wrong_sum.len() - 6;
    wrong_sum[at] ^= 1;
    assert_eq!(run("gzip", &wrong_sum, 9), Err(ScrubError::Malformed));
}

#[test]
fn bombs_are_refused_early_and_piece_by_piece() {
    let zeros = vec![0; 32 << 20];
    let (br, zst) = (fixture!("zeros-64m.br"), fixture!("zeros-64m.zst"));
    for (names, body) in [
        ("gzip", gzip(&zeros)),
        ("deflate", zlib(&zeros)),
        ("br", br.to_vec()),
        ("zstd", zst.to_vec()),
    ] {
        for size in [1000, usize::MAX] {
            let limits = Limits::default();
            let (given, end) = pull(names, limits, &body, size);
            assert_eq!(end, Err(ScrubError::Bomb), "{names}");
            let sent = u64::try_from(body.len()).unwrap();
            assert!(
                given <= limits.free.max(sent * limits.ratio),
                "{names}: {given}"
            );
        }
    }
}

#[test]
fn a_brotli_window_of_more_than_four_mebibytes_is_refused_before_it_is_set_aside() {
    // Empty streams with windows of 2^16, 2^22, 2^23 and 2^24 bytes.
    for (body, expected) in [
        ([0x06], Ok((Vec::new(), 0))),
        ([0x3b], Ok((Vec::new(), 0))),
        ([0x3d], Err(ScrubError::Unscannable)),
        ([0x3f], Err(ScrubError::Unscannable)),
    ] {
        assert_eq!(run("br", &body, 1), expected, "{body:x?}");
    }
}

#[test]
fn decoders_have_a_bound_in_common_and_give_back_what_they_took() {
    static MEMORY: Memory = Memory::of(300);
    let new = |names| Decoder::within(&MEMORY, &encoding(names), Limits::default());
    let large = new("zstd").unwrap();
    let full = Some(ScrubError::Crowded);
    assert_eq!(new("zstd").err(), full);
    assert_eq!(new("br").err(), full);
    let small: Vec<_> = (0..14).map(|_| new("gzip").unwrap()).collect();
    assert_eq!(new("deflate").err(), full);
    assert!(new("identity").is_ok());
    drop((large, small));
    assert!((0..3).all(|_| new("br").is_ok()));
    let three: Vec<_> = (0..3).map(|_| new("br").unwrap()).collect();
    assert_eq!((new("br").err(), three.len()), (full, 3));
}

#[test]
fn the_absolute_limit_holds_whatever_the_ratio() {
    let limits = Limits {
        decoded: 100_000,
        ratio: u64::MAX,
        free: u64::MAX,
    };
    let (given, end) = pull("gzip", limits, &gzip(&text()), 512);
    assert_eq!(end, Err(ScrubError::Bomb));
    assert!(given <= 100_000);
    let enough = Limits {
        decoded: 200_000,
        ..limits
    };
    assert_eq!(pull("gzip", enough, &gzip(&text()), 512).1, Ok(()));
}

#[test]
fn trailers_come_last_and_are_searched() {
    let patterns = patterns(CANARY);
    let hits = patterns.hits();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-echo", CANARY.parse().unwrap());
    trailers.insert("content-md5", "abc".parse().unwrap());
    let frames: Vec<Result<_, Infallible>> = vec![
        Ok(Frame::data(Bytes::from_static(b"held back: canary/7f"))),
        Ok(Frame::trailers(trailers)),
    ];
    let upstream = StreamBody::new(stream::iter(frames));
    let whole = Limits::default();
    let plain = Encoding::identity();
    let body = scrub_body(upstream, &patterns, &plain, whole, &hits).unwrap();
    let all = body.collect().now_or_never().unwrap().unwrap();
    let trailers = all.trailers().unwrap();
    assert_eq!(trailers["x-echo"], "*".repeat(CANARY.len()));
    assert!(!trailers.contains_key("content-md5"));
    assert_eq!(all.to_bytes(), "held back: canary/7f");
    assert_eq!(hits.total(), 1);
}

#[test]
fn an_upstream_that_breaks_off_gives_nothing_more() {
    let patterns = patterns(CANARY);
    let frames = vec![
        Ok(Frame::data(Bytes::from_static(b"some"))),
        Err(std::io::Error::other("reset")),
        Ok(Frame::data(Bytes::from_static(b"more"))),
    ];
    let upstream = StreamBody::new(stream::iter(frames));
    let hits = patterns.hits();
    let plain = Encoding::identity();
    let whole = Limits::default();
    let mut body = scrub_body(upstream, &patterns, &plain, whole, &hits).unwrap();
    let mut next = || body.frame().now_or_never().unwrap();
    assert_eq!(next().unwrap().unwrap().into_data().unwrap(), "some");
    assert_eq!(next().unwrap().unwrap_err(), ScrubError::Upstream);
    assert!(next().is_none());
}

#[test]
fn a_body_that_is_empty_from_the_start_has_ended() {
    let patterns = patterns(CANARY);
    let empty = http_body_util::Empty::<Bytes>::new();
    let whole = Limits::default();
    let hits = patterns.hits();
    let body = scrub_body(empty, &patterns, &encoding("gzip"), whole, &hits).unwrap();
    assert!(http_body::Body::is_end_stream(&body));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn broken_bodies_never_panic_and_never_leak(
        which in 0..6_usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        size in 1..2000_usize,
    ) {
        let say = format!("say {CANARY} twice: {CANARY}");
        let (names, mut body) = [
            ("gzip", gzip(say.as_bytes())),
            ("deflate", zlib(say.as_bytes())),
            ("br", fixture!("small.br").to_vec()),
            ("zstd", fixture!("small.zst").to_vec()),
            ("br", fixture!("text.br").to_vec()),
            ("zstd", fixture!("text.zst").to_vec()),
        ][which].clone();
        for (at, byte) in flips {
            let at = at.index(body.len().min(400));
            body[at] = byte;
        }
        if let Ok((out, _)) = run(names, &body, size) {
            prop_assert!(!out.windows(CANARY.len()).any(|here| here == CANARY.as_bytes()));
        }
    }
}

#[test]
fn a_flushed_event_comes_out_at_once_though_compressed() {
    let patterns = patterns(CANARY);
    let mut decoder = Decoder::new(&encoding("gzip"), Limits::default()).unwrap();
    let mut scrubber = Scrubber::new(&patterns);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    for event in [
        "data: one\n\n",
        "data: canary/7f3+Zq=9\n\n",
        "data: three\n\n",
    ] {
        encoder.write_all(event.as_bytes()).unwrap();
        encoder.flush().unwrap();
        decoder.push(Bytes::from(std::mem::take(encoder.get_mut())));
        let mut out = Vec::new();
        while let Some(piece) = decoder.pull().unwrap() {
            out.extend_from_slice(&bytes_of(scrubber.push(piece)));
        }
        assert_eq!(out, masked(event.as_bytes()));
    }
}
