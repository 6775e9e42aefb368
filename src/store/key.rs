//! Where a record stands: a class byte, then bytes that say nothing.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident = $byte:literal,)+) => {
        /// What a record is; the first byte of its key. The order is that of the keys.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Class {
            $($(#[$doc])* $name = $byte,)+
        }

        impl Class {
            /// Every class, in order.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The byte that keys begin with.
            #[must_use]
            pub const fn byte(self) -> u8 {
                match self {
                    $(Self::$name => $byte,)+
                }
            }

            /// The class of a byte, if there is one.
            #[must_use]
            pub const fn of(byte: u8) -> Option<Self> {
                match byte {
                    $($byte => Some(Self::$name),)+
                    _ => None,
                }
            }
        }
    };
}

classes! {
    /// State of the installation. The key without parts is the store's own.
    State = 0x00,
    /// Keys of the installation: audit, anchor, index.
    SystemKey = 0x01,
    /// An organisation.
    Organization = 0x02,
    /// A version of an organisation's key.
    OrgKey = 0x03,
    /// A version of an owner's key.
    OwnerKey = 0x04,
    /// A person.
    User = 0x05,
    /// A membership.
    Member = 0x06,
    /// An API key.
    ApiKey = 0x07,
    /// The way from an API key's hash to it.
    ApiKeyIndex = 0x08,
    /// A user of this machine.
    LocalUser = 0x09,
    /// A service of an organisation.
    Service = 0x0a,
    /// The way from the hash of a service's key or certificate to it.
    ServiceIndex = 0x0b,
    /// That a service may act for a member.
    Delegation = 0x0c,
    /// A rotation of an organisation's keys: the one under way, or the last.
    Rotation = 0x0d,
    /// A secret: its names and the pointer to its version.
    Secret = 0x10,
    /// A version of a secret.
    SecretVersion = 0x12,
    /// A custom tool.
    Tool = 0x20,
    /// An installed tool.
    ToolInstall = 0x21,
    /// A credential stored for an installed tool.
    ToolCredential = 0x22,
    /// An answer kept for a repeated request.
    Idempotency = 0x30,
    /// An OAuth client's id and secret.
    Client = 0x40,
    /// Which client of its own an organisation uses for a provider.
    OwnClient = 0x41,
    /// A connection: whose, to which account, by which client.
    Connection = 0x42,
    /// The state of a connection's token set, without its tokens.
    TokenState = 0x43,
    /// The tokens of a token set.
    TokenValue = 0x44,
    /// Which connection of a provider is a member's default.
    DefaultConnection = 0x45,
    /// Tokens that are still to be revoked upstream.
    Revocation = 0x46,
    /// A device flow under way: who connects what, without what its provider is asked with.
    DeviceAttempt = 0x47,
    /// What the provider of a device flow is asked with.
    DeviceCode = 0x48,
    /// What stands in a file of the spool, and never in the store.
    Spooled = 0x49,
}

/// The key of a record: its class, then opaque bytes. Callers pass keyed hashes, never names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreKey(Class, Found, Box<[u8]>);

/// In which order of names a key was found, if it was found in one: what comes after it is known in that order alone
/// (see [`Store::order`](super::Store::order)). It is no part of which key it is.
#[derive(Clone, Copy, Default)]
struct Found(Option<NonZeroU32>);

impl PartialEq for Found {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Found {}

impl PartialOrd for Found {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Found {
    fn cmp(&self, _: &Self) -> Ordering {
        Ordering::Equal
    }
}

impl Hash for Found {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl StoreKey {
    /// The key of the store's own state record.
    pub(super) const STATE: &[u8] = &[Class::State.byte()];

    /// Puts a key together. With the leading parts only, it is the prefix of a scan; callers see to it
    /// that leading parts have a fixed length.
    #[must_use]
    pub fn new(class: Class, parts: &[&[u8]]) -> Self {
        // Of exactly its size: growing and shrinking would move it, and many keys are made.
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        let mut bytes = Vec::with_capacity(length.saturating_add(1));
        bytes.push(class.byte());
        for part in parts {
            bytes.extend_from_slice(part);
        }
        Self(class, Found::default(), bytes.into())
    }

    /// Reads a key as the engine keeps it.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let class = Class::of(*bytes.first()?)?;
        Some(Self(class, Found::default(), bytes.into()))
    }

    /// The whole key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.2
    }

    /// The same key, as one that was found in this order of names.
    #[must_use]
    pub fn found_in(mut self, order: u32) -> Self {
        self.1 = Found(NonZeroU32::new(order.saturating_add(1)));
        self
    }

    /// The order of names that it was found in, if a scan has found it.
    #[must_use]
    pub fn order(&self) -> Option<u32> {
        self.1.0.map(|order| order.get() - 1)
    }

    /// What the record is.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.0
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreKey({:?}, {} bytes)", self.0, self.2.len())
    }
}

#[cfg(test)]
mod tests {
    use super::{Class, StoreKey};

    #[test]
    fn classes_and_bytes_are_one_to_one_and_in_order() {
        for class in Class::ALL {
            assert_eq!(Class::of(class.byte()), Some(*class));
        }
        assert!(Class::ALL.is_sorted_by_key(|class| class.byte()));
        assert_eq!(Class::of(0x11), None);
    }

    #[test]
    fn debug_shows_no_byte_of_a_key() {
        let key = StoreKey::new(Class::Secret, &[b"alpha", b"beta"]);
        assert_eq!(format!("{key:?}"), "StoreKey(Secret, 10 bytes)");
        assert_eq!(key.as_bytes(), b"\x10alphabeta");
    }

    #[test]
    fn keys_are_in_the_order_of_their_bytes() {
        let mut keys = [
            StoreKey::new(Class::Tool, &[b"a"]),
            StoreKey::new(Class::Secret, &[b"b"]),
            StoreKey::new(Class::Secret, &[b"a", b"z"]),
        ];
        keys.sort();
        assert!(keys.is_sorted_by(|a, b| a.as_bytes() <= b.as_bytes()));
    }
}
