//! A private key as people store it, read without leaving copies behind.
//!
//! A secret's value is one line, and a key file is many. So a key is taken as its file, with the line
//! breaks kept, left out, turned into spaces or written `\n` as in JSON; or as the base64 of the file.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

/// Padding is often lost in copying, and adds nothing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What kind of key the text says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    /// `BEGIN PRIVATE KEY` (RFC 5958).
    Pkcs8,
    /// `BEGIN RSA PRIVATE KEY` (RFC 8017, A.1.2).
    Pkcs1,
    /// It does not say.
    Unlabelled,
}

const LABELS: [(&[u8], &[u8], Container); 2] = [
    (
        b"-----BEGIN PRIVATE KEY-----",
        b"-----END PRIVATE KEY-----",
        Container::Pkcs8,
    ),
    (
        b"-----BEGIN RSA PRIVATE KEY-----",
        b"-----END RSA PRIVATE KEY-----",
        Container::Pkcs1,
    ),
];

/// The DER form of the key in `text`, and its kind.
pub(super) fn der_of(text: &[u8]) -> Option<(Container, Zeroizing<Vec<u8>>)> {
    let text = text.trim_ascii();
    if text.starts_with(b"-----") {
        return from_pem(text);
    }
    let file = decode(text)?;
    let inner = file.trim_ascii();
    if inner.starts_with(b"-----") {
        return from_pem(inner);
    }
    Some((Container::Unlabelled, file))
}

fn from_pem(text: &[u8]) -> Option<(Container, Zeroizing<Vec<u8>>)> {
    LABELS.iter().find_map(|(begin, end, container)| {
        let body = text.strip_prefix(*begin)?;
        // Google's JSON writes the last line break as well.
        let body = body.strip_suffix(b"\\n").unwrap_or(body);
        let body = body.strip_suffix(*end)?;
        Some((*container, decode(body)?))
    })
}

/// Base64 with anything between its letters that stands for a space or a line break. The room is made
/// once, so that nothing is left behind by growing.
fn decode(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut letters = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b'\\' => match bytes.next() {
                Some(b'n' | b'r') => {}
                _ => return None,
            },
            other => letters.push(*other),
        }
    }
    let mut out = Zeroizing::new(vec![0; base64::decoded_len_estimate(letters.len())]);
    let length = BASE64.decode_slice(letters.as_slice(), &mut out).ok()?;
    out.truncate(length);
    Some(out)
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64 as PLAIN;

    use super::{Container, der_of};

    fn read(text: &str) -> Option<(Container, Vec<u8>)> {
        der_of(text.as_bytes()).map(|(container, der)| (container, der.to_vec()))
    }

    #[test]
    fn a_key_file_may_lose_its_line_breaks_on_the_way() {
        let der: Vec<u8> = (0..200).collect();
        let body = PLAIN.encode(&der);
        let (head, tail) = body.split_at(64);
        for (kind, container) in [("", Container::Pkcs8), ("RSA ", Container::Pkcs1)] {
            for gap in ["\n", "\r\n", " ", "", "\\n"] {
                let text = format!(
                    "-----BEGIN {kind}PRIVATE KEY-----{gap}{head}{gap}{tail}{gap}-----END {kind}PRIVATE KEY-----{gap}"
                );
                let found = read(&text).unwrap_or_else(|| panic!("{kind:?} {gap:?}"));
                assert_eq!(found, (container, der.clone()));
                let again = read(&PLAIN.encode(text.as_bytes()));
                assert_eq!(again, Some((container, der.clone())), "{kind:?} {gap:?}");
            }
        }
        let bare = body.trim_end_matches('=');
        assert_eq!(read(bare), Some((Container::Unlabelled, der.clone())));
    }

    #[test]
    fn what_is_no_such_file_is_no_key() {
        for text in [
            "-----BEGIN PRIVATE KEY-----AAAA-----END RSA PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----AAAA",
            "-----BEGIN PUBLIC KEY-----AAAA-----END PUBLIC KEY-----",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----AAAA-----END ENCRYPTED PRIVATE KEY-----",
            "-----BEGIN EC PRIVATE KEY-----AAAA-----END EC PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----AA\\tA-----END PRIVATE KEY-----",
            "no base64!",
            "AAAA-----BEGIN",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
