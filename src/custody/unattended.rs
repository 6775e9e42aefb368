//! What becomes of a start that nobody attends.

use super::CustodyError;

/// What a start that nobody attends came to.
#[derive(Debug)]
pub enum Unattended<T> {
    /// The key file or a custodian opened the ring.
    Opened(T),
    /// A person must unseal. With the reason of each who should have done it, and is lost.
    Waits(Vec<CustodyError>),
}

impl<T> Unattended<T> {
    /// What was opened, if anything.
    #[must_use]
    pub fn opened(self) -> Option<T> {
        match self {
            Self::Opened(opened) => Some(opened),
            Self::Waits(_) => None,
        }
    }
}
