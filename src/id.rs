//! Identifiers: sixteen random bytes each, shown as a UUID (RFC 9562, version 4), typed so that one
//! kind is never taken for another.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is no UUID in its one accepted spelling (lower case, with hyphens).
#[derive(Debug, thiserror::Error)]
#[error("not an id: an id is a UUID in lower case, such as 3f2b8c1e-5d0a-4c8e-9b1f-2a6d7e8f9a0b")]
pub struct IdError;

fn parse(text: &str) -> Result<Uuid, IdError> {
    let id = Uuid::try_parse(text).map_err(|_| IdError)?;
    // One spelling per object: `Uuid` also reads braces, upper case and bare hex.
    let mut buffer = Uuid::encode_buffer();
    if *id.hyphenated().encode_lower(&mut buffer) == *text {
        Ok(id)
    } else {
        Err(IdError)
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes an id of sixteen random bytes; the six fixed bits of version 4 are set here.
            #[must_use]
            pub fn from_random(bytes: [u8; 16]) -> Self {
                Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
            }

            /// Takes sixteen bytes that were an id before.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The sixteen bytes.
            #[must_use]
            pub const fn bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Reads the lower-case hyphenated form, and no other.
            ///
            /// # Errors
            /// [`IdError`] for every other text.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                parse(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    )+};
}

ids! {
    /// One store: made at its first start, part of every sealed context.
    StoreId;
    /// An organisation.
    OrgId;
    /// A person, across organisations.
    UserId;
    /// A person's membership of one organisation.
    MemberId;
    /// A secret, whatever its versions.
    SecretId;
    /// An API key.
    ApiKeyId;
    /// A service: a program of an organisation that acts for its members.
    ServiceId;
    /// A key or certificate of a service.
    ServiceCredentialId;
    /// That a service may act for a member, from when it is granted until it ends.
    DelegationId;
    /// A custom tool or an installed one.
    ToolId;
    /// A connection: an account that somebody authorised through OAuth.
    ConnectionId;
    /// A resolution: what a handle stands for.
    ResolutionId;
    /// One request, for logs and audit.
    RequestId;
    /// Any other sealed object: an index key, a state record, a ring slot.
    ObjectId;
}

#[cfg(test)]
mod tests {
    use super::OrgId;

    #[test]
    fn an_id_has_one_spelling() {
        let id = OrgId::from_random([0xab; 16]);
        let text = id.to_string();
        assert_eq!(OrgId::parse(&text).unwrap(), id);
        for other in [
            text.to_uppercase(),
            text.replace('-', ""),
            format!("{{{text}}}"),
            format!("urn:uuid:{text}"),
            format!(" {text}"),
            String::new(),
        ] {
            assert!(OrgId::parse(&other).is_err(), "{other}");
        }
    }
}
