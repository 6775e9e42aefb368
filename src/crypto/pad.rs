//! Padding: a length is a fingerprint of a token type, so plaintexts come in few sizes.
//!
//! Four bytes of length, the plaintext, then zeros up to the next size.

const PREFIX: usize = 4;

/// The padded size of `length` bytes: 64·2^k up to 4 KiB, then steps of 1 KiB, prefix included.
#[must_use]
pub fn padded_len(length: usize) -> usize {
    let needed = length.saturating_add(PREFIX);
    if needed <= 4096 {
        needed.next_power_of_two().max(64)
    } else {
        needed.checked_next_multiple_of(1024).unwrap_or(usize::MAX)
    }
}

pub(super) fn append(out: &mut Vec<u8>, plaintext: &[u8]) {
    let end = out.len() + padded_len(plaintext.len());
    // Callers have checked the bound of 16 MiB.
    let length = u32::try_from(plaintext.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(plaintext);
    out.resize(end, 0);
}

pub(super) fn strip(padded: &[u8]) -> Option<&[u8]> {
    let (length, rest) = padded.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (plaintext, zeros) = rest.split_at_checked(length)?;
    // Looked at as a whole and not up to the first that differs: that takes many bytes at a time.
    let blank = zeros.iter().fold(0, |seen, byte| seen | byte) == 0;
    (blank && padded.len() == padded_len(length)).then_some(plaintext)
}

#[cfg(test)]
mod tests {
    use super::{append, padded_len, strip};

    #[test]
    fn sizes_come_in_steps() {
        for (length, padded) in [
            (0, 64),
            (60, 64),
            (61, 128),
            (4092, 4096),
            (4093, 5120),
            (65536, 66560),
        ] {
            assert_eq!(padded_len(length), padded);
            let mut out = vec![];
            append(&mut out, &vec![7; length]);
            assert_eq!(out.len(), padded);
            assert_eq!(strip(&out).unwrap(), vec![7; length]);
        }
        assert_eq!(padded_len(usize::MAX), usize::MAX);
    }

    #[test]
    fn wrong_padding_is_refused() {
        let mut out = vec![];
        append(&mut out, b"value");
        out[40] = 1;
        assert!(strip(&out).is_none());
        assert!(strip(&[0, 0, 0, 9, 1]).is_none());
        assert!(strip(&[0, 0]).is_none());
        assert!(strip(&[0; 65]).is_none());
    }
}
