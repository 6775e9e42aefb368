//! Names, parsed once at the edge: past it, a name that exists is a name that is allowed.
//!
//! Every type here has exactly one spelling per object. What differs is refused with a reason, and
//! never "cleaned" into something the caller did not write; the one exception is the letter case of
//! a [`SecretName`] and a [`Host`], which is folded here and nowhere else.
//!
//! A name is handed around by every request, so a copy of one takes no memory: it is short enough to be kept in
//! place (23 bytes), or shared.

/// A name in JSON is its one spelling, and what is read from there is parsed.
macro_rules! as_text {
    ($($name:ident),+ $(,)?) => {$(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    )+};
}

/// As [`as_text`], for names that are kept as they are written.
macro_rules! kept_as_text {
    ($($name:ident),+ $(,)?) => {
        $(impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        })+
        as_text!($($name),+);
    };
}

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
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

/// Something for each of a few fields of a tool, in the order of their names.
pub type Fields<V> = litemap::LiteMap<FieldName, V>;
