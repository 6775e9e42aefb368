//! Connections: accounts that members authorised, and how their tokens are.
//!
//! [`Connection`] and [`TokenState`] are what is kept; [`Roster`] has all of them in memory.

mod index;
mod kept;
mod load;
pub(in crate::oauth) mod places;
mod record;
mod revocation;
mod roster;

pub use kept::Kept;
pub(in crate::oauth) use load::pages;
pub use record::{
    Account, Attempt, Connection, Failure, Health, MAIN, Resource, Revoked, Subject, TokenInfo,
    TokenState,
};
pub use revocation::{Revocation, Upstream};
pub use roster::{Roster, SetKey};
