//! The installation's own keys: independent random keys, sealed under the root key, so that rotating
//! the root never re-indexes a name or breaks a signature.

use std::collections::BTreeMap;

use crate::audit::{JournalKey, JournalKeys, Signer};
use crate::crypto::{
    self, Context, CryptoError, Key, KeyRef, PublicKey, Purpose, Random, Record, Sealed, SigningKey,
};
use crate::id::{ObjectId, StoreId};
use crate::store::{Batch, Class, Engine, StoreKey, read_raw, visit_raw};

use super::VaultError;
use super::generations::Generations;

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Which {
    Anchor,
    State,
    JournalSeal,
    JournalSign,
    Index,
    Store,
    Veil,
}

impl Which {
    /// Those that a store has from its first day.
    const FIRST: [Self; 6] = [
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
            Self::Veil => 8,
        }
    }

    fn of(number: u8) -> Option<Self> {
        let mut all = Self::FIRST.into_iter().chain([Self::Veil]);
        all.find(|which| which.number() == number)
    }

    const fn purpose(self) -> Purpose {
        match self {
            Self::Index | Self::Veil => Purpose::IndexKey,
            Self::State | Self::Store => Purpose::State,
            Self::Anchor | Self::JournalSeal | Self::JournalSign => Purpose::AuditKey,
        }
    }
}

/// Where a generation of one of them stands. The first stands where all did before there were others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SystemPlace {
    pub(super) which: Which,
    pub(super) version: u32,
}

impl SystemPlace {
    pub(super) const fn new(which: Which, version: u32) -> Self {
        Self { which, version }
    }

    /// The one that a key of the store names; nothing for one of another kind.
    pub(super) fn of(place: &StoreKey) -> Option<Self> {
        let [class, number, rest @ ..] = place.as_bytes() else {
            return None;
        };
        let which = Which::of(*number).filter(|_| *class == Class::SystemKey.byte())?;
        let version = match rest {
            [] => 1,
            rest => u32::from_be_bytes(rest.try_into().ok()?),
        };
        Some(Self { which, version }).filter(|found| found.key() == *place)
    }

    pub(super) fn key(self) -> StoreKey {
        let (number, version) = (self.which.number(), self.version.to_be_bytes());
        let version: &[u8] = if self.version == 1 { &[] } else { &version };
        StoreKey::new(Class::SystemKey, &[&[number], version])
    }

    const fn object(self) -> ObjectId {
        ObjectId::from_bytes([self.which.number(); 16])
    }

    pub(super) const fn name(self) -> KeyRef {
        KeyRef {
            id: self.object(),
            version: self.version,
        }
    }

    fn context(self, store: StoreId) -> Context {
        Context::system(store, self.object(), self.version.into())
    }

    /// A key for this place, sealed under `root`.
    pub(super) fn seal(
        self,
        store: StoreId,
        root: &Key,
        key: &Key,
        random: &dyn Random,
    ) -> Result<Record, CryptoError> {
        let context = self.context(store);
        let purpose = self.which.purpose();
        let sealed = key.expose(|bytes| crypto::seal(root, purpose, &context, bytes, random))?;
        Ok(Record::of(&sealed))
    }

    /// Whether a box that stands here holds a key, and not what is left of one.
    pub(super) fn holds_key(self, sealed: &Sealed) -> bool {
        sealed.is_of(self.which.purpose())
    }

    /// What a box holds that stands here.
    fn take(self, store: StoreId, root: &Key, sealed: &Sealed) -> Result<Held, VaultError> {
        let context = self.context(store);
        if self.which == Which::JournalSign && !self.holds_key(sealed) {
            let public = crypto::open(root, Purpose::State, &context, sealed)?;
            let public = public.expose(|public| public.try_into());
            let public = public.map_err(|_| VaultError::Form)?;
            return Ok(Held::Gone(PublicKey(public)));
        }
        let key = crypto::open(root, self.which.purpose(), &context, sealed)?;
        Ok(Held::Key(Key::from_secret(self.name(), &key)?))
    }

