//! The API: from a request to an answer.
//!
//! ```text
//! serve ─▶ request id ─▶ host allowed? ─▶ source's rate ─▶ route ─▶ Caller ─▶ Permit ─▶ Recorded ─▶ act ─▶ answer
//! ```
//!
//! One file per resource. Handlers take a [`Caller`](caller::Caller), ask it for a permit, and act
//! inside `audited`; they never touch a store. [`ApiError`] is the only maker of error answers.

#![expect(unused_qualifications, reason = "utoipa's macros write whole paths")]

mod api_keys;
mod app;
mod audit;
mod audit_query;
mod backup;
mod body;
mod broker;
mod caller;
mod calm;
mod changes;
mod custom_tools;
mod deletions;
mod departed;
mod egress;
mod error;
mod error_broker;
mod error_storage;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod idempotency;
mod kept;
mod key_slots;
mod layers;
mod limits;
mod lockout;
mod meter;
mod misses;
mod oauth_asking;
mod oauth_clients;
mod oauth_connections;
mod oauth_device;
mod oauth_flows;
mod oauth_keeper;
mod oauth_providers;
mod objects;
mod openapi;
mod operator;
mod organizations;
mod own_keys;
mod path;
mod pieces;
mod proxied;
mod recognition;
mod reply;
mod request;
mod rotations;
mod routes;
mod running;
mod secret_names;
mod secret_versions;
mod secrets;
pub mod serve;
mod services;
mod shred;
mod standing;
mod store;
mod subject;
mod system;
mod templates;
mod tools;

pub use app::{App, AppParts};
pub use error::ApiError;
pub use limits::{Rate, RateRules};
pub use meter::Meter;
pub(crate) use proxied::{as_request, event_of, sentence};
pub use routes::{Pages, document, router};
