//! The only way out of the process.
//!
//! Every outbound byte, whoever sends it, takes these steps, and each is a type that the next one
//! asks for:
//!
//! 1. [`Url::parse`] gives the text its one reading, or refuses it. That reading is used for policy,
//!    dialling, the TLS name, the `Host` header and the logs.
//! 2. [`Egress::admit`] asks for the host's addresses once and has the [`Guard`] judge all of them;
//!    one bad address refuses the whole. What comes out is a [`Target`].
//! 3. [`Egress::connect`] dials one of the checked addresses and verifies the certificate for the
//!    target's host. What comes out is a [`VerifiedPeer`]: only now is there something a credential
//!    may be sent to, so only now need it be decrypted.
//! 4. [`VerifiedPeer::send`] takes an [`Outgoing`] request, drops what must not travel, and gives an
//!    [`Incoming`] answer. Redirects are answers; nothing here follows them.
//!
//! Connections are kept per origin, grant and organisation. A request that may have reached the
//! upstream is never sent a second time.
//!
//! [`Passage`] takes the first two steps, and leaves the certificate to whoever speaks TLS through it.
//! [`Endpoint`] is apart from all this: with it the command line speaks to the user's own broker.

mod connector;
mod drive;
mod endpoint;
mod error;
mod folded;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod guard;
mod incoming;
mod limits;
mod link;
mod outgoing;
mod passage;
mod peer;
mod pool;
mod resolve;
mod room;
mod socket;
#[cfg(test)]
mod tests_admit;
#[cfg(test)]
mod tests_endpoint;
#[cfg(test)]
mod tests_exchange;
#[cfg(test)]
mod tests_guard;
#[cfg(test)]
mod tests_invariants;
#[cfg(test)]
pub(crate) mod tests_origin;
#[cfg(test)]
mod tests_outgoing;
#[cfg(test)]
mod tests_pool;
#[cfg(test)]
mod tests_url;
mod tls;
mod turns;
mod url;

pub use connector::{Egress, EgressOptions, Target};
pub use endpoint::{Endpoint, MAX_REPLY_BYTES, Payload, Reply, StreamedReply};
pub use error::{EgressError, Phase, TlsFault, UrlFault};
pub use folded::folded;
pub use guard::{AddressKind, Guard, Private, Verdict};
pub use incoming::{Incoming, UpstreamBody};
pub use limits::Limits;
pub use outgoing::{BodyError, Outgoing, check_method, credential_value, strip_hop};
pub use passage::{Passage, PassageStream};
pub use peer::VerifiedPeer;
pub use resolve::{ResolveError, Resolver, SystemResolver};
pub use socket::{SocketKey, UpstreamSocket, is_word, lists, only};
pub use url::{MAX_URL_BYTES, Origin, Scheme, Url};
