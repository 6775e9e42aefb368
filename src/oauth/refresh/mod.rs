//! Keeping tokens alive.
//!
//! Fourteen steps, of which each exists because somebody lost a grant without it:
//!
//! 1. A token with time left is handed out; with little left, also refreshed behind the caller's back
//!    ([`plan`]).
//! 2. One refresh at a time for each set, in a task of its own ([`flight`]).
//! 3. Its right to write is a number, the fence: it is raised, durably, before anything is sent. One
//!    process owns a data directory, so the flight is the lease and the fence its memory.
//! 4. What stands there is read again, under the flight.
//! 5. The attempt is on disk before the request leaves: a crash afterwards is known of.
//! 6. One request, with a deadline ([`attempt`]). It is never sent twice.
//! 7. Success is one commit of new tokens, state and fence. Callers get nothing before it is durable;
//!    what the store refuses goes, sealed, into a file beside it, and from there into the store as soon as
//!    it takes anything again ([`spool`]).
//! 8. A fence that moved means that the connection was forgotten or renewed meanwhile: what was just
//!    obtained is revoked, and nothing is overwritten.
//! 9. Failure changes counters and times, and no token.
//! 10. An attempt whose end nobody saw is decided by what the provider does with spent tokens
//!     ([`plan::not_before`]).
//! 11. A pass looks for what is due ([`schedule`]), and asks a host that does not answer once a minute
//!     ([`pace`]).
//! 12. Forgetting a connection bumps nothing: its state is gone, so no write can find it.
//! 13. A client that was set anew clears what failed for its sake, and spreads the refreshes.
//! 14. Everything is counted, and nothing that is counted names a person.

mod access;
mod attempt;
mod doubt;
mod ending;
mod flight;
mod pace;
mod plan;
mod schedule;
mod spool;
mod stops;
mod success;
#[cfg(test)]
mod tests_alive;
#[cfg(test)]
mod tests_crash;
#[cfg(test)]
mod tests_doubt;
#[cfg(test)]
mod tests_engine;
#[cfg(test)]
mod tests_plan;
#[cfg(test)]
mod tests_races;
#[cfg(test)]
mod tests_spool;
#[cfg(test)]
mod tests_time;
#[cfg(test)]
mod tests_told;
#[cfg(test)]
mod tests_year;
mod turning;

pub use access::{AccessFault, Lent};
pub(in crate::oauth) use attempt::door;
pub(in crate::oauth) use flight::Flights;
pub(in crate::oauth) use pace::{NoTurn, Paces};
pub(in crate::oauth) use plan::grant_ends;
pub use schedule::Pass;
pub(in crate::oauth) use spool::has_spooled;
#[cfg(test)]
pub(in crate::oauth) use stops::Stops;
pub(in crate::oauth) use turning::Refused;
