//! Why upstream bytes are withheld.

/// A failure to search upstream bytes. Whatever it is, nothing unsearched is handed on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScrubError {
    /// A value is too short to be found without masking half of every answer.
    #[error("a value shorter than {minimum} bytes cannot be scrubbed, so it cannot be lent")]
    TooShort {
        /// The least number of bytes, after white space at both ends is taken off.
        minimum: usize,
    },
    /// The values are longer than those of one call may be, so that searching for them would take more than
    /// one may take.
    #[error("the values that the call is lent have more than {most} bytes together")]
    TooLong {
        /// The most bytes that they may have.
        most: usize,
    },
    /// The searcher for the lent values could not be built.
    #[error("too many or too long values to search for at once")]
    TooMuch,
    /// The body has an encoding that is not known, or more than one.
    #[error("the upstream's content encoding cannot be decoded, so its body cannot be searched")]
    Unscannable,
    /// The body is a text in a charset in which a value looks like no value.
    #[error("the upstream's charset is not one in which its body can be searched")]
    Charset,
    /// As many bodies are being decoded as there is memory for.
    #[error("too many encoded answers are being decoded at this moment")]
    Crowded,
    /// The body is not what its encoding says.
    #[error("the upstream's body does not decode")]
    Malformed,
    /// The encoded body ended too early.
    #[error("the upstream's encoded body ended too early")]
    Truncated,
    /// The body grows too much when it is decoded.
    #[error("the upstream's body grows beyond the limit when it is decoded")]
    Bomb,
    /// The upstream's connection failed in the middle of the body.
    #[error("the upstream broke off in the middle of its body")]
    Upstream,
}
