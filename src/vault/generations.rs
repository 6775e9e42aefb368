//! One key of an organisation or of an owner, in all generations that are in force.
//!
//! ```text
//! one ──turn_to──▶ a new one is active, the old one only opens ──retire──▶ one
//! ```
//!
//! A box says which generation sealed it, so a reader finds the right one by what it reads. Whoever seals
//! takes the [`Active`] one and has a hold of it; the boxes that it makes have one too, until they are on
//! disk. So a generation that was replaced can be waited out: once nobody holds it, no box that it sealed
//! is still to come, and what is on disk can be gone through once, with nothing appearing behind one's back.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::crypto::{self, Context, CryptoError, Hold, Key, KeyRef, Purpose, Sealed};
use crate::secret::Secret;

/// The generations of one key. Shared by everybody who uses it: what changes, changes for all at once.
pub struct Generations(RwLock<Kept>);

struct Kept {
    active: Arc<Key>,
    /// Replaced, and still needed to open.
    older: Vec<Arc<Key>>,
    /// Not needed any more, but for what was read just before. With how many rounds they have to go.
    retired: Vec<(Arc<Key>, u8)>,
}

/// The generation that seals, held.
#[derive(Debug)]
pub(crate) struct Active {
    key: Arc<Key>,
    _hold: Hold,
}

impl Deref for Active {
    type Target = Key;
    fn deref(&self) -> &Key {
        &self.key
    }
}

/// How many rounds of [`Generations::forget_retired`] a retired generation stays for those who still have
/// in hand what it sealed.
const ROUNDS: u8 = 1;

impl Generations {
    /// Those of a key that was opened.
    pub(super) fn new(active: Key, older: Vec<Key>) -> Self {
        Self(RwLock::new(Kept {
            active: Arc::new(active),
            older: older.into_iter().map(Arc::new).collect(),
            retired: Vec::new(),
        }))
    }

    /// A key that was never replaced.
    pub(super) fn of(key: Key) -> Self {
        Self::new(key, Vec::new())
    }

    /// The one to seal with.
    pub(crate) fn active(&self) -> Active {
        // Taken while nobody can replace it, so that there is no moment at which it seems to be unused.
        let kept = self.read();
        Active {
            _hold: kept.active.hold(),
            key: Arc::clone(&kept.active),
        }
    }

    /// The one of this name, to open with.
    pub(super) fn opener(&self, name: KeyRef) -> Option<Arc<Key>> {
        let kept = self.read();
        let retired = kept.retired.iter().map(|(key, _)| key);
        let mut all = std::iter::once(&kept.active)
            .chain(&kept.older)
            .chain(retired);
        all.find(|key| key.name() == name).cloned()
    }

    /// Opens a box by whichever generation sealed it.
    ///
    /// # Errors
    /// [`CryptoError::Open`] when none did, or the box was altered.
    pub(super) fn open(
        &self,
        purpose: Purpose,
        context: &Context,
        sealed: &Sealed,
    ) -> Result<Secret, CryptoError> {
        crypto::open(&*self.of_box(sealed)?, purpose, context, sealed)
    }

    /// As [`Generations::open`], for what was padded.
    ///
    /// # Errors
    /// As [`Generations::open`].
    pub(super) fn open_padded(
        &self,
        purpose: Purpose,
        context: &Context,
        sealed: &Sealed,
    ) -> Result<Secret, CryptoError> {
        crypto::open_padded(&*self.of_box(sealed)?, purpose, context, sealed)
    }

    fn of_box(&self, sealed: &Sealed) -> Result<Arc<Key>, CryptoError> {
        let name = sealed.key().ok_or(CryptoError::Open)?;
        self.opener(name).ok_or(CryptoError::Open)
    }

    /// Seals with `key` from now on. The one before only opens.
    pub(super) fn turn_to(&self, key: impl Into<Arc<Key>>) {
        let mut kept = self.write();
        let before = std::mem::replace(&mut kept.active, key.into());
        kept.older.push(before);
    }

