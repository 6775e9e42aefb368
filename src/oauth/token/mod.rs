//! The token layer: what is said to a provider, and what its answers mean.
//!
//! It is pure. A [`TokenRequest`] is a value that somebody else sends, a [`Reply`] one that somebody
//! else received, and time is an argument. So each rule can be shown without a network, and those
//! who hold the network decide nothing about tokens.

mod assertion;
mod classify;
mod client_auth;
mod code;
mod device;
mod device_poll;
mod granted;
mod id_token;
mod identity;
mod lifetime;
mod members;
mod metadata;
mod replies;
mod reply;
mod request;
mod requests;
mod retry_after;
mod revoke;
#[cfg(test)]
mod tests_assertion;
#[cfg(test)]
mod tests_classify;
#[cfg(test)]
mod tests_code_requests;
#[cfg(test)]
mod tests_device;
#[cfg(test)]
mod tests_fixtures;
#[cfg(test)]
mod tests_id_token;
#[cfg(test)]
mod tests_identity;
#[cfg(test)]
mod tests_lifetime;
#[cfg(test)]
mod tests_metadata;
#[cfg(test)]
mod tests_properties;
#[cfg(test)]
mod tests_replies;
#[cfg(test)]
mod tests_requests;
#[cfg(test)]
mod tests_revoke;
#[cfg(test)]
mod tests_rig;
mod via;

pub use classify::{Class, NoReply, Told, Verdict, classify};
pub use code::Code;
pub use device::{DeviceError, DeviceStart, device_request, read_device_start};
pub use device_poll::{HandOff, Poll, poll_request, read_poll};
pub use granted::missing_scopes;
pub use id_token::{Expected, IdClaims, IdTokenError, Proof, check_id_token};
pub use identity::{
    Account, IdentityError, Resource, read_account, read_identity, read_listed, read_resources,
};
pub use metadata::{
    Endpoints, MAX_METADATA, MetadataError, issuer_of, metadata_url, read_metadata,
};
pub use replies::{ReplyError, TokenReply, Tokens, read_tokens};
pub use reply::{Document, Reply, Subject};
pub use request::{Accepts, RequestError, TokenRequest};
pub use requests::{
    CodeGrant, code_request, exchange_hops, exchange_request, identity_request, refresh_request,
    resources_request,
};
pub use retry_after::read_retry_after;
pub use revoke::{
    Revocation, RevokeRequest, Standing, read_revocation, revoke_requests, revokes_alone,
};
pub use via::{Client, Held, Via};
