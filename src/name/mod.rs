//! Names, parsed once at the edge: past it, a name that exists is a name that is allowed.
//!
//! Every type here has exactly one spelling per object. What differs is refused with a reason, and
//! never "cleaned" into something the caller did not write; the one exception is the letter case of
//! a [`SecretName`] and a [`Host`], which is folded here and nowhere else.

mod host;
mod likeness;
mod plain;
mod secret_name;
mod variable;

pub use host::{Host, HostError, HostPattern};
pub use likeness::is_name_like;
pub use plain::{
    ActionName, FieldName, OrgSlug, PlainNameError, ProviderId, ServiceName, ToolSlug,
};
pub use secret_name::{SecretName, SecretNameError};
pub use variable::{VariableName, VariableNameError};