    /// The name of the one that seals.
    pub(super) fn name(&self) -> KeyRef {
        self.read().active.name()
    }

    /// Whether `name` is an older generation's.
    pub(super) fn is_older(&self, name: KeyRef) -> bool {
        self.read().older.iter().any(|key| key.name() == name)
    }

    /// Whether there is more than one.
    pub(super) fn is_turning(&self) -> bool {
        !self.read().older.is_empty()
    }

    /// Whether nothing that an older generation sealed is on its way to disk.
    pub(super) fn is_drained(&self) -> bool {
        !self.read().older.iter().any(|key| key.is_held())
    }

    /// Gives up the older generations.
    pub(super) fn retire(&self) {
        let mut kept = self.write();
        let older = std::mem::take(&mut kept.older);
        kept.retired
            .extend(older.into_iter().map(|key| (key, ROUNDS)));
    }

    /// Wipes what was retired before the last round.
    pub(super) fn forget_retired(&self) {
        if self.read().retired.is_empty() {
            return;
        }
        self.write().retired.retain_mut(|(_, rounds)| {
            let stays = *rounds > 0;
            *rounds = rounds.saturating_sub(1);
            stays
        });
    }

    fn read(&self) -> RwLockReadGuard<'_, Kept> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Kept> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Generations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.read();
        write!(
            f,
            "Generations({:?}, {} older)",
            kept.active,
            kept.older.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Generations;
    use crate::crypto::{Context, Key, KeyRef, Purpose, Record, Sealed, SystemRandom, seal};
    use crate::id::{ObjectId, StoreId};

    fn key(version: u32) -> Key {
        let id = ObjectId::from_bytes([7; 16]);
        Key::generate(KeyRef { id, version }, &SystemRandom).unwrap()
    }

    fn context() -> Context {
        Context::system(
            StoreId::from_bytes([1; 16]),
            ObjectId::from_bytes([2; 16]),
            1,
        )
    }

    fn sealed(with: &Generations) -> Sealed {
        let key = with.active();
        seal(&key, Purpose::State, &context(), b"text", &SystemRandom).unwrap()
    }

    fn opens(with: &Generations, sealed: &Sealed) -> bool {
        with.open(Purpose::State, &context(), sealed).is_ok()
    }

    #[test]
    fn a_box_is_opened_by_the_generation_that_sealed_it_for_as_long_as_there_is_one() {
        let keys = Generations::of(key(1));
        let first = sealed(&keys);
        keys.turn_to(key(2));
        let second = sealed(&keys);
        assert_eq!(second.key().unwrap().version, 2);
        assert!(keys.is_turning() && keys.is_older(first.key().unwrap()));
        assert!(opens(&keys, &first) && opens(&keys, &second));
        keys.retire();
        assert!(!keys.is_turning());
        // Who read the old box just before can still open it, for a round.
        assert!(opens(&keys, &first) && opens(&keys, &second));
        keys.forget_retired();
        assert!(opens(&keys, &first));
        keys.forget_retired();
        assert!(!opens(&keys, &first) && opens(&keys, &second));
    }

    #[test]
    fn an_older_generation_is_drained_once_no_box_of_it_is_on_its_way() {
        let keys = Generations::of(key(1));
        let sealing = keys.active();
        let record = Record::of(&sealed(&keys));
        keys.turn_to(key(2));
        assert!(!keys.is_drained());
        drop(sealing);
        assert!(!keys.is_drained());
        // What was read from disk is on no way to it.
        let read = Record::parse(record.as_bytes()).unwrap();
        let copy = record.clone();
        drop(record);
        assert!(!keys.is_drained());
        drop(copy);
        assert!(keys.is_drained());
        let new = Record::of(&sealed(&keys));
        assert!(keys.is_drained(), "the new one's boxes count for nothing");
        drop((read, new));
    }
}
