//! Randomness as an argument.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use ring::rand::SecureRandom;
use zeroize::Zeroizing;

use super::CryptoError;

/// Who supplies random bytes.
pub trait Random: Send + Sync + fmt::Debug {
    /// Fills `out` with random bytes.
    ///
    /// # Errors
    /// [`CryptoError::Random`] when there are none to be had.
    fn fill(&self, out: &mut [u8]) -> Result<(), CryptoError>;
}

impl dyn Random + '_ {
    /// `N` random bytes.
    ///
    /// # Errors
    /// [`CryptoError::Random`] when there are none to be had.
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], CryptoError> {
        let mut out = [0; N];
        self.fill(&mut out)?;
        Ok(out)
    }
}

/// How many bytes are drawn at once.
const AHEAD: usize = 192;

/// Draws much at once and gives it out piece by piece, since each drawing is a system call. For what is made in
/// one go: no byte is given out twice, and none stays.
pub struct Ahead<'a> {
    random: &'a dyn Random,
    /// What was drawn, of which the end is still to be given out.
    drawn: Mutex<(Zeroizing<[u8; AHEAD]>, usize)>,
}

impl<'a> Ahead<'a> {
    /// Has nothing drawn yet.
    #[must_use]
    pub fn of(random: &'a dyn Random) -> Self {
        Self {
            random,
            drawn: Mutex::new((Zeroizing::new([0; AHEAD]), 0)),
        }
    }
}

impl Random for Ahead<'_> {
    fn fill(&self, out: &mut [u8]) -> Result<(), CryptoError> {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let (bytes, left) = &mut *drawn;
        if out.len() > AHEAD {
            return self.random.fill(out);
        }
        if out.len() > *left {
            *left = 0;
            self.random.fill(&mut bytes[..])?;
            *left = AHEAD;
        }
        let end = *left;
        *left -= out.len();
        let taken = bytes.get_mut(*left..end).ok_or(CryptoError::Random)?;
        out.copy_from_slice(taken);
        taken.fill(0);
        Ok(())
    }
}

impl fmt::Debug for Ahead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ahead")
    }
}

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), CryptoError> {
        ring::rand::SystemRandom::new()
            .fill(out)
            .map_err(|_| CryptoError::Random)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::{AHEAD, Ahead, CryptoError, Random};

    /// Fills with 1, then with 2, and so on.
    #[derive(Debug, Default)]
    struct Counting(AtomicU8);

    impl Random for Counting {
        fn fill(&self, out: &mut [u8]) -> Result<(), CryptoError> {
            out.fill(self.0.fetch_add(1, Ordering::Relaxed) + 1);
            Ok(())
        }
    }

    #[test]
    fn what_was_drawn_ahead_is_given_out_once() {
        let counting = Counting::default();
        let ahead = Ahead::of(&counting);
        let ahead: &dyn Random = &ahead;
        assert_eq!(ahead.bytes::<100>(), Ok([1; 100]));
        assert_eq!(ahead.bytes::<92>(), Ok([1; 92]));
        // Nothing is left: neither a zero nor a byte of before is given out.
        assert_eq!(ahead.bytes::<1>(), Ok([2; 1]));
        assert_eq!(ahead.bytes::<AHEAD>(), Ok([3; AHEAD]));
        assert_eq!(ahead.bytes::<{ AHEAD + 1 }>(), Ok([4; AHEAD + 1]));
    }

    #[test]
    fn a_drawing_that_fails_gives_nothing_out() {
        #[derive(Debug)]
        struct Failing;
        impl Random for Failing {
            fn fill(&self, _: &mut [u8]) -> Result<(), CryptoError> {
                Err(CryptoError::Random)
            }
        }
        let ahead = Ahead::of(&Failing);
        let ahead: &dyn Random = &ahead;
        assert!(ahead.bytes::<16>().is_err());
        assert!(ahead.bytes::<16>().is_err());
    }
}
