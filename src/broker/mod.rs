//! Brokering: a credential is used for a caller, and never handed to one.
//!
//! The life of a call, in this order, because each step needs the ones before it:
//!
//! | step | where | why here |
//! |---|---|---|
//! | render the action from its parameters | [`tools`](crate::tools) | a target that nothing can change afterwards |
//! | resolve each field to a source | `resolve` | fails before anything is dialled; opens no value |
//! | find the binding that admits target and sources | `execute` | where a credential may go is decided by the spec |
//! | admit the address | [`egress`](crate::egress) | no name is dialled that was not checked |
//! | connect and verify | [`egress`](crate::egress) | no value is opened for a peer that has not proved itself |
//! | record the intent, durably | [`audit`](crate::audit) | nothing is used unseen |
//! | open the values | `lease` | as late as possible |
//! | fetch a token with a signed assertion, where the binding says so | `sign` | the key itself is never sent |
//! | place them in their slots | `place` | the caller chooses no slot |
//! | sign what was placed | `sign` | nothing changes afterwards; the caller chooses no part of a signature |
//! | send; search head, body and result | [`scrub`] | an echo comes back masked |
//! | record the outcome | [`audit`](crate::audit) | |

mod account;
mod answer;
mod error;
mod execute;
mod intent;
mod lease;
mod place;
mod resolve;
pub mod scrub;
mod search;
mod send;
mod sign;

pub use error::{BrokerError, Misfit};
pub use execute::{Broker, Call};
pub use resolve::{Ask, Resolution};
