//! Tools: what they need, where that may go, what they can do.
//!
//! A [`ToolSpec`] comes from a shipped file ([`Catalog`]), or from RunTools'
//! `POST /v1/tools/custom`; both pass the same rules, key by key, and what nobody asked for is
//! refused by name. It has three parts:
//!
//! - [`CredentialSpec`]: the fields a tool needs, the secret that matches each, and the provider
//!   whose connection can fill them.
//! - [`Binding`]s: where those credentials may go (scheme, hosts, port, methods, anchored paths) and
//!   the [`Slot`]s, the only placements there are. A caller chooses neither.
//! - [`Action`]s: parameters with a schema, and an [`HttpTemplate`] the broker can run itself.
//!
//! A template is admitted by a binding when it is loaded, and can name no credential; parameters
//! are rendered into path segments, query, headers and body, never into scheme, host or port. The
//! two halves meet in the broker: it renders an action, asks the binding again with the own hosts
//! of every secret it lends ([`Binding::admits`]), and fills the slots last.
//!
//! All of that is pure: no storage, no network, no credential. [`Hub`] keeps what members make of it:
//! custom tools, installs, and the credentials stored for them.

mod aside;
mod binding;
mod binding_read;
mod catalog;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod hub;
mod installs;
mod parameters;
mod parsed;
mod path;
mod reader;
mod room;
mod schema_walk;
mod schemas;
mod search;
mod signer;
mod signer_read;
mod slot;
mod spec;
mod spec_read;
mod template;
mod template_parts;
mod template_render;
mod template_text;
mod template_url;
mod template_weight;
mod vouching;

pub use aside::aside;
pub use binding::{Binding, Destination, HostSource, Scheme, narrow};
pub use catalog::Catalog;
pub use error::{Rule, ToolError};
pub use hub::{Custom, Hub, HubError, Tool};
pub use installs::{CredentialInfo, StoredCredential};
pub use parameters::Parameters;
pub use path::PathPattern;
pub use search::{Rank, Search};
pub use signer::{
    HmacSigner, JwtSigner, JwtUse, KeyForm, MacEncoding, MacHash, Piece, Pieces, Said, SigV4,
    Signer, TimeForm,
};
pub use slot::{BasicOther, BasicRole, PlaceName, STEERING, Slot, SlotFormat};
pub use spec::{
    Action, CredentialMode, CredentialSpec, Field, OAuthSpec, ToolSpec, default_secret,
};
pub use template::HttpTemplate;
pub use template_render::{Body, RenderedRequest};
