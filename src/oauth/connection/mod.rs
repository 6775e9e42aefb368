//! Connections: accounts that members authorised, and how their tokens are.
//!
//! [`Connection`] and [`TokenState`] are what is kept; [`Roster`] has all of them in memory.

pub(in crate::oauth) mod places;
mod record;
mod revocation;
mod roster;

pub use record::{
    Account, Attempt, Connection, Failure, Health, MAIN, Revoked, Subject, TokenInfo, TokenState,
};
pub use revocation::{Revocation, Upstream};
pub use roster::{Kept, Roster, SetKey};
