//! Randomness as an argument.

use std::fmt;

use ring::rand::SecureRandom;

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