    /// The key that stands here.
    pub(super) fn open(
        self,
        store: StoreId,
        root: &Generations,
        record: &Record,
    ) -> Result<Key, VaultError> {
        let (sealed, context) = (record.reader().sealed()?, self.context(store));
        let key = root.open(self.which.purpose(), &context, &sealed)?;
        Ok(Key::from_secret(self.name(), &key)?.sheltered())
    }

    /// What is left of a key that signed.
    pub(super) fn seal_gone(
        self,
        store: StoreId,
        root: &Key,
        public: PublicKey,
        random: &dyn Random,
    ) -> Result<Record, CryptoError> {
        let context = self.context(store);
        let sealed = crypto::seal(root, Purpose::State, &context, &public.0, random)?;
        Ok(Record::of(&sealed))
    }

    /// Seals what stands here anew, whatever it is.
    pub(super) fn renew(
        self,
        store: StoreId,
        root: &Generations,
        record: &Record,
        random: &dyn Random,
    ) -> Result<Record, CryptoError> {
        let (sealed, context) = (record.reader().sealed()?, self.context(store));
        let purpose = if self.holds_key(&sealed) {
            self.which.purpose()
        } else {
            Purpose::State
        };
        let held = root.open(purpose, &context, &sealed)?;
        let active = root.active();
        let sealed = held.expose(|held| crypto::seal(&active, purpose, &context, held, random));
        Ok(Record::of(&sealed?))
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

/// The keys of the installation.
pub(super) struct SystemKeys {
    /// Authenticates the store's digest and its anchor file.
    pub(super) anchor: Key,
    /// Seals the records that belong to no organisation.
    pub(super) state: Generations,
    /// Blinds the names that belong to no organisation.
    pub(super) index: Key,
    /// Seals the store's own state.
    pub(super) store: Key,
    /// Seals and signs the journal.
    pub(super) journal: JournalKeys,
}

/// How many generations of the journal's keys are kept on the page before all others: those that are in use.
const IN_USE: usize = 2;

/// What was opened, by the places where it stood.
type Opened = BTreeMap<SystemPlace, Held>;

/// What stood in one of them.
enum Held {
    Key(Key),
    /// What is left of one that signed.
    Gone(PublicKey),
}

impl SystemKeys {
    /// Draws new keys and puts them, sealed, into the store's first batch.
    pub(super) fn create(
        store: StoreId,
        root: &Key,
        random: &dyn Random,
        batch: &mut Batch,
    ) -> Result<Self, VaultError> {
        let mut keys = Opened::new();
        for which in Which::FIRST {
            let place = SystemPlace::new(which, 1);
            let key = Key::generate(place.name(), random)?;
            batch.put(place.key(), place.seal(store, root, &key, random)?);
            keys.insert(place, Held::Key(key));
        }
        Self::of(keys)?.ok_or(VaultError::Form)
    }

    /// Opens the keys of a store that exists; `None` when it has none of them. From then on `engine` finds
    /// names, too.
    pub(super) fn open(
        engine: &dyn Engine,
        store: StoreId,
        root: &Key,
    ) -> Result<Option<Self>, VaultError> {
        let next = next_root(engine, store, root)?;
        let prefix = StoreKey::new(Class::SystemKey, &[]);
        let mut keys = Opened::new();
        visit_raw(engine, &prefix, |place, record| {
            let Some(place) = SystemPlace::of(place) else {
                return Ok(());
            };
            let sealed = record.reader().sealed()?;
            let by_next = next
                .as_ref()
                .filter(|next| sealed.key() == Some(next.name()));
            let held = place.take(store, by_next.unwrap_or(root), &sealed)?;
            keys.insert(place, held);
            Ok::<_, VaultError>(())
        })?;
        if keys.is_empty() {
            return Ok(None);
        }
        if let Some(disk) = engine.disk()
            && let Some(version) = disk.veil()
        {
            let place = SystemPlace::new(Which::Veil, version);
            let Some(Held::Key(veil)) = keys.get(&place) else {
                return Err(VaultError::StoreGone);
            };
            disk.lift(veil)?;
        }
        Self::of(keys)?.map(Some).ok_or(VaultError::StoreGone)
    }

    fn of(mut keys: Opened) -> Result<Option<Self>, VaultError> {
        // The newest first.
        let versions = |which| -> Vec<u32> {
            let all = keys.keys().rev().filter(|place| place.which == which);
            all.map(|place| place.version).collect()
        };
        let (journal, states) = (versions(Which::JournalSeal), versions(Which::State));
        let mut generations = Vec::new();
        for version in journal {
            let seal = key(&mut keys, Which::JournalSeal, version);
            let sign = keys.remove(&SystemPlace::new(Which::JournalSign, version));
            let (Some(seal), Some(sign)) = (seal, sign) else {
                continue;
            };
            // There are ever more of these, and room on the page is for those that are in use.
            let seal = if generations.len() < IN_USE {
                seal.sheltered()
            } else {
                seal.sheltered_in_spare_room()
            };
            generations.push(JournalKey::new(seal, sign.signer()?));
        }
        let states = states.into_iter();
        let states: Vec<_> = states
            .filter_map(|version| key(&mut keys, Which::State, version))
            .map(Key::sheltered)
            .collect();
        let mut states = states.into_iter();
        let state = states.next();
        let state = state.map(|active| Generations::new(active, states.collect()));
        let mut first = |which| key(&mut keys, which, 1).map(Key::sheltered);
        let (anchor, index, store) = (
            first(Which::Anchor),
            first(Which::Index),
            first(Which::Store),
        );
        let keys = (anchor, state, index, store, JournalKeys::new(generations));
        let (Some(anchor), Some(state), Some(index), Some(store), Some(journal)) = keys else {
            return Ok(None);
        };
        Ok(Some(Self {
            anchor,
            state,
            index,
            store,
            journal,
        }))
    }
}

/// Takes a key out of those that were opened.
fn key(keys: &mut Opened, which: Which, version: u32) -> Option<Key> {
    match keys.remove(&SystemPlace::new(which, version))? {
        Held::Key(key) => Some(key),
        Held::Gone(_) => None,
    }
}

impl Held {
    fn signer(self) -> Result<Signer, CryptoError> {
        Ok(match self {
            Self::Key(seed) => Signer::Signs(SigningKey::from_seed(&seed)?),
            Self::Gone(public) => Signer::Gone(public),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{SystemPlace, Which, next_root_place};
    use crate::store::{Class, StoreKey};

    #[test]
    fn a_generation_stands_in_one_place_and_the_first_where_it_always_did() {
        for (which, version, bytes) in [
            (Which::State, 1, &[2][..]),
            (Which::JournalSign, 2, &[4, 0, 0, 0, 2]),
            (Which::Veil, 258, &[8, 0, 0, 1, 2]),
        ] {
            let place = SystemPlace::new(which, version);
            assert_eq!(place.key(), StoreKey::new(Class::SystemKey, &[bytes]));
            assert_eq!(SystemPlace::of(&place.key()), Some(place));
        }
        // The first one has one spelling, and what is no key of these is none.
        for bytes in [&[2, 0, 0, 0, 1][..], &[9], &[], &[2, 0, 0, 2]] {
            let place = StoreKey::new(Class::SystemKey, &[bytes]);
            assert_eq!(SystemPlace::of(&place), None, "{bytes:?}");
        }
        assert_eq!(SystemPlace::of(&next_root_place()), None);
        assert_eq!(SystemPlace::of(&StoreKey::new(Class::State, &[&[2]])), None);
    }
}
