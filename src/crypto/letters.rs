//! Random texts of letters and digits, and the checksum that tells one from a look-alike, offline.
//!
//! API keys, handles and placeholders are made of these: a leak scanner that finds one can tell without
//! asking anybody that it is real, and no encoding of a URL changes any of its characters.

use super::{CryptoError, Random, sha256};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// How many letters a checksum has.
pub const CHECK_LETTERS: usize = 6;

/// Adds `count` random letters and digits to `text`, each worth 5.95 bits.
///
/// # Errors
/// [`CryptoError::Random`] when no randomness is to be had.
pub fn draw_letters(
    random: &dyn Random,
    count: usize,
    text: &mut Vec<u8>,
) -> Result<(), CryptoError> {
    let end = text.len().saturating_add(count);
    while text.len() < end {
        // Nearly always enough at once for the longest of them: drawing is a system call.
        for byte in random.bytes::<64>()? {
            // 248 = 4 · 62: what lies above would make some letters likelier.
            if text.len() < end
                && byte < 248
                && let Some(letter) = ALPHABET.get(usize::from(byte % 62))
            {
                text.push(*letter);
            }
        }
    }
    Ok(())
}

/// The checksum of `body`, as letters. It proves nothing: anybody can compute it.
#[must_use]
pub fn check_letters(body: &[u8]) -> [u8; CHECK_LETTERS] {
    let digest = sha256(body);
    let mut rest = digest
        .first_chunk::<8>()
        .map_or(0, |head| u64::from_be_bytes(*head));
    let mut out = [b'0'; CHECK_LETTERS];
    for letter in &mut out {
        let index = usize::try_from(rest % 62).unwrap_or_default();
        *letter = ALPHABET.get(index).copied().unwrap_or(b'0');
        rest /= 62;
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{ALPHABET, check_letters, draw_letters};
    use crate::crypto::SystemRandom;

    #[test]
    fn every_letter_is_drawn_about_as_often_as_any_other() {
        let mut text = Vec::new();
        draw_letters(&SystemRandom, 62_000, &mut text).unwrap();
        assert_eq!(text.len(), 62_000);
        let mut counts: BTreeMap<u8, usize> = BTreeMap::new();
        for letter in text {
            *counts.entry(letter).or_default() += 1;
        }
        assert_eq!(counts.len(), ALPHABET.len());
        // Ten standard deviations from a thousand of each.
        assert!(counts.values().all(|count| (680..1320).contains(count)));
    }

    #[test]
    fn a_checksum_is_the_texts_own() {
        assert_eq!(check_letters(b"rt_live_a"), check_letters(b"rt_live_a"));
        assert_ne!(check_letters(b"rt_live_a"), check_letters(b"rt_live_b"));
        assert!(check_letters(b"").iter().all(u8::is_ascii_alphanumeric));
    }
}
