//! What can go wrong with a key or a box.

/// A failure of this module. Opening has one error for every cause, so that it tells an attacker
/// nothing about which byte was wrong.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// The box does not open: wrong key, wrong context, or altered bytes.
    #[error("sealed data does not open")]
    Open,
    /// The bytes have not the form of a box, a record or a key.
    #[error("sealed data has an unknown form")]
    Form,
    /// The plaintext is longer than a box may hold.
    #[error("too long to seal")]
    TooLong,
    /// The operating system gave no randomness.
    #[error("the operating system gave no random bytes")]
    Random,
}
