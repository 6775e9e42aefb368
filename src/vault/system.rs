//! The installation's own keys: independent random keys, sealed under the root key, so that rotating
//! the root never re-indexes a name or breaks a signature.

use crate::crypto::{self, Context, CryptoError, Key, KeyRef, Purpose, Random, Record};
use crate::id::{ObjectId, StoreId};
use crate::store::{Batch, Class, Engine, StoreKey, read_raw};

use super::VaultError;

/// Which of them.
#[derive(Clone, Copy, Debug)]
enum Which {
    Anchor,
    State,
    JournalSeal,
    JournalSign,
    Index,
    Store,
}

impl Which {
    const ALL: [Self; 6] = [
        Self::Anchor,
        Self::State,
        Self::JournalSeal,
        Self::JournalSign,
        Self::Index,
        Self::Store,
    ];

    const fn number(self) -> u8 {
        match self {
            Self::Anchor => 1,
            Self::State => 2,
            Self::JournalSeal => 3,
            Self::JournalSign => 4,
            Self::Index => 5,
            Self::Store => 6,
        }
    }

    const fn purpose(self) -> Purpose {
        match self {
            Self::Index => Purpose::IndexKey,
            Self::State | Self::Store => Purpose::State,
            Self::Anchor | Self::JournalSeal | Self::JournalSign => Purpose::AuditKey,
        }
    }

    const fn object(self) -> ObjectId {
        ObjectId::from_bytes([self.number(); 16])
    }

    const fn name(self) -> KeyRef {
        KeyRef {
            id: self.object(),
            version: 1,
        }
    }

    fn store_key(self) -> StoreKey {
        StoreKey::new(Class::SystemKey, &[&[self.number()]])
    }

    fn context(self, store: StoreId) -> Context {
        Context::system(store, self.object(), 1)
    }
}

/// Where the next root key waits until it is in the ring.
pub(super) fn next_root_place() -> StoreKey {
    StoreKey::new(Class::SystemKey, &[&[7]])
}

/// What the next root key is bound to: its number.
pub(super) fn next_root_context(store: StoreId, version: u32) -> Context {
    let object = ObjectId::from_bytes([7; 16]);
    Context::system(store, object, u64::from(version))
}

/// Where the six keys stand, and what each is bound to.
pub(super) fn system_places(store: StoreId) -> [(StoreKey, Purpose, Context); 6] {
    Which::ALL.map(|which| (which.store_key(), which.purpose(), which.context(store)))
}

/// The root key after the ring's, where one was drawn and is not in the ring yet.
///
/// # Errors
/// When the record was altered, or the engine fails.
pub(super) fn next_root(
    engine: &dyn Engine,
    store: StoreId,
    root: &Key,
) -> Result<Option<Key>, VaultError> {
    let record = read_raw(engine, &next_root_place())?;
    // One that another root key sealed is left over: what waited there is the ring's by now.
    let Some(record) = record.filter(|record| record.key() == Some(root.name())) else {
        return Ok(None);
    };
    let KeyRef { id, version } = root.name();
    let version = version.checked_add(1).ok_or(VaultError::Form)?;
    let context = next_root_context(store, version);
    let next = crypto::open(root, Purpose::OrgKey, &context, &record.reader().sealed()?)?;
    let next = Key::from_secret(KeyRef { id, version }, &next)?;
    Ok(Some(next.sheltered()))
}

/// The six keys.
pub(super) struct SystemKeys {
    /// Authenticates the store's digest and its anchor file.
    pub(super) anchor: Key,
    /// Seals the records that belong to no organisation.
    pub(super) state: Key,
    /// Seals the journal.
    pub(super) journal_seal: Key,
    /// Seed of the journal's signing key.
    pub(super) journal_sign: Key,
    /// Blinds the names that belong to no organisation.
    pub(super) index: Key,
    /// Seals the store's own state.
    pub(super) store: Key,
}

impl SystemKeys {
    /// Draws six new keys and puts them, sealed, into the store's first batch.
    pub(super) fn create(
        store: StoreId,
        root: &Key,
        random: &dyn Random,
        batch: &mut Batch,
    ) -> Result<Self, CryptoError> {
        let mut keys = Vec::with_capacity(6);
        for which in Which::ALL {
            let key = Key::generate(which.name(), random)?.sheltered();
            let sealed = key.expose(|bytes| {
                crypto::seal(root, which.purpose(), &which.context(store), bytes, random)
            })?;
            batch.put(which.store_key(), Record::of(&sealed));
            keys.push(key);
        }
        Self::from_list(keys).ok_or(CryptoError::Form)
    }

    /// Opens the six keys of a store that exists; `None` when it has none of them.
    pub(super) fn open(
        engine: &dyn Engine,
        store: StoreId,
        root: &Key,
    ) -> Result<Option<Self>, VaultError> {
        let next = next_root(engine, store, root)?;
        let mut keys = Vec::with_capacity(6);
        for which in Which::ALL {
            let Some(record) = read_raw(engine, &which.store_key())? else {
                continue;
            };
            let sealed = record.reader().sealed()?;
            let by_next = next
                .as_ref()
                .filter(|next| sealed.key() == Some(next.name()));
            let root = by_next.unwrap_or(root);
            let secret = crypto::open(root, which.purpose(), &which.context(store), &sealed)?;
            keys.push(Key::from_secret(which.name(), &secret)?.sheltered());
        }
        if keys.is_empty() {
            return Ok(None);
        }
        Self::from_list(keys).map(Some).ok_or(VaultError::StoreGone)
    }

    fn from_list(keys: Vec<Key>) -> Option<Self> {
        let [anchor, state, journal_seal, journal_sign, index, store] = keys.try_into().ok()?;
        Some(Self {
            anchor,
            state,
            journal_seal,
            journal_sign,
            index,
            store,
        })
    }
}
