//! Echoes in the encodings that HTTP has.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

/// The value that encoded fixtures hold; see `tests/fixtures/encodings/make.py`.
pub const FIXTURE: &str = "canary/7f3+Zq=9";

/// What is said in each encoding.
pub fn said() -> String {
    format!("say {FIXTURE} twice: {FIXTURE}")
}

/// The same as callers may see it.
pub fn masked() -> String {
    said().replace(FIXTURE, &"*".repeat(FIXTURE.len()))
}

/// What [`said`] says, in every encoding that is undone, with its name.
pub fn echoes() -> [(&'static str, Vec<u8>); 5] {
    let said = said();
    let fixture = |name: &str| std::fs::read(format!("tests/fixtures/encodings/{name}")).unwrap();
    [
        ("gzip", gzip(said.as_bytes())),
        ("x-gzip", gzip(said.as_bytes())),
        ("deflate", deflate(said.as_bytes())),
        ("br", fixture("small.br")),
        ("zstd", fixture("small.zst")),
    ]
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = GzEncoder::new(Vec::new(), Compression::best());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

pub fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut writer = ZlibEncoder::new(Vec::new(), Compression::default());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}
