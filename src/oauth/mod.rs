//! Connected apps: accounts that people authorise through OAuth.
//!
//! ```text
//! provider   who issues tokens, as data: one file each
//! flow       there and back: from a click to an answer that may be redeemed
//! client     as whom we ask: an organisation's own client, or the installation's
//! token      what is said to a token endpoint, and what its answer means; no network in it
//! connection what is kept of an account, all of it in memory but the tokens
//! refresh    how tokens are kept alive, and lent
//! outbox     tokens that are still to be revoked upstream
//! attempts   device flows under way: asked about until they end
//! unkept     tokens that were granted in vain
//! keeper     what flows need of all this: the journal, membership, the engine
//! ```
//!
//! [`Accounts`] is all of this together. Everything that leaves goes through [`Outbound`].

mod accounts;
mod adopt;
mod attempts;
mod choose;
pub mod client;
pub mod connection;
mod departed;
mod device;
mod discovery;
mod errands;
mod event;
pub mod flow;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod identify;
mod keeper;
mod outbound;
mod outbox;
pub mod provider;
mod redeem;
mod refresh;
mod replaced;
#[cfg(test)]
mod tests_adopt;
#[cfg(test)]
mod tests_discovery;
#[cfg(test)]
mod tests_issuer;
#[cfg(test)]
mod tests_outbound;
#[cfg(test)]
mod tests_renewal;
#[cfg(test)]
mod tests_rig;
#[cfg(test)]
mod tests_rotated;
#[cfg(test)]
mod tests_sealing;
#[cfg(test)]
mod tests_unkept;
pub mod token;
mod tokens;
mod unkept;

pub use accounts::{Accounts, AccountsParts, Caps, Meter, Step, Way};
pub use adopt::{AdoptFault, Adopted, Grant};
pub use attempts::{Attempts, BeginFault};
pub use choose::{Pick, Seen, Standing};
pub use connection::{Revocation, Upstream};
pub use device::{DeviceGrant, DeviceGranted, DeviceReply};
pub use discovery::DiscoveryFault;
pub use keeper::{FlowKeeper, FlowSurface};
pub use outbound::{DEADLINE, Outbound, Silence};
pub use refresh::{AccessFault, Lent, Pass};
pub use unkept::Unstored;
