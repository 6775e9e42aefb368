//! Organisations, members and API keys: who there is, and who is calling.
//!
//! A caller is recognised by an API key, or over the Unix socket by the user id of the machine. Either
//! way the membership behind it is looked at on every request: a key dies with its owner's membership,
//! in the very request after the removal. What recognition found is kept in memory, keyed by a keyed
//! hash of the key's text, and forgotten at any change of their organisation. A caller whose request took its
//! time is recognised again before anything is decided, and once more in the turn of a change.

mod acting;
mod api_keys;
mod authenticate;
mod delegations;
mod deletion;
mod error;
mod first;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod key_quota;
mod key_records;
mod last_used;
mod members;
mod memory;
mod organizations;
mod people;
mod place;
mod refused;
mod service_records;
mod services;
mod standing;
#[cfg(test)]
mod tests_standing;
mod token;

pub use acting::{Shown, Subject};
pub use api_keys::MadeKey;
pub use authenticate::Directory;
pub use error::DirectoryError;
pub use first::First;
pub use members::MemberEntry;
pub use organizations::OrgEntry;
pub use people::Names;
pub use refused::{Refused, Rejected, Unfit};
pub use services::{MadeService, Pin};
pub use standing::Recognised;
pub use token::{Kind as TokenKind, Token};
