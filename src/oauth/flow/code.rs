//! A code that a person carries from a terminal to a browser: eight letters that are not mistaken
//! for others and spell no words (RFC 8628 section 6.1).

use zeroize::Zeroizing;

use super::unguessable::{What, digest};
use crate::crypto::{CryptoError, Digest, Random, digests_match};

/// Twenty letters: eight of them are 34 bits, and there are five tries.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// How many letters.
const LENGTH: usize = 8;
/// How often somebody may err.
const TRIES: u8 = 5;

/// What is known of a code that was given out.
#[derive(Debug)]
pub(super) struct CodeCheck {
    digest: Digest,
    left: u8,
}

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Try {
    Right,
    /// And how many more there are.
    Wrong(u8),
}

impl CodeCheck {
    /// A new code, as it is shown: `BCDF-GHJK`.
    pub(super) fn new(random: &dyn Random) -> Result<(Self, String), CryptoError> {
        let mut letters = String::new();
        while letters.len() < LENGTH {
            // Bytes from 240 on would make the first letters more likely than the others.
            let bytes: [u8; 16] = random.bytes()?;
            let fair = bytes.into_iter().filter(|byte| *byte < 240);
            let drawn = fair.filter_map(|byte| LETTERS.get(usize::from(byte % 20)));
            let missing = LENGTH.saturating_sub(letters.len());
            letters.extend(drawn.take(missing).map(|letter| char::from(*letter)));
        }
        let digest = digest(What::Code, &letters);
        let (first, last) = letters.split_at_checked(LENGTH / 2).unwrap_or_default();
        let shown = format!("{first}-{last}");
        Ok((
            Self {
                digest,
                left: TRIES,
            },
            shown,
        ))
    }

    /// Tries what was typed: letter case, hyphens and spaces do not matter.
    pub(super) fn attempt(&mut self, typed: &str) -> Try {
        let letters = typed.bytes().filter(|b| !matches!(b, b'-' | b' '));
        let plain: Zeroizing<String> = Zeroizing::new(
            letters
                .take(LENGTH.saturating_add(1))
                .map(|b| char::from(b.to_ascii_uppercase()))
                .collect(),
        );
        if self.left > 0 && digests_match(&self.digest, &digest(What::Code, &plain)) {
            return Try::Right;
        }
        self.left = self.left.saturating_sub(1);
        Try::Wrong(self.left)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{CodeCheck, LETTERS, Try};
    use crate::crypto::SystemRandom;

    #[test]
    fn a_code_is_eight_letters_that_are_not_mistaken_for_others() {
        let codes: HashSet<_> = (0..200)
            .map(|_| CodeCheck::new(&SystemRandom).unwrap().1)
            .collect();
        assert_eq!(codes.len(), 200);
        for code in codes {
            let (first, last) = code.split_once('-').unwrap();
            assert_eq!((first.len(), last.len()), (4, 4));
            assert!(
                format!("{first}{last}")
                    .bytes()
                    .all(|b| LETTERS.contains(&b))
            );
        }
    }

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let (mut check, code) = CodeCheck::new(&SystemRandom).unwrap();
        for typed in [
            code.clone(),
            code.to_lowercase(),
            code.replace('-', ""),
            format!(" {} ", code.replace('-', " ")),
        ] {
            assert_eq!(check.attempt(&typed), Try::Right, "{typed}");
        }
        assert_eq!(check.attempt(&format!("{code}B")), Try::Wrong(4));
    }

    #[test]
    fn after_five_tries_not_even_the_right_code_is_taken() {
        let (mut check, code) = CodeCheck::new(&SystemRandom).unwrap();
        for left in [4, 3, 2, 1, 0] {
            assert_eq!(check.attempt("AAAA-AAAA"), Try::Wrong(left));
        }
        assert_eq!(check.attempt(&code), Try::Wrong(0));
    }
}
