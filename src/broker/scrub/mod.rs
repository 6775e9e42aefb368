//! Searching everything that comes back from an exchange that carried a credential.
//!
//! An upstream can echo what it was sent: in an error text, a debug page, a header, a redirect. So
//! every byte of its answer is searched for the lent values before it is handed on, and found ones
//! are masked with `*`, byte for byte. [`Patterns`] is what to look for: each value in every
//! spelling in which usual software would return it, and with any mix of escapes, in JSON within JSON
//! and in UTF-16 too. It is built once and kept with the lease.
//!
//! Per exchange there are three doors: [`scrub_headers`] for the head, [`scrub_body`] for the body
//! with its trailers, [`scrub_bytes`] and [`scrub_text`] for a reason phrase, a frame or whatever
//! else is at hand. A document that is handed on parsed goes through [`scrub_json`] as well. An
//! encoded body is decoded first ([`Encoding`], [`Limits`]); what cannot be decoded is withheld.
//! What comes out has a type of its own ([`Scrubbed`], [`ScrubbedHeaders`], [`ScrubbedBody`]) that
//! is made nowhere else, so bytes that were not searched cannot pass where one of these is asked
//! for.
//!
//! This finds copies, not transformations. An upstream that reverses, encrypts or hashes a value,
//! wraps its base64 into lines or sends it letter by letter defeats any such search; the defence
//! against that is a narrow binding. At the ends of a base64 spelling up to four bits of the value
//! share a character with a neighbour, and stay.

mod anchors;
mod body;
mod brotli;
mod decoder;
mod document;
mod encoding;
mod error;
mod escapes;
mod forms;
mod groups;
mod head;
mod hits;
mod inflate;
mod kept;
mod patterns;
mod plain;
mod stream;
#[cfg(test)]
mod tests_bodies;
#[cfg(test)]
mod tests_escapes;
#[cfg(test)]
mod tests_long;
#[cfg(test)]
pub(super) mod tests_oracle;
#[cfg(test)]
pub(super) mod tests_spellings;
#[cfg(test)]
mod tests_streams;
mod zstd;

pub use body::{ScrubbedBody, scrub_body};
pub use decoder::{Decoder, Limits};
pub use document::{scrub_json, scrub_text};
pub use encoding::Encoding;
pub use error::ScrubError;
pub use head::{BodyIs, ScrubbedHeaders, scrub_headers, scrub_trailers};
pub use hits::Hits;
pub(super) use kept::Faint;
pub use patterns::{MIN_VALUE_BYTES, Patterns};
pub use stream::{MASK, Scrubbed, Scrubber, scrub_bytes, scrub_counting};
